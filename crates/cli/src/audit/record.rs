//! One record, for people and for programs: its head, and its body by the names of the vocabulary.

use super::read_segments;
use crate::args::Global;
use crate::out::{Failure, Outcome, plain, print, print_json};
use crate::paths::Paths;
use crate::search::rfc3339;
use marque_authority::hex;
use marque_journal::record::{KeyKind, Record, RecordHead, decode};
use marque_model::codec::Shown;
use marque_model::{CredentialId, Event, SessionId, SubjectId};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Reads the files; no authority is needed.
pub(super) fn show(global: &Global, seq: u64) -> Outcome {
    let paths = Paths::of(global)?;
    let (mut found, mut erased) = (None, None);
    read_segments(&paths.data, |bytes| {
        let Ok(record) = decode(bytes) else { return };
        if record.seq() == seq {
            found = Some((document(&record, bytes), human_of(&record)));
        } else if let (Some((_, Some(human))), Ok(Event::Erased(event))) = (&found, Event::decode(record.kind(), record.body()))
            && event.subject == *human
        {
            erased = Some(record.seq());
        }
    })?;
    let (mut found, _) = found.ok_or_else(|| Failure::new(format!("there is no record {seq}"), "see `marque audit verify`"))?;
    if let (Some(by), Some(document)) = (erased, found.as_object_mut()) {
        document.insert("erased_by".to_owned(), by.into());
    }
    if global.json {
        return print_json(&found);
    }
    lines(&found).iter().for_each(|line| print(line));
    Ok(ExitCode::SUCCESS)
}

/// Whose text its commitments are for, if it has any.
fn human_of(record: &Record<'_>) -> Option<SubjectId> {
    if record.head().commitments.is_empty() {
        return None;
    }
    let link = record.head().backlinks.iter().find(|link| link.key_kind == KeyKind::Human)?;
    <[u8; 16]>::try_from(link.key_id).ok().map(SubjectId::from_bytes)
}

fn document(record: &Record<'_>, bytes: &[u8]) -> Value {
    let head = record.head();
    let (event, unread) = match Event::decode(record.kind(), record.body()) {
        Ok(event) => (event.fields().into_iter().map(|(name, value)| (name.to_owned(), json_of(value))).collect(), None),
        Err(error) => (serde_json::Map::new(), Some(error.to_string())),
    };
    json!({
        "schema": "marque/record.v1",
        "seq": head.seq,
        "time_ms": head.time_ms,
        "kind": head.kind,
        "session": head.session.map(|id| SessionId::from_bytes(id).to_string()),
        "mode": head.mode.map(|mode| format!("{mode:?}").to_lowercase()),
        "leaf": (!head.leaf.is_empty()).then_some(head.leaf),
        "cause": head.cause,
        "event": event,
        "unread": unread,
        "backlinks": backlinks(&head),
        "commitments": head.commitments.iter().map(|(field, digest)| json!({"field": field, "sha256": hex(digest.as_slice())})).collect::<Vec<_>>(),
        "leaf_hash": hex(&marque_journal::merkle::leaf_hash(bytes)),
    })
}

fn json_of(value: Shown) -> Value {
    match value {
        Shown::Absent => Value::Null,
        Shown::Number(number) => number.into(),
        Shown::Flag(flag) => flag.into(),
        Shown::Text(text) => text.into(),
        Shown::List(list) => list.into_iter().map(json_of).collect(),
    }
}

fn backlinks(head: &RecordHead<'_>) -> Vec<Value> {
    let id = |kind: KeyKind, bytes: &[u8]| match kind {
        KeyKind::Human => bytes.try_into().map(|id| SubjectId::from_bytes(id).to_string()).ok(),
        KeyKind::Session => bytes.try_into().map(|id| SessionId::from_bytes(id).to_string()).ok(),
        KeyKind::Credential => bytes.try_into().map(|id| CredentialId::from_bytes(id).to_string()).ok(),
        KeyKind::Link => std::str::from_utf8(bytes).map(str::to_owned).ok(),
        KeyKind::Resource => None,
    };
    let word = |kind: KeyKind| match kind {
        KeyKind::Human => "human",
        KeyKind::Session => "session",
        KeyKind::Link => "link",
        KeyKind::Credential => "credential",
        KeyKind::Resource => "resource",
    };
    let one = |link: &marque_journal::record::Backlink<'_>| {
        json!({
            "of": word(link.key_kind), "id": id(link.key_kind, link.key_id).unwrap_or_else(|| hex(link.key_id)),
            "n": link.n, "before": link.prev_seq,
        })
    };
    head.backlinks.iter().map(one).collect()
}

/// The same without what only a verifier looks at.
fn lines(document: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => plain(text),
        Value::Array(list) => plain(&list.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    };
    let empty = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let time = document["time_ms"].as_u64().map(rfc3339).unwrap_or_default();
    let mut out = vec![format!("record       {} · {} · {time}", document["seq"], text(&document["kind"]))];
    for name in ["session", "mode", "leaf", "cause", "unread"] {
        if !empty(&document[name]) {
            out.push(format!("{name:<12} {}", text(&document[name])));
        }
    }
    for (name, value) in document["event"].as_object().into_iter().flatten().filter(|(_, value)| !empty(value)) {
        out.push(format!("  {name:<18} {}", text(value)));
    }
    for link in document["backlinks"].as_array().into_iter().flatten() {
        let before = link["before"].as_u64().map_or_else(|| "the first".to_owned(), |seq| format!("after record {seq}"));
        out.push(format!("of           {} {}, {before}", text(&link["of"]), text(&link["id"])));
    }
    if let Some(by) = document["erased_by"].as_u64() {
        out.push(format!("text of the commitments: (erased), by record {by}"));
    }
    out.push(format!("leaf hash    {}", text(&document["leaf_hash"])));
    out
}
