//! The gate of one session: threads that take its execs, bring them before the judge, and let them run or fail.

use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::asks::Asks;
use super::cache::{Allowed, Key};
use super::capture::Refusal;
use super::filter::{Gates, deny_list, notifying};
use super::identity::Digests;
use super::judge::{Answer, Denial, Judge, Outcome, Verdict};
use super::limits::{WATCHES_MAX, WORKERS};
use super::seen::{Baseline, Exec};
use super::{Listener, Notification, Received, tell, verify};
use crate::bpf::Program;
use crate::connect::Exchange;

/// What a gate is made of.
#[derive(Debug, Default)]
pub struct Settings {
    /// The environment of the session's first process.
    pub baseline: Baseline,
    /// Digests that are already known, shared with whoever knows the same files.
    pub digests: Arc<Digests>,
    /// How connections are made, where they are judged too: without a network namespace.
    pub connections: Option<Exchange>,
}

impl Settings {
    /// The filter that asks, and the one that refuses further filters, so that it is installed last.
    pub(super) fn filters(&self) -> std::io::Result<(Program, Program)> {
        let gates = if self.connections.is_some() { Gates::ExecAndConnect } else { Gates::Exec };
        let both = notifying(gates).and_then(|notifying| Ok((notifying, deny_list()?)));
        both.map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
    }
}

/// Judges and verifies every exec of one session.
#[derive(Debug)]
pub struct ExecGate {
    settings: Settings,
    control: Arc<Control>,
}

#[derive(Debug)]
struct Control {
    stop: OwnedFd,
    allowed: Allowed,
}

/// Speaks to a gate that runs.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Control>);

impl Handle {
    /// The gate ends: its listener is closed, whatever waits there or comes later fails with `ENOSYS`. End the processes first or at
    /// once: [`ExecGate::run`] returns when none is between its exec and its script any more.
    pub fn stop(&self) {
        let _already = rustix::io::write(&self.0.stop, &1u64.to_ne_bytes());
    }

    /// No verdict is remembered any more: the policy changed, or the session was tightened.
    pub fn forget(&self) {
        self.0.allowed.forget();
    }
}

/// Why a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// No process of the session is left.
    Over,
    /// It was stopped.
    Stopped,
}

impl ExecGate {
    /// A gate, not yet open.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn new(settings: Settings) -> std::io::Result<Self> {
        let stop = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK)?;
        Ok(Self { settings, control: Arc::new(Control { stop, allowed: Allowed::default() }) })
    }

    /// Speaks to the gate while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.control))
    }

    /// Runs the gate until the session has no process left or it is stopped. Blocks; starts at most
    /// [`WORKERS`] + [`WATCHES_MAX`] + 1 threads.
    ///
    /// A process that this process waits for as its parent must be waited for by its pidfd until it has ended: an ordinary wait
    /// would take stops that are the gate's.
    ///
    /// # Errors
    /// When the listener fails. It is closed then, so that every exec fails.
    pub fn run(&self, listener: Listener, judge: &dyn Judge) -> std::io::Result<Ended> {
        let asks = Asks::default();
        let desk =
            Desk { gate: self, listener: &listener, judge, asks: &asks, watches: AtomicUsize::new(0), failed: Mutex::new(None) };
        let mut ended = Ended::Over;
        std::thread::scope(|threads| {
            let workers: Vec<_> = (0..WORKERS).map(|_| threads.spawn(|| desk.work(threads))).collect();
            let answers = threads.spawn(|| asks.settle(&desk, threads));
            for worker in workers {
                if matches!(worker.join(), Ok(Ended::Stopped)) {
                    ended = Ended::Stopped;
                }
            }
            asks.close();
            drop(answers.join());
        });
        let failed = desk.failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        asks.withdraw_all(judge);
        failed.map_or(Ok(ended), Err)
    }
}

/// What the threads of a running gate share.
pub(super) struct Desk<'a> {
    gate: &'a ExecGate,
    pub(super) listener: &'a Listener,
    pub(super) judge: &'a dyn Judge,
    asks: &'a Asks,
    watches: AtomicUsize,
    failed: Mutex<Option<std::io::Error>>,
}

impl<'a> Desk<'a> {
    fn work<'s>(&'s self, threads: &'s Scope<'s, '_>) -> Ended {
        loop {
            match self.listener.receive(self.gate.control.stop.as_fd()) {
                Ok(Received::Call(call)) => {
                    // A bug must not leave the caller waiting, nor let it through.
                    if catch_unwind(AssertUnwindSafe(|| self.take(&call, threads))).is_err() {
                        self.fail(call.id, libc::EPERM);
                    }
                }
                Ok(Received::Over) => return Ended::Over,
                Ok(Received::Stopped) => return Ended::Stopped,
                Err(error) => {
                    self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    self.gate.handle().stop();
                    return Ended::Stopped;
                }
            }
        }
    }

    fn take<'s>(&'s self, call: &Notification, threads: &'s Scope<'s, '_>) {
        if !matches!(call.nr, libc::SYS_execve | libc::SYS_execveat) {
            match &self.gate.settings.connections {
                Some(connections) => connections.take(self.listener, call, threads),
                None => self.fail(call.id, libc::ENOSYS),
            }
            return;
        }
        let settings = &self.gate.settings;
        let read = Exec::read(call, &settings.baseline, &settings.digests);
        // What was read was read about the caller only if it still waits.
        if !self.listener.valid(call.id) {
            return;
        }
        match read {
            Ok(exec) => self.judge(&Arc::new(exec), threads),
            Err(Refusal::Fails(errno)) => self.fail(call.id, errno),
            Err(Refusal::Denied(why)) => {
                self.judge.refused(call.tid, why);
                tell::tell_thread(call.tid, why);
                self.fail(call.id, libc::EPERM);
            }
            Err(Refusal::Gone) => self.fail(call.id, libc::EPERM),
        }
    }

    fn judge<'s>(&'s self, exec: &Arc<Exec>, threads: &'s Scope<'s, '_>) {
        let allowed = &self.gate.control.allowed;
        let key = Key::of(exec, self.judge.class_of(&exec.cwd));
        let (known, epoch) = key.as_ref().map_or((false, 0), |key| allowed.has(key));
        if known {
            return self.allow(exec, threads);
        }
        match self.judge.judge(exec) {
            Verdict::Allow { remember } => {
                if let Some(key) = key.filter(|_| remember) {
                    allowed.put(key, epoch);
                }
                self.allow(exec, threads);
            }
            Verdict::Deny(denial) => self.deny(exec, &denial),
            Verdict::Ask(pending) => {
                if !self.asks.add(Arc::clone(exec), pending) {
                    self.judge.withdrawn(exec);
                    self.deny(exec, &Denial::because("too many questions wait for an answer; try again when one was answered"));
                }
            }
        }
    }

    /// Settles a question.
    pub(super) fn answer<'s>(&'s self, exec: &Arc<Exec>, answer: &Answer, threads: &'s Scope<'s, '_>) {
        match answer {
            Answer::Allow => self.allow(exec, threads),
            Answer::Deny(denial) => self.deny(exec, denial),
        }
    }

    /// The call fails. Who is gone by now does not hear of it.
    fn fail(&self, id: u64, errno: i32) {
        let _gone = self.listener.fail(id, errno);
    }

    fn deny(&self, exec: &Exec, denial: &Denial) {
        tell::tell(exec.pid, &denial.line);
        self.fail(exec.id, denial.errno);
    }

    fn allow<'s>(&'s self, exec: &Arc<Exec>, threads: &'s Scope<'s, '_>) {
        let watched = exec.script.as_ref().is_some_and(|script| script.hold.is_some());
        if !watched {
            return self.run(exec);
        }
        // It may take an interpreter as long as it likes to come to its script: not on a thread that others wait for.
        if self.watches.fetch_add(1, Ordering::Relaxed) >= WATCHES_MAX {
            self.watches.fetch_sub(1, Ordering::Relaxed);
            return self.deny(exec, &Denial::because("too many interpreters are on the way to their scripts; try again"));
        }
        let exec = Arc::clone(exec);
        let id = exec.id;
        let watcher = std::thread::Builder::new().name("exec-watch".into()).spawn_scoped(threads, move || {
            self.run(&exec);
            self.watches.fetch_sub(1, Ordering::Relaxed);
        });
        if watcher.is_err() {
            self.watches.fetch_sub(1, Ordering::Relaxed);
            self.fail(id, libc::EAGAIN);
        }
    }

    fn run(&self, exec: &Arc<Exec>) {
        let outcome = verify::let_run(self.listener, &self.gate.settings.digests, exec);
        if let Outcome::Unverifiable(why) = &outcome {
            self.deny(exec, &Denial::because(*why));
        }
        self.judge.became(exec, &outcome);
    }
}
