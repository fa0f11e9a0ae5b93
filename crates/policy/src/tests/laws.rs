use super::support::{any_facts, default_policies, policies, vocabulary};
use crate::{Answer, Pack, Policies};
use proptest::prelude::*;
use std::sync::LazyLock;

static DEFAULTS: LazyLock<Policies> = LazyLock::new(default_policies);

/// Heads of every form, and conditions that err.
static FORMS: LazyLock<Policies> = LazyLock::new(|| {
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
    policies(&text)
});

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slicing_never_changes_a_verdict(facts in any_facts()) {
        prop_assert_eq!(DEFAULTS.decide(&facts), DEFAULTS.decide_unsliced(&facts));
        prop_assert_eq!(FORMS.decide(&facts), FORMS.decide_unsliced(&facts));
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
fn the_law_of_slices_is_about_slices() {
    // The control of `slicing_never_changes_a_verdict`: slices do leave policies out.
    let push = super::support::push("agent/x", "dev");
    assert!(FORMS.slice_len(&push) * 2 < FORMS.rules.len());
    assert_eq!(DEFAULTS.decide(&push).answer(), Answer::Allow);
}
