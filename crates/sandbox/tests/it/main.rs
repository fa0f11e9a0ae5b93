//! What a sandbox promises, tried from within by programs that mean ill, beside the same program outside.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests are tests too")]
#![allow(unsafe_code, clippy::undocumented_unsafe_blocks, reason = "attacks are made of system calls")]
#![allow(clippy::print_stderr, reason = "races and costs print their figures")]

mod asks;
mod connections;
mod costs;
mod egress;
mod execs;
mod files;
mod filters;
mod gated;
mod processes;
mod programs;
mod publish;
mod races;
mod session;
mod sockets;
mod start;
mod teardown;
mod world;
