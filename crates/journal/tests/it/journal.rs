use crate::support::{Owned, typical};
use marque_journal::checkpoint::Checkpoint;
use marque_journal::limits::MAX_FINDINGS;
use marque_journal::merkle::{Tree, leaf_hash};
use marque_journal::record::KeyKind;
use marque_journal::verify::*;
use proptest::prelude::*;
use std::collections::HashMap;

/// A journal in which record `i` touches session `i % 3` and one resource.
fn journal(n: u64) -> Vec<Vec<u8>> {
    let mut keys: HashMap<(KeyKind, Vec<u8>), (u64, u64)> = HashMap::new();
    let record = |seq: u64| {
        let touched = [(KeyKind::Session, vec![(seq % 3) as u8]), (KeyKind::Resource, vec![9])];
        let backlinks = touched.map(|key| {
            let before = keys.get(&key).copied();
            let count = before.map_or(0, |(count, _)| count);
            keys.insert(key.clone(), (count + 1, seq));
            (key.0, key.1, count, before.map(|(_, last)| last))
        });
        Owned { backlinks: backlinks.to_vec(), ..typical(seq) }.encode()
    };
    (0..n).map(record).collect()
}

fn anchor(records: &[Vec<u8>], size: usize, source: Source) -> Anchor {
    let mut tree = Tree::new();
    records[..size].iter().for_each(|record| tree.push(leaf_hash(record), |_, _, _| {}).unwrap());
    let checkpoint = Checkpoint { origin: "o".to_owned(), size: size as u64, root: tree.root(), extensions: vec![] };
    Anchor::new(&checkpoint, source)
}

fn verify(records: &[Vec<u8>], anchors: Vec<Anchor>) -> Report {
    let mut verifier = Verifier::new(anchors);
    records.iter().for_each(|record| verifier.push(record));
    verifier.finish()
}

#[test]
fn a_good_journal_is_intact_and_its_young_end_is_said_to_be_unwitnessed() {
    let records = journal(20);
    let report = verify(&records, vec![anchor(&records, 20, Source::Own), anchor(&records, 15, Source::Remembered), anchor(&records, 0, Source::Segment)]);
    assert_eq!(report.verdict(), Verdict::Intact { records: 20, unwitnessed: Some(Window { from: 15, to: 20 }) });
    let report = verify(&records, vec![anchor(&records, 20, Source::Remembered)]);
    assert_eq!(report.verdict(), Verdict::Intact { records: 20, unwitnessed: None });
}

#[test]
fn no_remembered_checkpoint_is_a_finding() {
    let records = journal(5);
    let report = verify(&records, vec![anchor(&records, 5, Source::Own)]);
    assert_eq!(report.findings, [Finding::NothingRemembered]);
    assert_eq!(report.unwitnessed(), Some(Window { from: 0, to: 5 }));
}

#[test]
fn a_record_left_out_is_found_by_its_keys_alone() {
    // Whoever rewrites all sequence numbers and roots still has to forge every later count of each key.
    let records = journal(9);
    let mut kept: Vec<Vec<u8>> = Vec::new();
    for (i, record) in records.iter().enumerate().filter(|(i, _)| *i != 4) {
        let decoded = marque_journal::record::decode(record).unwrap();
        let mut head = decoded.head();
        head.seq = kept.len() as u64;
        let mut out = Vec::new();
        if marque_journal::record::encode(&head, decoded.body(), &mut out).is_ok() {
            kept.push(out);
        } else {
            // The predecessor now lies at or after the record itself: already impossible to write.
            assert!(i > 4);
            kept.push(record.clone());
        }
    }
    let report = verify(&kept, vec![anchor(&kept, kept.len(), Source::Remembered)]);
    assert!(report.findings.iter().any(|f| matches!(f, Finding::Backlink { .. } | Finding::Seq { .. })));
}

#[test]
fn time_never_runs_backwards() {
    let records: Vec<_> = (0..3).map(|seq| Owned { time_ms: 10 - seq, backlinks: vec![], ..typical(seq) }.encode()).collect();
    let report = verify(&records, vec![anchor(&records, 3, Source::Remembered)]);
    assert_eq!(report.findings, [Finding::Time { at: 1 }, Finding::Time { at: 2 }]);
}

#[test]
fn findings_are_listed_to_the_limit_and_then_counted() {
    let bad = |n: usize| verify(&vec![vec![0xff]; n], vec![Anchor { size: 0, root: Tree::new().root(), source: Source::Remembered }]).findings;
    assert_eq!(bad(MAX_FINDINGS).len(), MAX_FINDINGS);
    assert_eq!(bad(MAX_FINDINGS + 1).last(), Some(&Finding::More(1)));
}

proptest! {
    /// Below a remembered checkpoint nothing changes unseen; after it, it is the unwitnessed window.
    #[test]
    fn tampering_below_a_remembered_checkpoint_is_found(what in 0..6u8, a in 0usize..15, b in 0usize..15, byte in any::<prop::sample::Index>()) {
        let records = journal(20);
        let anchors = vec![anchor(&records, 15, Source::Remembered)];
        let mut bad = records.clone();
        match what {
            0 => { let at = byte.index(bad[a].len()); bad[a][at] ^= 1 }
            1 => drop(bad.remove(a)),
            2 => bad.swap(a, b),
            3 => bad.truncate(a),
            4 => { let copy = bad[b].clone(); bad.insert(a, copy) }
            _ => bad.reverse(),
        }
        prop_assume!(bad.get(..15) != Some(&records[..15]));
        let report = verify(&bad, anchors);
        prop_assert!(matches!(report.verdict(), Verdict::Findings(_)));
        let named = |f: &Finding| matches!(f, Finding::Root { .. } | Finding::Truncated { .. });
        prop_assert!(report.findings.iter().any(named));
        prop_assert_eq!(report.witnessed_to, 0);
    }
}
