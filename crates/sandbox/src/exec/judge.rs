//! The judge's side: verdicts, and what became of an exec.

use std::sync::Arc;

use super::question::Pending;
use super::seen::Exec;

/// Decides about execs. Called by several threads at once; while one waits for a decision, others are judged.
pub trait Judge: Send + Sync {
    /// Decides. Whatever is recorded before a program runs is recorded before this returns. A panic denies.
    fn judge(&self, exec: &Arc<Exec>) -> Verdict;

    /// Which working directories are alike for [`Verdict::Allow`]'s memory.
    fn class_of(&self, _cwd: &[u8]) -> u64 {
        0
    }

    /// What became of an exec that was allowed, by a verdict, an answer or from memory.
    fn became(&self, _exec: &Arc<Exec>, _outcome: &Outcome) {}

    /// A thread that waited for an answer is gone, or the gate is. Withdrawn is not denied.
    fn withdrawn(&self, _exec: &Arc<Exec>) {}

    /// An exec was refused before it could be judged, and the caller told why.
    fn refused(&self, _tid: i32, _why: &'static str) {}

    /// The gate of a sandbox has ended, by itself or because its listener failed: no exec comes any more.
    fn ended(&self, _how: &std::io::Result<super::Ended>) {}
}

/// A decision.
#[derive(Debug)]
pub enum Verdict {
    /// The program runs.
    Allow {
        /// The same program with the same arguments, changes of the environment, class of directory, script and standard input
        /// runs without asking the judge again, until [`super::Handle::forget`].
        remember: bool,
    },
    /// The call fails.
    Deny(Denial),
    /// Somebody decides later; the thread waits, and nothing else does.
    Ask(Pending),
}

/// Why an exec fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Error number, `EPERM` for what policy denies.
    pub errno: i32,
    /// Told to the caller on its standard error: why, and what to request. One line of at most [`super::limits::LINE_BYTES_MAX`] bytes; control
    /// characters are taken out.
    pub line: String,
}

impl Denial {
    /// A denial by policy.
    #[must_use]
    pub fn because(line: impl Into<String>) -> Self {
        Self { errno: libc::EPERM, line: line.into() }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The program runs.
    Allow,
    /// The call fails.
    Deny(Denial),
}

/// What became of an allowed exec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs; what was judged is what runs.
    Started {
        /// Its process.
        pid: i32,
    },
    /// The kernel refused it after all.
    Failed,
    /// The caller was gone before.
    Gone,
    /// Something else would have run; it was killed before its first instruction. This does not happen by accident: whoever owns
    /// the session ends it.
    Tampered(Tampering),
    /// It could not be verified, so that the call failed.
    Unverifiable(&'static str),
}

/// What was not as it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// The program.
    Program,
    /// Its arguments.
    Arguments,
    /// Its environment.
    Environment,
    /// The way to its script.
    Script,
    /// The stopped process could not be looked into.
    Unreadable,
}
