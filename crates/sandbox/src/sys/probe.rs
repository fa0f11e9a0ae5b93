//! What is tried once, to learn whether the kernel lets us.
#![allow(unsafe_code)]

use super::call::{outcome, owned};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::Pid;

/// Installs a filter that notifies of one call nobody makes, and returns its listener. Needs no_new_privs.
pub(crate) fn notify_filter() -> Result<OwnedFd, Errno> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, libc::SYS_getppid as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    // SAFETY: the program names the four instructions beside it; both outlive the call.
    owned(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

/// Attaches to a child of this thread, which is not stopped by it.
pub(crate) fn seize(child: Pid) -> Result<(), Errno> {
    // SAFETY: takes numbers alone.
    outcome(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, child.as_raw_nonzero().get(), 0_usize, 0_usize) }).map(drop)
}
