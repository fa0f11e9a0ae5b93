//! What is in the segments at start, and whether it may be continued.

use super::OpenError;
use super::checkpoint::CheckpointSigner;
use super::earlier::Earlier;
use super::error::Remembered;
use super::levels::Levels;
use super::reader::Reader;
use super::replay::{End, Walk};
use super::snapshot::{Found, header, numbers, read, snapshot_path};
use super::space::DIR;
use crate::disk::{Disk, DiskFile};
use crate::limits::SNAPSHOTS_TRIED;
use crate::machine::Machine;
use crate::mark::Mark;
use marque_journal::merkle::{Hash, Tree};
use marque_journal::segment::Dropped;
use marque_switch::fail_point;
use std::sync::Arc;

/// What was found when the journal was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// Number of records, and `seq` of the next.
    pub records: u64,
    /// Records that were read and applied: all of them, or those after the snapshot.
    pub replayed: u64,
    /// The first record that was not in the snapshot that it went on from; `None` where it began with the first record.
    pub snapshot: Option<u64>,
    /// Snapshots that it did not go on from, and why. Nothing is lost by that.
    pub passed_over: Vec<String>,
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
    /// For the integrator: from the first tile that is not durable.
    pub levels: Levels,
    /// Of the tree as it is.
    pub partial: Levels,
    /// File, number, where the next batch goes, and length of the last segment; `None` for a new journal.
    pub last: Option<(Arc<dyn DiskFile>, u32, u64, u64)>,
    pub tip: Hash,
    /// What was not read.
    pub earlier: Option<Earlier>,
}

pub(crate) struct Replay<'a, M> {
    pub disk: &'a dyn Disk,
    pub instance: [u8; 16],
    pub mark: Option<&'a Mark>,
    pub expected: Vec<Expected>,
    pub machine: &'a mut M,
    /// Vouches for snapshots.
    pub signer: &'a mut dyn CheckpointSigner,
    pub reader: &'a Reader,
    /// Tiles over so many records are durable.
    pub synced: u64,
}

pub(crate) fn io(path: &str) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}

impl<M: Machine> Replay<'_, M> {
    /// Goes on from the newest snapshot that is believed, or reads every segment; replays every record that it reads, and
    /// repairs nothing but an interrupted last batch.
    pub(crate) fn run(mut self) -> Result<Replayed, OpenError> {
        self.expected.sort_by_key(|expected| expected.size);
        let names = self.disk.list(DIR).map_err(io(DIR))?;
        let count = count_segments(&names)?;
        let mut passed_over = Vec::new();
        let mut walked = None;
        for number in numbers(&names).into_iter().take(SNAPSHOTS_TRIED) {
            match self.from_snapshot(number, count) {
                Ok(found) => {
                    walked = Some(found);
                    break;
                }
                Err(why) => passed_over.push(format!("`{}`: {why}", snapshot_path(number))),
            }
        }
        // Whatever is wrong with a snapshot is no reason to refuse. What is wrong with the journal is found again here.
        let (walk, earlier) = match walked {
            Some((walk, earlier)) => (walk, Some(earlier)),
            None => (self.from_the_first(count)?, None),
        };
        let snapshot = earlier.as_ref().map(|earlier| earlier.tree.size());
        let Walk { tree, levels, partial, time_ms, replayed, tip, end, .. } = walk;
        let (mut dropped, mut last) = (None, None);
        if let Some(end) = end {
            // Only now: whatever refuses to start leaves the files as they are.
            fail_point("recovery.replayed");
            settle(&end).map_err(io(&end.path))?;
            dropped = end.dropped;
            last = Some((end.file, end.number, end.append_at, end.len));
        }
        self.disk.sync_dir(DIR).map_err(io(DIR))?;
        let (records, marked) = (tree.size(), self.mark.is_some());
        let report = Recovery { records, replayed, snapshot, passed_over, time_ms, segments: count, dropped, marked };
        Ok(Replayed { report, tree, levels, partial, last, tip, earlier })
    }

    fn from_the_first(&mut self, count: u32) -> Result<Walk, OpenError> {
        self.reader.begin(Vec::new());
        let walk = Walk {
            tree: Tree::new(),
            levels: Levels::from_size(self.synced),
            partial: Levels::default(),
            expected: self.expected.clone(),
            time_ms: 0,
            tip: [0; 32],
            replayed: 0,
            awaited: None,
            end: None,
        };
        walk.run(self, 0..count)
    }

    /// Goes on from the snapshot of a segment. The reason, where it cannot; the machine is then as it was.
    fn from_snapshot(&mut self, number: u32, count: u32) -> Result<(Walk, Earlier), String> {
        if number == 0 || number >= count {
            return Err("there is no segment after it".to_owned());
        }
        let Found { place, state, announcement } = read(self.disk, self.instance, number, &mut *self.signer)?;
        let seq = announcement.seq;
        if self.synced < seq {
            return Err("the tiles are not durable up to it".to_owned());
        }
        // What is remembered of the records before it is compared with those records.
        let remembers_less = self.expected.iter().any(|expected| expected.size < seq);
        if remembers_less || self.mark.is_some_and(|mark| mark.seq < seq) {
            return Err("somebody remembers what lies before it, which has to be read".to_owned());
        }
        let before = self.segments_before(number, seq)?;
        self.machine.restore(Some(&state)).map_err(|error| error.to_string())?;
        self.reader.begin(before);
        let earlier = Earlier { instance: self.instance, number, tree: place.tree.clone(), tip: place.previous };
        let walk = Walk {
            tree: place.tree,
            levels: place.levels.clone(),
            partial: place.levels,
            expected: self.expected.clone(),
            time_ms: place.time_ms,
            tip: place.previous,
            replayed: 0,
            awaited: Some(announcement),
            end: None,
        };
        let walked = walk.run(self, number..count).map_err(|error| error.to_string()).and_then(|walk| match walk.awaited {
            Some(_) => Err("no record announces it".to_owned()),
            None if self.synced > walk.tree.size() => Err("the tiles are not of this journal".to_owned()),
            None => Ok((walk, earlier)),
        });
        walked.or_else(|why| {
            self.machine.restore(None).map_err(|error| error.to_string())?;
            Err(why)
        })
    }

    /// First seq of every segment before that one, from their headers.
    fn segments_before(&self, number: u32, seq: u64) -> Result<Vec<u64>, String> {
        let mut firsts = Vec::new();
        for before in 0..number {
            let found = header(self.disk, before)?;
            let follows = match firsts.last() {
                Some(last) => *last <= found.first_seq,
                None => found.first_seq == 0,
            };
            if !follows || found.first_seq > seq || found.instance != self.instance {
                return Err("a segment before it is not the one that belongs there".to_owned());
            }
            firsts.push(found.first_seq);
        }
        Ok(firsts)
    }
}

/// Makes the end firm before anything is built on it.
///
/// What a killed process wrote but did not sync is only in the page cache; and where its sync failed, the cache shows pages that
/// the system counts as written and are not. So the last batch, the only one this can be, is written again before the sync.
fn settle(end: &End) -> std::io::Result<()> {
    if let Some((batch, offset)) = &end.last_batch {
        end.file.write_all_at(batch, *offset)?;
        fail_point("recovery.last-batch-rewritten");
    }
    if let Some(dropped) = end.dropped {
        end.file.write_all_at(&vec![0; dropped.to.saturating_sub(dropped.from)], dropped.from as u64)?;
        fail_point("recovery.tail-zeroed");
    }
    end.file.sync()?;
    fail_point("recovery.durable");
    Ok(())
}

/// Segments are numbered from 0 without a gap.
fn count_segments(names: &[String]) -> Result<u32, OpenError> {
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
