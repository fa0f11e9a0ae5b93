//! What a shell command would do.
//!
//! **Purpose.** [`classify`] turns a command (words, changes of the environment, the text of a script, facts about the file that
//! would run) into a [`Reading`]: effects with tool, operation, target, environment hint and the credential touched. What cannot
//! be known is [`Reading::unknown`], which is never better than a question; code that is run and not read is
//! [`Reading::opaque`].
//!
//! **Not its job.** To decide, to ask, to read files, to start a process. It is not the boundary: an interpreter does what no
//! command line says, and files and network bound that.
//!
//! **Invariants.**
//! * Every part is visited and all are joined: no part ends the visit, none lowers what another found.
//! * One parser of shell text (`brush-parser`), behind checks of length and depth; what it cannot bear is unknown. It belongs in
//!   a worker process all the same ([`protocol`]): a worker that dies is an answer, *unknown*.
//! * What programs mean is data with examples ([`Catalogue`]), and a rule can only add.
//! * Pure: no I/O, clock, randomness or threads; every bound is in [`limits`].
//!
//! **Entry points.** [`Catalogue::shipped`], [`classify`], [`protocol`].
//!
//! **How to test.** `cargo test -p marque-effects`; the labelled commands are in `conformance/commands`.

mod catalogue;
mod classify;
mod command;
mod exec;
mod hint;
pub mod limits;
pub mod protocol;
mod reading;
mod shell;

pub use catalogue::{Catalogue, CatalogueError, Problem};
pub use classify::classify;
pub use command::{Command, EnvChange, Executable, Script, ScriptSource};
pub use reading::{Environment, Finding, Kind, Reading};
