//! Walks a directory and never leaves it.

use crate::limits::{DEPTH, ENTRIES};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, openat, openat2, statat};
use rustix::io::Errno;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A socket.
    Socket,
    /// A pipe or a device.
    Special,
}

/// Something that was met.
pub(crate) struct Found {
    /// Relative to where the walk began.
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) stat: Stat,
}

/// Opens something beneath a directory, through no link.
pub(crate) fn open_beneath(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), within)
}

/// Opens the directory that a walk begins with.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) entries: usize,
    pub(crate) depth: usize,
}

/// Calls `visit` for everything below `root`, a directory before what is in it; `visit` says whether to go into a directory.
/// Returns directories that could not be read. `E2BIG` where a limit is passed.
pub(crate) fn walk(root: &Path, visit: impl FnMut(&Found) -> std::io::Result<bool>) -> std::io::Result<Vec<PathBuf>> {
    walk_within(root, Bounds { entries: ENTRIES, depth: DEPTH }, visit)
}

pub(crate) fn walk_within(root: &Path, bounds: Bounds, mut visit: impl FnMut(&Found) -> std::io::Result<bool>) -> std::io::Result<Vec<PathBuf>> {
    let root = open_root(root)?;
    let mut unreadable = Vec::new();
    let mut next = vec![(PathBuf::new(), 0_usize)];
    let mut entries = 0_usize;
    while let Some((dir, depth)) = next.pop() {
        let opened = open_beneath(&root, &dir, OFlags::RDONLY | OFlags::DIRECTORY);
        let mut listing = match opened.and_then(Dir::new) {
            Ok(listing) => listing,
            Err(Errno::ACCESS | Errno::PERM | Errno::NOENT) => {
                unreadable.push(dir);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        while let Some(entry) = listing.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            entries += 1;
            if entries > bounds.entries || depth >= bounds.depth {
                return Err(Errno::TOOBIG.into());
            }
            let Ok(stat) = statat(listing.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let path = dir.join(std::ffi::OsStr::from_bytes(name.to_bytes()));
            let found = Found { path, kind: kind_of(&stat), stat };
            if visit(&found)? && found.kind == Kind::Directory {
                next.push((found.path, depth + 1));
            }
        }
    }
    Ok(unreadable)
}

pub(crate) fn kind_of(stat: &Stat) -> Kind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Socket => Kind::Socket,
        _ => Kind::Special,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_walk_goes_so_far_and_no_further() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/c"), "x").unwrap();
        let go = |entries, depth| {
            let mut count = 0;
            walk_within(dir.path(), Bounds { entries, depth }, |_| {
                count += 1;
                Ok(true)
            })
            .map(|_| count)
        };
        assert_eq!(go(3, 3).unwrap(), 3);
        for past in [go(2, 3), go(3, 2)] {
            assert_eq!(Errno::from_io_error(&past.unwrap_err()), Some(Errno::TOOBIG));
        }
    }

    #[test]
    fn a_directory_that_became_a_link_is_not_entered() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("out")).unwrap();
        let root = open_root(dir.path()).unwrap();
        assert_eq!(open_beneath(&root, Path::new("out/secret"), OFlags::RDONLY).unwrap_err(), Errno::LOOP);
        assert_eq!(open_beneath(&root, Path::new("../x"), OFlags::RDONLY).unwrap_err(), Errno::XDEV);
        let mut met = Vec::new();
        walk(dir.path(), |found| {
            met.push((found.path.clone(), found.kind));
            Ok(true)
        })
        .unwrap();
        assert_eq!(met, [(PathBuf::from("out"), Kind::Link)]);
    }
}
