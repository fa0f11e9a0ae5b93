//! What the journal is written for: a state that judges drafts in journal order.

use crate::limits;
use marque_journal::merkle::Hash;
use marque_journal::record::{Record, RecordHead};
use marque_journal::segment::{BatchWriter, Opening, PushError};
use thiserror::Error;

/// A state that is a fold over the journal, and the judge of what may be appended to it.
///
/// The committer alone calls it, so that a check and the append it guards are one step.
pub trait Machine: Send + 'static {
    /// Something that wants to be recorded.
    type Draft: Send + 'static;
    /// Why it may not be.
    type Refusal: Send + 'static;

    /// Judges a draft against everything committed before and, when it may be, appends exactly one record to `out` and then
    /// changes the state.
    ///
    /// Append first: when [`FrameSink::append`] fails, nothing was appended and the draft can still be refused. A commit that
    /// gives `Ok` without a record, or a refusal with one, is a fault of the program and ends it.
    ///
    /// # Errors
    /// The refusal; the state is then as it was.
    fn commit(&mut self, seq: u64, now_ms: u64, draft: &mut Self::Draft, out: &mut FrameSink<'_>) -> Result<(), Self::Refusal>;

    /// What becomes of the draft when the disk is all but full.
    fn urgency(draft: &Self::Draft) -> Urgency;

    /// Applies a record that is already in the journal. Called once for each, in order, before anything is committed.
    ///
    /// # Errors
    /// When the record does not follow from the state; the journal is then not opened.
    fn replay(&mut self, record: &Record<'_>) -> Result<(), ReplayError>;

    /// Takes the state as it is now, to be encoded by another thread while this one goes on; `None` when this machine keeps no
    /// snapshots. Called when the next record begins a segment, with everything before it durable.
    fn freeze(&self) -> Option<Frozen> {
        None
    }

    /// Puts an encoded state in the place of the present one; `None` stands for the state before the first record.
    ///
    /// # Errors
    /// When the bytes are not a state; the present one is then as it was.
    fn restore(&mut self, _state: Option<&[u8]>) -> Result<(), ReplayError> {
        Err(ReplayError("this machine keeps no snapshots".to_owned()))
    }

    /// The draft that makes a snapshot count.
    fn announce(_announcement: Announcement) -> Option<Self::Draft> {
        None
    }

    /// What a record announces, if it does.
    fn announced(_record: &Record<'_>) -> Option<Announcement> {
        None
    }

    /// Everything below `next_seq` is durable: the moment to publish a snapshot to readers. Acknowledgements follow.
    fn durable(&mut self, next_seq: u64);
}

/// A state that was taken: gives its bytes.
pub type Frozen = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// What a record says of a snapshot. Nothing else makes a file one that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The first record that is not in it.
    pub seq: u64,
    /// SHA-256 of the file.
    pub digest: Hash,
}

/// What becomes of a draft when the disk is all but full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It is refused.
    Ordinary,
    /// It is recorded as long as half of the reserve is left: whoever causes many of them takes nothing from what is vital.
    Report,
    /// It is recorded to the last byte of the reserve.
    Vital,
}

/// A record that a machine cannot apply.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct ReplayError(pub String);

/// Where a machine puts the record of a draft it accepts.
pub struct FrameSink<'a> {
    writer: &'a mut BatchWriter,
    openings_max: usize,
    state: SinkState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SinkState {
    Empty,
    Appended(Hash),
    /// An opening was refused after its record was in: cannot be undone, so the program ends.
    Broken,
}

/// Why a record was not appended. The batch is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SinkError {
    /// A draft has one record.
    #[error("the draft already has a record")]
    Second,
    /// Too many openings, or too long.
    #[error("the openings of one record are too many or too long")]
    Openings,
    /// The record breaks a rule of the format.
    #[error(transparent)]
    Record(#[from] PushError),
}

impl<'a> FrameSink<'a> {
    pub(crate) fn new(writer: &'a mut BatchWriter, openings_max: usize) -> Self {
        Self { writer, openings_max, state: SinkState::Empty }
    }

    pub(crate) fn state(&self) -> SinkState {
        self.state
    }

    /// Appends the draft's record, `head.seq` being the `seq` that [`Machine::commit`] was given, and the encrypted openings of
    /// its commitments. Gives the record's leaf hash.
    ///
    /// # Errors
    /// [`SinkError`]; nothing was appended then.
    pub fn append(&mut self, head: &RecordHead<'_>, body: &[u8], openings: &[Opening<'_>]) -> Result<Hash, SinkError> {
        if self.state != SinkState::Empty {
            return Err(SinkError::Second);
        }
        let bytes: usize = openings.iter().map(|o| o.ciphertext.len()).sum();
        if openings.len() > limits::DRAFT_OPENINGS || bytes > self.openings_max {
            return Err(SinkError::Openings);
        }
        if openings.iter().any(|o| {
            o.seq != head.seq || o.ciphertext.len() + limits::OPENING_OVERHEAD_BYTES > marque_journal::limits::MAX_OPENING_BYTES
        }) {
            return Err(SinkError::Openings);
        }
        let leaf = self.writer.push_record(head, body)?;
        self.state = SinkState::Appended(leaf);
        for opening in openings {
            if let Err(error) = self.writer.push_opening(opening) {
                self.state = SinkState::Broken;
                return Err(error.into());
            }
        }
        Ok(leaf)
    }
}
