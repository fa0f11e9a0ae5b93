//! Every bound of this crate, in one place.

use std::time::Duration;

/// Connections at once; one over it is closed.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to send a request and take the answer.
pub const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// Longest request body, in bytes: proof lines and a note. What is longer is no request.
pub const REQUEST_BYTES_MAX: usize = marque_journal::witness::MAX_REQUEST_BYTES;
/// Longest answer that is read, in bytes.
pub const ANSWER_BYTES_MAX: usize = marque_journal::limits::MAX_NOTE_BYTES;
/// How long a log waits for a witness's answer, connecting included.
pub const ASK_WAIT: Duration = Duration::from_secs(2);
/// Most logs of one witness.
pub const LOGS_MAX: usize = 1_000;
