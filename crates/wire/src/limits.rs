//! Every bound of this crate, in one place. Each is tested at n and n+1.

// ── http ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Most header lines of one request.
pub const HEADERS_MAX: usize = 100;
/// Most bytes of header names and values of one request, counted as RFC 9113 section 6.5.2 does: 32 more per line.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What RFC 9113 section 6.5.2 adds for each header line, in bytes.
pub const HEADER_LINE_OVERHEAD_BYTES: usize = 32;
/// Longest request target (path and query) in bytes.
pub const TARGET_BYTES_MAX: usize = 16 * 1024;
/// Longest method in bytes (`VERSION-CONTROL` has 15).
pub const METHOD_BYTES_MAX: usize = 24;
/// Most decimal digits of a `Content-Length`: 18 always fit into 64 bits, signed or not.
pub const CONTENT_LENGTH_DIGITS_MAX: usize = 18;
/// Longest path that is read, in bytes.
pub const PATH_BYTES_MAX: usize = 8 * 1024;
/// Most segments of a path that is read.
pub const PATH_SEGMENTS_MAX: usize = 128;
/// Most parameters of a query or form that is read.
pub const QUERY_PAIRS_MAX: usize = 256;
/// Longest body that is held: to be asked about, read for its meaning, or given a credential. In bytes.
pub const BODY_HOLD_BYTES_MAX: usize = 4 << 20;

// ── WebSocket ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Longest payload of one frame in bytes.
pub const WS_FRAME_BYTES_MAX: u64 = 16 << 20;
/// Payload bytes of a data frame that are gathered before they are scrubbed and passed on: a shorter frame stays one
/// frame, a longer one becomes several.
pub const WS_GATHER_BYTES_MAX: usize = 64 * 1024;
/// Longest payload of a control frame in bytes (RFC 6455 section 5.5).
pub const WS_CONTROL_BYTES_MAX: usize = 125;
/// Most subprotocols that a handshake may offer.
pub const WS_PROTOCOLS_MAX: usize = 32;

// ── addresses ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Most addresses of one name that are judged.
pub const ADDRESSES_MAX: usize = 64;

// ── credentials and answers ───────────────────────────────────────────────────────────────────────────────────────

/// Longest secret that is placed, in bytes.
pub const SECRET_BYTES_MAX: usize = 32 * 1024;
/// Longest placement, slot or answer field as a profile writes it, in bytes.
pub const PLACEMENT_BYTES_MAX: usize = 256;
/// Most steps of a pointer into a JSON body.
pub const POINTER_STEPS_MAX: usize = 16;
/// Most values that a pointer with `*` may name in one body.
pub const POINTER_HITS_MAX: usize = 1024;
/// Longest answer body in which fields are swapped, in bytes.
pub const ANSWER_HOLD_BYTES_MAX: usize = 8 << 20;
/// Most answer fields of one profile that are looked for in one answer.
pub const ANSWER_FIELDS_MAX: usize = 64;
/// Most `Set-Cookie` lines of one answer.
pub const SET_COOKIES_MAX: usize = 64;
