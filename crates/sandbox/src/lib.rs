//! # marque-sandbox
//!
//! *Purpose*: confines an agent's processes on Linux and stays with them. Namespaces with one road out (every address leads to
//! the gateway's listeners, which are made inside and handed out), files by a list of what is shown, Landlock that says the same
//! again, no capability, and an end that survives `kill -9` of whoever watches. Every program that they start is judged before its
//! first instruction, and what is judged is what runs. Without root, without a program of its own.
//!
//! *Not its job*: who the agent is and what it may do (`authority`), what a command means (`effects`), what the gateway's sockets
//! carry (`gateway`), the environment and the command (`cli`).
//!
//! *Invariants*: I6 for processes: nothing outlives the thread that made the sandbox. I7: no program starts unjudged, and a dead
//! supervisor lets nothing start. I12: [`limits`], [`exec::limits`], [`connect::limits`]: a session slows nobody but itself.
//! I2, for what else lies on the machine: what is not listed is not there. A step that fails leaves nothing behind, and is never
//! skipped. `unsafe` stands in `sys`, at the three calls of `clone`, and before the exec of a command that has no sandbox.
//!
//! *Entry points*: [`probe()`] (which grade the machine allows), [`spawn`] with a [`Plan`], [`Supervisor`], [`publish()`],
//! [`dns::Server`], [`workspace`]. [`exec::hook()`] with an [`exec::Judge`] for the programs;
//! [`connect::Exchange`] for connections where there is no network namespace.
//!
//! *How to test*: `cargo test -p marque-sandbox`, as root: the tests run every promise as root and as an ordinary user.
//! `MARQUE_KILLS=200` makes the kill campaign long, `MARQUE_RACES=5000` the races.

pub mod bpf;
mod cgroup;
mod child;
pub mod connect;
pub mod dns;
mod error;
pub mod exec;
pub mod files;
mod grade;
mod identity;
pub mod limits;
mod plan;
mod prepare;
mod probe;
mod publish;
mod start;
mod supervisor;
mod sys;
pub mod workspace;

pub use error::{SpawnError, Step};
pub use grade::{Facts, Grade, LANDLOCK_SCOPED, Report, Tried};
pub use plan::{Files, Given, Hook, Network, Plan, Protected, Workspace};
pub use prepare::find_program;
pub use probe::{facts, probe};
pub use publish::{Published, publish};
pub use supervisor::{Exit, Inside, Supervisor, spawn};
