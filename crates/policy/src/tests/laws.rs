use super::support::{any_facts, default_policies, policies, vocabulary};
use crate::{Answer, Bearer, Facts, LeafPolicies, Pack, Policies, Use, Verdict};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

static DEFAULTS: LazyLock<Arc<Policies>> = LazyLock::new(|| Arc::new(default_policies()));

/// Heads of every form, and conditions that err.
static FORMS: LazyLock<Arc<Policies>> = LazyLock::new(|| {
    let actions = [
        "action",
        r#"action == Action::"github/git.push""#,
        r#"action in Action::"any/write""#,
        r#"action in Action::"any/read""#,
        r#"action in Action::"postgres/any""#,
        r#"action in Action::"postgres/orders/destructive""#,
        r#"action in Action::"github/write""#,
        r#"action == Action::"any/unknown""#,
        r#"action in Action::"any/unknown""#,
        r#"action in [Action::"slack/any", Action::"postgres/orders/select", Action::"any/grant"]"#,
        r#"action in Action::"github/git.push""#,
    ];
    let resources = [
        "resource",
        r#"resource in Env::"production""#,
        r#"resource in Env::"dev""#,
        "resource is Ref",
        "resource is Resource",
        r#"resource is Ref in Env::"production""#,
        r#"resource in Resource::"github/acme/web""#,
        r#"resource == Ref::"github/acme/web@main""#,
    ];
    let conditions = [
        "",
        "when { context.session.uses * 9223372036854775807 > 1 }",
        "when { context.session.read_untrusted }",
        r#"unless { resource in Env::"qa" }"#,
    ];
    let mut text = String::new();
    let mut count = 0;
    for action in actions {
        for resource in resources {
            let says = if count % 3 == 0 { r#"@deny("no")"# } else { r#"@ask("owners")"# };
            let condition = conditions[count % conditions.len()];
            text.push_str(&format!(
                "@id(\"r-{count}\") {says} @because(\"b\") forbid (principal, {action}, {resource}) {condition};\n"
            ));
            count += 1;
        }
    }
    Arc::new(policies(&text))
});

/// What conditions are made of: everything that is settled once, what is not, and at the end what errs where it is met.
const PARTS: &[&str] = &[
    "principal.depth > 0",
    r#"principal.session == "s-1""#,
    r#"principal in Human::"h-1""#,
    r#"principal.human == Human::"h-1""#,
    "context.grade < 2",
    r#"context.mode == "observe""#,
    r#"(context has purpose && context.purpose == "x")"#,
    r#"context.accepted.contains("uncontained")"#,
    r#"resource.environment == "production""#,
    r#"resource.service like "post*""#,
    r#"resource in Env::"dev""#,
    "resource is Ref",
    r#"resource.name like "acme/*""#,
    r#"resource in Resource::"github/acme/web""#,
    "context.session.uses > 3",
    "context.session.destructive + context.session.grants > principal.depth",
    "context.session.read_untrusted",
    "context.streamed",
    "context.ask_able",
    r#"(context.attributes.hasTag("branch") && context.attributes.getTag("branch") == "main")"#,
    r#"action in Action::"any/write""#,
    r#"action in [Action::"github/any", Action::"slack/any"]"#,
    "context.session.uses <= 50",
    "2 < context.session.grants",
    r#"resource.name == "acme/web""#,
    r#"(resource is Ref && resource.branch == "main")"#,
    "resource has branch",
    "context.session.uses * 9223372036854775807 > 1",
    "principal.depth * 9223372036854775807 > 1",
];
/// How many of them err.
const ERRING_PARTS: usize = 2;

/// Every part, with others around it. All deny, so that a verdict names each condition that holds; one that errs hides all
/// others, so that those which do stand apart.
fn conditions(parts: &[&str]) -> Arc<Policies> {
    let mut text = String::new();
    let mut count = 0;
    for (at, part) in parts.iter().enumerate() {
        let next = parts[(at * 7 + 5) % parts.len()];
        let third = parts[(at * 11 + 3) % parts.len()];
        let around = [
            (*part).to_owned(),
            format!("{part} && {next} && !({third})"),
            format!("!({part} || {next}) && {third}"),
            format!("(if {part} then {next} else {third}) && {next}"),
        ];
        for condition in around {
            text.push_str(&format!(
                "@id(\"c-{count}\") @deny(\"no\") @because(\"b\") forbid (principal, action, resource) when {{ {condition} }};\n"
            ));
            count += 1;
        }
    }
    Arc::new(policies(&text))
}

static CONDITIONS: LazyLock<Arc<Policies>> = LazyLock::new(|| conditions(&PARTS[..PARTS.len() - ERRING_PARTS]));
static ERRING: LazyLock<Arc<Policies>> = LazyLock::new(|| conditions(PARTS));

/// The verdict by a class that is made for `first`, on `facts`.
fn by_class(policies: &Arc<Policies>, first: &Facts, facts: &Facts) -> Option<Verdict> {
    let bearer = Bearer {
        principal: facts.principal.clone(),
        environment: facts.resource.environment.clone(),
        grade: facts.context.grade,
        mode: facts.context.mode,
        purpose: facts.context.purpose.clone(),
        accepted: facts.context.accepted.clone(),
    };
    let leaf = LeafPolicies::new(policies.clone(), bearer);
    leaf.class(&as_use(first)).map(|class| leaf.decide(&class, &as_use(facts)))
}

fn as_use(facts: &Facts) -> Use<'_> {
    Use {
        service: &facts.action.service,
        operation: &facts.action.operation,
        effect: facts.action.effect,
        resource: &facts.resource.name,
        attributes: &facts.context.attributes,
        session: facts.context.session,
        streamed: facts.context.streamed,
    }
}

/// What Cedar says of all policies together, about the same use.
fn expected(policies: &Policies, facts: &Facts) -> Option<Verdict> {
    let mut facts = facts.clone();
    facts.resource.attributes.clear();
    facts.context.ask_able = !facts.context.streamed;
    Some(policies.decide_unsliced(&facts))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slicing_never_changes_a_verdict(facts in any_facts()) {
        prop_assert_eq!(DEFAULTS.decide(&facts), DEFAULTS.decide_unsliced(&facts));
        prop_assert_eq!(FORMS.decide(&facts), FORMS.decide_unsliced(&facts));
    }

    #[test]
    fn what_is_settled_once_never_changes_a_verdict(facts in any_facts(), others in any_facts()) {
        for policies in [&*DEFAULTS, &*FORMS, &*CONDITIONS, &*ERRING] {
            prop_assert_eq!(by_class(policies, &facts, &facts), expected(policies, &facts));
            // The class was made for another use of its kind.
            let mut first = others.clone();
            first.principal = facts.principal.clone();
            first.action = facts.action.clone();
            first.resource.environment = facts.resource.environment.clone();
            let (of, fixed) = (&mut first.context, &facts.context);
            (of.grade, of.mode, of.purpose, of.accepted) = (fixed.grade, fixed.mode, fixed.purpose.clone(), fixed.accepted.clone());
            if first.resource.branch().is_some() == facts.resource.branch().is_some() {
                prop_assert_eq!(by_class(policies, &first, &facts), expected(policies, &facts));
            }
        }
    }

    #[test]
    fn a_further_pack_of_forbids_never_loosens(facts in any_facts()) {
        static BOTH: LazyLock<Policies> = LazyLock::new(|| {
            let text = r#"@id("x") @ask("legal") @because("b") forbid (principal, action in Action::"any/write", resource);"#;
            let vocabulary = vocabulary();
            let packs = [super::support::DEFAULT, text].map(|text| Pack::load(&[("p.cedar", text)], None, &vocabulary).unwrap());
            Policies::new(&vocabulary, packs.into())
        });
        prop_assert!(BOTH.decide(&facts).answer() >= DEFAULTS.decide(&facts).answer());
    }

    #[test]
    fn what_is_built_is_what_the_schema_says(facts in any_facts()) {
        let inner = DEFAULTS.vocabulary.inner();
        // Undeclared operations and environments are no part of the schema; the rest has to fit.
        prop_assume!(!inner.effects(&facts.action.service, &facts.action.operation).is_empty());
        let prepared = inner.prepare(&facts).unwrap();
        let request = &prepared.request;
        let (principal, action, resource) =
            (request.principal().unwrap(), request.action().unwrap(), request.resource().unwrap());
        let context = request.context().unwrap().clone();
        let strict = cedar_policy::Request::new(
            principal.clone(), action.clone(), resource.clone(), context, Some(&inner.schema),
        );
        prop_assert!(strict.is_ok(), "{:?}", strict.err());
        let others = prepared.entities.iter().filter(|entity| entity.uid() != *action).cloned();
        let checked = cedar_policy::Entities::from_entities(others, Some(&inner.schema));
        prop_assert!(checked.is_ok(), "{:?}", checked.err());
        // The closure that is not computed would add nothing.
        let closed = cedar_policy::Entities::from_entities(prepared.entities.iter().cloned(), None).unwrap();
        prop_assert!(closed.deep_eq(&prepared.entities));
    }
}

#[test]
fn the_law_of_classes_is_about_classes() {
    // The control of `what_is_settled_once_never_changes_a_verdict`: much is settled, and little of the rest is Cedar's.
    let facts = super::support::push("agent/x", "dev");
    let bearer = Bearer {
        principal: facts.principal.clone(),
        environment: "dev".into(),
        grade: facts.context.grade,
        mode: facts.context.mode,
        purpose: None,
        accepted: Vec::new(),
    };
    let leaf = LeafPolicies::new(CONDITIONS.clone(), bearer);
    let class = leaf.class(&as_use(&facts)).unwrap();
    let (open, all) = (class.open_len(), CONDITIONS.slice_len(&facts));
    assert!(open > 10 && open * 4 < all * 3, "{open} of {all}");
}

#[test]
fn the_law_of_slices_is_about_slices() {
    // The control of `slicing_never_changes_a_verdict`: slices do leave policies out.
    let push = super::support::push("agent/x", "dev");
    assert!(FORMS.slice_len(&push) * 2 < FORMS.rules.len());
    assert_eq!(DEFAULTS.decide(&push).answer(), Answer::Allow);
}
