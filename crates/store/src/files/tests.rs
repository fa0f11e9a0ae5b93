//! The committer and the integrator on a disk that fails, without threads: everything follows from a seed.

use super::core::{Answer, Pending};
use super::*;
use crate::disk::sim::{SimDisk, Trouble};
use crate::machine::{Announcement, FrameSink, Frozen, ReplayError, Urgency};
use marque_journal::cbor::{CborError, Reader as Cbor, Writer};
use marque_journal::merkle::{Hash, leaf_hash, root_at};
use marque_journal::note::Ed25519Signer;
use marque_journal::record::{Record, RecordHead, decode};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use tokio::sync::oneshot;

pub(super) const INSTANCE: [u8; 16] = [9; 16];
const LIMIT: u64 = 40;

/// Counters that may not pass a limit.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) used: BTreeMap<u64, u64>,
    pub(super) published: u64,
}

pub(super) struct Use {
    key: u64,
    amount: u64,
    urgency: Urgency,
    padding: usize,
    announces: Option<Announcement>,
}

const ANNOUNCED: &str = "toy.snapshot";

impl Counters {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.array(self.used.len());
        for (key, used) in &self.used {
            w.array(2).uint(*key).uint(*used);
        }
        out
    }

    fn read(bytes: &[u8]) -> Result<BTreeMap<u64, u64>, CborError> {
        let mut r = Cbor::new(bytes);
        let mut used = BTreeMap::new();
        for _ in 0..r.array()? {
            r.array()?;
            used.insert(r.uint()?, r.uint()?);
        }
        r.end().map(|()| used)
    }
}

impl Machine for Counters {
    type Draft = Use;
    type Refusal = u64;

    fn commit(&mut self, seq: u64, now_ms: u64, draft: &mut Use, out: &mut FrameSink<'_>) -> Result<(), u64> {
        if let Some(Announcement { seq: of, digest }) = draft.announces {
            let mut body = Vec::new();
            Writer::new(&mut body).map(2).uint(1).uint(of).uint(2).bytes(&digest);
            let head = RecordHead { seq, time_ms: now_ms, kind: ANNOUNCED, ..RecordHead::default() };
            return out.append(&head, &body, &[]).map(|_| ()).map_err(|_| u64::MAX);
        }
        let used = self.used.entry(draft.key).or_default();
        if *used + draft.amount > LIMIT {
            return Err(*used);
        }
        let mut body = Vec::new();
        Writer::new(&mut body).map(3).uint(1).uint(draft.key).uint(2).uint(draft.amount).uint(3).bytes(&vec![7; draft.padding]);
        let head = RecordHead { seq, time_ms: now_ms, kind: "toy.use", ..RecordHead::default() };
        out.append(&head, &body, &[]).map_err(|_| u64::MAX)?;
        *used += draft.amount;
        Ok(())
    }

    fn urgency(draft: &Use) -> Urgency {
        draft.urgency
    }

    fn freeze(&self) -> Option<Frozen> {
        let bytes = self.bytes();
        Some(Box::new(move || bytes))
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ReplayError> {
        self.used = match state {
            Some(bytes) => Self::read(bytes).map_err(|error| ReplayError(error.to_string()))?,
            None => BTreeMap::new(),
        };
        Ok(())
    }

    fn announce(announcement: Announcement) -> Option<Use> {
        Some(Use { key: 0, amount: 0, urgency: Urgency::Ordinary, padding: 0, announces: Some(announcement) })
    }

    fn announced(record: &Record<'_>) -> Option<Announcement> {
        let mut r = Cbor::new(record.body());
        let read = (|| Ok::<_, CborError>((r.map()?, r.uint()?, r.uint()?, r.uint()?, r.byte_array()?)))();
        read.ok().filter(|_| record.kind() == ANNOUNCED).map(|(_, _, seq, _, digest)| Announcement { seq, digest })
    }

    fn replay(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        if record.kind() == ANNOUNCED {
            return Ok(());
        }
        let mut r = Cbor::new(record.body());
        let fields = (|| {
            r.map()?;
            r.uint()?;
            let key = r.uint()?;
            r.uint()?;
            Ok::<_, marque_journal::cbor::CborError>((key, r.uint()?))
        })();
        let (key, amount) = fields.map_err(|e| ReplayError(e.to_string()))?;
        *self.used.entry(key).or_default() += amount;
        Ok(())
    }

    fn durable(&mut self, next_seq: u64) {
        self.published = next_seq;
    }
}

/// What the signer process would have on another disk.
#[derive(Clone, Default)]
pub(super) struct SignerState(Arc<Mutex<Option<Checkpoint>>>);

impl SignerState {
    pub(super) fn signer(&self) -> Box<dyn CheckpointSigner> {
        let last = self.0.lock().unwrap().clone();
        let memory = self.0.clone();
        let remember: Remember = Box::new(move |next| {
            *memory.lock().unwrap() = Some(next.clone());
            Ok(())
        });
        Box::new(KeySigner::new(Ed25519Signer::from_seed("test/log", &[3; 32]).unwrap(), last, remember))
    }
}

fn small() -> Options {
    Options {
        segment_bytes: 96 * 1024,
        reserve_bytes: 96 * 1024,
        floor_bytes: 0,
        draft_opening_bytes: 1024,
        tile_sync_events: 100,
        index_step_bytes: 512,
        batch_drafts: 64,
        on_fatal: Arc::new(|_| {}),
        ..Options::default()
    }
}

pub(super) struct World {
    random: u64,
    pub(super) announced: Arc<Mutex<Vec<Announcement>>>,
    pub(super) signer: SignerState,
    pub(super) acknowledged: Vec<Hash>,
    refused: u64,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed ^ 0x5eed, announced: Arc::default(), signer: SignerState::default(), acknowledged: Vec::new(), refused: 0 }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    pub(super) fn mark(&self) -> Option<Mark> {
        let leaf_hash = *self.acknowledged.last()?;
        Some(Mark { instance: INSTANCE, seq: self.acknowledged.len() as u64 - 1, leaf_hash, checkpoint: None })
    }

    pub(super) fn open(&self, disk: &SimDisk, mark: Option<Mark>) -> Result<Parts<Counters>, OpenError> {
        self.open_with(small(), disk, mark)
    }

    pub(super) fn open_with(&self, options: Options, disk: &SimDisk, mark: Option<Mark>) -> Result<Parts<Counters>, OpenError> {
        let times = std::cell::Cell::new(1_000u64);
        let mut parts = assemble(
            Arc::new(disk.clone()),
            Opening {
                options,
                // A clock that runs backwards every other time.
                clock: Box::new(move || {
                    times.set(times.get() ^ 0x55);
                    times.get()
                }),
                instance: INSTANCE,
                acknowledged: mark,
                signer: self.signer.signer(),
                machine: Counters::default(),
            },
        )?;
        // What the thread would hand to the committer's queue.
        self.announced.lock().unwrap().clear();
        let announced = self.announced.clone();
        parts.integrator.announce = Box::new(move |announcement| {
            announced.lock().unwrap().push(announcement);
        });
        Ok(parts)
    }

    /// One batch; acknowledgements are noted in order.
    pub(super) fn batch(&mut self, parts: &mut Parts<Counters>, padding: usize) -> Result<(), Fatal> {
        let count = 1 + self.below(12);
        let mut waiting = Vec::new();
        let mut queue = VecDeque::new();
        for announcement in std::mem::take(&mut *self.announced.lock().unwrap()) {
            let (reply, answer) = oneshot::channel::<Answer<Counters>>();
            queue.push_back(Pending { draft: Counters::announce(announcement).unwrap(), reply: Some(reply) });
            waiting.push(answer);
        }
        for _ in 0..count {
            let (reply, answer) = oneshot::channel::<Answer<Counters>>();
            let draft = Use {
                key: self.below(20),
                amount: 1 + self.below(3),
                urgency: Urgency::Ordinary,
                padding: self.below(1 + padding as u64) as usize,
                announces: None,
            };
            queue.push_back(Pending { draft, reply: Some(reply) });
            waiting.push(answer);
        }
        let result = loop {
            if queue.is_empty() {
                break Ok(());
            }
            if let Err(fatal) = parts.core.run_batch(&mut queue) {
                break Err(fatal);
            }
        };
        for mut answer in waiting {
            match answer.try_recv() {
                Ok(Ok(ack)) => {
                    assert_eq!(ack.seq, self.acknowledged.len() as u64, "acknowledgements come in order");
                    self.acknowledged.push(ack.leaf_hash);
                }
                Ok(Err(AppendError::Refused(_))) => self.refused += 1,
                Ok(Err(other)) => panic!("unexpected {other:?}"),
                Err(_) => {}
            }
        }
        result
    }

    /// Runs until trouble, or for some batches.
    fn run(&mut self, parts: &mut Parts<Counters>, padding: usize) -> Result<(), Fatal> {
        for _ in 0..2 + self.below(12) {
            self.batch(parts, padding)?;
            if self.below(3) == 0 {
                let taken = parts.core.shared.take();
                parts.integrator.step(taken)?;
            }
        }
        Ok(())
    }

    /// Everything acknowledged is there, in its place, and nothing passed its limit.
    pub(super) fn check(&mut self, parts: &Parts<Counters>) {
        let records: Vec<Vec<u8>> = Records::new(&parts.core.shared.reader, 0).map(|record| record.unwrap().1).collect();
        assert_eq!(records.len() as u64, parts.recovery.records);
        assert!(records.len() >= self.acknowledged.len(), "an acknowledged record is lost");
        let mut time = 0;
        for (seq, record) in records.iter().enumerate() {
            if let Some(leaf) = self.acknowledged.get(seq) {
                assert_eq!(leaf_hash(record), *leaf, "an acknowledged record changed");
            }
            let decoded = decode(record).unwrap();
            assert!(decoded.head().time_ms >= time);
            time = decoded.head().time_ms;
        }
        // A batch that was durable but not answered when the power went is part of the state from now on, and as firm as any.
        self.acknowledged = records.iter().map(|record| leaf_hash(record)).collect();
        let mut from_the_first = Counters::default();
        for record in &records {
            from_the_first.replay(&decode(record).unwrap()).unwrap();
        }
        assert_eq!(parts.core.machine.used, from_the_first.used, "the state is that of every record");
        let mut tree = Tree::new();
        self.acknowledged.iter().for_each(|leaf| tree.push(*leaf, |_, _, _| ()).unwrap());
        assert_eq!(parts.core.shared.intake().tree, tree);
        assert!(parts.core.machine.used.values().all(|used| *used <= LIMIT));
        assert_eq!(parts.core.machine.published, parts.recovery.records);
        // The tiles lead to the same root as the records, whatever the crash left of them.
        let snapshot = parts.core.shared.snapshot.read().unwrap().clone();
        let disk = parts.core.shared.disk.clone();
        let hashes = proofs::Hashes::new(disk.as_ref(), &snapshot);
        let tree = parts.core.shared.intake().tree.clone();
        if tree.size() > 0 {
            assert_eq!(root_at(tree.size(), &hashes.reader()).unwrap(), tree.root());
        }
    }
}

fn seeds() -> std::ops::Range<u64> {
    let chosen = std::env::var("MARQUE_SIM_SEEDS").ok();
    let range = chosen.and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse().ok()?..to.parse().ok()?)
    });
    range.unwrap_or(0..2_000)
}

/// Lives through several crashes on one disk.
fn one_seed(seed: u64) -> (u64, u64, u64) {
    let mut world = World::new(seed);
    let mut disk = SimDisk::new(seed);
    let (mut dropped, mut fatals, mut resumed) = (0, 0, 0);
    // Long records in some runs, so that segments are left behind.
    let padding = if seed.is_multiple_of(4) { 8_000 } else { 200 };
    for _life in 0..4 {
        let at = world.below(120);
        let trouble = match world.below(4) {
            0 | 1 => Some(Trouble::Eio(at)),
            2 => None,
            _ => Some(Trouble::PowerCut(at)),
        };
        disk.plan(trouble);
        if let Ok(mut parts) = world.open(&disk, world.mark()) {
            dropped += u64::from(parts.recovery.dropped.is_some());
            resumed += u64::from(parts.recovery.snapshot.is_some());
            world.check(&parts);
            fatals += u64::from(world.run(&mut parts, padding).is_err());
        }
        // The process alone may have died: what it wrote and did not sync is still to be seen, until the power goes too.
        if matches!(trouble, Some(Trouble::PowerCut(_))) || world.below(2) == 0 {
            disk = disk.reboot();
        }
    }
    disk.plan(None);
    disk = disk.reboot();
    let parts = world.open(&disk, world.mark()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    dropped += u64::from(parts.recovery.dropped.is_some());
    resumed += u64::from(parts.recovery.snapshot.is_some());
    world.check(&parts);
    (dropped, fatals, resumed)
}

#[test]
fn no_acknowledged_record_is_lost_whatever_the_disk_does() {
    let range = seeds();
    let (count, start) = (range.end - range.start, range.start);
    let results: Vec<(u64, u64, u64)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                scope.spawn(move || {
                    (0..count)
                        .filter(|i| i % 4 == worker)
                        .map(|i| one_seed(start + i))
                        .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2))
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let (dropped, fatals, resumed) = results.iter().fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    println!("{count} seeds: {dropped} torn batches, {fatals} failures, {resumed} starts from a snapshot");
    // The simulation would prove nothing if it did not tear and fail.
    if count >= 1_000 {
        assert!(dropped >= 50, "only {dropped} torn batches");
        assert!(fatals >= 500, "only {fatals} failures");
        assert!(resumed >= 200, "only {resumed} starts from a snapshot");
    }
}

#[test]
fn a_failed_sync_is_fatal_and_acknowledges_nothing() {
    // Which operation is hit decides what fails; each of them must end the run without an answer to the batch it belongs to.
    for at in 0..40 {
        let mut world = World::new(at);
        let disk = SimDisk::new(at);
        let mut parts = world.open(&disk, None).unwrap();
        disk.plan(Some(Trouble::Eio(at)));
        let mut failed = false;
        for _ in 0..20 {
            let before = world.acknowledged.len();
            if world.batch(&mut parts, 100).is_err() {
                assert_eq!(world.acknowledged.len(), before, "a batch that failed was acknowledged");
                failed = true;
                break;
            }
        }
        assert!(failed, "operation {at} was never reached");
    }
}

#[test]
fn a_flipped_bit_in_an_acknowledged_record_refuses_to_start() {
    let mut refused = 0;
    for seed in 0..300 {
        let mut world = World::new(seed);
        let disk = SimDisk::new(seed);
        let mut parts = world.open(&disk, None).unwrap();
        for _ in 0..4 {
            world.batch(&mut parts, 200).unwrap();
        }
        let end = parts.core.segment.at;
        drop(parts);
        let disk = disk.reboot();
        let offset = world.below(end) as usize;
        let bit = world.below(8) as u8;
        assert!(disk.flip_bit("journal/00000000.seg", offset, bit));
        // A bit of the header's padding is covered by its checksum too: there is no byte that may change.
        match world.open(&disk, world.mark()) {
            Err(
                OpenError::Refused { .. } | OpenError::Header { .. } | OpenError::Rewritten { .. } | OpenError::Shorter { .. },
            ) => refused += 1,
            Err(other) => panic!("seed {seed}: unexpected {other}"),
            Ok(_) => panic!("seed {seed}: a flipped bit at {offset} went unnoticed"),
        }
        // And it stays so: refusing changes nothing.
        assert!(world.open(&disk, world.mark()).is_err());
    }
    assert_eq!(refused, 300);
}

#[test]
fn a_cut_tail_is_told_by_whoever_remembers_and_by_nobody_else() {
    let mut world = World::new(1);
    let disk = SimDisk::new(1);
    let mut parts = world.open(&disk, None).unwrap();
    world.batch(&mut parts, 100).unwrap();
    let cut = parts.core.segment.at;
    world.batch(&mut parts, 100).unwrap();
    let end = parts.core.segment.at;
    drop(parts);
    let disk = disk.reboot();
    let file = disk.open("journal/00000000.seg").unwrap();
    file.write_all_at(&vec![0; (end - cut) as usize], cut).unwrap();
    file.sync().unwrap();
    assert!(matches!(world.open(&disk, world.mark()), Err(OpenError::Refused { .. })));
    // The unwitnessed window: without a mark, the same file opens, and the report says that nobody vouched.
    let parts = world.open(&disk, None).unwrap();
    assert!(!parts.recovery.marked);
    assert!(parts.recovery.records < world.acknowledged.len() as u64);
}

#[test]
fn a_journal_behind_the_signers_last_checkpoint_is_not_opened() {
    let mut world = World::new(2);
    let disk = SimDisk::new(2);
    let mut parts = world.open(&disk, None).unwrap();
    world.batch(&mut parts, 100).unwrap();
    let old = disk.reboot();
    drop(parts);
    // The old copy goes on in another history than the original, which was signed.
    let mut parts = world.open(&old, None).unwrap();
    world.batch(&mut parts, 100).unwrap();
    let taken = parts.core.shared.take();
    parts.integrator.step(taken).unwrap();
    drop(parts);
    let empty = SimDisk::new(3);
    assert!(matches!(world.open(&empty, None), Err(OpenError::Shorter { source_of: Remembered::Signer, .. })));
    let mut other = World::new(77);
    let mut parts = other.open(&empty, None).unwrap();
    for _ in 0..4 {
        other.batch(&mut parts, 100).unwrap();
    }
    drop(parts);
    assert!(matches!(world.open(&empty.reboot(), None), Err(OpenError::Rewritten { source_of: Remembered::Signer, .. })));
}

#[test]
fn a_record_below_the_mark_that_changed_is_told() {
    let mut world = World::new(4);
    let disk = SimDisk::new(4);
    let mut parts = world.open(&disk, None).unwrap();
    world.batch(&mut parts, 100).unwrap();
    drop(parts);
    let disk = disk.reboot();
    let mark = Mark { instance: INSTANCE, seq: 0, leaf_hash: [1; 32], checkpoint: None };
    assert!(matches!(world.open(&disk, Some(mark.clone())), Err(OpenError::Refused { .. })));
    let other = Mark { instance: [8; 16], ..mark };
    assert!(matches!(world.open(&disk, Some(other)), Err(OpenError::OtherInstance)));
}

#[test]
fn a_missing_segment_is_told() {
    let mut world = World::new(5);
    let disk = SimDisk::new(5);
    let mut parts = world.open(&disk, None).unwrap();
    while parts.core.segment.number < 2 {
        world.batch(&mut parts, 8_000).unwrap();
        parts.core.machine.used.clear();
    }
    drop(parts);
    for path in ["journal/00000000.seg", "journal/00000001.seg"] {
        let disk = disk.reboot();
        disk.remove(path).unwrap();
        assert!(matches!(world.open(&disk, None), Err(OpenError::SegmentMissing(_))), "{path}");
    }
    let disk = disk.reboot();
    disk.remove("journal/00000002.seg").unwrap();
    assert!(matches!(world.open(&disk, world.mark()), Err(OpenError::Refused { .. })));
}

/// One draft of 8 kB, by itself.
fn submit(parts: &mut Parts<Counters>, urgency: Urgency) -> Answer<Counters> {
    parts.core.machine.used.clear();
    let (reply, mut answer) = oneshot::channel::<Answer<Counters>>();
    let draft = Use { key: 1, amount: 1, urgency, padding: 8_000, announces: None };
    parts.core.run_batch(&mut VecDeque::from([Pending { draft, reply: Some(reply) }])).unwrap();
    let taken = parts.core.shared.take();
    parts.integrator.step(taken).unwrap();
    answer.try_recv().unwrap()
}

#[test]
fn reports_leave_half_of_the_reserve_to_what_is_vital() {
    let world = World::new(7);
    let disk = SimDisk::new(7);
    let options = Options { reserve_bytes: 384 * 1024, ..small() };
    let (segment, reserve) = (options.segment_bytes, options.reserve_bytes);
    // Room for the reserve, two segments, and a little for tiles.
    disk.set_capacity(2 * segment + reserve + 4 * 1024);
    let mut parts = world.open_with(options, &disk, None).unwrap();
    let mut many = |urgency| (0..1_000).take_while(|_| submit(&mut parts, urgency).is_ok()).count() as u64 * 8_000;
    assert!(many(Urgency::Ordinary) >= 4 * 8_000);
    let reports = many(Urgency::Report);
    assert!(reports > 0 && reports < reserve / 2 + segment, "{reports} bytes of reports");
    let vital = many(Urgency::Vital);
    assert!(vital >= reserve / 4, "{vital} bytes were left to what is vital");
    assert_eq!(many(Urgency::Ordinary) + many(Urgency::Report), 0);
}

#[test]
fn the_reserve_takes_what_is_essential_when_the_disk_is_full() {
    let world = World::new(6);
    let disk = SimDisk::new(6);
    // Room for the reserve, two segments, and a little for tiles.
    disk.set_capacity(3 * 96 * 1024 + 4 * 1024);
    let mut parts = world.open(&disk, None).unwrap();
    let mut ordinary = 0;
    while submit(&mut parts, Urgency::Ordinary).is_ok() {
        ordinary += 1;
    }
    assert!(ordinary >= 4, "only {ordinary} ordinary drafts");
    assert!(matches!(submit(&mut parts, Urgency::Ordinary), Err(AppendError::NoSpace)));
    let mut essential = 0;
    while submit(&mut parts, Urgency::Vital).is_ok() {
        essential += 1;
        assert!(matches!(submit(&mut parts, Urgency::Ordinary), Err(AppendError::NoSpace)));
    }
    assert!(essential >= 3, "only {essential} essential drafts");
    // Space comes back: so do ordinary drafts, once the reserve is there again.
    disk.set_capacity(20 * 96 * 1024);
    parts.core.space.room().unwrap();
    std::thread::scope(|scope| {
        let space = parts.core.space.clone();
        let thread = scope.spawn(move || space.run());
        parts.core.space.close();
        thread.join().unwrap().unwrap();
    });
    assert!(submit(&mut parts, Urgency::Ordinary).is_ok());
    let taken = parts.core.shared.take();
    parts.integrator.step(taken).unwrap();
    let head = parts.core.shared.head.borrow().clone().unwrap();
    assert_eq!(head.checkpoint.size, parts.core.writer.next_seq());
}
