//! # marque-api
//!
//! *Purpose*: what programs see of Marque. Problems (RFC 9457) with their codes, and the requests and answers of the
//! authority's local API.
//!
//! *Not its job*: transport, decisions. Nothing of ours is imported, so that clients and SDKs can depend on this alone.
//!
//! *Invariants*: a code is never reused; every code has a page in `docs/errors`; no type here can hold a credential on
//! the way out.
//!
//! *Entry points*: [`Problem`], [`Code`], [`control`].
//!
//! *How to test*: `cargo test -p marque-api`; `cargo xtask tidy` checks the pages.

pub mod code;
pub mod control;
pub mod pages;
pub mod problem;

pub use code::Code;
pub use problem::Problem;
