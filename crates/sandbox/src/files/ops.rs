//! What the child carries out, in order. Every string and byte is there before the child is.

use crate::error::{SpawnError, Step};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `MOUNT_ATTR_*` of `linux/mount.h`.
pub(super) const RDONLY: u64 = 1;
pub(super) const NOSUID: u64 = 2;
pub(super) const NODEV: u64 = 4;

/// What the agent may do with something that it sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and execute.
    Read,
    /// Everything but making devices.
    Write,
    /// A device: read, write, control.
    Device,
    /// `/proc` where the sandbox may nest: read, and write what is a process's own.
    Proc,
}

impl Access {
    /// Attributes of a mount.
    pub(super) const fn attributes(self) -> u64 {
        match self {
            Self::Read => RDONLY | NOSUID | NODEV,
            Self::Write | Self::Proc => NOSUID | NODEV,
            Self::Device => NOSUID,
        }
    }

    /// Rights of Landlock (`linux/landlock.h`); those of directories have no meaning on a file and are refused there.
    const fn rights(self, directory: bool) -> u64 {
        const EXECUTE: u64 = 1;
        const WRITE_FILE: u64 = 1 << 1;
        const READ_FILE: u64 = 1 << 2;
        const READ_DIR: u64 = 1 << 3;
        const TRUNCATE: u64 = 1 << 14;
        const IOCTL_DEV: u64 = 1 << 15;
        const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
        const MAKE_CHAR: u64 = 1 << 6;
        const MAKE_BLOCK: u64 = 1 << 11;
        let rights = match self {
            Self::Read => EXECUTE | READ_FILE | READ_DIR,
            Self::Write => ALL_RIGHTS & !(MAKE_CHAR | MAKE_BLOCK),
            Self::Device => READ_FILE | WRITE_FILE | READ_DIR | TRUNCATE | IOCTL_DEV,
            Self::Proc => READ_FILE | WRITE_FILE | READ_DIR,
        };
        if directory { rights } else { rights & OF_FILES }
    }
}

/// Every right of Landlock 5 and later: what a ruleset handles, and denies where no rule allows it.
pub(crate) const ALL_RIGHTS: u64 = (1 << 16) - 1;
/// Abstract sockets and signals (Landlock 6).
pub(crate) const ALL_SCOPES: u64 = 3;
const READ_DIR: u64 = 1 << 3;

/// A rule of Landlock, which says again what the mounts say.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) at: CString,
    pub(crate) rights: u64,
}

impl Rule {
    pub(super) fn new(at: &Path, access: Access, directory: bool) -> Result<Self, SpawnError> {
        Ok(Self { at: c_string(at)?, rights: access.rights(directory) })
    }

    /// Names of the directories that lead to what is shown are no secret, and people list `/`.
    pub(super) fn root() -> Self {
        Self { at: c"/".into(), rights: READ_DIR }
    }
}

/// What is mounted.
#[derive(Debug)]
pub(crate) enum What {
    /// A tree of the host, opened before the root was left: its place in [`Stage::sources`].
    Source(usize),
    /// A tmpfs of the agent's own, with its size and mode as the file system takes them.
    Tmpfs(CString, CString),
    /// A fresh `/proc`.
    Proc,
    /// Terminals of the sandbox's own.
    Pts,
    /// An empty directory that cannot be written.
    EmptyDirectory,
    /// An empty file that cannot be written.
    EmptyFile,
    /// Bytes: their place in [`Stage::bytes`].
    Bytes(usize),
    /// What is there already, once more.
    Again,
}

/// One step. Paths are relative to the new root.
#[derive(Debug)]
pub(crate) enum Op {
    /// A directory; one that is there is as good.
    Directory(CString, u32),
    /// An empty file to mount on; one that is there is as good.
    File(CString),
    /// A symbolic link.
    Link(CString, CString),
    /// A mount: what, where, with which attributes.
    Mount(What, CString, u64),
    /// Writes a limit; whether the sandbox needs it.
    Limit(CString, Vec<u8>, bool),
}

impl Op {
    /// The path that it is about.
    pub(crate) const fn at(&self) -> &CString {
        match self {
            Self::Directory(at, _) | Self::File(at) | Self::Link(at, _) | Self::Mount(_, at, _) | Self::Limit(at, ..) => at,
        }
    }
}

/// Everything that the child does to files.
#[derive(Debug)]
pub(crate) struct Stage {
    /// A directory of the host on which the new root is mounted for a moment.
    pub(crate) base: CString,
    /// Trees of the host, opened first.
    pub(crate) sources: Vec<CString>,
    /// Bytes that lie over files.
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) ops: Vec<Op>,
    pub(crate) rules: Vec<Rule>,
}

/// A path as the kernel takes it.
pub(crate) fn c_string(path: &Path) -> Result<CString, SpawnError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| SpawnError::at(Step::Plan, Errno::INVAL, path))
}

/// A path relative to the new root.
pub(super) fn relative(path: &Path) -> Result<CString, SpawnError> {
    let path = path.strip_prefix("/").unwrap_or(path);
    c_string(if path.as_os_str().is_empty() { Path::new(".") } else { path })
}
