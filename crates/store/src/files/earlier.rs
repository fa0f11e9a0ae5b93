//! What lies before the snapshot that a start went on from. It is read when the start is over, so that a record that was
//! changed there is found as it would have been by a start that reads everything.

use super::intake::Shared;
use super::snapshot::{numbers, snapshot_path};
use super::space::{DIR, segment_path};
use super::{Fatal, OpenError};
use crate::disk::Disk;
use crate::limits::SEGMENT_BYTES_MAX;
use marque_journal::merkle::{Hash, Tree, leaf_hash};
use marque_journal::segment::{self, Expect, Tail};
use std::io;

/// The records before a snapshot, as the snapshot and the journal's headers have them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub instance: [u8; 16],
    /// The segment that the snapshot is of: those before it are read.
    pub number: u32,
    pub tree: Tree,
    /// Tip of the segment before that one.
    pub tip: Hash,
}

impl Earlier {
    /// The body of the thread. What it finds is fatal, and the next start reads every record and says what is wrong.
    pub(crate) fn run(&self, shared: &Shared) -> Result<(), Fatal> {
        let disk = shared.disk.as_ref();
        self.check(disk, || shared.intake().is_closing()).map_err(|error| {
            for number in numbers(&disk.list(DIR).unwrap_or_default()) {
                // One that cannot be removed is met by this thread again.
                let _ = disk.remove(&snapshot_path(number));
            }
            let _ = disk.sync_dir(DIR);
            Fatal { what: "records before the snapshot are not what they were:", path: DIR.to_owned(), source: io::Error::other(error) }
        })
    }

    /// Reads them until somebody wants an end.
    pub(crate) fn check(&self, disk: &dyn Disk, stop: impl Fn() -> bool) -> Result<(), OpenError> {
        let (mut tree, mut tip) = (Tree::new(), [0; 32]);
        for number in 0..self.number {
            if stop() {
                return Ok(());
            }
            let path = segment_path(number);
            let at = |source| OpenError::Io { path: path.clone(), source };
            let file = disk.open(&path).map_err(at)?;
            let len = file.len().map_err(at)?;
            let mut bytes = vec![0; usize::try_from(len.min(SEGMENT_BYTES_MAX)).unwrap_or_default()];
            file.read_exact_at(&mut bytes, 0).map_err(at)?;
            let expect = Expect {
                number: Some(number),
                first_seq: Some(tree.size()),
                instance: Some(self.instance),
                root: Some(tree.root()),
                previous: Some(tip),
            };
            let scan = segment::scan(&bytes, &expect).map_err(|fault| OpenError::Header { segment: number, fault })?;
            if scan.tail != Tail::Clean {
                return Err(OpenError::SegmentCut(number));
            }
            for record in scan.records() {
                tree.push(leaf_hash(record), |_, _, _| ()).map_err(|_| OpenError::Option("records"))?;
            }
            tip = scan.tip;
        }
        if tree != self.tree || tip != self.tip {
            let fault = segment::HeaderFault::Unexpected;
            return Err(OpenError::Header { segment: self.number, fault });
        }
        Ok(())
    }
}
