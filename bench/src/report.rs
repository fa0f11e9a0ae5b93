//! Samples, medians, targets: what a run says and what is kept of it.

use crate::Result;
use crate::args::Args;
use crate::cpu;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

/// One run, as it is committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) bench: String,
    pub(crate) command: String,
    pub(crate) commit: String,
    /// Profile of the build that was measured.
    pub(crate) profile: String,
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    /// Load average of the minute before and after.
    pub(crate) load: [f64; 2],
    pub(crate) unit: String,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) targets: Vec<Target>,
    /// Versions of the peers, as they say themselves.
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) notes: Vec<String>,
}

/// What was measured, in the unit of the run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) median: f64,
    pub(crate) samples: Vec<f64>,
}

/// What was to be reached.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) value: f64,
    /// Greatest value, or least.
    pub(crate) limit: f64,
    pub(crate) is_least: bool,
}

impl Target {
    pub(crate) fn at_most(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, limit, is_least: false }
    }

    pub(crate) fn at_least(what: impl Into<String>, value: f64, limit: f64) -> Self {
        Self { what: what.into(), value, limit, is_least: true }
    }

    /// Whether it is met, or missed by no more than a factor.
    pub(crate) fn is_met(&self, slack: f64) -> bool {
        if self.is_least { self.value * slack >= self.limit } else { self.value <= self.limit * slack }
    }

    pub(crate) fn sign(&self) -> &'static str {
        if self.is_least { "≥" } else { "≤" }
    }
}

/// Samples of several subjects that take turns.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(String, Vec<f64>)>);

impl Samples {
    pub(crate) fn add(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name.to_owned(), vec![value])),
        }
    }

    /// The median over rounds of what the round's values give: drift between rounds drops out.
    pub(crate) fn paired(&self, names: &[&str], of: impl Fn(&[f64]) -> f64) -> Result<f64> {
        let all: Vec<&Vec<f64>> = names
            .iter()
            .map(|name| self.0.iter().find(|(known, _)| known == name).map(|(_, values)| values))
            .collect::<Option<_>>()
            .ok_or("a subject was not measured")?;
        let rounds = all.iter().map(|values| values.len()).min().unwrap_or(0);
        let values: Vec<f64> = (0..rounds)
            .map(|round| of(&all.iter().filter_map(|values| values.get(round).copied()).collect::<Vec<_>>()))
            .collect();
        Ok(median(&values).ok_or("nothing was measured")?)
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

impl Report {
    /// A report of these samples; `before` is the load average before the run.
    pub(crate) fn new(args: &Args, unit: &str, samples: Samples, before: f64) -> Self {
        let subjects = samples.0.into_iter().map(|(name, samples)| Subject {
            median: round(median(&samples).unwrap_or(f64::NAN)),
            samples: samples.into_iter().map(round).collect(),
            name,
        });
        let name = args.bench.name();
        let command = format!("marque-bench {name} --seconds {} --rounds {}", args.time.as_secs_f64(), args.rounds);
        Self {
            bench: name.to_owned(),
            command,
            commit: commit(),
            profile: profile(args),
            cpu: cpu::model(),
            cores: std::thread::available_parallelism().map_or(0, Into::into),
            load: [before, cpu::load_average()],
            unit: unit.to_owned(),
            subjects: subjects.collect(),
            targets: Vec::new(),
            versions: BTreeMap::new(),
            notes: Vec::new(),
        }
    }
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The folder that cargo built the measured binary into is named for its profile.
fn profile(args: &Args) -> String {
    let folder = args.marque.parent().and_then(|p| p.file_name()).unwrap_or_default();
    match folder.to_string_lossy().as_ref() {
        "debug" => "dev".to_owned(),
        other => other.to_owned(),
    }
}

fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|o| o.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else { return "unknown".to_owned() };
    // Results are not part of what is measured.
    let changed = git(&["status", "--porcelain", "--", ".", ":!bench/results", ":!bench/README.md"]);
    if changed.is_some_and(|c| c.is_empty()) { head } else { format!("{head} with changes") }
}

/// How the subjects begin that are not peers: what varies in these is ours to answer for.
const OURS: &[&str] = &["marque", "journal", "a chain"];

/// The slack for a run in which the peers themselves varied: by as much a ratio of them says nothing. Where there is none, what
/// was measured is compared with the target itself.
fn slack(slack: f64, subjects: &[Subject]) -> f64 {
    if slack <= 1.0 {
        return slack;
    }
    let is_peer = |s: &&Subject| !OURS.iter().any(|name| s.name.starts_with(name)) && !s.name.ends_with(" core");
    let spread = |s: &Subject| {
        let least = s.samples.iter().copied().fold(f64::INFINITY, f64::min);
        s.samples.iter().copied().fold(0.0, f64::max) / least
    };
    let spreads: Vec<f64> = subjects.iter().filter(is_peer).map(spread).filter(|spread| spread.is_finite()).collect();
    slack * median(&spreads).unwrap_or(1.0).max(1.0)
}

/// Says what came out, keeps it where it is asked for, and whether every target was met.
pub(crate) fn finish(args: &Args, report: Report) -> Result<bool> {
    let mut out = std::io::stdout();
    writeln!(out, "{} ({}, {}, load {:.1} to {:.1})", report.command, report.profile, report.cpu, report.load[0], report.load[1])?;
    for subject in &report.subjects {
        let samples: Vec<String> = subject.samples.iter().map(ToString::to_string).collect();
        writeln!(out, "  {:<34} {:>10.2} {}   of {}", subject.name, subject.median, report.unit, samples.join(" "))?;
    }
    for note in &report.notes {
        writeln!(out, "  {note}")?;
    }
    let slack = slack(args.slack, &report.subjects);
    if slack > args.slack {
        writeln!(out, "  slack {:.2}: {} times {:.2}, by which the peers themselves varied between rounds", slack, args.slack, slack / args.slack)?;
    }
    let mut met = true;
    for target in &report.targets {
        let ok = target.is_met(slack);
        met &= ok;
        let verdict = if ok { "ok" } else { "MISSED" };
        writeln!(out, "  {verdict:<6} {}: {:.2} (target {} {})", target.what, target.value, target.sign(), target.limit)?;
    }
    if let Some(dir) = &args.save {
        if args.only.is_some() {
            return Err("a run of some subjects alone is no result".into());
        }
        std::fs::create_dir_all(dir)?;
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(dir.join(format!("{}.json", report.bench)), format!("{text}\n"))?;
    }
    Ok(met)
}

/// The reason why there is no figure.
pub(crate) fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_widens_a_target_in_its_own_direction() {
        let most = Target::at_most("x", 1.6, 1.5);
        assert!(!most.is_met(1.0) && most.is_met(1.5));
        assert!(!Target::at_most("x", 2.26, 1.5).is_met(1.5));
        let least = Target::at_least("x", 0.5, 0.65);
        assert!(!least.is_met(1.0) && least.is_met(1.5));
        assert!(!Target::at_least("x", 0.43, 0.65).is_met(1.5));
    }

    #[test]
    fn a_slack_grows_with_what_the_peers_varied_and_no_target_without_slack_does() {
        let subject = |name: &str, samples: &[f64]| Subject { name: name.into(), median: 0.0, samples: samples.to_vec() };
        let subjects = [
            subject("nginx", &[20.0, 30.0, 24.0]),
            subject("nginx core", &[10.0, 90.0]),
            subject("marque-10", &[10.0, 90.0]),
            subject("journal", &[10.0, 90.0]),
        ];
        assert_eq!(slack(1.5, &subjects), 2.25);
        assert_eq!(slack(1.0, &subjects), 1.0);
        assert_eq!(slack(1.5, &[subject("nginx", &[20.0, 20.0])]), 1.5);
        assert_eq!(slack(1.5, &[]), 1.5);
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let mut samples = Samples::default();
        // Everything twice as slow in the second round: the ratio is the same.
        for (ours, theirs) in [(10.0, 5.0), (20.0, 10.0), (10.0, 5.0)] {
            samples.add("ours", ours);
            samples.add("theirs", theirs);
        }
        assert_eq!(samples.paired(&["ours", "theirs"], |v| v[0] / v[1]).unwrap(), 2.0);
        assert!(samples.paired(&["ours", "nobody"], |v| v[0]).is_err());
    }
}
