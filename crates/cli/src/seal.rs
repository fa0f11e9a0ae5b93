//! `seal`: the ways to open the seal.

use crate::args::{Global, SealCommand};
use crate::connect::{block_on, client, status};
use crate::out::{Outcome, print, print_json};
use crate::auth;
use hyper::Method;
use marque_api::control::{Seal, SealAdd, SealCopy, SealRemove};
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &SealCommand) -> Outcome {
    let client = client(global)?;
    let seal: Seal = match command {
        SealCommand::List => {
            let status = block_on(async { Ok(status(&client).await?) })?;
            Seal { schema: "marque/seal.v1".into(), ways: status.seal }
        }
        SealCommand::Add { way } => {
            let body = SealAdd { passphrase: auth::passphrase(global, "marque passphrase: ")?, way: way.clone() };
            block_on(async { Ok(client.call(Method::POST, "/v1/seal", Some(&body)).await?) })?
        }
        SealCommand::Remove { id } => {
            let body = SealRemove { passphrase: auth::passphrase(global, "marque passphrase: ")? };
            block_on(async { Ok(client.call(Method::POST, &format!("/v1/seal/{id}/remove"), Some(&body)).await?) })?
        }
    };
    if global.json {
        return print_json(&seal);
    }
    seal.ways.iter().for_each(|copy| print(&line(copy)));
    Ok(ExitCode::SUCCESS)
}

/// What it protects stands wherever it is named.
pub(crate) fn line(copy: &SealCopy) -> String {
    format!("{:<3} {:<19} {}", copy.id, copy.way, copy.protects)
}
