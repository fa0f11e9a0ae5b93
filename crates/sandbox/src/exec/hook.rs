//! The gate of a sandbox, as its [`Hook`].

use std::any::Any;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::io::Errno;

use super::gate::{ExecGate, Handle, Settings};
use super::judge::Judge;
use super::listener::Listener;
use crate::bpf::Program;
use crate::plan::{Given, Hook};

/// The gate of a sandbox: what goes into [`crate::Plan::hook`], and the way to speak to the gate while the sandbox lives. The
/// first exec that comes before `judge` is the agent's own; [`crate::Supervisor::running`] waits for its verdict.
///
/// Connections are judged too where `settings` say how they are made.
///
/// # Errors
/// When there is no descriptor left.
pub fn hook(settings: Settings, judge: Arc<dyn Judge>) -> io::Result<(Box<dyn Hook>, Handle)> {
    let (notifying, denied) = settings.filters()?;
    let gate = ExecGate::new(settings)?;
    let handle = gate.handle();
    Ok((Box::new(Installed { notifying, denied, gate: Some(gate), judge }), handle))
}

/// The deny list alone, for a sandbox whose programs nobody judges.
///
/// # Errors
/// Never for this list; a test builds it.
pub fn denying() -> io::Result<Box<dyn Hook>> {
    let denied = super::deny_list().map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    Ok(Box::new(Denying(denied)))
}

struct Denying(Program);

impl Hook for Denying {
    fn traces(&self) -> bool {
        false
    }

    fn in_child(&self, _given: &mut Given) -> Result<(), Errno> {
        self.0.install()
    }

    fn in_supervisor(&mut self, _given: Vec<OwnedFd>, _agent: BorrowedFd<'_>) -> io::Result<Box<dyn Any + Send>> {
        Ok(Box::new(()))
    }
}

struct Installed {
    notifying: Program,
    denied: Program,
    /// Until it runs.
    gate: Option<ExecGate>,
    judge: Arc<dyn Judge>,
}

impl Hook for Installed {
    fn in_child(&self, given: &mut Given) -> Result<(), Errno> {
        given.give(self.notifying.install_with_listener(true)?)?;
        // It refuses further filters, so that it comes last.
        self.denied.install()
    }

    fn in_supervisor(&mut self, given: Vec<OwnedFd>, _agent: BorrowedFd<'_>) -> io::Result<Box<dyn Any + Send>> {
        let [listener]: [OwnedFd; 1] = given.try_into().map_err(|_| io::ErrorKind::InvalidData)?;
        let listener = Listener::new(listener)?;
        let gate = self.gate.take().ok_or(io::ErrorKind::InvalidInput)?;
        let (handle, judge) = (gate.handle(), Arc::clone(&self.judge));
        let thread = std::thread::Builder::new().name("exec-gate".into()).spawn(move || {
            let ended = gate.run(listener, &*judge);
            judge.ended(&ended);
        })?;
        Ok(Box::new(Running { handle, thread: Some(thread) }))
    }
}

/// Ends the gate of a sandbox that has ended.
struct Running {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            // A judge that breaks when it hears of the end breaks nothing else.
            drop(thread.join());
        }
    }
}
