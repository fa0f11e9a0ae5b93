//! # marque-wire
//!
//! *Purpose*: sans-IO protocols. Bytes in, meaning out: which target, operation, resource and effect a request has, where
//! its credential goes, and where an answer carries credentials of its own.
//!
//! *Not its job*: sockets, clocks, decisions.
//!
//! *Invariants*: one immutable `Target` per request (I13); ambiguity is refused, never repaired; no panic, unbounded
//! recursion or super-linear time on any input (I11).
//!
//! *Entry points*: [`http::check_request`], [`profile::Profile`], [`place::Placement`], [`ip::class`], [`git`], [`graphql`].
//!
//! *How to test*: `cargo test -p marque-wire`; profiles carry their own examples.

pub mod answer;
pub mod git;
pub mod graphql;
pub mod http;
pub mod ip;
pub mod limits;
pub mod place;
pub mod profile;
