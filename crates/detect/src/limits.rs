//! Every bound of this crate, in one place. Each is tested at n and n+1.

/// Shortest secret that can be scrubbed, in bytes. Below it, masking would hit ordinary words; enrolment flags such a
/// secret as not scrubbable.
pub const SECRET_MIN_BYTES: usize = 8;

/// Longest secret that can be scrubbed, in bytes. An RSA-4096 private key in PEM is 3272.
pub const SECRET_MAX_BYTES: usize = 8192;

/// Secrets in one [`Needles`](crate::scrub::Needles).
pub const SECRETS_MAX: usize = 256;

/// A secret with fewer estimated bits can be found by guessing through the scrubber, so its first hit withholds.
pub const LOW_ENTROPY_BITS: u32 = 64;

/// Hits of attached secrets from one target in one session that are masked. What follows is withheld whole.
pub const HITS_MASKED_MAX: u32 = 3;

/// Content codings stacked on one body.
pub const CODINGS_MAX: usize = 3;

/// Decoded bytes of one body, by default.
pub const DECODED_MAX_BYTES: u64 = 4 << 30;

/// Decoded bytes per encoded byte, by default (Apache mod_deflate: `DeflateInflateRatioLimit` 200).
pub const DECODED_RATIO_MAX: u64 = 200;

/// Decoded bytes that are not judged by ratio: a small body of zeros is no bomb.
pub const DECODED_FREE_BYTES: u64 = 1 << 20;

/// Largest zstd window accepted, in bytes (RFC 9659 section 3).
pub const ZSTD_WINDOW_MAX_BYTES: u64 = 8 << 20;

/// Largest zstd block, encoded or decoded, in bytes (RFC 8878 section 3.1.1.2.3).
pub const ZSTD_BLOCK_MAX_BYTES: usize = 128 << 10;

/// Detection rules in one [`Rules`](crate::pattern::Rules).
pub const RULES_MAX: usize = 256;

/// Length of one rule's regex, in bytes.
pub const RULE_REGEX_MAX_BYTES: usize = 512;

/// Longest match of one rule's regex, in bytes. It also keeps repeated searching linear.
pub const RULE_MATCH_MAX_BYTES: usize = 512;

/// Memory of one compiled rule set, in bytes.
pub const RULES_MEMORY_MAX_BYTES: usize = 16 << 20;

/// Distance from a keyword to the match that needs it, in bytes.
pub const KEYWORD_REACH_BYTES: usize = 128;

/// Keywords of one rule.
pub const RULE_KEYWORDS_MAX: usize = 16;

/// How far a finding is extended over the rest of its token, in bytes.
pub const FINDING_TAIL_MAX_BYTES: usize = 16 << 10;

/// Length of a placeholder, in bytes.
pub const SHAPE_MAX_BYTES: usize = 512;

/// Length of a shape's text, in bytes.
pub const SHAPE_TEXT_MAX_BYTES: usize = 512;
