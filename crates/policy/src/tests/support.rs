//! What the tests share: the shipped profiles' operations, packs, facts.

use crate::{
    Act, Circumstances, Facts, Operation, Pack, PackError, Policies, Principal, Resource, SessionFacts, Vocabulary,
};
use marque_model::{Effect, Grade, Mode};
use proptest::prelude::*;
use std::collections::BTreeMap;

pub const DEFAULT: &str = include_str!("../../../../policies/default.cedar");
pub const DEFAULT_TEST: &str = include_str!("../../../../policies/default.test.toml");

/// The operations of every shipped profile, and a database that none ships.
pub fn operations() -> Vec<Operation> {
    let profiles = [
        include_str!("../../../../services/github.toml"),
        include_str!("../../../../services/slack.toml"),
        include_str!("../../../../services/docker-registry.toml"),
    ];
    let mut operations = Vec::new();
    for text in profiles {
        let profile: toml::Table = toml::from_str(text).unwrap();
        let service = profile["service"].as_str().unwrap();
        for op in profile["op"].as_array().unwrap() {
            let word = op["effect"].as_str().unwrap();
            operations.push(operation(service, op["name"].as_str().unwrap(), word));
        }
    }
    for (name, word) in [("select", "read"), ("update", "write"), ("drop", "destructive")] {
        operations.push(operation("postgres/orders", name, word));
    }
    operations
}

pub fn operation(service: &str, name: &str, word: &str) -> Operation {
    let effect = Effect::ALL.into_iter().find(|e| e.word() == word).unwrap();
    Operation { service: service.to_owned(), operation: name.to_owned(), effect }
}

pub fn vocabulary() -> Vocabulary {
    Vocabulary::new(&operations()).unwrap()
}

pub fn default_policies() -> Policies {
    let vocabulary = vocabulary();
    let pack = Pack::load(&[("default.cedar", DEFAULT)], Some(("default.test.toml", DEFAULT_TEST)), &vocabulary);
    Policies::new(&vocabulary, vec![pack.unwrap_or_else(|e| panic!("{e}"))])
}

pub fn load(text: &str) -> Result<Pack, PackError> {
    Pack::load(&[("acme.cedar", text)], None, &vocabulary())
}

/// The policies of a text, below a permit for everything.
pub fn policies(text: &str) -> Policies {
    let text = format!("@id(\"base\") permit (principal, action, resource);\n{text}");
    Policies::new(&vocabulary(), vec![load(&text).unwrap_or_else(|e| panic!("{e}"))])
}

pub fn facts(service: &str, operation: &str, effect: Effect, resource: &str, environment: &str) -> Facts {
    Facts {
        principal: Principal { human: "h-1".into(), agent: "codex".into(), depth: 0, session: "s-1".into() },
        action: Act { service: service.into(), operation: operation.into(), effect },
        resource: Resource { name: resource.into(), environment: environment.into(), attributes: BTreeMap::new() },
        context: Circumstances {
            grade: Grade::A,
            mode: Mode::Enforce,
            session: SessionFacts::default(),
            purpose: None,
            accepted: Vec::new(),
            attributes: BTreeMap::new(),
            streamed: false,
            ask_able: true,
        },
    }
}

pub fn push(branch: &str, environment: &str) -> Facts {
    facts("github", "git.push", Effect::Write, &format!("acme/web@{branch}"), environment)
}

fn tags() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = prop_oneof![Just("main"), Just("agent/x"), Just("")].prop_map(str::to_owned);
    prop::collection::btree_map(
        prop_oneof![Just("branch"), Just("base"), Just("tier")].prop_map(str::to_owned),
        value,
        0..3,
    )
}

/// Requests of declared and undeclared services, operations and environments, with names made to be confused.
pub fn any_facts() -> impl Strategy<Value = Facts> {
    let declared = prop::sample::select(operations()).prop_map(|op| (op.service, op.operation, op.effect));
    let service = prop::sample::select(vec![
        "github",
        "http",
        "postgres",
        "postgres/orders",
        "postgres/other",
        "any",
        "slack",
        "",
    ]);
    let name = prop::sample::select(vec![
        "git.push",
        "GET",
        "any",
        "write",
        "orders/select",
        "unknown",
        "select",
        "x/any",
        "",
    ]);
    let made = (service, name, prop::sample::select(Effect::ALL.to_vec()))
        .prop_map(|(s, o, e)| (s.to_owned(), o.to_owned(), e));
    let action = prop_oneof![3 => declared, 1 => made];
    let resource = prop::sample::select(vec![
        "acme/web",
        "acme/web@main",
        "acme/web@master",
        "acme/web@agent/x",
        "acme/web@tag:v1",
        "@main",
        "acme/web@",
        "#ci",
        "a\"b\\c@x",
        "",
    ]);
    let environment = prop::sample::select(vec!["dev", "staging", "production", "qa", "production ", ""]);
    let who = (0u32..6, prop::sample::select(vec!["h-1", "h-2"]), prop::sample::select(vec!["codex", "claude-code"]));
    let session = (prop::sample::select(vec![0u64, 1, 49, 50, 51, u64::MAX]), 0u64..3, 0u64..3, any::<bool>());
    let rest = (
        prop::sample::select(vec![Grade::D, Grade::C, Grade::B, Grade::A]),
        prop::sample::select(vec![Mode::Enforce, Mode::Observe, Mode::Adopt]),
        tags(),
        tags(),
        any::<bool>(),
        prop::bool::weighted(0.8),
        prop::option::of(Just("ci".to_owned())),
    );
    (action, resource, environment, who, session, rest).prop_map(
        |(action, resource, environment, who, session, rest)| {
            let mut facts = facts(&action.0, &action.1, action.2, resource, environment);
            facts.principal =
                Principal { human: who.1.into(), agent: who.2.into(), depth: who.0, session: "s-1".into() };
            facts.context.session =
                SessionFacts { uses: session.0, destructive: session.1, grants: session.2, read_untrusted: session.3 };
            (facts.context.grade, facts.context.mode) = (rest.0, rest.1);
            (facts.resource.attributes, facts.context.attributes) = (rest.2, rest.3);
            (facts.context.streamed, facts.context.ask_able, facts.context.purpose) = (rest.4, rest.5, rest.6);
            facts
        },
    )
}
