//! The journal's checkpoint signer: asks the signer process.

use super::SignerClient;
use super::proto::Keys;
use crate::Error;
use marque_journal::checkpoint::{Checkpoint, Refusal};
use marque_journal::merkle::Hash;
use marque_journal::note::Note;
use marque_store::{CheckpointSigner, SignError};
use std::sync::Arc;

/// Signs through the signer process.
pub struct RemoteSigner {
    client: Arc<SignerClient>,
    origin: String,
}

impl RemoteSigner {
    /// A signer for the log that the keys name.
    #[must_use]
    pub fn new(client: Arc<SignerClient>, keys: &Keys) -> Self {
        Self { client, origin: keys.origin.clone() }
    }
}

fn unavailable(error: Error) -> SignError {
    SignError::Unavailable(error.to_string())
}

impl CheckpointSigner for RemoteSigner {
    fn origin(&self) -> &str {
        &self.origin
    }

    fn last(&mut self) -> Result<Option<Checkpoint>, SignError> {
        let text = self.client.last_checkpoint().map_err(unavailable)?;
        text.map(|text| Checkpoint::parse(&text).map_err(|e| SignError::Unavailable(e.to_string()))).transpose()
    }

    fn sign(&mut self, next: &Checkpoint, proof: &[Hash]) -> Result<Note, SignError> {
        let answer = self.client.sign_checkpoint(next.text(), proof.to_vec()).map_err(unavailable)?;
        match answer {
            Ok(note) => Note::parse(note.as_bytes()).map_err(|e| SignError::Unavailable(e.to_string())),
            Err(_) => Err(SignError::Refused(Refusal::Forks)),
        }
    }

    fn vouch(&mut self, snapshot: &Hash) -> Result<Hash, SignError> {
        self.client.vouch(snapshot).map_err(unavailable)
    }
}
