//! What a client remembers outside the data directory: the newest record it was told is durable.
//!
//! Recovery never drops a record at or below a mark, and a journal that is shorter than a mark is not opened.

use crate::disk::{Disk, read_file, replace_file};
use crate::limits::SMALL_FILE_BYTES;
use marque_journal::cbor::{CborError, Reader, Writer};
use marque_journal::merkle::Hash;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// The newest record somebody was told is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Instance whose journal it is.
    pub instance: [u8; 16],
    /// The record's seq.
    pub seq: u64,
    /// The record's leaf hash.
    pub leaf_hash: Hash,
    /// The newest checkpoint seen, as its signed note.
    pub checkpoint: Option<String>,
}

/// Why a mark is not stored or read.
#[derive(Debug, Error)]
pub enum MarkError {
    /// The file is not a mark.
    #[error("`{0}` is not a mark")]
    Malformed(String),
    /// The remembered journal is another one.
    #[error("`{0}` remembers another instance")]
    OtherInstance(String),
    /// The same `seq` was acknowledged with another leaf hash: two histories.
    #[error("record {0} was acknowledged twice with different contents")]
    Forked(u64),
    /// The system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

const VERSION: u64 = 1;

impl Mark {
    /// Reads a mark's bytes; `None` when they are none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes).ok()
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.array(5).uint(VERSION).bytes(&self.instance).uint(self.seq).bytes(&self.leaf_hash);
        match &self.checkpoint {
            Some(note) => w.text(note),
            None => w.null(),
        };
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        if r.array()? != 5 || r.uint()? != VERSION {
            return Err(CborError::Unexpected);
        }
        let (instance, seq, leaf_hash) = (r.byte_array()?, r.uint()?, r.byte_array()?);
        let checkpoint = match r.null() {
            Ok(()) => None,
            Err(_) => Some(r.text()?.to_owned()),
        };
        r.end()?;
        Ok(Self { instance, seq, leaf_hash, checkpoint })
    }
}

/// A file that holds the highest mark.
pub struct MarkFile {
    disk: Arc<dyn Disk>,
    path: String,
    current: Option<Mark>,
}

impl MarkFile {
    /// Opens the file at `path` of a state directory; it may be missing.
    ///
    /// # Errors
    /// [`MarkError`]. A damaged mark is a finding, not a fresh start.
    pub fn open(disk: Arc<dyn Disk>, path: &str) -> Result<Self, MarkError> {
        let bytes = read_file(disk.as_ref(), path, SMALL_FILE_BYTES)
            .map_err(|source| MarkError::Io { path: path.to_owned(), source })?;
        let current = match bytes {
            Some(bytes) => Some(Mark::decode(&bytes).map_err(|_| MarkError::Malformed(path.to_owned()))?),
            None => None,
        };
        Ok(Self { disk, path: path.to_owned(), current })
    }

    /// The highest mark.
    #[must_use]
    pub fn get(&self) -> Option<&Mark> {
        self.current.as_ref()
    }

    /// Remembers a mark if it is higher than the one before; durable when this returns. A lower one changes nothing.
    ///
    /// # Errors
    /// [`MarkError`].
    pub fn raise(&mut self, mark: Mark) -> Result<(), MarkError> {
        if let Some(current) = &self.current {
            if current.instance != mark.instance {
                return Err(MarkError::OtherInstance(self.path.clone()));
            }
            if current.seq == mark.seq && current.leaf_hash != mark.leaf_hash {
                return Err(MarkError::Forked(mark.seq));
            }
            let newer_checkpoint =
                current.seq == mark.seq && mark.checkpoint.is_some() && mark.checkpoint != current.checkpoint;
            if mark.seq < current.seq || (mark.seq == current.seq && !newer_checkpoint) {
                return Ok(());
            }
        }
        // A mark without a checkpoint does not forget one.
        let checkpoint = mark.checkpoint.or_else(|| self.current.as_ref().and_then(|current| current.checkpoint.clone()));
        let mark = Mark { checkpoint, ..mark };
        replace_file(self.disk.as_ref(), &self.path, &mark.encode())
            .map_err(|source| MarkError::Io { path: self.path.clone(), source })?;
        self.current = Some(mark);
        Ok(())
    }
}
