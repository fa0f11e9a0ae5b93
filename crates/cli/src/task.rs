//! `task`: check a task file, and put it in force as it is now.

use crate::args::{Global, TaskCommand};
use crate::connect::{block_on, client_at, open};
use crate::out::{Failure, Outcome, plain, print, print_as, say};
use crate::paths::Paths;
use crate::run::task::{read, read_text};
use hyper::Method;
use marque_api::Code;
use marque_api::control::{TaskApplied, TaskApply, TaskFile};
use marque_client::Client;
use similar::{ChangeTag, TextDiff};
use std::process::ExitCode;

pub(crate) fn main(global: &Global, command: &TaskCommand) -> Outcome {
    match command {
        TaskCommand::Check { file } => {
            let (environment, grants, egress) = read_text(&read(file)?.text)?;
            for grant in &grants {
                let broken = |e| Failure::usage(format!("`{}`: the grant {grant} is not valid: {e}", file.display()), "see `marque explain MQ-1201`");
                marque_chain::Grant::from_json(grant.clone()).map_err(broken)?;
            }
            if global.json {
                let read = serde_json::json!({ "file": file.display().to_string(), "environment": environment, "grants": grants, "egress": egress });
                return print_as("marque/task-check.v1", &read);
            }
            let open = if egress.is_empty() { "no open host".to_owned() } else { format!("open hosts {}", egress.join(", ")) };
            print(&format!("{}: {} grants for `{environment}`, {open}", file.display(), grants.len()));
            Ok(ExitCode::SUCCESS)
        }
        TaskCommand::Apply { file } => {
            let file = read(file)?;
            read_text(&file.text)?;
            let paths = Paths::of(global)?;
            let applied: TaskApplied = block_on(async {
                // What changed comes before the question for the passphrase, where an authority is open to be asked.
                let before = client_at(&paths)?;
                let shown = match show_change(&before, &file).await {
                    Err(Failure::Problem(problem)) if matches!(problem.code, Code::SEALED | Code::UNREACHABLE) => false,
                    shown => shown.map(|()| true)?,
                };
                let (client, passphrase) = open(global, &paths).await?;
                if !shown {
                    show_change(&client, &file).await?;
                }
                let asked = TaskApply { passphrase, file: file.clone() };
                Ok(client.call(Method::POST, "/v1/tasks", Some(&asked)).await?)
            })?;
            if global.json {
                return print_as("marque/task-applied.v1", &applied);
            }
            print(&format!("{}, sha256 {}", file.path, applied.digest));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Says what a file has that the one which took effect has not, and the other way round. Nothing for a file that never did.
pub(crate) async fn show_change(client: &Client, file: &TaskFile) -> Result<(), Failure> {
    let known: TaskApplied = match client.call(Method::POST, "/v1/tasks/show", Some(file)).await {
        Ok(known) => known,
        Err(marque_client::Error::Refused(problem)) if problem.code == Code::NOT_FOUND => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match known.text {
        Some(text) if text == file.text => {}
        Some(text) => say(&change(&text, &file.text)),
        None => say(&format!("The text that took effect, sha256 {}, is not to be had any more.", known.digest)),
    }
    Ok(())
}

/// The changed lines, with no character that could rewrite a terminal.
fn change(before: &str, after: &str) -> String {
    let diff = TextDiff::from_lines(before, after);
    let line = |sign: char, text: &str| format!("  {sign} {}", plain(text.trim_end_matches(['\n', '\r'])));
    let changed = diff.iter_all_changes().filter_map(|change| match change.tag() {
        ChangeTag::Equal => None,
        ChangeTag::Delete => Some(line('-', change.value())),
        ChangeTag::Insert => Some(line('+', change.value())),
    });
    changed.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::change;

    #[test]
    fn a_change_is_its_lines_and_rewrites_no_terminal() {
        assert_eq!(change("a = 1\nb = 2\n", "a = 1\nb = 3\u{1b}[2A\n"), "  - b = 2\n  + b = 3\u{fffd}[2A");
        assert_eq!(change("a\n", "a\n"), "");
    }
}
