//! The tables of `bench/README.md`, from the committed samples.

use crate::Result;
use crate::args::Args;
use crate::report::Report;
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- tables: made by `marque-bench tables` from results/; do not edit -->\n";
const END: &str = "<!-- end of tables -->\n";
const ORDER: [&str; 5] = ["requests", "tls", "connections", "chain", "journal"];

/// Writes the tables, or says whether they are up to date.
pub(crate) fn main(args: &Args) -> Result<bool> {
    let bench = Path::new("bench");
    let file = bench.join("README.md");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("bench/README.md: {e}; run this from the repository"))?;
    let (head, rest) = text.split_once(BEGIN).ok_or("bench/README.md has no place for the tables")?;
    let (_, tail) = rest.split_once(END).ok_or("bench/README.md has no end of the tables")?;
    let mut tables = String::new();
    for name in ORDER {
        let path = bench.join("results").join(format!("{name}.json"));
        let json = std::fs::read_to_string(&path).map_err(|e| format!("results/{name}.json: {e}"))?;
        table(&mut tables, &serde_json::from_str(&json)?)?;
    }
    let fresh = format!("{head}{BEGIN}{tables}{END}{tail}");
    if args.check {
        return if fresh == text { Ok(true) } else { Err("bench/README.md is not what its samples say: run `marque-bench tables`".into()) };
    }
    std::fs::write(&file, fresh)?;
    Ok(true)
}

fn table(out: &mut String, report: &Report) -> Result<()> {
    writeln!(out, "\n### {}\n\n`{}` at {}, profile {}.", report.bench, report.command, report.commit, report.profile)?;
    writeln!(out, "{}, {} cores, load average {:.1} before and {:.1} after.\n", report.cpu, report.cores, report.load[0], report.load[1])?;
    writeln!(out, "| subject | median, {} | least | most |\n|---|---|---|---|", report.unit)?;
    for subject in &report.subjects {
        let least = subject.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = subject.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        writeln!(out, "| {} | {:.1} | {least:.1} | {most:.1} |", subject.name, subject.median)?;
    }
    writeln!(out, "\n| figure | value | target | |\n|---|---|---|---|")?;
    for target in &report.targets {
        let verdict = if target.is_met(1.0) { "met" } else { "**missed**" };
        writeln!(out, "| {} | {:.2} | {} {} | {verdict} |", target.what, target.value, target.sign(), target.limit)?;
    }
    writeln!(out)?;
    for note in &report.notes {
        writeln!(out, "* {note}")?;
    }
    for (peer, version) in &report.versions {
        writeln!(out, "* {peer}: {version}")?;
    }
    Ok(())
}
