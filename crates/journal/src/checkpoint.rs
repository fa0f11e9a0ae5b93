//! C2SP tlog-checkpoint: what a log says it is, and when it may say so.

use crate::limits::{MAX_NAME_BYTES, MAX_TREE_SIZE};
use crate::merkle::{Hash, ProofError, verify_consistency};
use crate::note::{Note, NoteError, SignatureType, Signer, VerifierKey, sign};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

/// Origin, size and root of a log; whoever holds a signed one can tell any rewriting below its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Number of records.
    pub size: u64,
    /// Root of the tree of that size.
    pub root: Hash,
    /// Opaque lines. We write none; other logs may.
    pub extensions: Vec<String>,
}

/// Why a checkpoint is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CheckpointError {
    /// The text is not a checkpoint.
    #[error("the note is not a checkpoint")]
    Malformed,
    /// The origin is not the log's.
    #[error("the checkpoint is of another log")]
    Origin,
    /// The note is not acceptable.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let extensions: String = self.extensions.iter().map(|line| format!("{line}\n")).collect();
        format!("{}\n{}\n{}\n{extensions}", self.origin, self.size, BASE64.encode(self.root))
    }

    /// Parses the text of a note.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`] for whatever [`Checkpoint::text`] does not write.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Malformed)?.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed);
        };
        let root = BASE64.decode(root).ok().and_then(|root| Hash::try_from(root).ok()).ok_or(CheckpointError::Malformed)?;
        let size = parse_decimal(size).filter(|size| *size <= MAX_TREE_SIZE).ok_or(CheckpointError::Malformed)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if origin.is_empty() || origin.len() > MAX_NAME_BYTES || extensions.iter().any(String::is_empty) {
            return Err(CheckpointError::Malformed);
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Signs it as the log: the key's name is the origin.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] when the key has another name, or what the signer says. The caller asks [`may_sign`] first.
    pub fn sign(&self, signer: &dyn Signer) -> Result<Note, CheckpointError> {
        if signer.name() != self.origin {
            return Err(CheckpointError::Origin);
        }
        let mut note = Note::unsigned(self.text())?;
        note.push(sign(note.text(), signer)?);
        Ok(note)
    }
}

/// A checkpoint whose log signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note it came in, with all signatures.
    pub note: Note,
}

impl SignedCheckpoint {
    /// Parses a note and checks that `log` signed it as its own checkpoint.
    ///
    /// # Errors
    /// When it is malformed, of another origin, or not signed by `log`.
    pub fn open(bytes: &[u8], log: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != log.name() || log.kind() != SignatureType::Ed25519 {
            return Err(CheckpointError::Origin);
        }
        note.verified_by(std::slice::from_ref(log))?;
        Ok(Self { checkpoint, note })
    }

    /// How many different ones of `witnesses` cosigned it. Counts keys, not names.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when one under a known witness's name and id does not verify.
    pub fn witnessed_by(&self, witnesses: &[VerifierKey]) -> Result<usize, NoteError> {
        let signed = match self.note.verified_by(witnesses) {
            Ok(signed) => signed,
            Err(NoteError::Unsigned) => return Ok(0),
            Err(error) => return Err(error),
        };
        let cosigned = signed.iter().filter_map(|index| witnesses.get(*index)).filter(|key| key.kind() == SignatureType::CosignatureV1);
        let mut keys: Vec<&[u8; 32]> = cosigned.map(VerifierKey::public_key).collect();
        keys.sort_unstable();
        keys.dedup();
        Ok(keys.len())
    }
}

/// Why a signer refuses a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another log.
    #[error("the next checkpoint is of another log")]
    Origin,
    /// Extension lines, which no monitor can audit.
    #[error("the next checkpoint has extension lines")]
    Extensions,
    /// Smaller than what was signed.
    #[error("the next checkpoint is smaller than the last one signed")]
    Shrinks,
    /// Same size, other root: equivocation.
    #[error("the next checkpoint has the size of the last one signed and another root")]
    Forks,
    /// Not shown to extend what was signed.
    #[error("the next checkpoint is not shown to extend the last one: {0}")]
    NotProven(ProofError),
}

/// A log key signs only what extends the last checkpoint it signed. The caller makes `next` durable as the new `last` before it
/// gives the signature away. A first checkpoint is judged against size 0 with the empty root.
///
/// # Errors
/// Why not.
pub fn may_sign(last: &Checkpoint, next: &Checkpoint, consistency_proof: &[Hash]) -> Result<(), Refusal> {
    if last.origin != next.origin {
        return Err(Refusal::Origin);
    }
    if !next.extensions.is_empty() {
        return Err(Refusal::Extensions);
    }
    if next.size < last.size {
        return Err(Refusal::Shrinks);
    }
    if next.size == last.size && next.root != last.root {
        return Err(Refusal::Forks);
    }
    verify_consistency(last.size, next.size, consistency_proof, &last.root, &next.root).map_err(Refusal::NotProven)
}

/// Decimal without sign or leading zeroes.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || (!text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit()));
    if canonical { text.parse().ok() } else { None }
}
