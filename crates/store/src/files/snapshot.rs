//! Snapshots: the state before the first record of a segment, in a file beside the segments, so that a start reads the rest.
//!
//! A file is believed when the signer vouched for it, a record after it announces its digest, and the header of its segment names
//! the same root and the same tip. Anything else about it means only that a start reads more.

use super::checkpoint::CheckpointSigner;
use super::levels::Levels;
use super::space::{DIR, segment_path};
use crate::disk::{Disk, read_file};
use crate::limits::{SNAPSHOT_BYTES_MAX, SNAPSHOTS_KEPT};
use crate::machine::{Announcement, Frozen};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use marque_journal::cbor::{CborError, Reader, Writer};
use marque_journal::limits::MAX_PROOF_HASHES;
use marque_journal::merkle::{Hash, Tree, sha256};
use marque_journal::segment::{HEADER_BYTES, SegmentHeader};

const SUFFIX: &str = ".snap";
/// What these bytes are: another number is another program's.
const VERSION: u64 = 1;
const FIELDS: u64 = 9;

pub(crate) fn snapshot_path(number: u32) -> String {
    format!("{DIR}/{number:08}{SUFFIX}")
}

/// Where a snapshot belongs, and what a start needs beside the state.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub instance: [u8; 16],
    /// The segment whose first record is the first that is not in it.
    pub number: u32,
    /// Time of the newest record in it, or later; never after the one that follows.
    pub time_ms: u64,
    /// Tip of the segment before.
    pub previous: Hash,
    /// The tree over everything before.
    pub tree: Tree,
    /// Hashes of the tiles that are not full in that tree.
    pub levels: Levels,
}

/// A snapshot that is to be written.
pub(crate) struct Job {
    pub place: Place,
    pub frozen: Frozen,
}

/// A snapshot that was read.
pub(crate) struct Found {
    pub place: Place,
    pub state: Vec<u8>,
    pub announcement: Announcement,
}

impl Job {
    /// The file's bytes and what is said of them; `None` when they are more than a start would read, or the signer is away.
    pub(crate) fn encode(self, signer: &mut dyn CheckpointSigner) -> Option<(Vec<u8>, Announcement)> {
        let state = (self.frozen)();
        let mut bytes = encode(&self.place, &state);
        let tag = signer.vouch(&sha256(&bytes)).ok()?;
        bytes.extend_from_slice(&tag);
        let announcement = Announcement { seq: self.place.tree.size(), digest: sha256(&bytes) };
        (bytes.len() as u64 <= SNAPSHOT_BYTES_MAX).then_some((bytes, announcement))
    }
}

fn encode(place: &Place, state: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(state.len() + 4096);
    let mut w = Writer::new(&mut out);
    w.array(FIELDS as usize).uint(VERSION).bytes(&place.instance).uint(place.number.into());
    w.uint(place.tree.size()).uint(place.time_ms).bytes(&place.previous);
    w.bytes(place.tree.peaks().as_flattened());
    let rows: Vec<&[Hash]> = place.levels.held().collect();
    w.array(rows.len());
    for row in rows {
        w.bytes(row.as_flattened());
    }
    w.bytes(state);
    out
}

/// Reads what [`encode`] wrote.
fn decode(bytes: &[u8]) -> Result<(Place, &[u8]), CborError> {
    let mut r = Reader::new(bytes);
    if r.array()? != FIELDS || r.uint()? != VERSION {
        return Err(CborError::Unexpected);
    }
    let (instance, number) = (r.byte_array()?, u32::try_from(r.uint()?).map_err(|_| CborError::Range)?);
    let (size, time_ms, previous) = (r.uint()?, r.uint()?, r.byte_array()?);
    let peaks = hashes(r.bytes()?)?;
    if peaks.len() > MAX_PROOF_HASHES {
        return Err(CborError::Range);
    }
    let tree = Tree::from_peaks(size, peaks).ok_or(CborError::Range)?;
    let mut rows = Vec::new();
    for _ in 0..r.array()? {
        rows.push(hashes(r.bytes()?)?);
    }
    let levels = Levels::of_size(size, rows).ok_or(CborError::Range)?;
    let state = r.bytes()?;
    r.end()?;
    Ok((Place { instance, number, time_ms, previous, tree, levels }, state))
}

fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, CborError> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.to_vec()) } else { Err(CborError::Range) }
}

/// What was read, written again; `None` for what is no snapshot. For the fuzz campaign.
#[must_use]
pub fn snapshot_again(bytes: &[u8]) -> Option<Vec<u8>> {
    decode(bytes).ok().map(|(place, state)| encode(&place, state))
}

/// Reads the snapshot of a segment and holds it against that segment's header. The reason, where it cannot be started from.
pub(crate) fn read(
    disk: &dyn Disk,
    instance: [u8; 16],
    number: u32,
    signer: &mut dyn CheckpointSigner,
) -> Result<Found, String> {
    let path = snapshot_path(number);
    let bytes = match read_file(disk, &path, SNAPSHOT_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err("it is not there".to_owned()),
        Err(error) => return Err(format!("it cannot be read: {error}")),
    };
    let (body, tag) = bytes.split_last_chunk::<32>().ok_or("it is damaged")?;
    // Before anything in it is looked at.
    let own = signer.vouch(&sha256(body)).map_err(|error| error.to_string())?;
    if verify_slices_are_equal(&own, tag).is_err() {
        return Err("the signer did not vouch for it".to_owned());
    }
    let (place, state) = decode(body).map_err(|error| format!("it is of another version: {error}"))?;
    if place.instance != instance {
        return Err("it is of another instance".to_owned());
    }
    if place.number != number {
        return Err("it is of another segment".to_owned());
    }
    let header = header(disk, number)?;
    let fits = header.first_seq == place.tree.size() && header.root == place.tree.root() && header.previous == place.previous;
    if !fits || header.instance != instance {
        return Err("the segment after it does not follow from it".to_owned());
    }
    let announcement = Announcement { seq: place.tree.size(), digest: sha256(&bytes) };
    let state = state.to_vec();
    Ok(Found { place, state, announcement })
}

/// The header of a segment, which says that it is that segment's.
pub(crate) fn header(disk: &dyn Disk, number: u32) -> Result<SegmentHeader, String> {
    let path = segment_path(number);
    let mut bytes = [0; HEADER_BYTES];
    disk.open(&path).and_then(|file| file.read_exact_at(&mut bytes, 0)).map_err(|error| format!("`{path}`: {error}"))?;
    let header = SegmentHeader::parse(&bytes).map_err(|fault| format!("`{path}`: {fault}"))?;
    if header.number == number { Ok(header) } else { Err(format!("`{path}` is another segment")) }
}

/// Numbers of the segments that have a snapshot, the newest first.
pub(crate) fn numbers(names: &[String]) -> Vec<u32> {
    let number = |name: &String| -> Option<u32> {
        let number = name.strip_suffix(SUFFIX)?.parse().ok()?;
        (snapshot_path(number).strip_prefix(DIR)?.strip_prefix('/')? == name).then_some(number)
    };
    let mut numbers: Vec<u32> = names.iter().filter_map(number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers
}

/// Removes what the newest has superseded, and what a crash left unfinished. One that stays does no harm.
pub(crate) fn prune(disk: &dyn Disk, newest: u32) {
    let Ok(names) = disk.list(DIR) else { return };
    let kept: Vec<u32> = numbers(&names).into_iter().filter(|number| *number <= newest).take(SNAPSHOTS_KEPT).collect();
    for number in numbers(&names).into_iter().filter(|number| !kept.contains(number)) {
        let _ = disk.remove(&snapshot_path(number));
    }
    for name in names.iter().filter(|name| name.ends_with(".snap.tmp")) {
        let _ = disk.remove(&format!("{DIR}/{name}"));
    }
}
