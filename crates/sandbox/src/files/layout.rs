//! What is where: a map from paths to what is mounted there, compiled into steps with parents before children.

use super::at;
use super::ops::{Access, NODEV, NOSUID, Op, RDONLY, Rule, Stage, What, c_string, relative};
use crate::error::{SpawnError, Step};
use crate::limits::{MOUNTS, OVERLAY_BYTES, PID_MAX_LEAST};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::{Component, Path, PathBuf};

/// Links that one path may have: what the kernel follows.
const LINKS: usize = 40;

#[derive(Debug)]
enum Node {
    /// A tree of the host; whether it is a directory.
    Tree(PathBuf, Access, bool),
    Tmpfs(u64, u32),
    Directory(u32),
    Link(PathBuf),
    /// Hidden; whether it is a directory.
    Cover(bool),
    Bytes(Vec<u8>),
    Proc,
    Pts,
    /// What is there, read-only; whether it is a directory.
    Again(bool),
}

/// The map.
#[derive(Debug)]
pub(crate) struct Layout {
    nodes: BTreeMap<PathBuf, Node>,
}

impl Layout {
    pub(crate) const fn new() -> Self {
        Self { nodes: BTreeMap::new() }
    }

    /// Shows a path of the host at the same path, and the links that lead to it.
    pub(crate) fn show(&mut self, path: &Path, access: Access) -> Result<PathBuf, SpawnError> {
        let real = self.reach(path).map_err(at(path))?;
        let directory = std::fs::metadata(&real).map_err(at(path))?.is_dir();
        self.nodes.insert(real.clone(), Node::Tree(real.clone(), access, directory));
        Ok(real)
    }

    /// Shows `from` at `place`, which is a real path.
    pub(super) fn show_at(&mut self, place: &Path, from: &Path, access: Access, directory: bool) {
        self.nodes.insert(place.to_owned(), Node::Tree(from.to_owned(), access, directory));
    }

    pub(super) fn tmpfs(&mut self, path: impl Into<PathBuf>, bytes: u64, mode: u32) {
        self.nodes.insert(path.into(), Node::Tmpfs(bytes, mode));
    }

    pub(super) fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) {
        self.nodes.insert(path.into(), Node::Directory(mode));
    }

    pub(super) fn link(&mut self, path: impl Into<PathBuf>, to: impl Into<PathBuf>) {
        self.nodes.insert(path.into(), Node::Link(to.into()));
    }

    /// The least that a sandbox has, for the probe.
    pub(crate) fn probe(&mut self) {
        self.nodes.insert("/proc".into(), Node::Proc);
        self.tmpfs("/tmp", 1 << 20, 0o1777);
    }

    pub(super) fn special(&mut self) {
        self.nodes.insert("/proc".into(), Node::Proc);
        self.nodes.insert("/dev/pts".into(), Node::Pts);
    }

    pub(super) fn read_only(&mut self, path: &Path, directory: bool) {
        self.nodes.insert(path.to_owned(), Node::Again(directory));
    }

    /// Hides what the host has at a real path; without effect where it would not be seen.
    pub(super) fn cover(&mut self, path: &Path, directory: bool) {
        self.nodes.insert(path.to_owned(), Node::Cover(directory));
    }

    /// Lays bytes over a file, which must be seen.
    pub(super) fn lay(&mut self, path: &Path, bytes: &[u8]) -> Result<(), SpawnError> {
        let real = self.reach(path).map_err(at(path))?;
        self.nodes.insert(real, Node::Bytes(bytes.to_owned()));
        Ok(())
    }

    /// Lays bytes over a file at a real path, which is known to be seen.
    pub(super) fn lay_at(&mut self, path: &Path, bytes: Vec<u8>) {
        self.nodes.insert(path.to_owned(), Node::Bytes(bytes));
    }

    /// Lays bytes over a file, where it is seen or can be made.
    pub(super) fn lay_if_there(&mut self, path: &Path, bytes: &[u8]) -> Result<(), SpawnError> {
        let Ok(real) = self.reach_missing(path) else { return Ok(()) };
        if self.is_ours(&real) || real.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
            self.nodes.insert(real, Node::Bytes(bytes.to_owned()));
        }
        Ok(())
    }

    /// Whether the agent would see a path of the host.
    pub(crate) fn shows(&self, path: &Path) -> bool {
        std::fs::canonicalize(path).is_ok_and(|real| matches!(self.holder_or_self(&real), Some(Node::Tree(..))))
    }

    /// The real path that the host has, with the links on the way to it shown too.
    pub(super) fn reach(&mut self, path: &Path) -> std::io::Result<PathBuf> {
        let real = self.reach_missing(path)?;
        real.symlink_metadata().map(|_| real)
    }

    /// As [`Self::reach`], for a path whose end need not exist.
    fn reach_missing(&mut self, path: &Path) -> std::io::Result<PathBuf> {
        if !path.is_absolute() {
            return Err(Errno::INVAL.into());
        }
        let mut real = PathBuf::from("/");
        let mut rest: Vec<PathBuf> = parts(path);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            if part.as_os_str() == ".." {
                real.pop();
                continue;
            }
            let next = real.join(&part);
            let Ok(target) = std::fs::read_link(&next) else {
                real = next;
                continue;
            };
            links += 1;
            if links > LINKS {
                return Err(Errno::LOOP.into());
            }
            if target.is_absolute() {
                real = PathBuf::from("/");
            }
            rest.extend(parts(&target));
            self.nodes.entry(next).or_insert(Node::Link(target));
        }
        Ok(real)
    }

    /// Whether a path lies where the sandbox makes its own files, rather than in a tree of the host.
    fn is_ours(&self, path: &Path) -> bool {
        matches!(self.holder(path), None | Some(Node::Tmpfs(..) | Node::Directory(_)))
    }

    fn holder(&self, path: &Path) -> Option<&Node> {
        path.ancestors().skip(1).find_map(|above| self.nodes.get(above))
    }

    fn holder_or_self(&self, path: &Path) -> Option<&Node> {
        path.ancestors().find_map(|above| self.nodes.get(above))
    }

    /// The steps.
    pub(crate) fn compile(self, nested: bool, processes: u32) -> Result<Stage, SpawnError> {
        let base = ["/tmp", "/var", "/usr"].into_iter().find(|dir| Path::new(dir).is_dir()).unwrap_or("/etc");
        let mut out = Compiler {
            stage: Stage { base: c_string(Path::new(base))?, sources: Vec::new(), bytes: Vec::new(), ops: Vec::new(), rules: vec![Rule::root()] },
            made: BTreeSet::new(),
            nested,
            processes,
        };
        for (path, node) in &self.nodes {
            // What lies in a hidden place is hidden with it.
            let gone = matches!(self.holder(path), Some(Node::Cover(_))) && matches!(node, Node::Cover(_) | Node::Bytes(_));
            if !gone {
                out.node(path, node, self.is_ours(path))?;
            }
        }
        let mounts = out.stage.ops.iter().filter(|op| matches!(op, Op::Mount(..))).count();
        let laid: usize = out.stage.bytes.iter().map(Vec::len).sum();
        if mounts > MOUNTS || laid > OVERLAY_BYTES {
            return Err(SpawnError::new(Step::Plan, Errno::TOOBIG));
        }
        Ok(out.stage)
    }
}

/// Components, last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    let mut out: Vec<PathBuf> = named.map(|part| PathBuf::from(part.as_os_str())).collect();
    out.reverse();
    out
}

struct Compiler {
    stage: Stage,
    /// Directories that are there.
    made: BTreeSet<PathBuf>,
    nested: bool,
    processes: u32,
}

impl Compiler {
    fn node(&mut self, path: &Path, node: &Node, ours: bool) -> Result<(), SpawnError> {
        match node {
            // In a tree of the host the link is there; a place that nobody sees need not be hidden.
            Node::Link(_) if !ours => return Ok(()),
            Node::Cover(_) if ours => return Ok(()),
            Node::Link(to) => {
                self.above(path)?;
                self.stage.ops.push(Op::Link(relative(path)?, c_string(to)?));
                return Ok(());
            }
            _ => {}
        }
        if ours {
            self.place(path, node)?;
        }
        let what = match node {
            Node::Tree(from, access, directory) => {
                self.stage.rules.push(Rule::new(path, *access, *directory)?);
                self.stage.sources.push(c_string(from)?);
                (What::Source(self.stage.sources.len() - 1), access.attributes())
            }
            Node::Tmpfs(bytes, mode) => {
                self.stage.rules.push(Rule::new(path, Access::Write, true)?);
                (What::Tmpfs(digits(format!("{bytes}")), digits(format!("{mode:o}"))), NOSUID | NODEV)
            }
            Node::Proc => {
                // What is writable there is the memory of processes, above all: also of those that the exec gate has just
                // verified. Only who makes namespaces needs it, to write its ids.
                let access = if self.nested { Access::Proc } else { Access::Read };
                self.stage.rules.push(Rule::new(path, access, true)?);
                (What::Proc, NOSUID | NODEV)
            }
            Node::Pts => {
                self.stage.rules.push(Rule::new(path, Access::Device, true)?);
                (What::Pts, NOSUID)
            }
            Node::Cover(true) => (What::EmptyDirectory, RDONLY | NOSUID | NODEV),
            Node::Cover(false) => (What::EmptyFile, RDONLY | NOSUID | NODEV),
            Node::Bytes(bytes) => {
                self.stage.bytes.push(bytes.clone());
                (What::Bytes(self.stage.bytes.len() - 1), RDONLY | NOSUID | NODEV)
            }
            Node::Again(_) => (What::Again, RDONLY | NOSUID | NODEV),
            Node::Directory(_) | Node::Link(_) => return Ok(()),
        };
        self.stage.ops.push(Op::Mount(what.0, relative(path)?, what.1));
        if matches!(node, Node::Proc) {
            self.limits();
        }
        Ok(())
    }

    /// Makes what a mount needs below it.
    fn place(&mut self, path: &Path, node: &Node) -> Result<(), SpawnError> {
        self.above(path)?;
        let directory = match node {
            Node::Tree(_, _, directory) | Node::Cover(directory) | Node::Again(directory) => *directory,
            Node::Bytes(_) => false,
            _ => true,
        };
        let mode = if let Node::Directory(mode) = node { *mode } else { 0o755 };
        if directory {
            self.made.insert(path.to_owned());
            self.stage.ops.push(Op::Directory(relative(path)?, mode));
        } else {
            self.stage.ops.push(Op::File(relative(path)?));
        }
        Ok(())
    }

    fn above(&mut self, path: &Path) -> Result<(), SpawnError> {
        let mut missing: Vec<&Path> = path.ancestors().skip(1).filter(|p| p.parent().is_some() && !self.made.contains(*p)).collect();
        missing.reverse();
        for dir in missing {
            self.made.insert(dir.to_owned());
            self.stage.ops.push(Op::Directory(relative(dir)?, 0o755));
        }
        Ok(())
    }

    /// Written into the fresh `/proc`, before its settings are read-only. Both belong to the namespaces of the one who opens.
    fn limits(&mut self) {
        let ops = &mut self.stage.ops;
        let mut limit = |at: &std::ffi::CStr, value: u32, needed| ops.push(Op::Limit(at.into(), value.to_string().into_bytes(), needed));
        if !self.nested {
            // In a user namespace of its own the agent would have every capability again, over a larger part of the kernel.
            limit(c"proc/sys/user/max_user_namespaces", 0, true);
        }
        // Per pid namespace since Linux 6.14: bounds a fork bomb of root too, whom RLIMIT_NPROC does not bind.
        limit(c"proc/sys/kernel/pid_max", self.processes.max(PID_MAX_LEAST), false);
    }
}

fn digits(text: String) -> CString {
    CString::new(text).unwrap_or_default()
}

#[cfg(test)]
mod tests;
