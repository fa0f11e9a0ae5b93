//! The long form: feeds every target for as long as it is told to.
//!
//! `marque-fuzz [SECONDS [SEED [TARGET]]]`; a target that is named by its beginning.

use marque_fuzz::engine::{Budget, run};
use marque_fuzz::TARGETS;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(600);
    let seed: u64 = arguments.next().and_then(|a| a.parse().ok()).unwrap_or(1);
    let only = arguments.next().unwrap_or_default();
    let targets: Vec<_> = TARGETS.iter().filter(|t| t.name.starts_with(&only)).collect();
    let each = Duration::from_secs(seconds) / u32::try_from(targets.len().max(1)).unwrap_or(1);
    let mut found = 0;
    // Nobody reads it: then nobody is told.
    let _ = writeln!(std::io::stdout(), "seed {seed}, {} targets, {each:?} each", targets.len());
    for target in targets {
        let budget = Budget { at_least: 1, inputs: u64::MAX, time: each, one_input: Duration::from_secs(2) };
        let line = match run(target, seed, budget) {
            Ok(fed) => format!("{:<28} {:>10} inputs, slowest {:?}", target.name, fed.inputs, fed.slowest),
            Err(finding) => {
                found += 1;
                format!("FOUND {finding}")
            }
        };
        let _ = writeln!(std::io::stdout(), "{line}");
    }
    if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
