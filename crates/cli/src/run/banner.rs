//! What `run` says, on stderr. What is weaker than it looks comes first.

use super::contained::Containment;
use super::task::Plan;
use crate::out::{plain, say};
use crate::session::statement_lines;
use marque_api::control::{SessionOpened, Statement};
use marque_sandbox::workspace::{Changes, Fate};
use std::path::Path;

/// Names of withheld variables that are printed.
const NAMES_SHOWN: usize = 6;

pub(super) fn containment(containment: &Containment) {
    if containment.is_sandbox() {
        say("Contained   C: own network, files and processes. The gateway is the only road out, your home is hidden, and everything");
        say("            ends with the session. Programs that the agent starts are not judged one by one.");
        return;
    }
    say("Contained   D: nothing. The agent runs as you and can read your files, other processes' environment and your");
    say("            keyring, and can go around the proxy. Credentials that marque holds stay out of its reach.");
    if let Some(report) = containment.lacks() {
        say(&format!("Because     {}", plain(&report.why.join("; "))));
        for fix in &report.fixes {
            say(&format!("help: {}", plain(fix)));
        }
    }
}

/// Names of what changed that are printed.
const CHANGES_SHOWN: usize = 20;

/// What a sandbox's agent left in the workspace: all of it where it worked on a copy, and what runs on the host otherwise.
pub(super) fn left(changes: &Changes, copy: Option<&Path>) {
    match copy {
        Some(copy) => say(&format!("Workspace   {} change(s), in the copy at {}", changes.list.len(), plain(&copy.to_string_lossy()))),
        None if changes.list.is_empty() => {}
        None => say("Workspace   changed by the agent and known to run on this machine; read before you run anything here:"),
    }
    for change in changes.list.iter().take(CHANGES_SHOWN) {
        let fate = match change.fate {
            Fate::Added => "added",
            Fate::Changed => "changed",
            Fate::Removed => "removed",
        };
        let runs = change.runs.map(|why| format!("  ({why})")).unwrap_or_default();
        say(&format!("            {fate:8} {}{}", plain(&change.path.to_string_lossy()), plain(&runs)));
    }
    let more = changes.list.len().saturating_sub(CHANGES_SHOWN);
    if more > 0 {
        say(&format!("            {more} more"));
    }
}

pub(super) fn opening(plan: &Plan, opened: &SessionOpened, withheld: &[String]) {
    let brokered = if opened.brokered.is_empty() { "nothing".to_owned() } else { opened.brokered.join(" · ") };
    say(&format!("Brokered    {}", plain(&brokered)));
    if !withheld.is_empty() {
        let shown: Vec<String> = withheld.iter().take(NAMES_SHOWN).map(|n| plain(n)).collect();
        let more = withheld.len().saturating_sub(NAMES_SHOWN);
        let rest = if more > 0 { format!(", {more} more") } else { String::new() };
        say(&format!("Withheld    {}{rest} (let one through with --pass NAME)", shown.join(", ")));
    }
    match plan.mode.as_str() {
        "observe" => say("Mode        observe: whatever the brokered credentials can do is let through and recorded; they stay out of reach"),
        _ => say("Mode        enforce"),
    }
    say(&format!("Session     {}  {}  \"{}\"", opened.session, plan.environment, plain(&plan.purpose)));
}

/// A grant of a service without a credential permits what cannot be done: a slip in the environment, or a forgotten credential.
pub(super) fn unmatched(plan: &Plan, opened: &SessionOpened) {
    let mut missing: Vec<&str> = plan.grants.iter().filter(|grant| grant["type"] == "service").filter_map(|grant| grant["service"].as_str()).collect();
    missing.retain(|service| !opened.brokered.iter().any(|b| b.strip_prefix(service).is_some_and(|rest| rest.starts_with(" ("))));
    missing.dedup();
    for service in missing {
        let (service, environment) = (plain(service), plain(&plan.environment));
        say(&format!("warning: no stored credential matches the grant for `{service}` in `{environment}`"));
        say(&format!("help: marque credential add {service} --service {service} --env {environment} < file"));
    }
}

/// A question waits. Nothing that the agent wrote stands in the line, so that it is told from what the agent prints.
pub(super) fn waits(view: &marque_api::control::ApprovalView) -> String {
    use std::io::IsTerminal as _;
    // On a terminal the agent may have left the cursor anywhere.
    let fresh = if std::io::stderr().is_terminal() { "\r\n" } else { "" };
    format!("{fresh}Waits       a question of this session: marque approval show {}", plain(&view.id))
}

pub(super) fn statement(statement: &Statement) {
    for line in statement_lines(statement) {
        say(&line);
    }
    say(&format!("Proof       marque audit lineage {}", statement.session));
}
