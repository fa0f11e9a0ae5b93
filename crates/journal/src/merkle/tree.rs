//! A tree that grows, kept as its frontier: the roots of its perfect subtrees.

use super::{Hash, TreeError, empty_root, node_hash};
use crate::limits::MAX_TREE_SIZE;
use std::convert::Infallible;

/// Size and frontier of a tree: at most 63 hashes however large it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    size: u64,
    /// Roots of the perfect subtrees, widest first; one for each set bit of `size`.
    peaks: Vec<Hash>,
}

impl Tree {
    /// An empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of `size` leaves with these perfect subtree roots, widest first; `None` when their number does not fit the size.
    #[must_use]
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (size <= MAX_TREE_SIZE && peaks.len() as u64 == u64::from(size.count_ones())).then_some(Self { size, peaks })
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the perfect subtrees, widest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends a leaf hash. `completed(level, index, hash)` is told every perfect subtree this completes, the leaf (level 0)
    /// first; hashes at levels 0, 8, 16, … are what tiles hold.
    ///
    /// # Errors
    /// [`TreeError::Range`] when the tree has [`MAX_TREE_SIZE`] leaves.
    pub fn push(&mut self, leaf: Hash, mut completed: impl FnMut(u8, u64, &Hash)) -> Result<(), TreeError<Infallible>> {
        if self.size >= MAX_TREE_SIZE {
            return Err(TreeError::Range);
        }
        let (mut hash, mut level, mut index) = (leaf, 0u8, self.size);
        completed(level, index, &hash);
        while index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            level += 1;
            index >>= 1;
            completed(level, index, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
        Ok(())
    }

    /// Root hash.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut from_right = self.peaks.iter().rev();
        let Some(last) = from_right.next() else { return empty_root() };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }
}
