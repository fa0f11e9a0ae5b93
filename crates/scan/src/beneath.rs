//! Opens files beneath one directory and nowhere else: the kernel resolves every link, and refuses one that leads out
//! (`openat2` with `RESOLVE_BENEATH`, Linux 5.6). What is no regular file is never read, and nothing blocks.

use crate::limits::FILE_BYTES_MAX;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::Path;

/// A directory that is looked at.
pub(crate) struct Beneath {
    dir: OwnedFd,
}

/// What became of one file.
pub(crate) enum Opened {
    /// Its text, and when it was written in seconds since 1970.
    Text(String, Option<u64>),
    /// There is none, or it is a directory or a device.
    Nothing,
    /// Not text.
    Binary,
    /// Why it was not read.
    Left(String),
}

/// Bytes in which a zero byte says that it is not text.
const TEXT_PROBE_BYTES: usize = 8 << 10;

impl Beneath {
    pub(crate) fn new(dir: &Path) -> std::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { dir: rustix::fs::open(dir, flags, Mode::empty())? })
    }

    fn at(&self, path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        openat2(&self.dir, path, flags, Mode::empty(), ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS)
    }

    /// A directory below, itself no link.
    pub(crate) fn dir(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        self.at(path, OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    /// Reads one file.
    pub(crate) fn read(&self, path: &Path) -> Opened {
        let file = match self.at(path, OFlags::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NXIO) => return Opened::Nothing,
            Err(Errno::XDEV) => return Opened::Left("is a link that leads elsewhere".into()),
            Err(Errno::LOOP) => return Opened::Left("is a link that leads nowhere".into()),
            Err(error) => return Opened::Left(format!("cannot be read: {error}")),
        };
        let stat = match fstat(&file) {
            Ok(stat) => stat,
            Err(error) => return Opened::Left(format!("cannot be read: {error}")),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Opened::Nothing;
        }
        let written_s = u64::try_from(stat.st_mtime).ok();
        let mut bytes = Vec::new();
        let most = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX);
        match File::from(file).take(most + 1).read_to_end(&mut bytes) {
            Err(error) => Opened::Left(format!("cannot be read: {error}")),
            Ok(_) if bytes.iter().take(TEXT_PROBE_BYTES).any(|b| *b == 0) => Opened::Binary,
            Ok(read) if read > FILE_BYTES_MAX => Opened::Left(format!("is longer than {FILE_BYTES_MAX} bytes")),
            Ok(_) => Opened::Text(String::from_utf8_lossy(&bytes).into_owned(), written_s),
        }
    }
}
