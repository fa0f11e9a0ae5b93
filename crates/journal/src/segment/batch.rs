//! Builds one batch after another in the same buffer.

use super::{BATCH_HEADER_BYTES, BATCH_MAGIC, FRAME_HEADER_BYTES, FrameKind, Opening, OpeningFault, frame_crc};
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_FRAMES};
use crate::merkle::{Hash, leaf_hash, sha256};
use crate::record::{Malformed, RecordHead, encode};
use thiserror::Error;

/// Builds batches. The buffer is reused: after it has grown to the usual size of a batch, a record allocates nothing.
#[derive(Debug)]
pub struct BatchWriter {
    buffer: Vec<u8>,
    /// Hash the next batch header names.
    tip: Hash,
    first_seq: u64,
    next_seq: u64,
    frames: u32,
}

/// The batch is full: finish it and push again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the batch is full")]
pub struct BatchFull;

/// Why a frame was not added. The batch is then as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PushError {
    /// Finish the batch and push again.
    #[error(transparent)]
    Full(#[from] BatchFull),
    /// The record's `seq` is not the next one.
    #[error("the record's seq is {found}, the next is {expected}")]
    Seq {
        /// The next `seq`.
        expected: u64,
        /// What the record says.
        found: u64,
    },
    /// The record breaks a rule of the format.
    #[error(transparent)]
    Record(#[from] Malformed),
    /// The opening breaks a rule of the format.
    #[error(transparent)]
    Opening(#[from] OpeningFault),
}

impl BatchWriter {
    /// A writer whose first record is `next_seq` and whose first batch names `tip`: the segment header's hash in a new segment,
    /// else [`super::Scan::tip`].
    #[must_use]
    pub fn new(next_seq: u64, tip: Hash) -> Self {
        Self { buffer: vec![0; BATCH_HEADER_BYTES], tip, first_seq: next_seq, next_seq, frames: 0 }
    }

    /// `seq` of the next record.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Frames in the batch so far.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Length of the batch so far, header included.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Encodes a record into the batch and gives its leaf hash.
    ///
    /// # Errors
    /// [`PushError`]; the batch is then as it was.
    pub fn push_record(&mut self, head: &RecordHead<'_>, body: &[u8]) -> Result<Hash, PushError> {
        if head.seq != self.next_seq {
            return Err(PushError::Seq { expected: self.next_seq, found: head.seq });
        }
        let payload = self.frame(FrameKind::Record, |out| encode(head, body, out).map_err(PushError::Record))?;
        let leaf = leaf_hash(self.buffer.get(payload..).unwrap_or_default());
        self.next_seq += 1;
        Ok(leaf)
    }

    /// Adds an opening. Put it after its record, in the same batch.
    ///
    /// # Errors
    /// [`PushError`]; the batch is then as it was.
    pub fn push_opening(&mut self, opening: &Opening<'_>) -> Result<(), PushError> {
        self.frame(FrameKind::Opening, |out| opening.encode(out).map_err(PushError::Opening)).map(|_| ())
    }

    /// Completes the batch and gives its bytes, to be written where the one before ended. `None` when it has no frame.
    /// [`BatchWriter::begin_next`] begins the next batch.
    #[must_use]
    pub fn finish(&mut self) -> Option<&[u8]> {
        if self.frames == 0 {
            return None;
        }
        let payload = u32::try_from(self.buffer.len().saturating_sub(BATCH_HEADER_BYTES)).ok()?;
        let mut header = [0u8; BATCH_HEADER_BYTES];
        let mut rest = &mut header[..];
        for part in [
            &BATCH_MAGIC[..],
            &self.frames.to_be_bytes(),
            &self.first_seq.to_be_bytes(),
            &payload.to_be_bytes(),
            &self.tip,
        ] {
            rest.split_off_mut(..part.len())?.copy_from_slice(part);
        }
        let (checked, crc) = header.split_last_chunk_mut::<4>()?;
        *crc = crc32c::crc32c(checked).to_be_bytes();
        self.buffer.get_mut(..BATCH_HEADER_BYTES)?.copy_from_slice(&header);
        Some(&self.buffer)
    }

    /// Begins the next batch once the finished one is written, and gives the hash it will name.
    pub fn begin_next(&mut self) -> Hash {
        if let Some(header) = self.finish().and_then(|batch| batch.get(..BATCH_HEADER_BYTES)) {
            self.tip = sha256(header);
        }
        self.buffer.truncate(BATCH_HEADER_BYTES);
        self.first_seq = self.next_seq;
        self.frames = 0;
        self.tip
    }

    /// Continues in a new segment: the next batch names its header. Call it between batches.
    pub fn enter_segment(&mut self, header_hash: Hash) {
        self.tip = header_hash;
    }

    /// Adds a frame and gives where its payload starts.
    fn frame(
        &mut self,
        kind: FrameKind,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), PushError>,
    ) -> Result<usize, PushError> {
        if self.frames >= MAX_BATCH_FRAMES {
            return Err(BatchFull.into());
        }
        let start = self.buffer.len();
        let payload = start + FRAME_HEADER_BYTES;
        self.buffer.resize(payload, 0);
        let result = write(&mut self.buffer).and_then(|()| self.seal_frame(start, kind));
        match result {
            Ok(()) => {
                self.frames += 1;
                Ok(payload)
            }
            Err(error) => {
                self.buffer.truncate(start);
                Err(error)
            }
        }
    }

    fn seal_frame(&mut self, start: usize, kind: FrameKind) -> Result<(), PushError> {
        if self.buffer.len() > BATCH_HEADER_BYTES + MAX_BATCH_BYTES {
            return Err(BatchFull.into());
        }
        let frame = self.buffer.get_mut(start..).unwrap_or_default();
        let (header, payload) = frame.split_first_chunk_mut::<FRAME_HEADER_BYTES>().ok_or(BatchFull)?;
        let len = u32::try_from(payload.len()).map_err(|_| BatchFull)?;
        let [l0, l1, l2, l3] = len.to_be_bytes();
        let [c0, c1, c2, c3] = frame_crc(len, kind as u8, payload).to_be_bytes();
        *header = [l0, l1, l2, l3, kind as u8, c0, c1, c2, c3];
        Ok(())
    }
}
