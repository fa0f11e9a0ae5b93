//! A task file's text. What comes from a session is quoted, and comments hold no line of others.

use super::draft::{Draft, HOSTS_MAX, Part, Record};
use crate::out::plain;
use marque_chain::grant::Methods;
use marque_chain::Grant;
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(super) fn task(record: &Record, draft: &Draft) -> String {
    let opened = &record.opened;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}");
    };
    line(format!("# What session {} used ({}, {} uses), written by `marque session tighten`.", record.session, opened.mode, record.uses.len()));
    line("# It says what was used, not what should be: read it before you commit it.".into());
    line("task    = 1".into());
    line(format!("purpose = {}", quoted(opened.purpose.as_deref().unwrap_or("Say what this task is for"))));
    line(format!("env     = {}", quoted(&opened.environment)));
    line(format!("ttl     = {}", quoted(&length(opened.ttl_s))));
    line("mode    = \"enforce\"".into());
    line(format!("agents  = {}", list(std::slice::from_ref(&opened.agent))));
    for part in &draft.parts {
        for text in grant(part) {
            line(text);
        }
    }
    for text in egress(draft) {
        line(text);
    }
    out
}

fn grant(part: &Part) -> Vec<String> {
    let mut out = vec![String::new(), format!("# used: {}", counted(&part.counts)), "[[grant]]".into()];
    match &part.grant {
        Grant::Service(service) => {
            let allow: Vec<String> = service.actions().iter().map(ToString::to_string).collect();
            out.push(format!("service = {}", quoted(service.service())));
            out.push(format!("allow   = {}", list(&allow)));
            let on: Vec<String> = service.resources().iter().map(ToString::to_string).collect();
            out.push(format!("on      = {}", list(&on)));
        }
        Grant::Http(http) => {
            let methods = match http.methods() {
                Methods::Any => vec!["*".to_owned()],
                Methods::These(names) => names.clone(),
            };
            let on: Vec<String> = http.locations().iter().map(ToString::to_string).collect();
            let paths: Vec<String> = http.paths().iter().map(ToString::to_string).collect();
            out.push("service = \"http\"".into());
            out.push(format!("allow   = {}", list(&methods)));
            out.push(format!("on      = {}", list(&on)));
            out.push(format!("paths   = {}", list(&paths)));
        }
    }
    out.extend(limit(&part.grant));
    out
}

/// Limits stay as they were granted.
fn limit(grant: &Grant) -> Option<String> {
    let limits = serde_json::to_value(grant.limits()).ok()?;
    // In the order of the names, whatever order a build keeps members in.
    let limits: BTreeMap<_, _> = limits.as_object().filter(|l| !l.is_empty())?.iter().collect();
    let pair = |(name, value): (&String, &serde_json::Value)| match value.as_object() {
        None => format!("{name} = {value}"),
        Some(rate) => {
            let rate: BTreeMap<_, _> = rate.iter().collect();
            let inner: Vec<String> = rate.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("{name} = {{ {} }}", inner.join(", "))
        }
    };
    Some(format!("limit   = {{ {} }}", limits.into_iter().map(pair).collect::<Vec<_>>().join(", ")))
}

fn egress(draft: &Draft) -> Vec<String> {
    if draft.granted.is_empty() && draft.passed.is_empty() {
        return Vec::new();
    }
    let mut out = vec![String::new(), "[egress]".into()];
    if !draft.passed.is_empty() {
        out.push("# What is commented out passed in observe mode, without a credential and without a look inside. No grant named it:".into());
        out.push("# take in what the work needs.".into());
    }
    out.push("allow = [".into());
    let entry = |(name, count): &(String, u64)| format!("  {},  # ×{count}", quoted(name));
    out.extend(draft.granted.iter().map(entry));
    out.extend(draft.passed.iter().take(HOSTS_MAX).map(|e| format!("  # {}", entry(e).trim_start())));
    let more = draft.passed.len().saturating_sub(HOSTS_MAX);
    if more > 0 {
        out.push(format!("  # and {more} more hosts"));
    }
    out.push("]".into());
    out
}

fn counted(counts: &BTreeMap<String, u64>) -> String {
    counts.iter().map(|(effect, count)| format!("{count} {}", plain(effect))).collect::<Vec<_>>().join(" · ")
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|t| quoted(t)).collect::<Vec<_>>().join(", "))
}

fn length(seconds: u64) -> String {
    match seconds {
        s if s > 0 && s % 3600 == 0 => format!("{}h", s / 3600),
        s if s > 0 && s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{}s", s.max(1)),
    }
}
