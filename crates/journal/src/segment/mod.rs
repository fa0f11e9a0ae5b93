//! Segment files: a header, then batches of checksummed frames, then preallocated zeroes.
//!
//! All integers are big-endian. The header names the segment before, the first batch names the header, and each further batch
//! header names the batch header before it, so that batches cannot be exchanged unnoticed. A batch is what one fsync made
//! durable. Frame payloads are bound by the Merkle tree (records) or by their AEAD (openings), not by the chain of headers: an
//! opening can be overwritten in place when its subject is erased.

mod batch;
mod header;
mod opening;
mod recover;
mod scan;

pub use batch::{BatchFull, BatchWriter, PushError};
pub use header::{HEADER_BYTES, HeaderFault, SegmentHeader};
pub use opening::{Opening, OpeningFault};
pub use recover::{Dropped, Mark, Plan, RefuseToStart, recover};
pub use scan::{Batch, Expect, Fault, Frame, Frames, Scan, Tail, scan};

/// Length of a batch header.
pub const BATCH_HEADER_BYTES: usize = 56;
/// Length of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 9;
/// First four bytes of a batch.
pub(crate) const BATCH_MAGIC: [u8; 4] = *b"MQB1";

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A record: a leaf of the tree.
    Record = 0,
    /// An opening: the encrypted text behind a commitment, not in the tree, erasable.
    Opening = 1,
}

/// CRC-32C over a frame: length and kind as they stand in its header, then the payload.
pub(crate) fn frame_crc(len: u32, kind: u8, payload: &[u8]) -> u32 {
    let [a, b, c, d] = len.to_be_bytes();
    crc32c::crc32c_append(crc32c::crc32c(&[a, b, c, d, kind]), payload)
}

/// Takes `N` bytes off the front.
pub(crate) fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(taken)
}
