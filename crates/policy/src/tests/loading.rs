use super::support::{DEFAULT, load, operation, operations, vocabulary};
use crate::{Pack, Problem, Vocabulary, VocabularyError};
use marque_model::Effect;

fn problem(text: &str) -> Problem {
    match load(text) {
        Ok(_) => panic!("loads: {text}"),
        Err(error) => {
            for problem in &error.problems {
                let first = problem.message.chars().next().unwrap();
                assert!(!first.is_uppercase() && !problem.message.ends_with('.'), "{problem}");
                assert!(!problem.help.is_empty());
                assert_eq!(problem.file, "acme.cedar");
            }
            error.problems[0].clone()
        }
    }
}

fn refused(text: &str, line: usize, says: &str) {
    let problem = problem(text);
    assert!(problem.message.contains(says), "{problem}");
    assert_eq!(problem.line, line, "{problem}");
}

#[test]
fn a_forbid_says_what_to_do_next_or_who_is_asked_and_never_both() {
    refused("\n@id(\"x\") @because(\"b\")\nforbid (principal, action, resource);", 2, "neither `@deny` nor `@ask`");
    refused(r#"@id("x") @deny("n") @ask("g") @because("b") forbid (principal, action, resource);"#, 1, "both");
    refused(r#"@id("x") @deny("n") permit (principal, action, resource);"#, 1, "a `permit` says");
    refused(r#"@id("x") @deny("n") forbid (principal, action, resource);"#, 1, "no `@because`");
    refused(r#"@deny("n") @because("b") forbid (principal, action, resource);"#, 1, "no `@id`");
}

#[test]
fn annotations_are_read_strictly() {
    let with = |more: &str| format!(r#"@id("x") @because("b") {more} forbid (principal, action, resource);"#);
    refused(&with(r#"@ask("g") @usse("1")"#), 1, "`@usse` is not an annotation");
    refused(&with(r#"@ask("g") @uses("0")"#), 1, "`@uses`");
    refused(&with(r#"@ask("g") @uses("1001")"#), 1, "`@uses`");
    refused(&with(r#"@ask("g") @ttl("10")"#), 1, "`@ttl`");
    refused(&with(r#"@ask("g") @ttl("9h")"#), 1, "`@ttl`");
    refused(&with(r#"@ask("g") @ttl("99999999999999999999h")"#), 1, "`@ttl`");
    refused(&with(r#"@ask("g,, h")"#), 1, "`@ask`");
    refused(&with(r#"@ask("")"#), 1, "`@ask`");
    refused(&with(r#"@deny("n") @uses("1")"#), 1, "belongs to an `@ask`");
    refused(&with(r#"@deny("a\nb")"#), 1, "`@deny` is not one sentence");
    refused(r#"@id("A b") permit (principal, action, resource);"#, 1, "is not an id");
    assert!(load(&with(r#"@ask("g, h") @uses("1000") @ttl("8h")"#)).is_ok());
}

#[test]
fn ids_are_unique_over_all_files() {
    let text = r#"@id("x") permit (principal, action, resource);"#;
    let error = Pack::load(&[("a.cedar", text), ("b.cedar", text)], None, &vocabulary()).unwrap_err();
    assert_eq!(error.to_string(), "b.cedar:1: the id `x` is taken by a.cedar:1");
}

#[test]
fn an_unknown_name_does_not_validate() {
    let with = |head: &str| format!("@id(\"x\") @deny(\"n\") @because(\"b\")\nforbid (principal, {head});");
    refused(&with(r#"action == Action::"github/git.psuh", resource"#), 2, "github/git.psuh");
    refused(&with(r#"action in Action::"gitlab/any", resource"#), 2, "gitlab/any");
    refused(&with(r#"action, resource in Environment::"production""#), 2, "Environment");
    refused(&with(r#"action, resource) when { context.grad > 2 }; //"#), 2, "grad");
    refused(&with(r#"action, resource) when { context.grade > "B" }; //"#), 2, "type");
}

#[test]
fn an_attribute_that_may_be_absent_is_guarded() {
    let with = |cond: &str| {
        format!("@id(\"x\") @deny(\"n\") @because(\"b\")\nforbid (principal, action, resource)\nwhen {{ {cond} }};")
    };
    refused(&with(r#"context.purpose == "ci""#), 3, "purpose");
    refused(&with(r#"context.attributes.getTag("a") == "b""#), 3, "tag");
    refused(&with(r#"resource.branch == "main""#), 3, "branch");
    assert!(load(&with(r#"context has purpose && context.purpose == "ci""#)).is_ok());
    assert!(load(&with(r#"resource is Ref && resource.branch == "main""#)).is_ok());
}

#[test]
fn texts_that_do_not_parse_are_refused_with_their_line() {
    refused("@id(\"x\")\npermit (principal, action, resource)\nwhen { 1 + };", 3, "unexpected token");
    refused(r#"@id("x") permit (principal == ?principal, action, resource);"#, 0, "slot");
    // Cyrillic letters that look like Latin ones.
    refused("@id(\"x\") permit (principal, action, resource) when { resource.name == \"m\u{0430}in\" };", 1, "script");
}

#[test]
fn a_group_that_no_profile_fills_loads_and_is_told() {
    let text = r#"@id("x") @deny("n") @because("b") forbid (principal, action in Action::"any/reveal", resource);"#;
    let pack = Pack::load(&[("acme.cedar", text)], None, &Vocabulary::new(&[]).unwrap()).unwrap();
    assert!(!pack.warnings().is_empty());
    assert_eq!(load(text).unwrap().warnings(), []);
}

#[test]
fn a_policy_that_can_never_match_is_told() {
    let pack = load(r#"@id("x") permit (principal, action, resource) when { false };"#).unwrap();
    assert_eq!(pack.warnings().len(), 1);
}

fn assertion(case: &str) -> String {
    let files = [("acme.cedar", DEFAULT)];
    match Pack::load(&files, Some(("acme.test.toml", case)), &vocabulary()) {
        Ok(_) => "loads".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_pack_loads_only_if_all_assertions_hold() {
    let case = |action: &str, rest: &str| {
        format!(
            "# one\n\n[[case]]\naction = {action}\nresource = {{ name = \"acme/web@main\", environment = \"dev\" }}\n{rest}\n"
        )
    };
    assert_eq!(assertion(&case("\"github/git.push\"", "expect = \"deny\"\nrule = \"main-is-protected\"")), "loads");
    assert_eq!(
        assertion(&case("\"github/git.push\"", "expect = \"allow\"")),
        "acme.test.toml:3: the case expects allow and gets deny by `main-is-protected`",
    );
    assert_eq!(
        assertion(&case("\"github/git.push\"", "expect = \"deny\"\nrule = \"other\"")),
        "acme.test.toml:3: the case expects deny by `other` and gets it by `main-is-protected`",
    );
    assert_eq!(
        assertion(&case("\"github/git.psuh\"", "expect = \"deny\"")),
        "acme.test.toml:3: no service has the operation `github/git.psuh`",
    );
    assert!(
        assertion(&case("\"github/git.push\"", "expect = \"maybe\"")).starts_with("acme.test.toml:6: unknown variant")
    );
    assert!(assertion(&case("\"github/git.push\"", "expct = \"deny\"")).contains("expct"));
    assert!(assertion("case = 1").starts_with("acme.test.toml:1: "));
}

#[test]
fn a_schema_needs_names_that_are_all_different() {
    let clash = [operation("a", "b/c", "read"), operation("a/b", "c", "read")];
    assert!(matches!(Vocabulary::new(&clash), Err(VocabularyError::Clash { .. })));
    assert!(matches!(Vocabulary::new(&[operation("a", "write", "read")]), Err(VocabularyError::Clash { .. })));
    for (service, name) in [("any", "x"), ("a//b", "x"), ("", "x"), ("a", ""), ("a", "b\"c"), ("a/b/c/d/e", "x")] {
        let result = Vocabulary::new(&[operation(service, name, "read")]);
        assert!(matches!(result, Err(VocabularyError::Name(_))), "{service} {name}");
    }
    assert!(Vocabulary::new(&[]).is_ok());
}

#[test]
fn an_operation_with_two_effects_is_in_the_groups_of_both() {
    let mut all = operations();
    all.push(operation("slack", "both", "read"));
    all.push(operation("slack", "both", "write"));
    let vocabulary = Vocabulary::new(&all).unwrap();
    assert_eq!(vocabulary.inner().effects("slack", "both"), [Effect::Read, Effect::Write]);
    let line = vocabulary.schema_text().lines().find(|l| l.starts_with("action \"slack/both\"")).unwrap();
    assert!(line.contains("any/read") && line.contains("any/write") && line.contains("slack/write"), "{line}");
}

#[test]
fn the_digest_tells_texts_and_assertions_apart() {
    let base = r#"@id("x") permit (principal, action, resource);"#;
    let pack = |files: &[(&str, &str)], tests| Pack::load(files, tests, &vocabulary()).unwrap().digest();
    let one = pack(&[("a.cedar", base)], None);
    assert_eq!(one, pack(&[("a.cedar", base)], None));
    assert_ne!(one, pack(&[("b.cedar", base)], None));
    assert_ne!(one, pack(&[("a.cedar", &format!("{base} "))], None));
    assert_ne!(one, pack(&[("a.cedar", base)], Some(("a.test.toml", "case = []"))));
}
