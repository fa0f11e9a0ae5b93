//! Starting and ending: codes, signals, hooks, grades.

use crate::world::{World, promise, start};
use marque_sandbox::{Exit, Given, Grade, Hook, Step, probe, spawn};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::Signal;
use std::any::Any;
use std::sync::mpsc::{Sender, channel};

promise!(this_machine_allows_grade_a, || {
    let report = probe();
    assert_eq!((report.grade, report.to_string()), (Grade::A, "containment A".to_owned()));
});

promise!(the_agents_code_and_signal_are_told, || {
    let world = World::new();
    assert_eq!(world.inside("raise SystemExit(7)").exit, Exit::Code(7));
    assert_eq!(world.inside("import os\nos.kill(os.getpid(), 9)").exit, Exit::Signal(9));
    let mut running = start(world.plan("import signal\nsignal.signal(15, lambda *a: exit(9))\nprint('up', flush=True)\nwhile True: signal.pause()"));
    assert_eq!(running.line(), "up");
    running.supervisor.signal(Signal::TERM);
    assert_eq!(running.done().exit, Exit::Code(9));
});

promise!(what_the_agent_leaves_behind_ends_with_it, || {
    let world = World::new();
    let done = world.inside("import os, signal\nif os.fork() == 0:\n    os.setsid()\n    while True: signal.pause()");
    // Its output is a pipe that reaches its end only when nobody holds it.
    assert_eq!((done.text.as_str(), done.exit), ("", Exit::Code(0)));
});

promise!(a_sandbox_that_is_ended_says_so, || {
    let world = World::new();
    let mut running = start(world.plan("import signal\nprint('up', flush=True)\nwhile True: signal.pause()"));
    running.supervisor.running().unwrap();
    assert_eq!(running.line(), "up");
    assert_eq!(running.supervisor.ended(), None);
    running.supervisor.kill();
    assert_eq!(running.done().exit, Exit::Ended);
});

promise!(a_program_that_cannot_be_executed_is_an_error_of_the_execution, || {
    let world = World::new();
    let mut plan = world.plan("");
    plan.program = world.write("work/plain", "text");
    let (supervisor, _inside) = spawn(plan).unwrap();
    let error = supervisor.running().unwrap_err();
    assert_eq!((error.step, error.errno, error.is_missing_program()), (Step::Execute, Errno::ACCESS, false));
    assert_eq!(supervisor.wait(), Exit::Ended);
});

struct Gate {
    given: Sender<usize>,
    listener: OwnedFd,
    fail: bool,
}

struct Owned(Sender<usize>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.send(1_000).unwrap();
    }
}

fn null() -> OwnedFd {
    std::fs::File::open("/dev/null").unwrap().into()
}

impl Hook for Gate {
    fn keeps(&self) -> Vec<RawFd> {
        vec![self.listener.as_raw_fd()]
    }

    fn in_child(&self, given: &mut Given) -> Result<(), Errno> {
        if self.fail {
            return Err(Errno::NOSYS);
        }
        for _ in 0..2 {
            given.give(rustix::io::fcntl_dupfd_cloexec(&self.listener, 0)?)?;
        }
        Ok(())
    }

    fn in_supervisor(&mut self, given: Vec<OwnedFd>, agent: BorrowedFd<'_>) -> std::io::Result<Box<dyn Any + Send>> {
        rustix::process::pidfd_send_signal(agent, Signal::CONT)?;
        self.given.send(given.iter().filter(|fd| rustix::io::fcntl_getfd(fd.as_fd()).is_ok()).count()).unwrap();
        Ok(Box::new(Owned(self.given.clone())))
    }
}

promise!(a_hook_hands_descriptors_to_the_supervisor_before_the_agent_executes, || {
    let world = World::new();
    let (given, told) = channel();
    let mut plan = world.plan("print('ran')");
    plan.hook = Some(Box::new(Gate { given, listener: null(), fail: false }));
    let running = start(plan);
    assert_eq!(told.recv().unwrap(), 2);
    let supervisor = std::sync::Arc::clone(&running.supervisor);
    assert_eq!(running.done().text, "ran\n");
    drop(supervisor);
    assert_eq!(told.recv().unwrap(), 1_000, "what the hook returned lives as long as the sandbox");
});

promise!(an_agent_whose_hook_fails_is_not_started, || {
    let world = World::new();
    let (given, _told) = channel();
    let mut plan = world.plan("open('ran', 'w')");
    plan.hook = Some(Box::new(Gate { given, listener: null(), fail: true }));
    let error = spawn(plan).map(drop).unwrap_err();
    assert_eq!((error.step, error.errno), (Step::Hook, Errno::NOSYS));
    assert!(!world.workspace.join("ran").exists());
});
