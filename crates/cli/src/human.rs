//! `human`: who answers for sessions, and how one is erased. The journal knows pseudonyms; names come from this machine.

use crate::args::{Global, HumanCommand};
use crate::connect::{block_on, client, open};
use crate::out::{Failure, Outcome, plain, print, print_as, say};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::{HumanErase, HumanView};
use marque_client::Client;
use nix::unistd::{Uid, User};
use std::process::ExitCode;

/// The shortest beginning of a pseudonym: `h-` and four characters. A slip must not name somebody.
const PREFIX_MIN: usize = 6;

pub(crate) fn main(global: &Global, command: &HumanCommand) -> Outcome {
    match command {
        HumanCommand::List => list(global),
        HumanCommand::Show { human } => show(global, human),
        HumanCommand::Erase { human } => erase(global, human),
    }
}

async fn all(client: &Client) -> Result<Vec<HumanView>, Failure> {
    Ok(client.call(Method::GET, "/v1/humans", None::<&()>).await?)
}

fn list(global: &Global) -> Outcome {
    let client = client(global)?;
    let list = block_on(all(&client))?;
    if global.json {
        return print_as("marque/humans.v1", &list);
    }
    print("HUMAN                         STATE   USER             RECORDS  SESSIONS");
    for view in &list {
        let user = user_of(view).unwrap_or_else(|| "-".into());
        print(&format!("{:<29} {:<7} {:<16} {:<8} {}", view.human, view.state, plain(&user), view.records, view.sessions.len()));
    }
    Ok(ExitCode::SUCCESS)
}

fn show(global: &Global, human: &str) -> Outcome {
    let client = client(global)?;
    let view = found(block_on(all(&client))?, human)?;
    if global.json {
        return print_as("marque/human.v1", &view);
    }
    print(&format!("human      {}", view.human));
    match (view.erased, user_of(&view)) {
        (Some(seq), _) => print(&format!("user       (erased), by record {seq}")),
        (None, Some(user)) => print(&format!("user       {}", plain(&user))),
        (None, None) => print("user       not one of this machine"),
    }
    print(&format!("records    {}; see `marque audit search --human {}`", view.records, view.human));
    for session in &view.sessions {
        print(&format!("session    {session}"));
    }
    for question in &view.questions {
        print(&format!("question   {question}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn erase(global: &Global, human: &str) -> Outcome {
    let paths = Paths::of(global)?;
    let view: HumanView = block_on(async {
        let (client, passphrase) = open(global, &paths).await?;
        let view = found(all(&client).await?, human)?;
        let path = format!("/v1/humans/{}/erase", view.human);
        Ok(client.call(Method::POST, &path, Some(&HumanErase { passphrase })).await?)
    })?;
    if global.json {
        return print_as("marque/human.v1", &view);
    }
    print(&format!("erased {}, by record {}; his {} records stay", view.human, view.erased.unwrap_or_default(), view.records));
    say("copies of the data directory that were made before still hold what was erased: destroy them too");
    Ok(ExitCode::SUCCESS)
}

/// The one human that is meant.
fn found(list: Vec<HumanView>, text: &str) -> Result<HumanView, Failure> {
    let uid = text.parse().ok().or_else(|| uid_of(text));
    let meant = |view: &HumanView| match uid {
        Some(uid) => view.uid == Some(uid),
        None => text.len() >= PREFIX_MIN && view.human.starts_with(text),
    };
    let mut fitting = list.into_iter().filter(meant);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Failure::new(format!("`{}` is no human that is known, or not one alone", plain(text)), "see `marque human list`")),
    }
}

fn uid_of(name: &str) -> Option<u32> {
    Some(User::from_name(name).ok()??.uid.as_raw())
}

/// Name and number of the system's user.
fn user_of(view: &HumanView) -> Option<String> {
    let uid = view.uid?;
    let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name);
    Some(name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} ({uid})")))
}
