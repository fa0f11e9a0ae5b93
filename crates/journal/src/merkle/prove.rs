//! Proofs, made from stored hashes of perfect subtrees.

use super::{Hash, TreeError, empty_root, node_hash};
use crate::limits::MAX_TREE_SIZE;

/// Where the hashes of perfect subtrees come from: tiles, usually (see [`crate::tile::TileHashes`]).
pub trait HashReader {
    /// What can go wrong.
    type Error;

    /// Hash of the perfect subtree of `2^level` leaves that starts at leaf `index << level`.
    ///
    /// # Errors
    /// When the hash cannot be had.
    fn hash(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// Root of the first `size` leaves.
///
/// # Errors
/// When `size` is too large or a hash cannot be read.
pub fn root_at<R: HashReader>(size: u64, reader: &R) -> Result<Hash, TreeError<R::Error>> {
    if size > MAX_TREE_SIZE {
        return Err(TreeError::Range);
    }
    range_root(0, size, reader)
}

/// The path from leaf `index` to the root of the first `size` leaves, leaf's sibling first (RFC 9162 section 2.1.3.1).
///
/// # Errors
/// When `index` is not below `size`, `size` is too large, or a hash cannot be read.
pub fn inclusion_proof<R: HashReader>(index: u64, size: u64, reader: &R) -> Result<Vec<Hash>, TreeError<R::Error>> {
    if index >= size || size > MAX_TREE_SIZE {
        return Err(TreeError::Range);
    }
    let (mut start, mut end, mut proof) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_root(middle, end, reader)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, reader)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the first `old` of `new` leaves have the old root (RFC 9162 section 2.1.4.1). Empty when `old` is 0 or `new`.
///
/// # Errors
/// When `old` is above `new`, `new` is too large, or a hash cannot be read.
pub fn consistency_proof<R: HashReader>(old: u64, new: u64, reader: &R) -> Result<Vec<Hash>, TreeError<R::Error>> {
    if old > new || new > MAX_TREE_SIZE {
        return Err(TreeError::Range);
    }
    let (mut start, mut end, mut proof, mut whole) = (0, new, Vec::new(), true);
    if old == 0 {
        return Ok(proof);
    }
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range_root(middle, end, reader)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, reader)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(start, end, reader)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Largest power of two below `len`; `len` is at least 2.
fn split(len: u64) -> u64 {
    1 << (len.saturating_sub(1)).ilog2()
}

/// Root over leaves `start..end`, where `start` is a multiple of the largest power of two not above `end - start`: every range
/// the RFC's recursions visit is of this kind.
fn range_root<R: HashReader>(start: u64, end: u64, reader: &R) -> Result<Hash, TreeError<R::Error>> {
    let (mut at, mut peaks) = (start, Vec::new());
    while at < end {
        let level = (end - at).ilog2();
        let index = at >> level;
        peaks.push(reader.hash(u8::try_from(level).map_err(|_| TreeError::Range)?, index).map_err(TreeError::Read)?);
        at += 1 << level;
    }
    let mut from_right = peaks.iter().rev();
    let Some(last) = from_right.next() else { return Ok(empty_root()) };
    Ok(from_right.fold(*last, |right, left| node_hash(left, &right)))
}
