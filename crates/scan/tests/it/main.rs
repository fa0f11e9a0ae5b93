//! What the crate promises, seen from outside: homes with planted credentials and decoys.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic, which fails the test"
)]

mod bounds;
mod found;
mod home;
mod safety;
