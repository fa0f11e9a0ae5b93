//! `testkit-model --key KEY --script FILE [--jsonl FILE]`: a scripted model server for shell scripts.
//!
//! FILE holds a JSON list of turns (`[{"bash":"ls"},{"finish":"done"}]`) or of scripts
//! (`[{"when":"text in the task","turns":[…]}]`). Prints one line of JSON (url, port, nonce), serves until standard input
//! closes, then prints its exchanges as one line of JSON.

use std::{
    env, fs,
    io::{self, Read as _, Write as _},
};

use marque_testkit::{
    Error, Options, Result,
    error::Doing as _,
    model::{Script, ScriptedModel, Turn},
};
use serde_json::{Value, json};

const USAGE: &str = "usage: testkit-model --key KEY --script FILE [--jsonl FILE]";

fn main() -> Result<()> {
    let (mut key, mut script, mut options) = (None, None, Options::plain());
    let mut args = env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or_else(usage)?;
        match arg.as_str() {
            "--key" => key = Some(value),
            "--script" => script = Some(value),
            "--jsonl" => options = options.with_jsonl(value),
            _ => return Err(usage()),
        }
    }
    let (key, script) = key.zip(script).ok_or_else(usage)?;
    let text = fs::read_to_string(&script).doing(format!("read `{script}`"))?;
    let model = ScriptedModel::start_with(options, &key, scripts(&text)?)?;
    let ready = json!({ "url": model.url("/v1"), "port": model.port(), "nonce": model.nonce() });
    print_line(&ready)?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .doing("wait for the end of standard input")?;
    print_line(&json!({ "exchanges": model.exchanges() }))
}

fn scripts(text: &str) -> Result<Vec<Script>> {
    let value: Value = serde_json::from_str(text)?;
    let has_turns = value
        .as_array()
        .into_iter()
        .flatten()
        .any(|item| item.get("turns").is_some());
    if has_turns {
        return Ok(serde_json::from_value(value)?);
    }
    let turns: Vec<Turn> = serde_json::from_value(value)?;
    Ok(vec![Script { when: None, turns }])
}

fn print_line(value: &Value) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{value}")
        .and_then(|()| stdout.flush())
        .doing("write to standard output")
}

fn usage() -> Error {
    Error::Unexpected(USAGE.to_owned())
}
