//! What can go wrong with a journal on files.

use crate::machine::ReplayError;
use marque_journal::merkle::Hash;
use marque_journal::record::Malformed;
use marque_journal::segment::{HeaderFault, RefuseToStart};
use std::io;
use thiserror::Error;

/// Why the journal is not opened. Nothing has been changed then, except that preallocated files may be there.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or this one) has it open.
    #[error("another process has the journal open")]
    Locked,
    /// An option is outside its bounds.
    #[error("the option `{0}` is out of bounds")]
    Option(&'static str),
    /// The system refused something.
    #[error("`{path}`: {source}")]
    Io {
        /// What was being read or written.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is no space for the first segment or the reserve.
    #[error("there is no space to preallocate `{path}`")]
    NoSpace {
        /// The file.
        path: String,
    },
    /// A segment does not begin as it should.
    #[error("segment {segment}: {fault}")]
    Header {
        /// Its number.
        segment: u32,
        /// What is wrong.
        fault: HeaderFault,
    },
    /// A segment between the first and the last is missing.
    #[error("segment {0} is missing")]
    SegmentMissing(u32),
    /// A segment before the last does not end cleanly.
    #[error("segment {0} does not end cleanly, but another follows it")]
    SegmentCut(u32),
    /// The last segment must not be continued.
    #[error("segment {segment}: {refusal}")]
    Refused {
        /// Its number.
        segment: u32,
        /// Why.
        refusal: RefuseToStart,
    },
    /// A record is not what the format allows.
    #[error("record {seq}: {fault}")]
    Record {
        /// Its seq.
        seq: u64,
        /// What is wrong.
        fault: Malformed,
    },
    /// A record's time is before that of the one before it.
    #[error("record {0} is older than the one before it")]
    TimeGoesBack(u64),
    /// The machine cannot apply a record.
    #[error("record {seq} cannot be applied: {error}")]
    Replay {
        /// Its seq.
        seq: u64,
        /// Why.
        error: ReplayError,
    },
    /// The journal belongs to another instance than the one expected.
    #[error("the remembered mark is of another instance")]
    OtherInstance,
    /// Somebody remembers a longer journal.
    #[error("{source_of} is for {size} records, but the journal has {found}: records are missing")]
    Shorter {
        /// Who remembers.
        source_of: Remembered,
        /// Size they remember.
        size: u64,
        /// Size of the journal.
        found: u64,
    },
    /// Somebody remembers another history.
    #[error("{source_of} for {size} records has another root than the journal: history was rewritten")]
    Rewritten {
        /// Who remembers.
        source_of: Remembered,
        /// Size they remember.
        size: u64,
        /// Root they remember.
        root: Hash,
    },
    /// A checkpoint cannot be read.
    #[error("{0} is not a checkpoint of this journal")]
    Checkpoint(Remembered),
    /// The signer could not be asked.
    #[error(transparent)]
    Signer(#[from] super::SignError),
    /// A thread could not be started.
    #[error("a thread of the journal could not be started: {0}")]
    Thread(io::Error),
}

/// Who remembers a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Remembered {
    /// The file in the data directory.
    #[error("the stored checkpoint")]
    Stored,
    /// The signer.
    #[error("the signer's last checkpoint")]
    Signer,
    /// The mark outside the data directory, or its checkpoint.
    #[error("the remembered mark")]
    Mark,
}

/// Why nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError<R> {
    /// The machine says no: a value, not a failure.
    #[error("the draft was refused")]
    Refused(R),
    /// The disk is all but full; only essential drafts are still recorded, as long as the reserve lasts.
    #[error("there is no space left for this record")]
    NoSpace,
    /// The journal was closed, or its process is about to end.
    #[error("the journal is closed")]
    Closed,
}

/// A fault after which nothing this process says about durability can be believed. The process ends.
#[derive(Debug, Error)]
#[error("{what} `{path}`: {source}")]
pub struct Fatal {
    /// What was being done.
    pub what: &'static str,
    /// To which file.
    pub path: String,
    /// What the system says, or what the program did wrong.
    pub source: io::Error,
}

impl Fatal {
    pub(crate) fn io(what: &'static str, path: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { what, path, source }
    }

    pub(crate) fn bug(what: &'static str) -> Self {
        Self { what, path: "journal".to_owned(), source: io::Error::other("a fault of the program") }
    }
}

/// Why something cannot be read or proven.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The record is not there (yet).
    #[error("record {0} is not in the journal")]
    NotFound(u64),
    /// The record has no checkpoint over it yet; ask for one.
    #[error("record {0} is not under a checkpoint yet")]
    NotCheckpointed(u64),
    /// Sizes are in the wrong order or beyond the last checkpoint.
    #[error("the sizes are not those of two checkpoints")]
    Range,
    /// What is on the disk is not what was written.
    #[error("`{0}` is damaged")]
    Damaged(String),
    /// The system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}
