//! What runs in the sandbox before the agent does: between `clone` and `execve`, where nothing may allocate, lock or panic.
//!
//! Process 1 of the sandbox sets up network and files, starts the agent as process 2, and stays: it reaps, hands out sockets of
//! its network, and says how the agent ended. When it dies the kernel ends everything in the sandbox, and it dies with the
//! thread that made it.

mod agent;
mod init;
mod message;
mod network;
mod rules;
mod stage;

pub(crate) use init::run;
pub(crate) use message::{Message, Tag, receive, send};

use crate::error::Step;
use crate::files::Stage;
use crate::plan::Hook;
use crate::sys::process::Strings;
use rustix::fd::RawFd;
use rustix::io::Errno;
use std::ffi::CString;

/// Lowest number of the child's own descriptors: above those that are handed to the agent.
const OWN_FDS: RawFd = 128;

/// Everything that the child needs, made before it is.
pub(crate) struct Prepared {
    pub(crate) stage: Stage,
    pub(crate) ports: Vec<u16>,
    pub(crate) dns: bool,
    pub(crate) leave_groups: bool,
    pub(crate) program: CString,
    pub(crate) arguments: Strings,
    pub(crate) environment: Strings,
    pub(crate) directory: CString,
    /// From this process's number to the agent's.
    pub(crate) descriptors: Vec<(RawFd, RawFd)>,
    pub(crate) terminal: Option<RawFd>,
    pub(crate) processes: u32,
    pub(crate) hook: Option<Box<dyn Hook>>,
    /// What the child keeps of the parent's descriptors, in order: the rest is closed at once.
    pub(crate) kept: Vec<RawFd>,
    /// Room for [`Stage::sources`], once they are open.
    pub(crate) opened: Vec<RawFd>,
}

/// What a child of `clone` is told: its ends of the two channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ends {
    /// Reports and handshake.
    pub(crate) report: RawFd,
    /// Requests for sockets.
    pub(crate) requests: RawFd,
}

/// A step that failed, and which of several it was about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) step: Step,
    pub(crate) errno: Errno,
    pub(crate) index: u32,
}

pub(crate) type Outcome<T> = Result<T, Failed>;

trait At<T> {
    fn at(self, step: Step) -> Outcome<T>;
    fn of(self, step: Step, index: usize) -> Outcome<T>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, step: Step) -> Outcome<T> {
        self.of(step, u32::MAX as usize)
    }

    fn of(self, step: Step, index: usize) -> Outcome<T> {
        self.map_err(|errno| Failed { step, errno, index: index as u32 })
    }
}
