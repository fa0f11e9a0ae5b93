//! # marque-bench
//!
//! *Purpose*: figures beside the named peer in one run, as ratios. The system under test is the real binary with its real
//! journal, pinned to one core; load generator and upstream have the other.
//!
//! *Not its job*: absolute records. A figure without its peer of the same run is not printed as a result.
//!
//! *Invariants*: a peer that is missing or does not do its part (attach the credential) ends the run with a failure; samples
//! of all subjects take turns, medians are compared, and every sample is kept. Results name the command, commit, CPU model
//! and load; nothing of the machine's paths.
//!
//! *Entry points*: `bench/run`, or one of the subcommands below.
//!
//! *How to test*: `./test` runs each in its short form.

mod args;
mod cedar;
mod chain;
mod connections;
mod cpu;
mod journal;
mod load;
mod marque;
mod peers;
mod report;
mod requests;
mod tables;
mod world;

use args::{Args, Bench};
use std::process::ExitCode;

/// What a bench ends with when it could not be run, or missed its target.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let done = Args::parse(std::env::args().skip(1)).and_then(|args| match args.bench {
        Bench::Tables => tables::main(&args),
        Bench::Requests => report::finish(&args, requests::plain(&args)?),
        Bench::Tls => report::finish(&args, requests::tls(&args)?),
        Bench::Connections => report::finish(&args, connections::main(&args)?),
        Bench::Chain => report::finish(&args, chain::main(&args)?),
        Bench::Journal => report::finish(&args, journal::main(&args)?),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::say_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
