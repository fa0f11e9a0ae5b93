//! The simulated disk as the store sees it.

use super::{Inode, NameChange, SimDisk};
use crate::disk::{Disk, DiskFile};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    fn with<T>(&self, act: impl FnOnce(&mut Inode) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.state();
        state.alive()?;
        act(state.inodes.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?)
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.alive()?;
        Ok(Arc::new(SimFile { disk: self.clone(), id: state.find(path)? }))
    }

    fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let cut = state.step()?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next_inode;
        state.next_inode += 1;
        state.inodes.insert(id, Inode::default());
        state.names.insert(path.to_owned(), id);
        state.name_changes.push(NameChange::Set(path.to_owned(), id));
        if cut { Err(state.cut()) } else { Ok(Arc::new(SimFile { disk: self.clone(), id })) }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        state.alive()?;
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let inside = state.names.keys().filter_map(|name| name.strip_prefix(&prefix));
        Ok(inside.map(|rest| rest.split('/').next().unwrap_or(rest).to_owned()).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        let cut = state.step()?;
        let id = state.find(from)?;
        state.names.remove(from);
        state.names.insert(to.to_owned(), id);
        state.name_changes.push(NameChange::Rename(from.to_owned(), to.to_owned(), id));
        if cut { Err(state.cut()) } else { Ok(()) }
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.state();
        let cut = state.step()?;
        state.find(path)?;
        state.names.remove(path);
        state.name_changes.push(NameChange::Remove(path.to_owned()));
        if cut { Err(state.cut()) } else { Ok(()) }
    }

    fn create_dirs(&self, _path: &str) -> io::Result<()> {
        self.state().alive()
    }

    fn sync_dir(&self, _path: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.step()? {
            return Err(state.cut());
        }
        let changes = std::mem::take(&mut state.name_changes);
        state.keep_names(changes.into_iter());
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        state.alive()?;
        Ok(state.capacity.saturating_sub(state.used()))
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.state();
        state.alive()?;
        if !state.locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }
}

struct SimLock {
    disk: SimDisk,
    path: String,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|inode| Ok(inode.now.len() as u64))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.with(|inode| {
            let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
            let from = inode.now.get(start..).and_then(|rest| rest.get(..buffer.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(from);
            Ok(())
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let cut = state.step()?;
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let end = start.checked_add(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        let len = state.inodes.get(&self.id).map_or(0, |inode| inode.now.len());
        state.room(end.saturating_sub(len) as u64)?;
        let inode = state.inodes.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        if inode.now.len() < end {
            inode.now.resize(end, 0);
        }
        if let Some(to) = inode.now.get_mut(start..end) {
            to.copy_from_slice(bytes);
        }
        inode.unsynced.push((start, bytes.len()));
        if cut { Err(state.cut()) } else { Ok(()) }
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let cut = state.step()?;
        state.room(len)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let inode = state.inodes.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        inode.now = vec![0; len];
        inode.unsynced = vec![(0, len)];
        if cut { Err(state.cut()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.step() {
            Ok(false) => {}
            Ok(true) => return Err(state.cut()),
            Err(error) => {
                state.spill(self.id);
                return Err(error);
            }
        }
        let inode = state.inodes.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        for (offset, len) in std::mem::take(&mut inode.unsynced) {
            let end = offset + len;
            if inode.kept.len() < end {
                inode.kept.resize(end, 0);
            }
            if let (Some(to), Some(from)) = (inode.kept.get_mut(offset..end), inode.now.get(offset..end)) {
                to.copy_from_slice(from);
            }
        }
        Ok(())
    }
}
