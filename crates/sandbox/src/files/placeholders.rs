//! Empty files and directories that were made so that something can be mounted on them. They go when the sandbox does.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What was made, in this order.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    made: Vec<(PathBuf, bool)>,
    /// Of this session's and of others', with a shared lock: whoever makes them last removes them.
    held: Vec<File>,
}

impl Placeholders {
    /// Makes one where nothing is.
    pub(super) fn make(&mut self, path: &Path, directory: bool) -> std::io::Result<()> {
        if directory {
            DirBuilder::new().mode(0o755).create(path)?;
        } else {
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        }
        self.made.push((path.to_owned(), directory));
        self.hold(path);
        Ok(())
    }

    /// Takes a part in one that another sandbox of the same workspace made: it stays as long as one of them lives.
    pub(super) fn share(&mut self, path: &Path) {
        let meta = path.symlink_metadata();
        let empty = match &meta {
            Ok(meta) if meta.is_dir() => std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
            Ok(meta) => meta.is_file() && meta.len() == 0,
            Err(_) => false,
        };
        // An empty one that nobody holds is the user's own.
        if empty && File::open(path).is_ok_and(|file| file.try_lock().is_err()) {
            self.made.push((path.to_owned(), meta.is_ok_and(|meta| meta.is_dir())));
            self.hold(path);
        }
    }

    fn hold(&mut self, path: &Path) {
        // What cannot be held is removed at the end by whoever made it.
        self.held.extend(File::open(path).ok().filter(|file| file.try_lock_shared().is_ok()));
    }

    /// What was made below a directory, relative to it.
    pub(super) fn within<'a>(&'a self, root: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.made.iter().filter_map(move |(path, _)| path.strip_prefix(root).ok())
    }
}

impl Drop for Placeholders {
    fn drop(&mut self) {
        self.held.clear();
        for (path, directory) in self.made.drain(..).rev() {
            // Another sandbox has it mounted, and would lose its protection.
            if File::open(&path).is_ok_and(|file| file.try_lock().is_err()) {
                continue;
            }
            // What is no longer empty is somebody's, and stays.
            let _ = match directory {
                true => std::fs::remove_dir(&path),
                false if path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0) => std::fs::remove_file(&path),
                false => Ok(()),
            };
        }
    }
}
