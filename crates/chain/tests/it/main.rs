//! Promises of the chain crate, seen from outside.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test that cannot go on fails"
)]

mod bounds;
mod chains;
mod laws;
mod support;
mod vectors;
mod wycheproof;
