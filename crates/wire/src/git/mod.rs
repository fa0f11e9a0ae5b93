//! # Git over HTTP
//!
//! *Purpose*: say which repository a smart-HTTP request means and which refs a push changes, from the bytes before the
//! pack (gitprotocol-http, gitprotocol-pack).
//!
//! *Not its job*: packs, objects, ancestry. Whether an update rewinds a branch is not in the commands: the protocol
//! has no force flag, so that a forced update and a fast-forward look the same here.
//!
//! *Invariants*: each byte is looked at a bounded number of times; signed pushes (`push-cert`) and the dumb protocol are
//! refused, because their meaning lies elsewhere.
//!
//! *Entry points*: [`recognise`], [`CommandScan`], [`parse_commands`].
//!
//! *How to test*: `cargo test -p marque-wire git::`.

mod commands;
mod pkt;
mod smart;

pub use commands::{Change, CommandList, CommandScan, Progress, RefCommand, parse_commands};
pub use pkt::{GitError, Pkt, read};
pub use smart::{Phase, Recognised, Service, recognise};
