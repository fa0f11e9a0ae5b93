//! Space that is taken before it is needed: the next segment, and the reserve for what must be recorded on a full disk.

use super::{Fatal, OpenError, Options};
use crate::disk::{Disk, DiskFile, is_no_space};
use marque_journal::segment::{HEADER_BYTES, SegmentHeader};
use marque_switch::{fail_point, fail_point_of};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

pub(crate) const DIR: &str = "journal";
const SPARE: &str = "journal/spare";
const RESERVE: &str = "journal/reserve";
/// A file that is still being allocated; worth nothing after a crash.
const UNFINISHED: &str = ".alloc";

pub(crate) fn segment_path(number: u32) -> String {
    format!("{DIR}/{number:08}.seg")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Absent,
    Preparing,
    Ready,
    /// There was no space; tried again when there is.
    NoSpace,
}

struct State {
    spare: Slot,
    reserve: Slot,
    closing: bool,
}

/// What there is room for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Everything.
    pub ordinary: bool,
    /// The reserve is whole: what may use it has not begun to.
    pub reserve: bool,
}

/// The preallocated files.
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    reserve_bytes: u64,
    floor_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Space {
    /// Takes over what is there, and allocates the reserve: a process must not start without it unless the disk is full.
    pub(crate) fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<Self, OpenError> {
        let at = |path: &str| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        for name in disk.list(DIR).map_err(at(DIR))? {
            if name.ends_with(UNFINISHED) {
                let path = format!("{DIR}/{name}");
                disk.remove(&path).map_err(at(&path))?;
            }
        }
        let spare = take_over(disk.as_ref(), SPARE, options.segment_bytes).map_err(at(SPARE))?;
        let reserve = take_over(disk.as_ref(), RESERVE, options.reserve_bytes).map_err(at(RESERVE))?;
        let space = Self {
            disk,
            segment_bytes: options.segment_bytes,
            reserve_bytes: options.reserve_bytes,
            floor_bytes: options.floor_bytes,
            state: Mutex::new(State { spare, reserve, closing: false }),
            changed: Condvar::new(),
        };
        space.fill_reserve().map_err(|fatal| OpenError::Io { path: fatal.path, source: fatal.source })?;
        Ok(space)
    }

    /// What there is room for. Asks for more space when there is some again.
    pub(crate) fn room(&self) -> Result<Room, Fatal> {
        let free = self.disk.free_bytes().map_err(Fatal::io("cannot ask for free space", DIR))?;
        let mut state = self.state();
        if free >= self.floor_bytes.saturating_add(self.segment_bytes).saturating_add(self.reserve_bytes) {
            let retry = |slot: &mut Slot| {
                let retry = *slot == Slot::NoSpace;
                if retry {
                    *slot = Slot::Absent;
                }
                retry
            };
            if retry(&mut state.reserve) | retry(&mut state.spare) {
                self.changed.notify_all();
            }
        }
        let reserve = state.reserve == Slot::Ready;
        Ok(Room { ordinary: reserve && free >= self.floor_bytes, reserve })
    }

    /// Turns the spare into the segment of this header, or for essential drafts the reserve; `None` when there is neither.
    pub(crate) fn adopt(&self, header: &SegmentHeader, essential: bool) -> Result<Option<Arc<dyn DiskFile>>, Fatal> {
        self.fill_spare()?;
        let mut state = self.state();
        // The name stays taken until the file has its new one: the thread that prepares must not put another in its place.
        let (source, slot, then): (_, fn(&mut State) -> &mut Slot, _) = if state.spare == Slot::Ready {
            (SPARE, |state| &mut state.spare, Slot::Absent)
        } else if essential && state.reserve == Slot::Ready {
            (RESERVE, |state| &mut state.reserve, Slot::NoSpace)
        } else {
            return Ok(None);
        };
        *slot(&mut state) = Slot::Preparing;
        drop(state);
        let path = segment_path(header.number);
        let become_segment = || {
            let file = self.disk.open(source)?;
            file.write_all_at(&header.to_bytes(), 0)?;
            fail_point("segment.header-written");
            file.sync()?;
            fail_point("segment.header-durable");
            self.disk.rename(source, &path)?;
            fail_point("segment.renamed");
            self.disk.sync_dir(DIR)?;
            fail_point("segment.durable");
            Ok(file)
        };
        let file = become_segment().map_err(Fatal::io("cannot begin a segment", &path));
        *slot(&mut self.state()) = then;
        self.changed.notify_all();
        file.map(Some)
    }

    /// The body of the thread that prepares files ahead of need.
    pub(crate) fn run(&self) -> Result<(), Fatal> {
        loop {
            self.fill_reserve()?;
            self.fill_spare()?;
            let mut state = self.state();
            while !state.closing && state.spare != Slot::Absent && state.reserve != Slot::Absent {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.closing {
                return Ok(());
            }
        }
    }

    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    fn fill_reserve(&self) -> Result<(), Fatal> {
        self.fill(RESERVE, self.reserve_bytes, |state| &mut state.reserve)
    }

    fn fill_spare(&self) -> Result<(), Fatal> {
        self.fill(SPARE, self.segment_bytes, |state| &mut state.spare)
    }

    /// Allocates a file if it is absent, or waits while another thread does.
    fn fill(&self, path: &str, bytes: u64, slot: fn(&mut State) -> &mut Slot) -> Result<(), Fatal> {
        let mut state = self.state();
        while *slot(&mut state) == Slot::Preparing {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if *slot(&mut state) != Slot::Absent {
            return Ok(());
        }
        *slot(&mut state) = Slot::Preparing;
        drop(state);
        let result = allocate(self.disk.as_ref(), path, bytes);
        *slot(&mut self.state()) = match &result {
            Ok(()) => Slot::Ready,
            Err(_) => Slot::NoSpace,
        };
        self.changed.notify_all();
        match result {
            Err(error) if !is_no_space(&error) => Err(Fatal::io("cannot preallocate", path)(error)),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn allocate(disk: &dyn Disk, path: &str, bytes: u64) -> io::Result<()> {
    let unfinished = format!("{path}{UNFINISHED}");
    let file = crate::disk::write_new(disk, &unfinished, &[])?;
    if let Err(error) = file.allocate(bytes) {
        disk.remove(&unfinished)?;
        return Err(error);
    }
    fail_point_of(path, "allocated");
    file.sync()?;
    fail_point_of(path, "synced");
    disk.rename(&unfinished, path)?;
    fail_point_of(path, "renamed");
    disk.sync_dir(DIR)?;
    fail_point_of(path, "durable");
    Ok(())
}

/// A file of the right length that a process before us prepared. Nothing but a header is ever written to it under this name.
fn take_over(disk: &dyn Disk, path: &str, bytes: u64) -> io::Result<Slot> {
    let file = match disk.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Slot::Absent),
        other => other?,
    };
    if file.len()? != bytes {
        disk.remove(path)?;
        return Ok(Slot::Absent);
    }
    file.write_all_at(&[0; HEADER_BYTES], 0)?;
    file.sync()?;
    Ok(Slot::Ready)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;
    use std::sync::{OnceLock, Weak};

    /// Looks at the slot at the moment the spare gets its new name.
    struct Watched {
        disk: SimDisk,
        space: OnceLock<Weak<Space>>,
        seen: Mutex<Vec<Slot>>,
    }

    impl Disk for Watched {
        fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.disk.open(path)
        }
        fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
            self.disk.create_new(path)
        }
        fn list(&self, path: &str) -> io::Result<Vec<String>> {
            self.disk.list(path)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            if from == SPARE {
                let space = self.space.get().unwrap().upgrade().unwrap();
                self.seen.lock().unwrap().push(space.state().spare);
            }
            self.disk.rename(from, to)
        }
        fn remove(&self, path: &str) -> io::Result<()> {
            self.disk.remove(path)
        }
        fn create_dirs(&self, path: &str) -> io::Result<()> {
            self.disk.create_dirs(path)
        }
        fn sync_dir(&self, path: &str) -> io::Result<()> {
            self.disk.sync_dir(path)
        }
        fn free_bytes(&self) -> io::Result<u64> {
            self.disk.free_bytes()
        }
        fn lock(&self, path: &str) -> io::Result<Box<dyn Send + Sync>> {
            self.disk.lock(path)
        }
    }

    #[test]
    fn nobody_prepares_a_spare_while_the_last_one_becomes_a_segment() {
        let disk = Arc::new(Watched { disk: SimDisk::new(1), space: OnceLock::new(), seen: Mutex::default() });
        let options = Options { segment_bytes: 100_000, reserve_bytes: 100_000, ..Options::default() };
        let space = Arc::new(Space::open(disk.clone(), &options).unwrap());
        assert!(disk.space.set(Arc::downgrade(&space)).is_ok());
        for number in 0..3 {
            let header = SegmentHeader { number, first_seq: 0, instance: [0; 16], root: [0; 32], previous: [0; 32] };
            assert!(space.adopt(&header, false).unwrap().is_some());
        }
        assert_eq!(*disk.seen.lock().unwrap(), [Slot::Preparing; 3]);
        assert_eq!(space.state().spare, Slot::Absent);
    }
}
