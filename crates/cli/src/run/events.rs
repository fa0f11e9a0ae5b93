//! `--json-events FILE`: what happened, a line of JSON each, written when it happens, so that a script may follow it.

use crate::out::{Failure, escaped};
use marque_api::control::{SessionOpened, Statement};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

/// The session is open; the agent has not started. Begins the file anew.
pub(super) fn opened(file: &Path, opened: &SessionOpened) -> Result<(), Failure> {
    std::fs::write(file, "").map_err(|e| failed(file, &e))?;
    let line = json!({
        "schema": "marque/event.v1", "event": "opened", "session": opened.session, "seq": opened.seq,
        "leaf_hash": opened.leaf_hash, "not_after_ms": opened.not_after_ms,
    });
    append(file, &line)
}

/// The session is over, and this is its statement.
pub(super) fn closed(file: &Path, statement: &Statement) -> Result<(), Failure> {
    append(file, &json!({ "schema": "marque/event.v1", "event": "closed", "statement": statement }))
}

fn append(file: &Path, line: &Value) -> Result<(), Failure> {
    let open = OpenOptions::new().append(true).create(true).open(file);
    // One write a line: a reader never sees half of one.
    open.and_then(|mut to| to.write_all(format!("{}\n", escaped(&line.to_string())).as_bytes())).map_err(|e| failed(file, &e))
}

fn failed(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}`: {error}", file.display()), "give another `--json-events`")
}
