//! The few things the store asks of a file system, so that a test can take the file system's place.

mod real;
pub mod sim;

pub use real::RealDisk;

use marque_switch::fail_point_of;
use std::io;
use std::sync::Arc;

/// A directory. Paths are relative to it, with `/` between elements.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Creates an empty file that must not exist, readable by its owner only.
    ///
    /// # Errors
    /// The system's.
    fn create_new(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Names in a directory, in no order.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Renames a file over another or to a new name.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Creates a directory and those above it, for the owner only.
    ///
    /// # Errors
    /// The system's.
    fn create_dirs(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
    /// Bytes an ordinary user may still allocate.
    ///
    /// # Errors
    /// The system's.
    fn free_bytes(&self) -> io::Result<u64>;
    /// Takes the exclusive lock on a file, created when missing; it is held until the value is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another holds it, else the system's.
    fn lock(&self, path: &str) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "whether a file is empty is never asked")]
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn len(&self) -> io::Result<u64>;
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before, else the system's.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// The system's.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Sets the file to `len` zeroes whose blocks are allocated.
    ///
    /// # Errors
    /// The system's.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the contents durable (`fdatasync`).
    ///
    /// # Errors
    /// The system's. The caller never tries again: a second attempt may report success for pages that were dropped.
    fn sync(&self) -> io::Result<()>;
}

/// Whether an error says that there is no space, which is the one write error that is a state and not a fault.
#[must_use]
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Reads a whole file of at most `max` bytes; `None` when there is none.
///
/// # Errors
/// `FileTooLarge` when it is longer, else the system's.
pub fn read_file(disk: &dyn Disk, path: &str, max: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match disk.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let len = file.len()?;
    if len > max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = vec![0; usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}

/// Replaces a file in one step and makes it durable: temporary file, sync, rename, sync of the directory.
///
/// # Errors
/// The system's; the old file is then still there, or the new one, never a mixture.
pub fn replace_file(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{path}.tmp");
    let file = write_new(disk, &temporary, bytes)?;
    fail_point_of(path, "written");
    file.sync()?;
    fail_point_of(path, "synced");
    disk.rename(&temporary, path)?;
    fail_point_of(path, "renamed");
    disk.sync_dir(parent(path))?;
    fail_point_of(path, "durable");
    Ok(())
}

/// Writes a file at a name that a crash may have left behind, without making it durable.
pub(crate) fn write_new(disk: &dyn Disk, path: &str, bytes: &[u8]) -> io::Result<Arc<dyn DiskFile>> {
    let file = match disk.create_new(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            disk.remove(path)?;
            disk.create_new(path)?
        }
        other => other?,
    };
    match file.write_all_at(bytes, 0) {
        Ok(()) => Ok(file),
        Err(error) => {
            // What is half written must not keep the space that ran out.
            let _ = disk.remove(path);
            Err(error)
        }
    }
}

/// The directory a path is in; empty for the root.
pub(crate) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}
