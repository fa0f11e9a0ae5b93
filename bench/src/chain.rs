//! A cold chain of three links beside three bare signature verifications over the same bytes.

use crate::Result;
use crate::args::Args;
use crate::cpu;
use crate::report::{Report, Samples, Target};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use marque_chain::{
    Agent, ChildRequest, Claims, Confirmation, Grant, HumanProof, Limits, Link, Mode, PolicyRef, PublicKey, Rules, Session,
    SigningKey, commit, derive, sha256, sign_root, verify,
};
use std::hint::black_box;

const LINKS: usize = 3;
const TARGET: f64 = 1.4;
/// Chains in one sample: some tenths of a second.
const CHAINS: u32 = 2_000;
const NOW_S: u64 = 1_767_225_600;
const GATEWAY: &str = "gateway.example.test";

fn key(n: u8) -> Result<SigningKey> {
    Ok(SigningKey::from_seed(&[n; 32]).map_err(|e| e.to_string())?)
}

fn grants() -> Result<Vec<Grant>> {
    let texts = [
        r#"{"type":"http","environment":"staging","locations":["https://api.example.test:443"],"actions":["GET","HEAD"],"paths":["/v1/**"],"limits":{"uses":100}}"#,
        r#"{"type":"service","service":"github","environment":"staging","actions":["repo.read","pr.*"],"resources":["acme/*"],"limits":{"uses":50}}"#,
    ];
    texts.iter().map(|text| Grant::parse(text).map_err(|e| e.to_string().into())).collect()
}

fn agent(n: u8) -> Agent {
    Agent { id: format!("spiffe://example.test/agent/{n}"), name: Some("builder".into()), software: None }
}

fn chain() -> Result<Vec<Link>> {
    let claims = Claims {
        iss: "https://marque.example.test".into(),
        jti: format!("link-0-{}", "0".repeat(16)),
        iat: NOW_S - 10,
        exp: NOW_S + 3600,
        cnf: Confirmation { jwk: key(1)?.public() },
        del_depth: 0,
        del_max_depth: 4,
        par_hash: None,
        authorization_details: grants()?,
        limits: Limits { uses: Some(120), until_s: Some(NOW_S + 3600), ..Limits::NONE },
        agent: agent(0),
        policy: Some(PolicyRef { id: "bench".into(), sha256: sha256(b"permit(principal, action, resource);") }),
        aud: vec![GATEWAY.into()],
        status: None,
        session: Some(Session {
            id: "s-7f3k".into(),
            human: "h-20c9".into(),
            human_proof: HumanProof::Asserted,
            purpose_c: commit(&[1; 32], "purpose", b"fix the build"),
            refs_c: None,
            mode: Mode::Enforce,
            environment: "staging".into(),
        }),
        human_proof: None,
    };
    let mut links = vec![sign_root(&claims, &key(0)?).map_err(|e| e.to_string())?];
    for n in 1..LINKS as u8 {
        let asked = ChildRequest {
            holder: key(n + 1)?.public(),
            agent: agent(n),
            policy: None,
            grants: grants()?,
            limits: Limits { uses: Some(100 - u64::from(n)), ..Limits::NONE },
            audience: None,
            exp_s: NOW_S + 900 - u64::from(n),
            max_depth: None,
        };
        let parent = links.last().ok_or("there is a root")?;
        let jti = format!("link-{n}-{}", "0".repeat(16));
        links.push(derive(parent, asked, &key(n)?, NOW_S - 5, &jti).map_err(|e| e.to_string())?);
    }
    Ok(links)
}

/// Key, signed bytes, signature.
type Signed = ([u8; 32], Vec<u8>, Vec<u8>);

fn signed(links: &[&str]) -> Result<Vec<Signed>> {
    links
        .iter()
        .zip(0..)
        .map(|(link, n)| {
            let (input, signature) = link.rsplit_once('.').ok_or("a link has three parts")?;
            Ok((*key(n)?.public().as_bytes(), input.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(signature)?))
        })
        .collect()
}

/// Interleaved samples of both.
pub(crate) fn main(args: &Args) -> Result<Report> {
    let before = cpu::load_average();
    let links = chain()?;
    let links: Vec<&str> = links.iter().map(Link::compact).collect();
    let parts = signed(&links)?;
    let roots: [PublicKey; 1] = [key(0)?.public()];
    let whole = || verify(black_box(&links), &roots, NOW_S, &Rules::for_audience(GATEWAY)).is_ok();
    let bare = || parts.iter().all(|(key, input, signature)| UnparsedPublicKey::new(&ED25519, key).verify(black_box(input), signature).is_ok());
    if !whole() || !bare() {
        return Err("the chain of the bench does not verify".into());
    }
    let mut samples = Samples::default();
    for _ in 0..args.rounds {
        samples.add("three bare verifications", sample(bare)?);
        samples.add("a chain of three links", sample(whole)?);
    }
    let ratio = samples.paired(&["a chain of three links", "three bare verifications"], |v| v.first().unwrap_or(&f64::NAN) / v.get(1).unwrap_or(&f64::NAN))?;
    let mut report = Report::new(args, "CPU µs", samples, before);
    report.targets.push(Target::at_most("a cold chain of three links, of three bare verifications", ratio, TARGET));
    report.notes.push("Ed25519 by aws-lc on both sides; nothing of the chain was seen before".to_owned());
    Ok(report)
}

fn sample(one: impl Fn() -> bool) -> Result<f64> {
    cpu::on(cpu::TESTED, || {
        let before = cpu::of_thread()?;
        let good = (0..CHAINS).filter(|_| one()).count();
        if good != CHAINS as usize {
            return Err("a verification failed".into());
        }
        Ok(cpu::of_thread()?.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(CHAINS))
    })
}
