//! The integrator: tiles, entry bundles and checkpoints over what is durable.

use super::checkpoint::{CheckpointSigner, SignError, SignedHead};
use super::intake::{Pace, Shared, Taken};
use super::levels::{Levels, Snapshot};
use super::proofs::Hashes;
use super::reader::Records;
use super::snapshot::{Job, prune, snapshot_path};
use super::{Fatal, ReadError};
use crate::disk::{is_no_space, parent, replace_file, write_new};
use crate::limits::{TILE_CLOSE_SYNC, TILE_LOAD_EVENTS, TILE_SYNC_PATIENCE};
use crate::machine::Announcement;
use marque_journal::checkpoint::Checkpoint;
use marque_journal::merkle::{Tree, consistency_proof, empty_root};
use marque_journal::tile::{Row, TILE_WIDTH, Tile, new_tiles, push_entry};
use marque_switch::fail_point;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Says for how many records all tiles are durable.
pub(crate) const SYNCED: &str = "tile/synced";
pub(crate) const CHECKPOINT: &str = "journal/checkpoint";
/// Where a tile is written before it gets its name.
const TILE_TEMPORARY: &str = "tile/tmp";

/// What came of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    Done,
    /// The disk is full, or the signer away: what is derived can wait.
    Stalled,
}

pub(crate) struct Integrator {
    shared: Arc<Shared>,
    signer: Box<dyn CheckpointSigner>,
    pub levels: Levels,
    /// Tiles of a tree of this size are written.
    written: u64,
    /// … and durable.
    synced: u64,
    /// Size of the tree that readers see. At start it is 0, although tiles are written.
    published: u64,
    sync_events: u64,
    /// Tiles written since.
    unsynced: Vec<Tile>,
    /// Partial tiles of the checkpoint before the last, and of the last.
    partials: [Vec<Tile>; 2],
    last: Checkpoint,
    /// Hands an announcement to the committer, without waiting: the committer may wait for the integrator.
    pub announce: Box<dyn FnMut(Announcement) + Send>,
}

enum StepError {
    NoSpace,
    Fatal(Fatal),
}

impl From<Fatal> for StepError {
    fn from(fatal: Fatal) -> Self {
        if is_no_space(&fatal.source) { Self::NoSpace } else { Self::Fatal(fatal) }
    }
}

impl Integrator {
    /// Goes on from `synced` records whose tiles are durable, and the last checkpoint the signer signed.
    pub(crate) fn new(
        shared: Arc<Shared>,
        signer: Box<dyn CheckpointSigner>,
        synced: u64,
        last: Option<Checkpoint>,
        sync_events: u64,
    ) -> Self {
        let nothing = Checkpoint { origin: signer.origin().to_owned(), size: 0, root: empty_root(), extensions: Vec::new() };
        Self {
            shared,
            signer,
            levels: Levels::from_size(synced),
            written: synced,
            synced,
            published: 0,
            sync_events,
            unsynced: Vec::new(),
            partials: [Vec::new(), Vec::new()],
            last: last.unwrap_or(nothing),
            announce: Box::new(|_| ()),
        }
    }

    /// The body of the thread.
    pub(crate) fn run(&mut self, pace: Pace) -> Result<(), Fatal> {
        let mut last = Instant::now();
        loop {
            let taken = self.shared.take_when_due(pace, last);
            let closing = taken.closing;
            self.step(taken)?;
            last = Instant::now();
            if closing && self.unsynced.len() > TILE_CLOSE_SYNC {
                return Ok(());
            }
            if closing {
                return self.sync_tiles().or_else(forgive_full_disk);
            }
        }
    }

    /// Writes tiles and a checkpoint for what was taken, and answers those who asked for it.
    pub(crate) fn step(&mut self, taken: Taken) -> Result<Progress, Fatal> {
        for row in taken.rows {
            self.levels.push(row);
        }
        let result = self.advance(&taken.tree);
        let (outcome, progress) = match result {
            Ok(()) => (self.sign(&taken.tree), Progress::Done),
            Err(StepError::NoSpace) => (Err(SignOrFatal::Sign(no_space())), Progress::Stalled),
            Err(StepError::Fatal(fatal)) => return Err(fatal),
        };
        let outcome = match outcome {
            Ok(head) => Ok(head),
            Err(SignOrFatal::Sign(SignError::Refused(refusal))) => {
                return Err(Fatal {
                    what: "the signer refuses",
                    path: CHECKPOINT.to_owned(),
                    source: io::Error::other(refusal),
                });
            }
            Err(SignOrFatal::Sign(error)) => Err(error),
            Err(SignOrFatal::Fatal(fatal)) => return Err(fatal),
        };
        let waiting = progress == Progress::Stalled || outcome.is_err();
        self.shared.set_stalled(waiting, waiting && taken.tree.size() > self.last.size);
        for (_, reply) in taken.demands {
            let answer = match &outcome {
                Ok(Some(head)) => Ok(head.clone()),
                // An empty journal has nothing to sign.
                Ok(None) => Err(SignError::Unavailable("the journal is empty".to_owned())),
                Err(error) => Err(error.clone()),
            };
            let _ = reply.send(answer);
        }
        // On a full disk there is no snapshot this time; nor at the end, when nobody is left to announce it.
        let closing = taken.closing;
        if let Some(job) = taken.snapshot.filter(|_| progress == Progress::Done && !closing) {
            self.write_snapshot(job).or_else(forgive_full_disk)?;
        }
        Ok(if waiting { Progress::Stalled } else { Progress::Done })
    }

    /// Makes a snapshot durable, behind the tiles that a start from it builds on.
    fn write_snapshot(&mut self, job: Job) -> Result<(), Fatal> {
        if self.synced < job.place.tree.size() {
            self.sync_tiles()?;
        }
        let number = job.place.number;
        let Some((bytes, announcement)) = job.encode(self.signer.as_mut()) else { return Ok(()) };
        let (disk, path) = (self.shared.disk.as_ref(), snapshot_path(number));
        replace_file(disk, &path, &bytes).map_err(Fatal::io("cannot write", path.as_str()))?;
        prune(disk, number);
        fail_point("snapshot.pruned");
        (self.announce)(announcement);
        Ok(())
    }

    /// Brings the tiles to the tree's size.
    fn advance(&mut self, tree: &Tree) -> Result<(), StepError> {
        let busy = tree.size().saturating_sub(self.written) >= TILE_LOAD_EVENTS;
        let mut partial = Vec::new();
        for tile in new_tiles(self.written, tree.size()) {
            let bytes = self.tile_bytes(tile)?;
            self.write_tile(tile, &bytes)?;
            self.unsynced.push(tile);
            if tile.width < TILE_WIDTH {
                partial.push(tile);
            }
        }
        if tree.size() > self.published {
            self.written = tree.size();
            self.published = tree.size();
            self.levels.forget_full();
            let snapshot = Snapshot { size: tree.size(), levels: self.levels.clone() };
            *self.shared.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
            self.drop_partials(partial);
        }
        let patience = if busy { TILE_SYNC_PATIENCE } else { 1 };
        if self.written.saturating_sub(self.synced) >= self.sync_events.saturating_mul(patience) {
            self.sync_tiles()?;
        }
        Ok(())
    }

    fn tile_bytes(&self, tile: Tile) -> Result<Vec<u8>, Fatal> {
        match tile.row {
            Row::Hashes(level) => {
                let hashes = self.levels.tile(level, tile.index, usize::from(tile.width));
                Ok(hashes.ok_or_else(|| Fatal::bug("a tile is written from hashes that are there"))?.concat())
            }
            Row::Entries => {
                let start = tile.index * u64::from(TILE_WIDTH);
                let mut bundle = Vec::new();
                for record in Records::new(&self.shared.reader, start).take(usize::from(tile.width)) {
                    let (_, record) = record.map_err(unreadable)?;
                    push_entry(&record, &mut bundle).map_err(|_| Fatal::bug("a record fits a bundle"))?;
                }
                Ok(bundle)
            }
        }
    }

    fn write_tile(&self, tile: Tile, bytes: &[u8]) -> Result<(), Fatal> {
        let (disk, path) = (self.shared.disk.as_ref(), tile.path());
        let write = || -> io::Result<()> {
            disk.create_dirs(parent(&path))?;
            write_new(disk, TILE_TEMPORARY, bytes)?;
            fail_point("tile.written");
            disk.rename(TILE_TEMPORARY, &path)?;
            fail_point("tile.renamed");
            Ok(())
        };
        write().map_err(Fatal::io("cannot write a tile", &path))
    }

    /// Removes partial tiles that two checkpoints have superseded.
    fn drop_partials(&mut self, newest: Vec<Tile>) {
        let [oldest, before] = std::mem::take(&mut self.partials);
        for tile in oldest.iter().filter(|tile| !newest.contains(tile)) {
            // They are a convenience for readers: one that stays does no harm.
            let _ = self.shared.disk.remove(&tile.path());
        }
        self.partials = [before, newest];
    }

    /// Makes every tile durable, then says so: a restart writes only later ones again.
    fn sync_tiles(&mut self) -> Result<(), Fatal> {
        if self.synced == self.written {
            return Ok(());
        }
        let disk = self.shared.disk.as_ref();
        let mut dirs = BTreeSet::new();
        for tile in &self.unsynced {
            let path = tile.path();
            match disk.open(&path).and_then(|file| file.sync()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Fatal::io("cannot sync", path)(error)),
                _ => {}
            }
            let mut dir = parent(&path);
            while !dir.is_empty() && dirs.insert(dir.to_owned()) {
                dir = parent(dir);
            }
        }
        fail_point("tiles.files-durable");
        for dir in &dirs {
            disk.sync_dir(dir).map_err(Fatal::io("cannot sync", dir))?;
        }
        fail_point("tiles.durable");
        replace_file(disk, SYNCED, self.written.to_string().as_bytes()).map_err(Fatal::io("cannot write", SYNCED))?;
        self.unsynced.clear();
        self.synced = self.written;
        Ok(())
    }

    /// A checkpoint over the tree, signed, durable and published; the last one when nothing is new, `None` when nothing was ever.
    fn sign(&mut self, tree: &Tree) -> Result<Option<Arc<SignedHead>>, SignOrFatal> {
        let published = self.shared.head.borrow().clone();
        if tree.size() == 0 || published.as_ref().is_some_and(|head| head.checkpoint.size == tree.size()) {
            return Ok(published);
        }
        let next =
            Checkpoint { origin: self.last.origin.clone(), size: tree.size(), root: tree.root(), extensions: Vec::new() };
        let snapshot = self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone();
        let hashes = Hashes::new(self.shared.disk.as_ref(), &snapshot);
        let proof = consistency_proof(self.last.size, next.size, &hashes.reader())
            .map_err(|_| SignOrFatal::Fatal(Fatal::bug("a consistency proof cannot be made from the tiles")))?;
        let note = self.signer.sign(&next, &proof).map_err(SignOrFatal::Sign)?;
        fail_point("checkpoint.signed");
        let written = replace_file(self.shared.disk.as_ref(), CHECKPOINT, note.to_string().as_bytes());
        match written {
            Err(error) if is_no_space(&error) => return Err(SignOrFatal::Sign(no_space())),
            other => other.map_err(|e| SignOrFatal::Fatal(Fatal::io("cannot write", CHECKPOINT)(e)))?,
        }
        let head = Arc::new(SignedHead { checkpoint: next.clone(), note });
        self.last = next;
        self.shared.head.send_replace(Some(head.clone()));
        Ok(Some(head))
    }
}

enum SignOrFatal {
    Sign(SignError),
    Fatal(Fatal),
}

fn no_space() -> SignError {
    SignError::Unavailable("there is no space to write it".to_owned())
}

fn forgive_full_disk(fatal: Fatal) -> Result<(), Fatal> {
    if is_no_space(&fatal.source) { Ok(()) } else { Err(fatal) }
}

fn unreadable(error: ReadError) -> Fatal {
    let source = match error {
        ReadError::Io { path, source } => return Fatal { what: "cannot read", path, source },
        other => io::Error::other(other),
    };
    Fatal { what: "cannot read a durable record for its bundle", path: super::space::DIR.to_owned(), source }
}
