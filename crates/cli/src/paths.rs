//! Where things are.

use crate::args::Global;
use crate::out::Failure;
use std::path::PathBuf;

/// Directories of one authority.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// Journal, tiles, sealed secrets.
    pub(crate) data: PathBuf,
    /// The signer's own.
    pub(crate) signer: PathBuf,
    /// Marks, outside the data directory.
    pub(crate) state: PathBuf,
    /// The API's socket.
    pub(crate) socket: PathBuf,
}

fn home(variable: &str, below: &str) -> Result<PathBuf, Failure> {
    if let Some(dir) = std::env::var_os(variable).filter(|d| !d.is_empty()) {
        return Ok(PathBuf::from(dir).join("marque"));
    }
    match std::env::var_os("HOME").filter(|h| !h.is_empty()) {
        Some(home) => Ok(PathBuf::from(home).join(below).join("marque")),
        None => Err(Failure::usage("there is no home directory", "give `--data-dir` and `--state-dir`")),
    }
}

impl Paths {
    /// From flags, variables and the home directory.
    pub(crate) fn of(global: &Global) -> Result<Self, Failure> {
        let data = match &global.data_dir {
            Some(dir) => dir.clone(),
            None => home("XDG_DATA_HOME", ".local/share")?,
        };
        let state = match (&global.state_dir, &global.data_dir) {
            (Some(dir), _) => dir.clone(),
            // A throw-away data directory gets a throw-away state directory beside it.
            (None, Some(dir)) => dir.with_extension("state"),
            (None, None) => home("XDG_STATE_HOME", ".local/state")?,
        };
        Ok(Self { signer: data.join("signer"), socket: data.join("authority.sock"), data, state })
    }

    /// Makes them, readable by this user alone.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        use std::os::unix::fs::DirBuilderExt;
        for dir in [&self.data, &self.signer, &self.state] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| {
                Failure::new(format!("`{}` cannot be made: {e}", dir.display()), "give another `--data-dir`")
            })?;
        }
        Ok(())
    }
}
