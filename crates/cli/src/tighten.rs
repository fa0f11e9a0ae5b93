//! `session tighten`: the smallest task file that would have worked, from what a session used. What it replays is judged by
//! the chain's own containment, on the task as it is written.

mod draft;
mod write;

use crate::args::Global;
use crate::connect::{block_on, client};
use crate::out::{Failure, Outcome, plain, print, print_json, say};
use crate::run::task;
use draft::{Draft, Record};
use hyper::Method;
use marque_api::control::{UsedOnce, Uses};
use marque_chain::{Grant, UseRef, UseWhat};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Pages that are read of one session.
const PAGES_MAX: usize = 10_000;

pub(crate) fn main(global: &Global, session: &str) -> Outcome {
    let client = client(global)?;
    let record = block_on(async {
        let mut pages = Vec::new();
        let mut after = 0;
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/sessions/{session}/uses?after={after}");
            let page: Uses = client.call(Method::GET, &path, None::<&()>).await?;
            let next = page.next;
            pages.push(page);
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        Record::of(pages)
    })?;
    let draft = Draft::of(&record)?;
    let text = write::task(&record, &draft);
    let judged = Judged::of(&record, &text)?;
    if global.json {
        let counted = |list: &BTreeMap<(String, String), u64>| {
            let one = |((what, why), count): (&(String, String), &u64)| serde_json::json!({"what": what, "why": why, "count": count});
            list.iter().map(one).collect::<Vec<_>>()
        };
        return print_json(&serde_json::json!({
            "schema": "marque/tighten.v1",
            "session": record.session,
            "task": text,
            "recorded": record.uses.len(),
            "replayed": judged.replayed,
            "left_out": counted(&judged.left_out),
            "hosts": record.hosts,
            "refused": counted(&record.refused),
        }));
    }
    print(text.trim_end());
    report(&record, &judged);
    Ok(ExitCode::SUCCESS)
}

/// What a task would have done with a record.
struct Judged {
    replayed: usize,
    /// What stays out and why, counted.
    left_out: BTreeMap<(String, String), u64>,
}

impl Judged {
    /// Reads the text as a run would, and asks its grants about every recorded use.
    fn of(record: &Record, text: &str) -> Result<Self, Failure> {
        let (environment, grants, egress) = task::read_text(text)?;
        let broken = |e: String| Failure::new(format!("the task that was written is not valid: {e}"), "report this");
        let mut all = Vec::new();
        for grant in grants {
            all.push(Grant::from_json(grant).map_err(|e| broken(e.to_string()))?);
        }
        all.extend(draft::open(&egress, &environment)?);
        let mut out = Self { replayed: 0, left_out: BTreeMap::new() };
        for used in &record.uses {
            let permitted = as_asked(used, &environment).is_some_and(|what| all.iter().any(|grant| grant.permits(&what)));
            if permitted && used.would_deny.is_empty() {
                out.replayed += 1;
                continue;
            }
            let why = match used.would_deny.first() {
                Some(code) => code.clone(),
                None if used.resource.is_none() && used.path.is_none() => "its path is not known any more".into(),
                None => "it cannot be written as a grant".into(),
            };
            *out.left_out.entry((format!("{} {}", used.service, used.operation), why)).or_default() += 1;
        }
        Ok(out)
    }
}

/// A recorded use as containment is asked about it.
fn as_asked<'a>(used: &'a UsedOnce, environment: &'a str) -> Option<UseRef<'a>> {
    let what = match (&used.resource, &used.path) {
        (Some(resource), _) => UseWhat::Service { service: &used.service, action: &used.operation, resource },
        (None, Some(path)) => UseWhat::Http { origin: &used.origin, method: &used.operation, path },
        (None, None) => return None,
    };
    Some(UseRef { environment, what })
}

fn report(record: &Record, judged: &Judged) {
    say(&format!("Replays     {} of {} recorded uses, judged by the task as it is written", judged.replayed, record.uses.len()));
    for ((what, why), count) in &judged.left_out {
        say(&format!("Left out    {} ×{count}  {why}", plain(what)));
    }
    if !record.hosts.is_empty() {
        let connections: u64 = record.hosts.values().sum();
        let hosts = record.hosts.len();
        say(&format!("Not judged  {connections} connections to {hosts} hosts that no grant named: what was said there is not known"));
    }
    for ((what, code), count) in &record.refused {
        say(&format!("Refused     {} ×{count}  {code}, as it was then", plain(what)));
    }
}
