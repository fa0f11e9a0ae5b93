//! The state machine, on a disk that fails and loses power.

use crate::world::{COMMON, History, LOG, SIZE, log_key, signer};
use marque_journal::checkpoint::{Checkpoint, SignedCheckpoint};
use marque_journal::merkle::Hash;
use marque_journal::note::{Ed25519Signer, SignatureType};
use marque_journal::witness::{AddCheckpoint, Decision};
use marque_store::disk::sim::{SimDisk, Trouble};
use marque_store::disk::{Disk, RealDisk};
use marque_witness::{Book, BookError, Reply, file_of};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Debug, Clone)]
enum Step {
    /// A request with an honest proof of that branch.
    Ask { old: Option<u64>, new: u64, branch: bool },
    /// The same with a proof of the other branch.
    Cheat { new: u64, branch: bool },
    /// The power is cut at the n-th change of the disk from here on.
    Cut(u64),
    /// One change of the disk fails.
    Fail(u64),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (prop::option::weighted(0.3, 0..=SIZE), 0..=SIZE, any::<bool>()).prop_map(|(old, new, branch)| Step::Ask { old, new, branch }),
        1 => (0..=SIZE, any::<bool>()).prop_map(|(new, branch)| Step::Cheat { new, branch }),
        1 => (0..8u64).prop_map(Step::Cut),
        1 => (0..8u64).prop_map(Step::Fail),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

fn open(disk: &SimDisk) -> Book {
    Book::open(Arc::new(disk.clone()), &[log_key()]).unwrap()
}

fn size_of(book: &Book) -> u64 {
    let name = file_of(LOG);
    let name = name.trim_start_matches("logs/").trim_end_matches(".checkpoint");
    book.latest(name).map_or(0, |note| Checkpoint::parse(note.text()).unwrap().size)
}

proptest! {
    /// Whatever a log's owner asks, and whenever the power goes: the checkpoints that it cosigned are of one history, and
    /// none is smaller than one before.
    #[test]
    fn it_never_cosigns_two_histories(steps in steps(), seed in any::<u64>()) {
        let histories = [History::new(false), History::new(true)];
        let mut disk = SimDisk::new(seed);
        let mut book = open(&disk);
        let mut given: Vec<(u64, Hash)> = Vec::new();
        for step in steps {
            let request = match step {
                Step::Cut(n) => {
                    disk.plan(Some(Trouble::PowerCut(disk.operations() + n)));
                    continue;
                }
                Step::Fail(n) => {
                    disk.plan(Some(Trouble::Eio(disk.operations() + n)));
                    continue;
                }
                Step::Restart => {
                    drop(book);
                    disk = disk.reboot();
                    book = open(&disk);
                    continue;
                }
                Step::Ask { old, new, branch } => histories[usize::from(branch)].request(old.unwrap_or_else(|| size_of(&book)), new),
                Step::Cheat { new, branch } => {
                    let old = size_of(&book);
                    let proof = histories[usize::from(!branch)].request(old, new).proof;
                    AddCheckpoint { proof, ..histories[usize::from(branch)].request(old, new) }
                }
            };
            match book.add(request.to_body().as_bytes(), 1) {
                Ok(Reply::Cosigned(line)) => {
                    let text = request.note.text();
                    book.verifier().unwrap().verify(text.as_bytes(), &line.signature).unwrap();
                    let checkpoint = Checkpoint::parse(text).unwrap();
                    given.push((checkpoint.size, checkpoint.root));
                }
                Ok(Reply::Refused(_)) => {}
                // A real disk ends the process at a sync that fails: so does the model.
                Err(_) => {
                    drop(book);
                    disk = disk.reboot();
                    book = open(&disk);
                }
            }
        }
        prop_assert!(given.windows(2).all(|pair| pair[0].0 <= pair[1].0), "rolled back: {given:?}");
        let on = |history: &History| given.iter().all(|(size, root)| history.root(*size) == *root);
        prop_assert!(histories.iter().any(on), "two histories: {given:?}");
        prop_assert!(given.last().is_none_or(|(size, _)| size_of(&book) >= *size), "forgotten: {given:?}");
    }
}

#[test]
fn of_two_histories_that_race_one_is_cosigned() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(Arc::new(RealDisk::open(dir.path()).unwrap()), &[log_key()]).unwrap();
    let histories = [History::new(false), History::new(true)];
    assert!(matches!(book.add(histories[0].request(0, COMMON).to_body().as_bytes(), 1).unwrap(), Reply::Cosigned(_)));
    let barrier = std::sync::Barrier::new(2);
    let race = |history: &History| {
        let body = history.request(COMMON, SIZE).to_body();
        barrier.wait();
        book.add(body.as_bytes(), 1).unwrap()
    };
    let replies = std::thread::scope(|scope| {
        let other = scope.spawn(|| race(&histories[1]));
        [race(&histories[0]), other.join().unwrap()]
    });
    let won = replies.iter().filter(|reply| matches!(reply, Reply::Cosigned(_))).count();
    let lost = replies.iter().filter(|reply| **reply == Reply::Refused(Decision::Conflict { size: SIZE })).count();
    assert_eq!((won, lost), (1, 1), "{replies:?}");
}

#[test]
fn a_restarted_witness_remembers_what_it_cosigned_and_who_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let disk = || -> Arc<dyn Disk> { Arc::new(RealDisk::open(dir.path()).unwrap()) };
    let history = History::new(false);
    let book = Book::open(disk(), &[log_key()]).unwrap();
    let key = book.verifier().unwrap();
    assert!(matches!(Book::open(disk(), &[]), Err(BookError::Locked)));
    book.add(history.request(0, 20).to_body().as_bytes(), 7).unwrap();
    drop(book);
    // The log is known from before.
    let book = Book::open(disk(), &[]).unwrap();
    assert_eq!(book.verifier().unwrap(), key);
    assert_eq!(book.add(history.request(0, 30).to_body().as_bytes(), 8).unwrap(), Reply::Refused(Decision::Conflict { size: 20 }));
    let Reply::Cosigned(_) = book.add(history.request(20, 30).to_body().as_bytes(), 8).unwrap() else { panic!("it extends") };
    drop(book);
    let bytes = std::fs::read(dir.path().join(file_of(LOG))).unwrap();
    let kept = SignedCheckpoint::open(&bytes, &log_key()).unwrap();
    assert_eq!((kept.checkpoint.size, kept.witnessed_by(&[key])), (30, Ok(1)));
}

#[test]
fn a_witness_whose_memory_is_damaged_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let disk = || -> Arc<dyn Disk> { Arc::new(RealDisk::open(dir.path()).unwrap()) };
    let history = History::new(false);
    Book::open(disk(), &[log_key()]).unwrap().add(history.request(0, 20).to_body().as_bytes(), 7).unwrap();
    let path = dir.path().join(file_of(LOG));
    let good = std::fs::read(&path).unwrap();
    // An older checkpoint that the log's owner writes over it has no cosignature.
    for bad in [b"".to_vec(), good[..good.len() - 9].to_vec(), history.request(0, 10).note.to_string().into_bytes()] {
        std::fs::write(&path, &bad).unwrap();
        assert!(matches!(Book::open(disk(), &[log_key()]), Err(BookError::Damaged(_))), "{bad:?}");
    }
    std::fs::write(&path, &good).unwrap();
    assert!(Book::open(disk(), &[]).is_ok());
    // Without its key it would be another witness with this one's memory.
    std::fs::remove_file(dir.path().join("key")).unwrap();
    assert!(matches!(Book::open(disk(), &[]), Err(BookError::Damaged(_))));
}

#[test]
fn a_log_under_another_key_is_not_the_same_log() {
    let book = open(&SimDisk::new(1));
    drop(book);
    let disk = SimDisk::new(1);
    drop(open(&disk));
    let other = Ed25519Signer::from_seed(LOG, &[5; 32]).unwrap().verifier(SignatureType::Ed25519).unwrap();
    assert!(matches!(Book::open(Arc::new(disk.clone()), &[other]), Err(BookError::OtherKey(_))));
    let witness = signer().verifier(SignatureType::CosignatureV1).unwrap();
    assert!(matches!(Book::open(Arc::new(disk), &[witness]), Err(BookError::NotALog(_))));
}
