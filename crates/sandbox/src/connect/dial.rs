//! The way to the gateway, which is the caller's of this crate.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

/// Who wants a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Its thread, in the supervisor's process-id namespace: for finding out which exec it belongs to, not for deciding.
    pub tid: i32,
    /// Its socket is one of IPv6.
    pub v6: bool,
}

/// Makes connections to the gateway.
pub trait Dial: Send + Sync {
    /// Connects to the gateway and tells it that `to` is meant, before anything else is written. The socket must be a TCP socket
    /// of the caller's family, or the caller sees another one than it made.
    ///
    /// # Errors
    /// The error number that the caller sees.
    fn dial(&self, caller: Caller, to: SocketAddr) -> Result<OwnedFd, i32>;
}
