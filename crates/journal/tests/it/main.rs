//! Tests of the journal's bytes, by promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::string_slice,
    reason = "a test that cannot go on fails"
)]

mod golden;
mod journal;
mod notes;
mod python;
mod records;
mod segments;
mod support;
mod tree;
