//! Keys, chains and forgeries with fixed seeds.

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marque_chain::{
    Agent, ChildRequest, Claims, Confirmation, Grant, HumanProof, Limits, Link, Mode, PolicyRef,
    PublicKey, Rate, Rules, Session, SigningKey, commit, derive, sha256, sign_root,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// 2026-01-01T00:00:00Z
pub const T0: u64 = 1_767_225_600;
pub const GATEWAY: &str = "gateway.example.test";
pub const HEADER: &str = r#"{"alg":"EdDSA","typ":"agent-link+jwt"}"#;

/// Key 0 is the authority's; key n holds link n - 1.
pub fn key(n: u8) -> SigningKey {
    SigningKey::from_seed(&[n; 32]).unwrap()
}

pub fn root() -> [PublicKey; 1] {
    [key(0).public()]
}

pub fn rules() -> Rules<'static> {
    Rules::for_audience(GATEWAY)
}

pub fn jti(n: u8) -> String {
    format!("link-{n}-{}", "0".repeat(16))
}

pub fn grant(text: &str) -> Grant {
    Grant::parse(text).unwrap()
}

pub fn http_root() -> Grant {
    grant(
        r#"{"type":"http","environment":"staging","locations":["https://api.example.test:443"],"actions":["GET","HEAD","POST"],
        "paths":["/v1/**"],"limits":{"uses":100,"rate":{"uses":10,"per_s":60},"bytes":1000000,"until_s":1767232800,"rows":500}}"#,
    )
}

pub fn service_root() -> Grant {
    grant(
        r#"{"type":"service","service":"github","environment":"staging","actions":["repo.read","pr.*"],
        "resources":["acme/*","acme/web@agent/**"],"limits":{"uses":50}}"#,
    )
}

pub fn root_claims() -> Claims {
    Claims {
        iss: "https://marque.example.test".into(),
        jti: jti(0),
        iat: T0,
        exp: T0 + 3600,
        cnf: Confirmation {
            jwk: key(1).public(),
        },
        del_depth: 0,
        del_max_depth: 4,
        par_hash: None,
        authorization_details: vec![http_root(), service_root()],
        limits: Limits {
            uses: Some(120),
            rate: Some(Rate {
                uses: 20,
                per_s: 60,
            }),
            bytes: Some(2_000_000),
            until_s: Some(T0 + 3600),
            rows: Some(1000),
        },
        agent: Agent {
            id: "spiffe://example.test/agent/0".into(),
            name: Some("builder".into()),
            software: Some("agent/1.0".into()),
        },
        policy: Some(PolicyRef {
            id: "acme".into(),
            sha256: sha256(b"permit(principal, action, resource);"),
        }),
        aud: vec![GATEWAY.into(), "auditor.example.test".into()],
        status: None,
        session: Some(Session {
            id: "s-7f3k".into(),
            human: "h-20c9".into(),
            human_proof: HumanProof::Asserted,
            purpose_c: commit(&[1; 32], "purpose", b"fix the build"),
            refs_c: Some(commit(&[2; 32], "refs", b"ACME-1")),
            mode: Mode::Enforce,
            environment: "staging".into(),
        }),
        human_proof: None,
    }
}

pub fn request(n: u8) -> ChildRequest {
    ChildRequest {
        holder: key(n + 1).public(),
        agent: Agent {
            id: format!("spiffe://example.test/agent/{n}"),
            name: None,
            software: None,
        },
        policy: None,
        grants: vec![
            grant(
                r#"{"type":"http","environment":"staging","locations":["https://api.example.test:443"],"actions":["GET","HEAD"],
                "paths":["/v1/items/*"]}"#,
            ),
            grant(
                r#"{"type":"service","service":"github","environment":"staging","actions":["repo.read"],"resources":["acme/web"]}"#,
            ),
        ],
        limits: Limits::NONE,
        audience: None,
        exp_s: T0 + 900,
        max_depth: None,
    }
}

/// Links 0 to `depth`, each narrower and shorter than the one above.
pub fn chain(depth: u8) -> Vec<Link> {
    chain_of(&root_claims(), depth)
}

pub fn chain_of(claims: &Claims, depth: u8) -> Vec<Link> {
    let mut links = vec![sign_root(claims, &key(0)).unwrap()];
    for n in 1..=depth {
        let mut asked = request(n);
        asked.exp_s = T0 + 1000 - u64::from(n);
        asked.limits.uses = Some(100 - u64::from(n));
        let link = derive(
            links.last().unwrap(),
            asked,
            &key(n),
            T0 + u64::from(n),
            &jti(n),
        )
        .unwrap();
        links.push(link);
    }
    links
}

pub fn compact(links: &[Link]) -> Vec<String> {
    links.iter().map(|link| link.compact().to_owned()).collect()
}

pub fn strs(links: &[String]) -> Vec<&str> {
    links.iter().map(String::as_str).collect()
}

/// A correctly signed JWS over whatever bytes: what a hostile holder can make.
pub fn forge(header: &str, payload: &[u8], seed: u8) -> String {
    let input = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    resign(&input, seed)
}

pub fn resign(input: &str, seed: u8) -> String {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
    format!(
        "{input}.{}",
        URL_SAFE_NO_PAD.encode(pair.sign(input.as_bytes()).as_ref())
    )
}

pub fn payload(compact: &str) -> String {
    let middle = compact.split('.').nth(1).unwrap();
    String::from_utf8(URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap()
}

/// The link with its claims changed, signed again by the same signer.
pub fn changed(compact: &str, seed: u8, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_str(&payload(compact)).unwrap();
    change(&mut value);
    forge(HEADER, sorted(value).to_string().as_bytes(), seed)
}

/// The same with every object's members in order: another crate of the build may ask serde_json to keep theirs, and what
/// is signed or written here must not depend on it.
pub fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let ordered: BTreeMap<String, Value> = members.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            Value::Object(ordered.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        scalar => scalar,
    }
}
