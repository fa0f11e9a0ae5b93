//! The journal on files.
//!
//! ```text
//! lock                    held while it is open
//! journal/00000000.seg  segments, preallocated
//! journal/00000001.snap   the state before that segment; derived, believed when a record announces it
//! journal/spare, reserve  space taken before it is needed
//! tile/…                  C2SP tlog-tiles; derived, written again after a crash
//! journal/checkpoint      the last signed checkpoint
//! ```

mod checkpoint;
mod core;
mod earlier;
mod error;
mod handle;
mod intake;
mod integrate;
mod levels;
mod linger;
mod options;
mod proofs;
mod reader;
mod recovery;
mod replay;
mod snapshot;
mod space;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests;

pub use checkpoint::{CheckpointSigner, KeySigner, Remember, SignError, SignedHead};
pub use core::Ack;
pub use error::{AppendError, Fatal, OpenError, ReadError, Remembered};
pub use handle::{Inclusion, Journal};
pub use options::{OnFatal, Options};
pub use reader::Records;
pub use recovery::Recovery;
pub use snapshot::snapshot_again;

use self::core::{Core, Segment};
use crate::disk::{Disk, RealDisk, read_file};
use crate::limits::SMALL_FILE_BYTES;
use crate::machine::Machine;
use crate::mark::Mark;
use earlier::Earlier;
use intake::Shared;
use integrate::{CHECKPOINT, Integrator, SYNCED};
use marque_journal::checkpoint::Checkpoint;
use levels::Levels;
use marque_journal::merkle::{Tree, leaf_hash};
use marque_journal::note::Note;
use marque_journal::segment::{BatchWriter, HEADER_BYTES, SegmentHeader};
use marque_switch::guard_off;
use reader::Reader;
use recovery::{Expected, Replay, Replayed};
use space::{DIR, Space, segment_path};
use std::path::Path;
use std::sync::Arc;

/// What a journal is opened with.
pub struct Opening<M: Machine> {
    /// Figures.
    pub options: Options,
    /// Milliseconds since 1970. It may jump: a record is never older than the one before it.
    pub clock: Box<dyn Fn() -> u64 + Send>,
    /// Instance the journal belongs to.
    pub instance: [u8; 16],
    /// What somebody outside the data directory remembers of it.
    pub acknowledged: Option<Mark>,
    /// Who signs checkpoints.
    pub signer: Box<dyn CheckpointSigner>,
    /// The state before the first record.
    pub machine: M,
}

/// Opens journals on files.
pub struct FileJournal;

impl FileJournal {
    /// Opens the journal in a directory, which is created when missing, and starts its threads.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<M: Machine>(dir: &Path, opening: Opening<M>) -> Result<(Journal<M>, Recovery), OpenError> {
        let disk = RealDisk::open(dir).map_err(|source| OpenError::Io { path: dir.display().to_string(), source })?;
        Self::open_on(Arc::new(disk), opening)
    }

    /// [`FileJournal::open`] on any disk.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on<M: Machine>(disk: Arc<dyn Disk>, opening: Opening<M>) -> Result<(Journal<M>, Recovery), OpenError> {
        let parts = assemble(disk, opening)?;
        let journal = handle::start(parts.core, parts.integrator, parts.earlier, parts.lock)?;
        Ok((journal, parts.recovery))
    }
}

/// An open journal without its threads.
pub(crate) struct Parts<M: Machine> {
    pub core: Core<M>,
    pub integrator: Integrator,
    pub earlier: Option<Earlier>,
    pub recovery: Recovery,
    pub lock: Box<dyn Send + Sync>,
}

pub(crate) fn assemble<M: Machine>(disk: Arc<dyn Disk>, opening: Opening<M>) -> Result<Parts<M>, OpenError> {
    let Opening { options, clock, instance, acknowledged, mut signer, mut machine } = opening;
    options.check()?;
    if acknowledged.as_ref().is_some_and(|mark| mark.instance != instance) {
        return Err(OpenError::OtherInstance);
    }
    let lock = disk.lock("lock").map_err(|source| match source.kind() {
        std::io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => OpenError::Io { path: "lock".to_owned(), source },
    })?;
    for dir in [DIR, "tile"] {
        disk.create_dirs(dir).map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
    }
    disk.sync_dir("").map_err(|source| OpenError::Io { path: ".".to_owned(), source })?;
    let last_signed = signer.last()?;
    let mut expected = expectations(disk.as_ref(), last_signed.as_ref(), acknowledged.as_ref(), signer.origin())?;
    let mut acknowledged = acknowledged;
    if guard_off("I10") {
        // Second build only: nobody remembers anything.
        (expected, acknowledged) = (Vec::new(), None);
    }
    let synced = synced_size(disk.as_ref())?;
    let reader = Reader::new(disk.clone(), options.index_step_bytes);
    let replay = Replay {
        disk: disk.as_ref(),
        instance,
        mark: acknowledged.as_ref(),
        expected,
        machine: &mut machine,
        signer: signer.as_mut(),
        reader: &reader,
        synced,
    };
    let Replayed { report, tree, levels, partial, last, tip, earlier } = replay.run()?;
    let space = Arc::new(Space::open(disk.clone(), &options)?);
    let (segment, tip) = match last {
        Some((file, number, at, size)) => (Segment { file, number, at, size }, tip),
        None => first_segment(&space, instance)?,
    };
    let shared = Arc::new(Shared::new(disk, reader, tree.clone(), partial));
    // More tiles than records cannot come from us: write them all again.
    let (synced, levels) = if synced <= tree.size() { (synced, levels) } else { (0, every_level(&shared.reader)?) };
    let mut integrator = Integrator::new(shared.clone(), signer, synced, last_signed, options.tile_sync_events);
    integrator.levels = levels;
    integrator.step(shared.take()).map_err(|fatal| OpenError::Io { path: fatal.path, source: fatal.source })?;
    machine.durable(tree.size());
    let writer = BatchWriter::new(tree.size(), tip);
    let time_ms = report.time_ms;
    let answers = Vec::new();
    let core = Core { machine, clock, options, shared, space, instance, segment, writer, tip, time_ms, answers };
    Ok(Parts { core, integrator, earlier, recovery: report, lock })
}

/// The hashes of all tiles, from the records.
fn every_level(reader: &Reader) -> Result<Levels, OpenError> {
    let (mut tree, mut levels) = (Tree::new(), Levels::default());
    for record in Records::new(reader, 0) {
        let fault = |error| OpenError::Io { path: DIR.to_owned(), source: std::io::Error::other(error) };
        let (_, record) = record.map_err(fault)?;
        intake::push_leaf(&mut tree, leaf_hash(&record), |row| levels.push(row)).map_err(|_| OpenError::Option("records"))?;
    }
    Ok(levels)
}

fn first_segment(space: &Space, instance: [u8; 16]) -> Result<(Segment, [u8; 32]), OpenError> {
    let root = Tree::new().root();
    let header = SegmentHeader { number: 0, first_seq: 0, instance, root, previous: [0; 32] };
    let path = segment_path(0);
    let fault = |fatal: Fatal| OpenError::Io { path: fatal.path, source: fatal.source };
    let file = space.adopt(&header, false).map_err(fault)?.ok_or(OpenError::NoSpace { path: path.clone() })?;
    let size = file.len().map_err(|source| OpenError::Io { path, source })?;
    Ok((Segment { file, number: 0, at: HEADER_BYTES as u64, size }, header.hash()))
}

/// The checkpoints that the journal has to agree with.
fn expectations(
    disk: &dyn Disk,
    signed: Option<&Checkpoint>,
    mark: Option<&Mark>,
    origin: &str,
) -> Result<Vec<Expected>, OpenError> {
    let mut all = Vec::new();
    let mut add = |source_of, checkpoint: &Checkpoint| {
        if checkpoint.origin != origin {
            return Err(OpenError::Checkpoint(source_of));
        }
        all.push(Expected { source_of, size: checkpoint.size, root: checkpoint.root });
        Ok(())
    };
    let parse = |source_of, bytes: &[u8]| {
        let note = Note::parse(bytes).map_err(|_| OpenError::Checkpoint(source_of))?;
        Checkpoint::parse(note.text()).map_err(|_| OpenError::Checkpoint(source_of))
    };
    let stored = read_file(disk, CHECKPOINT, SMALL_FILE_BYTES)
        .map_err(|source| OpenError::Io { path: CHECKPOINT.to_owned(), source })?;
    if let Some(bytes) = stored {
        add(Remembered::Stored, &parse(Remembered::Stored, &bytes)?)?;
    }
    if let Some(note) = mark.and_then(|mark| mark.checkpoint.as_ref()) {
        add(Remembered::Mark, &parse(Remembered::Mark, note.as_bytes())?)?;
    }
    if let Some(checkpoint) = signed {
        add(Remembered::Signer, checkpoint)?;
    }
    Ok(all)
}

/// For how many records the tiles are durable. A damaged note means none: they are derived.
fn synced_size(disk: &dyn Disk) -> Result<u64, OpenError> {
    let bytes =
        read_file(disk, SYNCED, SMALL_FILE_BYTES).map_err(|source| OpenError::Io { path: SYNCED.to_owned(), source })?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}
