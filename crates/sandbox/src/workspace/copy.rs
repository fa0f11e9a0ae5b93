//! `--workspace copy`: the agent works on a copy, and the user reads what it changed.

use super::digest::{link_target, of_bytes, of_file, state, with};
use super::walk::{Found, Kind, open_beneath, open_root, walk};
use super::{Changes, State, compare};
use crate::limits::COPY_BYTES;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fstat, futimens, mkdirat, openat, symlinkat};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A copy, as it was made.
#[derive(Debug)]
pub struct Copied {
    root: PathBuf,
    before: BTreeMap<PathBuf, State>,
    /// Of files that were not touched since, nothing has to be read again.
    stamps: HashMap<PathBuf, Stamp>,
    /// Sockets, pipes, devices, and what could not be read: not in the copy.
    pub left_out: Vec<PathBuf>,
    /// Bytes of files in it.
    pub bytes: u64,
}

/// What changes with every write: no program sets the time of change but by setting the machine's clock.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, i64, i64, i64);

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self(stat.st_ino, stat.st_ctime, stat.st_ctime_nsec as i64, stat.st_size)
    }
}

/// Copies a directory to a new one, which must not exist. Links are copied as links, and lead nowhere while copying.
///
/// # Errors
/// Of the file system; `E2BIG` past a limit, in which case the new directory holds a part.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<Copied> {
    copy_within(from, to, COPY_BYTES)
}

pub(super) fn copy_within(from: &Path, to: &Path, bytes_max: u64) -> std::io::Result<Copied> {
    mkdirat(CWD, to, Mode::RWXU)?;
    let (source, target) = (open_root(from)?, open_root(to)?);
    let mut out = Copied { root: to.to_owned(), before: BTreeMap::new(), stamps: HashMap::new(), left_out: Vec::new(), bytes: 0 };
    let unreadable = walk(from, |found| {
        match one(&source, &target, found) {
            Ok(Some((state, stamp))) => {
                out.bytes += state.len;
                out.before.insert(found.path.clone(), state);
                out.stamps.extend(stamp.map(|stamp| (found.path.clone(), stamp)));
            }
            Ok(None) => out.left_out.push(found.path.clone()),
            // A file of another user's in the workspace is none of the agent's.
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => out.left_out.push(found.path.clone()),
            Err(error) => return Err(error),
        }
        if out.bytes > bytes_max {
            return Err(Errno::TOOBIG.into());
        }
        Ok(true)
    })?;
    out.left_out.extend(unreadable);
    Ok(out)
}

fn one(source: &OwnedFd, target: &OwnedFd, found: &Found) -> std::io::Result<Option<(State, Option<Stamp>)>> {
    let parent = open_beneath(target, found.path.parent().unwrap_or(Path::new("")), OFlags::PATH | OFlags::DIRECTORY)?;
    let name = found.path.file_name().unwrap_or_default();
    match found.kind {
        Kind::File => file(source, &parent, name, found).map(Some),
        Kind::Directory => {
            mkdirat(&parent, name, Mode::from_raw_mode(found.stat.st_mode & 0o777) | Mode::RWXU)?;
            Ok(Some((with(found, 0, of_bytes(b"")), None)))
        }
        Kind::Link => {
            let link = link_target(source, found)?;
            symlinkat(OsStr::from_bytes(&link), &parent, name)?;
            Ok(Some((with(found, link.len() as u64, of_bytes(&link)), None)))
        }
        Kind::Socket | Kind::Special => Ok(None),
    }
}

fn file(source: &OwnedFd, parent: &OwnedFd, name: &OsStr, found: &Found) -> std::io::Result<(State, Option<Stamp>)> {
    let mut input = File::from(open_beneath(source, &found.path, OFlags::RDONLY | OFlags::NONBLOCK)?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut output = File::from(openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?);
    let (len, digest) = of_file(&mut input, |piece| output.write_all(piece))?;
    // Build tools compare times; a set-user-id bit is not for a copy.
    fchmod(&output, Mode::from_raw_mode(found.stat.st_mode & 0o777))?;
    let time = |sec, nsec| Timespec { tv_sec: sec, tv_nsec: nsec };
    let times = Timestamps {
        last_access: time(found.stat.st_atime as _, found.stat.st_atime_nsec as _),
        last_modification: time(found.stat.st_mtime as _, found.stat.st_mtime_nsec as _),
    };
    futimens(&output, &times)?;
    Ok((with(found, len, digest), Some(Stamp::of(&fstat(&output)?))))
}

impl Copied {
    /// What was added, changed and removed in the copy since it was made. Call it when nothing writes there any more.
    ///
    /// # Errors
    /// Of the file system; `E2BIG` past a limit.
    pub fn changes(&self) -> std::io::Result<Changes> {
        let root = open_root(&self.root)?;
        let mut after = BTreeMap::new();
        let mut left_out = Vec::new();
        let unreadable = walk(&self.root, |found| {
            let same = self.stamps.get(&found.path).is_some_and(|stamp| *stamp == Stamp::of(&found.stat));
            let known = if same { self.before.get(&found.path).copied() } else { None };
            let now = match known {
                Some(known) => Ok(Some(known)),
                None => state(&root, found),
            };
            match now {
                Ok(Some(now)) => drop(after.insert(found.path.clone(), now)),
                Ok(None) | Err(_) => left_out.push(found.path.clone()),
            }
            Ok(true)
        })?;
        left_out.extend(unreadable);
        Ok(Changes { list: compare(&self.before, &after), left_out })
    }
}
