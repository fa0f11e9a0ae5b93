//! `approval`: a human's answers. Yes needs the passphrase; no needs nothing.

use crate::args::{ApprovalCommand, Global};
use crate::connect::{block_on, client};
use crate::auth;
use crate::out::{Outcome, plain, print, print_as, print_json_line};
use hyper::Method;
use marque_api::control::{ApprovalAnswer, ApprovalView, HeaderPiece, HeaderView};
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &ApprovalCommand) -> Outcome {
    match command {
        ApprovalCommand::List => list(global),
        ApprovalCommand::Show { id } => show(global, id),
        ApprovalCommand::Approve { id, uses, ttl } => {
            let ttl_s = ttl.as_deref().map(crate::run::task::seconds).transpose()?.unwrap_or(0);
            let passphrase = auth::passphrase(global, "marque passphrase: ")?;
            let body = ApprovalAnswer { passphrase: Some(passphrase), approve: true, uses: *uses, ttl_s };
            answer(global, id, &body)
        }
        ApprovalCommand::Deny { id } => {
            answer(global, id, &ApprovalAnswer { passphrase: None, approve: false, uses: 0, ttl_s: 0 })
        }
        ApprovalCommand::Watch => watch(global),
    }
}

fn list(global: &Global) -> Outcome {
    let client = client(global)?;
    let list: Vec<ApprovalView> = block_on(async { Ok(client.call(Method::GET, "/v1/approvals", None::<&()>).await?) })?;
    if global.json {
        return print_as("marque/approvals.v1", &list);
    }
    print("APPROVAL             STATE     WHO ANSWERS   ACTION");
    for view in &list {
        print(&line(view));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(view: &ApprovalView) -> String {
    let action = format!("{} {} on {}", view.service, view.operation, view.resource);
    format!("{:<20} {:<9} {:<13} {} ({})", view.id, view.state, view.group, plain(&action), plain(&view.because))
}

/// Lines of a body on a card.
const BODY_LINES: usize = 40;
/// Characters of one of them.
const BODY_COLUMNS: usize = 110;

fn wrapped(line: &str) -> Vec<String> {
    let clean: Vec<char> = plain(line).chars().collect();
    match clean.is_empty() {
        true => vec![String::new()],
        false => clean.chunks(BODY_COLUMNS).map(|chunk| chunk.iter().collect()).collect(),
    }
}

/// A header that has a mask says so in front, where no text of the agent's stands, and has its text in quotes.
fn header(view: &HeaderView) -> String {
    let name = plain(&view.name);
    if let [HeaderPiece::Text(text)] = view.value.as_slice() {
        return format!("header     {name}: {}", plain(text));
    }
    let piece = |piece: &HeaderPiece| match piece {
        HeaderPiece::Text(text) => format!("\"{}\"", plain(text).replace('\\', "\\\\").replace('"', "\\\"")),
        HeaderPiece::Masked { rule, bytes } => format!("({}, {bytes} bytes)", plain(rule)),
    };
    format!("masked     {name}: {}", view.value.iter().map(piece).collect::<Vec<_>>().join(" "))
}

/// What a human decides on. Text of the agent is stripped of what a terminal would obey.
fn card(view: &ApprovalView) -> Vec<String> {
    let mut out = vec![
        format!("{} {} on {}", view.service, view.operation, plain(&view.resource)),
        format!("effect     {} in {}", view.effect, view.environment),
        format!("request    {}", plain(&view.request)),
    ];
    for (name, value) in &view.attributes {
        out.push(format!("  {:<9}{}", plain(name), plain(value)));
    }
    out.extend(view.headers.iter().map(header));
    if !view.unbound.is_empty() {
        out.push(format!("unbound    {} (sent as well; the yes is not for what is in them)", plain(&view.unbound.join(", "))));
    }
    if let Some(body) = &view.body {
        out.push(format!("body       {} bytes, claimed by the agent like everything above:", view.body_bytes));
        let lines = body.lines().flat_map(|line| wrapped(line));
        out.extend(lines.map(|line| format!("  | {line}")).take(BODY_LINES));
        if (body.len() as u64) < view.body_bytes || body.lines().flat_map(wrapped).count() > BODY_LINES {
            out.push("  | … (more: `marque --json approval show`; what is not shown there is bound all the same)".into());
        }
    }
    out.push(format!("asks       {} ({})", plain(&view.because), view.rule));
    out.push(format!("who        {} · purpose \"{}\"", plain(&view.lineage.join(" → ")), plain(view.purpose.as_deref().unwrap_or("(erased)"))));
    out.push(format!("session    {}", view.session));
    out.push(format!("answers    {}", view.group));
    out.push(format!("if yes     {} use(s) of exactly this, within {} s", view.uses, view.ttl_s));
    out.push(format!("state      {}", view.state));
    out.push(format!("digest     {}", view.digest));
    out
}

fn show(global: &Global, id: &str) -> Outcome {
    let client = client(global)?;
    let path = format!("/v1/approvals/{id}");
    let view: ApprovalView = block_on(async { Ok(client.call(Method::GET, &path, None::<&()>).await?) })?;
    if global.json {
        return print_as("marque/approval.v1", &view);
    }
    for line in card(&view) {
        print(&line);
    }
    Ok(ExitCode::SUCCESS)
}

fn answer(global: &Global, id: &str, body: &ApprovalAnswer) -> Outcome {
    let client = client(global)?;
    let path = format!("/v1/approvals/{id}");
    let view: ApprovalView = block_on(async { Ok(client.call(Method::POST, &path, Some(body)).await?) })?;
    if global.json {
        return print_as("marque/approval.v1", &view);
    }
    print(&line(&view));
    Ok(ExitCode::SUCCESS)
}

/// Prints each question as it comes, until the authority goes away.
fn watch(global: &Global) -> Outcome {
    let client = client(global)?;
    block_on(async {
        let mut lines = client.stream("/v1/approvals/watch").await?;
        while let Some(view) = lines.next::<ApprovalView>().await? {
            if global.json {
                print_json_line(&view)?;
            } else {
                print(&line(&view));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}
