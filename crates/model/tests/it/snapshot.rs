use crate::fold::register;
use crate::world::{World, credential, leaf, session};
use marque_model::event::{
    Apply, AskAnswer, AskOpen, AskWithdraw, CredentialAdd, CredentialRemove, EnvironmentAdd, EnvironmentRemove, JournalSnapshot, LeaseStep,
    LinkRevoke, SessionClosed, SessionEnd, Tainted,
};
use marque_model::lease::LeaseState;
use marque_model::snapshot::SnapshotError;
use marque_model::{AskId, CredentialId, Draft, Effect, EndReason, Event, LeaseId, Mode, State, SubjectId};
use proptest::prelude::*;
use std::time::Instant;

const LIMITS: &str = r#","limits":{"uses":90,"bytes":2000,"rate":{"uses":9,"per_s":1}}"#;

/// One act of a random history. What is refused is no part of the journal.
fn act(world: &mut World, (what, a, b): (u8, u8, u16)) {
    let n = 1 + a % 3;
    let ask = AskId::from_bytes([a % 4; 10]);
    let lease = LeaseId::from_bytes([a % 5; 10]);
    let own = |event: Event| Draft::new(event).in_session(session(n), Mode::Enforce);
    let far = world.now_ms + 60_000;
    let draft = match what % 22 {
        0 => return drop(world.open(n, LIMITS, 600)),
        1 if world.state.link(&leaf(1)).is_some() => return drop(register(world, 1, 10 + a % 6, r#","limits":{"uses":20}"#)),
        2 => return world.now_ms += u64::from(b % 900),
        3 => own(LinkRevoke { jti: leaf(10 + a % 6).to_string() }.into()),
        4 if b.is_multiple_of(9) => own(SessionEnd { reason: EndReason::Stopped }.into()),
        5 => own(SessionClosed { uses_unknown: 0, leases_gone: 0, leases_live: 0, standing: 0, static_used: vec![] }.into()),
        6 => own(Tainted { origin: "https://x".into() }.into()),
        7 | 8 => own(AskOpen {
            id: ask,
            digest: [3; 32],
            group: "owners".into(),
            rule: "r".into(),
            service: "github".into(),
            operation: "repo.read".into(),
            effect: Effect::Read,
            expires_ms: far,
        }.into()).by_leaf(leaf(n)),
        9 => Draft::new(AskAnswer {
            id: ask,
            approved: b % 3 > 0,
            by: SubjectId::from_bytes([a; 16]),
            factor: "passphrase".into(),
            uses: u32::from(b % 5),
            expires_ms: far,
        }),
        10 => Draft::new(AskWithdraw { id: ask }),
        11 => Draft::new(Apply { what: ["policy", "profile"][usize::from(a % 2)].into(), name: format!("p{}", b % 4), digest: [a; 32] }),
        12 => Draft::new(EnvironmentAdd {
            kind: "resource".into(),
            service: "github".into(),
            name: format!("acme/r{}", b % 6),
            environment: ["staging", "production"][usize::from(a % 2)].into(),
        }),
        13 => Draft::new(EnvironmentRemove { kind: "resource".into(), service: "github".into(), name: format!("acme/r{}", b % 6) }),
        14 => Draft::new(LeaseStep {
            id: lease,
            state: LeaseState::from_code(1 + u64::from(b % 5)).unwrap(),
            provider: "p".into(),
            not_after_ms: far,
        }),
        15 => own(LeaseStep { id: lease, state: LeaseState::Intent, provider: "p".into(), not_after_ms: 0 }.into()),
        16 => Draft::new(CredentialAdd {
            id: CredentialId::from_bytes([20 + a % 3; 10]),
            version: 1 + u32::from(b % 3),
            name: format!("c{}", a % 3),
            service: "github".into(),
            environment: "staging".into(),
            origins: vec!["https://api.github.com:443".into(); usize::from(b % 3)],
            placement: "bearer".into(),
            row: [a; 32],
            source: "value".into(),
            pins: vec![],
            resources: vec![format!("acme/{b}")],
        }),
        17 => Draft::new(CredentialRemove { id: CredentialId::from_bytes([20 + a % 3; 10]) }),
        18 => Draft::new(JournalSnapshot { seq: u64::from(b), digest: [a; 32] }),
        19 => {
            let Some(seq) = world.state.open_uses.keys().nth(usize::from(b) % world.state.open_uses.len().max(1)).copied() else { return };
            World::outcome(n, seq, u64::from(b % 60))
        }
        _ => {
            let ask = world.state.asks.keys().next().copied().filter(|_| b.is_multiple_of(3));
            let mut draft = World::intent(n, u64::from(b % 50), ask);
            if n == 1 && b % 2 == 0 {
                draft.leaf = Some(leaf(10 + a % 6));
            }
            draft
        }
    };
    let _ = world.append(draft);
}

fn history() -> impl Strategy<Value = Vec<(u8, u8, u16)>> {
    proptest::collection::vec(any::<(u8, u8, u16)>(), 1..160)
}

fn lived(acts: Vec<(u8, u8, u16)>) -> World {
    let mut world = World::new();
    for n in 0..3 {
        act(&mut world, (0, n, 0));
    }
    for one in acts {
        act(&mut world, one);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_and_what_came_after_it_is_the_state_of_the_whole_journal(acts in history(), cut in any::<prop::sample::Index>()) {
        let world = lived(acts);
        let at = cut.index(world.log.len() + 1);
        let fold = |mut state: State, log: &[(Draft, u64, u64)]| {
            for (draft, seq, ms) in log {
                state.apply(draft, *seq, *ms, 500).unwrap();
            }
            state
        };
        let early = fold(State::new(), &world.log[..at]);
        let bytes = early.encode();
        let restored = State::decode(&bytes).unwrap();
        prop_assert_eq!(&restored, &early);
        prop_assert_eq!(restored.encode(), bytes, "one state has one encoding");
        prop_assert_eq!(fold(restored, &world.log[at..]), world.state);
    }

    #[test]
    fn no_bytes_make_the_reader_panic_and_what_it_reads_is_what_was_written(
        acts in history(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = lived(acts).state.encode();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(State::decode(&bytes).is_err());
        } else {
            bytes[at] = byte;
            if let Ok(state) = State::decode(&bytes) {
                prop_assert_eq!(state.encode(), bytes);
            }
        }
    }
}

/// The seeds of the fuzz campaign, and what was written by version 1, are read for ever.
#[test]
fn a_state_of_version_1_is_read() {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/model-snapshot");
    for (name, sessions) in [("empty", 0), ("one-of-each", 1)] {
        let bytes = std::fs::read(dir.join(name)).unwrap();
        let state = State::decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((state.sessions.len(), state.asks.len(), state.leases.len()), (sessions, sessions, sessions));
        assert_eq!(state.erased.len(), sessions);
        assert_eq!(state.encode(), bytes);
    }
}

#[test]
fn forged_bytes_cannot_widen_a_link() {
    let mut world = World::new();
    world.open(1, r#","limits":{"uses":3}"#, 600).unwrap();
    let bytes = world.state.encode();
    // The signed text of another link of the same length: of a root key that is not the journal's.
    let claims = world.claims(1, vec![crate::world::grant(r#","limits":{"uses":9}"#)], marque_chain::Limits::NONE, 600);
    let other = marque_chain::SigningKey::from_seed(&[2; 32]).unwrap();
    let forged = marque_chain::sign_root(&claims, &other).unwrap();
    let real = world.state.link(&leaf(1)).unwrap().text.to_string();
    assert_eq!(real.len(), forged.compact().len());
    let at = bytes.windows(real.len()).position(|window| window == real.as_bytes()).unwrap();
    let mut changed = bytes.clone();
    changed[at..at + real.len()].copy_from_slice(forged.compact().as_bytes());
    assert!(matches!(State::decode(&changed), Err(SnapshotError::Link(_))));
    assert_eq!(State::decode(&bytes).unwrap().link(&leaf(1)).unwrap().grants[0].limits().uses, Some(3));
    // Another version is no state of this one.
    let mut later = bytes;
    assert_eq!(later[1], 1);
    later[1] = 2;
    assert_eq!(State::decode(&later), Err(SnapshotError::Version(2)));
}

#[test]
fn a_state_of_a_thousand_sessions_is_copied_and_written_in_moments() {
    let mut world = World::new();
    for n in 0..1_000u32 {
        // Sessions are told apart by what follows the first byte, so that there may be more than 255.
        let mut id = [0; 10];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let id = marque_model::SessionId::from_bytes(id);
        world.open_named(id, &format!("leaf-of-session-{n:08}"), LIMITS, 600).unwrap();
    }
    let began = Instant::now();
    let copy = world.state.clone();
    let copied = began.elapsed();
    let bytes = copy.encode();
    let encoded = began.elapsed() - copied;
    let restored = State::decode(&bytes).unwrap();
    let decoded = began.elapsed() - copied - encoded;
    println!("1,000 sessions: {} bytes, copied in {copied:?}, encoded in {encoded:?}, read back in {decoded:?}", bytes.len());
    assert_eq!(restored, world.state);
    assert_eq!(restored.sessions.len(), 1_000);
    assert!(world.state.credentials.contains_key(&credential()));
    assert!(copied.as_millis() < 500 && encoded.as_millis() < 2_000, "{copied:?} {encoded:?}");
}
