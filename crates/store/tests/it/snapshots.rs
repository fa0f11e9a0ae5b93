//! Starts from a snapshot on a real directory, through the threads.

use crate::toy::{Spend, opening};
use marque_journal::merkle::leaf_hash;
use marque_store::{FileJournal, Opening, Options};
use std::time::{Duration, Instant};

const RECORDS: u64 = 200_000;

/// Appends so many, as fast as they are taken.
fn fill(journal: &marque_store::Journal<crate::toy::Approvals>, records: u64) {
    for n in 0..records {
        let mut draft = Spend { padding: 500, ..Spend::of(n % 64) };
        while let Err(back) = journal.append_unheard(draft) {
            draft = back;
            std::thread::yield_now();
        }
    }
    // The last segment's snapshot is written in the step of the first, which is over when the second is answered; the record
    // after that comes with its announcement.
    for _ in 0..2 {
        journal.checkpoint_now_blocking().unwrap();
        journal.append_blocking(Spend::of(0)).unwrap();
    }
}

fn with_segments_of(bytes: u64) -> Opening<crate::toy::Approvals> {
    let mut opening = opening(u64::MAX);
    opening.machine.snapshots = true;
    Opening { options: Options { segment_bytes: bytes, ..opening.options.clone() }, ..opening }
}

#[test]
fn a_start_over_200_000_records_reads_the_tail_and_takes_less_than_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let open = || FileJournal::open(dir.path(), with_segments_of(8 * 1024 * 1024)).unwrap();
    let (journal, _) = open();
    fill(&journal, RECORDS);
    journal.close();
    let began = Instant::now();
    let (journal, found) = open();
    let took = began.elapsed();
    let from = found.snapshot.unwrap_or_else(|| panic!("no snapshot: {found:?}"));
    assert!(found.records > RECORDS);
    assert_eq!(found.replayed, found.records - from);
    assert!(found.replayed < RECORDS / 5, "{found:?}");
    assert!(took < Duration::from_secs(1), "a start took {took:?}");
    // What lies before the snapshot is read, proven and followed as ever.
    let far: Vec<Vec<u8>> = [0, 1, 77_777, from - 1, from, found.records - 1].iter().map(|seq| journal.read(*seq).unwrap()).collect();
    let size = journal.checkpoint_now_blocking().unwrap().checkpoint.size;
    for seq in [0, 12_345, from - 1, from, found.records - 1] {
        journal.inclusion(seq).unwrap();
    }
    let proof = journal.consistency(1_000, size).unwrap();
    let root = journal.root(from - 7).unwrap();
    assert_eq!(journal.records(0).map(|record| record.unwrap().0).zip(0..).filter(|(a, b)| a == b).count() as u64, found.records);
    journal.close();
    drop(journal);
    // The same without: every record is read, and nothing else is different.
    for name in std::fs::read_dir(dir.path().join("journal")).unwrap().flatten() {
        if name.path().extension().is_some_and(|e| e == "snap") {
            std::fs::remove_file(name.path()).unwrap();
        }
    }
    let began = Instant::now();
    let (journal, whole) = open();
    println!("a start over {} records: {took:?} with a snapshot ({} read), {:?} without", found.records, found.replayed, began.elapsed());
    assert_eq!((whole.snapshot, whole.replayed, whole.records), (None, found.records, found.records));
    let again: Vec<Vec<u8>> = [0, 1, 77_777, from - 1, from, found.records - 1].iter().map(|seq| journal.read(*seq).unwrap()).collect();
    assert!(far.iter().zip(&again).all(|(a, b)| leaf_hash(a) == leaf_hash(b)));
    assert_eq!(journal.consistency(1_000, size).unwrap(), proof);
    assert_eq!(journal.root(from - 7).unwrap(), root);
    journal.close();
}

#[test]
fn the_newest_two_snapshots_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), with_segments_of(512 * 1024)).unwrap();
    fill(&journal, 8_000);
    journal.close();
    let names = std::fs::read_dir(dir.path().join("journal")).unwrap().flatten();
    let kept = names.filter(|name| name.path().extension().is_some_and(|e| e == "snap")).count();
    assert_eq!(kept, marque_store::limits::SNAPSHOTS_KEPT);
}
