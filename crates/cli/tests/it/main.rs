//! The whole binary, against real upstreams on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::print_stdout,
    reason = "a test that cannot set up its world has failed; campaigns print their figures"
)]

mod agents;
mod answers;
mod approvals;
mod clients;
mod clock;
mod contained;
mod environments;
mod erase;
mod faults;
mod flood;
mod git;
mod guards;
mod house;
mod journal;
mod keyring;
mod kills;
mod load;
mod local;
mod newcomer;
mod oracle;
mod peers;
mod policies;
mod references;
mod run;
mod scan;
mod search;
mod secrets;
mod tamper;
mod tasks;
mod tighten;
mod witness;
