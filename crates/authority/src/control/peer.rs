//! Who is at the other end of the socket.

use rustix::net::sockopt::socket_peercred;
use tokio::net::UnixStream;

/// A peer, as the kernel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// User id at the time of `connect`.
    pub uid: u32,
    /// Process id at the time of `connect`.
    pub pid: i32,
}

/// How many ancestors are looked at.
const ANCESTORS_MAX: usize = 64;

impl Peer {
    /// Asks the kernel.
    #[must_use]
    pub fn of(stream: &UnixStream) -> Option<Self> {
        let cred = socket_peercred(stream).ok()?;
        Some(Self { uid: cred.uid.as_raw(), pid: cred.pid.as_raw_nonzero().get() })
    }

    /// The session that this process says it is in, or one of its ancestors does. A courtesy and not a wall: a process
    /// can shed its environment and its parents.
    #[must_use]
    pub fn session(&self) -> Option<String> {
        let mut pid = self.pid;
        for _ in 0..ANCESTORS_MAX {
            if let Some(session) = session_of(pid) {
                return Some(session);
            }
            pid = parent_of(pid).filter(|p| *p > 1)?;
        }
        None
    }
}

fn session_of(pid: i32) -> Option<String> {
    let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value = environ.split(|b| *b == 0).find_map(|var| var.strip_prefix(b"MARQUE_SESSION="))?;
    String::from_utf8(value.to_vec()).ok()
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold spaces and brackets: what counts is behind the last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
