//! What this machine allows, found by doing it: settings say one thing and the kernel another.

use crate::child::Prepared;
use crate::error::{SpawnError, Step};
use crate::files::{Access, Layout};
use crate::grade::{Facts, Report, Tried};
use crate::identity::may_leave_groups;
use crate::start::{Channels, Child};
use crate::sys::process::{Strings, block_signals, clone};
use crate::sys::{landlock, probe};
use rustix::fd::AsFd;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, WaitIdStatus, pidfd_send_signal, waitid};
use std::path::Path;

/// Tries everything that a sandbox needs, in children that end at once, and says which grade that makes.
#[must_use]
pub fn probe() -> Report {
    facts().report()
}

/// Tries everything that a sandbox needs.
#[must_use]
pub fn facts() -> Facts {
    // A child lives no longer than its thread, and signals are blocked in it: not for the caller's.
    let tried = std::thread::Builder::new().name("probe".into()).spawn(|| {
        block_signals();
        (start(), notify(), trace())
    });
    let (start, notify, trace) = match tried.map(std::thread::JoinHandle::join) {
        Ok(Ok(tried)) => tried,
        _ => (Err(SpawnError::new(Step::Prepare, Errno::AGAIN)), Err(Errno::AGAIN), Err(Errno::AGAIN)),
    };
    let mut out = Facts {
        namespaces: Ok(()),
        identity: Ok(()),
        network: Ok(()),
        mounts: Ok(()),
        proc: Ok(()),
        landlock: landlock::abi().unwrap_or(0),
        notify,
        trace,
        settings: Vec::new(),
        container: in_container(),
    };
    if let Err(error) = start {
        note(&mut out, &error);
    }
    out.settings = settings(&out);
    out
}

/// A sandbox that is made in full, of very little, and is not let go on to execute.
fn start() -> Result<(), SpawnError> {
    let mut layout = Layout::new();
    layout.show(Path::new("/usr"), Access::Read)?;
    layout.show(Path::new("/dev/null"), Access::Device)?;
    layout.probe();
    let stage = layout.compile(false, crate::limits::PROCESSES)?;
    let mut prepared = Prepared {
        opened: vec![-1; stage.sources.len()],
        stage,
        ports: Vec::new(),
        dns: true,
        leave_groups: may_leave_groups(),
        program: c"/usr/bin/true".into(),
        arguments: Strings::new(Vec::new()),
        environment: Strings::new(Vec::new()),
        directory: c"/".into(),
        descriptors: Vec::new(),
        terminal: None,
        processes: crate::limits::PROCESSES,
        hook: None,
        kept: Vec::new(),
    };
    let (mut child, _requests) = Child::make(&mut prepared, Channels::new()?)?;
    child.settle(&prepared)?;
    child.ready(&prepared).map(drop)
}

fn note(facts: &mut Facts, error: &SpawnError) {
    let place = match error.step {
        Step::Identity | Step::Groups => &mut facts.identity,
        Step::Loopback | Step::Route | Step::Listen | Step::Hand => &mut facts.network,
        Step::Propagation | Step::Source | Step::Root | Step::Skeleton | Step::Mount | Step::Overlay | Step::Pivot => &mut facts.mounts,
        Step::Proc | Step::Limits => &mut facts.proc,
        Step::Landlock => {
            facts.landlock = 0;
            return;
        }
        _ => &mut facts.namespaces,
    };
    *place = Err(error.errno);
}

/// Runs `body` in a child; the code that it ends with is an error of the system, or 0.
fn in_child(body: impl FnOnce() -> i32) -> Tried {
    // SAFETY: the bodies below make system calls with values of their own, and nothing else.
    #[allow(unsafe_code)]
    let (_, pidfd) = unsafe { clone(0, None, body) }?;
    let status = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    match status.and_then(|status: WaitIdStatus| status.exit_status()) {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(code)),
        None => Err(Errno::PERM),
    }
}

fn notify() -> Tried {
    in_child(|| {
        let installed = rustix::thread::set_no_new_privs(true).and_then(|()| probe::notify_filter());
        installed.err().map_or(0, |errno| errno.raw_os_error())
    })
}

fn trace() -> Tried {
    let ready = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
    // SAFETY: the body makes system calls with values of its own, and waits for a signal.
    #[allow(unsafe_code)]
    let (pid, pidfd) = unsafe {
        clone(0, None, || {
            // A launcher that protects its memory has children that nobody traces; what agents execute is another matter.
            let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::Dumpable);
            let _ = rustix::io::write(&ready, &1_u64.to_ne_bytes());
            loop {
                let _ = rustix::event::poll(&mut [], None);
            }
        })
    }?;
    let mut told = [0; 8];
    let seized = rustix::io::read(&ready, &mut told).and_then(|_| probe::seize(pid));
    pidfd_send_signal(&pidfd, Signal::KILL)?;
    waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)?;
    seized
}

fn in_container() -> bool {
    ["/.dockerenv", "/run/.containerenv", "/var/run/secrets/kubernetes.io"].iter().any(|path| Path::new(path).exists())
}

/// Settings that are known to refuse what was refused.
fn settings(facts: &Facts) -> Vec<String> {
    let spaces = facts.namespaces.is_err() || facts.identity.is_err() || facts.mounts.is_err() || facts.proc.is_err();
    let value = |name: &str| std::fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?.trim().parse::<u64>().ok();
    let told = |name: &str, refuses: fn(u64) -> bool| value(name).filter(|value| refuses(*value)).map(|value| format!("{name}={value}"));
    let mut out = Vec::new();
    if spaces {
        out.extend(told("kernel.apparmor_restrict_unprivileged_userns", |value| value != 0));
        out.extend(told("kernel.unprivileged_userns_clone", |value| value == 0));
        out.extend(told("user.max_user_namespaces", |value| value == 0));
    }
    if facts.trace.is_err() {
        out.extend(told("kernel.yama.ptrace_scope", |value| value >= 2));
    }
    out
}
