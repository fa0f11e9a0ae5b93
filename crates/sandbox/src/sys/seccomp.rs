//! seccomp: installing filters, and the calls of a listener (`seccomp_unotify(2)`).
#![allow(unsafe_code)]

use super::call::{outcome, owned};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// Installs a filter on the calling thread, for good. Needs no_new_privs.
pub(crate) fn install(filter: &[libc::sock_filter]) -> Result<(), Errno> {
    set_filter(filter, 0).map(drop)
}

/// The same for a filter that notifies. With `killable` a caller whose call was received is woken by nothing but its end (5.19).
pub(crate) fn install_with_listener(filter: &[libc::sock_filter], killable: bool) -> Result<OwnedFd, Errno> {
    let killable = if killable { libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV } else { 0 };
    owned(set_filter(filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | killable)?)
}

fn set_filter(filter: &[libc::sock_filter], flags: libc::c_ulong) -> Result<libc::c_long, Errno> {
    let len = u16::try_from(filter.len()).map_err(|_| Errno::TOOBIG)?;
    // The kernel only reads; the binding has no const pointer.
    let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
    // SAFETY: `program` names the instructions of `filter`, which outlive the call; the kernel copies them.
    outcome(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) })
}

/// Whether the kernel's structures are no longer than those this was compiled with.
pub(crate) fn sizes_fit() -> Result<bool, Errno> {
    let mut sizes = libc::seccomp_notif_sizes { seccomp_notif: 0, seccomp_notif_resp: 0, seccomp_data: 0 };
    // SAFETY: the kernel writes one `seccomp_notif_sizes` to the pointer.
    outcome(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_GET_NOTIF_SIZES, 0_u64, &raw mut sizes) })?;
    Ok(usize::from(sizes.seccomp_notif) <= size_of::<libc::seccomp_notif>()
        && usize::from(sizes.seccomp_notif_resp) <= size_of::<libc::seccomp_notif_resp>())
}

/// Answer and waiter share a processor (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`, 6.6).
pub(crate) fn wake_in_place(listener: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: this ioctl takes the value itself.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1_u64) };
    outcome(done.into()).map(drop)
}

/// Receives a call. Blocks where none waits.
pub(crate) fn receive(listener: BorrowedFd<'_>) -> Result<libc::seccomp_notif, Errno> {
    // SAFETY: a structure of integers; the kernel wants it zeroed.
    let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one `seccomp_notif`; `sizes_fit` compared its size.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, &raw mut call) };
    outcome(done.into()).map(|_| call)
}

/// Fails when the caller no longer waits.
pub(crate) fn id_valid(listener: BorrowedFd<'_>, id: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads one u64.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw const id) };
    outcome(done.into()).map(drop)
}

/// Answers a call.
pub(crate) fn answer(listener: BorrowedFd<'_>, answer: &libc::seccomp_notif_resp) -> Result<(), Errno> {
    // SAFETY: the kernel reads one `seccomp_notif_resp`; `sizes_fit` compared its size.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, std::ptr::from_ref(answer)) };
    outcome(done.into()).map(drop)
}

/// Puts a descriptor into the caller's table.
pub(crate) fn add_descriptor(listener: BorrowedFd<'_>, request: &libc::seccomp_notif_addfd) -> Result<(), Errno> {
    // SAFETY: the kernel reads one `seccomp_notif_addfd`, whose descriptor the caller of this borrows.
    let done = unsafe { libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_ADDFD, std::ptr::from_ref(request)) };
    outcome(done.into()).map(drop)
}
