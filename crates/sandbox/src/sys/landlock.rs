//! The three calls of Landlock (`Documentation/userspace-api/landlock.rst`).
#![allow(unsafe_code)]

use super::call::{outcome, owned};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// The version of the interface; an error where there is none.
pub(crate) fn abi() -> Result<u32, Errno> {
    const VERSION: libc::c_long = 1;
    // SAFETY: with this flag the structure is null and its size zero.
    let got = outcome(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, 0_usize, 0_usize, VERSION) })?;
    Ok(u32::try_from(got).unwrap_or(0))
}

/// A ruleset that denies what it handles, until rules allow it.
pub(crate) fn create(handled_fs: u64, scoped: u64) -> Result<OwnedFd, Errno> {
    // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped. Older kernels know the first alone.
    let attr = [handled_fs, 0, scoped];
    let size = if scoped == 0 { size_of::<u64>() } else { size_of_val(&attr) };
    // SAFETY: the structure has at least the size that is named and outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attr.as_ptr(), size, 0) })
}

/// Allows `access` beneath a file or directory.
pub(crate) fn allow(ruleset: BorrowedFd<'_>, access: u64, at: BorrowedFd<'_>) -> Result<(), Errno> {
    const PATH_BENEATH: libc::c_long = 1;
    // struct landlock_path_beneath_attr is packed: a u64 and a descriptor.
    let mut attr = [0_u8; 12];
    let (first, second) = attr.split_at_mut(8);
    first.copy_from_slice(&access.to_ne_bytes());
    second.copy_from_slice(&at.as_raw_fd().to_ne_bytes());
    // SAFETY: the structure has the twelve bytes that this kind of rule has, and outlives the call.
    outcome(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, attr.as_ptr(), 0) }).map(drop)
}

/// From here on this thread, and what it starts, is bound by the ruleset.
pub(crate) fn restrict_self(ruleset: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: takes numbers alone.
    outcome(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) }).map(drop)
}
