//! Finding records in the segments: a sparse index in memory, one entry for some kilobytes of a segment.

use super::ReadError;
use super::space::segment_path;
use crate::disk::Disk;
use marque_journal::merkle::Hash;
use marque_journal::segment::{BATCH_HEADER_BYTES, Batch, Frame, Opening, Scan, SegmentHeader, Tail};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

/// Whole batches of one segment, from `offset` to the next entry.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    first_seq: u64,
    segment: u32,
    offset: u32,
}

#[derive(Debug, Default)]
struct Map {
    chunks: Vec<Chunk>,
    /// Where the durable part of each segment ends.
    ends: Vec<u32>,
    /// Number of durable records.
    size: u64,
}

/// Reads durable records.
pub(crate) struct Reader {
    disk: Arc<dyn Disk>,
    step_bytes: u32,
    map: RwLock<Map>,
}

/// A chunk's bytes.
struct Piece {
    path: String,
    first_seq: u64,
    bytes: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(disk: Arc<dyn Disk>, step_bytes: u32) -> Self {
        Self { disk, step_bytes, map: RwLock::default() }
    }

    /// Notes a batch that is durable now. Batches come in order.
    pub(crate) fn add(&self, segment: u32, first_seq: u64, offset: u64, end: u64, next_seq: u64) {
        let (Ok(offset), Ok(end)) = (u32::try_from(offset), u32::try_from(end)) else { return };
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = match map.chunks.last() {
            Some(last) => last.segment != segment || offset.saturating_sub(last.offset) >= self.step_bytes,
            None => true,
        };
        if fresh {
            map.chunks.push(Chunk { first_seq, segment, offset });
        }
        while map.ends.len() <= segment as usize {
            map.ends.push(0);
        }
        if let Some(slot) = map.ends.get_mut(segment as usize) {
            *slot = end;
        }
        map.size = next_seq;
    }

    /// The record's bytes.
    pub(crate) fn record(&self, seq: u64) -> Result<Vec<u8>, ReadError> {
        let piece = self.piece(seq)?;
        let found = piece.batches().find_map(|batch| {
            let inside = batch.first_seq <= seq && seq - batch.first_seq < u64::from(batch.records);
            inside.then(|| one_batch(batch).record(seq).map(<[u8]>::to_vec)).flatten()
        });
        found.ok_or(ReadError::Damaged(piece.path))
    }

    /// Every opening of a record, in order.
    pub(crate) fn openings<T>(&self, seq: u64, mut read: impl FnMut(&Opening<'_>) -> T) -> Result<Vec<T>, ReadError> {
        let piece = self.piece(seq)?;
        let mut found = Vec::new();
        for batch in piece.batches() {
            for frame in one_batch(batch).frames() {
                match frame {
                    Frame::Opening(opening) if opening.seq == seq => found.push(read(&opening)),
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// The chunk a record is in.
    fn piece(&self, seq: u64) -> Result<Piece, ReadError> {
        let (chunk, end) = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            if seq >= map.size {
                return Err(ReadError::NotFound(seq));
            }
            let after = map.chunks.partition_point(|chunk| chunk.first_seq <= seq);
            let chunk =
                after.checked_sub(1).and_then(|index| map.chunks.get(index)).copied().ok_or(ReadError::NotFound(seq))?;
            let end = match map.chunks.get(after) {
                Some(next) if next.segment == chunk.segment => next.offset,
                _ => map.ends.get(chunk.segment as usize).copied().unwrap_or(chunk.offset),
            };
            (chunk, end)
        };
        let path = segment_path(chunk.segment);
        let mut bytes = vec![0; end.saturating_sub(chunk.offset) as usize];
        let read = self.disk.open(&path).and_then(|file| file.read_exact_at(&mut bytes, u64::from(chunk.offset)));
        match read {
            Ok(()) => Ok(Piece { path, first_seq: chunk.first_seq, bytes }),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }
}

impl Piece {
    /// The batches, as their headers delimit them; frames are checked when they are read.
    fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        let mut rest = self.bytes.as_slice();
        let mut next_seq = self.first_seq;
        std::iter::from_fn(move || {
            let (payload, first_seq) = delimit(rest)?;
            let frames = rest.get(BATCH_HEADER_BYTES..)?.get(..payload)?;
            rest = rest.get(BATCH_HEADER_BYTES + payload..)?;
            if first_seq != next_seq {
                return None;
            }
            let mut batch = Batch { offset: 0, first_seq, records: 0, frames };
            batch.records = u32::try_from(one_batch(batch).records().count()).ok()?;
            next_seq = first_seq.checked_add(u64::from(batch.records))?;
            Some(batch)
        })
    }
}

/// Length of the frames and first seq of a batch, from its header: magic, frames, first seq, payload length.
fn delimit(bytes: &[u8]) -> Option<(usize, u64)> {
    let header = bytes.get(..BATCH_HEADER_BYTES)?;
    let first_seq = u64::from_be_bytes(*header.get(8..)?.first_chunk()?);
    let payload = u32::from_be_bytes(*header.get(16..)?.first_chunk()?);
    Some((usize::try_from(payload).ok()?, first_seq))
}

/// A scan of nothing but this batch: the way to its checked frames.
fn one_batch(batch: Batch<'_>) -> Scan<'_> {
    const NONE: Hash = [0; 32];
    let header = SegmentHeader { number: 0, first_seq: batch.first_seq, instance: [0; 16], root: NONE, previous: NONE };
    Scan { header, batches: vec![batch], end: 0, next_seq: batch.first_seq, tip: NONE, tail: Tail::Clean }
}

/// Durable records in order; it ends at what was durable when it looked last.
pub struct Records<'a> {
    reader: &'a Reader,
    next_seq: u64,
    ready: VecDeque<Vec<u8>>,
}

impl<'a> Records<'a> {
    pub(crate) fn new(reader: &'a Reader, from: u64) -> Self {
        Self { reader, next_seq: from, ready: VecDeque::new() }
    }

    fn refill(&mut self) -> Result<(), ReadError> {
        let piece = self.reader.piece(self.next_seq)?;
        let mut seq = self.next_seq;
        for batch in piece.batches() {
            let skip = usize::try_from(seq.saturating_sub(batch.first_seq)).unwrap_or(usize::MAX);
            for record in one_batch(batch).records().skip(skip) {
                self.ready.push_back(record.to_vec());
                seq += 1;
            }
        }
        if self.ready.is_empty() { Err(ReadError::Damaged(piece.path)) } else { Ok(()) }
    }
}

impl Iterator for Records<'_> {
    /// A record's `seq` and bytes.
    type Item = Result<(u64, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty() {
            match self.refill() {
                Ok(()) => {}
                Err(ReadError::NotFound(_)) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        let record = self.ready.pop_front()?;
        let seq = self.next_seq;
        self.next_seq += 1;
        Some(Ok((seq, record)))
    }
}
