//! What may be chosen when a journal is opened. Every figure has its default in [`crate::limits`]; tests lower them.

use super::{Fatal, OpenError};
use crate::limits;
use std::sync::Arc;

/// What is told of a fatal fault. The default writes one line to stderr and aborts the process.
pub type OnFatal = Arc<dyn Fn(&Fatal) + Send + Sync>;

/// Options of a journal.
#[derive(Clone)]
pub struct Options {
    /// Size of a segment file.
    pub segment_bytes: u64,
    /// Size of the reserve for essential drafts.
    pub reserve_bytes: u64,
    /// Free space below which ordinary drafts are refused.
    pub floor_bytes: u64,
    /// Drafts that may wait; writers wait beyond it.
    pub queue_drafts: usize,
    /// Most drafts in a batch.
    pub batch_drafts: usize,
    /// Bytes at which a batch takes no further draft.
    pub batch_bytes: usize,
    /// Most ciphertext bytes in the openings of one draft.
    pub draft_opening_bytes: usize,
    /// Events that make a checkpoint due.
    pub checkpoint_events: u64,
    /// Age of an event that makes a checkpoint due.
    pub checkpoint_age_ms: u64,
    /// Least time between checkpoints that the number of events asks for.
    pub checkpoint_gap_ms: u64,
    /// Events without a tile at which the committer waits.
    pub lag_events: u64,
    /// Events after which tiles are forced to disk.
    pub tile_sync_events: u64,
    /// Distance of index entries.
    pub index_step_bytes: u32,
    /// Called once at a fatal fault; the default aborts. After a hook that returns, the journal answers `Closed`.
    pub on_fatal: OnFatal,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: limits::SEGMENT_BYTES,
            reserve_bytes: limits::RESERVE_BYTES,
            floor_bytes: limits::FLOOR_BYTES,
            queue_drafts: limits::QUEUE_DRAFTS,
            batch_drafts: limits::BATCH_DRAFTS,
            batch_bytes: limits::BATCH_BYTES,
            draft_opening_bytes: limits::DRAFT_OPENING_BYTES,
            checkpoint_events: limits::CHECKPOINT_EVENTS,
            checkpoint_age_ms: limits::CHECKPOINT_AGE_MS,
            checkpoint_gap_ms: limits::CHECKPOINT_GAP_MS,
            lag_events: limits::LAG_EVENTS,
            tile_sync_events: limits::TILE_SYNC_EVENTS,
            index_step_bytes: limits::INDEX_STEP_BYTES,
            on_fatal: Arc::new(abort),
        }
    }
}

impl Options {
    /// Longest frames of one draft: what has to fit before a draft is judged.
    pub(crate) fn draft_bytes(&self) -> u64 {
        let openings = self.draft_opening_bytes.saturating_add(limits::DRAFT_OPENINGS * limits::OPENING_OVERHEAD_BYTES);
        (limits::DRAFT_RECORD_BYTES.saturating_add(openings)) as u64
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let least = self.draft_bytes() + marque_journal::segment::HEADER_BYTES as u64;
        let segment = least..=limits::SEGMENT_BYTES_MAX;
        let rules = [
            ("draft_opening_bytes", self.draft_opening_bytes <= limits::DRAFT_OPENING_BYTES),
            ("segment_bytes", segment.contains(&self.segment_bytes)),
            ("reserve_bytes", segment.contains(&self.reserve_bytes)),
            ("queue_drafts", (1..=limits::LAG_EVENTS as usize).contains(&self.queue_drafts)),
            ("batch_drafts", (1..=limits::BATCH_DRAFTS).contains(&self.batch_drafts)),
            ("batch_bytes", (1..=limits::BATCH_BYTES).contains(&self.batch_bytes)),
            ("checkpoint_events", self.checkpoint_events > 0),
            ("lag_events", self.lag_events > 0),
            ("tile_sync_events", self.tile_sync_events > 0),
        ];
        match rules.into_iter().find(|(_, holds)| !holds) {
            Some((name, _)) => Err(OpenError::Option(name)),
            None => Ok(()),
        }
    }
}

/// A torn `println` cannot lie about durability, a process that goes on after a failed fsync can.
fn abort(fatal: &Fatal) {
    use std::io::Write;
    let _ =
        writeln!(std::io::stderr(), "marque: fatal: {fatal}; the process ends so that nothing is claimed that is not on disk");
    std::process::abort();
}
