//! Every named limit at n and n+1.

use super::support::{default_policies, load, operation, push, vocabulary};
use crate::limits::*;
use crate::literals::{Literals, mentions_counters, nesting, operators};
use crate::{Pack, Verdict, Vocabulary, VocabularyError};

fn permit(id: usize) -> String {
    format!("@id(\"p-{id}\") permit (principal, action, resource);\n")
}

fn message(text: &str) -> String {
    load(text).map(|_| "loads".to_owned()).unwrap_or_else(|e| e.to_string())
}

fn when(condition: &str) -> String {
    format!("@id(\"x\") permit (principal, action, resource) when {{ {condition} }};")
}

#[test]
fn a_pack_is_bounded() {
    let texts: Vec<(String, String)> = (0..=FILES_MAX).map(|i| (format!("{i}.cedar"), permit(i))).collect();
    let files: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(Pack::load(&files[..FILES_MAX], None, &vocabulary()).is_ok());
    assert!(Pack::load(&files, None, &vocabulary()).unwrap_err().to_string().contains("files"));

    let many: String = (0..POLICIES_MAX).map(permit).collect();
    assert_eq!(message(&many), "loads");
    assert!(message(&format!("{many}{}", permit(POLICIES_MAX))).contains("policies"));

    let padded = |len: usize| format!("{}{}", permit(0), " ".repeat(len - permit(0).len()));
    assert_eq!(message(&padded(TEXT_BYTES_MAX)), "loads");
    assert!(message(&padded(TEXT_BYTES_MAX + 1)).contains("longer"));

    let long = |len: usize| {
        let around = when("resource.name == \"\"").len();
        when(&format!("resource.name == \"{}\"", "a".repeat(len - around)))
    };
    assert_eq!(message(&long(POLICY_BYTES_MAX)), "loads");
    assert!(message(&long(POLICY_BYTES_MAX + 1)).contains("longer"));

    let id = |len: usize| format!("@id(\"{}\") permit (principal, action, resource);", "a".repeat(len));
    assert_eq!(message(&id(ID_BYTES_MAX)), "loads");
    assert!(message(&id(ID_BYTES_MAX + 1)).contains("is not an id"));

    let because =
        |len: usize| format!("@id(\"a\") @because(\"{}\") permit (principal, action, resource);", "a".repeat(len));
    assert_eq!(message(&because(SENTENCE_BYTES_MAX)), "loads");
    assert!(message(&because(SENTENCE_BYTES_MAX + 1)).contains("sentence"));

    let ask = |n: usize| {
        let groups: Vec<String> = (0..n).map(|i| format!("g{i}")).collect();
        format!("@id(\"a\") @because(\"b\") @ask(\"{}\") forbid (principal, action, resource);", groups.join(","))
    };
    assert_eq!(message(&ask(GROUPS_MAX)), "loads");
    assert!(message(&ask(GROUPS_MAX + 1)).contains("groups"));
}

#[test]
fn conditions_are_bounded_before_the_parser_sees_them() {
    let nested = |n: usize| when(&format!("{}true{}", "(".repeat(n - 1), ")".repeat(n - 1)));
    assert_eq!(nesting(&nested(NESTING_MAX)), NESTING_MAX);
    assert_eq!(message(&nested(NESTING_MAX)), "loads");
    assert!(message(&nested(NESTING_MAX + 1)).contains("nest"));
    // One operator is two signs.
    let chained = |n: usize| when(&vec!["principal == resource"; n / 2 + 1].join("||"));
    assert_eq!(operators(&chained(OPERATORS_MAX)), OPERATORS_MAX);
    assert_ne!(message(&chained(OPERATORS_MAX)), "");
    assert!(!message(&chained(OPERATORS_MAX)).contains("operators"));
    assert!(message(&chained(OPERATORS_MAX + 2)).contains("operators"));
    // A string or comment full of brackets is no nesting.
    assert_eq!(nesting("\"((((\\\"((\" // ((("), 0);
}

#[test]
fn the_deepest_condition_fits_a_small_stack() {
    let text = when(&vec!["context.streamed"; OPERATORS_MAX / 3].join("||"));
    let small = std::thread::Builder::new().stack_size(1 << 20);
    let done = small.spawn(move || {
        let pack = load(&text).unwrap();
        let policies = crate::Policies::new(&vocabulary(), vec![pack]);
        policies.decide(&push("agent/x", "dev")).answer()
    });
    assert_eq!(done.unwrap().join().unwrap(), crate::Answer::Deny);
}

#[test]
fn facts_that_are_too_long_are_denied() {
    let policies = default_policies();
    let mut facts = push("agent/x", "dev");
    facts.resource.name = format!("acme/web@{}", "a".repeat(FACT_BYTES_MAX - "acme/web@".len()));
    assert_eq!(policies.decide(&facts), Verdict::Allow);
    facts.resource.name.push('a');
    assert_eq!(policies.decide(&facts), Verdict::Error { rules: Vec::new() });

    let mut facts = push("agent/x", "dev");
    facts.context.attributes = (0..ATTRIBUTES_MAX).map(|i| (i.to_string(), String::new())).collect();
    assert_eq!(policies.decide(&facts), Verdict::Allow);
    facts.context.attributes.insert("more".to_owned(), String::new());
    assert_eq!(policies.decide(&facts), Verdict::Error { rules: Vec::new() });
}

#[test]
fn the_vocabulary_is_bounded() {
    let name = |len: usize| operation("a", &"b".repeat(len), "read");
    assert!(Vocabulary::new(&[name(NAME_BYTES_MAX)]).is_ok());
    assert!(matches!(Vocabulary::new(&[name(NAME_BYTES_MAX + 1)]), Err(VocabularyError::Name(_))));
    let parts = |n: usize| operation(&vec!["a"; n].join("/"), "x", "read");
    assert!(Vocabulary::new(&[parts(SERVICE_PARTS_MAX)]).is_ok());
    assert!(matches!(Vocabulary::new(&[parts(SERVICE_PARTS_MAX + 1)]), Err(VocabularyError::Name(_))));
    let many = vec![operation("a", "x", "read"); OPERATIONS_MAX + 1];
    assert!(Vocabulary::new(&many[1..]).is_ok());
    assert_eq!(Vocabulary::new(&many).unwrap_err(), VocabularyError::TooMany);
}

#[test]
fn environments_beyond_the_limit_share_a_slice_and_are_judged_rightly() {
    let rule = |i: usize| {
        format!(
            "@id(\"e-{i:02}\") @deny(\"n\") @because(\"b\") forbid (principal, action, resource in Env::\"e{i:02}\");\n"
        )
    };
    let all: String = (0..=ENVIRONMENTS_MAX).map(rule).collect();
    let policies = super::support::policies(&all);
    for i in 0..=ENVIRONMENTS_MAX {
        let facts = push("agent/x", &format!("e{i:02}"));
        assert_eq!(policies.decide(&facts).rules(), [format!("e-{i:02}").into()]);
        let expected = if i < ENVIRONMENTS_MAX { 3 } else { 2 };
        assert_eq!(policies.slice_len(&facts), expected);
    }
    assert_eq!(policies.decide(&push("agent/x", "dev")), Verdict::Allow);
}

#[test]
fn assertions_are_bounded() {
    let case =
        "[[case]]\naction = \"any/unknown\"\nresource = { name = \"x\", environment = \"dev\" }\nexpect = \"ask\"\n";
    let text = permit(0);
    let load = |tests: &str| Pack::load(&[("a.cedar", &text)], Some(("a.test.toml", tests)), &vocabulary());
    assert!(load(&case.repeat(CASES_MAX)).is_ok());
    assert!(load(&case.repeat(CASES_MAX + 1)).unwrap_err().to_string().contains("cases"));
    let padded = |len: usize| format!("{case}{}", " ".repeat(len - case.len()));
    assert!(load(&padded(TEXT_BYTES_MAX)).is_ok());
    assert!(load(&padded(TEXT_BYTES_MAX + 1)).unwrap_err().to_string().contains("longer"));
}

#[test]
fn looking_at_counters_is_never_missed() {
    for text in [
        "{ context.session.uses > 1 }",
        "{ context[\"session\"][\"uses\"] > 1 }",
        "{ context.session[\"grants\"] > 1 }",
        "{ context.session == context.session }",
        "{ context.session.read_untrusted && context . session // .read_untrusted\n . destructive > 0 }",
    ] {
        assert!(mentions_counters(text), "{text}");
    }
    assert!(!mentions_counters(
        "@uses(\"1\") forbid (principal, action, resource) when { context.session.read_untrusted }"
    ));
    assert!(!mentions_counters("{ context[\"session\"].read_untrusted || context.session[\"read_untrusted\"] }"));
}

#[test]
fn candidates_come_from_what_conditions_compare_with() {
    let mut literals = Literals::default();
    literals.take("@id(\"i\") forbid (principal, action == Action::\"a/b\", resource in Env::\"qa\") when { x like \"rel/*\" && y > 7 };");
    assert_eq!(literals.texts.into_iter().collect::<Vec<_>>(), ["rel/x"]);
    assert_eq!(literals.environments.into_iter().collect::<Vec<_>>(), ["qa"]);
    assert_eq!(literals.numbers.into_iter().collect::<Vec<_>>(), [7]);
}
