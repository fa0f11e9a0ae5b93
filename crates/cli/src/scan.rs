//! `scan`: what an agent started here could use. Looks, compares, prints; no value leaves the scan, nothing is sent.

use crate::args::{Global, ScanArgs};
use crate::out::{Failure, Outcome, exit, plain, print, print_json, say};
use marque_authority::services;
use marque_scan::{Finding, Options, Report, Service, scan};
use std::path::PathBuf;
use std::process::ExitCode;

/// Findings that are listed without `--all`.
const SHOWN: usize = 10;
/// Notes that are listed without `--all`.
const NOTES_SHOWN: usize = 3;
/// Other places and holders that one line names.
const NAMED: usize = 2;

pub(crate) fn main(global: &Global, args: &ScanArgs) -> Outcome {
    let paths = if args.paths.is_empty() { vec![PathBuf::from(".")] } else { args.paths.clone() };
    let report = look(paths)?;
    if global.json {
        print_json(&serde_json::json!({
            "schema": "marque/scan.v1",
            "findings": report.findings,
            "notes": report.notes,
            "looked": report.looked,
        }))?;
    } else {
        people(&report, args.all);
    }
    let found = args.fail && !report.findings.is_empty();
    Ok(if found { ExitCode::from(exit::FINDINGS) } else { ExitCode::SUCCESS })
}

/// The first run's first sight, in one line. A scan that cannot be made is no reason not to run.
pub(crate) fn summary() -> Option<String> {
    let report = look(vec![PathBuf::from(".")]).ok()?;
    (!report.findings.is_empty()).then(|| format!("Found       {}: marque scan", counted(report.findings.len())))
}

fn counted(number: usize) -> String {
    match number {
        0 => "An agent started here finds no credential in the places that were looked at".into(),
        1 => "An agent started here could use 1 credential".into(),
        n => format!("An agent started here could use {n} credentials"),
    }
}

fn look(paths: Vec<PathBuf>) -> Result<Report, Failure> {
    let profiles = services::shipped()?;
    let service = |(name, profile): (&String, &std::sync::Arc<marque_wire::profile::Profile>)| Service {
        name: name.clone(),
        env: profile.credential().env.clone(),
        looks: profile.credential().looks.clone(),
    };
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let options = Options {
        env: std::env::vars_os().filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?))).collect(),
        home: std::env::var_os("HOME").filter(|h| !h.is_empty()).map(PathBuf::from),
        paths,
        proc: Some(PathBuf::from("/proc")),
        uid: rustix::process::getuid().as_raw(),
        own_pid: std::process::id(),
        now_s: since.map_or(0, |d| d.as_secs()),
        services: profiles.iter().map(service).collect(),
    };
    scan(&options).map_err(|e| Failure::usage(e.to_string(), "give directories or files that exist"))
}

fn people(report: &Report, all: bool) {
    print(&format!("{}. Nothing was sent anywhere; no value is shown.", counted(report.findings.len())));
    let shown = if all { report.findings.len() } else { SHOWN };
    let lines: Vec<[String; 5]> = report.findings.iter().take(shown).map(columns).collect();
    let width = |at: usize| lines.iter().filter_map(|l| l.get(at)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        print(format!("  {}", cells.join("  ")).trim_end());
    }
    let more = report.findings.len().saturating_sub(shown);
    if more > 0 {
        print(&format!("  …{more} more: marque scan --all"));
    }
    let notes = if all { report.notes.len() } else { NOTES_SHOWN };
    for note in report.notes.iter().take(notes) {
        say(&format!("note: {}", plain(note)));
    }
    let more = report.notes.len().saturating_sub(notes);
    if more > 0 {
        say(&format!("note: {more} more: marque scan --all"));
    }
    let looked = report.looked;
    say(&format!(
        "Looked at   {} variables, {} files, {} processes of this user",
        looked.variables, looked.files, looked.processes
    ));
}

fn columns(finding: &Finding) -> [String; 5] {
    let what = match &finding.detail {
        Some(detail) if detail.contains(&finding.kind) => detail.clone(),
        Some(detail) => format!("{}, {detail}", finding.kind),
        None => finding.kind.clone(),
    };
    let age = match finding.age_days {
        None => "age unknown".into(),
        Some(1) => "1 day".into(),
        Some(days) => format!("{days} days"),
    };
    let place = match finding.line {
        Some(line) => format!("{}:{line}", finding.place),
        None => finding.place.clone(),
    };
    [plain(&finding.name), plain(&place), plain(&what), age, plain(&remarks(finding))]
}

fn remarks(finding: &Finding) -> String {
    let mut out = Vec::new();
    if finding.production {
        out.push("looks like production".to_owned());
    }
    if !finding.shared.is_empty() {
        out.push(format!("same value in {}", some(finding.shared.clone())));
    }
    if !finding.held_by.is_empty() {
        out.push(format!("held now by {}", some(finding.held_by.iter().map(|h| format!("{} (pid {})", h.name, h.pid)).collect())));
    }
    out.join(" · ")
}

fn some(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let list = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}
