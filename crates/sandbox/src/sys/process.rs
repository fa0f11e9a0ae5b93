//! Making, executing and ending processes.
#![allow(unsafe_code)]

use super::call::outcome;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;
use rustix::process::Pid;
use std::ffi::{CStr, CString, c_char};

/// Starts a child that shares no memory, in the namespaces that `flags` name, and in a cgroup from its first moment where one is
/// given: moving it there later stops the whole machine for a while. The child runs `body` and nothing else.
///
/// # Safety
/// The parent may have threads, and of them the child has the calling one alone: `body` must not allocate, lock, panic or
/// unwind, and must use system calls and memory that was prepared before, like a signal handler.
pub(crate) unsafe fn clone<B: FnOnce() -> i32>(flags: libc::c_int, cgroup: Option<BorrowedFd<'_>>, body: B) -> Result<(Pid, OwnedFd), Errno> {
    let mut pidfd: RawFd = -1;
    let flags = (flags | libc::CLONE_PIDFD) as u32;
    let pid = match cgroup {
        Some(cgroup) => clone_into(flags, cgroup, &mut pidfd),
        // The older call: containers often refuse the newer one, whose flags a filter cannot read.
        None => {
            let flags = i64::from(flags) | i64::from(libc::SIGCHLD);
            // SAFETY: no new stack and no shared memory: both processes go on from here, each on its own copy. The third
            // argument is where the kernel writes the pidfd, in the parent, and it outlives the call.
            outcome(unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, &raw mut pidfd, 0_usize, 0_usize) })
        }
    }?;
    if pid == 0 {
        end(body());
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(Errno::CHILD)?;
    // SAFETY: the kernel has just made it for us.
    Ok((pid, unsafe { OwnedFd::from_raw_fd(pidfd) }))
}

fn clone_into(flags: u32, cgroup: BorrowedFd<'_>, pidfd: &mut RawFd) -> Result<libc::c_long, Errno> {
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup.
    let place = std::ptr::from_mut(pidfd).expose_provenance() as u64;
    let arguments = [u64::from(flags) | INTO_CGROUP, place, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, 0, 0, cgroup.as_raw_fd() as u64];
    // SAFETY: as the older call: no new stack, no shared memory, and a place for the pidfd that outlives the call.
    outcome(unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })
}

/// Ends this process now: no destructor, no handler, no buffer.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Blocks every signal in this thread; a child starts with the same mask.
pub(crate) fn block_signals() {
    set_mask([0xff; 8]);
}

/// Unblocks every signal and gives each its default action back: handlers are the parent's, and ignored ones stay ignored
/// over `execve`.
pub(crate) fn default_signals() {
    const LAST: i32 = 64;
    for number in 1..=LAST {
        // SAFETY: the default action refers to no memory. Numbers that cannot be set are refused, which is their default.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    set_mask([0; 8]);
}

/// Children are waited for, whatever the process that this is a copy of does with its own.
pub(crate) fn await_children() {
    // SAFETY: the default action refers to no memory.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn set_mask(mask: [u8; 8]) {
    // SAFETY: the mask has the kernel's size and outlives the call; the old one is not asked for. It cannot fail then.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, mask.as_ptr(), 0_usize, mask.len()) };
}

/// A list of strings as `execve` takes it, made before the child is.
pub(crate) struct Strings {
    pointers: Vec<*const c_char>,
    // Holds what the pointers lead to.
    _strings: Vec<CString>,
}

impl Strings {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect();
        Self { pointers, _strings: strings }
    }
}

// SAFETY: the pointers lead into heap memory that this value owns and never changes; moving it moves no byte of it.
unsafe impl Send for Strings {}

/// Executes a program. Returns only when that failed.
pub(crate) fn execute(program: &CStr, arguments: &Strings, environment: &Strings) -> Errno {
    // SAFETY: the path is a C string; both lists end with a null pointer and own what they point to.
    let done = unsafe { libc::execve(program.as_ptr(), arguments.pointers.as_ptr(), environment.pointers.as_ptr()) };
    outcome(libc::c_long::from(done)).err().unwrap_or(Errno::NOEXEC)
}
