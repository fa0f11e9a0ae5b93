//! Every bound of the connection gate, in one place. Each is tested at n and n+1.

use std::time::Duration;

/// Connections of one session that are being made at once. One more fails with `EAGAIN`.
pub const CONNECTS_MAX: usize = 64;
/// Sockets with names that processes of one session have bound. The oldest name is forgotten for one more.
pub const BOUND_MAX: usize = 256;
/// Bytes of an address that are read (`sizeof(struct sockaddr_storage)`).
pub const ADDRESS_BYTES_MAX: usize = 128;
/// How far the clock of a file system may be behind (a tick is 10 ms at most).
pub const CLOCK_TICK: Duration = Duration::from_millis(10);
