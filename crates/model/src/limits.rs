//! Every bound of this crate, in one place. Each is tested at n and n+1.

/// Longest host name in bytes (RFC 1035 section 2.3.4: 255 octets on the wire, 253 as text).
pub const HOST_BYTES_MAX: usize = 253;
/// Longest canonical resource name in bytes.
pub const RESOURCE_BYTES_MAX: usize = 1024;
/// Most decided attributes on one action.
pub const ATTRIBUTES_MAX: usize = 32;
/// Longest name (service, operation, environment, agent) in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Most links in one session tree: a bound on what one session can make the fold remember.
pub const LINKS_PER_SESSION_MAX: usize = 4096;
/// Most questions a session tree may have open at once (threats H19).
pub const ASKS_OPEN_PER_SESSION_MAX: usize = 8;
/// Most uses of one session that may be admitted and not yet settled.
pub const USES_OPEN_PER_SESSION_MAX: usize = 1024;
/// Longest session in milliseconds: 8 hours (DESIGN section 4).
pub const SESSION_MS_MAX: u64 = 8 * 3_600_000;
/// Session lifetime where nobody said another: 60 minutes.
pub const SESSION_MS_DEFAULT: u64 = 3_600_000;
/// Bytes of journal that one session may cause before it is ended (threats H18).
pub const SESSION_JOURNAL_BYTES_MAX: u64 = 256 << 20;
/// Leaf life where nobody said another: 15 minutes (DESIGN section 4).
pub const LEAF_MS_DEFAULT: u64 = 15 * 60_000;
/// How long a late approval may be spent: 10 minutes (threats H20).
pub const APPROVAL_MS_DEFAULT: u64 = 10 * 60_000;
/// Most links in one chain: link 0 and `marque_chain::limits::HARD_MAX_DEPTH` delegations.
pub const CHAIN_LINKS_MAX: usize = marque_chain::limits::HARD_MAX_DEPTH as usize + 1;
/// Most entries of the environment registry.
pub const REGISTRY_ENTRIES_MAX: usize = 1024;
/// Longest resource pattern of the environment registry, in bytes.
pub const REGISTRY_NAME_BYTES_MAX: usize = 512;
