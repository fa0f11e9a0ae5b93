//! Follows an interpreter until it opens its script, and hands it a sealed copy of the judged bytes.
//!
//! At the beginning of the open the call is turned into `memfd_create`, so that its result is a descriptor of a new file that
//! nobody else has. Before the interpreter goes on, the judged bytes are written to that file and it is sealed. Who races with
//! the interpreter can change the script, its name, or any directory on the way: none of that is read any more. Interpreters
//! that resolve the name themselves before (Node) are held to the symbolic links that were judged.

use std::collections::HashMap;
use std::io;

use super::copy::{directory, fill, path_of, sealing};
use super::judge::{Outcome, Tampering};
use super::limits::{PATH_BYTES_MAX, WATCHED_TASKS_MAX};
use super::memory::Memory;
use super::resolve::{Base, View};
use super::script::{Hold, absolute};
use crate::sys::trace::{self, Call, Stop};

/// What a task is doing, between the beginning and the end of a call.
enum Doing {
    /// It opens the script, as far as it knows. The registers are those of its own call.
    Opens(Box<libc::user_regs_struct>),
    /// It reads a name on the way to the script.
    Reads {
        /// What the link said, if it was one.
        target: Option<Vec<u8>>,
        buffer: u64,
    },
}

struct Watch<'a> {
    hold: &'a Hold,
    pid: i32,
    tasks: HashMap<i32, Option<Doing>>,
    opened: u32,
}

/// The way of a watch to its end.
enum Step {
    On,
    Tampered(Tampering),
}

/// Follows process `pid`, which stands at its exec stop, and what it starts.
pub(super) fn until_read(hold: &Hold, pid: i32) -> Outcome {
    let mut watch = Watch { hold, pid, tasks: HashMap::from([(pid, None)]), opened: 0 };
    if trace::follow_forks(pid).and_then(|()| trace::run_to_call(pid, 0)).is_err() {
        // Only a killed process does not obey.
        watch.kill();
        return Outcome::Started { pid };
    }
    while !watch.tasks.is_empty() {
        let Ok((tid, stop)) = trace::wait() else { break };
        match watch.step(tid, stop) {
            Ok(Step::On) => {}
            // The task is gone between two requests: its end will be reported.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
            Ok(Step::Tampered(tampering)) => {
                watch.kill();
                return Outcome::Tampered(tampering);
            }
            Err(_) => {
                watch.kill();
                return Outcome::Tampered(Tampering::Unreadable);
            }
        }
    }
    Outcome::Started { pid }
}

impl Watch<'_> {
    const fn done(&self) -> bool {
        self.opened >= self.hold.opens
    }

    fn step(&mut self, tid: i32, stop: Stop) -> io::Result<Step> {
        match stop {
            Stop::Gone => {
                self.tasks.remove(&tid);
                return Ok(Step::On);
            }
            Stop::Call => match trace::call(tid)? {
                Call::Entry { nr, args } => {
                    if matches!(i64::try_from(nr), Ok(libc::SYS_execve | libc::SYS_execveat)) {
                        // It comes before the judge again, who needs it free.
                        return self.leave(tid, 0);
                    }
                    let doing = if self.done() { None } else { self.begins(tid, nr, args)? };
                    self.tasks.insert(tid, doing);
                }
                Call::Exit { value } => {
                    if let Some(doing) = self.tasks.get_mut(&tid).and_then(Option::take)
                        && let Step::Tampered(tampering) = self.ends(tid, doing, value)?
                    {
                        return Ok(Step::Tampered(tampering));
                    }
                }
                Call::None => {}
            },
            Stop::Signal(signal) => {
                if self.may_leave(tid) {
                    return self.leave(tid, signal);
                }
                trace::run_to_call(tid, signal)?;
                return Ok(Step::On);
            }
            Stop::Group if !self.done() => {
                trace::stay_stopped(tid)?;
                return Ok(Step::On);
            }
            Stop::Interrupted | Stop::Forked | Stop::Group | Stop::Exec => {
                // A new task is known from here on, not from its own first stop: nobody may leave it behind, because it dies
                // with its tracer.
                let known = if stop == Stop::Forked { trace::other_id(tid)? } else { tid };
                self.tasks.entry(known).or_insert(None);
                if self.tasks.len() > WATCHED_TASKS_MAX {
                    return Ok(Step::Tampered(Tampering::Script));
                }
            }
        }
        if self.may_leave(tid) {
            return self.leave(tid, 0);
        }
        trace::run_to_call(tid, 0)?;
        Ok(Step::On)
    }

    fn may_leave(&self, tid: i32) -> bool {
        self.done() && !matches!(self.tasks.get(&tid), Some(Some(_)))
    }

    fn leave(&mut self, tid: i32, signal: i32) -> io::Result<Step> {
        self.tasks.remove(&tid);
        trace::detach(tid, signal)?;
        Ok(Step::On)
    }

    /// A call begins. Is it about the script?
    fn begins(&self, tid: i32, nr: u64, args: [u64; 6]) -> io::Result<Option<Doing>> {
        let [a, b, c, ..] = args;
        let at = |fd: u64| if fd as i32 == libc::AT_FDCWD { Base::Cwd } else { Base::Descriptor(fd as i32) };
        match i64::try_from(nr).unwrap_or(-1) {
            libc::SYS_open => self.opens(tid, Base::Cwd, a, b),
            libc::SYS_openat => self.opens(tid, at(a), b, c),
            libc::SYS_openat2 => {
                // What cannot be read here the kernel cannot read either, and the call fails.
                let how = Memory::open(tid)?.bytes(c, 8).ok();
                let flags = how.as_deref().and_then(|how| how.first_chunk::<8>());
                flags.map_or(Ok(None), |flags| self.opens(tid, at(a), b, u64::from_ne_bytes(*flags)))
            }
            libc::SYS_readlink => self.reads(tid, Base::Cwd, a, b),
            libc::SYS_readlinkat => self.reads(tid, at(a), b, c),
            _ => Ok(None),
        }
    }

    fn opens(&self, tid: i32, from: Base, path: u64, flags: u64) -> io::Result<Option<Doing>> {
        let flags = flags as i32;
        if flags & (libc::O_PATH | libc::O_DIRECTORY) != 0 || flags & libc::O_ACCMODE != libc::O_RDONLY {
            return Ok(None);
        }
        let Some(name) = path_of(tid, path)? else { return Ok(None) };
        if !self.means_script(tid, from, &name) {
            return Ok(None);
        }
        let own = trace::registers(tid)?;
        let mut turned = own;
        turned.orig_rax = u64::try_from(libc::SYS_memfd_create).unwrap_or_default();
        // The name of the new file is the end of the path: empty.
        turned.rdi = path + name.len() as u64;
        let close = if flags & libc::O_CLOEXEC != 0 { libc::MFD_CLOEXEC } else { 0 };
        turned.rsi = u64::from(close | sealing());
        trace::set_registers(tid, &turned)?;
        Ok(Some(Doing::Opens(Box::new(own))))
    }

    /// By name, or by being the very file under another name.
    fn means_script(&self, tid: i32, from: Base, name: &[u8]) -> bool {
        let known = |start: &[u8]| self.hold.names.contains(&absolute(start, name));
        let by_name = if name.starts_with(b"/") { known(b"") } else { directory(tid, from).is_some_and(|start| known(&start)) };
        by_name
            || View::of(tid)
                .and_then(|view| view.resolve(from, name))
                .and_then(rustix::fs::fstat)
                .is_ok_and(|status| (status.st_dev, status.st_ino) == (self.hold.dev, self.hold.ino))
    }

    fn reads(&self, tid: i32, from: Base, path: u64, buffer: u64) -> io::Result<Option<Doing>> {
        let Some(name) = path_of(tid, path)? else { return Ok(None) };
        let name =
            if name.starts_with(b"/") { absolute(b"", &name) } else { absolute(&directory(tid, from).unwrap_or_default(), &name) };
        if let Some((_, target)) = self.hold.links.iter().find(|(link, _)| *link == name) {
            return Ok(Some(Doing::Reads { target: Some(target.clone()), buffer }));
        }
        Ok(self.hold.plain.contains(&name).then_some(Doing::Reads { target: None, buffer }))
    }

    /// A call about the script ends.
    fn ends(&mut self, tid: i32, doing: Doing, value: i64) -> io::Result<Step> {
        match doing {
            Doing::Opens(own) => {
                if value >= 0 {
                    fill(tid, value, &self.hold.bytes)?;
                    self.opened += 1;
                }
                // The C library takes it that a call leaves its arguments in their registers.
                let mut after = trace::registers(tid)?;
                (after.rdi, after.rsi) = (own.rdi, own.rsi);
                trace::set_registers(tid, &after)?;
                if self.done() {
                    for other in self.tasks.keys().filter(|other| **other != tid) {
                        let _gone = trace::interrupt(*other);
                    }
                }
            }
            Doing::Reads { target, buffer } if value >= 0 => {
                let read = Memory::open(tid)?.bytes(buffer, usize::try_from(value).unwrap_or(0).min(PATH_BYTES_MAX))?;
                // What `/proc` says of itself differs from one process to the next, and is no name.
                let same = target.is_some_and(|target| target.is_empty() || target == read);
                if !same {
                    return Ok(Step::Tampered(Tampering::Script));
                }
            }
            Doing::Reads { .. } => {}
        }
        Ok(Step::On)
    }

    /// Kills the interpreter and lets go of everything else: whatever it started dies with it or runs unjudged code of nobody.
    fn kill(&mut self) {
        let pid = self.pid;
        let tasks = std::mem::take(&mut self.tasks);
        for tid in tasks.keys().filter(|tid| **tid != pid) {
            trace::end(*tid);
        }
        trace::end(pid);
        let mut left = tasks.len();
        while left > 0 {
            match trace::wait() {
                Ok((_, Stop::Gone)) => left -= 1,
                Ok((tid, _)) => trace::end(tid),
                Err(_) => break,
            }
        }
    }
}
