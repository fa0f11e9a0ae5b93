//! The home, the workspace, and what is hidden or protected in them.

use super::at;
use super::layout::Layout;
use super::lists::{CREDENTIALS_IN_HOME, TOOLS_IN_HOME};
use super::ops::Access;
use super::placeholders::Placeholders;
use crate::error::{SpawnError, Step};
use crate::limits::{HIDES, HOME_BYTES};
use crate::plan::{Files, Protected};
use crate::workspace::walk::{Kind, walk};
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// A private home, with the tools of the user's.
pub(super) fn home(layout: &mut Layout, files: &Files) -> Result<(), SpawnError> {
    let real = layout.reach(&files.home).map_err(at(&files.home))?;
    if real.parent().is_none() {
        return Err(SpawnError::at(Step::Plan, Errno::INVAL, real));
    }
    layout.tmpfs(&real, HOME_BYTES, 0o700);
    for name in TOOLS_IN_HOME {
        let path = real.join(name);
        if path.exists() {
            layout.show(&path, Access::Read)?;
        }
    }
    Ok(())
}

/// The workspace, with its protected paths; returns those that could not be protected.
pub(super) fn add(layout: &mut Layout, files: &Files, placeholders: &mut Placeholders) -> Result<Vec<PathBuf>, SpawnError> {
    let at_ = &files.workspace.at;
    let real = layout.reach(at_).map_err(at(at_))?;
    let from = std::fs::canonicalize(&files.workspace.from).map_err(at(&files.workspace.from))?;
    const NEVER: [&str; 7] = ["/", "/usr", "/etc", "/dev", "/proc", "/run", "/var"];
    if NEVER.iter().any(|path| real == Path::new(path)) || !from.is_dir() {
        return Err(SpawnError::at(Step::Plan, Errno::INVAL, real));
    }
    layout.show_at(&real, &from, Access::Write, true);
    let mut unprotected = Vec::new();
    for protected in &files.protected {
        if !protect(layout, &real, &from, protected, placeholders)? {
            unprotected.push(protected.path.clone());
        }
    }
    exclude(layout, &real, &from, placeholders)?;
    Ok(unprotected)
}

/// The agent's git does not see what was made to mount on, and so does not commit it.
fn exclude(layout: &mut Layout, real: &Path, from: &Path, placeholders: &Placeholders) -> Result<(), SpawnError> {
    const EXCLUDE: &str = ".git/info/exclude";
    let made: Vec<_> = placeholders.within(from).filter(|path| !path.starts_with(".git")).collect();
    let host = from.join(EXCLUDE);
    if made.is_empty() || !host.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        return Ok(());
    }
    let mut bytes = std::fs::read(&host).map_err(at(&host))?;
    for path in made {
        bytes.extend_from_slice(b"\n/");
        bytes.extend_from_slice(path.as_os_str().as_encoded_bytes());
    }
    bytes.push(b'\n');
    layout.lay_at(&real.join(EXCLUDE), bytes);
    Ok(())
}

/// Makes a path read-only, and every directory on the way to it a mount, so that none can be renamed away. Whether it was done:
/// a link on the way belongs to the agent, who could lead it elsewhere.
fn protect(layout: &mut Layout, real: &Path, from: &Path, protected: &Protected, placeholders: &mut Placeholders) -> Result<bool, SpawnError> {
    let mut below = PathBuf::new();
    let parts: Vec<_> = protected.path.components().collect();
    for (index, part) in parts.iter().enumerate() {
        if !matches!(part, std::path::Component::Normal(_)) {
            return Err(SpawnError::at(Step::Plan, Errno::INVAL, &protected.path));
        }
        below.push(part);
        let host = from.join(&below);
        let last = index + 1 == parts.len();
        let directory = match host.symlink_metadata() {
            Ok(meta) if meta.file_type().is_symlink() => return Ok(false),
            Ok(meta) if !last && !meta.is_dir() => return Ok(false),
            Ok(meta) => {
                placeholders.share(&host);
                meta.is_dir()
            }
            // Not a repository: there is nothing to protect, and an empty one would be in the way.
            Err(_) if !protected.make || (index == 0 && below == Path::new(".git")) => return Ok(true),
            Err(_) => {
                let directory = !last || protected.directory;
                placeholders.make(&host, directory).map_err(at(&host))?;
                directory
            }
        };
        let access = if last { Access::Read } else { Access::Write };
        layout.show_at(&real.join(&below), &host, access, directory);
    }
    Ok(true)
}

/// Hides credentials and the host's sockets in whatever is shown of home and workspace, and what the caller names.
pub(super) fn hide(layout: &mut Layout, files: &Files) -> Result<(), SpawnError> {
    let credentials = CREDENTIALS_IN_HOME.iter().map(|name| files.home.join(name));
    for path in credentials.chain(files.hidden.iter().cloned()) {
        if let Ok(real) = layout.reach(&path) {
            let directory = real.is_dir();
            layout.cover(&real, directory);
        }
    }
    let mut hidden = 0;
    let workspace = [(files.workspace.at.as_path(), files.workspace.from.as_path())];
    let state = files.writable.iter().chain(&files.shown).map(|path| (path.as_path(), path.as_path()));
    for (place, from) in workspace.into_iter().chain(state) {
        if !from.is_dir() {
            continue;
        }
        let Ok(real) = std::fs::canonicalize(place) else { continue };
        walk(from, |found| {
            if found.kind == Kind::Socket {
                layout.cover(&real.join(&found.path), false);
                hidden += 1;
            }
            Ok(true)
        })
        .map_err(at(from))?;
    }
    if hidden > HIDES {
        return Err(SpawnError::at(Step::Plan, Errno::TOOBIG, &files.workspace.at));
    }
    Ok(())
}
