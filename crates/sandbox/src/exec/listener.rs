//! The supervisor's end of the notifying filter: system calls of the session arrive here and wait for an answer.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

use crate::sys::seccomp;

/// A system call that waits for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Notification {
    /// Names it at this listener.
    pub id: u64,
    /// The thread, in the process-id namespace of the supervisor.
    pub tid: i32,
    /// Number of the system call.
    pub nr: i64,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What came of waiting.
#[derive(Debug)]
pub enum Received {
    /// A system call to judge.
    Call(Notification),
    /// No process has the filter any more, and none will.
    Over,
    /// The supervisor was told to stop.
    Stopped,
}

/// The listener of one session. Its descriptor in no other process keeps a session going after its supervisor died: once it is
/// closed, every call that the filter names fails with ENOSYS.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    /// One thread waits at a time. The others wait for it here, because a thread that waits in the kernel cannot be told that
    /// there is nothing to wait for any more.
    turn: Mutex<()>,
}

impl Listener {
    /// Takes over a listener's descriptor.
    ///
    /// # Errors
    /// When the kernel's structures are longer than those this was compiled with.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        if !seccomp::sizes_fit()? {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let listener = Self { fd, turn: Mutex::new(()) };
        // Without it all is slower, no more.
        let _slower = seccomp::wake_in_place(listener.fd.as_fd());
        Ok(listener)
    }

    /// Waits for the next system call, or for `stop` to become readable.
    ///
    /// # Errors
    /// Those of poll and of the ioctl that do not mean that a caller is gone.
    pub fn receive(&self, stop: BorrowedFd<'_>) -> io::Result<Received> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN), PollFd::from_borrowed_fd(stop, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let [calls, stopped] = fds.map(|fd| fd.revents());
            if !stopped.is_empty() {
                return Ok(Received::Stopped);
            }
            if calls.contains(PollFlags::IN) {
                match self.take() {
                    Ok(call) => return Ok(Received::Call(call)),
                    // The caller was killed in between.
                    Err(Errno::NOENT | Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            if calls.intersects(PollFlags::HUP | PollFlags::ERR) {
                return Ok(Received::Over);
            }
        }
    }

    fn take(&self) -> Result<Notification, Errno> {
        let got = seccomp::receive(self.fd.as_fd())?;
        Ok(Notification {
            id: got.id,
            // Zero is a thread outside this process-id namespace: nothing about it can be read, so it is refused later.
            tid: i32::try_from(got.pid).unwrap_or(0),
            nr: i64::from(got.data.nr),
            args: got.data.args,
        })
    }

    /// Whether the caller still waits: what was read about its thread id was read about it.
    #[must_use]
    pub fn valid(&self, id: u64) -> bool {
        seccomp::id_valid(self.fd.as_fd(), id).is_ok()
    }

    /// Lets the call run, with the arguments that it has then: for an exec that is verified afterwards, and for nothing else.
    /// False if the caller is gone.
    #[must_use]
    pub fn allow(&self, id: u64) -> bool {
        let flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).unwrap_or(1);
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags })
    }

    /// The call fails with `errno`. False if the caller is gone.
    pub fn fail(&self, id: u64, errno: i32) -> bool {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: -errno.abs().max(1), flags: 0 })
    }

    /// The call returns 0 without having run. False if the caller is gone.
    pub fn succeed(&self, id: u64) -> bool {
        self.send(libc::seccomp_notif_resp { id, val: 0, error: 0, flags: 0 })
    }

    fn send(&self, answer: libc::seccomp_notif_resp) -> bool {
        seccomp::answer(self.fd.as_fd(), &answer).is_ok()
    }

    /// Puts `fd` in the place of the caller's descriptor `place`.
    ///
    /// # Errors
    /// When the caller is gone, or has no room.
    pub fn replace(&self, id: u64, fd: BorrowedFd<'_>, place: RawFd, close_on_exec: bool) -> io::Result<()> {
        let request = libc::seccomp_notif_addfd {
            id,
            flags: u32::try_from(libc::SECCOMP_ADDFD_FLAG_SETFD).unwrap_or(1),
            srcfd: u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX),
            newfd: u32::try_from(place).map_err(|_| io::ErrorKind::InvalidInput)?,
            newfd_flags: if close_on_exec { u32::try_from(libc::O_CLOEXEC).unwrap_or(0) } else { 0 },
        };
        Ok(seccomp::add_descriptor(self.fd.as_fd(), &request)?)
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
