//! What is in the segments at start, and whether it may be continued.

use super::OpenError;
use super::error::Remembered;
use super::intake::{RowHash, push_leaf};
use super::reader::Reader;
use super::space::{DIR, segment_path};
use crate::disk::{Disk, DiskFile};
use crate::limits::SEGMENT_BYTES_MAX;
use crate::machine::Machine;
use crate::mark::Mark;
use marque_journal::merkle::{Hash, Tree, leaf_hash};
use marque_journal::record::decode;
use marque_journal::segment::{self, Dropped, Expect, Scan, Tail};
use marque_switch::fail_point;
use std::sync::Arc;

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Number of records, and `seq` of the next.
    pub records: u64,
    /// Time of the last record; 0 without one.
    pub time_ms: u64,
    /// Number of segments.
    pub segments: u32,
    /// An interrupted last batch that nobody was told of; it was zeroed.
    pub dropped: Option<Dropped>,
    /// Whether a mark from outside vouched for the end. Without one, a cut tail cannot be told from an interrupted write.
    pub marked: bool,
}

/// A checkpoint somebody remembers, to be met while replaying.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub source_of: Remembered,
    pub size: u64,
    pub root: Hash,
}

/// The end of a journal, ready to be continued.
pub(crate) struct Replayed {
    pub report: Recovery,
    pub tree: Tree,
    /// File, number, where the next batch goes, and length of the last segment; `None` for a new journal.
    pub last: Option<(Arc<dyn DiskFile>, u32, u64, u64)>,
    pub tip: Hash,
}

pub(crate) struct Replay<'a, M> {
    pub disk: &'a dyn Disk,
    pub instance: [u8; 16],
    pub mark: Option<&'a Mark>,
    pub expected: Vec<Expected>,
    pub machine: &'a mut M,
    pub reader: &'a Reader,
    pub rows: &'a mut dyn FnMut(RowHash),
    pub tree: Tree,
    pub time_ms: u64,
}

fn io(path: &str) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

impl<M: Machine> Replay<'_, M> {
    /// Reads every segment, replays every record, and repairs nothing but an interrupted last batch.
    pub(crate) fn run(mut self) -> Result<Replayed, OpenError> {
        self.expected.sort_by_key(|expected| expected.size);
        self.meet_expected()?;
        let count = count_segments(self.disk)?;
        let (mut tip, mut last, mut dropped) = ([0; 32], None, None);
        for number in 0..count {
            let path = segment_path(number);
            let file = self.disk.open(&path).map_err(io(&path))?;
            let len = file.len().map_err(io(&path))?;
            let mut bytes = vec![0; usize::try_from(len.min(SEGMENT_BYTES_MAX)).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0).map_err(io(&path))?;
            let expect = Expect {
                number: Some(number),
                first_seq: Some(self.tree.size()),
                instance: Some(self.instance),
                root: Some(self.tree.root()),
                previous: Some(tip),
            };
            let scan = segment::scan(&bytes, &expect).map_err(|fault| OpenError::Header { segment: number, fault })?;
            if number + 1 < count && scan.tail != Tail::Clean {
                return Err(OpenError::SegmentCut(number));
            }
            let is_last = number + 1 == count;
            let mark = self.mark.filter(|_| is_last).map(|mark| segment::Mark { seq: mark.seq, leaf_hash: mark.leaf_hash });
            let plan = segment::recover(&scan, mark).map_err(|refusal| OpenError::Refused { segment: number, refusal })?;
            self.replay(number, &scan)?;
            tip = plan.tip;
            if is_last {
                // Only now: whatever refuses to start leaves the files as they are.
                self.met_all()?;
                fail_point("recovery.replayed");
                settle(file.as_ref(), &bytes, &scan, plan.dropped).map_err(io(&path))?;
                dropped = plan.dropped;
                last = Some((file, number, plan.append_at as u64, len));
            }
        }
        self.met_all()?;
        self.disk.sync_dir(DIR).map_err(io(DIR))?;
        let marked = self.mark.is_some();
        let report = Recovery { records: self.tree.size(), time_ms: self.time_ms, segments: count, dropped, marked };
        Ok(Replayed { report, tree: self.tree, last, tip })
    }

    fn replay(&mut self, number: u32, scan: &Scan<'_>) -> Result<(), OpenError> {
        for (index, batch) in scan.batches.iter().enumerate() {
            let end = scan.batches.get(index + 1).map_or(scan.end, |next| next.offset);
            let next_seq = batch.first_seq.saturating_add(u64::from(batch.records));
            self.reader.add(number, batch.first_seq, batch.offset as u64, end as u64, next_seq);
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
            if self.mark.is_some_and(|mark| mark.seq == seq && mark.leaf_hash != leaf) {
                let refusal = segment::RefuseToStart::AcknowledgedChanged(seq);
                return Err(OpenError::Refused { segment: number, refusal });
            }
            self.machine.replay(&record).map_err(|error| OpenError::Replay { seq, error })?;
            push_leaf(&mut self.tree, leaf, &mut *self.rows)
                .map_err(|_| OpenError::Record { seq, fault: marque_journal::record::Malformed::Bounds(1) })?;
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
    fn met_all(&self) -> Result<(), OpenError> {
        let found = self.tree.size();
        if let Some(longer) = self.expected.first() {
            return Err(OpenError::Shorter { source_of: longer.source_of, size: longer.size, found });
        }
        match self.mark {
            Some(mark) if mark.seq >= found => {
                Err(OpenError::Shorter { source_of: Remembered::Mark, size: mark.seq.saturating_add(1), found })
            }
            _ => Ok(()),
        }
    }
}

/// Makes the end firm before anything is built on it.
///
/// What a killed process wrote but did not sync is only in the page cache; and where its sync failed, the cache shows pages that
/// the system counts as written and are not. So the last batch, the only one this can be, is written again before the sync.
fn settle(file: &dyn DiskFile, bytes: &[u8], scan: &Scan<'_>, dropped: Option<Dropped>) -> std::io::Result<()> {
    if let Some(last) = scan.batches.last() {
        let batch = bytes.get(last.offset..scan.end).unwrap_or_default();
        file.write_all_at(batch, last.offset as u64)?;
        fail_point("recovery.last-batch-rewritten");
    }
    if let Some(dropped) = dropped {
        file.write_all_at(&vec![0; dropped.to.saturating_sub(dropped.from)], dropped.from as u64)?;
        fail_point("recovery.tail-zeroed");
    }
    file.sync()?;
    fail_point("recovery.durable");
    Ok(())
}

/// Segments are numbered from 0 without a gap.
fn count_segments(disk: &dyn Disk) -> Result<u32, OpenError> {
    let names = disk.list(DIR).map_err(io(DIR))?;
    let mut numbers: Vec<u32> =
        names.iter().filter_map(|name| name.strip_suffix(".seg")).filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    for (expected, number) in (0..).zip(&numbers) {
        if *number != expected {
            return Err(OpenError::SegmentMissing(expected));
        }
    }
    u32::try_from(numbers.len()).map_err(|_| OpenError::Option("segments"))
}
