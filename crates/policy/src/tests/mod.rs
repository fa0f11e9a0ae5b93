//! Promises of the crate.

mod bounds;
mod decisions;
mod defaults;
mod explaining;
mod laws;
mod loading;
mod support;
