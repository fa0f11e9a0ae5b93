//! One raw system call, and the ones that take numbers and borrowed memory only.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::Errno;

/// What `libc::syscall` returned, as a result. No allocation, and errno is this thread's.
pub(super) fn outcome(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned < 0 {
        // SAFETY: returns the address of this thread's errno, which is always valid to read.
        let code = unsafe { *libc::__errno_location() };
        return Err(Errno::from_raw_os_error(code));
    }
    Ok(returned)
}

/// `mount_setattr`: sets `set` on a mount that was not attached yet, and with `recursive` on all below it.
pub(crate) fn mount_setattr(tree: BorrowedFd<'_>, set: u64, recursive: bool) -> Result<(), Errno> {
    // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
    let attr = [set, 0, 0, 0];
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a C string, and the structure has the 32 bytes that are named; both outlive the call.
    let done = unsafe {
        libc::syscall(libc::SYS_mount_setattr, tree.as_raw_fd(), c"".as_ptr(), flags, attr.as_ptr(), size_of_val(&attr))
    };
    outcome(done).map(drop)
}

/// `close_range(first, last, flags)`.
pub(crate) fn close_range(first: u32, last: u32, flags: u32) -> Result<(), Errno> {
    // SAFETY: takes numbers alone. Callers are processes that are about to execute or to sleep for good, and use none of
    // the descriptors that they close.
    outcome(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }).map(drop)
}

/// Makes all descriptors of this process close at `execve`, in a table that is its own from here on.
pub(crate) fn close_all_at_exec() -> Result<(), Errno> {
    const UNSHARE: u32 = 1 << 1;
    const CLOEXEC: u32 = 1 << 2;
    close_range(0, u32::MAX, UNSHARE | CLOEXEC)
}

/// Puts `source` at the number `target`, where it stays over `execve`.
pub(crate) fn dup_to(source: BorrowedFd<'_>, target: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers alone. Whatever was at `target` is the child's copy, which nothing else in the child uses.
    outcome(unsafe { libc::syscall(libc::SYS_dup3, source.as_raw_fd(), target, 0) }).map(drop)
}

/// A new, empty session keyring, so that keys of the session that started us are out of reach.
pub(crate) fn fresh_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name is allowed and asks for an anonymous keyring.
    outcome(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, 0_usize, 0_usize, 0_usize, 0_usize) }).map(drop)
}

/// A descriptor that is readable when a signal of all that are blocked waits.
pub(crate) fn signal_fd() -> Result<OwnedFd, Errno> {
    let every = [0xff_u8; 8];
    // SAFETY: the mask has the kernel's size, eight bytes, and outlives the call.
    let made = unsafe { libc::syscall(libc::SYS_signalfd4, -1, every.as_ptr(), every.len(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
    owned(made)
}

/// A descriptor that a system call has just made.
pub(super) fn owned(made: libc::c_long) -> Result<OwnedFd, Errno> {
    let raw = RawFd::try_from(outcome(made)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// A descriptor by its number, in a process that keeps it open as long as it runs.
pub(crate) fn borrowed(raw: RawFd) -> Option<BorrowedFd<'static>> {
    // SAFETY: -1 is the one value that is not allowed, and callers are children between clone and execve, which close
    // nothing that they were handed.
    (raw >= 0).then(|| unsafe { BorrowedFd::borrow_raw(raw) })
}

/// Sets an option of a socket that is a number.
pub(crate) fn set_option(socket: impl AsFd, level: i32, name: i32, value: i32) -> Result<(), Errno> {
    let bytes = value.to_ne_bytes();
    // SAFETY: the value has the length that is named and outlives the call.
    let done = unsafe {
        libc::syscall(libc::SYS_setsockopt, socket.as_fd().as_raw_fd(), level, name, bytes.as_ptr(), bytes.len())
    };
    outcome(done).map(drop)
}
