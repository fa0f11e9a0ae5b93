//! Verifies a journal without knowing what its records mean: order, completeness per key, and what checkpoints vouch for.

use crate::checkpoint::Checkpoint;
use crate::limits::MAX_FINDINGS;
use crate::merkle::{Hash, Tree, leaf_hash};
use crate::record::{KeyKind, Malformed, Record, decode};
use std::collections::HashMap;
use thiserror::Error;

/// Who vouches for a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Lies beside the journal. Whoever owns the directory can replace both.
    Own,
    /// Was remembered by somebody else, or cosigned by a witness: given with `--against`.
    Remembered,
    /// Named by a segment's header.
    Segment,
}

/// A size and root the journal is held against. Signatures are the caller's to check: [`crate::checkpoint::SignedCheckpoint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Number of records.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// Who vouches.
    pub source: Source,
}

impl Anchor {
    /// An anchor from a checkpoint whose signature was checked.
    #[must_use]
    pub fn new(checkpoint: &Checkpoint, source: Source) -> Self {
        Self { size: checkpoint.size, root: checkpoint.root, source }
    }
}

/// Something that is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Finding {
    /// A record is not canonical.
    #[error("record {at}: {error}")]
    Malformed {
        /// Position.
        at: u64,
        /// What is wrong.
        error: Malformed,
    },
    /// A record was removed, repeated or moved.
    #[error("record {at} says it is record {found}")]
    Seq {
        /// Position.
        at: u64,
        /// What it says.
        found: u64,
    },
    /// Time runs backwards.
    #[error("record {at} is older than the one before it")]
    Time {
        /// Position.
        at: u64,
    },
    /// A record of this key was left out or invented.
    #[error("record {at}: the {kind:?} backlink is number {n} after {prev:?}, expected number {expected_n} after {expected_prev:?}")]
    Backlink {
        /// Position.
        at: u64,
        /// Key kind.
        kind: KeyKind,
        /// Count it claims.
        n: u64,
        /// Predecessor it claims.
        prev: Option<u64>,
        /// Count of the key's records before it.
        expected_n: u64,
        /// The key's last record before it.
        expected_prev: Option<u64>,
    },
    /// Something below this size was altered, removed or reordered.
    #[error("the first {size} records are not those of the checkpoint ({vouched:?})")]
    Root {
        /// Size of the checkpoint.
        size: u64,
        /// Who vouches for it.
        vouched: Source,
    },
    /// The end was cut off.
    #[error("a checkpoint ({vouched:?}) covers {size} records, the journal has {records}")]
    Truncated {
        /// Size of the checkpoint.
        size: u64,
        /// Records there are.
        records: u64,
        /// Who vouches for it.
        vouched: Source,
    },
    /// Nobody outside remembers a checkpoint, so truncation cannot be told from a shorter history.
    #[error("no remembered checkpoint was given: this machine's word only")]
    NothingRemembered,
    /// More findings than are listed.
    #[error("{0} more findings")]
    More(u64),
}

/// Records no remembered checkpoint vouches for: protected against a crash, not against whoever owns the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First unwitnessed record.
    pub from: u64,
    /// Just after the last.
    pub to: u64,
}

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Root over all of them.
    pub root: Hash,
    /// Records vouched for by a remembered checkpoint, when nothing below is wrong.
    pub witnessed_to: u64,
    /// What is wrong, at most [`MAX_FINDINGS`] and a [`Finding::More`].
    pub findings: Vec<Finding>,
}

/// What a report comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Nothing is wrong. Records in the window are said to be unwitnessed, never just "ok".
    Intact {
        /// Records.
        records: u64,
        /// What no remembered checkpoint covers.
        unwitnessed: Option<Window>,
    },
    /// Something is wrong.
    Findings(&'a [Finding]),
}

impl Report {
    /// What it comes to.
    #[must_use]
    pub fn verdict(&self) -> Verdict<'_> {
        if self.findings.is_empty() {
            Verdict::Intact { records: self.records, unwitnessed: self.unwitnessed() }
        } else {
            Verdict::Findings(&self.findings)
        }
    }

    /// Records no remembered checkpoint vouches for.
    #[must_use]
    pub fn unwitnessed(&self) -> Option<Window> {
        (self.witnessed_to < self.records).then_some(Window { from: self.witnessed_to, to: self.records })
    }
}

/// Verifies record after record. Memory grows with the number of different keys, not of records.
#[derive(Debug)]
pub struct Verifier {
    /// Ascending by size.
    anchors: Vec<Anchor>,
    next_anchor: usize,
    tree: Tree,
    last_time_ms: u64,
    /// For each key: records so far and the last of them.
    keys: HashMap<(KeyKind, Vec<u8>), (u64, u64)>,
    witnessed_to: u64,
    findings: Vec<Finding>,
    unlisted: u64,
}

impl Verifier {
    /// A verifier that holds the journal against these anchors, in any order.
    #[must_use]
    pub fn new(mut anchors: Vec<Anchor>) -> Self {
        anchors.sort_by_key(|anchor| anchor.size);
        let mut verifier = Self {
            anchors,
            next_anchor: 0,
            tree: Tree::new(),
            last_time_ms: 0,
            keys: HashMap::new(),
            witnessed_to: 0,
            findings: Vec::new(),
            unlisted: 0,
        };
        if !verifier.anchors.iter().any(|anchor| anchor.source == Source::Remembered) {
            verifier.find(Finding::NothingRemembered);
        }
        verifier.check_anchors();
        verifier
    }

    /// Takes the next record's bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        let at = self.tree.size();
        match decode(bytes) {
            Ok(record) => self.check_record(at, &record),
            Err(error) => self.find(Finding::Malformed { at, error }),
        }
        // A tree that is full at 2^63 leaves cannot be reached by reading.
        if self.tree.push(leaf_hash(bytes), |_, _, _| {}).is_ok() {
            self.check_anchors();
        }
    }

    /// Ends the journal.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let records = self.tree.size();
        let beyond: Vec<Anchor> = self.anchors.iter().skip(self.next_anchor).copied().collect();
        for Anchor { size, source, .. } in beyond {
            self.find(Finding::Truncated { size, records, vouched: source });
        }
        if self.unlisted > 0 {
            self.findings.push(Finding::More(self.unlisted));
        }
        Report { records, root: self.tree.root(), witnessed_to: self.witnessed_to, findings: self.findings }
    }

    fn check_record(&mut self, at: u64, record: &Record<'_>) {
        let head = record.head();
        if head.seq != at {
            self.find(Finding::Seq { at, found: head.seq });
        }
        if head.time_ms < self.last_time_ms {
            self.find(Finding::Time { at });
        }
        self.last_time_ms = self.last_time_ms.max(head.time_ms);
        for link in head.backlinks {
            let before = self.keys.insert((link.key_kind, link.key_id.to_vec()), (link.n.saturating_add(1), at));
            let (expected_n, expected_prev) = before.map_or((0, None), |(count, last)| (count, Some(last)));
            if link.n != expected_n || link.prev_seq != expected_prev {
                let (kind, n, prev) = (link.key_kind, link.n, link.prev_seq);
                self.find(Finding::Backlink { at, kind, n, prev, expected_n, expected_prev });
            }
        }
    }

    fn check_anchors(&mut self) {
        while let Some(anchor) = self.anchors.get(self.next_anchor).copied() {
            if anchor.size != self.tree.size() {
                break;
            }
            self.next_anchor += 1;
            if self.tree.root() != anchor.root {
                self.find(Finding::Root { size: anchor.size, vouched: anchor.source });
            } else if anchor.source == Source::Remembered {
                self.witnessed_to = anchor.size;
            }
        }
    }

    fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.unlisted += 1;
        }
    }
}
