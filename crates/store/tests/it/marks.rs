//! Promises of the mark.

use marque_store::disk::{Disk, RealDisk};
use marque_store::{Mark, MarkError, MarkFile};
use proptest::prelude::*;
use std::sync::Arc;

fn mark(seq: u64) -> Mark {
    Mark { instance: [1; 16], seq, leaf_hash: [seq as u8; 32], checkpoint: None }
}

fn disk() -> (tempfile::TempDir, Arc<dyn Disk>) {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
    (dir, disk)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_mark_only_rises(seqs in proptest::collection::vec(0u64..200, 1..8)) {
        let (_dir, disk) = disk();
        let mut file = MarkFile::open(disk.clone(), "mark").unwrap();
        let mut highest = 0;
        for seq in seqs {
            highest = highest.max(seq);
            file.raise(mark(seq)).unwrap();
            prop_assert_eq!(file.get().unwrap().seq, highest);
            let again = MarkFile::open(disk.clone(), "mark").unwrap();
            prop_assert_eq!(again.get().unwrap(), &mark(highest));
        }
    }
}

#[test]
fn another_history_and_another_instance_are_told() {
    let (_dir, disk) = disk();
    let mut file = MarkFile::open(disk, "mark").unwrap();
    file.raise(Mark { checkpoint: Some("note".to_owned()), ..mark(5) }).unwrap();
    assert!(matches!(file.raise(Mark { leaf_hash: [9; 32], ..mark(5) }), Err(MarkError::Forked(5))));
    assert!(matches!(file.raise(Mark { instance: [2; 16], ..mark(6) }), Err(MarkError::OtherInstance(_))));
    file.raise(mark(6)).unwrap();
    assert_eq!(file.get().unwrap().checkpoint.as_deref(), Some("note"));
}

#[test]
fn a_damaged_mark_is_a_finding() {
    let (dir, disk) = disk();
    MarkFile::open(disk.clone(), "mark").unwrap().raise(mark(5)).unwrap();
    let path = dir.path().join("mark");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(MarkFile::open(disk, "mark"), Err(MarkError::Malformed(_))));
}
