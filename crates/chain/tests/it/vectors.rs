//! The language-neutral vectors of `conformance/chain/`: made here, compared with the files, and judged again
//! from the files alone. `MARQUE_BLESS=1` rewrites them.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Once;

use marque_chain::proof::{self, Expected, ProofClaims};
use marque_chain::{
    Claims, Digest, Grant, HumanAssertion, HumanProof, Lineage, PublicKey, Rule, Rules, Status,
    UseRef, UseWhat, commit, covers, human_challenge, render, sha256, sign_root, verify,
    verify_offline_at,
};
use serde_json::{Value, json};

use crate::support::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/chain")
}

/// Rewrites the files once, before any test of this process reads one.
fn bless() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if std::env::var_os("MARQUE_BLESS").is_some_and(|v| v == "1") {
            for (file, text) in generated() {
                std::fs::write(folder().join(file), text).unwrap();
            }
        }
    });
}

fn generated() -> [(&'static str, String); 6] {
    [
        ("valid.json", valid_vectors()),
        ("forged.json", forged_vectors()),
        ("proof.json", proof_vectors()),
        ("live.json", live_vectors()),
        ("grants.json", grant_vectors()),
        ("values.json", value_vectors()),
    ]
    .map(|(file, vectors)| {
        (
            file,
            format!("{:#}\n", sorted(json!({"version": 1, "vectors": vectors}))),
        )
    })
}

fn load(file: &str) -> Vec<Value> {
    bless();
    let value: Value =
        serde_json::from_str(&std::fs::read_to_string(folder().join(file)).unwrap()).unwrap();
    value["vectors"].as_array().unwrap().clone()
}

/// One vector as it is written.
fn vector(name: &str, links: &[String], expect: Value) -> Value {
    json!({
        "name": name,
        "roots": [key(0).public()],
        "now_s": T0 + 60,
        "max_depth": 4,
        "audience": GATEWAY,
        "links": links,
        "expect": expect,
    })
}

fn refused(link: usize, rule: Rule, pointer: Option<&str>) -> Value {
    json!({"verdict": "invalid", "link": link, "rule": rule.code(), "pointer": pointer})
}

fn summary(lineage: &Lineage) -> Value {
    json!({
        "verdict": "valid",
        "session": lineage.session(),
        "hops": lineage.hops().iter().map(|hop| json!({
            "jti": hop.jti, "depth": hop.depth, "holder": hop.holder, "hash": hop.hash, "under": hop.under,
            "grants": hop.grants, "limits": hop.limits,
        })).collect::<Vec<_>>(),
    })
}

fn valid(name: &str, links: &[String]) -> Value {
    let lineage = verify_offline_at(&strs(links), &root(), Some(T0 + 60), &rules()).unwrap();
    vector(name, links, summary(&lineage))
}

fn with(mut vector: Value, member: &str, value: Value) -> Value {
    vector[member] = value;
    vector
}

fn rehash(child: &str, parent: &str, seed: u8) -> String {
    let hash = sha256(parent.rsplit_once('.').unwrap().0.as_bytes());
    changed(child, seed, |v| v["par_hash"] = json!(hash))
}

fn valid_vectors() -> Vec<Value> {
    let mut out: Vec<Value> = (0..=4)
        .map(|d| valid(&format!("a chain of depth {d}"), &compact(&chain(d))))
        .collect();
    let good = compact(&chain(2));
    let ed25519 = r#"{"typ":"agent-link+jwt","alg":"Ed25519"}"#;
    let other_header = forge(ed25519, payload(&good[1]).as_bytes(), 1);
    out.push(valid(
        "alg Ed25519 (RFC 9864), header members in the other order",
        &[good[0].clone(), other_header],
    ));
    let dropped = changed(&good[1], 1, |v| {
        v.as_object_mut().unwrap().remove("limits");
        for grant in v["authorization_details"].as_array_mut().unwrap() {
            grant.as_object_mut().unwrap().remove("limits");
        }
    });
    out.push(valid(
        "limits left out are inherited",
        &[good[0].clone(), dropped],
    ));
    let named = changed(&good[1], 1, |v| {
        v["policy"] = json!({"id": "mine", "sha256": sha256(b"forbid")})
    });
    out.push(valid(
        "a hop with a further policy",
        &[good[0].clone(), named],
    ));
    out.push(valid(
        "a truncated prefix is a valid chain; only a proof tells who may use it",
        &good[..2],
    ));
    let mut claims = root_claims();
    let assertion = HumanAssertion {
        credential_id: "Y3JlZA".into(),
        authenticator_data: "YXV0aA".into(),
        client_data_json: "e30".into(),
        signature: "c2ln".into(),
    };
    claims.session.as_mut().unwrap().human_proof = HumanProof::Proven;
    claims.human_proof = Some(assertion);
    out.push(valid(
        "link 0 with a passkey assertion",
        &compact(&chain_of(&claims, 1)),
    ));
    let space = forge(
        HEADER,
        payload(&good[1]).replace(",\"", " ,\t\"").as_bytes(),
        1,
    );
    out.push(valid(
        "the payload's white space and order are the signer's",
        &[good[0].clone(), space],
    ));
    let skew = changed(&good[0], 0, |v| v["iat"] = json!(T0 + 90));
    out.push(valid("iat 30 s ahead", &[skew]));
    let deep = with(
        vector("depth 10 where the verifier allows it", &[], Value::Null),
        "max_depth",
        json!(10),
    );
    let mut deepest = root_claims();
    deepest.del_max_depth = 10;
    let links = compact(&chain_of(&deepest, 10));
    let auditor = Rules {
        max_depth: 10,
        ..rules()
    };
    let lineage = verify_offline_at(&strs(&links), &root(), Some(T0 + 60), &auditor).unwrap();
    out.push(with(
        with(deep, "links", json!(links)),
        "expect",
        summary(&lineage),
    ));
    out
}

fn widened(out: &mut Vec<Value>) {
    let good = compact(&chain(1));
    let grants = "/authorization_details";
    let mut add = |name: &str, rule: Rule, pointer: &str, change: &dyn Fn(&mut Value)| {
        let links = [good[0].clone(), changed(&good[1], 1, |v| change(v))];
        out.push(vector(
            &format!("widened: {name}"),
            &links,
            refused(1, rule, Some(pointer)),
        ));
    };
    let cases: [(&str, usize, &str, Value, &str); 22] = [
        (
            "http environment",
            0,
            "environment",
            json!("production"),
            "environment",
        ),
        (
            "http location",
            0,
            "locations",
            json!([
                "https://api.example.test:443",
                "https://evil.example.test:443"
            ]),
            "locations/1",
        ),
        (
            "http location, other port",
            0,
            "locations",
            json!(["https://api.example.test:8443"]),
            "locations/0",
        ),
        (
            "http location, other scheme",
            0,
            "locations",
            json!(["http://api.example.test:443"]),
            "locations/0",
        ),
        (
            "http method",
            0,
            "actions",
            json!(["GET", "DELETE"]),
            "actions/1",
        ),
        ("http any method", 0, "actions", json!(["*"]), "actions/0"),
        (
            "http path",
            0,
            "paths",
            json!(["/v1/items/*", "/v2/items"]),
            "paths/1",
        ),
        ("http path glob", 0, "paths", json!(["/**"]), "paths/0"),
        (
            "http path segment glob",
            0,
            "paths",
            json!(["/*/items"]),
            "paths/0",
        ),
        ("service name", 1, "service", json!("gitlab"), "service"),
        (
            "service environment",
            1,
            "environment",
            json!("production"),
            "environment",
        ),
        (
            "service action",
            1,
            "actions",
            json!(["repo.read", "repo.delete"]),
            "actions/1",
        ),
        (
            "service action glob",
            1,
            "actions",
            json!(["repo.*"]),
            "actions/0",
        ),
        (
            "service any action",
            1,
            "actions",
            json!(["*"]),
            "actions/0",
        ),
        (
            "service resource",
            1,
            "resources",
            json!(["acme/web", "other/web"]),
            "resources/1",
        ),
        (
            "service resource glob",
            1,
            "resources",
            json!(["acme/**"]),
            "resources/0",
        ),
        (
            "service resource across @",
            1,
            "resources",
            json!(["acme/web@main"]),
            "resources/0",
        ),
        (
            "service resource, the ref itself",
            1,
            "resources",
            json!(["acme/web@agent"]),
            "resources/0",
        ),
        (
            "service limit uses",
            1,
            "limits",
            json!({"uses": 51}),
            "limits/uses",
        ),
        (
            "http limit uses",
            0,
            "limits",
            json!({"uses": 101}),
            "limits/uses",
        ),
        (
            "http limit rate, more",
            0,
            "limits",
            json!({"rate": {"uses": 11, "per_s": 60}}),
            "limits/rate",
        ),
        (
            "http limit rate, shorter window",
            0,
            "limits",
            json!({"rate": {"uses": 10, "per_s": 59}}),
            "limits/rate",
        ),
    ];
    for (name, index, member, value, at) in cases {
        let rule = match at {
            "environment" => Rule::Environment,
            _ if at.starts_with("limits") => Rule::Limits,
            _ => Rule::Grants,
        };
        add(name, rule, &format!("{grants}/{index}/{at}"), &|v| {
            v["authorization_details"][index][member] = value.clone()
        });
    }
    for (name, over) in [
        ("bytes", 1_000_001_u64),
        ("until_s", 1_767_232_801),
        ("rows", 501),
    ] {
        add(
            &format!("http limit {name}"),
            Rule::Limits,
            &format!("{grants}/0/limits/{name}"),
            &|v| {
                v["authorization_details"][0]["limits"] = json!({name: over});
            },
        );
    }
    for (name, over) in [
        ("uses", 121_u64),
        ("bytes", 2_000_001),
        ("until_s", T0 + 3601),
        ("rows", 1001),
    ] {
        add(
            &format!("link limit {name}"),
            Rule::Limits,
            &format!("/limits/{name}"),
            &|v| v["limits"] = json!({name: over}),
        );
    }
    add("link limit rate", Rule::Limits, "/limits/rate", &|v| {
        v["limits"] = json!({"rate": {"uses": 21, "per_s": 60}})
    });
    add(
        "a grant more",
        Rule::Grants,
        &format!("{grants}/2/service"),
        &|v| {
            let mut more = v["authorization_details"][1].clone();
            more["service"] = json!("stripe");
            v["authorization_details"]
                .as_array_mut()
                .unwrap()
                .push(more);
        },
    );
    add(
        "the union of two grants",
        Rule::Grants,
        &format!("{grants}/0/actions/2"),
        &|v| {
            v["authorization_details"] = json!([{"type":"service","service":"github","environment":"staging",
            "actions":["repo.read","pr.a","issue.a"],"resources":["acme/web"]}]);
        },
    );
    add("audience", Rule::Audience, "/aud/1", &|v| {
        v["aud"] = json!([GATEWAY, "evil.example.test"])
    });
    add(
        "exp: the child outlives its parent",
        Rule::Outlives,
        "/exp",
        &|v| v["exp"] = json!(T0 + 3601),
    );
    add(
        "iat before the parent's",
        Rule::IssuedBefore,
        "/iat",
        &|v| v["iat"] = json!(T0 - 1),
    );
    add("del_max_depth", Rule::Depth, "/del_max_depth", &|v| {
        v["del_max_depth"] = json!(5)
    });
    let three = compact(&chain(2));
    let dropped = changed(&three[1], 1, |v| {
        v.as_object_mut().unwrap().remove("limits");
        v["authorization_details"][0]
            .as_object_mut()
            .unwrap()
            .remove("limits");
    });
    let raise =
        |change: &dyn Fn(&mut Value)| changed(&rehash(&three[2], &dropped, 2), 2, |v| change(v));
    let over = raise(&|v| v["limits"] = json!({"uses": 121}));
    out.push(vector(
        "widened: link limit dropped by the parent, raised by the child",
        &[three[0].clone(), dropped.clone(), over],
        refused(2, Rule::Limits, Some("/limits/uses")),
    ));
    let over = raise(&|v| v["authorization_details"][0]["limits"] = json!({"uses": 101}));
    out.push(vector(
        "widened: grant limit dropped by the parent, raised by the child",
        &[three[0].clone(), dropped.clone(), over],
        refused(
            2,
            Rule::Limits,
            Some("/authorization_details/0/limits/uses"),
        ),
    ));
}

fn malformed(out: &mut Vec<Value>) {
    let good = compact(&chain(1));
    let mut add = |name: &str, link: String, rule: Rule, pointer: Option<&str>| {
        out.push(vector(
            &format!("malformed: {name}"),
            &[good[0].clone(), link],
            refused(1, rule, pointer),
        ));
    };
    let text = payload(&good[1]);
    let (input, _) = good[1].rsplit_once('.').unwrap();
    let (_, body) = input.split_once('.').unwrap();
    let head = |header: &str| forge(header, text.as_bytes(), 1);
    let none = head(r#"{"alg":"none","typ":"agent-link+jwt"}"#);
    add(
        "alg none without a signature",
        format!("{}.", none.rsplit_once('.').unwrap().0),
        Rule::Encoding,
        None,
    );
    for (name, header) in [
        (
            "alg none with a good signature",
            r#"{"alg":"none","typ":"agent-link+jwt"}"#,
        ),
        ("alg HS256", r#"{"alg":"HS256","typ":"agent-link+jwt"}"#),
        ("alg ES256", r#"{"alg":"ES256","typ":"agent-link+jwt"}"#),
        ("typ JWT", r#"{"alg":"EdDSA","typ":"JWT"}"#),
        (
            "typ of a proof",
            r#"{"alg":"EdDSA","typ":"agent-proof+jwt"}"#,
        ),
        ("no typ", r#"{"alg":"EdDSA"}"#),
        ("no alg", r#"{"typ":"agent-link+jwt"}"#),
        ("kid", r#"{"alg":"EdDSA","typ":"agent-link+jwt","kid":"1"}"#),
        ("jwk", r#"{"alg":"EdDSA","typ":"agent-link+jwt","jwk":{}}"#),
        (
            "jku",
            r#"{"alg":"EdDSA","typ":"agent-link+jwt","jku":"https://evil.example.test/"}"#,
        ),
        ("x5c", r#"{"alg":"EdDSA","typ":"agent-link+jwt","x5c":[]}"#),
        (
            "crit",
            r#"{"alg":"EdDSA","typ":"agent-link+jwt","crit":["exp"]}"#,
        ),
        (
            "b64",
            r#"{"alg":"EdDSA","typ":"agent-link+jwt","b64":false}"#,
        ),
        (
            "alg twice in the header",
            r#"{"alg":"none","alg":"EdDSA","typ":"agent-link+jwt"}"#,
        ),
        ("a header that is an array", r#"["EdDSA","agent-link+jwt"]"#),
    ] {
        add(name, head(header), Rule::Header, None);
    }
    add(
        "an HMAC under the public key",
        format!("{input}.{}", sha256(key(1).public().as_bytes()).to_text()),
        Rule::Encoding,
        None,
    );
    add("two parts", input.to_owned(), Rule::Encoding, None);
    add(
        "four parts",
        format!("{}.e30", good[1]),
        Rule::Encoding,
        None,
    );
    add("padding", format!("{}==", good[1]), Rule::Encoding, None);
    add("empty", String::new(), Rule::Encoding, None);
    add(
        "payload not base64url",
        resign(&format!("{}.{body}=", input.split_once('.').unwrap().0), 1),
        Rule::Encoding,
        None,
    );
    let raw = |bytes: &str| forge(HEADER, bytes.as_bytes(), 1);
    add(
        "a member twice",
        raw(&text.replacen("{\"iss\"", "{\"jti\":\"x\",\"iss\"", 1)),
        Rule::Json,
        None,
    );
    add(
        "a member twice, once escaped",
        raw(&text.replacen("{\"iss\"", "{\"j\\u0074i\":\"x\",\"iss\"", 1)),
        Rule::Json,
        None,
    );
    add(
        "a nested member twice",
        raw(&text.replacen("{\"jwk\":", "{\"jwk\":{},\"jwk\":", 1)),
        Rule::Json,
        None,
    );
    let exp = format!("\"exp\":{}", T0 + 999);
    for (name, number) in [
        ("a float", "1767226599.0"),
        ("an exponent", "17672265e2"),
        ("an integer of 2^53", "9007199254740992"),
        ("an integer beyond 64 bits", "99999999999999999999"),
    ] {
        add(
            name,
            raw(&text.replacen(&exp, &format!("\"exp\":{number}"), 1)),
            Rule::Json,
            None,
        );
    }
    add(
        "a byte after the value",
        raw(&format!("{text}x")),
        Rule::Json,
        None,
    );
    add(
        "two values",
        raw(&format!("{text}{text}")),
        Rule::Json,
        None,
    );
    add(
        "too deep",
        raw(&text.replacen(
            "{\"iss\"",
            &format!("{{\"x\":{}{},\"iss\"", "[".repeat(8), "]".repeat(8)),
            1,
        )),
        Rule::Json,
        None,
    );
    let mut bytes = text.clone().into_bytes();
    let at = text.find("agent/1").unwrap();
    bytes[at] = 0xff;
    add("not UTF-8", forge(HEADER, &bytes, 1), Rule::Json, None);
    add(
        "a byte order mark",
        raw(&format!("\u{feff}{text}")),
        Rule::Json,
        None,
    );
    add("claims as an array", raw("[]"), Rule::Claims, Some(""));
    let mut claim = |name: &str, pointer: &str, change: &dyn Fn(&mut Value)| {
        add(
            name,
            changed(&good[1], 1, |v| change(v)),
            Rule::Claims,
            Some(pointer),
        );
    };
    claim("an unknown claim", "/admin", &|v| v["admin"] = json!(true));
    claim("an unknown claim with a slash", "/a~1b", &|v| {
        v["a/b"] = json!(true)
    });
    claim("nbf", "/nbf", &|v| v["nbf"] = json!(T0));
    claim("sub", "/sub", &|v| v["sub"] = json!("h-20c9"));
    claim(
        "an unknown grant type",
        "/authorization_details/0/type",
        &|v| v["authorization_details"][0]["type"] = json!("root"),
    );
    claim(
        "an unknown member of a grant",
        "/authorization_details/0/privileges",
        &|v| v["authorization_details"][0]["privileges"] = json!(["x"]),
    );
    claim("an unknown limit", "/limits/spend", &|v| {
        v["limits"]["spend"] = json!(1)
    });
    claim("a null for an absent claim", "/policy", &|v| {
        v["policy"] = Value::Null
    });
    claim("an array for an object", "/agent", &|v| {
        v["agent"] = json!(["spiffe://example.test/agent/1"])
    });
    claim("a string for an integer", "/exp", &|v| {
        v["exp"] = json!("1767226599")
    });
    claim("a negative integer", "/iat", &|v| v["iat"] = json!(-1));
    claim("aud as a string", "/aud", &|v| v["aud"] = json!(GATEWAY));
    claim("aud empty", "/aud", &|v| v["aud"] = json!([]));
    claim("no grant", "/authorization_details", &|v| {
        v["authorization_details"] = json!([])
    });
    claim("a grant twice", "/authorization_details/1", &|v| {
        v["authorization_details"][1] = v["authorization_details"][0].clone()
    });
    claim("a private key in cnf", "/cnf/jwk/d", &|v| {
        v["cnf"]["jwk"]["d"] = json!("AA")
    });
    claim("a key of another curve", "/cnf/jwk/crv", &|v| {
        v["cnf"]["jwk"]["crv"] = json!("P-256")
    });
    claim("a key of small order", "/cnf/jwk/x", &|v| {
        v["cnf"]["jwk"]["x"] = json!(Digest([0; 32]))
    });
    claim("cnf.jkt", "/cnf/jwk", &|v| {
        v["cnf"] = json!({"jkt": key(2).public().thumbprint()})
    });
    claim("jti too short", "/jti", &|v| {
        v["jti"] = json!("0123456789abcde")
    });
    claim("jti with a slash", "/jti", &|v| {
        v["jti"] = json!("0123456789abcde/")
    });
    claim(
        "a path with dot segments",
        "/authorization_details/0/paths/0",
        &|v| v["authorization_details"][0]["paths"] = json!(["/v1/items/../**"]),
    );
    claim(
        "a path with an escaped dot",
        "/authorization_details/0/paths/0",
        &|v| v["authorization_details"][0]["paths"] = json!(["/v1/%2E%2E/x"]),
    );
    claim(
        "a glob within a segment",
        "/authorization_details/0/paths/0",
        &|v| v["authorization_details"][0]["paths"] = json!(["/v1/it*"]),
    );
    claim(
        "an origin without a port",
        "/authorization_details/0/locations/0",
        &|v| v["authorization_details"][0]["locations"] = json!(["https://api.example.test"]),
    );
    claim(
        "an origin in capitals",
        "/authorization_details/0/locations/0",
        &|v| v["authorization_details"][0]["locations"] = json!(["https://API.example.test:443"]),
    );
    claim(
        "a method in small letters",
        "/authorization_details/0/actions/0",
        &|v| v["authorization_details"][0]["actions"] = json!(["get"]),
    );
    for name in [
        "iss",
        "jti",
        "iat",
        "exp",
        "cnf",
        "del_depth",
        "del_max_depth",
        "authorization_details",
        "agent",
        "aud",
    ] {
        claim(&format!("no {name}"), &format!("/{name}"), &|v| {
            v.as_object_mut().unwrap().remove(name);
        });
    }
}

fn structure(out: &mut Vec<Value>) {
    let good = compact(&chain(3));
    let mut add =
        |name: &str, links: Vec<String>, expect: Value| out.push(vector(name, &links, expect));
    let clone = |of: &[usize]| of.iter().map(|i| good[*i].clone()).collect::<Vec<_>>();
    add("no links", vec![], refused(0, Rule::Empty, None));
    add(
        "reordered: 0 2 1",
        clone(&[0, 2, 1]),
        refused(1, Rule::Signature, None),
    );
    add(
        "reordered: 1 0",
        clone(&[1, 0]),
        refused(0, Rule::Signature, None),
    );
    add(
        "a link left out",
        clone(&[0, 2]),
        refused(1, Rule::Signature, None),
    );
    add(
        "a link twice",
        clone(&[0, 1, 1]),
        refused(2, Rule::Signature, None),
    );
    add(
        "no link 0",
        clone(&[1, 2]),
        refused(0, Rule::Signature, None),
    );
    let mut flipped = good[1].clone().into_bytes();
    let at = flipped.len() - 10;
    flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
    add(
        "a bit of the signature turned",
        vec![good[0].clone(), String::from_utf8(flipped).unwrap()],
        refused(1, Rule::Signature, None),
    );
    let tampered = format!(
        "{}.{}",
        forge(
            HEADER,
            payload(&good[1]).replace("agent/1", "agent/9").as_bytes(),
            1
        )
        .rsplit_once('.')
        .unwrap()
        .0,
        good[1].rsplit_once('.').unwrap().1
    );
    add(
        "a payload changed under its signature",
        vec![good[0].clone(), tampered],
        refused(1, Rule::Signature, None),
    );
    let grandchild = changed(&good[2], 1, |_| ());
    add(
        "signed by an ancestor instead of the parent",
        vec![good[0].clone(), good[1].clone(), grandchild],
        refused(2, Rule::Signature, None),
    );
    let stranger = changed(&good[1], 9, |_| ());
    add(
        "signed by a stranger",
        vec![good[0].clone(), stranger],
        refused(1, Rule::Signature, None),
    );
    let self_signed = changed(&good[0], 9, |_| ());
    add(
        "link 0 signed by a stranger",
        vec![self_signed],
        refused(0, Rule::Signature, None),
    );
    let issued = changed(&good[1], 1, |v| {
        v["iss"] = json!("https://marque.example.test")
    });
    add(
        "iss of the authority below link 0",
        vec![good[0].clone(), issued],
        refused(1, Rule::Issuer, Some("/iss")),
    );
    let other = changed(&good[0], 0, |v| v["session"]["id"] = json!("s-other"));
    add(
        "swapped session: a child below another link 0 of its holder",
        vec![other, good[1].clone()],
        refused(1, Rule::ParentHash, Some("/par_hash")),
    );
    let hash = changed(&good[1], 1, |v| v["par_hash"] = json!(Digest([7; 32])));
    add(
        "wrong par_hash",
        vec![good[0].clone(), hash],
        refused(1, Rule::ParentHash, Some("/par_hash")),
    );
    let hash = changed(&good[1], 1, |v| {
        v.as_object_mut().unwrap().remove("par_hash");
    });
    add(
        "no par_hash",
        vec![good[0].clone(), hash],
        refused(1, Rule::ParentHash, Some("/par_hash")),
    );
    let session = json!(root_claims().session);
    let second = changed(&good[1], 1, |v| v["session"] = session.clone());
    add(
        "a session below link 0",
        vec![good[0].clone(), second],
        refused(1, Rule::Session, Some("/session")),
    );
    let softer = changed(&good[1], 1, |v| {
        v["session"] = session.clone();
        v["session"]["mode"] = json!("adopt");
    });
    add(
        "another mode below link 0",
        vec![good[0].clone(), softer],
        refused(1, Rule::Session, Some("/session")),
    );
    let status =
        changed(
            &good[1],
            1,
            |v| {
                v["status"] =
                    json!({"status_list": {"idx": 0, "uri": "https://evil.example.test/"}})
            },
        );
    add(
        "a status below link 0",
        vec![good[0].clone(), status],
        refused(1, Rule::Session, Some("/status")),
    );
    let human = changed(
        &good[1],
        1,
        |v| v["human_proof"] = json!({"credential_id":"AA","authenticator_data":"AA","client_data_json":"AA","signature":"AA"}),
    );
    add(
        "a passkey assertion below link 0",
        vec![good[0].clone(), human],
        refused(1, Rule::Session, Some("/human_proof")),
    );
    let depth = changed(&good[1], 1, |v| v["del_depth"] = json!(2));
    add(
        "a depth skipped",
        vec![good[0].clone(), depth],
        refused(1, Rule::Depth, Some("/del_depth")),
    );
    let depth = changed(&good[1], 1, |v| v["del_depth"] = json!(0));
    add(
        "a depth repeated",
        vec![good[0].clone(), depth],
        refused(1, Rule::Depth, Some("/del_depth")),
    );
    let sealed = changed(&good[0], 0, |v| v["del_max_depth"] = json!(0));
    let below = rehash(&good[1], &sealed, 1);
    add(
        "depth exceeded: the parent forbids delegation",
        vec![sealed, below],
        refused(1, Rule::Depth, Some("/del_depth")),
    );
    let mut deep = root_claims();
    deep.del_max_depth = 10;
    add(
        "depth exceeded: more links than the verifier takes",
        compact(&chain_of(&deep, 5)),
        refused(5, Rule::Depth, None),
    );
    let twice = changed(&good[1], 1, |v| v["cnf"]["jwk"] = json!(key(1).public()));
    add(
        "duplicate key: the holder delegates to itself",
        vec![good[0].clone(), twice],
        refused(1, Rule::KeyTwice, Some("/cnf/jwk")),
    );
    let twice = changed(&good[2], 2, |v| v["cnf"]["jwk"] = json!(key(1).public()));
    add(
        "duplicate key: that of an ancestor",
        vec![good[0].clone(), good[1].clone(), twice],
        refused(2, Rule::KeyTwice, Some("/cnf/jwk")),
    );
    let twice = changed(&good[1], 1, |v| v["cnf"]["jwk"] = json!(key(0).public()));
    add(
        "duplicate key: the root's",
        vec![good[0].clone(), twice],
        refused(1, Rule::KeyTwice, Some("/cnf/jwk")),
    );
    let twice = changed(&good[1], 1, |v| v["jti"] = json!(jti(0)));
    add(
        "duplicate jti: the parent's",
        vec![good[0].clone(), twice],
        refused(1, Rule::JtiTwice, Some("/jti")),
    );
    let twice = changed(&good[2], 2, |v| v["jti"] = json!(jti(0)));
    add(
        "duplicate jti: an ancestor's",
        vec![good[0].clone(), good[1].clone(), twice],
        refused(2, Rule::JtiTwice, Some("/jti")),
    );
    let no_time = changed(&good[1], 1, |v| v["exp"] = v["iat"].clone());
    add(
        "exp equal to iat",
        vec![good[0].clone(), no_time],
        refused(1, Rule::NoTime, Some("/exp")),
    );
    let ahead = changed(&good[1], 1, |v| v["iat"] = json!(T0 + 91));
    add(
        "iat 31 s ahead",
        vec![good[0].clone(), ahead],
        refused(1, Rule::IssuedAhead, Some("/iat")),
    );
    let long = changed(&good[1], 1, |v| {
        v["agent"]["name"] = json!("x".repeat(4096))
    });
    add(
        "over-long: a link of more than 4 KiB",
        vec![good[0].clone(), long],
        refused(1, Rule::Size, None),
    );
    let long = changed(&good[0], 0, |v| {
        v["agent"]["name"] = json!("x".repeat(16384))
    });
    add(
        "over-long: link 0 of more than 16 KiB",
        vec![long],
        refused(0, Rule::Size, None),
    );
}

fn roots(out: &mut Vec<Value>) {
    let good = compact(&chain(1));
    let mut add = |name: &str, rule: Rule, pointer: &str, change: &dyn Fn(&mut Value)| {
        out.push(vector(
            &format!("link 0: {name}"),
            &[changed(&good[0], 0, |v| change(v))],
            refused(0, rule, Some(pointer)),
        ));
    };
    let remove = |name: &'static str| {
        move |v: &mut Value| {
            v.as_object_mut().unwrap().remove(name);
        }
    };
    add("no session", Rule::Session, "/session", &remove("session"));
    add("no policy", Rule::Policy, "/policy", &remove("policy"));
    add("a par_hash", Rule::ParentHash, "/par_hash", &|v| {
        v["par_hash"] = json!(Digest([0; 32]))
    });
    add("a depth", Rule::Depth, "/del_depth", &|v| {
        v["del_depth"] = json!(1)
    });
    add("a hard depth of 11", Rule::Depth, "/del_max_depth", &|v| {
        v["del_max_depth"] = json!(11)
    });
    add("a life over 12 hours", Rule::Lifetime, "/exp", &|v| {
        v["exp"] = json!(T0 + 12 * 3600 + 1)
    });
    add("held by the root key", Rule::KeyTwice, "/cnf/jwk", &|v| {
        v["cnf"]["jwk"] = json!(key(0).public())
    });
    add(
        "proven without an assertion",
        Rule::HumanProof,
        "/human_proof",
        &|v| v["session"]["human_proof"] = json!("proven"),
    );
    add(
        "an assertion but asserted",
        Rule::HumanProof,
        "/human_proof",
        &|v| v["human_proof"] = json!({"credential_id":"AA","authenticator_data":"AA","client_data_json":"AA","signature":"AA"}),
    );
    add(
        "a grant of another environment",
        Rule::Environment,
        "/authorization_details/1/environment",
        &|v| v["authorization_details"][1]["environment"] = json!("production"),
    );
    add("a human in clear", Rule::Claims, "/session/sub", &|v| {
        v["session"]["sub"] = json!("alice@example.test")
    });
    add("an unknown mode", Rule::Claims, "/session/mode", &|v| {
        v["session"]["mode"] = json!("off")
    });
    add("no human", Rule::Claims, "/session/human", &|v| {
        v["session"].as_object_mut().unwrap().remove("human");
    });
}

fn time_and_place(out: &mut Vec<Value>) {
    let good = compact(&chain(2));
    let late = refused(2, Rule::Expired, Some("/exp"));
    out.push(with(
        vector("expired: the leaf, in its first second", &good, late),
        "now_s",
        json!(T0 + 998),
    ));
    let all = refused(0, Rule::Expired, Some("/exp"));
    out.push(with(
        vector("expired: the session", &good, all),
        "now_s",
        json!(T0 + 3600),
    ));
    let me = refused(2, Rule::Audience, Some("/aud"));
    out.push(with(
        vector("for another audience", &good, me),
        "audience",
        json!("other.example.test"),
    ));
    let bare = refused(0, Rule::Roots, None);
    out.push(with(vector("no root key", &good, bare), "roots", json!([])));
    let foreign = refused(0, Rule::Signature, None);
    out.push(with(
        vector("another root key", &good, foreign),
        "roots",
        json!([key(77).public()]),
    ));
}

fn proof_claims(lineage: &Lineage) -> ProofClaims {
    ProofClaims {
        ath: lineage.leaf().unwrap().hash,
        htm: "POST".into(),
        htu: "https://api.example.test:443/v1/items/7".into(),
        jti: "proof-0000000000000001".into(),
        iat: T0 + 60,
        body_sha256: Some(sha256(b"{}")),
    }
}

fn proof_vectors() -> Vec<Value> {
    let good = compact(&chain(2));
    let lineage = verify_offline_at(&strs(&good), &root(), Some(T0 + 60), &rules()).unwrap();
    let claims = proof_claims(&lineage);
    let signed = proof::sign(&claims, &key(3)).unwrap();
    let shape = |name: &str, links: &[String], proof: String, code: Option<&str>| {
        let expect = code.map_or(
            json!({"verdict": "valid"}),
            |c| json!({"verdict": "invalid", "rule": c}),
        );
        let request = json!({"htm": claims.htm, "htu": claims.htu, "max_age_s": 60, "body_sha256": claims.body_sha256});
        with(
            with(vector(name, links, expect), "proof", json!(proof)),
            "request",
            request,
        )
    };
    let mut out = vec![shape("by the leaf's holder", &good, signed.clone(), None)];
    let mut bad =
        |name: &str, proof: String, code: &str| out.push(shape(name, &good, proof, Some(code)));
    bad(
        "by the holder of an ancestor",
        proof::sign(&claims, &key(2)).unwrap(),
        "proof_signature",
    );
    bad(
        "by the authority",
        proof::sign(&claims, &key(0)).unwrap(),
        "proof_signature",
    );
    bad(
        "by a stranger",
        proof::sign(&claims, &key(9)).unwrap(),
        "proof_signature",
    );
    bad("no proof at all", String::new(), "proof_encoding");
    bad(
        "the leaf link instead of a proof",
        good[2].clone(),
        "proof_signature",
    );
    bad(
        "a link signed by the holder instead of a proof",
        forge(HEADER, payload(&signed).as_bytes(), 3),
        "proof_header",
    );
    bad(
        "the key in the header",
        forge(
            r#"{"alg":"EdDSA","typ":"agent-proof+jwt","jwk":{}}"#,
            payload(&signed).as_bytes(),
            3,
        ),
        "proof_header",
    );
    let edit = |change: &dyn Fn(&mut ProofClaims)| {
        let mut c = claims.clone();
        change(&mut c);
        proof::sign(&c, &key(3)).unwrap()
    };
    bad(
        "for another leaf",
        edit(&|c| c.ath = Digest([0; 32])),
        "proof_leaf",
    );
    bad(
        "for another method",
        edit(&|c| c.htm = "DELETE".into()),
        "proof_request",
    );
    bad(
        "for another target",
        edit(&|c| c.htu = "https://api.example.test:443/v1/items/8".into()),
        "proof_request",
    );
    bad(
        "for another body",
        edit(&|c| c.body_sha256 = Some(sha256(b"[]"))),
        "proof_request",
    );
    bad(
        "for no body",
        edit(&|c| c.body_sha256 = None),
        "proof_request",
    );
    bad("61 s old", edit(&|c| c.iat = T0 - 1), "proof_stale");
    bad("31 s ahead", edit(&|c| c.iat = T0 + 91), "proof_ahead");
    let twice = payload(&signed).replacen("{\"ath\"", "{\"htm\":\"GET\",\"ath\"", 1);
    let typ = r#"{"alg":"EdDSA","typ":"agent-proof+jwt"}"#;
    bad(
        "a member twice",
        forge(typ, twice.as_bytes(), 3),
        "proof_claims",
    );
    bad(
        "an unknown member",
        forge(
            typ,
            payload(&signed).replacen('{', "{\"x\":1,", 1).as_bytes(),
            3,
        ),
        "proof_claims",
    );
    bad("over 4 KiB", "x".repeat(4097), "proof_size");
    let prefix = &good[..2];
    out.push(shape(
        "a truncated prefix with the leaf's key",
        prefix,
        signed,
        Some("proof_signature"),
    ));
    let above = ProofClaims {
        ath: lineage.hops()[1].hash,
        ..claims.clone()
    };
    out.push(shape(
        "a truncated prefix with its own holder's key",
        prefix,
        proof::sign(&above, &key(2)).unwrap(),
        None,
    ));
    out
}

fn live_vectors() -> Vec<Value> {
    let good = compact(&chain(2));
    let shape = |name: &str, revoked: &[String], as_of_s: u64, code: Option<&str>| {
        let expect = code.map_or(
            json!({"verdict": "valid"}),
            |c| json!({"verdict": "invalid", "rule": c}),
        );
        with(
            vector(name, &good, expect),
            "status",
            json!({"revoked": revoked, "as_of_s": as_of_s, "max_age_s": 30}),
        )
    };
    vec![
        shape("nothing revoked", &[], T0 + 60, None),
        shape("a stranger revoked", &[jti(7)], T0 + 60, None),
        shape("the leaf revoked", &[jti(2)], T0 + 60, Some("revoked")),
        shape("an ancestor revoked", &[jti(1)], T0 + 60, Some("revoked")),
        shape("the session ended", &[jti(0)], T0 + 60, Some("revoked")),
        shape("a status 30 s old", &[], T0 + 30, None),
        shape("a status 31 s old", &[], T0 + 29, Some("status_stale")),
        shape("a status 30 s ahead", &[], T0 + 90, None),
        shape("a status 31 s ahead", &[], T0 + 91, Some("status_ahead")),
    ]
}

fn grant_vectors() -> Vec<Value> {
    let mut out = Vec::new();
    let base = [http_root(), service_root()];
    for child in request(1).grants {
        let parent = base.iter().find(|p| p.kind() == child.kind()).unwrap();
        out.push(json!({"covers": {"parent": parent, "child": child}, "expect": true}));
        out.push(json!({"covers": {"parent": child, "child": parent}, "expect": false, "pointer": covers(&child, parent).unwrap_err().pointer}));
        out.push(json!({"render": child, "expect": render(&child)}));
    }
    for (path, yes) in [
        ("/v1/items", true),
        ("/v1", true),
        ("/v1/", true),
        ("/v2", false),
        ("/v1/../v2", false),
        ("/v1//x", false),
        ("/v1/%7Eme", false),
        ("/v1/~me", true),
        ("/v1/a%2Fb", true),
        ("/v1/a%2fb", false),
    ] {
        out.push(json!({"permits": base[0], "use": {"environment": "staging", "origin": "https://api.example.test:443", "method": "GET", "path": path}, "expect": yes}));
    }
    for (environment, origin, method) in [
        ("production", "https://api.example.test:443", "GET"),
        ("staging", "https://api.example.test", "GET"),
        ("staging", "https://api.example.test:443", "get"),
        ("staging", "https://api.example.test:443", "DELETE"),
    ] {
        out.push(json!({"permits": base[0], "use": {"environment": environment, "origin": origin, "method": method, "path": "/v1/x"}, "expect": false}));
    }
    for (action, resource, yes) in [
        ("repo.read", "acme/web", true),
        ("pr.create", "acme/web", true),
        ("pr.review.submit", "acme/web@agent/x/y", true),
        ("pr", "acme/web", false),
        ("repo.write", "acme/web", false),
        ("repo.read", "acme/web@main", false),
        ("repo.read", "acme/web@agent", false),
        ("repo.read", "acme", false),
        ("repo.read", "acme/web/x", false),
    ] {
        out.push(json!({"permits": base[1], "use": {"environment": "staging", "service": "github", "action": action, "resource": resource}, "expect": yes}));
    }
    out
}

fn value_vectors() -> Vec<Value> {
    let claims = root_claims();
    let link = sign_root(&claims, &key(0)).unwrap();
    vec![
        json!({"thumbprint": key(0).public(), "expect": key(0).public().thumbprint()}),
        json!({"commit": {"salt": Digest([1; 32]), "field_id": "purpose", "value_utf8": "fix the build"}, "expect": commit(&[1; 32], "purpose", b"fix the build")}),
        json!({"commit": {"salt": Digest([0; 32]), "field_id": "", "value_utf8": ""}, "expect": commit(&[0; 32], "", b"")}),
        json!({"human_challenge": claims, "expect": human_challenge(&claims)}),
        json!({"link_hash": link.compact(), "expect": link.hash()}),
    ]
}

fn forged_vectors() -> Vec<Value> {
    let mut out = Vec::new();
    structure(&mut out);
    roots(&mut out);
    widened(&mut out);
    malformed(&mut out);
    time_and_place(&mut out);
    out
}

#[test]
fn the_files_are_what_this_version_makes() {
    bless();
    for (file, text) in generated() {
        let have = std::fs::read_to_string(folder().join(file)).unwrap();
        assert!(
            have == text,
            "{file} is not what is generated; MARQUE_BLESS=1 rewrites it"
        );
    }
}

struct Case {
    links: Vec<String>,
    roots: Vec<PublicKey>,
    now_s: u64,
    audience: String,
    max_depth: u8,
}

impl Case {
    fn read(v: &Value) -> Self {
        Self {
            links: serde_json::from_value(v["links"].clone()).unwrap(),
            roots: serde_json::from_value(v["roots"].clone()).unwrap(),
            now_s: v["now_s"].as_u64().unwrap(),
            audience: v["audience"].as_str().unwrap().to_owned(),
            max_depth: u8::try_from(v["max_depth"].as_u64().unwrap()).unwrap(),
        }
    }
    fn rules(&self) -> Rules<'_> {
        Rules {
            max_depth: self.max_depth,
            audience: Some(&self.audience),
        }
    }
}

#[test]
fn every_chain_in_the_files_gets_its_verdict() {
    let mut rules_seen = BTreeSet::new();
    for v in load("valid.json").into_iter().chain(load("forged.json")) {
        let case = Case::read(&v);
        let links = strs(&case.links);
        let have = match verify(&links, &case.roots, case.now_s, &case.rules()) {
            Ok(verified) => summary(verified.lineage()),
            Err(e) => refused(e.link, e.rule, e.pointer.as_deref()),
        };
        assert_eq!(have, v["expect"], "{}", v["name"]);
        rules_seen.insert(v["expect"]["rule"].as_str().unwrap_or("valid").to_owned());
    }
    let all: BTreeSet<String> = Rule::ALL
        .iter()
        .map(|r| r.code().to_owned())
        .chain(["valid".to_owned()])
        .collect();
    assert_eq!(rules_seen, all, "each rule has a vector");
}

#[test]
fn every_proof_and_status_in_the_files_gets_its_verdict() {
    for v in load("proof.json").into_iter().chain(load("live.json")) {
        let case = Case::read(&v);
        let verified = verify(&strs(&case.links), &case.roots, case.now_s, &case.rules()).unwrap();
        let code = if let Some(text) = v["proof"].as_str() {
            let request = &v["request"];
            let expected = Expected {
                htm: request["htm"].as_str().unwrap(),
                htu: request["htu"].as_str().unwrap(),
                now_s: case.now_s,
                max_age_s: request["max_age_s"].as_u64().unwrap(),
                body_sha256: Digest::from_text(request["body_sha256"].as_str().unwrap()),
            };
            proof::verify(text, verified.lineage(), &expected)
                .err()
                .map(|e| e.code())
        } else {
            let status = Status {
                revoked: serde_json::from_value(v["status"]["revoked"].clone()).unwrap(),
                as_of_s: v["status"]["as_of_s"].as_u64().unwrap(),
            };
            verified
                .live(
                    &status,
                    case.now_s,
                    v["status"]["max_age_s"].as_u64().unwrap(),
                )
                .err()
                .map(|e| e.code())
        };
        assert_eq!(code, v["expect"]["rule"].as_str(), "{}", v["name"]);
    }
}

#[test]
fn every_grant_and_value_in_the_files_gets_its_answer() {
    let read = |v: &Value| Grant::from_json(v.clone()).unwrap();
    for v in load("grants.json").into_iter().chain(load("values.json")) {
        let text =
            |member: &Value, name: &str| member[name].as_str().unwrap_or_default().to_owned();
        let have = if let Some(c) = v.get("covers") {
            let verdict = covers(&read(&c["parent"]), &read(&c["child"]));
            assert_eq!(
                verdict.as_ref().err().map(|w| w.pointer.as_str()),
                v["pointer"].as_str()
            );
            json!(verdict.is_ok())
        } else if let Some(g) = v.get("permits") {
            let u = &v["use"];
            let (a, b, c) = (
                text(u, "origin") + &text(u, "service"),
                text(u, "method") + &text(u, "action"),
                text(u, "path") + &text(u, "resource"),
            );
            let what = if u.get("origin").is_some() {
                UseWhat::Http {
                    origin: &a,
                    method: &b,
                    path: &c,
                }
            } else {
                UseWhat::Service {
                    service: &a,
                    action: &b,
                    resource: &c,
                }
            };
            json!(read(g).permits(&UseRef {
                environment: u["environment"].as_str().unwrap(),
                what
            }))
        } else if let Some(g) = v.get("render") {
            json!(render(&read(g)))
        } else if let Some(k) = v.get("thumbprint") {
            json!(PublicKey::from_json(k.clone()).unwrap().thumbprint())
        } else if let Some(c) = v.get("commit") {
            json!(commit(
                &Digest::from_text(&text(c, "salt")).unwrap().0,
                &text(c, "field_id"),
                text(c, "value_utf8").as_bytes()
            ))
        } else if let Some(c) = v.get("human_challenge") {
            json!(human_challenge(&Claims::from_json(c.clone()).unwrap()))
        } else {
            json!(
                marque_chain::Link::read_unverified(v["link_hash"].as_str().unwrap())
                    .unwrap()
                    .hash()
            )
        };
        assert_eq!(have, v["expect"], "{v}");
    }
}
