//! Answers `connect` and `bind`.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Scope;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, getpeername, sockopt};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::address::{self, Address};
use super::limits::{ADDRESS_BYTES_MAX, CONNECTS_MAX};
use super::unix::Bound;
use super::{Caller, Dial, options};
use crate::exec::memory::Memory;
use crate::exec::{Listener, Notification};

/// The connections of one session.
pub struct Exchange {
    dial: Arc<dyn Dial>,
    bound: Bound,
    busy: AtomicUsize,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Exchange")
    }
}

/// What the caller is told.
enum Told {
    /// Its call returns 0.
    Done,
    /// Its call runs: it can do nothing that matters.
    Runs,
    /// Its call fails.
    Fails(i32),
}

impl Exchange {
    /// Connections by this way to the gateway.
    #[must_use]
    pub fn new(dial: Arc<dyn Dial>) -> Self {
        Self { dial, bound: Bound::default(), busy: AtomicUsize::new(0) }
    }

    /// Takes a call, and answers it here or on a thread of its own.
    pub(crate) fn take<'s>(&'s self, listener: &'s Listener, call: &Notification, threads: &'s Scope<'s, '_>) {
        let call = *call;
        if call.nr == libc::SYS_bind {
            return tell(listener, call.id, self.bind(listener, &call));
        }
        if self.busy.fetch_add(1, Ordering::Relaxed) >= CONNECTS_MAX {
            self.busy.fetch_sub(1, Ordering::Relaxed);
            return tell(listener, call.id, Told::Fails(libc::EAGAIN));
        }
        let worker = std::thread::Builder::new().name("connect".into()).spawn_scoped(threads, move || {
            tell(listener, call.id, self.connect(listener, &call));
            self.busy.fetch_sub(1, Ordering::Relaxed);
        });
        if worker.is_err() {
            self.busy.fetch_sub(1, Ordering::Relaxed);
            tell(listener, call.id, Told::Fails(libc::EAGAIN));
        }
    }

    fn bind(&self, listener: &Listener, call: &Notification) -> Told {
        let Some((place, address)) = target(call) else { return Told::Fails(libc::EFAULT) };
        let Address::Path(path) = address else {
            // Whatever it is by the time the kernel reads it: a name that is bound unseen is one that nobody here connects to.
            return Told::Runs;
        };
        let Ok(socket) = socket(call.tid, place) else { return Told::Fails(libc::EBADF) };
        if !listener.valid(call.id) {
            return Told::Fails(libc::EPERM);
        }
        outcome(self.bound.bind(call.tid, socket.as_fd(), &path))
    }

    fn connect(&self, listener: &Listener, call: &Notification) -> Told {
        let Some((place, address)) = target(call) else { return Told::Fails(libc::EFAULT) };
        let socket = match socket(call.tid, place) {
            Ok(socket) if listener.valid(call.id) => socket,
            Ok(_) => return Told::Fails(libc::EPERM),
            Err(_) => return Told::Fails(libc::EBADF),
        };
        match address {
            Address::Inet(to) => self.inet(listener, call, place, &socket, to).unwrap_or_else(Told::Fails),
            Address::Path(path) => outcome(self.bound.connect(call.tid, socket.as_fd(), &path)),
            Address::Abstract => Told::Fails(libc::EACCES),
            Address::Other => Told::Fails(libc::EAFNOSUPPORT),
        }
    }

    fn inet(&self, listener: &Listener, call: &Notification, place: i32, own: &OwnedFd, to: SocketAddr) -> Result<Told, i32> {
        let family = sockopt::socket_domain(own).map_err(Errno::raw_os_error)?;
        let v6 = family == AddressFamily::INET6;
        if !(v6 || family == AddressFamily::INET) || sockopt::socket_type(own) != Ok(SocketType::STREAM) {
            return Err(libc::EAFNOSUPPORT);
        }
        if getpeername(own).is_ok() {
            return Err(libc::EISCONN);
        }
        let close_on_exec = close_on_exec(call.tid, place);
        let new = self.dial.dial(Caller { tid: call.tid, v6 }, to)?;
        options::copy(own.as_fd(), new.as_fd());
        listener
            .replace(call.id, new.as_fd(), place, close_on_exec)
            .map_err(|error| error.raw_os_error().unwrap_or(libc::EACCES))?;
        Ok(Told::Done)
    }
}

fn outcome(result: Result<(), Errno>) -> Told {
    match result {
        Ok(()) => Told::Done,
        Err(error) => Told::Fails(error.raw_os_error()),
    }
}

fn tell(listener: &Listener, id: u64, told: Told) {
    let _gone = match told {
        Told::Done => listener.succeed(id),
        Told::Runs => listener.allow(id),
        Told::Fails(errno) => listener.fail(id, errno),
    };
}

/// The descriptor and the address of a call.
fn target(call: &Notification) -> Option<(i32, Address)> {
    let [place, at, len, ..] = call.args;
    // Descriptor and length are 32-bit values in 64-bit registers.
    let len = usize::try_from(len as i32).ok()?.min(ADDRESS_BYTES_MAX);
    let bytes = Memory::open(call.tid).ok()?.bytes(at, len).ok()?;
    Some((place as i32, address::read(&bytes)))
}

/// The caller's socket itself.
fn socket(tid: i32, place: i32) -> Result<OwnedFd, Errno> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).map_err(|_| Errno::SRCH)?;
    let pid = status.lines().find_map(|line| line.strip_prefix("Tgid:")).and_then(|pid| pid.trim().parse().ok());
    let process = pidfd_open(pid.and_then(Pid::from_raw).ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
    pidfd_getfd(&process, place, PidfdGetfdFlags::empty())
}

fn close_on_exec(tid: i32, place: i32) -> bool {
    let info = std::fs::read_to_string(format!("/proc/{tid}/fdinfo/{place}")).unwrap_or_default();
    let flags =
        info.lines().find_map(|line| line.strip_prefix("flags:")).and_then(|flags| i32::from_str_radix(flags.trim(), 8).ok());
    flags.is_none_or(|flags| flags & libc::O_CLOEXEC != 0)
}
