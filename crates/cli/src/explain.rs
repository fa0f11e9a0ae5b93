//! `explain`: the page of a code. The pages are part of the program.

use crate::args::{ExplainArgs, Global};
use crate::out::{Failure, Outcome, print, print_as, text};
use marque_api::Code;
use std::process::ExitCode;

pub(crate) fn main(global: &Global, args: &ExplainArgs) -> Outcome {
    match &args.code {
        None if global.json => {
            let one = |code: &Code| serde_json::json!({ "code": code.text(), "sentence": code.sentence(), "status": code.status() });
            return print_as("marque/codes.v1", &Code::ALL.iter().map(one).collect::<Vec<_>>());
        }
        None => {
            for code in Code::ALL {
                print(&format!("{}  {}", code.text(), code.sentence()));
            }
        }
        Some(name) => {
            let code = Code::from_text(name)
                .ok_or_else(|| Failure::usage(format!("`{name}` is no code"), "run `marque explain` for the list"))?;
            return text(global, "marque/code.v1", "page", marque_api::pages::page(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}
