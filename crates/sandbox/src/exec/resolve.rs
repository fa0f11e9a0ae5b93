//! From a path to the file that an exec of another process would open: by the other process's root, working directory and
//! descriptors, and with `/proc/self` meaning the other process.
//!
//! Nothing here is relied on for safety: what runs is compared with what was found, at the exec stop. A name that resolves
//! differently for the kernel ends in a kill, so that the walk below must agree with it wherever programs go.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstat, fstatfs, fstatvfs, open, openat, openat2, readlinkat,
};
use rustix::io::Errno;

use super::limits::{LINKS_MAX, PATH_BYTES_MAX};

const ANY: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// A thread of the session, as far as names depend on it.
#[derive(Debug)]
pub(crate) struct View {
    tid: i32,
    root: OwnedFd,
}

/// Where a path that does not begin at the root begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    /// At the working directory.
    Cwd,
    /// At a descriptor of the thread.
    Descriptor(i32),
}

/// A way through the file system.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Where it ended.
    pub(crate) file: OwnedFd,
    /// The name of that without symbolic links.
    pub(crate) name: Vec<u8>,
    /// Names on the way that were no symbolic links.
    pub(crate) plain: Vec<Vec<u8>>,
    /// Those that were, and what they said; nothing for those of `/proc`.
    pub(crate) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// Nobody but root can change anything on it.
    pub(crate) frozen: bool,
}

impl Walk {
    const fn at(file: OwnedFd, name: Vec<u8>) -> Self {
        Self { file, name, plain: Vec::new(), links: Vec::new(), frozen: true }
    }
}

/// Whether only root can change what is behind `fd`: its bytes, or the names in it. A mask of an access list shows in the bits of
/// the group.
fn frozen(fd: &OwnedFd) -> Result<bool, Errno> {
    let status = fstat(fd)?;
    if status.st_uid == 0 && status.st_mode & 0o022 == 0 {
        return Ok(true);
    }
    read_only(fd)
}

/// Whether `fd` was reached through a mount that nobody can write through.
pub(crate) fn read_only(fd: &OwnedFd) -> Result<bool, Errno> {
    Ok(fstatvfs(fd)?.f_flag.contains(StatVfsMountFlags::RDONLY))
}

impl View {
    pub(crate) fn of(tid: i32) -> Result<Self, Errno> {
        Ok(Self { tid, root: open(format!("/proc/{tid}/root"), ANY, Mode::empty())? })
    }

    /// The file behind `path`, opened as a name alone.
    pub(crate) fn resolve(&self, from: Base, path: &[u8]) -> Result<OwnedFd, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        match self.at_once(from, path) {
            // A symbolic link from a relative path, or something that leads out of a name: step by step then.
            Err(Errno::LOOP | Errno::XDEV | Errno::NOSYS | Errno::AGAIN) => self.step_by_step(from, path),
            // Where `self` is not this process but the other, or nobody.
            Err(Errno::NOENT) if path.starts_with(b"/proc/") || path.starts_with(b"/dev/") => self.step_by_step(from, path),
            other => other,
        }
    }

    /// What a descriptor of the thread stands for.
    pub(crate) fn descriptor(&self, fd: i32) -> Result<OwnedFd, Errno> {
        self.start(Base::Descriptor(fd))
    }

    /// Most programs are named by paths in which nothing is remarkable.
    fn at_once(&self, from: Base, path: &[u8]) -> Result<OwnedFd, Errno> {
        if path.starts_with(b"/") {
            // `/proc/self` would be ours: it is no magic link itself, but every program behind it is reached through one.
            return openat2(&self.root, path, ANY, Mode::empty(), ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS);
        }
        if path.split(|byte| *byte == b'/').any(|name| name == b"..") {
            return Err(Errno::LOOP);
        }
        openat2(self.start(from)?, path, ANY, Mode::empty(), ResolveFlags::NO_SYMLINKS)
    }

    fn start(&self, from: Base) -> Result<OwnedFd, Errno> {
        let path = match from {
            Base::Cwd => format!("/proc/{}/cwd", self.tid),
            Base::Descriptor(fd) => format!("/proc/{}/fd/{fd}", self.tid),
        };
        open(path, ANY, Mode::empty())
    }

    fn step_by_step(&self, from: Base, path: &[u8]) -> Result<OwnedFd, Errno> {
        self.walk(from, path, Vec::new()).map(|walk| walk.file)
    }

    /// Resolves a path name by name, and keeps what it came by. `start` is the name of the directory that `from` stands for.
    pub(crate) fn walk(&self, from: Base, path: &[u8], start: Vec<u8>) -> Result<Walk, Errno> {
        let mut walk = if path.starts_with(b"/") { Walk::at(self.root()?, Vec::new()) } else { Walk::at(self.start(from)?, start) };
        let must_be_directory = path.ends_with(b"/");
        let mut rest: Vec<Vec<u8>> = names(path).rev().collect();
        while let Some(name) = rest.pop() {
            walk.frozen &= frozen(&walk.file)?;
            if name == b".." {
                walk.file = self.parent(walk.file)?;
                walk.name.truncate(walk.name.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
                continue;
            }
            let next = openat(&walk.file, name.as_slice(), ANY | OFlags::NOFOLLOW, Mode::empty())?;
            let named = [walk.name.as_slice(), b"/", &name].concat();
            if FileType::from_raw_mode(fstat(&next)?.st_mode) != FileType::Symlink {
                walk.plain.push(named.clone());
                (walk.file, walk.name) = (next, named);
                continue;
            }
            if walk.links.len() >= LINKS_MAX {
                return Err(Errno::LOOP);
            }
            walk.links.push((named.clone(), Vec::new()));
            let own = self.own_process(&walk.file, &name)?;
            if own.is_some() || (on_proc(&next)? && !plain_on_proc(&name)) {
                // `exe`, `cwd`, `root`, `fd/3`: not a name but the thing itself, which may be another one at the next look.
                walk.frozen = false;
                walk.file = own.map_or_else(|| openat(&walk.file, name.as_slice(), ANY, Mode::empty()), Ok)?;
                walk.name = named;
                continue;
            }
            let target = readlinkat(&next, "", Vec::new())?.into_bytes();
            if target.starts_with(b"/") {
                (walk.file, walk.name) = (self.root()?, Vec::new());
            }
            rest.extend(names(&target).rev());
            if let Some(link) = walk.links.last_mut() {
                link.1 = target;
            }
            if rest.iter().map(|name| name.len() + 1).sum::<usize>() > PATH_BYTES_MAX {
                return Err(Errno::NAMETOOLONG);
            }
        }
        if must_be_directory && FileType::from_raw_mode(fstat(&walk.file)?.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        walk.frozen &= frozen(&walk.file)?;
        Ok(walk)
    }

    fn root(&self) -> Result<OwnedFd, Errno> {
        openat(&self.root, ".", ANY, Mode::empty())
    }

    /// One directory up, but never above the thread's root.
    fn parent(&self, at: OwnedFd) -> Result<OwnedFd, Errno> {
        let (here, root) = (fstat(&at)?, fstat(&self.root)?);
        if (here.st_dev, here.st_ino) == (root.st_dev, root.st_ino) {
            return Ok(at);
        }
        openat(&at, "..", ANY, Mode::empty())
    }

    /// `/proc/self` and `/proc/thread-self`, which mean whoever looks.
    fn own_process(&self, at: &OwnedFd, name: &[u8]) -> Result<Option<OwnedFd>, Errno> {
        if !(name == b"self" || name == b"thread-self") || !on_proc(at)? {
            return Ok(None);
        }
        let task = format!("/proc/{0}/task/{0}", self.tid);
        // `/proc/<tid>` is the process's view also where the thread is not its first.
        let path = if name == b"self" { format!("/proc/{}", self.tid) } else { task };
        open(path, ANY, Mode::empty()).map(Some)
    }
}

/// Symbolic links of procfs that are names.
fn plain_on_proc(name: &[u8]) -> bool {
    name == b"mounts" || name == b"net"
}

fn on_proc(fd: &impl AsFd) -> Result<bool, Errno> {
    Ok(fstatfs(fd)?.f_type == libc::PROC_SUPER_MAGIC)
}

fn names(path: &[u8]) -> impl DoubleEndedIterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").map(<[u8]>::to_vec)
}

/// The path by which a file is known, as far as there is one.
pub(crate) fn name_of(fd: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&fd);
    Ok(readlinkat(CWD, format!("/proc/self/fd/{fd}"), Vec::new())?.into_bytes())
}
