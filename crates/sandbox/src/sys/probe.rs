//! What is tried once, to learn whether the kernel lets us.
#![allow(unsafe_code)]

use super::call::outcome;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::Pid;

/// Installs a filter that notifies of one call nobody makes, and returns its listener. Needs no_new_privs.
pub(crate) fn notify_filter() -> Result<OwnedFd, Errno> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let filter = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, libc::SYS_getppid as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    super::seccomp::install_with_listener(&filter, true)
}

/// Attaches to a child of this thread, which is not stopped by it.
pub(crate) fn seize(child: Pid) -> Result<(), Errno> {
    // SAFETY: takes numbers alone.
    outcome(unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, child.as_raw_nonzero().get(), 0_usize, 0_usize) }).map(drop)
}
