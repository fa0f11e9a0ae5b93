//! The whole binary, against real upstreams on loopback.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod agents;
mod approvals;
mod git;
mod house;
mod journal;
mod run;
mod tasks;
