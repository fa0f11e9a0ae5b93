//! Every bound of the modules `profile`, `git` and `graphql`, in one place. Each is tested at `n` and `n + 1`.

/// Bytes of a profile's text.
pub const PROFILE_BYTES_MAX: usize = 256 * 1024;
/// Operations of one profile: a request is compared with each of them.
pub const OPS_MAX: usize = 256;
/// Matchers of one operation.
pub const MATCHES_MAX: usize = 128;
/// Segments of a path that a profile judges.
pub const PATH_SEGMENTS_MAX: usize = 64;
/// Bytes of a path that a profile judges.
pub const PATH_BYTES_MAX: usize = 8 * 1024;
/// Query parameters, and members of a form, of a request that a profile judges.
pub const PARAMETERS_MAX: usize = 512;
/// Nesting of a JSON body that carries meaning; a scalar has depth 0.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes held of a body whose operation names no `hold` of its own.
pub const HOLD_BYTES_DEFAULT: usize = 1024 * 1024;
/// Bytes an operation may ask to be held.
pub const HOLD_BYTES_MAX: usize = crate::limits::BODY_HOLD_BYTES_MAX;

/// Data bytes of one pkt-line (gitprotocol-common: `pkt-len` is at most 65520 with its own four).
pub const PKT_DATA_BYTES_MAX: usize = 65_516;
/// Ref commands of one push.
pub const REF_COMMANDS_MAX: usize = 1_000;
/// Bytes of the command section of one push, up to and with its last flush packet.
pub const COMMANDS_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a ref name.
pub const REF_BYTES_MAX: usize = 1024;

/// Bytes of a GraphQL request body.
pub const GRAPHQL_BYTES_MAX: usize = 512 * 1024;
/// Tokens of a GraphQL document.
pub const GRAPHQL_TOKENS_MAX: usize = 16_384;
/// Nesting of selections and values of a GraphQL document.
pub const GRAPHQL_DEPTH_MAX: usize = 48;
