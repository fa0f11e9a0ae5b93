use crate::world::{World, credential, grant, holder, leaf, session};
use marque_chain::{Agent, ChildRequest, Limits, SigningKey, derive};
use marque_model::event::{
    Apply, AskAnswer, AskOpen, CredentialAdd, CredentialRemove, Erased, LinkRegister, LinkRevoke, SessionClosed, SessionEnd,
    Tainted,
};
use marque_model::state::AskPhase;
use marque_model::{AskId, Draft, Effect, EndReason, Mode, Refusal, SubjectId, budget::Limit, limits};
use proptest::prelude::*;

fn end(n: u8) -> Draft {
    Draft::new(SessionEnd { reason: EndReason::Exited }).in_session(session(n), Mode::Enforce)
}

#[test]
fn no_use_is_admitted_after_its_sessions_end() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    world.append(World::intent(1, 0, None)).unwrap();
    world.append(end(1)).unwrap();
    assert_eq!(world.append(World::intent(1, 0, None)), Err(Refusal::SessionNotLive));
    assert!(world.append(end(1)).is_err(), "a session ends once");
}

#[test]
fn time_alone_ends_a_session() {
    let mut world = World::new();
    world.open(1, "", 60).unwrap();
    world.now_ms += 59_999;
    world.append(World::intent(1, 0, None)).unwrap();
    world.now_ms += 1;
    assert_eq!(world.append(World::intent(1, 0, None)), Err(Refusal::SessionNotLive));
}

#[test]
fn time_that_goes_back_extends_nothing() {
    let mut world = World::new();
    world.open(1, "", 60).unwrap();
    world.now_ms += 61_000;
    world.append(Draft::new(Tainted { origin: "x".into() })).unwrap();
    world.now_ms -= 30_000;
    assert!(world.append(World::intent(1, 0, None)).is_err());
}

#[test]
fn a_link_that_another_root_signed_opens_nothing() {
    let mut world = World::new();
    let claims = world.claims(1, vec![grant("")], Limits::NONE, 60);
    let other = SigningKey::from_seed(&[2; 32]).unwrap();
    assert_eq!(other.public(), World::other_root());
    let link = marque_chain::sign_root(&claims, &other).unwrap();
    assert!(matches!(world.open_with(1, link.compact(), 60), Err(Refusal::Link(_))));
}

#[test]
fn a_session_of_more_than_eight_hours_is_refused() {
    let mut world = World::new();
    let most_s = limits::SESSION_MS_MAX / 1000;
    assert!(world.open(1, "", most_s).is_ok());
    assert!(world.open(2, "", most_s + 1).is_err());
}

#[test]
fn a_replaced_credential_is_not_used_under_the_old_decision() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    world.append(World::intent(1, 0, None)).unwrap();
    world.append(Draft::new(CredentialRemove { id: credential() })).unwrap();
    assert_eq!(world.append(World::intent(1, 0, None)), Err(Refusal::CredentialChanged));
    let add = CredentialAdd {
        id: credential(),
        version: 2,
        name: "github".into(),
        service: "github".into(),
        environment: "staging".into(),
        origins: vec![],
        placement: "bearer".into(),
        row: [1; 32],
        source: "value".into(),
        pins: vec![],
        resources: vec![],
    };
    assert!(world.append(Draft::new(add)).is_err(), "a new credential begins at version 1");
}

#[test]
fn a_decision_does_not_outlive_the_facts_it_was_made_on() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let epoch = world.state.sessions[&session(1)].facts.epoch;
    let mut draft = World::intent(1, 0, None);
    draft.facts_epoch = Some(epoch);
    world.append(draft.clone()).unwrap();
    let taint = Draft::new(Tainted { origin: "https://x".into() }).in_session(session(1), Mode::Enforce);
    world.append(taint).unwrap();
    assert_eq!(world.append(draft), Err(Refusal::FactsChanged));
}

#[test]
fn a_decision_does_not_outlive_the_policies_it_was_made_by() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let mut draft = World::intent(1, 0, None);
    draft.policy_seq = Some(world.state.policy_seq);
    world.append(draft.clone()).unwrap();
    let profile = Apply { what: "profile".into(), name: "acme".into(), digest: [1; 32] };
    world.append(Draft::new(profile)).unwrap();
    world.append(draft.clone()).unwrap();
    let policy = Apply { what: "policy".into(), name: "acme".into(), digest: [2; 32] };
    world.append(Draft::new(policy)).unwrap();
    assert_eq!(world.append(draft.clone()), Err(Refusal::FactsChanged));
    draft.policy_seq = Some(world.state.next_seq - 1);
    world.append(draft).unwrap();
}

#[test]
fn a_decision_that_looked_at_counts_does_not_outlive_the_next_use() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let mut draft = World::intent(1, 0, None);
    draft.facts_uses = Some(0);
    world.append(draft.clone()).unwrap();
    assert_eq!(world.append(draft.clone()), Err(Refusal::FactsChanged), "the same decision admits no second use");
    draft.facts_uses = Some(1);
    world.append(draft).unwrap();
}

fn child(world: &World, parent: &str, n: u8, limits: &str) -> marque_chain::Link {
    let above = marque_chain::Link::read_unverified(parent).unwrap();
    let request = ChildRequest {
        holder: holder(n).public(),
        agent: Agent { id: format!("child-{n}"), name: None, software: None },
        policy: None,
        grants: vec![grant(limits)],
        limits: Limits::NONE,
        audience: None,
        exp_s: world.now_ms / 1000 + 60,
        max_depth: None,
    };
    derive(&above, request, &holder(1), world.now_ms / 1000, &leaf(n)).unwrap()
}

pub(crate) fn register(world: &mut World, parent: u8, n: u8, limits: &str) -> Result<u64, Refusal> {
    let text = world.state.link(&leaf(parent)).unwrap().text.to_string();
    let link = child(world, &text, n, limits);
    let event = LinkRegister {
        jti: leaf(n).to_string(),
        parent: leaf(parent).to_string(),
        under: vec![0],
        bound: true,
        not_after_ms: (world.now_ms / 1000 + 60) * 1000,
        link: link.compact().to_owned(),
    };
    world.append(Draft::new(event).in_session(session(1), Mode::Enforce))
}

#[test]
fn what_children_use_is_spent_by_their_parent() {
    let mut world = World::new();
    world.open(1, r#","limits":{"uses":3}"#, 600).unwrap();
    // Two offline children may each promise all of it; what is used is cut (I4).
    register(&mut world, 1, 2, r#","limits":{"uses":3}"#).unwrap();
    register(&mut world, 1, 3, "").unwrap();
    let mut by = |n: u8| {
        let mut draft = World::intent(1, 0, None);
        draft.leaf = Some(leaf(n));
        world.append(draft)
    };
    assert!(by(2).is_ok());
    assert!(by(3).is_ok());
    assert!(by(1).is_ok());
    assert_eq!(by(2), Err(Refusal::LimitReached { limit: Limit::Uses, depth: 1 }));
    assert_eq!(by(3), Err(Refusal::LimitReached { limit: Limit::Uses, depth: 1 }));
    assert_eq!(by(1), Err(Refusal::LimitReached { limit: Limit::Uses, depth: 0 }));
}

#[test]
fn revoking_an_ancestor_revokes_the_child() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    register(&mut world, 1, 2, "").unwrap();
    let mut draft = World::intent(1, 0, None);
    draft.leaf = Some(leaf(2));
    world.append(draft.clone()).unwrap();
    world.append(Draft::new(LinkRevoke { jti: leaf(1).to_string() }).in_session(session(1), Mode::Enforce)).unwrap();
    assert_eq!(world.append(draft), Err(Refusal::Revoked));
}

fn ask(world: &mut World, id: AskId) -> Result<u64, Refusal> {
    let event = AskOpen {
        id,
        digest: [3; 32],
        group: "owners".into(),
        rule: "r".into(),
        service: "github".into(),
        operation: "repo.read".into(),
        effect: Effect::Read,
        expires_ms: world.now_ms + 60_000,
    };
    world.append(Draft::new(event).in_session(session(1), Mode::Enforce).by_leaf(leaf(1)))
}

#[test]
fn an_erased_human_answers_for_nothing_and_none_is_erased_while_he_answers() {
    let human = |n| SubjectId::from_bytes([n; 16]);
    let erase = |n| Draft::new(Erased { subject: human(n), count: 1 });
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let in_use = Err(Refusal::Sequence("the human has a live session"));
    assert_eq!(world.append(erase(7)), in_use);
    // Another human may be erased; his answer that was on its way is no answer.
    let seq = world.append(erase(8)).unwrap();
    assert_eq!(world.state.erased.get(&human(8)), Some(&seq));
    let id = AskId::from_bytes([1; 10]);
    ask(&mut world, id).unwrap();
    let late = AskAnswer { id, approved: true, by: human(8), factor: "passphrase".into(), uses: 1, expires_ms: world.now_ms + 60_000 };
    let gone = Err(Refusal::Sequence("the human was erased"));
    assert_eq!(world.append(Draft::new(late)), gone);
    answer(&mut world, id, true, 1).unwrap();
    world.append(end(1)).unwrap();
    assert_eq!(world.append(erase(7)), in_use, "its teardown is not done");
    let closed = SessionClosed { uses_unknown: 0, leases_gone: 0, leases_live: 0, standing: 0, static_used: vec![] };
    world.append(Draft::new(closed).in_session(session(1), Mode::Enforce)).unwrap();
    world.append(erase(7)).unwrap();
    assert_eq!(world.append(erase(7)), gone, "once");
    assert_eq!(world.open(2, "", 600), gone, "a session that was on its way opens no more");
}

fn answer(world: &mut World, id: AskId, approved: bool, uses: u32) -> Result<u64, Refusal> {
    let event = AskAnswer {
        id,
        approved,
        by: SubjectId::from_bytes([7; 16]),
        factor: "passphrase".into(),
        uses,
        expires_ms: world.now_ms + 60_000,
    };
    world.append(Draft::new(event))
}

#[test]
fn a_one_use_approval_admits_one_use_of_that_digest_by_that_leaf() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    register(&mut world, 1, 2, "").unwrap();
    let id = AskId::from_bytes([1; 10]);
    ask(&mut world, id).unwrap();
    assert_eq!(world.append(World::intent(1, 0, Some(id))), Err(Refusal::ApprovalSpent), "not answered yet");
    answer(&mut world, id, true, 1).unwrap();
    let mut sibling = World::intent(1, 0, Some(id));
    sibling.leaf = Some(leaf(2));
    assert_eq!(world.append(sibling), Err(Refusal::ApprovalSpent));
    let mut other = World::intent(1, 0, Some(id));
    if let marque_model::Event::UseIntent(event) = &mut other.event {
        event.digest = [4; 32];
    }
    assert_eq!(world.append(other), Err(Refusal::ApprovalSpent));
    world.append(World::intent(1, 0, Some(id))).unwrap();
    assert_eq!(world.append(World::intent(1, 0, Some(id))), Err(Refusal::ApprovalSpent));
    assert!(answer(&mut world, id, true, 1).is_err(), "an answer is given once");
}

#[test]
fn a_denied_or_late_question_is_not_approved() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    let (a, b) = (AskId::from_bytes([1; 10]), AskId::from_bytes([2; 10]));
    ask(&mut world, a).unwrap();
    answer(&mut world, a, false, 0).unwrap();
    assert_eq!(world.append(World::intent(1, 0, Some(a))), Err(Refusal::ApprovalSpent));
    ask(&mut world, b).unwrap();
    world.now_ms += 60_000;
    assert!(answer(&mut world, b, true, 1).is_err());
}

#[test]
fn the_eighth_open_question_is_taken_and_the_ninth_is_not() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    for n in 0..limits::ASKS_OPEN_PER_SESSION_MAX {
        ask(&mut world, AskId::from_bytes([n as u8; 10])).unwrap();
    }
    let one_more = AskId::from_bytes([200; 10]);
    assert_eq!(ask(&mut world, one_more), Err(Refusal::Quota("ASKS_OPEN_PER_SESSION_MAX")));
    answer(&mut world, AskId::from_bytes([0; 10]), false, 0).unwrap();
    ask(&mut world, one_more).unwrap();
    assert_eq!(world.state.asks[&one_more].phase, AskPhase::Open);
}

#[test]
fn a_closed_session_leaves_nothing_in_memory() {
    let mut world = World::new();
    world.open(1, "", 600).unwrap();
    register(&mut world, 1, 2, "").unwrap();
    ask(&mut world, AskId::from_bytes([1; 10])).unwrap();
    world.append(World::intent(1, 0, None)).unwrap();
    world.append(end(1)).unwrap();
    let closed = SessionClosed { uses_unknown: 1, leases_gone: 0, leases_live: 0, standing: 0, static_used: vec![] };
    world.append(Draft::new(closed).in_session(session(1), Mode::Enforce)).unwrap();
    let state = &world.state;
    assert!(state.sessions.is_empty() && state.asks.is_empty() && state.open_uses.is_empty());
    assert!(state.link(&leaf(1)).is_none() && state.link(&leaf(2)).is_none());
}

#[derive(Debug, Clone)]
enum Step {
    Use { leaf: u8, bytes: u64 },
    Settle { pick: usize, bytes: u64 },
    Wait { ms: u64 },
    Revoke { leaf: u8 },
    End,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u8..=3, 0u64..40).prop_map(|(leaf, bytes)| Step::Use { leaf, bytes }),
        4 => (any::<usize>(), 0u64..60).prop_map(|(pick, bytes)| Step::Settle { pick, bytes }),
        2 => (0u64..900).prop_map(|ms| Step::Wait { ms }),
        1 => (2u8..=3).prop_map(|leaf| Step::Revoke { leaf }),
        1 => Just(Step::End),
    ];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// The oracle counts for itself: admitted uses, reserved and settled bytes, the rate window.
    #[test]
    fn admitted_uses_never_pass_any_ancestors_limit(steps in steps()) {
        let mut world = World::new();
        world.open(1, r#","limits":{"uses":12,"bytes":200,"rate":{"uses":4,"per_s":1}}"#, 600).unwrap();
        register(&mut world, 1, 2, r#","limits":{"uses":5}"#).unwrap();
        register(&mut world, 1, 3, "").unwrap();
        let mut open: Vec<(u64, u64)> = Vec::new();
        let (mut uses, mut by_2, mut settled) = (0u64, 0u64, 0u64);
        let mut times: Vec<u64> = Vec::new();
        let mut ended = false;
        for step in steps {
            match step {
                Step::Wait { ms } => world.now_ms += ms,
                Step::Revoke { leaf: n } => {
                    let revoke = LinkRevoke { jti: leaf(n).to_string() };
                    let _ = world.append(Draft::new(revoke).in_session(session(1), Mode::Enforce));
                }
                Step::End => ended |= world.append(end(1)).is_ok(),
                Step::Settle { pick, bytes } => {
                    if !open.is_empty() {
                        let (seq, cap) = open.swap_remove(pick % open.len());
                        let used = bytes.min(cap);
                        world.append(World::outcome(1, seq, used)).unwrap();
                        prop_assert!(world.append(World::outcome(1, seq, used)).is_err(), "settled once");
                        settled += used;
                    }
                }
                Step::Use { leaf: n, bytes } => {
                    let mut draft = World::intent(1, bytes, None);
                    draft.leaf = Some(leaf(n));
                    if let Ok(seq) = world.append(draft) {
                        prop_assert!(!ended, "no use after the end");
                        uses += 1;
                        by_2 += u64::from(n == 2);
                        open.push((seq, bytes));
                        times.push(world.now_ms);
                        let recent = times.iter().filter(|t| **t > world.now_ms - 1000).count();
                        prop_assert!(recent <= 4, "rate");
                    }
                }
            }
            let reserved: u64 = open.iter().map(|(_, cap)| cap).sum();
            prop_assert!(uses <= 12 && by_2 <= 5);
            prop_assert!(settled + reserved <= 200);
        }
    }
}
