//! Files that a start reads back.

use marque_store::MarkFile;
use marque_store::disk::sim::SimDisk;
use marque_store::disk::{Disk, replace_file};
use marque_store::seal::SealFile;
use marque_store::sealed::SecretStore;
use std::sync::Arc;

fn disk_with(bytes: &[u8]) -> Option<Arc<dyn Disk>> {
    let disk = SimDisk::new(1);
    replace_file(&disk, "file", bytes).ok()?;
    Some(Arc::new(disk))
}

pub(crate) fn mark(input: &[u8]) {
    if let Some(disk) = disk_with(input)
        && let Ok(mark) = MarkFile::open(disk, "file")
    {
        assert!(mark.get().is_some(), "a file that is there is a mark or a finding");
    }
}

pub(crate) fn seal(input: &[u8]) {
    if let Some(disk) = disk_with(input) {
        let _ = SealFile::load(disk.as_ref(), "file", [7; 16]);
    }
}

pub(crate) fn secrets(input: &[u8]) {
    if let Some(disk) = disk_with(input) {
        let _ = SecretStore::open(disk, "file", [7; 16], Box::new(|out| out.fill(9)));
    }
}

/// What is announced by its hash is what is read: the target asks for one encoding of one value.
pub(crate) fn snapshot(input: &[u8]) {
    if let Some(again) = marque_store::snapshot_again(input) {
        assert_eq!(again, input);
    }
}
