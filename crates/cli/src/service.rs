//! `service`: the profiles that ship, the check of one's own, and the act by which it takes effect.

use crate::args::{Global, ServiceCommand};
use crate::connect::{block_on, open};
use crate::out::{Failure, Outcome, exit, print, print_json, say};
use crate::paths::Paths;
use hyper::Method;
use marque_api::control::{ServiceApplied, ServiceApply};
use marque_authority::services::SHIPPED;
use marque_wire::profile::Profile;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::List => {
            let names: Vec<&str> = SHIPPED.iter().map(|(name, _)| *name).collect();
            if global.json {
                return print_json(&names);
            }
            for name in names {
                print(name);
            }
            Ok(ExitCode::SUCCESS)
        }
        ServiceCommand::Show { name } => {
            let found = SHIPPED.iter().find(|(known, _)| known == name);
            let (_, text) = found.ok_or_else(|| Failure::new(format!("`{name}` is no service"), "see `marque service list`"))?;
            print(text.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        ServiceCommand::Apply { file } => {
            let text = read(file)?;
            let paths = Paths::of(global)?;
            let applied: ServiceApplied = block_on(async {
                let (client, passphrase) = open(global, &paths).await?;
                Ok(client.call(Method::POST, "/v1/services", Some(&ServiceApply { passphrase, text })).await?)
            })?;
            if global.json {
                return print_json(&applied);
            }
            print(&format!("{} with {} operations, sha256 {}", applied.service, applied.operations, applied.digest));
            for host in &applied.hosts {
                print(&format!("  reads {host}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        ServiceCommand::Check { file } => {
            let mut bad = 0;
            match file {
                Some(path) => {
                    bad += check(&path.display().to_string(), &read(path)?);
                }
                None => {
                    for (name, text) in SHIPPED {
                        bad += check(name, text);
                    }
                }
            }
            Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDINGS) })
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    crate::files::read_text(path, crate::files::TEXT_BYTES_MAX).map_err(|e| Failure::usage(format!("`{}`: {e}", path.display()), "give a readable file"))
}

fn check(name: &str, text: &str) -> usize {
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(error) => {
            say(&format!("{name}: {error}"));
            return 1;
        }
    };
    match profile.check() {
        Ok(done) => {
            print(&format!("{name}: {} operations, {} yes, {} no", done.operations, done.yes, done.no));
            0
        }
        Err(problems) => {
            for problem in &problems {
                say(&format!("{name}: {problem}"));
            }
            problems.len()
        }
    }
}
