//! # marque-sandbox
//!
//! *Purpose*: confines an agent's processes on Linux and stays with them. Namespaces with one road out (every address leads to
//! the gateway's listeners, which are made inside and handed out), files by a list of what is shown, Landlock that says the same
//! again, no capability, and an end that survives `kill -9` of whoever watches. Without root, without a program of its own.
//!
//! *Not its job*: who the agent is and what it may do (`authority`), what the gateway's sockets carry (`gateway`), the
//! environment and the command (`cli`).
//!
//! *Invariants*: I6 for processes: nothing outlives the thread that made the sandbox. I12: [`limits`]. I2, for what else lies on
//! the machine: what is not listed is not there. A step that fails leaves nothing behind, and is never skipped. `unsafe` stands
//! in `sys`, and at the three calls of `clone`.
//!
//! *Entry points*: [`probe`] (which grade the machine allows), [`spawn`] with a [`Plan`], [`Supervisor`], [`publish`],
//! [`dns::Server`], [`workspace`]. The exec gate installs itself by a [`Hook`].
//!
//! *How to test*: `cargo test -p marque-sandbox`, as root: the tests run every promise as root and as an ordinary user.
//! `MARQUE_KILLS=200` makes the kill campaign long.

mod cgroup;
mod child;
pub mod dns;
mod error;
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
