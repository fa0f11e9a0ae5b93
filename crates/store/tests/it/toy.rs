//! A machine with one limit: so many uses of each of its approvals.

use marque_journal::cbor::{Reader, Writer};
use marque_journal::checkpoint::Checkpoint;
use marque_journal::note::{Ed25519Signer, SignatureType, VerifierKey};
use marque_journal::record::{Record, RecordHead};
use marque_journal::segment::Opening as TextOpening;
use marque_store::{Announcement, CheckpointSigner, FrameSink, Frozen, KeySigner, Machine, Opening, Options, ReplayError, Urgency};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub const INSTANCE: [u8; 16] = [4; 16];

#[derive(Default)]
pub struct Approvals {
    pub limit: u64,
    /// Whether the state is kept in snapshots, which puts their announcements between the drafts.
    pub snapshots: bool,
    pub used: BTreeMap<u64, u64>,
    pub published: Arc<AtomicU64>,
}

pub struct Spend {
    pub approval: u64,
    pub padding: usize,
    pub essential: bool,
    pub opening: Option<([u8; 12], Vec<u8>)>,
    pub announces: Option<Announcement>,
}

const ANNOUNCED: &str = "toy.snapshot";

impl Spend {
    pub fn of(approval: u64) -> Self {
        Self { approval, padding: 600, essential: false, opening: None, announces: None }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Spent;

impl Machine for Approvals {
    type Draft = Spend;
    type Refusal = Spent;

    fn commit(&mut self, seq: u64, now_ms: u64, draft: &mut Spend, out: &mut FrameSink<'_>) -> Result<(), Spent> {
        if let Some(Announcement { seq: of, digest }) = draft.announces {
            let mut body = Vec::new();
            Writer::new(&mut body).map(2).uint(1).uint(of).uint(2).bytes(&digest);
            let head = RecordHead { seq, time_ms: now_ms, kind: ANNOUNCED, ..RecordHead::default() };
            return out.append(&head, &body, &[]).map(|_| ()).map_err(|_| Spent);
        }
        let used = self.used.entry(draft.approval).or_default();
        if *used >= self.limit {
            return Err(Spent);
        }
        let mut body = Vec::new();
        Writer::new(&mut body).map(2).uint(1).uint(draft.approval).uint(2).bytes(&vec![1; draft.padding]);
        let openings: Vec<TextOpening<'_>> = draft
            .opening
            .iter()
            .map(|(nonce, ciphertext)| TextOpening { seq, field: 1, subject: [6; 16], nonce: *nonce, ciphertext })
            .collect();
        let head = RecordHead { seq, time_ms: now_ms, kind: "toy.spend", ..RecordHead::default() };
        out.append(&head, &body, &openings).map_err(|_| Spent)?;
        *used += 1;
        Ok(())
    }

    fn urgency(draft: &Spend) -> Urgency {
        if draft.essential { Urgency::Vital } else { Urgency::Ordinary }
    }

    fn freeze(&self) -> Option<Frozen> {
        let used = self.used.clone();
        let frozen: Frozen = Box::new(move || {
            let mut out = Vec::new();
            let mut w = Writer::new(&mut out);
            w.array(used.len());
            for (key, used) in &used {
                w.uint(*key).uint(*used);
            }
            out
        });
        self.snapshots.then_some(frozen)
    }

    fn restore(&mut self, state: Option<&[u8]>) -> Result<(), ReplayError> {
        self.used.clear();
        let Some(bytes) = state else { return Ok(()) };
        let mut r = Reader::new(bytes);
        for _ in 0..r.array().map_err(|e| ReplayError(e.to_string()))? {
            let (key, used) = (r.uint().unwrap(), r.uint().unwrap());
            self.used.insert(key, used);
        }
        Ok(())
    }

    fn announce(announcement: Announcement) -> Option<Spend> {
        Some(Spend { announces: Some(announcement), ..Spend::of(0) })
    }

    fn announced(record: &Record<'_>) -> Option<Announcement> {
        let mut r = Reader::new(record.body());
        (record.kind() == ANNOUNCED).then(|| {
            r.map().and_then(|_| r.uint()).unwrap();
            let seq = r.uint().unwrap();
            r.uint().unwrap();
            Announcement { seq, digest: r.byte_array().unwrap() }
        })
    }

    fn replay(&mut self, record: &Record<'_>) -> Result<(), ReplayError> {
        if record.kind() == ANNOUNCED {
            return Ok(());
        }
        let mut r = Reader::new(record.body());
        let approval = r.map().and_then(|_| r.uint()).and_then(|_| r.uint()).map_err(|e| ReplayError(e.to_string()))?;
        *self.used.entry(approval).or_default() += 1;
        Ok(())
    }

    fn durable(&mut self, next_seq: u64) {
        self.published.store(next_seq, Ordering::SeqCst);
    }
}

pub fn signer(last: Option<Checkpoint>) -> Box<dyn CheckpointSigner> {
    Box::new(KeySigner::new(key(), last, Box::new(|_| Ok(()))))
}

fn key() -> Ed25519Signer {
    Ed25519Signer::from_seed("test.example/log", &[5; 32]).unwrap()
}

pub fn log_key() -> VerifierKey {
    key().verifier(SignatureType::Ed25519).unwrap()
}

pub fn small() -> Options {
    Options {
        segment_bytes: 1024 * 1024,
        reserve_bytes: 512 * 1024,
        floor_bytes: 0,
        draft_opening_bytes: 4096,
        checkpoint_age_ms: 20,
        checkpoint_gap_ms: 5,
        ..Options::default()
    }
}

pub fn opening(limit: u64) -> Opening<Approvals> {
    let ticks = AtomicU64::new(1_700_000_000_000);
    Opening {
        options: small(),
        clock: Box::new(move || ticks.fetch_add(1, Ordering::Relaxed)),
        instance: INSTANCE,
        acknowledged: None,
        signer: signer(None),
        machine: Approvals { limit, ..Approvals::default() },
    }
}
