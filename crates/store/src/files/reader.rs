//! Finding records in the segments: a sparse index in memory, one entry for some kilobytes of a segment.

use super::ReadError;
use super::space::segment_path;
use crate::disk::Disk;
use crate::limits::SEGMENT_BYTES_MAX;
use marque_journal::merkle::Hash;
use marque_journal::segment::{BATCH_HEADER_BYTES, Batch, Frame, HEADER_BYTES, Opening, Scan, SegmentHeader, Tail};
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

/// Whole batches of one segment, from `offset` to the next entry.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    first_seq: u64,
    segment: u32,
    offset: u32,
}

/// A segment that was not read at start. Where its batches are is found when somebody asks for one of its records.
#[derive(Debug)]
struct Before {
    first_seq: u64,
    found: Option<Arc<Chunks>>,
}

/// Chunks of one segment, and where the last of them ends.
#[derive(Debug)]
struct Chunks {
    list: Vec<Chunk>,
    end: u32,
}

#[derive(Debug, Default)]
struct Map {
    /// By number: those whose records lie before the chunks.
    before: Vec<Before>,
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

    /// Forgets everything, and begins behind the segments that begin with these records.
    pub(crate) fn begin(&self, before: Vec<u64>) {
        let before = before.into_iter().map(|first_seq| Before { first_seq, found: None }).collect();
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = Map { before, ..Map::default() };
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
        let (chunk, end) = self.find(seq)?;
        let path = segment_path(chunk.segment);
        let mut bytes = vec![0; end.saturating_sub(chunk.offset) as usize];
        let read = self.disk.open(&path).and_then(|file| file.read_exact_at(&mut bytes, u64::from(chunk.offset)));
        match read {
            Ok(()) => Ok(Piece { path, first_seq: chunk.first_seq, bytes }),
            Err(source) => Err(ReadError::Io { path, source }),
        }
    }
}

impl Reader {
    /// Where a record is: its chunk, and where that ends.
    fn find(&self, seq: u64) -> Result<(Chunk, u32), ReadError> {
        let (number, found) = {
            let map = self.map.read().unwrap_or_else(PoisonError::into_inner);
            if seq >= map.size {
                return Err(ReadError::NotFound(seq));
            }
            let last_end = |chunk: &Chunk| map.ends.get(chunk.segment as usize).copied();
            if let Some(found) = pick(&map.chunks, seq, last_end) {
                return Ok(found);
            }
            let number = map.before.partition_point(|before| before.first_seq <= seq).checked_sub(1);
            let number = number.ok_or(ReadError::NotFound(seq))?;
            (number, map.before.get(number).and_then(|before| before.found.clone()))
        };
        let found = match found {
            Some(found) => found,
            None => self.look_into(number)?,
        };
        pick(&found.list, seq, |_| Some(found.end)).ok_or(ReadError::NotFound(seq))
    }

    /// Finds the batches of a segment that was not read at start, once.
    fn look_into(&self, number: usize) -> Result<Arc<Chunks>, ReadError> {
        let segment = u32::try_from(number).map_err(|_| ReadError::Range)?;
        let path = segment_path(segment);
        let read = self.disk.open(&path).and_then(|file| {
            let mut bytes = vec![0; usize::try_from(file.len()?.min(SEGMENT_BYTES_MAX)).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        });
        let bytes = read.map_err(|source| ReadError::Io { path: path.clone(), source })?;
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = map.before.get_mut(number) else { return Err(ReadError::Range) };
        let found = chunks_of(&bytes, segment, before.first_seq, self.step_bytes).ok_or(ReadError::Damaged(path))?;
        let found = Arc::new(found);
        before.found = Some(found.clone());
        Ok(found)
    }
}

/// The chunk that a record is in, and where it ends.
fn pick(chunks: &[Chunk], seq: u64, last_end: impl Fn(&Chunk) -> Option<u32>) -> Option<(Chunk, u32)> {
    let after = chunks.partition_point(|chunk| chunk.first_seq <= seq);
    let chunk = *chunks.get(after.checked_sub(1)?)?;
    let end = match chunks.get(after) {
        Some(next) if next.segment == chunk.segment => next.offset,
        _ => last_end(&chunk).unwrap_or(chunk.offset),
    };
    Some((chunk, end))
}

/// The chunks of a whole segment, as the headers of its batches delimit them; `None` when they do not follow each other.
fn chunks_of(bytes: &[u8], segment: u32, first_seq: u64, step_bytes: u32) -> Option<Chunks> {
    let (mut list, mut at, mut least_seq) = (Vec::<Chunk>::new(), HEADER_BYTES, first_seq);
    // Zeroes follow the last batch: its payload is never empty.
    while let Some((payload, first_seq)) = bytes.get(at..).and_then(delimit).filter(|(payload, _)| *payload > 0) {
        if first_seq < least_seq {
            return None;
        }
        least_seq = first_seq;
        let offset = u32::try_from(at).ok()?;
        if list.last().is_none_or(|last| offset.saturating_sub(last.offset) >= step_bytes) {
            list.push(Chunk { first_seq, segment, offset });
        }
        at = at.checked_add(BATCH_HEADER_BYTES)?.checked_add(payload).filter(|end| *end <= bytes.len())?;
    }
    Some(Chunks { list, end: u32::try_from(at).ok()? })
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
