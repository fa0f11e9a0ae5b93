use marque_model::event::{SessionClosed, UseDenied, UseIntent};
use marque_model::{CredentialId, Effect, Event};
use proptest::prelude::*;

fn intent() -> impl Strategy<Value = Event> {
    (any::<Option<[u8; 10]>>(), any::<u32>(), any::<[u8; 32]>(), ".{0,40}", 1u64..=6, any::<Option<u32>>(), any::<Vec<u16>>())
        .prop_map(|(credential, version, digest, text, effect, grant, would_deny)| {
            Event::from(UseIntent {
                credential: credential.map(CredentialId::from_bytes),
                version,
                digest,
                service: text.clone(),
                operation: text.clone(),
                resource: Some(text.clone()),
                effect: Effect::from_code(effect).unwrap(),
                grant,
                bytes: u64::from(version),
                rows: 0,
                ask: None,
                origin: text,
                would_deny: would_deny.into_iter().take(256).collect(),
                principal: 1,
            })
        })
}

proptest! {
    #[test]
    fn a_body_reads_back_as_the_event_it_was(event in intent()) {
        let mut bytes = Vec::new();
        event.encode_body(&mut bytes);
        prop_assert_eq!(Event::decode(event.kind(), &bytes), Ok(event.clone()));
        bytes.push(0);
        prop_assert!(Event::decode(event.kind(), &bytes).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0usize..64) {
        let kind = Event::KINDS[kind % Event::KINDS.len()];
        if let Ok(event) = Event::decode(kind, &bytes) {
            let mut again = Vec::new();
            event.encode_body(&mut again);
            prop_assert_eq!(again, bytes, "one event has one encoding");
        }
    }
}

#[test]
fn an_unknown_field_or_kind_is_refused() {
    let mut bytes = Vec::new();
    Event::from(SessionClosed { uses_unknown: 0, leases_gone: 0, leases_live: 0, standing: 0, static_used: vec![] })
        .encode_body(&mut bytes);
    assert!(Event::decode("session.closed", &bytes).is_ok());
    assert!(Event::decode("session.open", &bytes).is_err());
    assert!(Event::decode("session.renamed", &bytes).is_err());
    // {99: 0}
    assert!(Event::decode(UseDenied::KIND, &[0xa1, 0x18, 99, 0]).is_err());
}

/// `MARQUE_BLESS=1` writes the file: to add a kind or a field, never to change one.
#[test]
fn the_events_of_version_1_are_frozen() {
    use std::fmt::Write as _;
    let mut text = String::new();
    for (kind, fields) in Event::LAYOUT {
        writeln!(text, "{kind}").unwrap();
        for (key, name, of) in *fields {
            writeln!(text, "  {key} {name}: {of}").unwrap();
        }
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/journal/events.txt");
    if std::env::var_os("MARQUE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "records that were written in version 1 must be read for ever");
}
