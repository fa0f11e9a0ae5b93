//! A terminal of the agent's own. What it types into its input goes to itself, and what it writes is filtered on its way to the
//! user's (see [`filter`]).

mod filter;

use crate::out::{Failure, TERMINAL_IS_RAW};
use filter::Filter;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

/// Bytes that are carried at once.
const PIECE_BYTES: usize = 16 * 1024;

/// What terminals that a program left in some state are told, so that the shell behind it finds them as it left them: no colour, the
/// cursor, the first screen, no mouse, no bracketed paste.
const AS_IT_WAS: &[u8] = b"\x1b[0m\x1b[?25h\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l";

/// A pair of terminals with a thread between them. Dropping it gives the user's own back.
pub(super) struct Terminal {
    ours: Arc<OwnedFd>,
    users: Arc<OwnedFd>,
    before: Termios,
    stop: OwnedFd,
    relay: Option<JoinHandle<()>>,
}

impl Terminal {
    /// One for an agent of whose input, output and errors any is the user's terminal, and the end that takes its place; none for
    /// another.
    pub(super) fn open() -> Result<Option<(Self, OwnedFd)>, Failure> {
        let failed = |e: std::io::Error| Failure::new(format!("the agent's terminal cannot be made: {e}"), "redirect its input, output and errors");
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let users = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().find(|fd| fd.is_terminal());
        let Some(users) = users else { return Ok(None) };
        let users = users.try_clone_to_owned().map_err(failed)?;
        Self::pair(users, stdin.is_terminal()).map(Some).map_err(failed)
    }

    fn pair(users: OwnedFd, types: bool) -> std::io::Result<(Self, OwnedFd)> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&ours)?;
        unlockpt(&ours)?;
        let name = ptsname(&ours, Vec::new())?;
        // Not this process's own.
        let theirs = open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        tcsetwinsize(&ours, tcgetwinsize(&users)?)?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let before = tcgetattr(&users)?;
        tcsetattr(&theirs, OptionalActions::Now, &before)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let mut raw = before.clone();
        raw.make_raw();
        if types {
            tcsetattr(&users, OptionalActions::Now, &raw)?;
            TERMINAL_IS_RAW.store(true, Ordering::Relaxed);
        }
        let (ours, users) = (Arc::new(ours), Arc::new(users));
        // From here on a failure gives the terminal back.
        let mut this = Self { ours, users, before, stop, relay: None };
        let (master, shown, stop) = (Arc::clone(&this.ours), Arc::clone(&this.users), this.stop.try_clone()?);
        this.relay = Some(std::thread::Builder::new().name("terminal".into()).spawn(move || relay(&master, &shown, types, &stop))?);
        Ok((this, theirs))
    }

    /// Tells the agent how large the user's terminal is now.
    pub(super) fn resize(&self) {
        if let Ok(size) = tcgetwinsize(&*self.users) {
            // A terminal that is gone has no size.
            let _ = tcsetwinsize(&*self.ours, size);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // An eventfd has room for one.
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(relay) = self.relay.take() {
            let _ = relay.join();
        }
        // A terminal that is gone needs nothing.
        write_all(&self.users, AS_IT_WAS);
        let _ = tcsetattr(&*self.users, OptionalActions::Drain, &self.before);
        TERMINAL_IS_RAW.store(false, Ordering::Relaxed);
    }
}

/// Carries bytes both ways until it is stopped; then what the agent wrote before its end.
fn relay(ours: &OwnedFd, users: &OwnedFd, types: bool, stop: &OwnedFd) {
    let (mut filter, mut typed) = (Filter::new(), Vec::new());
    let (mut input, mut output) = (types, true);
    let mut stopped = false;
    let stdin = std::io::stdin();
    while output && !stopped {
        let wants = |flag, wanted| if wanted { flag } else { PollFlags::empty() };
        let mut fds = [
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(ours, PollFlags::IN | wants(PollFlags::OUT, !typed.is_empty())),
            // The next keys are read when the agent took the last ones.
            PollFd::new(&stdin, wants(PollFlags::IN, input && typed.is_empty())),
        ];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [end, agent, keys] = fds.map(|fd| fd.revents());
        stopped = !end.is_empty();
        if input && keys.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            input = read_keys(&mut typed);
        }
        if !typed.is_empty() && agent.contains(PollFlags::OUT) {
            let len = rustix::io::write(ours, &typed).unwrap_or(0);
            typed.drain(..len);
        }
        // A terminal whose other end is closed by everybody hangs up, and may be opened again by a child of the agent's.
        if stopped || agent.intersects(PollFlags::IN | PollFlags::ERR) {
            output = show(ours, users, &mut filter, stopped);
        } else if agent.contains(PollFlags::HUP) {
            // Until somebody opens it again there is nothing to hear but the end.
            let mut fds = [PollFd::new(stop, PollFlags::IN)];
            stopped = poll(&mut fds, None).is_ok();
        }
    }
}

/// Whether all of it was written.
fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Whether more may come.
fn read_keys(typed: &mut Vec<u8>) -> bool {
    let mut piece = [0; PIECE_BYTES];
    match rustix::io::read(std::io::stdin(), &mut piece) {
        Ok(0) => false,
        Ok(len) => {
            typed.extend_from_slice(piece.get(..len).unwrap_or_default());
            true
        }
        Err(errno) => matches!(errno, Errno::INTR | Errno::AGAIN),
    }
}

/// Shows what the agent has written: a piece of it, or at its end all. Whether more may come.
fn show(ours: &OwnedFd, users: &OwnedFd, filter: &mut Filter, all: bool) -> bool {
    let mut piece = [0; PIECE_BYTES];
    let mut out = Vec::new();
    loop {
        match rustix::io::read(ours, &mut piece) {
            Ok(len) if len > 0 => filter.pass(piece.get(..len).unwrap_or_default(), &mut out),
            Err(Errno::INTR) => {}
            // Nothing now, or nobody has the other end open.
            _ => return true,
        }
        if !write_all(users, &out) {
            return false;
        }
        out.clear();
        if !all {
            return true;
        }
    }
}
