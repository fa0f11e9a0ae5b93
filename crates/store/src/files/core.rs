//! The committer's work on one batch: judge, write once, sync once, tell. Without a thread, so that a simulation can drive it.

use super::intake::Shared;
use super::snapshot::{Job, Place};
use super::space::{Space, segment_path};
use super::{AppendError, Fatal, Options};
use crate::disk::DiskFile;
use crate::machine::{FrameSink, Machine, SinkState, Urgency};
use marque_journal::merkle::Hash;
use marque_journal::segment::{BatchWriter, HEADER_BYTES, SegmentHeader};
use marque_switch::fail_point;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::oneshot;

/// What is said of a draft that was recorded and is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack {
    /// Position in the journal.
    pub seq: u64,
    /// The record's time, milliseconds since 1970.
    pub time_ms: u64,
    /// The record's leaf hash.
    pub leaf_hash: Hash,
}

pub(crate) type Answer<M> = Result<Ack, AppendError<<M as Machine>::Refusal>>;

/// A draft that waits, and who waits for it, if somebody does.
pub(crate) struct Pending<M: Machine> {
    pub draft: M::Draft,
    pub reply: Option<oneshot::Sender<Answer<M>>>,
}

/// The segment that is being written.
pub(crate) struct Segment {
    pub file: Arc<dyn DiskFile>,
    pub number: u32,
    /// Where the next batch goes.
    pub at: u64,
    /// Its preallocated length.
    pub size: u64,
}

pub(crate) struct Core<M: Machine> {
    pub machine: M,
    pub clock: Box<dyn Fn() -> u64 + Send>,
    pub options: Options,
    pub shared: Arc<Shared>,
    pub space: Arc<Space>,
    pub instance: [u8; 16],
    pub segment: Segment,
    pub writer: BatchWriter,
    /// Hash that the next batch or segment names.
    pub tip: Hash,
    /// Time of the last record.
    pub time_ms: u64,
    pub answers: Vec<(Option<oneshot::Sender<Answer<M>>>, Answer<M>)>,
}

impl<M: Machine> Core<M> {
    /// Takes drafts from the front of the queue, as many as make one batch, and answers them. After an error nothing more may
    /// be done: nobody was answered, and what is on the disk is not known.
    pub(crate) fn run_batch(&mut self, queue: &mut VecDeque<Pending<M>>) -> Result<(), Fatal> {
        self.time_ms = self.time_ms.max((self.clock)());
        let mut left = self.space.room()?;
        while let Some(next) = queue.front() {
            if self.answers.len() >= self.options.batch_drafts || self.writer.len_bytes() >= self.options.batch_bytes {
                break;
            }
            let urgency = M::urgency(&next.draft);
            let barred = match urgency {
                Urgency::Ordinary => !left.ordinary,
                // Without a reserve behind it, this segment is the reserve, or all that is left.
                Urgency::Report => !left.reserve && !self.fits(self.segment.size / 2),
                Urgency::Vital => false,
            };
            let room = if barred {
                false
            } else if self.fits(self.segment.size) {
                true
            } else if self.writer.frames() > 0 {
                // The next batch begins the next segment.
                break;
            } else {
                let rolled = self.roll(urgency)?;
                left = self.space.room()?;
                // What comes after a change of segment is judged by what is left then.
                if rolled && urgency == Urgency::Report && !left.reserve {
                    continue;
                }
                rolled
            };
            let Some(pending) = queue.pop_front() else { break };
            let answer = if room { self.judge(pending.draft)? } else { Err(AppendError::NoSpace) };
            self.answers.push((pending.reply, answer));
        }
        self.write()
    }

    fn judge(&mut self, mut draft: M::Draft) -> Result<Answer<M>, Fatal> {
        let seq = self.writer.next_seq();
        let mut sink = FrameSink::new(&mut self.writer, self.options.draft_opening_bytes);
        let verdict = self.machine.commit(seq, self.time_ms, &mut draft, &mut sink);
        match (verdict, sink.state()) {
            (Ok(()), SinkState::Appended(leaf_hash)) => Ok(Ok(Ack { seq, time_ms: self.time_ms, leaf_hash })),
            (Err(refusal), SinkState::Empty) => Ok(Err(AppendError::Refused(refusal))),
            (Ok(()), _) => Err(Fatal::bug("a draft was accepted without a record")),
            (Err(_), _) => Err(Fatal::bug("a draft was refused after its record was written")),
        }
    }

    fn fits(&self, size: u64) -> bool {
        let needed = (self.writer.len_bytes() as u64).saturating_add(self.options.draft_bytes());
        self.segment.at.saturating_add(needed) <= size
    }

    /// Goes on in a new segment; `false` when there is no space for one.
    fn roll(&mut self, urgency: Urgency) -> Result<bool, Fatal> {
        let number = self.segment.number.checked_add(1).ok_or_else(|| Fatal::bug("the segments are numbered through"))?;
        let header = SegmentHeader {
            number,
            first_seq: self.writer.next_seq(),
            instance: self.instance,
            root: self.shared.intake().tree.root(),
            previous: self.tip,
        };
        let Some(file) = self.space.adopt(&header, urgency > Urgency::Ordinary)? else { return Ok(false) };
        let size = file.len().map_err(Fatal::io("cannot read the length of", segment_path(number)))?;
        self.freeze(&header);
        self.tip = header.hash();
        self.writer.enter_segment(self.tip);
        self.segment = Segment { file, number, at: HEADER_BYTES as u64, size };
        Ok(true)
    }

    /// Takes the state as it is before the segment that begins. It is encoded and written by the integrator.
    fn freeze(&self, next: &SegmentHeader) {
        let Some(frozen) = self.machine.freeze() else { return };
        let mut intake = self.shared.intake();
        let place = Place {
            instance: next.instance,
            number: next.number,
            time_ms: self.time_ms,
            previous: next.previous,
            tree: intake.tree.clone(),
            levels: intake.partial.clone(),
        };
        intake.snapshot = Some(Job { place, frozen });
    }

    fn write(&mut self) -> Result<(), Fatal> {
        let Some(batch) = self.writer.finish() else {
            self.answer();
            return Ok(());
        };
        let path = || segment_path(self.segment.number);
        let end = self.segment.at.saturating_add(batch.len() as u64);
        fail_point("batch.judged");
        self.segment.file.write_all_at(batch, self.segment.at).map_err(|e| Fatal::io("cannot write to", path())(e))?;
        fail_point("batch.written");
        self.segment.file.sync().map_err(|e| Fatal::io("cannot sync", path())(e))?;
        fail_point("batch.durable");
        let appended = self.answers.iter().filter(|(_, answer)| answer.is_ok()).count() as u64;
        let next_seq = self.writer.next_seq();
        let first_seq = next_seq.saturating_sub(appended);
        self.shared.reader.add(self.segment.number, first_seq, self.segment.at, end, next_seq);
        self.segment.at = end;
        self.tip = self.writer.begin_next();
        self.machine.durable(next_seq);
        self.shared.durable.send_replace(next_seq);
        let leaves: Vec<Hash> = self.answers.iter().filter_map(|(_, a)| a.as_ref().ok().map(|ack| ack.leaf_hash)).collect();
        self.answer();
        fail_point("batch.answered");
        // After the answers, so that the writers already prepare their next drafts meanwhile.
        self.shared.integrate(&leaves, self.options.lag_events, self.options.checkpoint_events)
    }

    fn answer(&mut self) {
        for (reply, answer) in self.answers.drain(..) {
            // Whoever stopped waiting does not need the answer; the record stands.
            if let Some(reply) = reply {
                let _ = reply.send(answer);
            }
        }
    }
}
