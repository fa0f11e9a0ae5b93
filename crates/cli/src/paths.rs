//! Where things are.

use crate::args::Global;
use crate::out::Failure;
use marque_api::{Code, Problem};
use std::fs::{File, OpenOptions, TryLockError};
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

    /// Refuses directories that others may enter: what is in them may be theirs by now, so that nothing is tightened unasked.
    pub(crate) fn closed(&self) -> Result<(), Failure> {
        use std::os::unix::fs::PermissionsExt;
        for dir in [&self.data, &self.signer] {
            let name = dir.display();
            let about = std::fs::metadata(dir).map_err(|e| Failure::new(format!("`{name}`: {e}"), "give another `--data-dir`"))?;
            let mode = about.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                let detail = format!("`{name}` is open to other users (mode {mode:03o})");
                return Err(Failure::Problem(Problem::new(Code::EXPOSED, detail, format!("chmod 700 {name}, and look at what is in it"))));
            }
        }
        Ok(())
    }

    /// Takes the data directory for this process, for as long as the file is held. The socket's name says who can be reached;
    /// it can be renamed, and this cannot.
    pub(crate) fn claim(&self) -> Result<File, Failure> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = self.data.join("serve.lock");
        let failed = |e: std::io::Error| Failure::new(format!("`{}`: {e}", path.display()), "give another `--data-dir`");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::Error(e)) => Err(failed(e)),
            Err(TryLockError::WouldBlock) => {
                let detail = format!("another authority has the data directory `{}`", self.data.display());
                Err(Failure::Problem(Problem::new(Code::TAKEN, detail, format!("use it, or stop it: `fuser {}` names its process", path.display()))))
            }
        }
    }
}
