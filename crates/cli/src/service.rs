//! `service`: the profiles that ship, the check of one's own, and the act by which it takes effect.

use crate::args::{Global, ServiceCommand};
use crate::connect::{block_on, client, open};
use crate::out::{Failure, Outcome, exit, print, print_as, say, text};
use crate::paths::Paths;
use hyper::Method;
use marque_api::Code;
use marque_api::control::{ServiceApplied, ServiceApply, ServiceView};
use marque_authority::services::SHIPPED;
use marque_wire::profile::Profile;
use std::path::Path;
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &ServiceCommand) -> Outcome {
    match command {
        ServiceCommand::List => {
            list(global)
        }
        ServiceCommand::Show { name } => {
            let found = SHIPPED.iter().find(|(known, _)| known == name);
            let (_, found) = found.ok_or_else(|| Failure::new(format!("`{name}` is no service"), "see `marque service list`"))?;
            text(global, "marque/profile.v1", "profile", found)
        }
        ServiceCommand::Apply { file } => {
            let text = read(file)?;
            let paths = Paths::of(global)?;
            let applied: ServiceApplied = block_on(async {
                let (client, passphrase) = open(global, &paths).await?;
                Ok(client.call(Method::POST, "/v1/services", Some(&ServiceApply { passphrase, text })).await?)
            })?;
            if global.json {
                return print_as("marque/service-applied.v1", &applied);
            }
            print(&format!("{} with {} operations, sha256 {}", applied.service, applied.operations, applied.digest));
            for host in &applied.hosts {
                print(&format!("  reads {host}"));
            }
            Ok(ExitCode::SUCCESS)
        }
        ServiceCommand::Check { file } => {
            let checked: Vec<Checked> = match file {
                Some(path) => vec![check(&path.display().to_string(), &read(path)?)],
                None => SHIPPED.iter().map(|(name, text)| check(name, text)).collect(),
            };
            if global.json {
                print_as("marque/service-check.v1", &checked)?;
            } else {
                checked.iter().for_each(Checked::tell);
            }
            Ok(if checked.iter().all(|one| one.problems.is_empty()) { ExitCode::SUCCESS } else { ExitCode::from(exit::FINDINGS) })
        }
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    crate::files::read_text(path, crate::files::TEXT_BYTES_MAX).map_err(|e| Failure::usage(format!("`{}`: {e}", path.display()), "give a readable file"))
}

/// What the check of one profile found.
#[derive(serde::Serialize)]
struct Checked {
    name: String,
    operations: usize,
    yes: usize,
    no: usize,
    problems: Vec<String>,
}

impl Checked {
    fn tell(&self) {
        if self.problems.is_empty() {
            print(&format!("{}: {} operations, {} yes, {} no", self.name, self.operations, self.yes, self.no));
        }
        self.problems.iter().for_each(|problem| say(&format!("{}: {problem}", self.name)));
    }
}

fn check(name: &str, text: &str) -> Checked {
    let none = Checked { name: name.to_owned(), operations: 0, yes: 0, no: 0, problems: Vec::new() };
    let profile = match Profile::parse(text) {
        Ok(profile) => profile,
        Err(error) => return Checked { problems: vec![error.to_string()], ..none },
    };
    match profile.check() {
        Ok(done) => Checked { operations: done.operations, yes: done.yes, no: done.no, ..none },
        Err(problems) => Checked { problems: problems.iter().map(ToString::to_string).collect(), ..none },
    }
}

/// The shipped profiles, and those of one's own where an authority is there to be asked.
fn list(global: &Global) -> Outcome {
    let client = client(global)?;
    let shipped = |(name, _): &(&str, &str)| ServiceView { service: (*name).to_owned(), from: "shipped".into() };
    let asked: Result<Vec<ServiceView>, Failure> = block_on(async { Ok(client.call(Method::GET, "/v1/services", None::<&()>).await?) });
    let (views, asked) = match asked {
        Ok(views) => (views, true),
        Err(Failure::Problem(problem)) if matches!(problem.code, Code::SEALED | Code::UNREACHABLE) => (SHIPPED.iter().map(shipped).collect(), false),
        Err(error) => return Err(error),
    };
    if global.json {
        return print_as("marque/services.v1", &views);
    }
    for view in &views {
        print(if view.from == "shipped" { view.service.clone() } else { format!("{:<20} {}", view.service, view.from) }.as_str());
    }
    if !asked {
        say("note: no authority was asked for profiles of your own");
    }
    Ok(ExitCode::SUCCESS)
}
