//! What a scan says. There is no place for a value in it.

use serde::Serialize;

/// What was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// One per value; what looks like production first.
    pub findings: Vec<Finding>,
    /// What could not be read, and where a limit was met.
    pub notes: Vec<String>,
    /// How much was looked at.
    pub looked: Looked,
}

/// One credential.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Variable, profile or host it goes by.
    pub name: String,
    /// What it is: `github token`, `postgres login`.
    pub kind: String,
    /// Where it was found first: `this shell`, `~/.npmrc`, `.env`.
    pub place: String,
    /// Line in that place, from 1, where there are lines.
    pub line: Option<usize>,
    /// Host, account, or how it is kept; never a value.
    pub detail: Option<String>,
    /// Days since the oldest file that holds it was written.
    pub age_days: Option<u64>,
    /// Other places with the same value.
    pub shared: Vec<String>,
    /// Processes that have it in their environment.
    pub held_by: Vec<Holder>,
    /// Name, host or place speak of production.
    pub production: bool,
    /// The shape is a credential's own; otherwise name and value make it likely.
    pub exact: bool,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holder {
    /// Its name, as the kernel has it.
    pub name: String,
    /// Its id.
    pub pid: u32,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// Variables of this shell.
    pub variables: usize,
    /// Files that were read.
    pub files: usize,
    /// Files that are not text and were left.
    pub binary: usize,
    /// Processes whose environment was read.
    pub processes: usize,
}
