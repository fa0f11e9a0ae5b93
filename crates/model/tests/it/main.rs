//! The laws of the fold.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod codec;
mod fold;
mod registry;
mod snapshot;
mod world;
