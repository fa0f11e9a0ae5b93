//! # marque
//!
//! *Purpose*: the one binary. Parses arguments, wires the parts together, prints.
//!
//! *Not its job*: deciding anything.
//!
//! *Invariants*: stdout carries the thing asked for, stderr the rest; no secret in argv, in an error or in output.
//!
//! *How to test*: `cargo test -p marque-cli`, which runs this binary.

mod anchor;
mod approval;
mod args;
mod audit;
mod auth;
mod connect;
mod credential;
mod environment;
mod explain;
mod files;
mod gate;
mod human;
mod out;
mod paths;
mod peer;
mod policy;
mod run;
mod scan;
mod seal;
mod search;
mod serve;
mod service;
mod session;
mod task;
mod tighten;
mod witness;

use args::{Cli, Command};
use clap::Parser;
use std::process::ExitCode;

// The product has no switches: with them on, only the second binary compiles.
#[cfg(feature = "switches")]
const _: () = assert!(env!("CARGO_BIN_NAME").len() == "marque-switched".len(), "build `--bin marque-switched` alone");

/// A recorded use is made on one thread and dropped on another, which the system's allocator pays for twice.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(ref args) => return run::main(&cli.global, args),
        Command::Scan(ref args) => scan::main(&cli.global, args),
        Command::Serve(ref args) => serve::main(&cli.global, args),
        Command::Authority(ref args) => serve::authority(&cli.global, args),
        Command::Witness(ref args) => witness::main(args),
        Command::Status => session::status(&cli.global),
        Command::Unseal => session::unseal(&cli.global),
        Command::Seal(ref command) => seal::main(&cli.global, command),
        Command::Stop => session::stop(&cli.global),
        Command::Session(ref command) => session::main(&cli.global, command),
        Command::Credential(ref command) => credential::main(&cli.global, command),
        Command::Audit(ref command) => audit::main(&cli.global, command),
        Command::Service(ref command) => service::main(&cli.global, command),
        Command::Task(ref command) => task::main(&cli.global, command),
        Command::Environment(ref command) => environment::main(&cli.global, command),
        Command::Approval(ref command) => approval::main(&cli.global, command),
        Command::Human(ref command) => human::main(&cli.global, command),
        Command::Policy(ref command) => policy::main(&cli.global, command),
        Command::Why(ref args) => session::why(&cli.global, args),
        Command::Explain(ref args) => explain::main(&cli.global, args),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(cli.global.json),
    }
}
