//! Every bound of this crate, in one place. Each is tested at `n` and `n + 1` (I12).

use std::time::Duration;

/// Bytes of a request head (request line and header fields) over HTTP/1, and of a header list over HTTP/2.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields in one request.
pub const HEADER_FIELDS_MAX: usize = 100;
/// Bytes of one chunk-size line, extensions included (RFC 9112 section 7.1.1 lets a recipient limit them).
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Bytes of a request's trailer section.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Bytes that a client may send ahead of the answer to its CONNECT or upgrade.
pub const EARLY_BYTES_MAX: usize = 16 * 1024;
/// Requests in progress on one HTTP/2 connection.
pub const H2_STREAMS_MAX: u32 = 128;
/// Streams a client may make us reset before its connection is closed (CVE-2023-44487 and its kin).
pub const H2_LOCAL_RESETS_MAX: usize = 64;
/// Bytes of flow-control window per HTTP/2 stream: what one slow reader can make us hold.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Bytes of flow-control window per HTTP/2 connection.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// Bytes hyper may buffer for one HTTP/1 connection; at least a whole head.
pub const H1_BUFFER_BYTES_MAX: usize = 128 * 1024;

/// Bytes of a request body that are held, hashed and, if a human is asked, sent exactly as held (DESIGN section 5).
pub const HOLD_BYTES_MAX: usize = 1024 * 1024;
/// How long a body of unknown length may take to end before it counts as streamed.
pub const HOLD_WAIT: Duration = Duration::from_secs(5);
/// How long a body may take to end where its operation cannot be known without it.
pub const HOLD_WAIT_NEEDED: Duration = Duration::from_secs(60);
/// Bytes of an answer that is held: declared fields are swapped in it, or its scrub result is needed before its first byte.
pub const ANSWER_HOLD_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a request body on an `open` host (threats H15).
pub const OPEN_BODY_BYTES_MAX: u64 = 64 * 1024;

/// How long a client may take over one request head.
pub const HEAD_WAIT: Duration = Duration::from_secs(15);
/// How long a client may take over the TLS handshake inside its tunnel.
pub const TLS_ACCEPT_WAIT: Duration = Duration::from_secs(10);
/// How long a name may take to resolve.
pub const RESOLVE_WAIT: Duration = Duration::from_secs(5);
/// How long one address may take to accept a connection.
pub const DIAL_WAIT: Duration = Duration::from_secs(5);
/// How long the upstream's TLS handshake may take.
pub const TLS_DIAL_WAIT: Duration = Duration::from_secs(10);
/// Addresses of one name that are judged; a name with more is refused.
pub const ADDRESSES_MAX: usize = 32;
/// Addresses of one name that are dialled, in order.
pub const DIAL_TRIES_MAX: usize = 3;
/// How long the upstream may take to begin its answer after the whole request was sent.
pub const ANSWER_WAIT: Duration = Duration::from_secs(300);
/// How long a body may make no progress: long enough for server-sent events with rare heartbeats.
pub const BODY_IDLE: Duration = Duration::from_secs(600);
/// How long an idle upstream connection is kept; shorter than common servers keep theirs (nginx: 75 s).
pub const POOL_IDLE: Duration = Duration::from_secs(55);
/// Idle upstream connections per leaf and target.
pub const POOL_IDLE_PER_TARGET_MAX: usize = 32;
/// Targets per leaf that have idle upstream connections.
pub const POOL_TARGETS_MAX: usize = 256;

/// How long a request of the authority's own may take.
pub const FETCH_WAIT: Duration = Duration::from_secs(10);
/// Bytes of the answer to one.
pub const FETCH_BYTES_MAX: usize = 256 * 1024;

/// Refusals that one leaf gets at once.
pub const REFUSALS_BURST: u64 = 500;
/// Refusals a second that one leaf gets after that; the others wait for their turn.
pub const REFUSALS_PER_SECOND: u64 = 500;

/// Client connections of one listener at a time.
pub const CONNECTIONS_PER_LISTENER_MAX: usize = 1024;
/// Client connections of all listeners at a time, where the caller does not know better.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Listeners of one service.
pub const LISTENERS_MAX: usize = 4096;

/// Life of a leaf certificate; cut to the session's end.
pub const LEAF_LIFE_S: u64 = 24 * 3600;
/// How far a client's clock may lie behind ours.
pub const CLOCK_SKEW_S: u64 = 300;
/// Leaf certificates kept per session; the one longest unused goes first.
pub const LEAF_CERTIFICATES_MAX: usize = 256;
/// Names in the constraint of one session's intermediate.
pub const CONSTRAINT_NAMES_MAX: usize = 1024;

/// Bytes of a WebSocket or a pass-through tunnel in one direction, whatever the permit allows.
pub const UPGRADE_BYTES_MAX: u64 = 1 << 32;
/// Life of a WebSocket or a pass-through tunnel.
pub const UPGRADE_LIFE: Duration = Duration::from_secs(8 * 3600);
/// Bytes read at once from a spliced stream.
pub const SPLICE_BUFFER_BYTES: usize = 16 * 1024;

/// How long in-flight requests have to finish once draining began.
pub const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// How long the accept loop rests after an error such as a full descriptor table.
pub const ACCEPT_REST: Duration = Duration::from_millis(50);
