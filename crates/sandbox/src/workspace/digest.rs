//! Digests of what lies in a workspace.

use super::State;
use super::walk::{Found, Kind, open_beneath};
use rustix::fd::OwnedFd;
use rustix::fs::{OFlags, readlinkat};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::File;
use std::io::Read;

/// SHA-256; printed as hex.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The digest of nothing stands for directories.
pub(super) fn of_bytes(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Reads a file to its end, and calls `also` with every piece.
pub(super) fn of_file(file: &mut File, mut also: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<(u64, Digest)> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    let mut len = 0_u64;
    loop {
        let got = file.read(&mut buffer)?;
        let piece = buffer.get(..got).unwrap_or_default();
        if piece.is_empty() {
            return Ok((len, Digest(hasher.finalize().into())));
        }
        len += piece.len() as u64;
        hasher.update(piece);
        also(piece)?;
    }
}

/// The state of something that a walk met; `None` for what has none (sockets, pipes, devices).
pub(super) fn state(root: &OwnedFd, found: &Found) -> std::io::Result<Option<State>> {
    let (len, digest) = match found.kind {
        Kind::File => of_file(&mut File::from(open_beneath(root, &found.path, OFlags::RDONLY | OFlags::NONBLOCK)?), |_| Ok(()))?,
        Kind::Link => {
            let target = link_target(root, found)?;
            (target.len() as u64, of_bytes(&target))
        }
        Kind::Directory => (0, of_bytes(b"")),
        Kind::Socket | Kind::Special => return Ok(None),
    };
    Ok(Some(with(found, len, digest)))
}

pub(super) fn with(found: &Found, len: u64, digest: Digest) -> State {
    let executable = found.kind == Kind::File && found.stat.st_mode & 0o100 != 0;
    State { kind: found.kind, executable, len, digest }
}

pub(super) fn link_target(root: &OwnedFd, found: &Found) -> std::io::Result<Vec<u8>> {
    let parent = found.path.parent().unwrap_or(std::path::Path::new(""));
    let dir = open_beneath(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
    let name = found.path.file_name().unwrap_or_default();
    Ok(readlinkat(dir, name, Vec::new())?.into_bytes())
}
