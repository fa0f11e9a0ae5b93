//! Events, targets, ids.

use super::{line, text};
use marque_model::registry::{Pattern, Selector};
use marque_model::{AskId, CredentialId, Event, InstanceId, LeaseId, Scheme, SessionId, State, SubjectId, Target};

/// The kind on the first line, then the body; without a line, the body of every kind. A body that is read is the same bytes when
/// it is written.
pub(crate) fn event(input: &[u8]) {
    let (first, rest) = line(input);
    let named = text(first).filter(|kind| Event::KINDS.contains(kind));
    let (kinds, body): (&[&str], &[u8]) = match &named {
        Some(kind) => (std::slice::from_ref(kind), rest),
        None => (Event::KINDS, input),
    };
    for kind in kinds {
        if let Ok(event) = Event::decode(kind, body) {
            let mut again = Vec::new();
            event.encode_body(&mut again);
            assert_eq!(again, body, "{kind}");
        }
    }
}

/// A state that is read is the same bytes when it is written.
pub(crate) fn snapshot(input: &[u8]) {
    if let Ok(state) = State::decode(input) {
        assert_eq!(state.encode(), input);
    }
}

pub(crate) fn id(input: &[u8]) {
    let Some(text) = text(input) else { return };
    macro_rules! same {
        ($($kind:ident),+) => {
            $(if let Ok(id) = text.parse::<$kind>() { assert_eq!(id.to_string(), text); })+
        };
    }
    same!(SessionId, SubjectId, CredentialId, InstanceId, LeaseId, AskId);
}

/// A target has one text, and its own text names it.
pub(crate) fn target(input: &[u8]) {
    let Some(text) = text(input) else { return };
    for scheme in [Scheme::Http, Scheme::Https] {
        if let Ok(target) = Target::from_authority(scheme, text) {
            assert!(target.is_named_by(text), "{text}");
            assert!(target.is_named_by(&target.authority()), "{text}");
            assert_eq!(Target::from_authority(scheme, &target.authority()).ok(), Some(target));
        }
    }
}

/// Kind, service and name on a line each. An entry reads back as itself, and a pattern of resources covers itself.
pub(crate) fn registry(input: &[u8]) {
    let (kind, rest) = line(input);
    let (service, name) = line(rest);
    let (Some(kind), Some(service), Some(name)) = (text(kind), text(service), text(name)) else { return };
    if let Ok(pattern) = Pattern::parse(name) {
        assert!(pattern.covers(&pattern) && pattern.overlaps(&pattern), "{name}");
    }
    for kind in [kind, "host", "account", "database", "resource"] {
        for service in [service, ""] {
            if let Ok(read) = Selector::parse(kind, service, name) {
                assert_eq!(Selector::parse(kind, service, &read.name).as_ref(), Ok(&read));
            }
        }
    }
}
