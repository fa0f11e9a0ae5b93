//! Every bound at n and n + 1.

use marque_chain::limits::*;
use marque_chain::{Claims, Limits, Rule, Rules, SignError, sign_root, verify};
use serde_json::{Value, json};

use crate::support::*;

fn judged(change: impl FnOnce(&mut Value)) -> Option<Rule> {
    let link = changed(chain(0)[0].compact(), 0, change);
    verify(&[&link], &root(), T0 + 60, &rules())
        .err()
        .map(|e| e.rule)
}

/// `set(n)` has to pass and `set(n + 1)` to fail by `rule`.
fn bound(n: usize, rule: Rule, set: impl Fn(&mut Value, usize)) {
    assert_eq!(judged(|v| set(v, n)), None, "{n}");
    assert_eq!(judged(|v| set(v, n + 1)), Some(rule), "{} + 1", n);
}

fn name(n: usize) -> Value {
    json!("x".repeat(n))
}

#[test]
fn texts_are_bounded() {
    bound(MAX_URI_BYTES, Rule::Claims, |v, n| v["iss"] = name(n));
    bound(MAX_URI_BYTES, Rule::Claims, |v, n| {
        v["agent"]["id"] = name(n)
    });
    bound(MAX_URI_BYTES, Rule::Claims, |v, n| {
        v["session"]["human"] = name(n)
    });
    bound(MAX_URI_BYTES, Rule::Claims, |v, n| {
        v["status"] = json!({"status_list": {"idx": 0, "uri": "x".repeat(n)}})
    });
    bound(MAX_TEXT_BYTES, Rule::Claims, |v, n| {
        v["agent"]["name"] = name(n)
    });
    bound(MAX_TEXT_BYTES, Rule::Claims, |v, n| {
        v["policy"]["id"] = name(n)
    });
    bound(MAX_JTI_BYTES, Rule::Claims, |v, n| v["jti"] = name(n));
    assert_eq!(judged(|v| v["jti"] = name(MIN_JTI_BYTES)), None);
    assert_eq!(
        judged(|v| v["jti"] = name(MIN_JTI_BYTES - 1)),
        Some(Rule::Claims)
    );
    let environment = |v: &mut Value, n: usize| {
        v["session"]["environment"] = name(n);
        v["authorization_details"][0]["environment"] = name(n);
        v["authorization_details"][1]["environment"] = name(n);
    };
    bound(MAX_NAME_BYTES, Rule::Claims, environment);
    bound(MAX_NAME_BYTES, Rule::Claims, |v, n| {
        v["authorization_details"][1]["service"] = name(n)
    });
    let assertion = |v: &mut Value, n: usize| {
        v["session"]["human_proof"] = json!("proven");
        v["human_proof"] = json!({"credential_id": "A".repeat(n), "authenticator_data": "AA", "client_data_json": "AA", "signature": "AA"});
    };
    // One more is 1 mod 4, and no base64; two more is.
    assert_eq!(judged(|v| assertion(v, MAX_ASSERTION_BYTES)), None);
    assert_eq!(
        judged(|v| assertion(v, MAX_ASSERTION_BYTES + 2)),
        Some(Rule::Claims)
    );
}

#[test]
fn lists_are_bounded() {
    bound(MAX_AUDIENCES, Rule::Claims, |v, n| {
        v["aud"] = (0..n)
            .map(|i| {
                if i == 0 {
                    json!(GATEWAY)
                } else {
                    json!(format!("a{i}"))
                }
            })
            .collect();
    });
    bound(MAX_GRANTS, Rule::Claims, |v, n| {
        v["authorization_details"] = (0..n).map(|i| json!({"type":"service","service":format!("s{i}"),"environment":"staging","actions":["a"],"resources":["a"]})).collect();
    });
    for (index, member) in [(0, "paths"), (1, "actions"), (1, "resources")] {
        let slash = if member == "paths" { "/" } else { "" };
        bound(MAX_ENTRIES, Rule::Claims, |v, n| {
            v["authorization_details"][index][member] =
                (0..n).map(|i| json!(format!("{slash}a{i}"))).collect();
        });
    }
    bound(MAX_ENTRIES, Rule::Claims, |v, n| {
        v["authorization_details"][0]["actions"] = (0..n).map(|i| json!(format!("A{i}"))).collect()
    });
    bound(MAX_ENTRIES, Rule::Claims, |v, n| {
        v["authorization_details"][0]["locations"] = (0..n)
            .map(|i| json!(format!("https://a{i}.test:443")))
            .collect();
    });
}

#[test]
fn numbers_are_bounded() {
    bound(
        usize::try_from(MAX_JSON_INT).unwrap(),
        Rule::Json,
        |v, n| v["limits"]["bytes"] = json!(n),
    );
    bound(usize::from(HARD_MAX_DEPTH), Rule::Depth, |v, n| {
        v["del_max_depth"] = json!(n)
    });
    let lifetime = usize::try_from(T0 + MAX_LIFETIME_S).unwrap();
    bound(lifetime, Rule::Lifetime, |v, n| v["exp"] = json!(n));
    let skew = usize::try_from(T0 + 60 + MAX_SKEW_S).unwrap();
    bound(skew, Rule::IssuedAhead, |v, n| v["iat"] = json!(n));
}

/// A link of exactly `bytes`: white space in the payload, which base64 lengthens by 4 for 3.
fn padded(compact: &str, seed: u8, bytes: usize) -> String {
    let text = payload(compact);
    (0..bytes)
        .find_map(|n| {
            let link = forge(HEADER, format!("{text}{}", " ".repeat(n)).as_bytes(), seed);
            (link.len() >= bytes).then_some(link)
        })
        .unwrap()
}

#[test]
fn links_are_bounded_in_size() {
    let good = compact(&chain(1));
    for (i, max) in [(0_u8, MAX_ROOT_LINK_BYTES), (1, MAX_LINK_BYTES)] {
        let judge = |bytes: usize| {
            let link = padded(&good[usize::from(i)], i, bytes);
            assert_eq!(link.len(), bytes);
            let links = if i == 0 {
                vec![link]
            } else {
                vec![good[0].clone(), link]
            };
            verify(&strs(&links), &root(), T0 + 60, &rules())
                .err()
                .map(|e| e.rule)
        };
        // base64url has no length of 1 mod 4: of max and max + 1 use the nearest there is.
        let fits = (0..4)
            .map(|d| max - d)
            .find(|n| padded(&good[usize::from(i)], i, *n).len() == *n)
            .unwrap();
        let over = (1..4)
            .map(|d| max + d)
            .find(|n| padded(&good[usize::from(i)], i, *n).len() == *n)
            .unwrap();
        assert!(over - fits <= 2);
        assert_eq!(judge(fits), None);
        assert_eq!(judge(over), Some(Rule::Size));
    }
    let mut claims: Claims = root_claims();
    let long = json!({"type":"http","environment":"staging","locations":["https://api.example.test:443"],"actions":["GET"],
        "paths": (0..MAX_ENTRIES).map(|i| format!("/{i}{}", "a".repeat(200))).collect::<Vec<_>>()});
    let grants = |n: usize| {
        (0..n)
            .map(|i| {
                marque_chain::Grant::from_json(long.clone())
                    .unwrap()
                    .with_limits(Limits {
                        uses: Some(i as u64),
                        ..Limits::NONE
                    })
            })
            .collect()
    };
    claims.authorization_details = grants(1);
    assert!(sign_root(&claims, &key(0)).is_ok());
    claims.authorization_details = grants(2);
    assert!(matches!(
        sign_root(&claims, &key(0)),
        Err(SignError::TooLong {
            max: MAX_ROOT_LINK_BYTES
        } | SignError::Schema(_))
    ));
}

#[test]
fn depth_is_bounded_by_the_verifier_and_by_a_hard_limit() {
    let mut claims = root_claims();
    claims.del_max_depth = HARD_MAX_DEPTH;
    let links = compact(&chain_of(&claims, HARD_MAX_DEPTH));
    let judge = |count: usize, max_depth: u8| {
        let rules = Rules {
            max_depth,
            ..rules()
        };
        verify(&strs(&links[..count]), &root(), T0 + 60, &rules)
            .err()
            .map(|e| e.rule)
    };
    let default = usize::from(DEFAULT_MAX_DEPTH);
    assert_eq!(judge(default + 1, DEFAULT_MAX_DEPTH), None);
    assert_eq!(judge(default + 2, DEFAULT_MAX_DEPTH), Some(Rule::Depth));
    assert_eq!(judge(usize::from(HARD_MAX_DEPTH) + 1, 255), None);
    let mut one_more = links.clone();
    one_more.push(links[1].clone());
    let rules = Rules {
        max_depth: 255,
        ..rules()
    };
    assert_eq!(
        verify(&strs(&one_more), &root(), T0 + 60, &rules)
            .unwrap_err()
            .rule,
        Rule::Depth
    );
}

#[test]
fn roots_are_bounded() {
    let links = compact(&chain(0));
    let roots = |n: usize| {
        (0..n)
            .map(|i| key(u8::try_from(n - 1 - i).unwrap()).public())
            .collect::<Vec<_>>()
    };
    assert!(verify(&strs(&links), &roots(MAX_ROOTS), T0 + 60, &rules()).is_ok());
    assert_eq!(
        verify(&strs(&links), &roots(MAX_ROOTS + 1), T0 + 60, &rules())
            .unwrap_err()
            .rule,
        Rule::Roots
    );
}

#[test]
fn headers_are_bounded() {
    let text = payload(chain(0)[0].compact());
    let judge = |bytes: usize| {
        let header = format!("{HEADER}{}", " ".repeat(bytes - HEADER.len()));
        verify(
            &[&forge(&header, text.as_bytes(), 0)],
            &root(),
            T0 + 60,
            &rules(),
        )
        .err()
        .map(|e| e.rule)
    };
    assert_eq!(judge(MAX_HEADER_BYTES), None);
    assert_eq!(judge(MAX_HEADER_BYTES + 1), Some(Rule::Header));
}

#[test]
fn proofs_are_bounded() {
    use marque_chain::proof::{Expected, ProofClaims, verify as verify_proof};
    let links = compact(&chain(0));
    let verified = verify(&strs(&links), &root(), T0 + 60, &rules()).unwrap();
    let hash = verified.lineage().leaf().unwrap().hash;
    let claims = |method: usize| ProofClaims {
        ath: hash,
        htm: "A".repeat(method),
        htu: "u".into(),
        jti: jti(0),
        iat: T0 + 60,
        body_sha256: None,
    };
    let signs = |method: usize| marque_chain::proof::sign(&claims(method), &key(1));
    assert!(signs(MAX_METHOD_BYTES).is_ok() && signs(MAX_METHOD_BYTES + 1).is_err());
    let method = "A".repeat(4);
    let expected = Expected {
        htm: &method,
        htu: "u",
        now_s: T0 + 60,
        max_age_s: 60,
        body_sha256: None,
    };
    let body = payload(&signs(4).unwrap());
    let judge = |spaces: usize| {
        let text = format!("{body}{}", " ".repeat(spaces));
        let proof = forge(
            r#"{"alg":"EdDSA","typ":"agent-proof+jwt"}"#,
            text.as_bytes(),
            1,
        );
        (
            proof.len(),
            verify_proof(&proof, verified.lineage(), &expected)
                .err()
                .map(|e| e.code()),
        )
    };
    let sizes: Vec<_> = (2400..MAX_PROOF_BYTES)
        .map(judge)
        .skip_while(|(len, _)| *len + 2 < MAX_PROOF_BYTES)
        .take(4)
        .collect();
    for (len, code) in &sizes {
        assert_eq!(
            *code,
            (*len > MAX_PROOF_BYTES).then_some("proof_size"),
            "{len}"
        );
    }
    assert!(
        sizes.iter().any(|s| s.1.is_none()) && sizes.iter().any(|s| s.1.is_some()),
        "{sizes:?}"
    );
}
