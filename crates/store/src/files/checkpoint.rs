//! Who signs checkpoints.

use marque_journal::checkpoint::{Checkpoint, CheckpointError, Refusal, may_sign};
use marque_journal::merkle::{Hash, empty_root, sha256};
use marque_journal::note::{Ed25519Signer, Note, Signer};
use std::io;
use thiserror::Error;

/// A checkpoint and the note it was signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note, as it stands in the file `checkpoint`.
    pub note: Note,
}

/// Why there is no signature.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignError {
    /// The signer cannot be reached or could not store what it was to sign; asked again later.
    #[error("the signer is not available: {0}")]
    Unavailable(String),
    /// The signer remembers another history. The journal was changed, and the process ends.
    #[error("the signer refuses: {0}")]
    Refused(Refusal),
    /// The journal is closed.
    #[error("the journal is closed")]
    Closed,
}

/// Signs checkpoints and remembers what it signed, outside the journal: another process, usually.
pub trait CheckpointSigner: Send + 'static {
    /// Name of the log, which is the name of the key.
    fn origin(&self) -> &str;
    /// The last checkpoint it signed; `None` when there was none.
    ///
    /// # Errors
    /// [`SignError::Unavailable`].
    fn last(&mut self) -> Result<Option<Checkpoint>, SignError>;
    /// Signs `next` if `proof` shows that it extends the last one.
    ///
    /// # Errors
    /// [`SignError`].
    fn sign(&mut self, next: &Checkpoint, proof: &[Hash]) -> Result<Note, SignError>;
    /// A tag over the hash of a snapshot, the same each time, that nobody without the signer's keys can make: whoever may
    /// write the directory and the journal's end does not thereby make a state.
    ///
    /// # Errors
    /// [`SignError::Unavailable`].
    fn vouch(&mut self, snapshot: &Hash) -> Result<Hash, SignError>;
}

/// What a tag for a snapshot is made over, before the hash.
const SNAPSHOT_CONTEXT: &[u8] = b"marque/snapshot/v1\0";

/// Makes a checkpoint durable as the last one before its signature is given away.
pub type Remember = Box<dyn FnMut(&Checkpoint) -> io::Result<()> + Send>;

/// The rule every signer follows, around a key in memory.
pub struct KeySigner {
    key: Ed25519Signer,
    last: Option<Checkpoint>,
    remember: Remember,
}

impl KeySigner {
    /// A signer that signed `last` before, and calls `remember` before each further signature.
    #[must_use]
    pub fn new(key: Ed25519Signer, last: Option<Checkpoint>, remember: Remember) -> Self {
        Self { key, last, remember }
    }
}

impl CheckpointSigner for KeySigner {
    fn origin(&self) -> &str {
        self.key.name()
    }

    fn last(&mut self) -> Result<Option<Checkpoint>, SignError> {
        Ok(self.last.clone())
    }

    fn sign(&mut self, next: &Checkpoint, proof: &[Hash]) -> Result<Note, SignError> {
        let nothing = || Checkpoint { origin: next.origin.clone(), size: 0, root: empty_root(), extensions: Vec::new() };
        may_sign(&self.last.clone().unwrap_or_else(nothing), next, proof).map_err(SignError::Refused)?;
        let note = next.sign(&self.key).map_err(|error| match error {
            CheckpointError::Origin => SignError::Refused(Refusal::Origin),
            other => SignError::Unavailable(other.to_string()),
        })?;
        (self.remember)(next).map_err(|error| SignError::Unavailable(error.to_string()))?;
        self.last = Some(next.clone());
        Ok(note)
    }

    fn vouch(&mut self, snapshot: &Hash) -> Result<Hash, SignError> {
        // An Ed25519 signature is deterministic (RFC 8032), and no note begins like this.
        let message = [SNAPSHOT_CONTEXT, snapshot.as_slice()].concat();
        let signature = self.key.sign(&message).map_err(|error| SignError::Unavailable(error.to_string()))?;
        Ok(sha256(&signature))
    }
}
