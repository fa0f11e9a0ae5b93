//! The exec stop: an allowed exec runs under a tracer until the kernel has put the new program in place, and is compared with
//! what was judged before its first instruction. By then nobody else can change it: its memory and descriptors are its own, its
//! arguments are copied, its file is closed to writers.

use std::fs::File;
use std::io::{self, Read};

use super::identity::Digests;
use super::judge::{Outcome, Tampering};
use super::seen::{Exec, Kind};
use crate::sys::trace::{self, Stop};
use super::{Listener, watch};

/// Lets an allowed exec run and verifies it. Attaches, waits and lets go on this one thread.
pub(super) fn let_run(listener: &Listener, digests: &Digests, exec: &Exec) -> Outcome {
    if let Err(error) = trace::seize(exec.tid) {
        return match error.raw_os_error() {
            Some(libc::ESRCH) => Outcome::Gone,
            _ => Outcome::Unverifiable("a debugger holds the process, or it cannot be looked into"),
        };
    }
    // The call is not interrupted by this: it waits for us killably. Afterwards the thread stops either way: at the exec stop if
    // the exec succeeded, before it returns from the call if not.
    let interrupted = trace::interrupt(exec.tid);
    // Asked only now, so that the thread that was seized is the one that called.
    if interrupted.is_err() || !listener.valid(exec.id) || !listener.allow(exec.id) {
        release(exec.tid);
        return Outcome::Gone;
    }
    loop {
        match trace::wait() {
            Err(_) => return Outcome::Gone,
            // After its exec a thread has the id of its process.
            Ok((id, _)) if id != exec.tid && id != exec.pid => {}
            Ok((pid, Stop::Exec)) => return at_stop(digests, exec, pid),
            Ok((_, Stop::Gone)) => return Outcome::Gone,
            Ok((tid, stop)) => {
                let_go(tid, if let Stop::Signal(signal) = stop { signal } else { 0 });
                return Outcome::Failed;
            }
        }
    }
}

/// Lets go of a thread that was seized and interrupted.
fn release(tid: i32) {
    while let Ok((id, stop)) = trace::wait() {
        match stop {
            _ if id != tid => {}
            Stop::Gone => return,
            Stop::Signal(signal) => return let_go(tid, signal),
            _ => return let_go(tid, 0),
        }
    }
}

/// Lets go of a stopped thread. One that is killed meanwhile does not obey, and must be waited for by its tracer.
fn let_go(tid: i32, signal: i32) {
    if trace::detach(tid, signal).is_err() {
        trace::end_and_reap(tid);
    }
}

fn at_stop(digests: &Digests, exec: &Exec, pid: i32) -> Outcome {
    let verified = match trace::other_id(pid) {
        // It took over the id of its process, if another thread than the first called.
        Ok(former) if former == exec.tid && pid == exec.pid => compare(digests, exec, pid).unwrap_or(Some(Tampering::Unreadable)),
        _ => Some(Tampering::Program),
    };
    match verified {
        Some(tampering) => {
            trace::end_and_reap(pid);
            Outcome::Tampered(tampering)
        }
        None => match exec.script.as_ref().and_then(|script| script.hold.as_ref()) {
            Some(hold) => watch::until_read(hold, pid),
            None => {
                let_go(pid, 0);
                Outcome::Started { pid }
            }
        },
    }
}

/// What differs, if anything does.
fn compare(digests: &Digests, exec: &Exec, pid: i32) -> io::Result<Option<Tampering>> {
    if exec.kind == Kind::Other || !digests.prove(pid, &exec.binary)? {
        return Ok(Some(Tampering::Program));
    }
    let arguments = &exec.starts_with;
    if !same(&format!("/proc/{pid}/cmdline"), &arguments.bytes, arguments.truncated)? {
        return Ok(Some(Tampering::Arguments));
    }
    if !same(&format!("/proc/{pid}/environ"), &exec.env.bytes, exec.env.truncated)? {
        return Ok(Some(Tampering::Environment));
    }
    Ok(None)
}

/// Whether the file has these bytes and no more, or begins with them.
fn same(path: &str, judged: &[u8], begins: bool) -> io::Result<bool> {
    let mut bytes = Vec::with_capacity(judged.len() + 1);
    File::open(path)?.take(judged.len() as u64 + u64::from(!begins)).read_to_end(&mut bytes)?;
    Ok(bytes == judged)
}
