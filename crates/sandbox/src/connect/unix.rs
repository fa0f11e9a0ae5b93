//! Unix sockets with names: those that the session made can be reached by it, others cannot.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags, chmodat, fstat, openat, statx};
use rustix::io::Errno;
use rustix::net::{SocketAddrUnix, bind, connect};

use super::limits::{BOUND_MAX, CLOCK_TICK};
use crate::exec::resolve::{Base, View};

/// Names that processes of the session have bound. Each is held open, so that its inode number cannot become another socket's.
#[derive(Debug, Default)]
pub(super) struct Bound {
    names: Mutex<Vec<Name>>,
}

#[derive(Debug)]
struct Name {
    dev: u64,
    ino: u64,
    _held: OwnedFd,
}

impl Bound {
    /// Binds the caller's socket to `path`, as the caller would.
    pub(super) fn bind(&self, tid: i32, socket: BorrowedFd<'_>, path: &[u8]) -> Result<(), Errno> {
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let (directory, name) = match cut {
            Some(at) => (path.get(..=at).unwrap_or_default(), path.get(at + 1..).unwrap_or_default()),
            None => (&b"."[..], path),
        };
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Errno::ADDRINUSE);
        }
        let directory = View::of(tid)?.resolve(Base::Cwd, directory)?;
        let begun = SystemTime::now();
        let here = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
        bind(socket, &SocketAddrUnix::new(here)?)?;
        let held = openat(&directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let status = fstat(&held)?;
        // The mask of permissions is the caller's, not this process's.
        let mode = Mode::from_raw_mode(0o777 & !umask(tid).unwrap_or(0o077));
        chmodat(&directory, name, mode, AtFlags::empty())?;
        // In the meantime another socket may have been moved to this name. That one is older.
        if born_since(&held, begun) {
            self.keep(Name { dev: status.st_dev, ino: status.st_ino, _held: held });
        }
        Ok(())
    }

    fn keep(&self, name: Name) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= BOUND_MAX {
            names.remove(0);
        }
        names.push(name);
    }

    /// Connects the caller's socket to `path`, if that was bound by the session. Blocks as the caller would.
    pub(super) fn connect(&self, tid: i32, socket: BorrowedFd<'_>, path: &[u8]) -> Result<(), Errno> {
        let file = View::of(tid)?.resolve(Base::Cwd, path)?;
        let status = fstat(&file)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Socket {
            return Err(Errno::CONNREFUSED);
        }
        if !self.has(status.st_dev, status.st_ino) {
            return Err(Errno::ACCESS);
        }
        // The very inode that was looked at, whatever has its name by now.
        connect(socket, &SocketAddrUnix::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?)
    }

    fn has(&self, dev: u64, ino: u64) -> bool {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|name| (name.dev, name.ino) == (dev, ino))
    }
}

/// Whether a file was made after `begun`, up to the tick of the file system's clock. One that does not say is not believed.
fn born_since(file: &OwnedFd, begun: SystemTime) -> bool {
    let Ok(status) = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) else { return false };
    if status.stx_mask & StatxFlags::BTIME.bits() == 0 {
        return false;
    }
    let seconds = u64::try_from(status.stx_btime.tv_sec).unwrap_or(0);
    let born = UNIX_EPOCH + Duration::new(seconds, status.stx_btime.tv_nsec);
    born + CLOCK_TICK >= begun
}

fn umask(tid: i32) -> io::Result<u32> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status"))?;
    let mask = status.lines().find_map(|line| line.strip_prefix("Umask:")).ok_or(io::ErrorKind::InvalidData)?;
    u32::from_str_radix(mask.trim(), 8).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_names_are_kept_as_fit() {
        let bound = Bound::default();
        for ino in 0..=BOUND_MAX as u64 {
            let held = std::fs::File::open("/dev/null").unwrap().into();
            bound.keep(Name { dev: 1, ino, _held: held });
            assert!(bound.has(1, 0) == (ino < BOUND_MAX as u64));
        }
        assert!(bound.has(1, 1) && bound.has(1, BOUND_MAX as u64));
    }
}
