//! A log with two histories: the same first records, then others. Both are signed by the log's own key.

use marque_journal::checkpoint::Checkpoint;
use marque_journal::merkle::{Hash, HashReader, Tree, consistency_proof, leaf_hash, node_hash};
use marque_journal::note::{Ed25519Signer, SignatureType, VerifierKey};
use marque_journal::witness::AddCheckpoint;
use std::convert::Infallible;

pub(crate) const LOG: &str = "example.org/log";
/// Records of each history.
pub(crate) const SIZE: u64 = 40;
/// Records that both have.
pub(crate) const COMMON: u64 = 17;

/// Leaves of one history.
pub(crate) struct History(Vec<Hash>);

impl HashReader for History {
    type Error = Infallible;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
        if level == 0 {
            return Ok(self.0[usize::try_from(index).unwrap()]);
        }
        let (left, right) = (self.hash(level - 1, index * 2)?, self.hash(level - 1, index * 2 + 1)?);
        Ok(node_hash(&left, &right))
    }
}

impl History {
    pub(crate) fn new(branch: bool) -> Self {
        let leaf = |n: u64| leaf_hash(&[n.to_be_bytes(), u64::from(branch && n >= COMMON).to_be_bytes()].concat());
        Self((0..SIZE).map(leaf).collect())
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        let mut tree = Tree::new();
        self.0.iter().take(usize::try_from(size).unwrap()).for_each(|leaf| tree.push(*leaf, |_, _, _| {}).unwrap());
        tree.root()
    }

    /// A request as the log's owner could send it: signed, and with a proof from its own tree.
    pub(crate) fn request(&self, old: u64, new: u64) -> AddCheckpoint {
        let checkpoint = Checkpoint { origin: LOG.into(), size: new, root: self.root(new), extensions: Vec::new() };
        let proof = consistency_proof(old.min(new), new, self).unwrap();
        AddCheckpoint { old_size: old, proof, note: checkpoint.sign(&signer()).unwrap() }
    }
}

pub(crate) fn signer() -> Ed25519Signer {
    Ed25519Signer::from_seed(LOG, &[4; 32]).unwrap()
}

pub(crate) fn log_key() -> VerifierKey {
    signer().verifier(SignatureType::Ed25519).unwrap()
}
