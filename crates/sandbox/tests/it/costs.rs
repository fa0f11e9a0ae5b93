//! What the gate costs, beside none and beside strace where there is one: printed, not judged, because the machine is shared.

use std::path::Path;
use std::process::Output;

use crate::session::{Book, PROBE, command, probe, run, text};

const EXECS: &str = "200";
const ROUNDS: usize = 5;

fn p50(output: &std::process::Output) -> f64 {
    let line = text(&output.stdout);
    line.split_whitespace()
        .next()
        .and_then(|p50| p50.parse::<f64>().ok())
        .unwrap_or_else(|| panic!("{line} {}", text(&output.stderr)))
        / 1_000.0
}

fn times() -> [&'static str; 3] {
    ["times", EXECS, "/bin/true"]
}

fn strace(how: &[&str]) -> Option<Output> {
    const STRACE: &str = "/usr/bin/strace";
    let fixed = ["-f", "-e", "trace=execve,execveat", "-o", "/dev/null", &PROBE];
    let all: Vec<&str> = how.iter().chain(&fixed).copied().chain(times()).collect();
    Path::new(STRACE).exists().then(|| command(STRACE, &all).output().unwrap())
}

/// Medians of what each way took, in turns so that what else the machine does hits all alike.
fn medians<const N: usize>(ways: [&dyn Fn() -> Option<Output>; N]) -> [Option<f64>; N] {
    let mut samples = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (way, into) in ways.iter().zip(&mut samples) {
            into.extend(way().map(|output| p50(&output)));
        }
    }
    samples.map(|mut samples| {
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    })
}

#[test]
fn costs_are_printed() {
    let remembering = || Book::new(|_| marque_sandbox::exec::Verdict::Allow { remember: true });
    let all = medians([
        &|| Some(probe(&times()).output().unwrap()),
        &|| Some(run(&Book::allowing(), probe(&times()))),
        &|| Some(run(&remembering(), probe(&times()))),
        &|| strace(&["--seccomp-bpf"]),
        &|| strace(&[]),
    ]);
    let names = ["none", "judged and verified", "remembered and verified", "strace -f --seccomp-bpf", "strace -f"];
    for (name, took) in names.iter().zip(all) {
        let took = took.map_or("not here".to_owned(), |took| format!("{took:.0} us"));
        eprintln!("fork, exec and wait, median of {ROUNDS} medians of {EXECS}: {name}: {took}");
    }
    assert!(all.iter().take(3).all(|took| took.is_some_and(|took| took > 0.0)));
}
