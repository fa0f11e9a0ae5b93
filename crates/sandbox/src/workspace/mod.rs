//! What an agent left behind: a copy of the workspace with the list of its changes, and files that run on the host.
//!
//! Reading never leaves the directory: every path is opened beneath it, and no link is followed.

mod copy;
mod digest;
mod hosts;
pub(crate) mod walk;

pub use copy::{Copied, copy};
pub use digest::Digest;
pub use hosts::{HostFiles, runs_on_host};
pub use walk::Kind;

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was not there before.
    Added,
    /// Its bytes, kind, permission to execute or link target changed.
    Changed,
    /// It is gone.
    Removed,
}

/// One change of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// What happened.
    pub fate: Fate,
    /// Before, where it was there.
    pub before: Option<State>,
    /// After, where it is there.
    pub after: Option<State>,
    /// Why the file may run on the host, where it is known to.
    pub runs: Option<&'static str>,
}

/// A path at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// File, directory, link.
    pub kind: Kind,
    /// Whether its owner may execute it.
    pub executable: bool,
    /// Bytes.
    pub len: u64,
    /// Of a file's bytes, or of a link's target.
    pub digest: Digest,
}

/// The changes, and how much of the workspace they speak for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// By path.
    pub list: Vec<Change>,
    /// Directories that were not looked into, and files that could not be read.
    pub left_out: Vec<PathBuf>,
}

fn compare(before: &BTreeMap<PathBuf, State>, after: &BTreeMap<PathBuf, State>) -> Vec<Change> {
    let change = |path: &PathBuf, fate, before: Option<&State>, after: Option<&State>| Change {
        path: path.clone(),
        fate,
        before: before.copied(),
        after: after.copied(),
        runs: runs_on_host(path),
    };
    let mut out = Vec::new();
    for (path, old) in before {
        match after.get(path) {
            None => out.push(change(path, Fate::Removed, Some(old), None)),
            Some(new) if new != old => out.push(change(path, Fate::Changed, Some(old), Some(new))),
            Some(_) => {}
        }
    }
    let added = after.iter().filter(|(path, _)| !before.contains_key(*path));
    out.extend(added.map(|(path, new)| change(path, Fate::Added, None, Some(new))));
    out.sort_by(|a, b| a.path.cmp(&b.path));
    out
}

#[cfg(test)]
mod tests;
