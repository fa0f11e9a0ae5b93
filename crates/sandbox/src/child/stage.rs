//! The files of the sandbox: carries out what was planned, then leaves the host's root for good.

use super::{At, Outcome};
use crate::error::Step;
use crate::files::{Op, Stage, What};
use crate::sys::call::{borrowed, mount_setattr};
use rustix::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, symlinkat};
use rustix::io::{Errno, write};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{fchdir, pivot_root};
use std::ffi::CStr;

/// Where bytes and empty places are kept until everything is mounted; it is gone before the agent starts.
const STAGING: &CStr = c".staging";

/// Makes the new root and enters it. `opened` has room for every source.
pub(super) fn set_up(stage: &Stage, opened: &mut [RawFd]) -> Outcome<()> {
    mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).at(Step::Propagation)?;
    for (index, (path, place)) in stage.sources.iter().zip(opened.iter_mut()).enumerate() {
        *place = clone_tree(CWD, path).of(Step::Source, index)?.into_raw_fd();
    }
    let root = tmpfs(c"16m", c"755").at(Step::Root)?;
    attach(&root, CWD, &stage.base).at(Step::Root)?;
    let staging = fill(stage, root.as_fd())?;
    for (index, op) in stage.ops.iter().enumerate() {
        carry_out(op, opened, root.as_fd(), staging.as_fd(), index)?;
    }
    fchdir(&root).at(Step::Pivot)?;
    unmount(STAGING, UnmountFlags::DETACH).at(Step::Pivot)?;
    rustix::fs::unlinkat(&root, STAGING, rustix::fs::AtFlags::REMOVEDIR).at(Step::Pivot)?;
    mount_setattr(root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY.bits().into(), false).at(Step::Pivot)?;
    // The old root comes to lie over the new one, and is taken off.
    pivot_root(c".", c".").at(Step::Pivot)?;
    unmount(c".", UnmountFlags::DETACH).at(Step::Pivot)?;
    rustix::process::chdir(c"/").at(Step::Pivot)
}

/// A directory with everything that is laid over files, and the two empty things that hide.
fn fill(stage: &Stage, root: BorrowedFd<'_>) -> Outcome<OwnedFd> {
    mkdirat(root, STAGING, Mode::RWXU).at(Step::Overlay)?;
    let staging = tmpfs(c"128m", c"755").at(Step::Overlay)?;
    attach(&staging, root, STAGING).at(Step::Overlay)?;
    mkdirat(&staging, c"directory", Mode::from_raw_mode(0o555)).at(Step::Overlay)?;
    new_file(&staging, c"file", b"").at(Step::Overlay)?;
    for (index, bytes) in stage.bytes.iter().enumerate() {
        new_file(&staging, name_of(index).as_c_str(), bytes).of(Step::Overlay, index)?;
    }
    Ok(staging)
}

fn carry_out(op: &Op, opened: &[RawFd], root: BorrowedFd<'_>, staging: BorrowedFd<'_>, index: usize) -> Outcome<()> {
    match op {
        Op::Directory(at, mode) => made(with_parent(root, at, |dir, name| mkdirat(dir, name, Mode::from_raw_mode(*mode)))).of(Step::Skeleton, index),
        Op::File(at) => made(with_parent(root, at, |dir, name| new_file(dir, name, b""))).of(Step::Skeleton, index),
        Op::Link(at, to) => made(with_parent(root, at, |dir, name| symlinkat(to.as_c_str(), dir, name))).of(Step::Skeleton, index),
        Op::Limit(at, bytes, needed) => match (limit(root, at, bytes), needed) {
            // A kernel that knows no such limit has nothing to bound.
            (Err(Errno::NOENT), _) | (_, false) => Ok(()),
            (done, true) => done.of(Step::Limits, index),
        },
        Op::Mount(what, at, attributes) => {
            let step = if matches!(what, What::Proc) { Step::Proc } else { Step::Mount };
            let tree = tree(what, at, opened, root, staging).of(step, index)?;
            // What was made here has its attributes from the start, and no mounts below it.
            let ours = matches!(what, What::Tmpfs(..) | What::Proc | What::Pts);
            if !ours {
                mount_setattr(tree.as_fd(), *attributes, true).of(step, index)?;
            }
            let target = beneath(root, at, OFlags::PATH).of(Step::Skeleton, index)?;
            attach(&tree, target.as_fd(), c"").of(step, index)
        }
    }
}

fn tree(what: &What, at: &CStr, opened: &[RawFd], root: BorrowedFd<'_>, staging: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    match what {
        What::Source(place) => {
            let fd = opened.get(*place).copied().and_then(borrowed).ok_or(Errno::BADF)?;
            rustix::io::fcntl_dupfd_cloexec(fd, 0)
        }
        What::Tmpfs(size, mode) => tmpfs(size, mode),
        What::Proc => proc(),
        What::Pts => filesystem(c"devpts", &[(c"mode", c"620"), (c"ptmxmode", c"666")], MountAttrFlags::MOUNT_ATTR_NOSUID),
        What::EmptyDirectory => clone_tree(staging, c"directory"),
        What::EmptyFile => clone_tree(staging, c"file"),
        What::Bytes(place) => clone_tree(staging, name_of(*place).as_c_str()),
        What::Again => clone_tree(root, at),
    }
}

/// Processes that the agent may not trace are not there for it: process 1 of the sandbox above all.
fn proc() -> Result<OwnedFd, Errno> {
    let safe = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    filesystem(c"proc", &[(c"hidepid", c"ptraceable")], safe)
}

fn tmpfs(size: &CStr, mode: &CStr) -> Result<OwnedFd, Errno> {
    filesystem(c"tmpfs", &[(c"size", size), (c"mode", mode)], MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV)
}

fn filesystem(name: &CStr, settings: &[(&CStr, &CStr)], attributes: MountAttrFlags) -> Result<OwnedFd, Errno> {
    let context = fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in settings {
        fsconfig_set_string(&context, *key, *value)?;
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn clone_tree(dir: impl AsFd, path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    open_tree(dir, path, flags)
}

/// Attaches a tree; with an empty path, on the descriptor itself.
fn attach(tree: &OwnedFd, dir: impl AsFd, path: &CStr) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tree, c"", dir, path, flags)
}

/// Opens something of the new root, through no link: what lies in a workspace may be an earlier agent's.
fn beneath(root: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within)
}

/// Calls `make` with the directory that a path is in, and its name there.
fn with_parent(root: BorrowedFd<'_>, path: &CStr, make: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<(), Errno>) -> Result<(), Errno> {
    const LONGEST: usize = 4096;
    let bytes = path.to_bytes_with_nul();
    let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') else { return make(root, path) };
    let mut parent = [0_u8; LONGEST];
    let (before, name) = bytes.split_at(slash);
    parent.get_mut(..slash).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(before);
    let parent = CStr::from_bytes_until_nul(&parent).map_err(|_| Errno::NAMETOOLONG)?;
    let name = CStr::from_bytes_with_nul(name.get(1..).unwrap_or_default()).map_err(|_| Errno::INVAL)?;
    make(beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY)?.as_fd(), name)
}

fn made(outcome: Result<(), Errno>) -> Result<(), Errno> {
    if outcome == Err(Errno::EXIST) { Ok(()) } else { outcome }
}

fn new_file(dir: impl AsFd, name: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(dir, name, flags, Mode::from_raw_mode(0o644))?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let done = write(&file, rest)?;
        rest = rest.get(done..).unwrap_or_default();
    }
    Ok(())
}

fn limit(root: BorrowedFd<'_>, at: &CStr, bytes: &[u8]) -> Result<(), Errno> {
    write(beneath(root, at, OFlags::WRONLY)?, bytes).map(drop)
}

/// A short name that needs no allocation.
struct Name([u8; 9]);

impl Name {
    fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"0")
    }
}

fn name_of(index: usize) -> Name {
    let mut out = [0_u8; 9];
    for (place, shift) in out.iter_mut().zip([28, 24, 20, 16, 12, 8, 4, 0]) {
        *place = b'a' + ((index >> shift) & 15) as u8;
    }
    Name(out)
}
