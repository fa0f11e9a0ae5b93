//! What the committer, the integrator and readers share.

use super::Fatal;
use super::checkpoint::{SignError, SignedHead};
use super::levels::{Levels, Snapshot};
use super::linger::Linger;
use super::reader::Reader;
use super::snapshot::Job;
use crate::disk::Disk;
use crate::machine::Announcement;
use marque_journal::merkle::{Hash, Tree};
use marque_journal::tile::TILE_HEIGHT;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};

/// A hash that belongs into a tile: tile level, index in that row, hash.
pub(crate) type RowHash = (u8, u64, Hash);
pub(crate) type CheckpointReply = oneshot::Sender<Result<Arc<SignedHead>, SignError>>;

/// The tree over durable records, and what the integrator has not taken yet.
#[derive(Default)]
pub(crate) struct Intake {
    pub tree: Tree,
    /// Hashes of that tree's tiles that are not full.
    pub partial: Levels,
    /// A snapshot that is to be written; a newer one takes its place.
    pub snapshot: Option<Job>,
    /// What the committer is to announce.
    pub announcement: Option<Announcement>,
    rows: Vec<RowHash>,
    /// Size of the tree when the integrator last took.
    taken: u64,
    /// When the oldest record not taken came, or when something that failed is to be tried again.
    since: Option<Instant>,
    /// Who wants a checkpoint over so many records.
    demands: Vec<(u64, CheckpointReply)>,
    closing: bool,
    /// The disk is full: the integrator waits, the committer must not wait for it.
    pub stalled: bool,
    /// The integrator is gone.
    pub gone: bool,
}

/// What the integrator takes.
pub(crate) struct Taken {
    pub tree: Tree,
    pub rows: Vec<RowHash>,
    pub demands: Vec<(u64, CheckpointReply)>,
    pub snapshot: Option<Job>,
    pub closing: bool,
}

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub events: u64,
    pub age: Duration,
    pub gap: Duration,
}

pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub reader: Reader,
    pub durable: watch::Sender<u64>,
    pub head: watch::Sender<Option<Arc<SignedHead>>>,
    pub snapshot: RwLock<Arc<Snapshot>>,
    pub linger: Linger,
    intake: Mutex<Intake>,
    changed: Condvar,
}

/// Adds a leaf to a tree and gives what belongs into tiles to `row`.
pub(crate) fn push_leaf(tree: &mut Tree, leaf: Hash, mut row: impl FnMut(RowHash)) -> Result<(), Fatal> {
    let into_tiles = |level: u8, index: u64, hash: &Hash| {
        if level.is_multiple_of(TILE_HEIGHT) {
            row((level / TILE_HEIGHT, index, *hash));
        }
    };
    tree.push(leaf, into_tiles).map_err(|_| Fatal::bug("the tree is full"))
}

impl Shared {
    pub(crate) fn new(disk: Arc<dyn Disk>, reader: Reader, tree: Tree, partial: Levels) -> Self {
        let size = tree.size();
        Self {
            disk,
            reader,
            durable: watch::Sender::new(size),
            head: watch::Sender::new(None),
            snapshot: RwLock::default(),
            linger: Linger::default(),
            intake: Mutex::new(Intake { taken: size, tree, partial, ..Intake::default() }),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds durable leaves to the tree, and waits while the integrator is too far behind.
    pub(crate) fn integrate(&self, leaves: &[Hash], lag_events: u64, notice_events: u64) -> Result<(), Fatal> {
        let mut guard = self.intake();
        let intake = &mut *guard;
        let before = intake.tree.size().saturating_sub(intake.taken);
        for leaf in leaves {
            push_leaf(&mut intake.tree, *leaf, |row| {
                intake.partial.roll(row);
                intake.rows.push(row);
            })?;
        }
        let after = intake.tree.size().saturating_sub(intake.taken);
        if after > 0 && intake.since.is_none() {
            intake.since = Some(Instant::now());
        }
        // Only what changes the integrator's mind is worth a wake-up.
        if before == 0 || (before < notice_events && after >= notice_events) || !intake.demands.is_empty() {
            self.changed.notify_all();
        }
        while guard.tree.size().saturating_sub(guard.taken) > lag_events && !guard.stalled && !guard.gone {
            self.changed.notify_all();
            guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Asks for a checkpoint over everything that is durable now.
    pub(crate) fn demand(&self, reply: CheckpointReply) {
        let size = *self.durable.borrow();
        let mut intake = self.intake();
        if !intake.gone {
            intake.demands.push((size, reply));
            self.changed.notify_all();
        }
    }

    pub(crate) fn close_intake(&self) {
        self.intake().closing = true;
        self.changed.notify_all();
    }

    pub(crate) fn integrator_gone(&self) {
        let mut intake = self.intake();
        intake.gone = true;
        intake.demands.clear();
        self.changed.notify_all();
    }

    /// Whether the last attempt met a full disk; if so, it is tried again after `pace.age`.
    pub(crate) fn set_stalled(&self, stalled: bool, retry: bool) {
        let mut intake = self.intake();
        intake.stalled = stalled;
        if retry && intake.since.is_none() {
            intake.since = Some(Instant::now());
        }
        self.changed.notify_all();
    }

    /// Takes what is there, now.
    pub(crate) fn take(&self) -> Taken {
        let mut intake = self.intake();
        let taken = intake.take();
        self.changed.notify_all();
        taken
    }

    /// Waits until a checkpoint is due, and takes.
    pub(crate) fn take_when_due(&self, pace: Pace, last: Instant) -> Taken {
        let mut intake = self.intake();
        loop {
            let now = Instant::now();
            let Some(wait) = intake.due_in(pace, last, now) else {
                intake = self.changed.wait(intake).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            if wait.is_zero() {
                let taken = intake.take();
                self.changed.notify_all();
                return taken;
            }
            intake = self.changed.wait_timeout(intake, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Intake {
    /// How long until something is due; `None` when nothing is there to do.
    fn due_in(&self, pace: Pace, last: Instant, now: Instant) -> Option<Duration> {
        // A demand may be ahead of the leaves of its own batch, which come a moment later.
        if self.closing || self.demands.iter().any(|(size, _)| *size <= self.tree.size()) {
            return Some(Duration::ZERO);
        }
        let by_age = (self.since? + pace.age).saturating_duration_since(now);
        if self.tree.size().saturating_sub(self.taken) < pace.events || self.stalled {
            return Some(by_age);
        }
        Some(by_age.min((last + pace.gap).saturating_duration_since(now)))
    }

    pub(crate) const fn is_closing(&self) -> bool {
        self.closing
    }

    fn take(&mut self) -> Taken {
        self.taken = self.tree.size();
        self.since = None;
        let size = self.tree.size();
        let (ready, later) = std::mem::take(&mut self.demands).into_iter().partition(|(wanted, _)| *wanted <= size);
        self.demands = later;
        Taken {
            tree: self.tree.clone(),
            rows: std::mem::take(&mut self.rows),
            demands: ready,
            snapshot: self.snapshot.take(),
            closing: self.closing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn the_committer_waits_for_the_integrator_beyond_the_lag_and_not_before() {
        let disk = Arc::new(SimDisk::new(1));
        let shared = Shared::new(disk.clone(), Reader::new(disk, 512), Tree::new(), Levels::default());
        // Nobody takes: up to the limit it returns all the same.
        shared.integrate(&[[1; 32]; 8], 8, 4).unwrap();
        std::thread::scope(|scope| {
            let ninth = scope.spawn(|| shared.integrate(&[[2; 32]], 8, 4).unwrap());
            while shared.intake().tree.size() < 9 {
                std::thread::yield_now();
            }
            // The leaf is in, and its lock free: the thread waits, and can only end when something is taken.
            assert!(!ninth.is_finished());
            assert_eq!(shared.take().tree.size(), 9);
            ninth.join().unwrap();
        });
        // On a full disk there is nobody to wait for.
        shared.set_stalled(true, false);
        shared.integrate(&[[3; 32]; 20], 8, 4).unwrap();
    }
}
