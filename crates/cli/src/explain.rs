//! `explain`: the page of a code. The pages are part of the program.

use crate::args::ExplainArgs;
use crate::out::{Failure, Outcome, print};
use marque_api::Code;
use std::process::ExitCode;

pub(crate) fn main(args: &ExplainArgs) -> Outcome {
    match &args.code {
        None => {
            for code in Code::ALL {
                print(&format!("{}  {}", code.text(), code.sentence()));
            }
        }
        Some(text) => {
            let code = Code::from_text(text)
                .ok_or_else(|| Failure::usage(format!("`{text}` is no code"), "run `marque explain` for the list"))?;
            print(marque_api::pages::page(code));
        }
    }
    Ok(ExitCode::SUCCESS)
}
