//! # marque-authority
//!
//! *Purpose*: the one writer. It opens sessions, decides on uses, makes the intent durable, attaches credentials, asks
//! people, tears down, and answers the local API. The signer process beside it holds the root key.
//!
//! *Not its job*: reading traffic (`gateway`), meaning of requests (`wire`), file formats (`journal`, `store`).
//!
//! *Invariants*: I1 (a credential leaves only against a [`Permit`], which exists only when the intent is durable), I6, I7,
//! I9, I13, I14.
//!
//! *Entry points*: [`Authority::start`], [`Authority::admit`], [`control::serve`], [`signer::serve`].
//!
//! *How to test*: `cargo test -p marque-authority`; end to end in `crates/cli/tests`.

pub mod admit;
mod asks;
pub mod authority;
mod bound;
pub mod clock;
mod contain;
pub mod control;
mod credentials;
pub mod decide;
mod environments;
mod error;
mod found;
mod humans;
mod index;
mod intended;
mod intent;
pub mod kept;
pub mod leaf;
pub mod limits;
mod lineage;
mod machine;
pub mod needles;
mod openings;
pub mod policies;
mod random;
mod recorded;
pub mod references;
pub mod refusals;
mod search;
pub mod services;
mod sessions;
mod settle;
pub mod signer;
mod snapshot;
mod tasks;
mod teardown;
mod used;
mod vault;
mod views;
mod witnesses;

pub use admit::{Granted, Permit, Request, Settled};
pub use authority::{Authority, Fetch, Fetched, Fetching, Listener, Listeners, Options};
pub use error::Error;
pub use leaf::{Leaf, Road};
pub use signer::hex;
pub use witnesses::WitnessAt;

/// An origin in the one form that grants have: `https://host:port`.
///
/// # Errors
/// Where the text is no origin.
pub fn origin(text: &str) -> Result<String, Error> {
    credentials::parse_origin(text).map(|target| target.origin())
}
