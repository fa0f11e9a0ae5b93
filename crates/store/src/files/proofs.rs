//! Proofs out of tiles and the hashes in memory.

use super::ReadError;
use super::levels::Snapshot;
use crate::disk::{Disk, read_file};
use marque_journal::merkle::{Hash, HashReader, ProofError, TreeError};
use marque_journal::tile::{Row, TILE_WIDTH, Tile, TileError, TileHashes, parse_hashes};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Bytes of a full tile.
const TILE_BYTES: u64 = TILE_WIDTH as u64 * 32;

impl From<TileError> for ReadError {
    fn from(error: TileError) -> Self {
        Self::Damaged(format!("tile ({error})"))
    }
}

impl From<TreeError<ReadError>> for ReadError {
    fn from(error: TreeError<ReadError>) -> Self {
        match error {
            TreeError::Range => Self::Range,
            TreeError::Read(error) => error,
        }
    }
}

impl From<ProofError> for ReadError {
    fn from(error: ProofError) -> Self {
        Self::Damaged(format!("tile ({error})"))
    }
}

/// Hashes of one tree: partial tiles from memory, full ones from disk, each read once.
pub(crate) struct Hashes<'a> {
    disk: &'a dyn Disk,
    snapshot: &'a Snapshot,
    read: RefCell<BTreeMap<(u8, u64), Vec<Hash>>>,
}

impl<'a> Hashes<'a> {
    pub(crate) fn new(disk: &'a dyn Disk, snapshot: &'a Snapshot) -> Self {
        Self { disk, snapshot, read: RefCell::default() }
    }

    pub(crate) fn reader(&self) -> impl HashReader<Error = ReadError> + '_ {
        TileHashes::new(|level, index| self.tile(level, index))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, ReadError> {
        if let Some(hashes) = self.snapshot.levels.whole_tile(level, index) {
            return Ok(hashes.to_vec());
        }
        if let Some(hashes) = self.read.borrow().get(&(level, index)) {
            return Ok(hashes.clone());
        }
        let path = Tile { row: Row::Hashes(level), index, width: TILE_WIDTH }.path();
        let bytes = match read_file(self.disk, &path, TILE_BYTES) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Err(ReadError::Damaged(path)),
            Err(source) => return Err(ReadError::Io { path, source }),
        };
        let hashes = parse_hashes(&bytes, TILE_WIDTH)?.to_vec();
        self.read.borrow_mut().insert((level, index), hashes.clone());
        Ok(hashes)
    }
}
