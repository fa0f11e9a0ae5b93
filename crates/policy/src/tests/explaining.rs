use super::support::{DEFAULT, any_facts, default_policies, facts, load, push, vocabulary};
use crate::explain::flips;
use crate::{Answer, Change, Pack, Policies, Verdict};
use marque_model::{Effect, Grade};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[test]
fn the_change_that_is_told_flips_the_answer_for_a_thousand_requests() {
    let extra = r#"@id("many") @ask("initiator") @because("many uses")
                   forbid (principal, action in Action::"github/write", resource) when { context.session.uses > 50 };
                   @id("deep") @deny("have the parent do it") @because("depth")
                   forbid (principal, action in Action::"any/write", resource) when { principal.depth > 2 };"#;
    let vocabulary = vocabulary();
    let packs = [DEFAULT, extra].map(|text| Pack::load(&[("p.cedar", text)], None, &vocabulary).unwrap());
    let policies = Policies::new(&vocabulary, packs.into());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = any_facts();
    let (mut told, mut kinds) = (0, std::collections::BTreeSet::new());
    for _ in 0..1_600 {
        let facts = strategy.new_tree(&mut runner).unwrap().current();
        let explanation = policies.explain(&facts);
        assert_eq!(explanation.verdict, policies.decide(&facts));
        let from = explanation.verdict.answer();
        let flipping = |change: &Change| flips(from, policies.decide_unsliced(&change.apply(&facts)).answer());
        match &explanation.counterfactual {
            Some(change) => {
                let to = policies.decide_unsliced(&change.apply(&facts)).answer();
                assert_ne!(from, to, "{change}");
                assert!(flips(from, to));
                // Nothing nearer flips it.
                let nearer = policies.changes(&facts).into_iter().take_while(|other| other != change);
                assert_eq!(nearer.filter(|c| flipping(c)).count(), 0);
                told += 1;
                kinds.insert(format!("{change:?}").split('(').next().unwrap().to_owned());
            }
            None => assert!(!policies.changes(&facts).iter().any(flipping)),
        }
    }
    assert!(told >= 1_000, "{told}");
    assert!(kinds.len() >= 5, "{kinds:?}");
}

#[test]
fn an_explanation_names_the_rule_its_line_and_the_nearest_way() {
    let policies = default_policies();
    let explanation = policies.explain(&push("main", "staging"));
    let told = &explanation.rules[0];
    assert_eq!((&*told.id, &*told.file), ("main-is-protected", "default.cedar"));
    let line = DEFAULT.lines().position(|line| line.contains("\"main-is-protected\"")).unwrap() + 1;
    assert_eq!(told.line, line);
    assert_eq!(explanation.counterfactual, Some(Change::Branch("agent/change".into())));

    let mut read = facts("github", "repo.read", Effect::Read, "acme/web", "production");
    read.context.grade = Grade::C;
    assert_eq!(policies.explain(&read).counterfactual, Some(Change::Grade(Grade::B)));

    let mut push = push("agent/x", "staging");
    push.context.session.read_untrusted = true;
    let explanation = policies.explain(&push);
    assert_eq!(explanation.verdict.answer(), Answer::Ask);
    assert_eq!(explanation.counterfactual, Some(Change::ReadUntrusted(false)));
}

#[test]
fn a_replay_tells_what_would_be_decided_otherwise_now() {
    let old = default_policies();
    let requests = [push("main", "dev"), push("agent/x", "dev"), push("agent/x", "production")];
    let decided: Vec<(_, Verdict)> = requests.iter().map(|facts| (facts.clone(), old.decide(facts))).collect();
    assert_eq!(old.replay(decided.clone()), []);
    let text = DEFAULT.replace("@deny(\"push to agent/* and open a pull request\")", "@ask(\"owners\")");
    let new = Policies::new(&vocabulary(), vec![load(&text).unwrap()]);
    let differences = new.replay(decided);
    assert_eq!(differences.len(), 1);
    assert_eq!(
        (differences[0].index, differences[0].was.answer(), differences[0].now.answer()),
        (0, Answer::Deny, Answer::Ask)
    );
    assert_ne!(old.digest(), new.digest());
}
