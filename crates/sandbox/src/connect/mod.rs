//! # The connection gate
//!
//! Where there is no network namespace, connections are judged by the same listener as execs. The supervisor reads where a call
//! to `connect` wants to go, dials the gateway itself, says there on whose behalf, and puts the new socket in the place of the
//! caller's. The caller's own call never runs, so that nothing that another thread writes in between matters; and the caller
//! has the socket only once the gateway knows where it leads, so that nothing can be said before that.
//!
//! Whatever could send without `connect` is refused by the filter: sockets other than TCP and unix streams, and TCP's fast open.
//! With those gone, the address argument of `sendto` and `sendmsg` means nothing to any socket that is left but the routing
//! table's, and neither call has to be judged.
//!
//! Unix sockets with a name can be connected to where a process of the session bound them; the supervisor binds on its behalf, to
//! know the inode. All others, and those without a name in the file system, are refused.

mod address;
mod dial;
mod exchange;
pub mod limits;
mod options;
mod unix;

pub use dial::{Caller, Dial};
pub use exchange::Exchange;

use crate::bpf::{Action, Rule};

const ALLOW: Rule = Rule::Is(Action::Allow);
const EACCES: Rule = Rule::Is(Action::Errno(13));
const EPROTONOSUPPORT: Rule = Rule::Is(Action::Errno(93));
const EOPNOTSUPP: Action = Action::Errno(95);

/// `SOCK_TYPE_MASK`: what is above are flags.
const TYPE: u32 = 0xf;
const STREAM: u32 = libc::SOCK_STREAM as u32;
const SEQPACKET: u32 = libc::SOCK_SEQPACKET as u32;
const UNIX: u32 = libc::AF_UNIX as u32;
const INET: u32 = libc::AF_INET as u32;
const INET6: u32 = libc::AF_INET6 as u32;
const TCP: u32 = libc::IPPROTO_TCP as u32;
const FASTOPEN: u32 = libc::MSG_FASTOPEN as u32;

/// Rules of the notifying filter, beside those of the exec gate.
pub(crate) fn rules() -> Vec<(libc::c_long, Rule)> {
    let tcp = Rule::when(1, TYPE, &[STREAM], Rule::when(2, u32::MAX, &[0, TCP], ALLOW, EPROTONOSUPPORT), EACCES);
    let unix = Rule::when(1, TYPE, &[STREAM, SEQPACKET], ALLOW, EACCES);
    // Other families are the deny list's.
    let others = Rule::when(0, u32::MAX, &[UNIX], unix.clone(), ALLOW);
    vec![
        (libc::SYS_connect, Rule::Is(Action::Notify)),
        (libc::SYS_bind, Rule::Is(Action::Notify)),
        (libc::SYS_socket, Rule::when(0, u32::MAX, &[INET, INET6], tcp, others)),
        (libc::SYS_socketpair, unix),
        (libc::SYS_sendto, Rule::when_any(3, FASTOPEN, EOPNOTSUPP)),
        (libc::SYS_sendmsg, Rule::when_any(2, FASTOPEN, EOPNOTSUPP)),
        (libc::SYS_sendmmsg, Rule::when_any(3, FASTOPEN, EOPNOTSUPP)),
    ]
}
