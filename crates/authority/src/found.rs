//! What a record is to whoever searches: its columns in the index, and its line in an answer. One reading for both.

use marque_api::control::Found;
use marque_journal::record::{KeyKind, Record};
use marque_model::codec::BodyError;
use marque_model::event::Event;
use marque_model::{CredentialId, SessionId, State, SubjectId};
use marque_store::index::{KeyOf, Row};

/// What the column `decision` may say.
pub(crate) const DECISIONS: [&str; 5] = ["allowed", "approved", "asked", "denied", "passed"];

/// The parts of an event that are searched for.
#[derive(Default)]
struct Parts {
    decision: Option<&'static str>,
    service: Option<String>,
    operation: Option<String>,
    resource: Option<String>,
    effect: Option<String>,
    codes: Vec<u16>,
    status: Option<u16>,
    count: Option<u64>,
    detail: Option<String>,
}

fn parts(event: Event) -> Parts {
    let none = Parts::default();
    match event {
        Event::UseIntent(e) => Parts {
            decision: Some(if e.ask.is_some() { "approved" } else { "allowed" }),
            service: Some(e.service),
            operation: Some(e.operation),
            resource: e.resource,
            effect: Some(e.effect.to_string()),
            codes: e.would_deny,
            ..none
        },
        Event::UseDenied(e) => Parts {
            decision: Some("denied"),
            service: Some(e.service),
            operation: Some(e.operation),
            effect: Some(e.effect.to_string()),
            codes: vec![e.code],
            count: Some(e.count.into()),
            detail: e.rule,
            ..none
        },
        Event::AskOpen(e) => Parts {
            decision: Some("asked"),
            service: Some(e.service),
            operation: Some(e.operation),
            effect: Some(e.effect.to_string()),
            detail: Some(e.id.to_string()),
            ..none
        },
        Event::AskAnswer(e) => {
            Parts { detail: Some(format!("{} {} by {}", e.id, if e.approved { "approved" } else { "refused" }, e.factor)), ..none }
        }
        Event::HostPassed(e) => Parts { decision: Some("passed"), service: Some(e.host), count: Some(e.count.into()), ..none },
        Event::UseOutcome(e) => Parts { status: Some(e.status).filter(|status| *status != 0), ..none },
        Event::SessionOpen(e) => Parts { detail: Some(format!("{} in {}", e.agent, e.environment)), ..none },
        Event::SessionEnd(e) => Parts { detail: Some(e.reason.to_string()), ..none },
        Event::CredentialAdd(e) => {
            Parts { service: Some(e.service), detail: Some(format!("{} v{} in {}", e.name, e.version, e.environment)), ..none }
        }
        Event::Apply(e) => Parts { detail: Some(format!("{} {}", e.what, e.name)), ..none },
        Event::JournalSnapshot(e) => Parts { detail: Some(format!("of {} records", e.seq)), ..none },
        Event::Erased(e) => Parts { count: Some(e.count.into()), ..none },
        Event::AuthorityStart(e) => Parts { detail: Some(format!("{} epoch {}", e.version, e.epoch)), ..none },
        _ => none,
    }
}

/// What the index holds of a record.
pub(crate) fn row(record: &Record<'_>) -> Result<Row, BodyError> {
    let head = record.head();
    let parts = parts(Event::decode(record.kind(), record.body())?);
    Ok(Row {
        seq: head.seq,
        time_ms: head.time_ms,
        kind: head.kind.to_owned(),
        decision: parts.decision.map(str::to_owned),
        service: parts.service,
        effect: parts.effect,
        codes: parts.codes,
        keys: head.backlinks.iter().map(|link| KeyOf { kind: link.key_kind as u8, id: link.key_id.to_vec() }).collect(),
    })
}

/// A record as it is told. Credentials that still exist are called by their name.
pub(crate) fn found(record: &Record<'_>, state: &State) -> Result<Found, BodyError> {
    let head = record.head();
    let parts = parts(Event::decode(record.kind(), record.body())?);
    let id_of = |kind: KeyKind| head.backlinks.iter().find(|link| link.key_kind == kind).map(|link| link.key_id);
    let credential = id_of(KeyKind::Credential).and_then(|id| <[u8; 10]>::try_from(id).ok()).map(CredentialId::from_bytes);
    Ok(Found {
        seq: head.seq,
        time_ms: head.time_ms,
        kind: head.kind.to_owned(),
        session: head.session.map(|id| SessionId::from_bytes(id).to_string()),
        human: id_of(KeyKind::Human).and_then(|id| <[u8; 16]>::try_from(id).ok()).map(|id| SubjectId::from_bytes(id).to_string()),
        leaf: (!head.leaf.is_empty()).then(|| head.leaf.to_owned()),
        cause: head.cause,
        decision: parts.decision.map(str::to_owned),
        service: parts.service,
        operation: parts.operation,
        resource: parts.resource,
        effect: parts.effect,
        credential: credential.map(|id| state.credentials.get(&id).map_or_else(|| id.to_string(), |c| c.name.clone())),
        codes: parts.codes.iter().map(|code| format!("MQ-{code}")).collect(),
        status: parts.status,
        count: parts.count,
        detail: parts.detail,
    })
}
