//! C2SP tlog-tiles: where hashes and records lie, and how they are laid out.

use crate::limits::{MAX_RECORD_BYTES, MAX_TREE_SIZE};
use crate::merkle::{Hash, HashReader, node_hash};
use thiserror::Error;

/// Hashes in a full tile, records in a full bundle.
pub const TILE_WIDTH: u16 = 256;
/// Tree levels one tile spans.
pub const TILE_HEIGHT: u8 = 8;
/// Highest tile level a tree of [`MAX_TREE_SIZE`] leaves has.
pub const MAX_TILE_LEVEL: u8 = 7;

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Records, with their lengths.
    Entries,
    /// Hashes of tile level 0 (leaves) to [`MAX_TILE_LEVEL`].
    Hashes(u8),
}

/// The name of a tile or entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub row: Row,
    /// Position in its row, from 0.
    pub index: u64,
    /// 1 to [`TILE_WIDTH`]; less than full means partial.
    pub width: u16,
}

/// Why a path or the bytes of a tile are not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TileError {
    /// Not the one spelling of a tile's path.
    #[error("the path does not name a tile")]
    Path,
    /// The bytes do not hold the number of hashes or records the name says.
    #[error("the tile does not hold what its name says")]
    Content,
    /// A record is longer than a bundle can say.
    #[error("a record of {0} bytes does not fit a bundle")]
    TooLong(usize),
}

impl Tile {
    /// `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]`.
    #[must_use]
    pub fn path(&self) -> String {
        let row = match self.row {
            Row::Entries => "entries".to_owned(),
            Row::Hashes(level) => level.to_string(),
        };
        let mut name = format!("{:03}", self.index % 1000);
        let mut rest = self.index / 1000;
        while rest > 0 {
            name = format!("x{:03}/{name}", rest % 1000);
            rest /= 1000;
        }
        let partial = if self.width == TILE_WIDTH { String::new() } else { format!(".p/{}", self.width) };
        format!("tile/{row}/{name}{partial}")
    }

    /// The tile a path names. Only the spelling [`Tile::path`] writes is accepted.
    ///
    /// # Errors
    /// [`TileError::Path`].
    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::parse_loose(path).filter(|tile| tile.path() == path).ok_or(TileError::Path)
    }

    fn parse_loose(path: &str) -> Option<Self> {
        // Long enough for the largest index, short enough to bound the work.
        if path.len() > 64 {
            return None;
        }
        let (row, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let row = match row {
            "entries" => Row::Entries,
            level => Row::Hashes(level.parse().ok().filter(|level| *level <= MAX_TILE_LEVEL)?),
        };
        let (name, width) = match rest.split_once(".p/") {
            Some((name, width)) => (name, width.parse().ok().filter(|w| (1..TILE_WIDTH).contains(w))?),
            None => (rest, TILE_WIDTH),
        };
        let mut index: u64 = 0;
        for element in name.split('/') {
            let digits: u64 = element.strip_prefix('x').unwrap_or(element).parse().ok()?;
            index = index.checked_mul(1000)?.checked_add(digits)?;
        }
        Some(Self { row, index, width })
    }
}

/// Tiles and bundles a tree of `new` leaves has and one of `old` leaves had not, or had narrower; in ascending order of row.
/// Its length is about `(new - old) / 256`.
pub fn new_tiles(old: u64, new: u64) -> impl Iterator<Item = Tile> {
    let rows = std::iter::once(Row::Entries).chain((0..=MAX_TILE_LEVEL).map(Row::Hashes));
    rows.flat_map(move |row| {
        let shift = match row {
            Row::Entries => 0,
            Row::Hashes(level) => u32::from(level) * u32::from(TILE_HEIGHT),
        };
        let (had, has) = (old.min(MAX_TREE_SIZE) >> shift, new.min(MAX_TREE_SIZE) >> shift);
        let width = u64::from(TILE_WIDTH);
        (had / width..has.div_ceil(width)).filter_map(move |index| {
            let filled = has.saturating_sub(index * width).min(width);
            let before = had.saturating_sub(index * width).min(width);
            (filled > before).then_some(Tile { row, index, width: u16::try_from(filled).ok()? })
        })
    })
}

/// Splits the bytes of a hash tile of this width.
///
/// # Errors
/// [`TileError::Content`] when the length does not fit.
pub fn parse_hashes(bytes: &[u8], width: u16) -> Result<&[Hash], TileError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() && hashes.len() == usize::from(width) { Ok(hashes) } else { Err(TileError::Content) }
}

/// Appends a record to an entry bundle: big-endian `u16` length, then the bytes.
///
/// # Errors
/// [`TileError::TooLong`] above [`MAX_RECORD_BYTES`].
pub fn push_entry(record: &[u8], bundle: &mut Vec<u8>) -> Result<(), TileError> {
    let len = u16::try_from(record.len()).map_err(|_| TileError::TooLong(record.len()))?;
    bundle.extend_from_slice(&len.to_be_bytes());
    bundle.extend_from_slice(record);
    Ok(())
}

/// Splits an entry bundle into exactly `width` records.
///
/// # Errors
/// [`TileError::Content`] when it holds fewer, more, or a cut one.
pub fn parse_bundle(mut bytes: &[u8], width: u16) -> Result<Vec<&[u8]>, TileError> {
    let mut records = Vec::with_capacity(usize::from(width.min(TILE_WIDTH)));
    for _ in 0..width {
        let (len, rest) = bytes.split_first_chunk::<2>().ok_or(TileError::Content)?;
        let (record, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len))).ok_or(TileError::Content)?;
        records.push(record);
        bytes = rest;
    }
    if bytes.is_empty() { Ok(records) } else { Err(TileError::Content) }
}

/// Reads hashes of any tree level out of tiles: the missing levels inside a tile are hashed from its row.
#[derive(Debug)]
pub struct TileHashes<F> {
    fetch: F,
}

impl<F> TileHashes<F> {
    /// `fetch(level, index)` gives the hashes a tile holds now, full or partial.
    pub fn new(fetch: F) -> Self {
        Self { fetch }
    }
}

impl<E: From<TileError>, F: Fn(u8, u64) -> Result<Vec<Hash>, E>> HashReader for TileHashes<F> {
    type Error = E;

    fn hash(&self, level: u8, index: u64) -> Result<Hash, E> {
        let (tile_level, inner) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        // First hash of the tile row under this node, counted over the whole row.
        let first = index.checked_shl(u32::from(inner)).ok_or(TileError::Content)?;
        let hashes = (self.fetch)(tile_level, first / u64::from(TILE_WIDTH))?;
        let start = usize::try_from(first % u64::from(TILE_WIDTH)).map_err(|_| TileError::Content)?;
        let span = hashes.get(start..).and_then(|rest| rest.get(..1 << inner)).ok_or(TileError::Content)?;
        let mut row = span.to_vec();
        while row.len() > 1 {
            row = row.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        Ok(*row.first().ok_or(TileError::Content)?)
    }
}

const _: () = assert!(MAX_RECORD_BYTES == u16::MAX as usize);
