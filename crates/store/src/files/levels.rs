//! The hashes of tiles that are not full, in memory.

use super::intake::RowHash;
use marque_journal::merkle::Hash;
use marque_journal::tile::{MAX_TILE_LEVEL, TILE_HEIGHT, TILE_WIDTH};

#[derive(Debug, Clone, Default)]
struct Level {
    /// Index in the row of the first hash that is held; a multiple of a tile's width.
    first: u64,
    hashes: Vec<Hash>,
}

/// One row of hashes for each tile level, from the first tile that is not yet written in full.
#[derive(Debug, Clone)]
pub(crate) struct Levels(Vec<Level>);

/// What readers see: hashes of tiles that are not on disk in full, for a tree of `size` leaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Snapshot {
    pub size: u64,
    pub levels: Levels,
}

impl Default for Levels {
    fn default() -> Self {
        Self::from_size(0)
    }
}

impl Levels {
    /// For a tree whose first `size` leaves are already in tiles.
    pub(crate) fn from_size(size: u64) -> Self {
        let first = |level: u8| {
            let row = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
            row - row % u64::from(TILE_WIDTH)
        };
        Self((0..=MAX_TILE_LEVEL).map(|level| Level { first: first(level), hashes: Vec::new() }).collect())
    }

    /// The rows of a tree of `size` leaves; `None` when they are not as long as they have to be.
    pub(crate) fn of_size(size: u64, rows: Vec<Vec<Hash>>) -> Option<Self> {
        let mut levels = Self::from_size(size);
        if rows.len() != levels.0.len() {
            return None;
        }
        for ((level, row), hashes) in (0u32..).zip(&mut levels.0).zip(rows) {
            let whole = size.checked_shr(level * u32::from(TILE_HEIGHT)).unwrap_or(0);
            if hashes.len() as u64 != whole - row.first {
                return None;
            }
            row.hashes = hashes;
        }
        Some(levels)
    }

    /// The hashes that are held, row by row.
    pub(crate) fn held(&self) -> impl Iterator<Item = &[Hash]> {
        self.0.iter().map(|row| row.hashes.as_slice())
    }

    /// Adds the next hash of a row, and forgets each tile as it becomes full.
    pub(crate) fn roll(&mut self, hash: RowHash) {
        self.push(hash);
        if let Some(row) = self.0.get_mut(usize::from(hash.0))
            && row.hashes.len() >= usize::from(TILE_WIDTH)
        {
            row.first += row.hashes.len() as u64;
            row.hashes.clear();
        }
    }

    /// Adds the next hash of a row; those before the first tile that is held are left out.
    pub(crate) fn push(&mut self, (level, index, hash): RowHash) {
        if let Some(row) = self.0.get_mut(usize::from(level))
            && index == row.first + row.hashes.len() as u64
        {
            row.hashes.push(hash);
        }
    }

    /// The first `width` hashes of a tile, when they are held.
    pub(crate) fn tile(&self, level: u8, index: u64, width: usize) -> Option<&[Hash]> {
        let row = self.0.get(usize::from(level))?;
        let start = usize::try_from(index.checked_mul(u64::from(TILE_WIDTH))?.checked_sub(row.first)?).ok()?;
        row.hashes.get(start..)?.get(..width)
    }

    /// All hashes of a tile that are held.
    pub(crate) fn whole_tile(&self, level: u8, index: u64) -> Option<&[Hash]> {
        let row = self.0.get(usize::from(level))?;
        let start = usize::try_from(index.checked_mul(u64::from(TILE_WIDTH))?.checked_sub(row.first)?).ok()?;
        let rest = row.hashes.get(start..)?;
        rest.get(..rest.len().min(usize::from(TILE_WIDTH)))
    }

    /// Forgets full tiles.
    pub(crate) fn forget_full(&mut self) {
        for row in &mut self.0 {
            let keep = row.hashes.len() % usize::from(TILE_WIDTH);
            let full = row.hashes.len() - keep;
            row.hashes.drain(..full);
            row.first += full as u64;
        }
    }
}
