//! The laws of the fold.

mod codec;
mod fold;
mod world;
