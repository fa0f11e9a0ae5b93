//! The parent's side of a start: makes the child, answers its handshake, and stays with it until nothing is left.

use crate::cgroup::Cgroup;
use crate::child::{Ends, Message, Prepared, Tag, receive, run, send};
use crate::error::{SpawnError, Step, errno_of};
use crate::identity;
use crate::limits::STEP_WAIT;
use crate::sys::process::clone;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::any::Any;
use std::ffi::CStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A child that is being started, or runs. Dropping it ends it, and everything in its namespaces, and waits for that.
pub(crate) struct Child {
    pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) report: OwnedFd,
    cgroup: Option<Cgroup>,
    reaped: bool,
}

/// The parent's and the child's ends.
pub(crate) struct Channels {
    pub(crate) report: (OwnedFd, OwnedFd),
    pub(crate) requests: (OwnedFd, OwnedFd),
}

/// Sockets that were made inside.
#[derive(Default)]
pub(crate) struct Sockets {
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) six: bool,
}

impl Channels {
    pub(crate) fn new() -> Result<Self, SpawnError> {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let failed = |errno| SpawnError::new(Step::Prepare, errno);
        Ok(Self { report: pair().map_err(failed)?, requests: pair().map_err(failed)? })
    }
}

const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

fn make(prepared: &mut Prepared, ends: Ends, cgroup: Option<&OwnedFd>) -> Result<(Pid, OwnedFd), Errno> {
    // SAFETY: `child::run` and what it calls allocate nothing, take no lock and use what was prepared.
    #[allow(unsafe_code)]
    unsafe {
        clone(NAMESPACES, cgroup.map(AsFd::as_fd), || run(prepared, ends))
    }
}

impl Child {
    /// Makes the child. It lives no longer than the calling thread. Returns the parent's end for requests too.
    pub(crate) fn make(prepared: &mut Prepared, channels: Channels) -> Result<(Self, OwnedFd), SpawnError> {
        let Channels { report: (report, childs_report), requests: (requests, childs_requests) } = channels;
        let ends = Ends {
            report: childs_report.as_raw_fd(),
            requests: childs_requests.as_raw_fd(),
        };
        let hooks = prepared.hook.as_ref().map(|hook| hook.keeps()).unwrap_or_default();
        prepared.kept = prepared.descriptors.iter().map(|(from, _)| *from).chain([ends.report, ends.requests]).chain(hooks).collect();
        prepared.kept.sort_unstable();
        let (mut cgroup, directory) = Cgroup::make(prepared.processes).unzip();
        let mut made = make(prepared, ends, directory.as_ref());
        if cgroup.is_some() && made.is_err() {
            // A cgroup that may be made is not always one that may be entered. The pid namespace ends everything without it.
            cgroup = None;
            made = make(prepared, ends, None);
        }
        let (pid, pidfd) = made.map_err(|errno| SpawnError::new(Step::Namespaces, errno))?;
        Ok((Self { pid, pidfd, report, cgroup, reaped: false }, requests))
    }

    /// Gives the child its identity; takes its sockets.
    pub(crate) fn settle(&mut self, prepared: &Prepared) -> Result<Sockets, SpawnError> {
        self.expect(prepared, Tag::Up, drop)?;
        identity::map(self.pid).map_err(|e| SpawnError::io(Step::Identity, &e))?;
        self.go()?;
        let mut out = Sockets::default();
        let message = self.expect(prepared, Tag::Sockets, |fd| out.fds.push(fd))?;
        out.six = message.value != 0;
        Ok(out)
    }

    /// Waits until the agent is ready to execute: its pidfd, and what its hook gave.
    pub(crate) fn ready(&mut self, prepared: &Prepared) -> Result<(OwnedFd, Vec<OwnedFd>), SpawnError> {
        let mut fds = Vec::new();
        self.expect(prepared, Tag::Ready, |fd| fds.push(fd))?;
        if fds.is_empty() {
            return Err(SpawnError::new(Step::Hand, Errno::BADMSG));
        }
        let agent = fds.remove(0);
        Ok((agent, fds))
    }

    /// Installs what the hook needs on this side.
    pub(crate) fn hooked(prepared: &mut Prepared, given: Vec<OwnedFd>, agent: &OwnedFd) -> Result<Option<Box<dyn Any + Send>>, SpawnError> {
        let Some(hook) = &mut prepared.hook else { return Ok(None) };
        hook.in_supervisor(given, agent.as_fd()).map(Some).map_err(|e| SpawnError::io(Step::Hook, &e))
    }

    /// Lets the child go on.
    pub(crate) fn go(&self) -> Result<(), SpawnError> {
        send(&self.report, Message::new(Tag::Go, 0), &[]).map_err(|errno| SpawnError::new(Step::Lost, errno))
    }

    fn expect(&self, prepared: &Prepared, tag: Tag, take: impl FnMut(OwnedFd)) -> Result<Message, SpawnError> {
        match receive(&self.report, Some(STEP_WAIT), take) {
            Ok(Some(message)) if message.tag == tag => Ok(message),
            Ok(Some(message)) => Err(failure(&message, prepared)),
            Ok(None) => Err(SpawnError::new(Step::Lost, Errno::PIPE)),
            Err(errno) => Err(SpawnError::new(Step::Lost, errno)),
        }
    }

    /// The next message of a child that runs; none when it has ended. A copy of its end of the channel may be, for a moment, with
    /// another child of this process: its end alone would come late.
    pub(crate) fn next(&self) -> Option<Message> {
        loop {
            let mut fds = [PollFd::new(&self.report, PollFlags::IN), PollFd::new(&self.pidfd, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                Err(_) => return None,
                Ok(_) => {}
            }
            let [report, _] = fds;
            if report.revents().is_empty() {
                return None;
            }
            return receive(&self.report, None, drop).ok().flatten();
        }
    }

    /// Ends everything in the sandbox.
    pub(crate) fn kill(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
        // Gone already is as good.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits until nothing is left of it: the kernel lets its first process end after all others.
    pub(crate) fn reap(&mut self) {
        while !self.reaped {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) => {}
                // Somebody else's business, where the process does not wait for its children at all.
                _ => self.reaped = true,
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.reap();
        }
    }
}

/// What the child said, with the path that it was about.
pub(crate) fn failure(message: &Message, prepared: &Prepared) -> SpawnError {
    let Some(failed) = message.failure() else { return SpawnError::new(Step::Lost, Errno::BADMSG) };
    let index = failed.index as usize;
    let stage = &prepared.stage;
    let path = |text: &CStr| PathBuf::from(std::ffi::OsStr::from_bytes(text.to_bytes()));
    let absolute = |text: &CStr| PathBuf::from("/").join(path(text));
    let about = match failed.step {
        Step::Source => stage.sources.get(index).map(|source| path(source)),
        Step::Skeleton | Step::Mount | Step::Proc | Step::Limits => stage.ops.get(index).map(|op| absolute(op.at())),
        Step::Landlock => stage.rules.get(index).map(|rule| path(&rule.at)),
        Step::Listen => Some(PathBuf::from(format!("port {index}"))),
        Step::Directory => Some(path(&prepared.directory)),
        Step::Execute => Some(path(&prepared.program)),
        _ => None,
    };
    SpawnError { step: failed.step, errno: failed.errno, about }
}

pub(crate) fn thread_failed(error: &std::io::Error) -> SpawnError {
    SpawnError::new(Step::Prepare, errno_of(error))
}
