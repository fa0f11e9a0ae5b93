//! Every bound of this crate, in one place. Each is tested at `n` and `n + 1`.

/// Deepest `del_depth` a verifier accepts unless told otherwise: four delegations below link 0.
pub const DEFAULT_MAX_DEPTH: u8 = 4;
/// Deepest `del_depth` there can be. A larger `Rules::max_depth` is cut to this.
pub const HARD_MAX_DEPTH: u8 = 10;
/// Bytes of compact link 0. It is larger than the others because a session may list many grants.
pub const MAX_ROOT_LINK_BYTES: usize = 16 * 1024;
/// Bytes of a compact link below link 0. Ten of them must still pass as a request body.
pub const MAX_LINK_BYTES: usize = 4 * 1024;
/// Bytes of a compact proof of possession.
pub const MAX_PROOF_BYTES: usize = 4 * 1024;
/// Bytes of a decoded JOSE header.
pub const MAX_HEADER_BYTES: usize = 128;
/// Nesting of any JSON this crate parses; a scalar has depth 0.
pub const MAX_JSON_DEPTH: usize = 8;
/// Largest integer that every JSON implementation reads exactly (RFC 7493 section 2.2).
pub const MAX_JSON_INT: u64 = (1 << 53) - 1;
/// Public keys a verifier tries for link 0.
pub const MAX_ROOTS: usize = 16;
/// Seconds an `iat` may lie in the verifier's future.
pub const MAX_SKEW_S: u64 = 30;
/// Seconds between `iat` and `exp` of a link: what re-attestation is for lies beyond.
pub const MAX_LIFETIME_S: u64 = 12 * 3600;

/// Grants in one link.
pub const MAX_GRANTS: usize = 32;
/// Entries in one list of a grant.
pub const MAX_ENTRIES: usize = 32;
/// Bytes of one path, action or resource pattern.
pub const MAX_PATTERN_BYTES: usize = 256;
/// Segments of one path, action or resource pattern.
pub const MAX_SEGMENTS: usize = 32;
/// Bytes of a path or a resource in a use; longer ones are permitted by no grant.
pub const MAX_USE_BYTES: usize = 8 * 1024;
/// Bytes of an origin.
pub const MAX_ORIGIN_BYTES: usize = 270;
/// Bytes of an HTTP method.
pub const MAX_METHOD_BYTES: usize = 24;
/// Bytes of an environment or service name.
pub const MAX_NAME_BYTES: usize = 64;

/// Entries of `aud`.
pub const MAX_AUDIENCES: usize = 8;
/// Bytes of an issuer, audience, agent id or status URI.
pub const MAX_URI_BYTES: usize = 256;
/// Bytes of a text shown to people.
pub const MAX_TEXT_BYTES: usize = 128;
/// Bytes of one base64url member of a passkey assertion.
pub const MAX_ASSERTION_BYTES: usize = 2 * 1024;
/// Fewest characters of a `jti`: less cannot hold 96 random bits.
pub const MIN_JTI_BYTES: usize = 16;
/// Most characters of a `jti`.
pub const MAX_JTI_BYTES: usize = 64;
