//! Developer commands. `cargo xtask tidy` keeps the house as ARCHITECTURE.md draws it.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a tool for the terminal")]

mod held_out;
mod rules;
mod tidy;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::main(),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}
