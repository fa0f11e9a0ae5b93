//! Reads a segment and says where it ends and why.

use super::{BATCH_HEADER_BYTES, BATCH_MAGIC, FrameKind, HEADER_BYTES, HeaderFault, Opening, OpeningFault, SegmentHeader};
use super::{frame_crc, take};
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_FRAMES};
use crate::merkle::{Hash, sha256};
use crate::record::{Malformed, decode};
use thiserror::Error;

/// What the caller already knows of the segment; what is `None` is not compared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expect {
    /// Number, from the file's name.
    pub number: Option<u32>,
    /// `seq` that follows the segment before.
    pub first_seq: Option<u64>,
    /// Instance.
    pub instance: Option<[u8; 16]>,
    /// Root over everything before.
    pub root: Option<Hash>,
    /// Tip of the segment before.
    pub previous: Option<Hash>,
}

/// A good batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Where it starts in the file.
    pub offset: usize,
    /// `seq` of its first record, or of the next one when it has only openings.
    pub first_seq: u64,
    /// Records in it.
    pub records: u32,
    /// Its frames, all checked.
    pub frames: &'a [u8],
}

/// A frame of a good batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A record's bytes.
    Record(&'a [u8]),
    /// An opening.
    Opening(Opening<'a>),
}

/// What is wrong with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// No intact batch header where one should be.
    #[error("no intact batch header")]
    Header,
    /// The batch does not name the one before it.
    #[error("the batch does not name the one before it")]
    Chain,
    /// The batch does not begin at the next `seq`.
    #[error("the batch begins at the wrong seq")]
    Seq,
    /// Counts or lengths in the header are outside their limits, or do not fit the frames.
    #[error("the batch header does not fit its frames")]
    Count,
    /// A frame is cut or its checksum is wrong.
    #[error("a frame is cut or its checksum is wrong")]
    Frame,
    /// A frame of a kind this version does not have.
    #[error("frame kind {0} is not known")]
    Kind(u8),
    /// An intact frame whose record is not canonical or not the next one.
    #[error("an intact frame holds a bad record: {0}")]
    Record(Malformed),
    /// An intact frame whose record is not the next one.
    #[error("an intact frame holds a record that is not the next one")]
    RecordSeq,
    /// An intact frame whose opening is not canonical.
    #[error("an intact frame holds a bad opening: {0}")]
    Opening(OpeningFault),
}

impl Fault {
    /// An interrupted write leaves a missing header or a cut frame. Intact bytes that say the wrong thing are never a tear.
    fn may_be_torn(self) -> bool {
        matches!(self, Self::Header | Self::Frame)
    }
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Zeroes, or nothing.
    Clean,
    /// A bad last batch with nothing good after it: an interrupted write, or an altered last batch. [`super::recover`] tells.
    Torn {
        /// Where it starts.
        offset: usize,
        /// Just after its last byte that is not zero.
        end: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Damage that no interrupted write leaves.
    Corrupt {
        /// Where it starts.
        offset: usize,
        /// What is wrong there.
        fault: Fault,
    },
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan<'a> {
    /// Its header.
    pub header: SegmentHeader,
    /// Its good batches, in order.
    pub batches: Vec<Batch<'a>>,
    /// Where the next batch goes.
    pub end: usize,
    /// `seq` of the next record.
    pub next_seq: u64,
    /// Hash the next batch, or the next segment's header, names.
    pub tip: Hash,
    /// What follows.
    pub tail: Tail,
}

impl<'a> Scan<'a> {
    /// Every frame, in order.
    pub fn frames(&self) -> impl Iterator<Item = Frame<'a>> + '_ {
        self.batches.iter().flat_map(|batch| Frames { rest: batch.frames })
    }

    /// Every record's bytes, in order.
    pub fn records(&self) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.frames().filter_map(|frame| match frame {
            Frame::Record(record) => Some(record),
            Frame::Opening(_) => None,
        })
    }

    /// Bytes of record `seq`, when it is in this segment.
    #[must_use]
    pub fn record(&self, seq: u64) -> Option<&'a [u8]> {
        let batch = self.batches.iter().rfind(|batch| batch.first_seq <= seq)?;
        let index = usize::try_from(seq.checked_sub(batch.first_seq)?).ok()?;
        let mut records = Frames { rest: batch.frames }.filter_map(|frame| match frame {
            Frame::Record(record) => Some(record),
            Frame::Opening(_) => None,
        });
        records.nth(index)
    }
}

/// Scans a whole segment file.
///
/// # Errors
/// When its header is damaged or not the one expected; nothing after it is then read.
pub fn scan<'a>(file: &'a [u8], expect: &Expect) -> Result<Scan<'a>, HeaderFault> {
    let header = SegmentHeader::parse(file)?;
    let fits = expect.number.is_none_or(|v| v == header.number)
        && expect.first_seq.is_none_or(|v| v == header.first_seq)
        && expect.instance.is_none_or(|v| v == header.instance)
        && expect.root.is_none_or(|v| v == header.root)
        && expect.previous.is_none_or(|v| v == header.previous);
    if !fits {
        return Err(HeaderFault::Unexpected);
    }
    let mut scan = Scan {
        header,
        batches: Vec::new(),
        end: HEADER_BYTES,
        next_seq: header.first_seq,
        tip: header.hash(),
        tail: Tail::Clean,
    };
    // Just after the last byte that was ever written.
    let written = file.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    while scan.end < written {
        let rest = file.get(scan.end..).unwrap_or_default();
        match read_batch(rest, &scan) {
            Ok((batch, next_seq, tip)) => {
                scan.end += BATCH_HEADER_BYTES + batch.frames.len();
                scan.next_seq = next_seq;
                scan.tip = tip;
                scan.batches.push(batch);
            }
            Err((fault, extent)) => {
                scan.tail = classify(file, scan.end, written, fault, extent, scan.next_seq);
                break;
            }
        }
    }
    Ok(scan)
}

/// The fields of an intact batch header.
struct BatchHeader {
    frames: u32,
    first_seq: u64,
    payload: usize,
    previous: Hash,
}

fn read_header(bytes: &[u8]) -> Option<BatchHeader> {
    let bytes = bytes.first_chunk::<BATCH_HEADER_BYTES>()?;
    let (mut rest, crc) = bytes.split_last_chunk::<4>()?;
    // The magic is compared first: the search for later batches calls this at every offset.
    if !rest.starts_with(&BATCH_MAGIC) || crc32c::crc32c(rest) != u32::from_be_bytes(*crc) {
        return None;
    }
    let rest = &mut rest;
    take::<4>(rest)?;
    Some(BatchHeader {
        frames: u32::from_be_bytes(*take(rest)?),
        first_seq: u64::from_be_bytes(*take(rest)?),
        payload: usize::try_from(u32::from_be_bytes(*take(rest)?)).ok()?,
        previous: *take(rest)?,
    })
}

/// A batch, the next seq and the next tip; or what is wrong, and how far the batch reaches when its header says so.
type BatchResult<'a> = Result<(Batch<'a>, u64, Hash), (Fault, Option<usize>)>;

fn read_batch<'a>(bytes: &'a [u8], so_far: &Scan<'_>) -> BatchResult<'a> {
    let header = read_header(bytes).ok_or((Fault::Header, None))?;
    let extent = Some(BATCH_HEADER_BYTES + header.payload);
    if header.previous != so_far.tip {
        return Err((Fault::Chain, extent));
    }
    if header.first_seq != so_far.next_seq {
        return Err((Fault::Seq, extent));
    }
    if header.payload > MAX_BATCH_BYTES || header.frames == 0 || header.frames > MAX_BATCH_FRAMES {
        return Err((Fault::Count, extent));
    }
    let body = bytes.get(BATCH_HEADER_BYTES..).unwrap_or_default();
    let frames = body.get(..header.payload).ok_or((Fault::Frame, extent))?;
    let mut rest = frames;
    let mut next_seq = header.first_seq;
    for _ in 0..header.frames {
        // An intact header over frames that end early does not come from an interrupted write.
        if rest.is_empty() {
            return Err((Fault::Count, extent));
        }
        next_seq = check_frame(&mut rest, next_seq).map_err(|fault| (fault, extent))?;
    }
    if !rest.is_empty() {
        return Err((Fault::Count, extent));
    }
    let records = u32::try_from(next_seq.saturating_sub(header.first_seq)).unwrap_or(header.frames);
    let tip = sha256(bytes.get(..BATCH_HEADER_BYTES).unwrap_or_default());
    Ok((Batch { offset: so_far.end, first_seq: header.first_seq, records, frames }, next_seq, tip))
}

/// Checks one frame and gives the next seq.
fn check_frame(rest: &mut &[u8], next_seq: u64) -> Result<u64, Fault> {
    let (kind, payload) = read_frame(rest).ok_or(Fault::Frame)?;
    if kind == FrameKind::Record as u8 {
        let record = decode(payload).map_err(Fault::Record)?;
        if record.seq() != next_seq {
            return Err(Fault::RecordSeq);
        }
        next_seq.checked_add(1).ok_or(Fault::RecordSeq)
    } else if kind == FrameKind::Opening as u8 {
        Opening::decode(payload).map_err(Fault::Opening)?;
        Ok(next_seq)
    } else {
        Err(Fault::Kind(kind))
    }
}

fn read_frame<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let len = u32::from_be_bytes(*take(rest)?);
    let [kind] = *take::<1>(rest)?;
    let crc = u32::from_be_bytes(*take(rest)?);
    let (payload, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    if frame_crc(len, kind, payload) != crc {
        return None;
    }
    *rest = after;
    Some((kind, payload))
}

/// Tells an interrupted last write from damage. The next batch is written only after the one before is durable, so a batch header
/// that follows a bad batch means that the bad one was once good.
fn classify(file: &[u8], offset: usize, written: usize, fault: Fault, extent: Option<usize>, next_seq: u64) -> Tail {
    let corrupt = Tail::Corrupt { offset, fault };
    if !fault.may_be_torn() {
        return corrupt;
    }
    let longest = extent.unwrap_or(BATCH_HEADER_BYTES + MAX_BATCH_BYTES);
    if written - offset > longest {
        return corrupt;
    }
    // With an intact header its batch's end is known and nothing lies beyond; else look for a later header anywhere.
    if extent.is_none() {
        let later = file.get(offset + 1..written).unwrap_or_default();
        let good = |at: &[u8]| read_header(at).is_some_and(|header| header.first_seq >= next_seq);
        if later.windows(BATCH_HEADER_BYTES).any(good) {
            return corrupt;
        }
    }
    Tail::Torn { offset, end: written, fault }
}

/// The frames of a good batch.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        let (kind, payload) = read_frame(&mut self.rest)?;
        if kind == FrameKind::Record as u8 {
            Some(Frame::Record(payload))
        } else {
            Opening::decode(payload).ok().map(Frame::Opening)
        }
    }
}
