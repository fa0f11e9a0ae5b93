//! Promises of the journal.

use super::toy::{INSTANCE, Spend, Spent, log_key, opening, signer, small};
use marque_journal::checkpoint::SignedCheckpoint;
use marque_journal::merkle::{leaf_hash, verify_consistency};
use marque_journal::proof::Receipt;
use marque_journal::record::decode;
use marque_store::{AppendError, FileJournal, Mark, OpenError, Opening, Options, ReadError};
use std::sync::Arc;
use std::sync::atomic::Ordering;

#[test]
fn sixty_four_writers_are_acknowledged_in_journal_order() {
    let dir = tempfile::tempdir().unwrap();
    let start = opening(u64::MAX);
    let published = start.machine.published.clone();
    let (journal, recovery) = FileJournal::open(dir.path(), start).unwrap();
    assert_eq!((recovery.records, recovery.dropped), (0, None));
    let acks: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..64)
            .map(|writer| {
                let (journal, published) = (journal.clone(), published.clone());
                scope.spawn(move || {
                    let mut acks = Vec::new();
                    for _ in 0..40 {
                        let ack = journal.append_blocking(Spend::of(writer)).unwrap();
                        // Published before it is acknowledged: a writer reads its own write.
                        assert!(published.load(Ordering::SeqCst) > ack.seq);
                        assert!(journal.size() > ack.seq);
                        let record = journal.read(ack.seq).unwrap();
                        assert_eq!(leaf_hash(&record), ack.leaf_hash);
                        acks.push(ack);
                    }
                    assert!(acks.is_sorted_by(|a, b| a.seq < b.seq && a.time_ms <= b.time_ms));
                    acks
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let mut seqs: Vec<u64> = acks.iter().map(|ack| ack.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.iter().copied().eq(0..64 * 40));
    let read: Vec<u64> = journal.records(100).map(|record| record.unwrap().0).collect();
    assert!(read.into_iter().eq(100..64 * 40));
    journal.close();
    assert!(matches!(journal.append_blocking(Spend::of(1)), Err(AppendError::Closed)));

    let (again, recovery) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    assert_eq!(recovery.records, 64 * 40);
    assert!(recovery.segments > 1);
    for ack in acks {
        assert_eq!(leaf_hash(&again.read(ack.seq).unwrap()), ack.leaf_hash);
    }
    assert!(matches!(again.read(64 * 40), Err(ReadError::NotFound(_))));
}

#[test]
fn a_limit_is_never_passed_however_many_ask_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(3)).unwrap();
    let outcomes: Vec<Result<_, _>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..64)
            .map(|_| {
                let journal = journal.clone();
                scope.spawn(move || (0..10).map(|approval| journal.append_blocking(Spend::of(approval))).collect::<Vec<_>>())
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 30);
    assert!(outcomes.iter().filter_map(|o| o.as_ref().err()).all(|e| *e == AppendError::Refused(Spent)));
    assert_eq!(journal.size(), 30);
    // And after a restart.
    journal.close();
    let (journal, _) = FileJournal::open(dir.path(), opening(3)).unwrap();
    assert!(matches!(journal.append_blocking(Spend::of(0)), Err(AppendError::Refused(Spent))));
}

#[test]
fn a_journal_is_open_once() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(1)).unwrap();
    assert!(matches!(FileJournal::open(dir.path(), opening(1)), Err(OpenError::Locked)));
    journal.close();
    assert!(FileJournal::open(dir.path(), opening(1)).is_ok());
}

#[test]
fn a_receipt_proves_a_record_to_someone_who_has_only_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    assert!(journal.checkpoint().is_none());
    let mut heads = Vec::new();
    for round in 0..6u64 {
        for _ in 0..=round * 60 {
            journal.append_blocking(Spend { padding: 20, ..Spend::of(round) }).unwrap();
        }
        heads.push(journal.checkpoint_now_blocking().unwrap());
        assert_eq!(heads.last().unwrap().checkpoint.size, journal.size());
    }
    for seq in (0..journal.size()).step_by(17).chain([0, 255, 256, journal.size() - 1]) {
        let text = journal.receipt(seq).unwrap().to_text();
        let receipt = Receipt::parse(text.as_bytes()).unwrap();
        let (record, proven) = receipt.verify_carried(&log_key(), &[]).unwrap();
        assert_eq!(decode(record).unwrap().seq(), seq);
        assert_eq!(proven.index, seq);
    }
    for old in &heads {
        for new in &heads {
            if old.checkpoint.size <= new.checkpoint.size {
                let proof = journal.consistency(old.checkpoint.size, new.checkpoint.size).unwrap();
                verify_consistency(
                    old.checkpoint.size,
                    new.checkpoint.size,
                    &proof,
                    &old.checkpoint.root,
                    &new.checkpoint.root,
                )
                .unwrap();
            }
        }
    }
    assert!(matches!(journal.receipt(journal.size()), Err(ReadError::NotCheckpointed(_))));
    assert!(matches!(journal.consistency(5, 4), Err(ReadError::Range)));
    let stored = std::fs::read(dir.path().join("journal/checkpoint")).unwrap();
    let opened = SignedCheckpoint::open(&stored, &log_key()).unwrap();
    assert_eq!(opened.checkpoint, heads.last().unwrap().checkpoint);
    // A full bundle and a full tile are there under their C2SP names.
    assert!(dir.path().join("tile/entries/000").exists());
    assert_eq!(std::fs::metadata(dir.path().join("tile/0/000")).unwrap().len(), 256 * 32);
}

#[test]
fn a_checkpoint_comes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    let mut heads = journal.checkpoints();
    journal.append_blocking(Spend::of(1)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let size = runtime.block_on(async { heads.wait_for(Option::is_some).await.unwrap().as_ref().unwrap().checkpoint.size });
    assert_eq!(size, 1);
}

#[test]
fn tiles_that_a_crash_lost_are_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    for _ in 0..300 {
        journal.append_blocking(Spend { padding: 10, ..Spend::of(1) }).unwrap();
    }
    let head = journal.checkpoint_now_blocking().unwrap();
    journal.close();
    std::fs::remove_dir_all(dir.path().join("tile")).unwrap();
    let again = Opening { signer: signer(Some(head.checkpoint.clone())), ..opening(u64::MAX) };
    let (journal, _) = FileJournal::open(dir.path(), again).unwrap();
    journal.receipt(3).unwrap().verify_carried(&log_key(), &[]).unwrap();
}

#[test]
fn a_shorter_or_another_journal_than_the_mark_remembers_is_not_opened() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    let ack = journal.append_blocking(Spend::of(1)).unwrap();
    let head = journal.checkpoint_now_blocking().unwrap();
    journal.close();
    let mark = Mark { instance: INSTANCE, seq: ack.seq, leaf_hash: ack.leaf_hash, checkpoint: Some(head.note.to_string()) };
    let with = |mark: Mark| Opening { acknowledged: Some(mark), ..opening(u64::MAX) };
    let (journal, recovery) = FileJournal::open(dir.path(), with(mark.clone())).unwrap();
    assert!(recovery.marked);
    journal.close();
    let ahead = Mark { seq: 1, checkpoint: None, ..mark.clone() };
    assert!(FileJournal::open(dir.path(), with(ahead)).is_err());
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(FileJournal::open(empty.path(), with(mark)), Err(OpenError::Shorter { .. })));
}

#[test]
fn openings_are_kept_beside_their_record() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    for index in 0..50u8 {
        journal.append_blocking(Spend { opening: Some(([index; 12], vec![index; 100])), ..Spend::of(1) }).unwrap();
    }
    for index in 0..50u8 {
        let found = journal.openings(u64::from(index), |opening| (opening.nonce, opening.ciphertext.to_vec())).unwrap();
        assert_eq!(found, [([index; 12], vec![index; 100])]);
    }
    // One byte more than a draft's openings may have is refused, and the journal goes on.
    let most = small().draft_opening_bytes;
    assert!(journal.append_blocking(Spend { opening: Some(([0; 12], vec![0; most])), ..Spend::of(1) }).is_ok());
    let over = Spend { opening: Some(([0; 12], vec![0; most + 1])), ..Spend::of(1) };
    assert!(matches!(journal.append_blocking(over), Err(AppendError::Refused(Spent))));
    assert!(journal.append_blocking(Spend::of(1)).is_ok());
}

#[test]
fn tasks_append_without_blocking_their_thread() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = FileJournal::open(dir.path(), opening(u64::MAX)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let acks = runtime.block_on(async {
        let appends = (0..100).map(|approval| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(Spend::of(approval)).await.unwrap() })
        });
        let mut acks = Vec::new();
        for append in appends.collect::<Vec<_>>() {
            acks.push(append.await.unwrap());
        }
        acks
    });
    assert_eq!(acks.len(), 100);
    assert_eq!(*journal.tail().borrow(), 100);
}

#[test]
fn with_less_free_space_than_the_floor_only_essential_drafts_are_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { floor_bytes: u64::MAX, ..small() };
    let (journal, _) = FileJournal::open(dir.path(), Opening { options, ..opening(u64::MAX) }).unwrap();
    assert!(matches!(journal.append_blocking(Spend::of(1)), Err(AppendError::NoSpace)));
    assert!(journal.append_blocking(Spend { essential: true, ..Spend::of(1) }).is_ok());
}

#[test]
fn options_hold_their_bounds() {
    let least = {
        // Header of the segment, and one draft.
        let options = small();
        (options.draft_opening_bytes + 16 * 96 + 65_535 + 128 + 128) as u64
    };
    for (options, good) in [
        (Options { segment_bytes: least, ..small() }, true),
        (Options { segment_bytes: least - 1, ..small() }, false),
        (Options { reserve_bytes: least - 1, ..small() }, false),
        (Options { batch_drafts: 1024, ..small() }, true),
        (Options { batch_drafts: 1025, ..small() }, false),
        (Options { batch_drafts: 0, ..small() }, false),
        (Options { batch_bytes: 1024 * 1024, ..small() }, true),
        (Options { batch_bytes: 1024 * 1024 + 1, ..small() }, false),
        (Options { draft_opening_bytes: 256 * 1024 + 1, ..small() }, false),
        (Options { queue_drafts: 0, ..small() }, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let opened = FileJournal::open(dir.path(), Opening { options, ..opening(1) });
        assert_eq!(opened.is_ok(), good);
        assert!(good || matches!(opened, Err(OpenError::Option(_))));
    }
}

#[test]
fn a_fatal_fault_is_told_once_and_nothing_is_acknowledged_after_it() {
    use marque_store::disk::sim::{SimDisk, Trouble};
    let disk = SimDisk::new(1);
    let (told, heard) = std::sync::mpsc::channel();
    let options =
        Options { on_fatal: Arc::new(move |fatal| drop(told.send(fatal.to_string()))), checkpoint_age_ms: 60_000, ..small() };
    let (journal, _) = FileJournal::open_on(Arc::new(disk.clone()), Opening { options, ..opening(u64::MAX) }).unwrap();
    journal.append_blocking(Spend::of(1)).unwrap();
    disk.plan(Some(Trouble::Eio(0)));
    assert!(matches!(journal.append_blocking(Spend::of(1)), Err(AppendError::Closed)));
    assert!(heard.recv().unwrap().contains("planned input/output error"));
    assert!(matches!(journal.append_blocking(Spend::of(1)), Err(AppendError::Closed)));
    assert_eq!(journal.size(), 1);
}
