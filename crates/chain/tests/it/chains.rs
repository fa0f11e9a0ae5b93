//! Promises about whole chains that need more than a vector.

use marque_chain::{
    ChildRequest, DeriveError, Limits, Link, NotLive, Rate, Rule, Rules, SignError, Status, UseRef,
    UseWhat, Wider, derive, human_challenge, sign_root, verify, verify_offline_at,
};

use crate::support::*;

fn asked(change: impl FnOnce(&mut ChildRequest)) -> Result<Link, DeriveError> {
    let mut request = request(1);
    change(&mut request);
    derive(&chain(0)[0], request, &key(1), T0 + 10, &jti(1))
}

fn wider(change: impl FnOnce(&mut ChildRequest)) -> String {
    match asked(change) {
        Err(DeriveError::Wider(Wider { pointer, .. })) => pointer,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_holder_cannot_derive_more_than_it_has() {
    assert_eq!(
        wider(|r| r.grants[0] = http_root().with_limits(Limits {
            uses: Some(101),
            ..Limits::NONE
        })),
        "/authorization_details/0/limits/uses"
    );
    assert_eq!(wider(|r| r.exp_s = T0 + 3601), "/exp");
    assert_eq!(
        wider(|r| r.audience = Some(vec!["evil.example.test".into()])),
        "/aud/0"
    );
    assert_eq!(wider(|r| r.max_depth = Some(5)), "/del_max_depth");
    assert_eq!(wider(|r| r.limits.rows = Some(1001)), "/limits/rows");
    assert_eq!(
        wider(|r| r.limits.rate = Some(Rate {
            uses: 20,
            per_s: 59
        })),
        "/limits/rate"
    );
}

#[test]
fn only_the_holder_derives_and_only_while_there_is_time() {
    let parent = &chain(0)[0];
    assert_eq!(
        derive(parent, request(1), &key(2), T0, &jti(1)),
        Err(DeriveError::NotHolder)
    );
    assert_eq!(
        derive(parent, request(1), &key(1), T0 + 3600, &jti(1)),
        Err(DeriveError::Expired)
    );
    assert!(
        matches!(derive(parent, request(1), &key(1), T0, "short"), Err(DeriveError::Sign(SignError::Schema(e))) if e.pointer == "/jti")
    );
    assert!(matches!(
        asked(|r| r.holder = key(1).public()),
        Err(DeriveError::Sign(SignError::Rule {
            rule: Rule::KeyTwice,
            ..
        }))
    ));
    assert!(matches!(
        asked(|r| r.exp_s = T0 + 10),
        Err(DeriveError::Sign(SignError::Rule {
            rule: Rule::NoTime,
            ..
        }))
    ));
    assert!(matches!(
        asked(|r| r.grants.clear()),
        Err(DeriveError::Sign(SignError::Schema(_)))
    ));
    let bidi = |r: &mut ChildRequest| r.agent.name = Some("\u{202e}evil".into());
    assert!(matches!(
        asked(bidi),
        Err(DeriveError::Sign(SignError::Schema(_)))
    ));
}

#[test]
fn a_lagging_clock_still_derives_a_valid_link() {
    let parent = &chain(0)[0];
    let child = derive(parent, request(1), &key(1), T0 - 500, &jti(1)).unwrap();
    assert_eq!(child.claims().iat, T0);
    assert!(
        verify(
            &[parent.compact(), child.compact()],
            &root(),
            T0 + 1,
            &rules()
        )
        .is_ok()
    );
}

#[test]
fn a_sealed_link_has_no_children() {
    let root_link = &chain(0)[0];
    let sealed = asked(|r| r.max_depth = Some(1)).unwrap();
    assert_eq!(sealed.claims().del_max_depth, 1);
    let refused = derive(&sealed, request(2), &key(2), T0 + 20, &jti(2));
    assert!(matches!(refused, Err(DeriveError::Wider(w)) if w.pointer == "/del_depth"));
    assert!(
        verify(
            &[root_link.compact(), sealed.compact()],
            &root(),
            T0 + 20,
            &rules()
        )
        .is_ok()
    );
}

#[test]
fn a_derived_link_is_a_snapshot_of_everything_effective() {
    let child = asked(|r| r.limits.uses = Some(3)).unwrap();
    assert_eq!(
        child.claims().limits,
        Limits {
            uses: Some(3),
            ..root_claims().limits
        }
    );
    assert_eq!(
        child.claims().authorization_details[0].limits(),
        http_root().limits()
    );
    assert_eq!(Link::read_unverified(child.compact()).as_ref(), Ok(&child));
}

#[test]
fn what_the_leaf_permits_every_ancestor_permits() {
    let links = compact(&chain(4));
    let lineage = verify_offline_at(&strs(&links), &root(), None, &rules()).unwrap();
    let what = UseRef {
        environment: "staging",
        what: UseWhat::Http {
            origin: "https://api.example.test:443",
            method: "GET",
            path: "/v1/items/7",
        },
    };
    let mut index = lineage.permits(&what).unwrap();
    for hop in lineage.hops().iter().rev() {
        assert!(hop.grants[index].permits(&what));
        index = hop.under.get(index).copied().unwrap_or(index);
    }
    assert_eq!(
        lineage.permits(&UseRef {
            environment: "production",
            ..what
        }),
        None
    );
}

#[test]
fn an_auditor_needs_no_clock_and_gets_nothing_live() {
    let links = compact(&chain(2));
    let at = |t| verify_offline_at(&strs(&links), &root(), t, &Rules::for_auditor());
    assert!(at(None).is_ok());
    assert!(at(Some(T0 + 900)).is_ok());
    assert_eq!(at(Some(T0 + 9999)).unwrap_err().rule, Rule::Expired);
    assert_eq!(at(Some(T0 - 31)).unwrap_err().rule, Rule::IssuedAhead);
}

#[test]
fn a_verified_chain_that_expired_since_is_not_live() {
    let links = compact(&chain(2));
    let verified = verify(&strs(&links), &root(), T0 + 900, &rules()).unwrap();
    let status = |as_of_s| Status {
        as_of_s,
        ..Status::default()
    };
    let live = verified
        .clone()
        .live(&status(T0 + 900), T0 + 905, 30)
        .unwrap();
    assert_eq!(live.until_s(), T0 + 931);
    assert_eq!(live.lineage().hops().len(), 3);
    let live = verified
        .clone()
        .live(&status(T0 + 990), T0 + 990, 30)
        .unwrap();
    assert_eq!(live.until_s(), T0 + 998, "the leaf's end comes first");
    assert_eq!(
        verified.live(&status(T0 + 998), T0 + 998, 30),
        Err(NotLive::Expired { link: 2 })
    );
}

#[test]
fn several_roots_may_be_in_force() {
    let links = compact(&chain(1));
    let roots = [key(40).public(), key(0).public()];
    assert_eq!(
        *verify(&strs(&links), &roots, T0 + 60, &rules())
            .unwrap()
            .lineage()
            .root(),
        key(0).public()
    );
}

#[test]
fn the_authority_signs_nothing_a_verifier_would_refuse() {
    let refused = |change: &dyn Fn(&mut marque_chain::Claims)| {
        let mut claims = root_claims();
        change(&mut claims);
        sign_root(&claims, &key(0)).unwrap_err()
    };
    assert!(matches!(
        refused(&|c| c.session = None),
        SignError::Rule {
            rule: Rule::Session,
            ..
        }
    ));
    assert!(matches!(
        refused(&|c| c.policy = None),
        SignError::Rule {
            rule: Rule::Policy,
            ..
        }
    ));
    assert!(matches!(
        refused(&|c| c.exp = c.iat),
        SignError::Rule {
            rule: Rule::NoTime,
            ..
        }
    ));
    assert!(
        matches!(refused(&|c| c.jti = "a b".into()), SignError::Schema(e) if e.pointer == "/jti")
    );
    assert!(matches!(refused(&|c| c.aud = vec![]), SignError::Schema(e) if e.pointer == "/aud"));
    assert!(matches!(
        refused(&|c| c.limits.uses = Some(1 << 53)),
        SignError::Schema(_)
    ));
    assert!(matches!(
        refused(&|c| c.cnf.jwk = key(0).public()),
        SignError::Rule {
            rule: Rule::KeyTwice,
            ..
        }
    ));
}

#[test]
fn the_humans_challenge_covers_every_claim_but_the_answer() {
    let base = root_claims();
    let challenge = human_challenge(&base);
    let mut other = base.clone();
    other.session.as_mut().unwrap().id = "s-other".into();
    assert_ne!(human_challenge(&other), challenge);
    let mut other = base.clone();
    other.cnf.jwk = key(9).public();
    assert_ne!(human_challenge(&other), challenge);
}

#[test]
fn an_error_says_which_link_which_rule_and_where() {
    let good = compact(&chain(1));
    let wide = changed(&good[1], 1, |v| {
        v["authorization_details"][0]["paths"] = serde_json::json!(["/**"])
    });
    let error = verify(&[&good[0], &wide], &root(), T0 + 60, &rules()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "link 1 fails `grants`: `/authorization_details/0/paths/0` asks for `/**`, which no entry of the parent covers"
    );
}

mod hostile {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_panics_and_none_verifies(text in "\\PC{0,200}", parts in proptest::collection::vec("[A-Za-z0-9_-]{0,90}", 1..5)) {
            for link in [text, parts.join(".")] {
                prop_assert!(verify(&[&link], &root(), T0, &rules()).is_err());
                let _ = Link::read_unverified(&link);
            }
        }

        #[test]
        fn no_signed_payload_panics(payload in proptest::collection::vec(any::<u8>(), 0..200), seed in 0_u8..2) {
            let links = [chain(0)[0].compact().to_owned(), forge(HEADER, &payload, seed)];
            prop_assert!(verify(&strs(&links), &root(), T0, &rules()).is_err());
        }

        #[test]
        fn no_byte_of_a_link_can_change(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
            let mut links = compact(&chain(1));
            let at = at.index(links[1].len());
            prop_assume!(links[1][at..=at] != to);
            links[1].replace_range(at..=at, &to);
            prop_assert!(verify(&strs(&links), &root(), T0 + 60, &rules()).is_err());
        }
    }
}
