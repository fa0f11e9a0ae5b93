//! Whoever owns the machine: reads the data directory's keys with the passphrase, and writes segments and checkpoints that are
//! whole in themselves. Written from conformance/FORMAT.md, with no help from the product's own writer.

use crate::house::{House, PASSPHRASE};
use crate::kills::Dice;
use crate::oracle::segments;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use marque_detect::Secret;
use marque_journal::checkpoint::Checkpoint;
use marque_journal::merkle::{Hash, Tree, leaf_hash, sha256};
use marque_journal::note::{Ed25519Signer, SignatureType};
use marque_journal::record::{RecordHead, decode, encode};
use marque_journal::segment::{Expect, Frame as Scanned, SegmentHeader, scan};
use marque_model::Event;
use marque_store::disk::RealDisk;
use marque_store::seal::SealFile;
use std::path::{Path, PathBuf};

/// Records in a batch that the forger writes.
const IN_A_BATCH: usize = 16;

/// A record (kind 0) or an opening (kind 1), as it lies in a batch.
#[derive(Clone)]
pub(crate) struct Frame {
    kind: u8,
    pub(crate) payload: Vec<u8>,
}

/// The journal as a list of frames.
pub(crate) struct Book {
    pub(crate) frames: Vec<Frame>,
}

struct Len32;
impl KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

impl Book {
    pub(crate) fn read(data: &Path) -> Self {
        let mut frames = Vec::new();
        for path in segments(data) {
            let bytes = std::fs::read(&path).unwrap();
            let scan = scan(&bytes, &Expect::default()).unwrap();
            frames.extend(scan.frames().map(|frame| match frame {
                Scanned::Record(bytes) => Frame { kind: 0, payload: bytes.to_vec() },
                Scanned::Opening(opening) => {
                    let mut payload = Vec::new();
                    opening.encode(&mut payload).unwrap();
                    Frame { kind: 1, payload }
                }
            }));
        }
        Self { frames }
    }

    /// Where each record is among the frames.
    pub(crate) fn records(&self) -> Vec<usize> {
        self.frames.iter().enumerate().filter(|(_, frame)| frame.kind == 0).map(|(at, _)| at).collect()
    }

    fn record(&self, seq: u64) -> &[u8] {
        &self.frames[self.records()[usize::try_from(seq).unwrap()]].payload
    }

    /// A byte of the batches, and the first record that may suffer: that of the batch, since its header vouches for all.
    pub(crate) fn byte(&self, data: &Path, dice: &mut Dice) -> (PathBuf, usize, u64) {
        let all = segments(data);
        let path = all[usize::try_from(dice.below(all.len() as u64)).unwrap()].clone();
        let bytes = std::fs::read(&path).unwrap();
        let scan = scan(&bytes, &Expect::default()).unwrap();
        let at = usize::try_from(dice.below(scan.end as u64)).unwrap();
        let batch = scan.batches.iter().take_while(|batch| batch.offset <= at).last();
        (path, at, batch.map_or(scan.header.first_seq.saturating_sub(1), |batch| batch.first_seq))
    }

    /// The record and its openings are gone.
    pub(crate) fn without(&self, seq: u64) -> Vec<Frame> {
        let records = self.records();
        let at = records[usize::try_from(seq).unwrap()];
        let next = records.get(usize::try_from(seq).unwrap() + 1).copied().unwrap_or(self.frames.len());
        self.frames[..at].iter().chain(&self.frames[next..]).cloned().collect()
    }

    fn again(&self, seq: u64, change: impl FnOnce(&mut RecordHead<'_>)) -> Vec<u8> {
        let bytes = self.record(seq);
        let record = decode(bytes).unwrap();
        let mut head = record.head();
        change(&mut head);
        let mut out = Vec::new();
        encode(&head, record.body(), &mut out).unwrap();
        assert_ne!(out, bytes, "a tampering changes something");
        out
    }

    /// The same record, as canonical as before, that says that something else was executed.
    pub(crate) fn with_another_body(&self, seq: u64) -> Vec<u8> {
        self.again(seq, |head| head.exec = Some(sha256(b"something else")))
    }

    /// From `seq` on another history: as many records, every one well formed, of things that did not happen.
    pub(crate) fn forked(&self, seq: u64) -> Vec<Frame> {
        let records = self.records();
        let mut frames = self.frames[..records[usize::try_from(seq).unwrap()]].to_vec();
        let before = decode(self.record(seq - 1)).unwrap().head().time_ms;
        for at in seq..records.len() as u64 {
            let head = RecordHead { seq: at, time_ms: before, kind: "host.passed", ..RecordHead::default() };
            let mut payload = Vec::new();
            // The body of `host.passed`: a host and a count.
            let event = Event::HostPassed(marque_model::event::HostPassed { host: "elsewhere.test:443".into(), count: 1 });
            let mut body = Vec::new();
            event.encode_body(&mut body);
            encode(&head, &body, &mut payload).unwrap();
            frames.push(Frame { kind: 0, payload });
        }
        frames
    }

    /// A commitment to erasable text is another; where there is none, one is added.
    pub(crate) fn reencrypted(&self, seq: u64) -> Vec<Frame> {
        let mut frames = self.frames.clone();
        let record = decode(self.record(seq)).unwrap();
        let mut commitments: Vec<(u64, Hash)> = record.head().commitments.to_vec();
        match commitments.first_mut() {
            Some((_, commitment)) => commitment[0] ^= 1,
            None => commitments.push((3, [7; 32])),
        }
        let head = RecordHead { commitments: &commitments, ..record.head() };
        let mut out = Vec::new();
        encode(&head, record.body(), &mut out).unwrap();
        frames[self.records()[usize::try_from(seq).unwrap()]].payload = out;
        frames
    }
}

/// The owner of the machine, with every key that is on it.
pub(crate) struct Forger {
    instance: [u8; 16],
    origin: String,
    log: [u8; 32],
    link: [u8; 32],
}

impl Forger {
    pub(crate) fn of(house: &House) -> Self {
        let signer = house.data().join("signer");
        let instance = <[u8; 16]>::try_from(std::fs::read(signer.join("instance")).unwrap().as_slice()).unwrap();
        let seal = SealFile::load(&RealDisk::open(&signer).unwrap(), "seal", instance).unwrap().unwrap();
        let root = seal.open_with_passphrase(&Secret::new(PASSPHRASE.as_bytes().to_vec())).unwrap();
        let derive = |info: &[u8]| {
            let mut out = [0; 32];
            let prk = Salt::new(HKDF_SHA256, b"marque/root/v1").extract(root.expose());
            prk.expand(&[info], Len32).unwrap().fill(&mut out).unwrap();
            out
        };
        let hex: String = instance.iter().map(|b| format!("{b:02x}")).collect();
        let forger = Self { instance, origin: format!("marque.local/log/{hex}"), log: derive(b"checkpoint"), link: derive(b"link") };
        let vkey = std::fs::read_to_string(house.data().join("journal/log.vkey")).unwrap();
        assert_eq!(forger.signer().verifier(SignatureType::Ed25519).unwrap().to_string(), vkey.trim(), "the forger has the log's own key");
        forger
    }

    fn signer(&self) -> Ed25519Signer {
        Ed25519Signer::from_seed(&self.origin, &self.log).unwrap()
    }

    /// Writes the frames as a whole journal of two segments, with a checkpoint over it.
    pub(crate) fn write(&self, data: &Path, frames: &[Frame]) {
        self.write_signed(data, frames, &self.signer());
    }

    /// The same under another key, which is made the log's.
    pub(crate) fn write_with_another_key(&self, data: &Path, frames: &[Frame]) {
        let other = Ed25519Signer::from_seed(&self.origin, &[9; 32]).unwrap();
        self.write_signed(data, frames, &other);
        let vkey = other.verifier(SignatureType::Ed25519).unwrap().to_string();
        let mut frames = frames.to_vec();
        let record = decode(&frames[0].payload).unwrap();
        let Ok(Event::InstanceInit(mut init)) = Event::decode(record.kind(), record.body()) else { panic!("record 0") };
        init.checkpoint_vkey = vkey.clone();
        let (mut body, mut payload) = (Vec::new(), Vec::new());
        Event::InstanceInit(init).encode_body(&mut body);
        encode(&record.head(), &body, &mut payload).unwrap();
        frames[0].payload = payload;
        std::fs::write(data.join("journal/log.vkey"), format!("{vkey}\n")).unwrap();
        self.write_signed(data, &frames, &other);
    }

    /// A checkpoint over a tree that is not this journal's.
    pub(crate) fn lie(&self, data: &Path, size: u64, dice: &mut Dice) {
        let mut root = [0; 32];
        root.fill_with(|| u8::try_from(dice.below(256)).unwrap());
        let checkpoint = Checkpoint { origin: self.origin.clone(), size, root, extensions: Vec::new() };
        std::fs::write(data.join("journal/checkpoint"), checkpoint.sign(&self.signer()).unwrap().to_string()).unwrap();
    }

    /// Some session's link grants everything, signed by the root key as the real one was.
    pub(crate) fn with_wider_link(&self, book: &Book, dice: &mut Dice) -> (u64, Vec<Frame>) {
        let opens: Vec<u64> = (0..book.records().len() as u64).filter(|seq| decode(book.record(*seq)).unwrap().kind() == "session.open").collect();
        let seq = opens[usize::try_from(dice.below(opens.len() as u64)).unwrap()];
        let record = decode(book.record(seq)).unwrap();
        let Ok(Event::SessionOpen(mut open)) = Event::decode(record.kind(), record.body()) else { panic!("record {seq}") };
        use base64::Engine as _;
        let payload = open.link.split('.').nth(1).unwrap();
        let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
        let mut claims: marque_chain::Claims = serde_json::from_slice(&claims).unwrap();
        let wide = r#"{"type":"service","environment":"staging","service":"github","actions":["*"],"resources":["**"]}"#;
        claims.authorization_details.push(marque_chain::Grant::parse(wide).unwrap());
        let key = marque_chain::SigningKey::from_seed(&self.link).unwrap();
        open.link = marque_chain::sign_root(&claims, &key).unwrap().compact().to_owned();
        let (mut body, mut payload) = (Vec::new(), Vec::new());
        Event::SessionOpen(open).encode_body(&mut body);
        encode(&record.head(), &body, &mut payload).unwrap();
        let mut frames = book.frames.clone();
        frames[book.records()[usize::try_from(seq).unwrap()]].payload = payload;
        (seq, frames)
    }

    fn write_signed(&self, data: &Path, frames: &[Frame], signer: &Ed25519Signer) {
        let mut tree = Tree::new();
        let (mut previous, mut seq) = ([0; 32], 0_u64);
        for path in segments(data) {
            std::fs::remove_file(path).unwrap();
        }
        // A batch begins with a record: cut there.
        let starts: Vec<usize> = frames.iter().enumerate().filter(|(_, f)| f.kind == 0).map(|(at, _)| at).step_by(IN_A_BATCH).collect();
        let batches: Vec<&[Frame]> = starts.iter().enumerate().map(|(n, from)| &frames[*from..starts.get(n + 1).copied().unwrap_or(frames.len())]).collect();
        let (one, two) = batches.split_at(batches.len() / 2);
        for (number, part) in (0_u32..).zip([one, two]) {
            let header = SegmentHeader { number, first_seq: seq, instance: self.instance, root: tree.root(), previous };
            let mut out = header.to_bytes().to_vec();
            let mut tip = sha256(&out);
            for batch in part {
                let (bytes, hash) = write_batch(batch, seq, tip);
                out.extend_from_slice(&bytes);
                tip = hash;
                for frame in batch.iter().filter(|f| f.kind == 0) {
                    tree.push(leaf_hash(&frame.payload), |_, _, _| {}).unwrap();
                    seq += 1;
                }
            }
            out.extend_from_slice(&[0; 256]);
            previous = tip;
            std::fs::write(data.join(format!("journal/{number:08}.seg")), out).unwrap();
        }
        let checkpoint = Checkpoint { origin: self.origin.clone(), size: seq, root: tree.root(), extensions: Vec::new() };
        std::fs::write(data.join("journal/checkpoint"), checkpoint.sign(signer).unwrap().to_string()).unwrap();
    }
}

fn write_batch(frames: &[Frame], first_seq: u64, previous: Hash) -> (Vec<u8>, Hash) {
    let mut body = Vec::new();
    for frame in frames {
        let mut head = u32::try_from(frame.payload.len()).unwrap().to_be_bytes().to_vec();
        head.push(frame.kind);
        let crc = crc32c(&[&head[..], &frame.payload].concat());
        body.extend_from_slice(&head);
        body.extend_from_slice(&crc.to_be_bytes());
        body.extend_from_slice(&frame.payload);
    }
    let mut header = b"MQB1".to_vec();
    header.extend_from_slice(&u32::try_from(frames.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&first_seq.to_be_bytes());
    header.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
    header.extend_from_slice(&previous);
    header.extend_from_slice(&crc32c(&header).to_be_bytes());
    let hash = sha256(&header);
    (header.into_iter().chain(body).collect(), hash)
}

fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    })
}
