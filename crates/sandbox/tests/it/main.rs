//! What a sandbox promises, tried from within by programs that mean ill, beside the same program outside.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are tests too")]

mod egress;
mod files;
mod processes;
mod publish;
mod sockets;
mod start;
mod teardown;
mod world;
