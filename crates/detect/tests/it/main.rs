//! What the crate promises, seen from outside.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests may panic, which fails the test"
)]

mod decode;
mod scrub;
