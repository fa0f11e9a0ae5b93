//! Values shared by the tests.

use marque_journal::merkle::{Hash, HashReader, Tree};
use marque_journal::record::{Backlink, KeyKind, Mode, RecordHead, encode};
use proptest::prelude::*;
use std::collections::HashMap;

/// A record with every field, owned, so that properties can shrink it.
#[derive(Debug, Clone)]
pub struct Owned {
    pub seq: u64,
    pub time_ms: u64,
    pub kind: String,
    pub session: Option<[u8; 10]>,
    pub leaf: String,
    pub backlinks: Vec<(KeyKind, Vec<u8>, u64, Option<u64>)>,
    pub cause: Option<u64>,
    pub digests: [Option<[u8; 32]>; 3],
    pub lease: Option<[u8; 10]>,
    pub taint: u64,
    pub commitments: Vec<(u64, [u8; 32])>,
    pub mode: Option<Mode>,
    pub body: Vec<u8>,
}

impl Owned {
    pub fn with<T>(&self, then: impl FnOnce(&RecordHead<'_>, &[u8]) -> T) -> T {
        let backlinks: Vec<Backlink<'_>> = self
            .backlinks
            .iter()
            .map(|(key_kind, id, n, prev_seq)| Backlink { key_kind: *key_kind, key_id: id, n: *n, prev_seq: *prev_seq })
            .collect();
        let head = RecordHead {
            seq: self.seq,
            time_ms: self.time_ms,
            kind: &self.kind,
            session: self.session,
            leaf: &self.leaf,
            backlinks: &backlinks,
            cause: self.cause,
            reason: self.digests[0],
            exec: self.digests[1],
            effect: self.digests[2],
            lease: self.lease,
            taint: self.taint,
            commitments: &self.commitments,
            mode: self.mode,
        };
        then(&head, &self.body)
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.with(|head, body| encode(head, body, &mut out)).unwrap();
        out
    }
}

fn key_kind() -> impl Strategy<Value = KeyKind> {
    (1u64..=5).prop_map(|n| KeyKind::from_number(n).unwrap())
}

/// CBOR values of a body.
fn item() -> impl Strategy<Value = Vec<u8>> {
    use marque_journal::cbor::Writer;
    fn build(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out));
        out
    }
    let leaf = prop_oneof![
        any::<u64>().prop_map(|v| build(|w| { w.uint(v); })),
        any::<i64>().prop_map(|v| build(|w| { w.int(v); })),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|v| build(|w| { w.bytes(&v); })),
        "\\PC{0,20}".prop_map(|v| build(|w| { w.text(&v); })),
        any::<bool>().prop_map(|v| build(|w| { w.bool(v); })),
        Just(vec![0xf6]),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let maps = prop::collection::btree_map(0u64..2000, inner.clone(), 0..5).prop_map(|entries| {
            let mut keyed: Vec<(Vec<u8>, Vec<u8>)> = entries.into_iter().map(|(k, v)| (build(|w| { w.uint(k); }), v)).collect();
            keyed.sort();
            build(|w| {
                w.map(keyed.len());
                for (k, v) in &keyed {
                    w.raw(k).raw(v);
                }
            })
        });
        let arrays = prop::collection::vec(inner, 0..5).prop_map(|items| {
            build(|w| {
                w.array(items.len());
                for item in &items {
                    w.raw(item);
                }
            })
        });
        prop_oneof![maps, arrays]
    })
}

pub fn body() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_map(any::<u64>(), item(), 0..5).prop_map(|entries| {
        let mut out = Vec::new();
        if entries.is_empty() {
            return out;
        }
        let mut w = marque_journal::cbor::Writer::new(&mut out);
        w.map(entries.len());
        for (key, value) in &entries {
            w.uint(*key).raw(value);
        }
        out
    })
}

pub fn record() -> impl Strategy<Value = Owned> {
    let head = (1u64..=u64::MAX, any::<u64>(), "[a-z][a-z0-9._-]{0,47}", any::<Option<[u8; 10]>>(), "\\PC{0,30}");
    let keys = prop::collection::btree_map((key_kind(), prop::collection::vec(any::<u8>(), 1..=32)), 0u64..100, 0..=8);
    let rest = (any::<Option<u64>>(), any::<[Option<[u8; 32]>; 3]>(), any::<Option<[u8; 10]>>(), any::<u64>());
    let last = (prop::collection::btree_map(any::<u64>(), any::<[u8; 32]>(), 0..=16), 0u64..=3, body());
    (head, keys, rest, last).prop_map(|(head, keys, rest, last)| Owned {
        seq: head.0,
        time_ms: head.1,
        kind: head.2,
        session: head.3,
        leaf: head.4,
        backlinks: keys.into_iter().map(|((kind, id), n)| (kind, id, n, (n > 0).then_some(head.0 - 1))).collect(),
        cause: rest.0.map(|cause| cause % head.0),
        digests: rest.1,
        lease: rest.2,
        taint: rest.3,
        commitments: last.0.into_iter().collect(),
        mode: Mode::from_number(last.1),
        body: last.2,
    })
}

/// A record of the size and shape of a use, about 700 bytes.
pub fn typical(seq: u64) -> Owned {
    let mut body = Vec::new();
    marque_journal::cbor::Writer::new(&mut body).map(3).uint(1).text("api.example.com").uint(2).text(&"x".repeat(180)).uint(3).bytes(&[7; 60]);
    Owned {
        seq,
        time_ms: 1_790_000_000_000 + seq,
        kind: "use.intent".to_owned(),
        session: Some([1; 10]),
        leaf: "0123456789abcdef0123".to_owned(),
        backlinks: [KeyKind::Human, KeyKind::Session, KeyKind::Link, KeyKind::Credential, KeyKind::Resource]
            .into_iter()
            .map(|kind| (kind, vec![kind as u8; 16], seq, seq.checked_sub(1)))
            .collect(),
        cause: seq.checked_sub(1),
        digests: [Some([1; 32]), Some([2; 32]), Some([3; 32])],
        lease: Some([9; 10]),
        taint: 5,
        commitments: vec![(1, [4; 32]), (2, [5; 32])],
        mode: Some(Mode::Enforce),
        body,
    }
}

/// A tree with every hash of its perfect subtrees.
#[derive(Debug, Default)]
pub struct FullTree {
    pub tree: Tree,
    pub hashes: HashMap<(u8, u64), Hash>,
    /// Root at every size.
    pub roots: Vec<Hash>,
}

impl FullTree {
    pub fn of(leaves: impl IntoIterator<Item = Hash>) -> Self {
        let mut full = Self { roots: vec![Tree::new().root()], ..Self::default() };
        for leaf in leaves {
            full.tree.push(leaf, |level, index, hash| {
                full.hashes.insert((level, index), *hash);
            }).unwrap();
            full.roots.push(full.tree.root());
        }
        full
    }
}

impl HashReader for FullTree {
    type Error = String;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, String> {
        self.hashes.get(&(level, index)).copied().ok_or(format!("no hash at {level}, {index}"))
    }
}
