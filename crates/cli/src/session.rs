//! `session`, `status`, `stop`, `why`.

use crate::args::{Global, SessionCommand, WhyArgs};
use crate::connect::{block_on, client, open, status as ask_status};
use crate::out::{Failure, Outcome, plain, print, print_as, print_json, say};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::{Found, Search, SearchPage, SessionEnd, SessionView, StartView, Statement, Why};
use marque_client::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::process::ExitCode;

pub(crate) fn status(global: &Global) -> Outcome {
    let client = client(global)?;
    let status = block_on(async { Ok(ask_status(&client).await?) })?;
    if global.json {
        return print_json(&status);
    }
    let sealed = if status.sealed { "sealed" } else { "open" };
    print(&format!("authority {} pid {} {sealed}", status.version, status.pid));
    status.seal.iter().for_each(|copy| print(&format!("seal {}", crate::seal::line(copy))));
    if status.sealed {
        print("run `marque unseal`; nothing is recorded or admitted until then");
        return Ok(ExitCode::SUCCESS);
    }
    print(&format!("records {} · live sessions {}", status.records, status.sessions));
    if let Some(start) = &status.start {
        print(&started(start));
        for why in &start.passed_over {
            print(&format!("snapshot not used: {}", plain(why)));
        }
    }
    crate::witness::print_all(&status);
    Ok(ExitCode::SUCCESS)
}

/// From where the journal was read.
fn started(start: &StartView) -> String {
    let StartView { records, replayed, snapshot, .. } = start;
    match snapshot {
        Some(seq) => format!("started from the snapshot at record {seq}: {replayed} of {records} records read"),
        None => format!("started from the first record: {replayed} records read"),
    }
}

/// Nothing but the seal: no act that widens authority follows.
pub(crate) fn unseal(global: &Global) -> Outcome {
    let paths = Paths::of(global)?;
    block_on(open(global, &paths))?;
    status(global)
}

/// Returns when the process has ended.
pub(crate) fn stop(global: &Global) -> Outcome {
    let client = client(global)?;
    block_on(async {
        let pid = ask_status(&client).await?.pid;
        // Opened before it is told to stop, so that the number cannot be somebody else's by then.
        let process = i32::try_from(pid).ok().and_then(Pid::from_raw).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        let _: serde_json::Value = client.call(Method::POST, "/v1/stop", None::<&()>).await?;
        if let Some(process) = &process {
            // Readable when it has ended; what takes longer than this ends without an onlooker.
            let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&STOPPED_WITHIN));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// How long `stop` looks on: what is being drained may take as long.
const STOPPED_WITHIN: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

pub(crate) fn main(global: &Global, command: &SessionCommand) -> Outcome {
    let client = client(global)?;
    match command {
        SessionCommand::List { all: true, limit, after } => past(global, &client, *limit, *after),
        SessionCommand::List { .. } => {
            let list: Vec<SessionView> = block_on(async { Ok(client.call(Method::GET, "/v1/sessions", None::<&()>).await?) })?;
            if global.json {
                return print_as("marque/sessions.v1", &list);
            }
            print("SESSION              STATE   MODE     GRADE  USES  AGENT         PURPOSE");
            for s in &list {
                let purpose = plain(s.purpose.as_deref().unwrap_or("(erased)"));
                print(&format!(
                    "{:<20} {:<7} {:<8} {:<6} {:<5} {:<13} {purpose}",
                    s.session, s.state, s.mode, s.grade, s.uses, plain(&s.agent)
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        SessionCommand::Show { session } => {
            let list: Vec<SessionView> = block_on(async { Ok(client.call(Method::GET, "/v1/sessions", None::<&()>).await?) })?;
            let found = list.into_iter().find(|s| s.session.starts_with(session.as_str()));
            let view = found.ok_or_else(|| Failure::new(format!("`{session}` is no live session"), "see `marque session list`"))?;
            if global.json {
                return print_as("marque/session-view.v1", &view);
            }
            print(&format!("session      {}", view.session));
            print(&format!("purpose      {}", plain(view.purpose.as_deref().unwrap_or("(erased)"))));
            print(&format!("human        {}", view.human));
            print(&format!("agent        {}", plain(&view.agent)));
            print(&format!("environment  {} · {} · grade {}", view.environment, view.mode, view.grade));
            print(&format!("uses         {}", view.uses));
            for grant in &view.grants {
                print(&format!("grant        {}", plain(grant)));
            }
            Ok(ExitCode::SUCCESS)
        }
        SessionCommand::Tighten { session } => crate::tighten::main(global, session),
        SessionCommand::Close { session } => {
            let body = SessionEnd { reason: "stopped".into() };
            let path = format!("/v1/sessions/{session}/end");
            let statement: Statement = block_on(async { Ok(client.call(Method::POST, &path, Some(&body)).await?) })?;
            if global.json {
                return print_json(&statement);
            }
            for line in statement_lines(&statement) {
                print(&line);
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Every session that was ever opened, by the records that opened them.
fn past(global: &Global, client: &Client, limit: u64, after: Option<u64>) -> Outcome {
    let asked = Search { kind: Some("session.open".into()), limit: Some(limit), after, ..Search::default() };
    let (page, live) = block_on(async {
        let page: SearchPage = client.call(Method::POST, "/v1/search", Some(&asked)).await?;
        let live: Vec<SessionView> = client.call(Method::GET, "/v1/sessions", None::<&()>).await?;
        Ok((page, live))
    })?;
    let state = |found: &Found| live.iter().find(|s| Some(&s.session) == found.session.as_ref()).map_or("over", |s| s.state.as_str()).to_owned();
    if global.json {
        let one = |found: &Found| {
            serde_json::json!({
                "session": found.session, "opened_ms": found.time_ms, "state": state(found), "human": found.human, "what": found.detail, "seq": found.seq,
            })
        };
        let items: Vec<_> = page.records.iter().map(one).collect();
        return print_json(&serde_json::json!({ "schema": "marque/sessions-all.v1", "items": items, "next": page.next }));
    }
    print("SESSION              STATE   OPENED                AGENT");
    for found in &page.records {
        let [session, what] = [&found.session, &found.detail].map(|word| plain(word.as_deref().unwrap_or_default()));
        print(&format!("{session:<20} {:<7} {}  {what}", state(found), crate::search::rfc3339(found.time_ms)));
    }
    if let Some(next) = page.next {
        say(&format!("more: the next page begins with `--after {next}`"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The teardown statement for people.
pub(crate) fn statement_lines(s: &Statement) -> Vec<String> {
    let mut out = Vec::new();
    let sent = s.by_service.iter().filter(|u| u.sent > 0);
    let uses: Vec<String> = sent.map(|u| format!("{} {} {}", u.service, u.sent, u.effect)).collect();
    out.push(format!("Used        {}", if uses.is_empty() { "nothing".into() } else { uses.join(" · ") }));
    let unsent: u64 = s.by_service.iter().map(|u| u.uses.saturating_sub(u.sent)).sum();
    if unsent > 0 {
        out.push(format!("Not sent    {unsent} uses that were admitted and never left"));
    }
    for refused in &s.refused {
        out.push(format!("Refused     {} ×{}  {}", plain(&refused.what), refused.count, refused.code));
    }
    for failed in &s.unanswered {
        out.push(format!("No answer   {} ×{}  {}", plain(&failed.what), failed.count, failed.code));
    }
    for passed in &s.would_refuse {
        out.push(format!("Let pass    {} ×{}  enforce: {}", plain(&passed.what), passed.count, passed.code));
    }
    if s.unknown > 0 {
        out.push(format!("Unknown     {} uses have no outcome; they are charged in full", s.unknown));
    }
    out.push(format!("Closed      {} ms after the end ({}); no use was admitted since", s.closed_after_ms, s.reason));
    let standing = if s.static_used.is_empty() { "nothing was minted".into() } else {
        format!("static and still live upstream: {}", s.static_used.join(", "))
    };
    out.push(format!("Left        {standing}"));
    for line in &s.standing {
        out.push(format!("Standing    {line}"));
    }
    for line in &s.not_known {
        out.push(format!("Not known   {line}"));
    }
    out
}

pub(crate) fn why(global: &Global, args: &WhyArgs) -> Outcome {
    let client = client(global)?;
    let session = args.session.clone().or_else(|| std::env::var("MARQUE_SESSION").ok()).unwrap_or_else(|| "self".into());
    let path = format!("/v1/sessions/{session}/why");
    let why: Why = block_on(async { Ok(client.call(Method::GET, &path, None::<&()>).await?) })?;
    if global.json {
        return print_json(&why);
    }
    print(&format!("{}: {}", why.code, plain(&why.detail)));
    print(&format!("request  {}", plain(&why.request)));
    print(&format!("help     {}", plain(&why.help)));
    for rule in &why.rules {
        print(&format!("rule     {}", plain(rule)));
    }
    if let Some(flip) = &why.counterfactual {
        print(&format!("other    it would be otherwise if {}", plain(flip)));
    }
    Ok(ExitCode::SUCCESS)
}
