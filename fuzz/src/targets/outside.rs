//! The local API, packs, the gateway's framing, files that a scan finds.

use super::{line, text};
use marque_api::control::{ApprovalAnswer, CredentialAdd, EnvironmentAsked, EnvironmentChange, Init, Search, SessionEnd, SessionOpen, Unseal};
use marque_api::{Code, Problem};
use marque_gateway::{Framer, Refused};
use marque_model::Effect;
use marque_policy::{Operation, Pack, Vocabulary};
use marque_scan::Texts;
use std::path::Path;
use std::sync::LazyLock;

pub(crate) fn api_code(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(code) = Code::from_text(text) {
        assert_eq!(Code::from_text(code.text()), Some(code));
    }
}

pub(crate) fn api_problem(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(problem) = Problem::from_json(text) {
        assert_eq!(Problem::from_json(&problem.to_json()), Some(problem));
    }
}

/// Every body that the local API reads.
pub(crate) fn api_control(input: &[u8]) {
    macro_rules! read {
        ($($kind:ident),+) => {
            $(if let Ok(body) = serde_json::from_slice::<$kind>(input) {
                let written = serde_json::to_vec(&body).unwrap_or_default();
                assert!(serde_json::from_slice::<$kind>(&written).is_ok());
            })+
        };
    }
    read!(Init, Unseal, CredentialAdd, EnvironmentAsked, EnvironmentChange, SessionOpen, SessionEnd, ApprovalAnswer, Search);
    if let Ok(open) = serde_json::from_slice::<SessionOpen>(input) {
        for grant in open.grants.as_array().into_iter().flatten() {
            let _ = marque_chain::Grant::from_json(grant.clone());
        }
    }
}

/// However the bytes are cut, the same are released, and the same are refused.
pub(crate) fn strict_framing(input: &[u8]) {
    let whole = framed(input, input.len());
    assert!(whole.0 <= input.len());
    assert_eq!(framed(input, input.len() / 64), whole);
}

/// How much is released when the bytes come in such pieces, and what is refused behind it. Of a body that is refused, how much
/// went before depends on the pieces.
fn framed(input: &[u8], piece: usize) -> (usize, Option<&'static str>) {
    let (mut framer, mut held, mut released) = (Framer::default(), Vec::new(), 0);
    for chunk in input.chunks(piece.max(1)) {
        held.extend_from_slice(chunk);
        match framer.advance(&held) {
            Ok(now) => {
                held.drain(..now);
                released += now;
            }
            Err(Refused::Head { clean, .. }) => return (released + clean, Some("head")),
            Err(Refused::Body(_)) => return (0, Some("body")),
        }
    }
    (released, None)
}

static VOCABULARY: LazyLock<Option<Vocabulary>> = LazyLock::new(|| {
    let operation = |(name, effect): (&str, Effect)| Operation { service: "github".into(), operation: name.into(), effect };
    let all = [("repo.read", Effect::Read), ("git.push", Effect::Write), ("ref.delete", Effect::Destructive)];
    Vocabulary::new(&all.map(operation)).ok()
});

pub(crate) fn policy_pack(input: &[u8]) {
    if let (Some(text), Some(vocabulary)) = (text(input), VOCABULARY.as_ref())
        && let Ok(pack) = Pack::load(&[("fuzz.cedar", text)], None, vocabulary)
    {
        let ids: std::collections::BTreeSet<&str> = pack.rule_ids().collect();
        assert_eq!(ids.len(), pack.rule_ids().count(), "an id names one rule");
    }
}

const BASE: &str = "@id(\"base\") permit (principal, action, resource);\n";

pub(crate) fn policy_assertions(input: &[u8]) {
    if let (Some(text), Some(vocabulary)) = (text(input), VOCABULARY.as_ref()) {
        let _ = Pack::load(&[("fuzz.cedar", BASE)], Some(("fuzz.test.toml", text)), vocabulary);
    }
}

static TEXTS: LazyLock<Option<Texts>> = LazyLock::new(|| Texts::new(&[]).ok());

/// A name on the first line, then the file. No value that a rule knows is in what is said of it.
pub(crate) fn scan_file(input: &[u8]) {
    let (name, body) = line(input);
    let (Some(name), Some(texts)) = (text(name), TEXTS.as_ref()) else { return };
    let report = texts.read(Path::new(name), &String::from_utf8_lossy(body));
    let said = serde_json::to_string(&report.unwrap_or_default()).unwrap_or_default();
    let known = ["ghp_0123456789abcdefghijABCDEFGHIJ012345", "x9Kq2LmZ7vTn4RbW8sYc1DfHj6GpUaEo3QiXx9Kq", "npm_012345678901234567890123456789012345"];
    for value in known.iter().filter(|value| !name.contains(**value)) {
        assert!(!said.contains(value), "{said}");
    }
}

/// One question of a program in a sandbox.
pub(crate) fn sandbox_dns(input: &[u8]) {
    use marque_sandbox::dns::{Names, answer};
    let mut names = Names::new();
    let Some(answer) = answer(input, &mut names, true) else { return };
    assert!(answer.bytes.len() <= marque_sandbox::limits::DNS_UDP_BYTES);
    assert_eq!(answer.bytes.get(..2), input.get(..2));
    if let (Some(name), Some((asked, 1))) = (names.asked().next(), &answer.asked) {
        let address = answer.bytes.last_chunk::<4>().map(|octets| std::net::IpAddr::from(*octets));
        assert_eq!((name, address.and_then(|address| names.name_of(address))), (asked.as_str(), Some(name)));
    }
}
