//! A disk in memory that loses, tears, reorders and spoils what it was not asked to keep. For simulations: this crate's own
//! and those of whoever builds on it.
//!
//! What a power cut leaves of writes that were not synced: every 512-byte sector of them survives or not, by chance and each
//! for itself. Names change in order, and a prefix of the changes since the last directory sync survives. A sync that fails
//! drops pages and forgets that it did, as Linux does.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What survives or not as one piece.
const SECTOR: usize = 512;

/// Something that goes wrong at one operation that changes the disk, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// This operation fails with an I/O error.
    Eio(u64),
    /// The power is cut in the middle of this operation; it and every later one fail.
    PowerCut(u64),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Vec<u8>,
    kept: Vec<u8>,
    /// Offset and length of writes since the last sync.
    unsynced: Vec<(usize, usize)>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Set(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<String, u64>,
    kept_names: BTreeMap<String, u64>,
    name_changes: Vec<NameChange>,
    locks: BTreeSet<String>,
    next_inode: u64,
    random: u64,
    operations: u64,
    trouble: Option<Trouble>,
    dead: bool,
    capacity: u64,
}

/// A disk in memory.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk. Everything that is left to chance follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed, capacity: u64::MAX / 4, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Plans trouble, counted from the operations so far.
    pub fn plan(&self, trouble: Option<Trouble>) {
        let mut state = self.state();
        let so_far = state.operations;
        state.trouble = trouble.map(|trouble| match trouble {
            Trouble::Eio(at) => Trouble::Eio(so_far.saturating_add(at)),
            Trouble::PowerCut(at) => Trouble::PowerCut(so_far.saturating_add(at)),
        });
    }

    /// How many bytes all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = bytes;
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.state().cut_power();
    }

    /// The disk as it is after the power came back; the old one stays dead.
    #[must_use]
    pub fn reboot(&self) -> Self {
        let mut old = self.state();
        if !old.dead {
            old.cut_power();
        }
        let names = old.kept_names.clone();
        let mut inodes = BTreeMap::new();
        for id in names.values() {
            let kept = old.inodes.get(id).map(|inode| inode.kept.clone()).unwrap_or_default();
            inodes.insert(*id, Inode { now: kept.clone(), kept, unsynced: Vec::new() });
        }
        let random = old.chance();
        let state = State {
            inodes,
            kept_names: names.clone(),
            names,
            next_inode: old.next_inode,
            random,
            capacity: old.capacity,
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Flips one bit of a file; whether there was such a byte.
    pub fn flip_bit(&self, path: &str, offset: usize, bit: u8) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(path).copied() else { return false };
        let Some(inode) = state.inodes.get_mut(&id) else { return false };
        for copy in [&mut inode.now, &mut inode.kept] {
            match copy.get_mut(offset) {
                Some(byte) => *byte ^= 1 << (bit & 7),
                None => return false,
            }
        }
        true
    }

    /// Operations that changed the disk so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// SplitMix64.
    fn chance(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    /// Counts an operation. `Err` for one that fails without effect; a power cut is told apart, because it leaves an effect.
    fn step(&mut self) -> io::Result<bool> {
        self.alive()?;
        let at = self.operations;
        self.operations += 1;
        match self.trouble {
            Some(Trouble::Eio(planned)) if planned == at => Err(io::Error::other("planned input/output error")),
            Some(Trouble::PowerCut(planned)) if planned == at => Ok(true),
            _ => Ok(false),
        }
    }

    fn cut(&mut self) -> io::Error {
        self.cut_power();
        io::Error::other("the power is off")
    }

    fn cut_power(&mut self) {
        if self.dead {
            return;
        }
        self.dead = true;
        let ids: Vec<u64> = self.inodes.keys().copied().collect();
        for id in ids {
            self.spill(id);
        }
        let changes = std::mem::take(&mut self.name_changes);
        let survivors = if changes.is_empty() { 0 } else { self.chance() as usize % (changes.len() + 1) };
        self.keep_names(changes.into_iter().take(survivors));
    }

    /// Keeps some sectors of a file's unsynced writes.
    fn spill(&mut self, id: u64) {
        let Some(mut inode) = self.inodes.remove(&id) else { return };
        // All, none, or each sector for itself: a uniform choice alone would hardly ever lose or keep everything.
        let mode = self.chance() % 4;
        for (offset, len) in std::mem::take(&mut inode.unsynced) {
            let mut at = offset;
            while at < offset + len {
                let end = ((at / SECTOR + 1) * SECTOR).min(offset + len);
                let keep = match mode {
                    0 => false,
                    1 => true,
                    _ => self.chance() & 1 == 1,
                };
                if keep {
                    if inode.kept.len() < end {
                        inode.kept.resize(end, 0);
                    }
                    if let (Some(to), Some(from)) = (inode.kept.get_mut(at..end), inode.now.get(at..end)) {
                        to.copy_from_slice(from);
                    }
                }
                at = end;
            }
        }
        self.inodes.insert(id, inode);
    }

    fn keep_names(&mut self, changes: impl Iterator<Item = NameChange>) {
        for change in changes {
            match change {
                NameChange::Set(name, id) => drop(self.kept_names.insert(name, id)),
                NameChange::Rename(from, to, id) => {
                    self.kept_names.remove(&from);
                    self.kept_names.insert(to, id);
                }
                NameChange::Remove(name) => drop(self.kept_names.remove(&name)),
            }
        }
    }

    fn used(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(|inode| inode.now.len() as u64).sum()
    }

    fn room(&self, more: u64) -> io::Result<()> {
        if self.used().saturating_add(more) > self.capacity { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn find(&self, path: &str) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
