//! C2SP `tlog-proof@v1`: a receipt that a record is in the journal, checked offline.

use crate::checkpoint::{CheckpointError, SignedCheckpoint, parse_decimal};
use crate::limits::{MAX_EXTRA_BYTES, MAX_PROOF_HASHES, MAX_RECEIPT_BYTES};
use crate::merkle::{Hash, ProofError, leaf_hash, verify_inclusion};
use crate::note::{Note, NoteError, VerifierKey};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

/// First line of every receipt.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// A parsed receipt; nothing in it is trusted before [`Receipt::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Opaque; ours carry the record itself here, so that one file is enough.
    pub extra: Option<Vec<u8>>,
    /// Index of the record, which is its `seq`.
    pub index: u64,
    /// Path from the leaf's sibling to the root's child.
    pub hashes: Vec<Hash>,
    /// The checkpoint, with any cosignatures.
    pub checkpoint: Note,
}

/// What a receipt was found to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    /// Index of the record.
    pub index: u64,
    /// Checkpoint it is under.
    pub checkpoint: SignedCheckpoint,
    /// How many of the given witnesses cosigned that checkpoint; 0 is *unwitnessed* and has to be said.
    pub witnesses: usize,
}

/// Why a receipt proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReceiptError {
    /// Not a `tlog-proof@v1` text.
    #[error("not a tlog-proof@v1 text")]
    Malformed,
    /// The receipt carries no record, and none was given.
    #[error("the receipt carries no record")]
    NoRecord,
    /// The checkpoint is not acceptable.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A witness's signature is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The record is not proven to be in the tree.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Receipt {
    /// The text of the receipt; store it as `*.tlog-proof`.
    #[must_use]
    pub fn to_text(&self) -> String {
        let extra = self.extra.as_ref().map(|extra| format!("extra {}\n", BASE64.encode(extra))).unwrap_or_default();
        let hashes: String = self.hashes.iter().map(|hash| format!("{}\n", BASE64.encode(hash))).collect();
        format!("{HEADER}\n{extra}index {}\n{hashes}\n{}", self.index, self.checkpoint)
    }

    /// Parses a receipt. Whatever [`Receipt::to_text`] would not write is refused.
    ///
    /// # Errors
    /// [`ReceiptError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        Self::parse_lines(bytes).ok_or(ReceiptError::Malformed)
    }

    fn parse_lines(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_RECEIPT_BYTES {
            return None;
        }
        let (head, checkpoint) = std::str::from_utf8(bytes).ok()?.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != HEADER {
            return None;
        }
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(BASE64.decode(line.strip_prefix("extra ")?).ok().filter(|e| e.len() <= MAX_EXTRA_BYTES)?),
            None => None,
        };
        let index = parse_decimal(lines.next()?.strip_prefix("index ")?)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_PROOF_HASHES {
                return None;
            }
            hashes.push(crate::witness::parse_hash(line)?);
        }
        Some(Self { extra, index, hashes, checkpoint: Note::parse(checkpoint.as_bytes()).ok()? })
    }

    /// Checks that the journal of key `log` holds `record` at [`Receipt::index`], and counts the witnesses.
    ///
    /// # Errors
    /// Why it is not proven.
    pub fn verify(&self, record: &[u8], log: &VerifierKey, witnesses: &[VerifierKey]) -> Result<Proven, ReceiptError> {
        let checkpoint = SignedCheckpoint::open(self.checkpoint.to_string().as_bytes(), log)?;
        let head = &checkpoint.checkpoint;
        verify_inclusion(&leaf_hash(record), self.index, head.size, &self.hashes, &head.root)?;
        let witnesses = checkpoint.witnessed_by(witnesses)?;
        Ok(Proven { index: self.index, checkpoint, witnesses })
    }

    /// As [`Receipt::verify`], for the record the receipt carries in `extra`, which is given back.
    ///
    /// # Errors
    /// Why it is not proven.
    pub fn verify_carried(&self, log: &VerifierKey, witnesses: &[VerifierKey]) -> Result<(&[u8], Proven), ReceiptError> {
        let record = self.extra.as_deref().ok_or(ReceiptError::NoRecord)?;
        Ok((record, self.verify(record, log, witnesses)?))
    }
}
