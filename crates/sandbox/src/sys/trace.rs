//! ptrace and waiting, as far as the exec stop needs them. A tracee obeys the thread that seized it and no other; every function
//! here is called by that thread.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

/// What a tracee did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is gone, and reaped as far as the tracer is concerned.
    Gone,
    /// It became another program.
    Exec,
    /// It made a thread or a process, which is traced as well.
    Forked,
    /// It was interrupted, or has just been attached.
    Interrupted,
    /// A signal stopped its whole process.
    Group,
    /// It begins or ends a system call.
    Call,
    /// It is about to get this signal.
    Signal(i32),
}

/// Made by `PTRACE_O_TRACESYSGOOD`.
const CALL_STOP: i32 = libc::SIGTRAP | 0x80;
const EVENT_STOP: i32 = 128;

/// Attaches without stopping.
pub(crate) fn seize(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD)
}

/// From here on whatever a tracee starts is traced too.
pub(crate) fn follow_forks(tid: i32) -> io::Result<()> {
    let family = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK | libc::PTRACE_O_TRACECLONE;
    let base = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL | libc::PTRACE_O_TRACESYSGOOD;
    request(libc::PTRACE_SETOPTIONS, tid, base | family)
}

/// Asks a running tracee to stop before its next instruction of its own.
pub(crate) fn interrupt(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped tracee go, with `signal` if that is not 0.
pub(crate) fn detach(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_DETACH, tid, signal)
}

/// Lets a stopped tracee run to the beginning or end of its next system call.
pub(crate) fn run_to_call(tid: i32, signal: i32) -> io::Result<()> {
    request(libc::PTRACE_SYSCALL, tid, signal)
}

/// Leaves a tracee in its group stop, until it is continued by signal.
pub(crate) fn stay_stopped(tid: i32) -> io::Result<()> {
    request(libc::PTRACE_LISTEN, tid, 0)
}

fn request(what: libc::c_uint, tid: i32, data: i32) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: these requests read `data` as a value and ignore the address.
    let got = unsafe { libc::ptrace(what, tid, none, libc::c_long::from(data)) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// At an exec stop: the id that the thread had before, which is not that of its process where a thread beside the first one called.
/// At a fork: the id of the new task.
pub(crate) fn other_id(tid: i32) -> io::Result<i32> {
    let mut message: libc::c_ulong = 0;
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: this request writes one unsigned long to `data`.
    let got = unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid, none, &raw mut message) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(i32::try_from(message).unwrap_or(0)) }
}

/// A system call that a tracee stands at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Call {
    /// Before it runs.
    Entry {
        /// Its number.
        nr: u64,
        /// Its arguments.
        args: [u64; 6],
    },
    /// After it ran.
    Exit {
        /// What it returned, negative for an error.
        value: i64,
    },
    /// At none.
    None,
}

/// Which system call the tracee stands at.
pub(crate) fn call(tid: i32) -> io::Result<Call> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of::<libc::ptrace_syscall_info>();
    // SAFETY: this request takes a size as address and writes at most that many bytes to `data`.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, size, info.as_mut_ptr()) };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeroed integers, partly overwritten by the kernel: a valid value throughout.
    let info = unsafe { info.assume_init() };
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: `op` says that the kernel wrote this member; all members are integers.
            let entry = unsafe { info.u.entry };
            Call::Entry { nr: entry.nr, args: entry.args }
        }
        libc::PTRACE_SYSCALL_INFO_EXIT => {
            // SAFETY: as above.
            let exit = unsafe { info.u.exit };
            Call::Exit { value: exit.sval }
        }
        _ => Call::None,
    })
}

/// Registers of a stopped tracee.
pub(crate) fn registers(tid: i32) -> io::Result<libc::user_regs_struct> {
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: this request writes one `user_regs_struct` to `data`.
    if unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, none, registers.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: integers, written by the kernel.
    Ok(unsafe { registers.assume_init() })
}

/// Sets the registers of a stopped tracee.
pub(crate) fn set_registers(tid: i32, registers: &libc::user_regs_struct) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: this request reads one `user_regs_struct` from `data`.
    let got = unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, none, std::ptr::from_ref(registers)) };
    if got < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Waits for any tracee of this thread. Not for one by its id: an exec by another thread than the first changes the id, and
/// whoever waits for the old one waits for ever.
pub(crate) fn wait() -> io::Result<(i32, Stop)> {
    loop {
        let mut status = 0;
        // SAFETY: the kernel writes one int.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if pid >= 0 {
            return Ok((pid, stop_of(status)));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn stop_of(status: i32) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::Gone;
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == CALL_STOP => Stop::Call,
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        EVENT_STOP if signal == libc::SIGTRAP => Stop::Interrupted,
        EVENT_STOP => Stop::Group,
        _ => Stop::Forked,
    }
}

/// Kills the process of a thread.
pub(crate) fn end(tid: i32) {
    // SAFETY: values; the id is that of a tracee, which nobody but this thread reaps.
    unsafe { libc::syscall(libc::SYS_tkill, tid, libc::SIGKILL) };
}

/// Kills a tracee and waits until it is gone: before its tracer has waited for it, its parent waits for ever.
pub(crate) fn end_and_reap(pid: i32) {
    end(pid);
    // Killed while stopped, it may still report what was under way.
    while let Ok((stopped, stop)) = wait() {
        if stopped == pid && stop == Stop::Gone {
            return;
        }
    }
}
