//! A command whose execs are judged, with no sandbox around it: what is left where the kernel allows no namespaces.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::gate::{Ended, ExecGate, Handle, Settings};
use super::handoff::{prepare, receive, surrender};
use super::judge::Judge;

/// A command that runs, and its gate.
#[derive(Debug)]
pub struct Judged {
    child: Child,
    pidfd: OwnedFd,
    handle: Handle,
    gate: JoinHandle<io::Result<Ended>>,
}

/// Starts a command whose every exec comes before `judge`, its own first; with connections in the settings, these too. Returns
/// when it executes. Nothing ends what it leaves behind, and it sees all files of its user.
///
/// # Errors
/// When it may not start, or the kernel has no filters that notify.
pub fn start(mut command: Command, settings: Settings, judge: Arc<dyn Judge>) -> io::Result<Judged> {
    let (notifying, denied) = settings.filters()?;
    let (ours, theirs) = UnixStream::pair()?;
    prepare(&ours)?;
    // SAFETY: both calls are made for this place: they allocate nothing and take no lock.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            surrender(&notifying, theirs.as_fd())?;
            Ok(denied.install()?)
        })
    };
    let gate = ExecGate::new(settings)?;
    let handle = gate.handle();
    let running = std::thread::Builder::new().name("exec-gate".into()).spawn(move || {
        let ended = receive(&ours).and_then(|listener| gate.run(listener, &*judge));
        judge.ended(&ended);
        ended
    })?;
    let child = command.spawn();
    // With it goes the child's end of the socket, for which the thread would wait if there is no child.
    drop(command);
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            // Why the child failed says more than that it did not come.
            drop(running.join());
            return Err(error);
        }
    };
    match pidfd(&child) {
        Ok(pidfd) => Ok(Judged { child, pidfd, handle, gate: running }),
        Err(error) => {
            handle.stop();
            // One that has ended needs no end.
            drop(child.kill());
            Err(error)
        }
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

impl Judged {
    /// Speaks to the gate.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Readable when the command has ended.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The command, for its pipes. [`Self::wait`] waits for it, and not this: its stops are the gate's.
    pub const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until the command has ended, by its pidfd.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], None) {
                Ok(_) => return self.child.wait(),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until whatever the command started has ended too, and with it the gate.
    ///
    /// # Errors
    /// When the command cannot be waited for, or the gate's listener failed.
    pub fn finish(mut self) -> io::Result<(ExitStatus, Ended)> {
        let status = self.wait()?;
        let ended = self.gate.join().map_err(|_| io::ErrorKind::Other)??;
        Ok((status, ended))
    }
}
