//! What may be done about a segment's tail at start.

use super::{Fault, Scan, Tail};
use crate::merkle::{Hash, leaf_hash};
use thiserror::Error;

/// The newest record somebody outside the journal was told is durable: the launcher and the console remember it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Its `seq`.
    pub seq: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
}

/// A batch that recovery drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// First byte to set to zero.
    pub from: usize,
    /// Just after the last byte to set to zero.
    pub to: usize,
    /// `seq` its first record had.
    pub first_seq: u64,
    /// What is wrong with it.
    pub fault: Fault,
}

/// How to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// `seq` of the next record.
    pub next_seq: u64,
    /// Where the next batch goes.
    pub append_at: usize,
    /// Hash the next batch names.
    pub tip: Hash,
    /// The torn batch to zero first and to record as dropped.
    pub dropped: Option<Dropped>,
    /// Whether a mark vouched for the records up to it. Without one, a cut tail cannot be told from an interrupted write, and
    /// whoever starts says so. A mark below this segment counts only when its segment was checked too.
    pub marked: bool,
}

/// Why the journal must not be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RefuseToStart {
    /// Damage that no interrupted write leaves.
    #[error("the journal is damaged at byte {offset}: {fault}")]
    Corrupt {
        /// Where.
        offset: usize,
        /// What.
        fault: Fault,
    },
    /// Records that were acknowledged are gone or damaged.
    #[error("record {acknowledged} was acknowledged, but the journal ends before record {next_seq}")]
    AcknowledgedLost {
        /// The mark.
        acknowledged: u64,
        /// Where the good part ends.
        next_seq: u64,
    },
    /// The acknowledged record is another one now.
    #[error("record {0} is not the one that was acknowledged")]
    AcknowledgedChanged(u64),
}

/// Decides how to continue the last segment. Only a last batch above the mark is ever dropped.
///
/// # Errors
/// When the journal must not be continued.
pub fn recover(scan: &Scan<'_>, acknowledged: Option<Mark>) -> Result<Plan, RefuseToStart> {
    let dropped = match scan.tail {
        Tail::Clean => None,
        Tail::Corrupt { offset, fault } => return Err(RefuseToStart::Corrupt { offset, fault }),
        Tail::Torn { offset, end, fault } => Some(Dropped { from: offset, to: end, first_seq: scan.next_seq, fault }),
    };
    if let Some(mark) = acknowledged {
        if mark.seq >= scan.next_seq {
            return Err(RefuseToStart::AcknowledgedLost { acknowledged: mark.seq, next_seq: scan.next_seq });
        }
        if scan.record(mark.seq).is_some_and(|record| leaf_hash(record) != mark.leaf_hash) {
            return Err(RefuseToStart::AcknowledgedChanged(mark.seq));
        }
    }
    Ok(Plan {
        next_seq: scan.next_seq,
        append_at: scan.end,
        tip: scan.tip,
        dropped,
        marked: acknowledged.is_some(),
    })
}
