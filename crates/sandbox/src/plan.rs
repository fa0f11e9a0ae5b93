//! What a sandbox is to be: values that the caller fills in.

use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use std::any::Any;
use std::ffi::OsString;
use std::path::PathBuf;

/// Everything that a sandbox needs to know.
#[derive(Default)]
pub struct Plan {
    /// The program: an absolute path that the sandbox shows (see [`crate::find_program`]).
    pub program: PathBuf,
    /// Its arguments, the name it is called by first.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The directory it starts in.
    pub directory: PathBuf,
    /// Its descriptors by number. Of 0, 1 and 2, those that are missing are `/dev/null`.
    pub descriptors: Vec<(i32, OwnedFd)>,
    /// Number of a descriptor that is a terminal of the agent's own, which it then controls: job control, and keys that send signals.
    pub terminal: Option<i32>,
    /// What its network is.
    pub network: Network,
    /// What it sees.
    pub files: Files,
    /// Most processes and threads; 0 means [`crate::limits::PROCESSES`].
    pub processes: u32,
    /// Whether the agent may make user namespaces, for sandboxes of its own. It widens what it can reach of the kernel.
    pub nested: bool,
    /// What is installed just before the agent starts.
    pub hook: Option<Box<dyn Hook>>,
}

/// The sandbox's network: a loopback interface, to which every address leads.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// TCP ports on which the gateway listens inside, for every address. The agent cannot listen on these itself.
    pub ports: Vec<u16>,
    /// Whether names are answered: sockets on port 53, and a `resolv.conf` that leads there.
    pub dns: bool,
}

/// What the agent sees of the file system. Everything that is not named is not there: of a home, only what [`crate::files`]
/// lists as tools.
#[derive(Debug, Clone, Default)]
pub struct Files {
    /// The home: an empty one of the session's own is there instead.
    pub home: PathBuf,
    /// Where the agent works, writable.
    pub workspace: Workspace,
    /// Further paths that are shown, read-only.
    pub shown: Vec<PathBuf>,
    /// Further paths that are writable: the agent's own state.
    pub writable: Vec<PathBuf>,
    /// Paths that are hidden although what they lie in is shown. One that does not exist is not hidden.
    pub hidden: Vec<PathBuf>,
    /// Bytes that the agent reads instead of a file, absolute or relative to the workspace.
    pub overlays: Vec<(PathBuf, Vec<u8>)>,
    /// Certificates that are laid over every file of roots that is found: the system's and the session's.
    pub trust: Option<Vec<u8>>,
    /// Further files of roots, such as certifi's.
    pub trust_files: Vec<PathBuf>,
    /// Paths of the workspace that the agent cannot change; see [`crate::files::protected_by_default`].
    pub protected: Vec<Protected>,
}

/// Where the agent works.
#[derive(Debug, Clone, Default)]
pub struct Workspace {
    /// The path at which the agent sees it.
    pub at: PathBuf,
    /// What is there: the same path, or a copy of it.
    pub from: PathBuf,
}

impl Workspace {
    /// The user's own directory: what the agent leaves there may run on the host.
    #[must_use]
    pub fn shared(path: impl Into<PathBuf>) -> Self {
        let at = path.into();
        Self { from: at.clone(), at }
    }
}

/// A path of the workspace that stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// Whether it is a directory, where it does not exist yet.
    pub directory: bool,
    /// Whether it is made, empty, where it does not exist: otherwise the agent could make it.
    pub make: bool,
}

/// What others install in the agent's process just before it executes, and own as long as the sandbox lives: the exec gate.
///
/// [`Hook::in_child`] runs after the last capability is gone, in a process that shares its descriptor table with the sandbox's
/// init; what it gives is passed out by init, so that a filter may refuse `sendmsg`. After it the child calls nothing but
/// `read`, `write`, `close_range`, `dup3`, `fcntl`, `rt_sigprocmask`, `rt_sigaction` and `execve`.
pub trait Hook: Send {
    /// Descriptors of this process that [`Hook::in_child`] uses; the child closes all others at once.
    fn keeps(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Whether the supervisor has to read and trace the agent's process before it executes.
    fn traces(&self) -> bool {
        true
    }

    /// Installs filters. Runs between `clone` and `execve`: it must not allocate, lock or panic, and must use memory that was
    /// prepared before.
    ///
    /// # Errors
    /// What the system refused: the agent is then not started.
    fn in_child(&self, given: &mut Given) -> Result<(), Errno>;

    /// Takes over what the child gave, before the agent executes. `agent` is its pidfd. What is returned is dropped when
    /// nothing of the sandbox is left.
    ///
    /// # Errors
    /// Any: the agent is then not started.
    fn in_supervisor(&mut self, given: Vec<OwnedFd>, agent: BorrowedFd<'_>) -> std::io::Result<Box<dyn Any + Send>>;
}

/// Descriptors that a hook gives to the supervisor.
#[derive(Debug)]
pub struct Given {
    pub(crate) fds: [i32; crate::limits::HOOK_FDS],
    pub(crate) len: usize,
}

impl Given {
    pub(crate) const fn new() -> Self {
        Self { fds: [-1; crate::limits::HOOK_FDS], len: 0 }
    }

    /// Gives one.
    ///
    /// # Errors
    /// `EMFILE` when there are [`crate::limits::HOOK_FDS`] already.
    pub fn give(&mut self, fd: OwnedFd) -> Result<(), Errno> {
        use rustix::fd::IntoRawFd;
        let place = self.fds.get_mut(self.len).ok_or(Errno::MFILE)?;
        *place = fd.into_raw_fd();
        self.len += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HOOK_FDS;

    #[test]
    fn a_hook_gives_so_many_descriptors_and_no_more() {
        let mut given = Given::new();
        let made: Vec<_> = (0..=HOOK_FDS).map(|_| OwnedFd::from(std::fs::File::open("/dev/null").unwrap())).collect();
        let outcomes: Vec<_> = made.into_iter().map(|fd| given.give(fd).is_ok()).collect();
        assert_eq!(outcomes.iter().filter(|ok| **ok).count(), HOOK_FDS);
        assert_eq!(outcomes.last(), Some(&false));
    }
}
