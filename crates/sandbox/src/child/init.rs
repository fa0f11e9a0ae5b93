//! Process 1 of the sandbox.

use super::network::own;
use super::{At, Ends, Failed, Message, OWN_FDS, Outcome, Prepared, Tag, agent, network, receive, rules, send, stage};
use crate::error::Step;
use crate::limits::HOOK_FDS;
use crate::sys::call::{borrowed, close_range, fresh_keyring, signal_fd};
use crate::sys::process::{await_children, clone};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::net::SocketType;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, Pid, Signal, WaitOptions, WaitStatus, set_dumpable_behavior, set_parent_process_death_signal, wait};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Between processes 1 and 2: `(read, write)`.
pub(super) struct Pipes {
    /// From the agent's process.
    pub(super) up: (OwnedFd, OwnedFd),
    /// To it.
    pub(super) go: (OwnedFd, OwnedFd),
}

/// What process 1 keeps.
struct Kept {
    report: BorrowedFd<'static>,
    requests: BorrowedFd<'static>,
    signals: OwnedFd,
    agent: Pid,
}

/// Everything that process 1 does. Its exit code says nothing: what happened is told over the channel.
pub(crate) fn run(prepared: &mut Prepared, ends: Ends) -> i32 {
    let Some(report) = borrowed(ends.report) else { return 1 };
    match set_up(prepared, ends, report) {
        Ok(kept) => serve(&kept),
        Err(failed) => {
            // If nobody listens, nobody needs to know.
            let _ = send(report, Message::failed(failed), &[]);
            1
        }
    }
}

fn set_up(prepared: &mut Prepared, ends: Ends, report: BorrowedFd<'static>) -> Outcome<Kept> {
    // Dies with the thread that made it; one that died before this is found by the channel's end, below.
    set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Lost)?;
    await_children();
    // The parent's ends of the channels, and whatever other sockets and pipes somebody waits for the end of.
    close_but(&prepared.kept).at(Step::Descriptors)?;
    // The files under /proc by which ids are mapped belong to the user only as long as this is dumpable.
    set_dumpable_behavior(DumpableBehavior::Dumpable).at(Step::Identity)?;
    send(report, Message::new(Tag::Up, 0), &[]).at(Step::Lost)?;
    go_ahead(report)?;
    // From here on the copy of the supervisor's memory is nobody's: its owner is outside this user namespace.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).at(Step::Identity)?;
    match fresh_keyring() {
        Err(Errno::NOSYS) => {}
        other => other.at(Step::Keyring)?,
    }
    if prepared.leave_groups {
        rustix::thread::set_thread_groups(&[]).at(Step::Groups)?;
    }
    network::set_up(prepared, report)?;
    stage::set_up(&prepared.stage, &mut prepared.opened)?;
    let ruleset = rules::make(&prepared.stage.rules)?;
    let signals = own_fd(signal_fd()).at(Step::Fork)?;
    let requests = borrowed(ends.requests).ok_or(Errno::BADF).at(Step::Fork)?;
    let pipes = Pipes { up: pipe()?, go: pipe()? };
    // SAFETY: see `sys::process::clone`; this process has one thread, and the body obeys the same rules as this one.
    #[allow(unsafe_code)]
    let (agent, pidfd) = unsafe { clone(libc::CLONE_FILES, None, || agent::run(prepared, ruleset.as_fd(), &pipes)) }.at(Step::Fork)?;
    hand_over(&pipes, report, pidfd.as_fd())?;
    drop((ruleset, pidfd));
    keep_only([report.as_raw_fd(), requests.as_raw_fd(), signals.as_raw_fd()], pipes, report)?;
    Ok(Kept { report, requests, signals, agent })
}

/// Out of the range that the agent's descriptors are put into.
fn own_fd(fd: Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    fcntl_dupfd_cloexec(fd?, OWN_FDS)
}

fn pipe() -> Outcome<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).at(Step::Fork)?;
    Ok((own_fd(Ok(read)).at(Step::Fork)?, own_fd(Ok(write)).at(Step::Fork)?))
}

fn go_ahead(report: BorrowedFd<'_>) -> Outcome<()> {
    match receive(report, None, drop).at(Step::Lost)? {
        Some(message) if message.tag == Tag::Go => Ok(()),
        _ => Err(Errno::PIPE).at(Step::Lost),
    }
}

/// Passes on what the agent's process gives, and lets it execute when the supervisor has it.
fn hand_over(pipes: &Pipes, report: BorrowedFd<'_>, pidfd: BorrowedFd<'_>) -> Outcome<()> {
    let mut fds = [pidfd; HOOK_FDS + 1];
    let mut count = 1;
    loop {
        let message = next(pipes)?.ok_or(Errno::PIPE).at(Step::Lost)?;
        match message.tag {
            Tag::Socket => {
                let place = fds.get_mut(count).ok_or(Errno::MFILE).at(Step::Hook)?;
                *place = borrowed(message.value).ok_or(Errno::BADF).at(Step::Hook)?;
                count += 1;
            }
            Tag::Ready => break,
            _ => return Err(message.failure().unwrap_or(Failed { step: Step::Lost, errno: Errno::BADMSG, index: 0 })),
        }
    }
    send(report, Message::new(Tag::Ready, 0), fds.get(..count).unwrap_or_default()).at(Step::Hand)?;
    go_ahead(report)?;
    write(&pipes.go.1, b"g").at(Step::Lost).map(drop)
}

/// The next message of the agent's process; none when its end closed.
fn next(pipes: &Pipes) -> Outcome<Option<Message>> {
    let mut bytes = [0_u8; 12];
    match read(&pipes.up.0, &mut bytes[..]).at(Step::Lost)? {
        0 => Ok(None),
        _ => Message::from_bytes(&bytes).ok_or(Errno::BADMSG).at(Step::Lost).map(Some),
    }
}

/// Waits until the agent has a table of its own, closes everything in this one that is not needed, and until it executes.
fn keep_only(kept: [RawFd; 3], pipes: Pipes, report: BorrowedFd<'_>) -> Outcome<()> {
    let own_table = next(&pipes)?.ok_or(Errno::PIPE).at(Step::Lost)?;
    if let Some(failed) = own_table.failure() {
        return Err(failed);
    }
    // What is left of this process's copies of the supervisor's descriptors is closed by number.
    let Pipes { up: (up, up_write), go: (go_read, go_write) } = pipes;
    let up = up.into_raw_fd();
    drop((up_write, go_read, go_write));
    let [a, b, c] = kept;
    let mut kept = [a, b, c, up];
    kept.sort_unstable();
    close_but(&kept).at(Step::Descriptors)?;
    // SAFETY: it was taken out of its owner just above.
    #[allow(unsafe_code)]
    let up = unsafe { OwnedFd::from_raw_fd(up) };
    let mut bytes = [0_u8; 12];
    match read(&up, &mut bytes[..]).at(Step::Lost)? {
        0 => send(report, Message::new(Tag::Running, 0), &[]).at(Step::Lost),
        _ => Err(Message::from_bytes(&bytes).and_then(|m| m.failure()).unwrap_or(Failed { step: Step::Lost, errno: Errno::BADMSG, index: 0 })),
    }
}

/// Closes all but these, which are in order.
fn close_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first = 0_u32;
    for fd in kept.iter().map(|fd| *fd as u32).filter(|fd| *fd != u32::MAX) {
        if fd > first {
            close_range(first, fd - 1, 0)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX, 0)
}

/// Reaps, and hands out sockets, until the agent ends.
fn serve(kept: &Kept) -> i32 {
    let mut asked = true;
    loop {
        let requests = PollFd::from_borrowed_fd(kept.requests, PollFlags::IN);
        let mut fds = [PollFd::new(&kept.signals, PollFlags::IN), requests];
        let watched = fds.get_mut(..1 + usize::from(asked)).unwrap_or_default();
        if !matches!(poll(watched, None), Ok(_) | Err(Errno::INTR)) {
            return 1;
        }
        let [signals, requests] = fds;
        if asked && !requests.revents().is_empty() {
            asked = give_socket(kept.requests);
        }
        if !signals.revents().is_empty() {
            let mut ignored = [0_u8; 128];
            // Which signal it was is of no interest: children are looked at either way.
            let _ = read(&kept.signals, &mut ignored[..]);
            if let Some(code) = reap(kept.agent) {
                let _ = send(kept.report, Message::new(Tag::Ended, code), &[]);
                return 0;
            }
        }
    }
}

/// Waits for whoever ended. How the agent did, if it was among them.
fn reap(agent: Pid) -> Option<i32> {
    while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
        if pid == agent {
            return Some(code_of(status));
        }
    }
    None
}

fn code_of(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code & 0xff,
        (None, Some(signal)) => 256 + signal,
        (None, None) => 0,
    }
}

/// A socket of this network, for whoever holds the other end: it connects by itself. Whether more may be asked for.
fn give_socket(requests: BorrowedFd<'_>) -> bool {
    let Ok(Some(message)) = receive(requests, None, drop) else { return false };
    let any = if message.value == 6 { (Ipv6Addr::UNSPECIFIED, 0).into() } else { (Ipv4Addr::UNSPECIFIED, 0).into() };
    match own(any, SocketType::STREAM) {
        Ok(socket) => send(requests, Message::new(Tag::Socket, 0), &[socket.as_fd()]).is_ok(),
        Err(errno) => send(requests, Message::new(Tag::Socket, errno.raw_os_error()), &[]).is_ok(),
    }
}
