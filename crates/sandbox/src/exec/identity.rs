//! What a file is: its inode and the digest of its bytes, whatever its name.
//!
//! A digest is remembered with the file's size and times. That alone proves nothing: who has mapped a file shared and dirtied a
//! page writes on without moving its times. Therefore a digest counts as *proven* only when it was taken at the exec stop. There
//! the kernel denies writing to the file (and an exec of a file that is open for writing fails), so that nobody has it mapped
//! for writing any more; whoever writes later opens it anew, and the first write of that moves the change time. While size and
//! times stay as they were when the digest was proven, the bytes do. The change time cannot be set; clocks of file systems
//! tick, which is why a file that was changed just now is hashed at every stop ([`super::limits::SETTLED`]).

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

use super::limits::{DIGESTS_MAX, PROGRAM_BYTES_MAX, SETTLED};
use super::shebang::HEAD_BYTES;

/// A file, as it was when it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileId {
    /// Device of its file system.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its owner.
    pub uid: u32,
    /// Type and permissions.
    pub mode: u32,
}

/// What the digest of a file depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Stamp {
    dev: u64,
    ino: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(file: &std::fs::Metadata) -> Self {
        Self {
            dev: file.dev(),
            ino: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether a write now would show in the times.
    fn settled(&self, now: Duration) -> bool {
        let changed = Duration::new(u64::try_from(self.changed.0).unwrap_or(u64::MAX), 0);
        now.checked_sub(SETTLED).is_some_and(|limit| changed < limit)
    }
}

#[derive(Clone)]
struct Known {
    sha256: [u8; 32],
    head: Arc<[u8]>,
    proven: bool,
}

/// Digests that were taken, of at most [`DIGESTS_MAX`] files. One per session, or shared by sessions of one user.
#[derive(Default)]
pub struct Digests {
    known: Mutex<HashMap<Stamp, Known>>,
}

impl std::fmt::Debug for Digests {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Digests")
    }
}

/// A file that was opened and identified.
pub(super) struct Identified {
    pub(super) id: FileId,
    /// Its first bytes.
    pub(super) head: Arc<[u8]>,
    /// For reading it.
    pub(super) file: Reopen,
}

/// A file that is opened for reading once somebody reads it.
pub(super) struct Reopen(std::os::fd::OwnedFd);

impl Reopen {
    pub(super) fn open(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    pub(super) fn name(&self) -> &std::os::fd::OwnedFd {
        &self.0
    }
}

/// Why a file is no program.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotAProgram {
    #[error("it is no regular file, or nobody may execute it")]
    NotExecutable,
    #[error("it has no name in any directory")]
    NoName,
    #[error("it is larger than can be identified")]
    TooLarge,
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
}

impl Digests {
    /// Identifies the file behind an `O_PATH` descriptor. The digest may be from memory; [`Digests::prove`] is not.
    pub(super) fn identify(&self, name: std::os::fd::OwnedFd) -> Result<Identified, NotAProgram> {
        let handle = File::from(name);
        let status = handle.metadata()?;
        if !status.is_file() || status.mode() & 0o111 == 0 {
            return Err(NotAProgram::NotExecutable);
        }
        if status.nlink() == 0 {
            return Err(NotAProgram::NoName);
        }
        let stamp = Stamp::of(&status);
        let reopen = Reopen(handle.into());
        let known = match self.get(&stamp) {
            Some(known) => known,
            None => self.take(&stamp, reopen.open()?)?,
        };
        let id = FileId { dev: stamp.dev, ino: stamp.ino, sha256: known.sha256, uid: status.uid(), mode: status.mode() };
        Ok(Identified { id, head: known.head, file: reopen })
    }

    /// Whether the program that a stopped process is about to begin is `judged`, byte for byte.
    pub(super) fn prove(&self, pid: i32, judged: &FileId) -> io::Result<bool> {
        let path = format!("/proc/{pid}/exe");
        let status = std::fs::metadata(&path)?;
        if (status.dev(), status.ino()) != (judged.dev, judged.ino) {
            return Ok(false);
        }
        let stamp = Stamp::of(&status);
        if let Some(known) = self.get(&stamp)
            && known.proven
        {
            return Ok(known.sha256 == judged.sha256);
        }
        let file = File::open(&path)?;
        let mut known = hash(file)?;
        known.proven = SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|now| stamp.settled(now));
        let same = known.sha256 == judged.sha256;
        self.put(stamp, known);
        Ok(same)
    }

    fn take(&self, stamp: &Stamp, file: File) -> Result<Known, NotAProgram> {
        if stamp.size > PROGRAM_BYTES_MAX {
            return Err(NotAProgram::TooLarge);
        }
        let known = hash(file)?;
        self.put(*stamp, known.clone());
        Ok(known)
    }

    fn get(&self, stamp: &Stamp) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(stamp).cloned()
    }

    fn put(&self, stamp: Stamp, known: Known) {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= DIGESTS_MAX && !all.contains_key(&stamp) {
            // Sessions use the same few hundred programs; who makes new ones all the time pays for it with hashing.
            all.clear();
        }
        all.insert(stamp, known);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.known.lock().unwrap().len()
    }
}

fn hash(file: File) -> io::Result<Known> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0u8; 128 << 10];
    let mut head: Option<Arc<[u8]>> = None;
    // A file that grows while it is read is read no further than it may be large.
    let mut file = file.take(PROGRAM_BYTES_MAX + 1);
    loop {
        let got = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => buffer.get(..got).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        head.get_or_insert_with(|| got.get(..HEAD_BYTES).unwrap_or(got).into());
        digest.update(got);
    }
    Ok(Known { sha256: digest.finalize().into(), head: head.unwrap_or_default(), proven: false })
}

/// Digest of bytes at hand.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(ino: u64) -> Stamp {
        Stamp { dev: 1, ino, size: 0, modified: (0, 0), changed: (100, 5) }
    }

    #[test]
    fn as_many_digests_are_kept_as_fit() {
        let digests = Digests::default();
        let known = Known { sha256: [0; 32], head: Arc::default(), proven: false };
        for ino in 0..DIGESTS_MAX as u64 {
            digests.put(stamp(ino), known.clone());
        }
        digests.put(stamp(0), known.clone());
        assert_eq!(digests.len(), DIGESTS_MAX);
        digests.put(stamp(DIGESTS_MAX as u64), known);
        assert_eq!(digests.len(), 1);
    }

    #[test]
    fn a_file_that_was_just_changed_is_not_settled() {
        assert!(!stamp(1).settled(Duration::from_secs(102)));
        assert!(stamp(1).settled(Duration::from_secs(103)));
        assert!(!stamp(1).settled(Duration::from_secs(1)));
    }
}
