//! The first 128 bytes of a segment.

use super::take;
use crate::merkle::{Hash, sha256};
use thiserror::Error;

/// Length of a segment header.
pub const HEADER_BYTES: usize = 128;
const MAGIC: [u8; 8] = *b"MARQUEJ1";
const FORMAT_VERSION: u32 = 1;
/// Bytes the checksum covers; the checksum follows them.
const CHECKED_BYTES: usize = HEADER_BYTES - 4;

/// What a segment says about itself and what lies before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Number of the segment, from 0; also its file name.
    pub number: u32,
    /// `seq` of the first record in it, which is the size of the tree before it.
    pub first_seq: u64,
    /// Instance that writes the journal.
    pub instance: [u8; 16],
    /// Root of the tree of `first_seq` leaves.
    pub root: Hash,
    /// [`super::Scan::tip`] of the segment before; zeroes in segment 0.
    pub previous: Hash,
}

/// Why bytes are not a segment header, or not the one expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderFault {
    /// Too short, other magic, or a bad checksum.
    #[error("the file does not begin with an intact segment header")]
    Damaged,
    /// Written by a later version.
    #[error("segment format version {0} is not known")]
    Version(u32),
    /// Intact, but not the segment that belongs here.
    #[error("the segment does not follow from the one before")]
    Unexpected,
}

impl SegmentHeader {
    /// The header's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.first_seq.to_be_bytes());
        bytes.extend_from_slice(&self.instance);
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.first_seq.to_be_bytes());
        bytes.extend_from_slice(&self.previous);
        bytes.resize(CHECKED_BYTES, 0);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes.try_into().unwrap_or([0; HEADER_BYTES])
    }

    /// Parses the start of a segment file.
    ///
    /// # Errors
    /// [`HeaderFault::Damaged`] or [`HeaderFault::Version`].
    pub fn parse(file: &[u8]) -> Result<Self, HeaderFault> {
        let bytes = file.first_chunk::<HEADER_BYTES>().ok_or(HeaderFault::Damaged)?;
        let (checked, crc) = bytes.split_last_chunk::<4>().ok_or(HeaderFault::Damaged)?;
        if u32::from_be_bytes(*crc) != crc32c::crc32c(checked) {
            return Err(HeaderFault::Damaged);
        }
        Self::fields(checked).ok_or(HeaderFault::Damaged)?
    }

    fn fields(mut rest: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let rest = &mut rest;
        if *take::<8>(rest)? != MAGIC {
            return None;
        }
        let version = u32::from_be_bytes(*take(rest)?);
        if version != FORMAT_VERSION {
            return Some(Err(HeaderFault::Version(version)));
        }
        let number = u32::from_be_bytes(*take(rest)?);
        let first_seq = u64::from_be_bytes(*take(rest)?);
        let (instance, root) = (*take(rest)?, *take(rest)?);
        // The tree size is written beside the root it belongs to; a leaf's index is its record's seq, so the two agree.
        let tree_size = u64::from_be_bytes(*take(rest)?);
        let previous = *take(rest)?;
        if tree_size != first_seq || rest.iter().any(|b| *b != 0) {
            return None;
        }
        Some(Ok(Self { number, first_seq, instance, root, previous }))
    }

    /// SHA-256 of the header, which the first batch names.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&self.to_bytes())
    }
}
