//! Process 2: gives up what it has, and becomes the agent.

use super::init::Pipes;
use super::{At, Message, Outcome, Prepared, Tag};
use crate::error::Step;
use crate::limits::FD_NUMBER;
use crate::plan::Given;
use crate::sys::call::{borrowed, close_all_at_exec, close_range, dup_to};
use crate::sys::landlock::restrict_self;
use crate::sys::process::{default_signals, execute};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::process::{DumpableBehavior, Resource, Rlimit, chdir, set_dumpable_behavior, setrlimit, setsid};
use rustix::thread::{CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities, set_no_new_privs};

/// Becomes the agent. Returns only when that failed, after having said so.
pub(super) fn run(prepared: &Prepared, ruleset: BorrowedFd<'_>, pipes: &Pipes) -> i32 {
    let failed = match become_agent(prepared, ruleset, pipes) {
        Ok(()) => return 0,
        Err(failed) => failed,
    };
    // There is nobody else to tell.
    let _ = write(&pipes.up.1, &Message::failed(failed).to_bytes());
    127
}

fn become_agent(prepared: &Prepared, ruleset: BorrowedFd<'_>, pipes: &Pipes) -> Outcome<()> {
    // No terminal controls it, so that none takes what it pushes into its input.
    setsid().at(Step::Fork)?;
    limits(prepared)?;
    drop_capabilities().at(Step::Capabilities)?;
    restrict_self(ruleset).at(Step::Landlock)?;
    chdir(prepared.directory.as_c_str()).at(Step::Directory)?;
    let mut given = Given::new();
    if let Some(hook) = &prepared.hook {
        // The supervisor reads and traces this process, which it may not do to one that is not dumpable.
        if hook.traces() {
            set_dumpable_behavior(DumpableBehavior::Dumpable).at(Step::Hook)?;
        }
        hook.in_child(&mut given).at(Step::Hook)?;
    }
    tell(pipes, &given).at(Step::Hook)?;
    let mut word = [0_u8; 1];
    if read(&pipes.go.0, &mut word[..]).at(Step::Lost)? != 1 {
        return Err(Errno::PIPE).at(Step::Lost);
    }
    descriptors(prepared, pipes)?;
    if let Some(number) = prepared.terminal {
        // The user's own would not do: who controls a terminal can push keys into its input.
        let own = borrowed(number).ok_or(Errno::BADF).at(Step::Descriptors)?;
        rustix::process::ioctl_tiocsctty(own).at(Step::Descriptors)?;
    }
    default_signals();
    Err(execute(&prepared.program, &prepared.arguments, &prepared.environment)).at(Step::Execute)
}

/// Numbers of what the hook gave, in the table that is shared with process 1, which passes them out.
fn tell(pipes: &Pipes, given: &Given) -> Result<(), Errno> {
    for fd in given.fds.iter().take(given.len) {
        write(&pipes.up.1, &Message::new(Tag::Socket, *fd).to_bytes())?;
    }
    write(&pipes.up.1, &Message::new(Tag::Ready, 0).to_bytes()).map(drop)
}

fn limits(prepared: &Prepared) -> Outcome<()> {
    let both = |value| Rlimit { current: Some(value), maximum: Some(value) };
    // A core file would be written by the kernel, where the pattern of the host says.
    setrlimit(Resource::Core, both(0)).at(Step::Limits)?;
    let most = rustix::process::getrlimit(Resource::Nproc).maximum.unwrap_or(u64::MAX);
    setrlimit(Resource::Nproc, both(most.min(prepared.processes.into()))).at(Step::Limits)
}

fn drop_capabilities() -> Result<(), Errno> {
    const LAST: u32 = 63;
    for number in 0..=LAST {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            // The kernel has no more.
            Err(Errno::INVAL) => break,
            other => other?,
        }
    }
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    set_no_new_privs(true)
}

/// Leaves the table of process 1, and keeps what is the agent's. The rest is closed here rather than by `execve`, which may
/// wait long for an answer: among it may be pipes of other sandboxes, whose readers wait for their end.
fn descriptors(prepared: &Prepared, pipes: &Pipes) -> Outcome<()> {
    close_all_at_exec().at(Step::Descriptors)?;
    write(&pipes.up.1, &Message::new(Tag::Go, 0).to_bytes()).at(Step::Descriptors)?;
    // First out of the way of each other, then to where they belong.
    let mut stashed = [-1; crate::limits::FDS + 3];
    for (place, (from, _)) in stashed.iter_mut().zip(&prepared.descriptors) {
        let from = borrowed(*from).ok_or(Errno::BADF).at(Step::Descriptors)?;
        let fd = fcntl_dupfd_cloexec(from, super::OWN_FDS).at(Step::Descriptors)?;
        *place = rustix::fd::IntoRawFd::into_raw_fd(fd);
    }
    for (from, (_, to)) in stashed.iter().zip(&prepared.descriptors) {
        let from = borrowed(*from).ok_or(Errno::BADF).at(Step::Descriptors)?;
        dup_to(from, *to).at(Step::Descriptors)?;
    }
    for number in (0..FD_NUMBER).filter(|number| prepared.descriptors.iter().all(|(_, to)| to != number)) {
        close_range(number as u32, number as u32, 0).at(Step::Descriptors)?;
    }
    let up = pipes.up.1.as_raw_fd() as u32;
    close_range(FD_NUMBER as u32, up - 1, 0).at(Step::Descriptors)?;
    close_range(up + 1, u32::MAX, 0).at(Step::Descriptors)
}
