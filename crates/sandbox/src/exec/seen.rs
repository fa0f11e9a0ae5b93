//! An exec as the judge sees it.

use std::collections::HashMap;
use std::sync::Arc;

use super::identity::FileId;
use super::limits::PARENTS_MAX;
use super::memory::Strings;
use super::script::Script;

/// What a process wants to become.
#[derive(Debug)]
pub struct Exec {
    /// Names it at this gate.
    pub id: u64,
    /// The calling thread.
    pub tid: i32,
    /// Its process.
    pub pid: i32,
    /// The parent of that.
    pub parent: i32,
    /// The path that the caller gave.
    pub path: Vec<u8>,
    /// The arguments, the name first.
    pub argv: Strings,
    /// The environment.
    pub env: Strings,
    /// How it differs from what the session began with. `None` for a variable that is gone. In order of names.
    pub env_changed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// The working directory, by name.
    pub cwd: Vec<u8>,
    /// The file that was named.
    pub program: FileId,
    /// The binary that starts: `program`, or the interpreter of its `#!` line.
    pub binary: FileId,
    /// What kind of file was named.
    pub kind: Kind,
    /// The script that the binary will read, where there is one.
    pub script: Option<Script>,
    /// What standard input is.
    pub stdin: Stdin,
    /// The arguments that the binary will see: those of the caller behind what `#!` lines put before them.
    pub(super) starts_with: Strings,
}

/// What kind of file was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A binary.
    Binary,
    /// A script with a `#!` line.
    Script,
    /// Neither: the kernel refuses it, and the shell that asked then reads it as a script itself, which no exec shows. An allow
    /// here allows that.
    Other,
}

/// What standard input is: a script may come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stdin {
    /// A terminal.
    Terminal,
    /// `/dev/null` or another device.
    Device,
    /// A regular file.
    File,
    /// A pipe or socket: what comes through it is not known.
    Stream,
    /// Closed, or not to be found out.
    None,
}

/// A process above the one that calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// Its process id.
    pub pid: i32,
    /// The first 15 bytes of its program's name, which it can change: for people, not for decisions.
    pub name: Vec<u8>,
}

impl Exec {
    /// The processes above, nearest first, at most [`PARENTS_MAX`]. Read now: before the verdict it is what it was at the call.
    #[must_use]
    pub fn parents(&self) -> Vec<Parent> {
        let mut parents = Vec::new();
        let mut pid = self.parent;
        while pid > 0 && parents.len() < PARENTS_MAX {
            let Some((name, above)) = std::fs::read(format!("/proc/{pid}/stat")).ok().as_deref().and_then(stat_line) else { break };
            parents.push(Parent { pid, name });
            pid = above;
        }
        parents
    }
}

/// Name and parent of `pid (name) state ppid …`. The name may have anything in it, also parentheses.
fn stat_line(line: &[u8]) -> Option<(Vec<u8>, i32)> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
    let parent = rest.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((line.get(open + 1..close)?.to_vec(), parent))
}

/// The environment that a session began with.
#[derive(Debug, Clone, Default)]
pub struct Baseline(Arc<HashMap<Vec<u8>, Vec<u8>>>);

impl Baseline {
    /// From `NAME=value` strings.
    pub fn new<'a>(env: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(Arc::new(env.into_iter().map(split).map(|(name, value)| (name.to_vec(), value.to_vec())).collect()))
    }

    /// What is other in `env`. A name that occurs twice is a change by whichever value is not the known one, because programs
    /// differ in which one they take.
    #[must_use]
    pub fn changes(&self, env: &Strings) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut changes = Vec::new();
        let mut met = 0usize;
        let mut names = std::collections::HashSet::new();
        for (name, value) in env.iter().map(split) {
            if self.0.contains_key(name) && names.insert(name) {
                met += 1;
            }
            if self.0.get(name).map(Vec::as_slice) != Some(value) {
                changes.push((name.to_vec(), Some(value.to_vec())));
            }
        }
        if met < self.0.len() {
            changes.extend(self.0.keys().filter(|name| !names.contains(name.as_slice())).map(|name| (name.clone(), None)));
        }
        changes.sort();
        changes
    }
}

fn split(variable: &[u8]) -> (&[u8], &[u8]) {
    // A name may begin with `=`, as in some exports of functions.
    let at = variable.iter().skip(1).position(|byte| *byte == b'=').map(|at| at + 1);
    match at {
        Some(at) => (variable.get(..at).unwrap_or_default(), variable.get(at + 1..).unwrap_or_default()),
        None => (variable, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(of: &[&str]) -> Strings {
        Strings::of(of.iter().map(|variable| variable.as_bytes()))
    }

    #[test]
    fn what_is_added_changed_or_gone_is_a_change() {
        let baseline = Baseline::new([b"A=1".as_slice(), b"B=2", b"C=3"]);
        assert!(baseline.changes(&env(&["C=3", "A=1", "B=2"])).is_empty());
        let changes = baseline.changes(&env(&["A=1", "B=other", "PAGER=sh -c x", "A=9"]));
        let change = |name: &str, value: Option<&str>| (name.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()));
        assert_eq!(
            changes,
            [change("A", Some("9")), change("B", Some("other")), change("C", None), change("PAGER", Some("sh -c x"))]
        );
    }

    #[test]
    fn a_parents_name_may_look_like_the_rest_of_the_line() {
        assert_eq!(stat_line(b"7 (a) S 1 (b) R 42 7 7"), Some((b"a) S 1 (b".to_vec(), 42)));
        assert_eq!(stat_line(b"7"), None);
    }
}
