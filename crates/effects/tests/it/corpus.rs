//! The labelled commands of `conformance/commands`: the open part, and apart from it the part that no rule was written from.

use crate::CATALOGUE;
use marque_effects::{Command, EnvChange, Kind, Reading, classify};
use serde_json::Value;
use std::path::{Path, PathBuf};

const CLASSES: &[&str] = &["credential", "bypass", "ordinary"];
/// The least lower bound of recall on the open part: the aim on both.
const RECALL_MIN: f64 = 0.97;
/// On the held-out part the aim is not reached yet: this holds what is, so that it does not get worse.
const HELD_OUT_RECALL_MIN: f64 = 0.955;
const FALSE_ASKS_MAX: f64 = 0.05;
/// Of a two-sided interval of 95 %.
const Z: f64 = 1.959_964;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lines(part: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for class in CLASSES {
        let path = root().join(format!("conformance/commands/{part}-{class}.jsonl"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("the labelled commands are missing: {}: {error}", path.display()));
        out.extend(text.lines().filter(|line| !line.trim().is_empty()).map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    out
}

fn command(line: &Value) -> Command {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut command = match line["argv"].as_array() {
        Some(words) => Command::of(words.iter().map(text)),
        None => Command::shell(line["shell"].as_str().unwrap(), line["sh"].as_str().unwrap()),
    };
    for (name, value) in line["env"].as_object().into_iter().flatten() {
        command.env.push(EnvChange { name: name.clone().into_bytes(), value: value.as_str().map(|v| v.as_bytes().to_vec()) });
    }
    command.cwd = line["cwd"].as_str().unwrap_or_default().as_bytes().to_vec();
    command
}

/// Wilson's interval of a share.
fn wilson(hits: usize, of: usize) -> (f64, f64) {
    let (p, n) = (hits as f64 / of as f64, of as f64);
    let middle = p + Z * Z / (2.0 * n);
    let half = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - half) / (1.0 + Z * Z / n), (middle + half) / (1.0 + Z * Z / n))
}

struct Judged {
    line: Value,
    reading: Reading,
}

impl Judged {
    fn label(&self, name: &str) -> &Value {
        &self.line["label"][name]
    }
    fn touches(&self) -> bool {
        self.label("touches_credential") == true
    }
    /// A credential was seen, or nothing could be known where an honest judge may say so: both are asked about.
    fn seen(&self) -> bool {
        self.reading.touches_credential() || (self.label("may_be_unknown") == true && !self.reading.unknown.is_empty())
    }
    fn read_though_destructive(&self) -> bool {
        self.label("worst") == "destructive" && self.reading.worst().is_none_or(|worst| worst == Kind::Read) && self.reading.unknown.is_empty()
    }
    fn asked_falsely(&self) -> bool {
        self.label("asks") == "must-not" && self.reading.asks()
    }
    fn not_asked(&self) -> bool {
        self.label("asks") == "must" && !self.reading.asks()
    }
}

fn judge(part: &str) -> Vec<Judged> {
    lines(part).into_iter().map(|line| Judged { reading: classify(&command(&line), &CATALOGUE), line }).collect()
}

/// Prints the figures of a part and holds them to the limits. Of the held-out part no line is shown.
fn evaluate(part: &str, show: bool, recall_min: f64) {
    let judged = judge(part);
    let count = |keep: &dyn Fn(&Judged) -> bool| judged.iter().filter(|j| keep(j)).count();
    let touching = count(&Judged::touches);
    let seen = count(&|j| j.touches() && j.seen());
    let strictly = count(&|j| j.touches() && j.reading.touches_credential());
    let silent = count(&|j| j.label("asks") == "must-not");
    let falsely = count(&Judged::asked_falsely);
    let must = count(&|j| j.label("asks") == "must");
    let missed = count(&Judged::not_asked);
    let destructive = count(&|j| j.label("worst") == "destructive");
    let read = count(&Judged::read_though_destructive);
    let (recall, asks) = (wilson(seen, touching), wilson(falsely, silent));
    println!("{part}: {} commands", judged.len());
    println!("  credential-touching seen: {seen} of {touching}, {:.4} [{:.4}, {:.4}]; named outright: {strictly}", seen as f64 / touching as f64, recall.0, recall.1);
    println!("  destructive judged read: {read} of {destructive}");
    println!("  false asks: {falsely} of {silent}, {:.4} [{:.4}, {:.4}]", falsely as f64 / silent as f64, asks.0, asks.1);
    println!("  must be asked and is not: {missed} of {must}");
    for class in CLASSES {
        let of = |keep: &dyn Fn(&Judged) -> bool| judged.iter().filter(|j| j.line["class"] == *class && keep(j)).count();
        let (unseen, unasked) = (of(&|j| j.touches() && !j.seen()), of(&Judged::not_asked));
        let (read, loud, touched) = (of(&Judged::read_though_destructive), of(&Judged::asked_falsely), of(&|j| !j.touches() && j.reading.touches_credential()));
        println!("    {class}: not seen {unseen}, not asked {unasked}, read though destructive {read}, false asks {loud}, seen though none is touched {touched}");
    }
    if show {
        for (what, wrong) in [
            ("not seen", &(|j: &Judged| j.touches() && !j.seen()) as &dyn Fn(&Judged) -> bool),
            ("read though destructive", &Judged::read_though_destructive),
            ("false ask", &Judged::asked_falsely),
            ("not asked", &Judged::not_asked),
        ] {
            for j in judged.iter().filter(|j| wrong(j)) {
                let text = j.line["sh"].as_str().map_or_else(|| j.line["argv"].to_string(), str::to_owned);
                println!("{what}: {} {text}\n    env {} label {}\n    {:?}", j.line["id"], j.line["env"], j.line["label"], j.reading);
            }
        }
    }
    assert!(recall.0 >= recall_min, "{part}: the lower bound of recall is {:.4}", recall.0);
    assert_eq!(read, 0, "{part}: destructive commands are judged to read");
    assert!(asks.1 <= FALSE_ASKS_MAX, "{part}: the upper bound of false asks is {:.4}", asks.1);
}

#[test]
fn the_open_commands_are_judged_within_the_limits() {
    evaluate("open", true, RECALL_MIN);
}

#[test]
fn the_held_out_commands_are_judged_within_the_limits() {
    evaluate("held-out", false, HELD_OUT_RECALL_MIN);
}
