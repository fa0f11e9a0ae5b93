use super::support::{default_policies, facts, policies, push, vocabulary};
use crate::{Answer, Policies, Verdict};
use marque_model::Effect;

fn ids(verdict: &Verdict) -> Vec<&str> {
    verdict.rules().iter().map(|id| &**id).collect()
}

#[test]
fn a_forbid_that_overflows_denies() {
    let policies = policies(
        r#"@id("many") @deny("stop") @because("too many")
           forbid (principal, action, resource) when { context.session.uses * 4611686018427387904 > 0 };"#,
    );
    let mut facts = push("agent/x", "dev");
    assert_eq!(policies.decide(&facts), Verdict::Allow);
    facts.context.session.uses = 2;
    let verdict = policies.decide(&facts);
    assert_eq!(verdict, Verdict::Error { rules: vec!["many".into()] });
    assert_eq!(verdict.answer(), Answer::Deny);
}

#[test]
fn a_forbid_that_reads_what_is_not_there_denies() {
    // Passes the strict validator: the type has the attribute, but there is no such entity.
    let policies = policies(
        r#"@id("other") @ask("owners") @because("another agent")
           forbid (principal, action, resource) when { Agent::"other".depth > 1 };"#,
    );
    assert_eq!(policies.decide(&push("agent/x", "dev")), Verdict::Error { rules: vec!["other".into()] });
}

#[test]
fn an_error_denies_beside_any_other_verdict() {
    let policies = policies(
        r#"@id("ask") @ask("owners") @because("always") forbid (principal, action, resource);
           @id("err") @ask("owners") @because("err")
           forbid (principal, action, resource) when { Agent::"other".depth > 1 };"#,
    );
    assert_eq!(policies.decide(&push("agent/x", "dev")), Verdict::Error { rules: vec!["err".into()] });
}

#[test]
fn without_a_permit_nothing_is_allowed() {
    let policies = Policies::new(&vocabulary(), Vec::new());
    let verdict = policies.decide(&push("agent/x", "dev"));
    assert_eq!(verdict.answer(), Answer::Deny);
    assert!(ids(&verdict).is_empty());
}

#[test]
fn several_questions_become_one_to_all_groups() {
    let policies = policies(
        r#"@id("a") @ask("owners, oncall") @uses("5") @ttl("1m") @because("first") forbid (principal, action, resource);
           @id("b") @ask("legal, oncall") @uses("2") @ttl("2h") @because("second") forbid (principal, action, resource);"#,
    );
    let expected = Verdict::Ask {
        group: "legal, oncall, owners".into(),
        rules: vec!["a".into(), "b".into()],
        because: "first".into(),
        uses: 2,
        ttl_s: 60,
    };
    assert_eq!(policies.decide(&push("agent/x", "dev")), expected);
}

#[test]
fn one_plain_denial_beats_every_question() {
    let policies = policies(
        r#"@id("a") @ask("owners") @because("first") forbid (principal, action, resource);
           @id("b") @deny("do it by hand") @because("second") forbid (principal, action, resource);"#,
    );
    let expected =
        Verdict::Deny { rules: vec!["b".into()], because: "second".into(), next_step: "do it by hand".into() };
    assert_eq!(policies.decide(&push("agent/x", "dev")), expected);
}

#[test]
fn a_question_that_cannot_be_asked_is_a_denial() {
    let policies = default_policies();
    let mut facts = facts("github", "repo.delete", Effect::Destructive, "acme/web", "dev");
    assert_eq!(policies.decide(&facts).answer(), Answer::Ask);
    facts.context.ask_able = false;
    let verdict = policies.decide(&facts);
    assert!(matches!(&verdict, Verdict::Deny { .. }));
    assert_eq!(ids(&verdict), ["destructive"]);
}

#[test]
fn the_unparsed_is_never_better_than_a_question() {
    let policies = policies("");
    let facts = facts("github", "git.push", Effect::Unparsed, "acme/web@agent/x", "dev");
    assert_eq!(policies.decide(&facts).answer(), Answer::Ask);
}

#[test]
fn an_operation_cannot_take_the_name_of_a_group_or_of_another_service() {
    let policies = policies(
        r#"@id("pg") @deny("no") @because("pg") forbid (principal, action == Action::"postgres/orders/select", resource);"#,
    );
    for (service, operation) in [("postgres", "orders/select"), ("http", "any"), ("http", "x/write"), ("any", "read")] {
        let verdict = policies.decide(&facts(service, operation, Effect::Read, "x", "dev"));
        assert_eq!(ids(&verdict), ["unparsed"], "{service}/{operation}");
    }
    let verdict = policies.decide(&facts("postgres/orders", "select", Effect::Read, "x", "dev"));
    assert_eq!(ids(&verdict), ["pg"]);
}

#[test]
fn a_part_of_a_service_is_of_the_service() {
    let policies = policies(
        r#"@id("sub-agents-read-only-db") @deny("have the parent agent do it") @because("delegation depth")
           forbid (principal, action in Action::"postgres/write", resource) when { principal.depth > 1 };"#,
    );
    let mut update = facts("postgres/orders", "update", Effect::Write, "public.orders", "staging");
    assert_eq!(policies.decide(&update), Verdict::Allow);
    update.principal.depth = 2;
    assert_eq!(ids(&policies.decide(&update)), ["sub-agents-read-only-db"]);
    update.action.service = "postgres/another".into();
    assert_eq!(ids(&policies.decide(&update)), ["sub-agents-read-only-db"]);
}

#[test]
fn tags_and_repositories_can_be_named() {
    let policies = policies(
        r#"@id("tier") @deny("no") @because("tier") forbid (principal, action, resource)
             when { resource.hasTag("tier") && resource.getTag("tier") == "gold" };
           @id("web") @deny("no") @because("web") forbid (principal, action, resource in Resource::"github/acme/web")
             when { context.attributes.hasTag("base") && context.attributes.getTag("base") == "main" };
           @id("ci") @deny("no") @because("ci") forbid (principal in Human::"h-2", action, resource)
             when { context has purpose && context.purpose == "ci" };"#,
    );
    let mut facts = push("agent/x", "dev");
    assert_eq!(policies.decide(&facts), Verdict::Allow);
    facts.context.attributes.insert("base".into(), "main".into());
    assert_eq!(ids(&policies.decide(&facts)), ["web"]);
    facts.resource.attributes.insert("tier".into(), "gold".into());
    assert_eq!(ids(&policies.decide(&facts)), ["tier", "web"]);
    facts.principal.human = "h-2".into();
    facts.context.purpose = Some("ci".into());
    assert_eq!(ids(&policies.decide(&facts)), ["tier", "web", "ci"]);
}

#[test]
fn only_slices_that_look_at_counters_say_so() {
    let policies = policies(
        r#"@id("first") @ask("initiator") @uses("1") @because("many") forbid (principal, action in Action::"any/write", resource)
             when { context.session.uses > 50 };
           @id("tainted") @ask("initiator") @because("read") forbid (principal, action, resource)
             when { context.session.read_untrusted };"#,
    );
    assert!(policies.uses_counters(&push("agent/x", "dev")));
    assert!(!policies.uses_counters(&facts("github", "repo.read", Effect::Read, "acme/web", "dev")));
}

#[test]
fn joined_verdicts_are_as_strict_as_the_strictest() {
    let ask = |group: &str, rule: &str, uses| Verdict::Ask {
        group: group.into(),
        rules: vec![rule.into()],
        because: "b".into(),
        uses,
        ttl_s: uses * 10,
    };
    let deny = Verdict::Deny { rules: vec!["d".into()], because: "b".into(), next_step: "n".into() };
    let error = Verdict::Error { rules: Vec::new() };
    assert_eq!(Verdict::Allow.join(ask("b", "x", 2)), ask("b", "x", 2));
    assert_eq!(ask("b", "x", 2).join(deny.clone()), deny);
    assert_eq!(deny.join(error.clone()), error);
    let both = Verdict::Ask {
        group: "a, b".into(),
        rules: vec!["x".into(), "y".into()],
        because: "b".into(),
        uses: 2,
        ttl_s: 20,
    };
    assert_eq!(ask("b", "x", 3).join(ask("a", "y", 2)), both);
}
