//! Reading segments from one on: every record is checked, applied, and put into the tree.

use super::OpenError;
use super::error::Remembered;
use super::intake::push_leaf;
use super::levels::Levels;
use super::recovery::{Expected, Replay, io};
use super::space::segment_path;
use crate::disk::DiskFile;
use crate::limits::SEGMENT_BYTES_MAX;
use crate::machine::{Announcement, Machine};
use marque_journal::merkle::{Hash, Tree, leaf_hash};
use marque_journal::record::{Malformed, decode};
use marque_journal::segment::{self, Dropped, Expect, Scan, Tail};
use std::ops::Range;
use std::sync::Arc;

/// Where a replay is.
pub(crate) struct Walk {
    pub tree: Tree,
    pub levels: Levels,
    pub partial: Levels,
    /// What is remembered and was not met yet, the smaller first.
    pub expected: Vec<Expected>,
    pub time_ms: u64,
    /// What the next segment names.
    pub tip: Hash,
    pub replayed: u64,
    /// The announcement that the snapshot needs, until it is read.
    pub awaited: Option<Announcement>,
    pub end: Option<End>,
}

/// How the last segment ends, and what has to be done about it.
pub(crate) struct End {
    pub file: Arc<dyn DiskFile>,
    pub path: String,
    pub number: u32,
    pub append_at: u64,
    pub len: u64,
    pub dropped: Option<Dropped>,
    /// The last good batch and where it is.
    pub last_batch: Option<(Vec<u8>, u64)>,
}

impl Walk {
    /// Replays these segments, the last of which is the journal's last.
    pub(crate) fn run<M: Machine>(mut self, replay: &mut Replay<'_, M>, segments: Range<u32>) -> Result<Self, OpenError> {
        self.meet_expected()?;
        for number in segments.clone() {
            let path = segment_path(number);
            let file = replay.disk.open(&path).map_err(io(&path))?;
            let len = file.len().map_err(io(&path))?;
            let mut bytes = vec![0; usize::try_from(len.min(SEGMENT_BYTES_MAX)).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0).map_err(io(&path))?;
            let expect = Expect {
                number: Some(number),
                first_seq: Some(self.tree.size()),
                instance: Some(replay.instance),
                root: Some(self.tree.root()),
                previous: Some(self.tip),
            };
            let scan = segment::scan(&bytes, &expect).map_err(|fault| OpenError::Header { segment: number, fault })?;
            let is_last = number + 1 == segments.end;
            if !is_last && scan.tail != Tail::Clean {
                return Err(OpenError::SegmentCut(number));
            }
            let mark = replay.mark.filter(|_| is_last).map(|mark| segment::Mark { seq: mark.seq, leaf_hash: mark.leaf_hash });
            let plan = segment::recover(&scan, mark).map_err(|refusal| OpenError::Refused { segment: number, refusal })?;
            self.segment(replay, number, &scan)?;
            self.tip = plan.tip;
            if is_last {
                let last_batch = scan.batches.last().map(|last| {
                    let batch = bytes.get(last.offset..scan.end).unwrap_or_default();
                    (batch.to_vec(), last.offset as u64)
                });
                let (append_at, dropped) = (plan.append_at as u64, plan.dropped);
                self.end = Some(End { file, path, number, append_at, len, dropped, last_batch });
            }
        }
        self.met_all(replay)?;
        Ok(self)
    }

    fn segment<M: Machine>(&mut self, replay: &mut Replay<'_, M>, number: u32, scan: &Scan<'_>) -> Result<(), OpenError> {
        for (index, batch) in scan.batches.iter().enumerate() {
            let end = scan.batches.get(index + 1).map_or(scan.end, |next| next.offset);
            let next_seq = batch.first_seq.saturating_add(u64::from(batch.records));
            replay.reader.add(number, batch.first_seq, batch.offset as u64, end as u64, next_seq);
        }
        for bytes in scan.records() {
            let seq = self.tree.size();
            let record = decode(bytes).map_err(|fault| OpenError::Record { seq, fault })?;
            let time_ms = record.head().time_ms;
            if time_ms < self.time_ms {
                return Err(OpenError::TimeGoesBack(seq));
            }
            self.time_ms = time_ms;
            let leaf = leaf_hash(bytes);
            if replay.mark.is_some_and(|mark| mark.seq == seq && mark.leaf_hash != leaf) {
                let refusal = segment::RefuseToStart::AcknowledgedChanged(seq);
                return Err(OpenError::Refused { segment: number, refusal });
            }
            replay.machine.replay(&record).map_err(|error| OpenError::Replay { seq, error })?;
            if self.awaited.is_some() && M::announced(&record) == self.awaited {
                self.awaited = None;
            }
            let (levels, partial) = (&mut self.levels, &mut self.partial);
            let row = |hash| {
                levels.push(hash);
                partial.roll(hash);
            };
            push_leaf(&mut self.tree, leaf, row).map_err(|_| OpenError::Record { seq, fault: Malformed::Bounds(1) })?;
            self.replayed += 1;
            self.meet_expected()?;
        }
        Ok(())
    }

    /// Compares the tree with whatever is remembered of its present size.
    fn meet_expected(&mut self) -> Result<(), OpenError> {
        while let Some(next) = self.expected.first().filter(|next| next.size <= self.tree.size()) {
            if next.root != self.tree.root() {
                return Err(OpenError::Rewritten { source_of: next.source_of, size: next.size, root: next.root });
            }
            self.expected.remove(0);
        }
        Ok(())
    }

    /// Nobody remembers more than there is.
    fn met_all<M: Machine>(&self, replay: &Replay<'_, M>) -> Result<(), OpenError> {
        let found = self.tree.size();
        if let Some(longer) = self.expected.first() {
            return Err(OpenError::Shorter { source_of: longer.source_of, size: longer.size, found });
        }
        match replay.mark {
            Some(mark) if mark.seq >= found => {
                Err(OpenError::Shorter { source_of: Remembered::Mark, size: mark.seq.saturating_add(1), found })
            }
            _ => Ok(()),
        }
    }
}
