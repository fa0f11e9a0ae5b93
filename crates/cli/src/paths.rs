//! Where things are.

use crate::args::Global;
use crate::out::Failure;
use marque_api::{Code, Problem};
use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

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
            (None, Some(dir)) => beside(dir)?,
            (None, None) => home("XDG_STATE_HOME", ".local/state")?,
        };
        Ok(Self { signer: data.join("signer"), socket: data.join("authority.sock"), data, state })
    }

    /// Makes them, readable by this user alone. Nothing is made in a directory that is not.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        use std::os::unix::fs::DirBuilderExt;
        for dir in [&self.data, &self.signer, &self.state] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| {
                Failure::new(format!("`{}` cannot be made: {e}", dir.display()), "give another `--data-dir`")
            })?;
            closed(dir)?;
        }
        Ok(())
    }

    /// Refuses directories that are another user's or that others may enter: what is in them may be theirs by now, so that nothing
    /// is tightened unasked. Returns the data directory, opened: what is opened in it is opened in the very one that was looked at.
    pub(crate) fn closed(&self) -> Result<File, Failure> {
        closed(&self.signer)?;
        closed(&self.state)?;
        closed(&self.data)
    }

    /// The same for those of them that are there.
    pub(crate) fn closed_where_there(&self) -> Result<(), Failure> {
        [&self.data, &self.signer, &self.state].into_iter().try_for_each(|dir| closed_if_there(dir))
    }

    /// The same for the data directory alone. Whoever owns it decides who listens in it.
    pub(crate) fn data_closed_if_there(&self) -> Result<(), Failure> {
        closed_if_there(&self.data)
    }

    /// Takes the data directory for this process, for as long as the file is held. The socket's name says who can be reached;
    /// it can be renamed, and this cannot.
    pub(crate) fn claim(&self) -> Result<File, Failure> {
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

/// Opens a directory, if it is this user's (or root's) and nobody else's.
pub(crate) fn closed(dir: &Path) -> Result<File, Failure> {
    let name = dir.display();
    let failed = |e: std::io::Error| Failure::new(format!("`{name}`: {e}"), "give another `--data-dir` or `--state-dir`");
    let file = OpenOptions::new().read(true).custom_flags(directory_flag()).open(dir);
    let file = match file {
        Ok(file) => file,
        // A directory of another user's that is closed to this one.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let owner = std::fs::metadata(dir).map_err(|_| failed(error))?.uid();
            return Err(exposed(format!("`{name}` is closed to this user (owner uid {owner})"), "give another `--data-dir` or `--state-dir`".into()));
        }
        Err(error) => return Err(failed(error)),
    };
    let about = file.metadata().map_err(failed)?;
    let mode = about.mode() & 0o777;
    if about.uid() != own_uid() && about.uid() != 0 {
        let detail = format!("`{name}` belongs to another user (uid {})", about.uid());
        return Err(exposed(detail, "give another `--data-dir` or `--state-dir`: whatever is said there is said to its owner".into()));
    }
    if mode & 0o077 != 0 {
        let detail = format!("`{name}` is open to other users (mode {mode:03o})");
        return Err(exposed(detail, format!("chmod 700 {name}, and look at what is in it")));
    }
    Ok(file)
}

fn closed_if_there(dir: &Path) -> Result<(), Failure> {
    match dir.symlink_metadata() {
        Ok(_) => closed(dir).map(drop),
        // Nothing is there, or nothing that this user could reach.
        Err(_) => Ok(()),
    }
}

/// The user that this process acts as.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

fn directory_flag() -> i32 {
    i32::try_from(rustix::fs::OFlags::DIRECTORY.bits()).unwrap_or(0)
}

fn exposed(detail: String, help: String) -> Failure {
    Failure::Problem(Problem::new(Code::EXPOSED, detail, help))
}

/// The state directory of a data directory: beside what the path leads to, by its whole name, so that two data directories never
/// share one and that it never lies inside.
fn beside(data: &Path) -> Result<PathBuf, Failure> {
    let resolved = resolved(data)?;
    let (Some(parent), Some(name)) = (resolved.parent(), resolved.file_name()) else {
        return Err(Failure::usage(format!("`{}` has no place beside it", data.display()), "give `--state-dir` too"));
    };
    let mut name: OsString = name.to_owned();
    name.push(".state");
    Ok(parent.join(name))
}

/// The path without links and dots. What is not there yet is made as it is written, so that it reads the same afterwards.
fn resolved(path: &Path) -> Result<PathBuf, Failure> {
    let failed = |e: std::io::Error| Failure::usage(format!("`{}`: {e}", path.display()), "give another `--data-dir`");
    let mut there = std::path::absolute(path).map_err(failed)?;
    let mut missing = Vec::new();
    loop {
        match there.canonicalize() {
            Ok(mut out) => {
                out.extend(missing.iter().rev());
                return Ok(out);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some(name) = there.file_name() else { return Err(failed(error)) };
                missing.push(name.to_owned());
                there.pop();
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::beside;

    #[test]
    fn every_data_directory_has_a_state_directory_of_its_own_outside_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        assert_eq!(beside(&root.join("team.alpha")).ok(), Some(root.join("team.alpha.state")));
        assert_eq!(beside(&root.join("team.beta")).ok(), Some(root.join("team.beta.state")));
        assert_eq!(beside(&root.join("new/deep/data")).ok(), Some(root.join("new/deep/data.state")));
        let real = root.join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, root.join("link")).unwrap();
        for path in [real.clone(), root.join("link"), real.join("."), root.join("real/../real/"), real.join("../link/.")] {
            assert_eq!(beside(&path).ok(), Some(root.join("real.state")), "{}", path.display());
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let of_here = beside(std::path::Path::new(".")).ok().unwrap();
        assert_eq!(of_here.parent(), here.parent());
        assert!(beside(std::path::Path::new("/")).is_err());
        assert!(beside(&root.join("missing/..")).is_err());
    }
}
