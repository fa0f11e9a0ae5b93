//! Record version 1: one leaf of the journal.

mod decode;
mod encode;

pub use decode::decode;
pub use encode::encode;

use crate::cbor::CborError;
use thiserror::Error;

/// The record version this crate writes and reads.
pub const VERSION: u64 = 1;

/// Field numbers of record version 1.
pub(crate) mod field {
    pub const VERSION: u64 = 0;
    pub const SEQ: u64 = 1;
    pub const TIME_MS: u64 = 2;
    pub const KIND: u64 = 3;
    pub const SESSION: u64 = 4;
    pub const LEAF: u64 = 5;
    pub const BACKLINKS: u64 = 6;
    pub const CAUSE: u64 = 7;
    pub const REASON: u64 = 8;
    pub const EXEC: u64 = 9;
    pub const EFFECT: u64 = 10;
    pub const LEASE: u64 = 11;
    pub const TAINT: u64 = 12;
    pub const COMMITMENTS: u64 = 13;
    pub const MODE: u64 = 14;
    pub const BODY: u64 = 15;
}

/// Session and lease ids: 10 bytes.
pub type Id = [u8; 10];
/// A SHA-256 value: a commitment or a digest.
pub type Digest = [u8; 32];

/// What a backlink's key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum KeyKind {
    /// A human, by pseudonym.
    Human = 1,
    /// A session.
    Session = 2,
    /// A link, which is where a grant lives.
    Link = 3,
    /// A credential.
    Credential = 4,
    /// A resource.
    Resource = 5,
}

impl KeyKind {
    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Human,
            2 => Self::Session,
            3 => Self::Link,
            4 => Self::Credential,
            5 => Self::Resource,
            _ => return None,
        })
    }

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u64 {
        self as u64
    }
}

/// How far policy and grants are applied in the session a record belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Mode {
    /// Decisions are applied.
    Enforce = 1,
    /// Decisions are recorded, not applied.
    Observe = 2,
    /// The agent keeps the credentials it has.
    Adopt = 3,
}

impl Mode {
    /// The mode with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Enforce,
            2 => Self::Observe,
            3 => Self::Adopt,
            _ => return None,
        })
    }
}

/// "This record is the `n`-th (from 0) that touches this key; the one before is `prev_seq`."
///
/// Whoever holds the newest record of a key can walk to the first and knows that none was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backlink<'a> {
    /// What the key names.
    pub key_kind: KeyKind,
    /// 1 to 32 bytes.
    pub key_id: &'a [u8],
    /// Counts from 0.
    pub n: u64,
    /// Absent exactly when `n` is 0.
    pub prev_seq: Option<u64>,
}

/// Everything of a record but its body, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordHead<'a> {
    /// Position in the journal and index of the leaf, from 0.
    pub seq: u64,
    /// Committer's time, milliseconds since 1970, never below the record before.
    pub time_ms: u64,
    /// For example `session.open`: lower-case letters, digits, `.`, `_`, `-`.
    pub kind: &'a str,
    /// Session the record belongs to.
    pub session: Option<Id>,
    /// `jti` of the acting link; empty when there is none.
    pub leaf: &'a str,
    /// Ascending by (kind, id).
    pub backlinks: &'a [Backlink<'a>],
    /// An earlier record this one follows from.
    pub cause: Option<u64>,
    /// Commitment to the agent's stated reason.
    pub reason: Option<Digest>,
    /// Commitment to what was executed.
    pub exec: Option<Digest>,
    /// Digest of the effect.
    pub effect: Option<Digest>,
    /// Lease the record is about.
    pub lease: Option<Id>,
    /// Bit set.
    pub taint: u64,
    /// Salted commitments of erasable fields, ascending by field id.
    pub commitments: &'a [(u64, Digest)],
    /// Session mode.
    pub mode: Option<Mode>,
}

/// A decoded record. It borrows from the bytes it was decoded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    seq: u64,
    time_ms: u64,
    kind: &'a str,
    session: Option<Id>,
    leaf: &'a str,
    backlinks: Vec<Backlink<'a>>,
    cause: Option<u64>,
    reason: Option<Digest>,
    exec: Option<Digest>,
    effect: Option<Digest>,
    lease: Option<Id>,
    taint: u64,
    commitments: Vec<(u64, Digest)>,
    mode: Option<Mode>,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    /// Everything but the body.
    #[must_use]
    pub fn head(&self) -> RecordHead<'_> {
        RecordHead {
            seq: self.seq,
            time_ms: self.time_ms,
            kind: self.kind,
            session: self.session,
            leaf: self.leaf,
            backlinks: &self.backlinks,
            cause: self.cause,
            reason: self.reason,
            exec: self.exec,
            effect: self.effect,
            lease: self.lease,
            taint: self.taint,
            commitments: &self.commitments,
            mode: self.mode,
        }
    }

    /// Position in the journal.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Kind, such as `session.open`.
    #[must_use]
    pub fn kind(&self) -> &'a str {
        self.kind
    }

    /// The body: one deterministic CBOR map with unsigned keys, or nothing at all.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// Why bytes are not a record. A canonical record has one encoding, and only that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Not deterministic CBOR of the expected shape.
    #[error("field {field}: {error}")]
    Cbor {
        /// Field number; 16 means the record as a whole.
        field: u64,
        /// What is wrong.
        error: CborError,
    },
    /// Written by a later version.
    #[error("record version {0} is not known")]
    Version(u64),
    /// A field number this version does not have.
    #[error("field {0} is not known")]
    UnknownField(u64),
    /// A field that every record has is absent.
    #[error("field {0} is missing")]
    Missing(u64),
    /// A field is present but empty; empty fields are left out.
    #[error("field {0} is present but empty")]
    Empty(u64),
    /// A field is longer than its limit, or a value is outside its set.
    #[error("field {0} is out of bounds")]
    Bounds(u64),
    /// Backlinks do not ascend, or a counter and its predecessor disagree.
    #[error("backlinks are out of order or contradict themselves")]
    Backlinks,
    /// `cause` does not lie before the record.
    #[error("the cause does not lie before the record")]
    Cause,
    /// Longer than an entry bundle can hold.
    #[error("a record of {0} bytes is too long")]
    TooLong(usize),
}

impl Malformed {
    pub(crate) fn at(field: u64) -> impl Fn(CborError) -> Self {
        move |error| Self::Cbor { field, error }
    }
}

/// Rules that hold for every record, whichever way it comes; shared by the encoder and the decoder.
pub(crate) fn check(head: &RecordHead<'_>) -> Result<(), Malformed> {
    use crate::limits::{MAX_BACKLINKS, MAX_COMMITMENTS, MAX_KEY_ID_BYTES, MAX_KIND_BYTES, MAX_LEAF_BYTES};
    let kind_ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    if head.kind.is_empty() || head.kind.len() > MAX_KIND_BYTES || !head.kind.bytes().all(kind_ok) {
        return Err(Malformed::Bounds(field::KIND));
    }
    if head.leaf.len() > MAX_LEAF_BYTES {
        return Err(Malformed::Bounds(field::LEAF));
    }
    if head.backlinks.len() > MAX_BACKLINKS {
        return Err(Malformed::Bounds(field::BACKLINKS));
    }
    if head.commitments.len() > MAX_COMMITMENTS {
        return Err(Malformed::Bounds(field::COMMITMENTS));
    }
    if !head.commitments.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(Malformed::Cbor { field: field::COMMITMENTS, error: CborError::KeyOrder });
    }
    if !head.backlinks.is_sorted_by(|a, b| (a.key_kind, a.key_id) < (b.key_kind, b.key_id)) {
        return Err(Malformed::Backlinks);
    }
    for link in head.backlinks {
        if link.key_id.is_empty() || link.key_id.len() > MAX_KEY_ID_BYTES {
            return Err(Malformed::Bounds(field::BACKLINKS));
        }
        let agrees = match link.prev_seq {
            None => link.n == 0,
            Some(prev) => link.n > 0 && prev < head.seq,
        };
        if !agrees {
            return Err(Malformed::Backlinks);
        }
    }
    if head.cause.is_some_and(|cause| cause >= head.seq) {
        return Err(Malformed::Cause);
    }
    Ok(())
}
