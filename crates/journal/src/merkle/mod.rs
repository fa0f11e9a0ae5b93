//! The RFC 6962 / RFC 9162 Merkle tree over records.

mod prove;
mod tree;
mod verify;

pub use prove::{HashReader, consistency_proof, inclusion_proof, root_at};
pub use tree::Tree;
pub use verify::{verify_consistency, verify_inclusion};

use aws_lc_rs::digest::{Context, SHA256, digest};
use thiserror::Error;

/// A SHA-256 hash in the tree.
pub type Hash = [u8; 32];

/// Plain SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Hash {
    to_hash(digest(&SHA256, bytes).as_ref())
}

/// Hash of a leaf: SHA-256(0x00 || record) (RFC 9162 section 2.1.1).
#[must_use]
pub fn leaf_hash(record: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(record);
    to_hash(context.finish().as_ref())
}

/// Hash of an inner node: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1u8; 65];
    if let Some((_, pair)) = bytes.split_first_mut() {
        let (l, r) = pair.split_at_mut(32);
        l.copy_from_slice(left);
        r.copy_from_slice(right);
    }
    sha256(&bytes)
}

/// Root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(&[])
}

fn to_hash(bytes: &[u8]) -> Hash {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(bytes) {
        *to = *from;
    }
    hash
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The index is not in a tree of that size, or the sizes are in the wrong order.
    #[error("the index or the sizes do not fit together")]
    Range,
    /// Too few or too many hashes for these sizes.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The hashes do not lead to the root.
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// Why a tree cannot grow or a proof cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreeError<E> {
    /// The index is not in a tree of that size, or the sizes are in the wrong order, or the tree is full.
    #[error("the index or the sizes do not fit together")]
    Range,
    /// A hash could not be read.
    #[error("a stored hash could not be read")]
    Read(#[source] E),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_rfc_9162() {
        let hex = |h: Hash| h.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
        assert_eq!(node_hash(&[1; 32], &[2; 32]), sha256(&[&[1u8][..], &[1; 32], &[2; 32]].concat()));
    }
}
