//! `environment`: which hosts, accounts and resources belong to which environment.

use crate::args::{EnvironmentCommand, Global};
use crate::connect::{block_on, client, open};
use crate::out::{Failure, Outcome, exit, plain, print, print_as, say};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::{EnvironmentAsked, EnvironmentChange, EnvironmentFound, EnvironmentView};
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &EnvironmentCommand) -> Outcome {
    match command {
        EnvironmentCommand::Add { environment, what } => {
            let view: EnvironmentView = change(global, "/v1/environments", environment, what)?;
            if global.json {
                return print_as("marque/environment.v1", &view);
            }
            print(&line(&view));
            for name in &view.refuses {
                say(&format!("warning: the credential `{}` is for another environment than its hosts: its uses are refused", plain(name)));
            }
            Ok(ExitCode::SUCCESS)
        }
        EnvironmentCommand::Remove { what } => {
            // As it was registered, or as it was written when it was added.
            let what = what.iter().position(|word| KINDS.contains(&word.as_str())).and_then(|at| what.get(at..)).unwrap_or(what);
            let _: serde_json::Value = change(global, "/v1/environments/remove", "", what)?;
            if global.json {
                return print_as("marque/removed.v1", &serde_json::json!({ "removed": what.join(" ") }));
            }
            Ok(ExitCode::SUCCESS)
        }
        EnvironmentCommand::List => list(global, None),
        EnvironmentCommand::Show { environment } => list(global, Some(environment)),
        EnvironmentCommand::Check { what } => check(global, what),
    }
}

const KINDS: [&str; 4] = ["host", "account", "database", "resource"];

/// Kind, service and name.
fn words(what: &[String]) -> Result<[String; 3], Failure> {
    match what {
        [kind, name] => Ok([kind.clone(), String::new(), name.clone()]),
        [kind, service, name] => Ok([kind.clone(), service.clone(), name.clone()]),
        _ => Err(Failure::usage("that names nothing", "write it like `host NAME` or `resource SERVICE PATTERN`")),
    }
}

fn change<T: serde::de::DeserializeOwned>(global: &Global, path: &str, environment: &str, what: &[String]) -> Result<T, Failure> {
    let [kind, service, name] = words(what)?;
    let paths = Paths::of(global)?;
    block_on(async {
        let (client, passphrase) = open(global, &paths).await?;
        let body = EnvironmentChange { passphrase, kind, service, name, environment: environment.to_owned() };
        Ok(client.call(Method::POST, path, Some(&body)).await?)
    })
}

fn line(view: &EnvironmentView) -> String {
    let service = if view.service.is_empty() { "-" } else { &view.service };
    format!("{:<12} {:<9} {:<16} {}", plain(&view.environment), view.kind, plain(service), plain(&view.name))
}

fn list(global: &Global, only: Option<&str>) -> Outcome {
    let client = client(global)?;
    let mut list: Vec<EnvironmentView> = block_on(async { Ok(client.call(Method::GET, "/v1/environments", None::<&()>).await?) })?;
    list.retain(|view| only.is_none_or(|only| view.environment == only));
    if global.json {
        return print_as("marque/environments.v1", &list);
    }
    print("ENVIRONMENT  KIND      SERVICE          NAME");
    for view in &list {
        print(&line(view));
    }
    Ok(ExitCode::SUCCESS)
}

fn check(global: &Global, what: &[String]) -> Outcome {
    let [kind, service, name] = words(what)?;
    let client = client(global)?;
    let asked = EnvironmentAsked { kind, service, name };
    let found: EnvironmentFound = block_on(async { Ok(client.call(Method::POST, "/v1/environments/check", Some(&asked)).await?) })?;
    if global.json {
        print_as("marque/environment-check.v1", &found)?;
    } else {
        match (&found.environment, &found.entry) {
            (Some(environment), Some(entry)) => print(&format!("{}, by `{}`", plain(environment), plain(entry))),
            _ if found.state == "unknown" => print("unknown: its service is registered by resource, and no entry names it"),
            _ => print("not registered: it belongs where its credential's record says"),
        }
    }
    Ok(ExitCode::from(if found.environment.is_some() { 0 } else { exit::FINDINGS }))
}
