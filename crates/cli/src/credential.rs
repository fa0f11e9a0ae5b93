//! `credential`: values go in by standard input, and never out.

use crate::args::{CredentialCommand, Global};
use crate::connect::{block_on, client, open};
use crate::out::{Failure, Outcome, print, print_as};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::{CredentialAdd, CredentialView};
use std::io::{IsTerminal, Read};
use std::process::ExitCode;

/// Longest value.
const VALUE_BYTES_MAX: u64 = 64 << 10;

pub(crate) fn main(global: &Global, command: &CredentialCommand) -> Outcome {
    match command {
        CredentialCommand::Add { name, service, env, hosts, placement, pins, resources, reference } => {
            let value = match reference {
                Some(_) => None,
                None => Some(read_value()?),
            };
            let paths = Paths::of(global)?;
            let view: CredentialView = block_on(async {
                let (client, passphrase) = open(global, &paths).await?;
                let body = CredentialAdd {
                    passphrase,
                    name: name.clone(),
                    service: service.clone(),
                    environment: env.clone(),
                    value,
                    reference: reference.clone(),
                    hosts: hosts.clone(),
                    placement: placement.clone(),
                    pins: pins.clone(),
                    resources: resources.clone(),
                };
                Ok(client.call(Method::POST, "/v1/credentials", Some(&body)).await?)
            })?;
            if global.json {
                return print_as("marque/credential.v1", &view);
            }
            print(&format!("{} version {} for {} in {}", view.name, view.version, view.service, view.environment));
            for origin in &view.origins {
                print(&format!("  may go to {origin}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        CredentialCommand::List => {
            let client = client(global)?;
            let list: Vec<CredentialView> =
                block_on(async { Ok(client.call(Method::GET, "/v1/credentials", None::<&()>).await?) })?;
            if global.json {
                return print_as("marque/credentials.v1", &list);
            }
            print("NAME                 SERVICE          ENVIRONMENT   VERSION  KIND    FROM   PLACE");
            for c in &list {
                print(&format!(
                    "{:<20} {:<16} {:<13} {:<8} {:<7} {:<6} {}",
                    c.name, c.service, c.environment, c.version, c.kind, c.source, c.placement
                ));
            }
            Ok(ExitCode::SUCCESS)
        }
        CredentialCommand::Remove { name } => {
            let client = client(global)?;
            let path = format!("/v1/credentials/{name}");
            let _: serde_json::Value = block_on(async { Ok(client.call(Method::DELETE, &path, None::<&()>).await?) })?;
            if global.json {
                return print_as("marque/removed.v1", &serde_json::json!({ "removed": name }));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn read_value() -> Result<String, Failure> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        return Err(Failure::usage("the value is read from standard input", "write `marque credential add … < file`"));
    }
    let mut value = String::new();
    let read = (&mut input).take(VALUE_BYTES_MAX).read_to_string(&mut value);
    read.map_err(|e| Failure::usage(format!("the value cannot be read: {e}"), "give it as UTF-8 text"))?;
    let value = value.trim_end_matches(['\r', '\n']).to_owned();
    if value.is_empty() {
        return Err(Failure::usage("standard input holds no value", "write `marque credential add … < file`"));
    }
    Ok(value)
}
