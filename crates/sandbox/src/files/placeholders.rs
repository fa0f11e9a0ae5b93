//! Empty files and directories that were made so that something can be mounted on them. They go when the sandbox does.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What was made, in this order.
#[derive(Debug, Default)]
pub(crate) struct Placeholders {
    made: Vec<(PathBuf, bool)>,
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
        Ok(())
    }

    /// What was made below a directory, relative to it.
    pub(super) fn within<'a>(&'a self, root: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.made.iter().filter_map(move |(path, _)| path.strip_prefix(root).ok())
    }
}

impl Drop for Placeholders {
    fn drop(&mut self) {
        for (path, directory) in self.made.drain(..).rev() {
            // What is no longer empty is somebody's, and stays.
            let _ = match directory {
                true => std::fs::remove_dir(&path),
                false if path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 0) => std::fs::remove_file(&path),
                false => Ok(()),
            };
        }
    }
}
