//! From compact links and root keys to [`Verified`].

mod check;
mod lineage;
mod rule;

pub use lineage::{Hop, Lineage};
pub use rule::{Invalid, Rule};

pub(crate) use check::{Parent, check_child, check_root};
pub(crate) use rule::Fault;

use check::check_clock;

use crate::claims::{Claims, human_challenge};
use crate::commitment::{Digest, sha256};
use crate::jws;
use crate::key::PublicKey;
use crate::limits::{
    DEFAULT_MAX_DEPTH, HARD_MAX_DEPTH, MAX_LINK_BYTES, MAX_ROOT_LINK_BYTES, MAX_ROOTS,
};
use crate::link::{inherit, not_compact, read};

/// What the verifier insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    /// Largest `del_depth`; above [`HARD_MAX_DEPTH`] it is taken for that.
    pub max_depth: u8,
    /// The verifier's own name, which the leaf's `aud` must contain. `None` only for auditors, who accept
    /// nothing on the chain's strength.
    pub audience: Option<&'a str>,
}

impl<'a> Rules<'a> {
    /// [`DEFAULT_MAX_DEPTH`] for a verifier of this name.
    #[must_use]
    pub fn for_audience(audience: &'a str) -> Self {
        Self {
            max_depth: DEFAULT_MAX_DEPTH,
            audience: Some(audience),
        }
    }

    /// Any audience, any depth there can be.
    #[must_use]
    pub fn for_auditor() -> Self {
        Self {
            max_depth: HARD_MAX_DEPTH,
            audience: None,
        }
    }
}

/// A lineage that was within its time when checked. No effect accepts it: see [`Verified::live`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified(Lineage);

impl Verified {
    /// What was verified.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.0
    }

    pub(crate) fn into_lineage(self) -> Lineage {
        self.0
    }
}

/// Verifies a chain, link 0 first, at `now_s`.
///
/// # Errors
/// [`Invalid`]: the first link and rule that fail.
pub fn verify(
    links: &[&str],
    roots: &[PublicKey],
    now_s: u64,
    rules: &Rules<'_>,
) -> Result<Verified, Invalid> {
    walk(links, roots, Some(now_s), rules).map(Verified)
}

/// Verifies a chain for an auditor: as of `used_at_s`, or with `None` without any clock. The result can never
/// become [`crate::Live`].
///
/// # Errors
/// [`Invalid`]: the first link and rule that fail.
pub fn verify_offline_at(
    links: &[&str],
    roots: &[PublicKey],
    used_at_s: Option<u64>,
    rules: &Rules<'_>,
) -> Result<Lineage, Invalid> {
    walk(links, roots, used_at_s, rules)
}

fn walk(
    links: &[&str],
    roots: &[PublicKey],
    at_s: Option<u64>,
    rules: &Rules<'_>,
) -> Result<Lineage, Invalid> {
    if roots.is_empty() || roots.len() > MAX_ROOTS {
        return Err(Fault::new(
            Rule::Roots,
            format!("has to be judged by 1 to {MAX_ROOTS} root keys"),
        )
        .at(0));
    }
    let Some((first, below)) = links.split_first() else {
        return Err(Fault::new(Rule::Empty, "is missing").at(0));
    };
    let deepest = usize::from(rules.max_depth.min(HARD_MAX_DEPTH));
    if below.len() > deepest {
        return Err(Fault::new(Rule::Depth, format!("is deeper than {deepest}")).at(deepest + 1));
    }
    let mut lineage = start(first, roots, at_s).map_err(|fault| fault.at(0))?;
    for (i, link) in below.iter().enumerate() {
        let hop = step(&lineage, link, at_s).map_err(|fault| fault.at(i + 1))?;
        lineage.hops.push(hop);
    }
    let named = |me: &str| {
        lineage
            .leaf()
            .is_some_and(|leaf| leaf.audience.iter().any(|a| a == me))
    };
    match rules.audience {
        Some(me) if !named(me) => Err(Fault::new(Rule::Audience, format!("is not for `{me}`"))
            .with_pointer("/aud")
            .at(below.len())),
        _ => Ok(lineage),
    }
}

/// Signature first: nothing of a link is parsed before somebody entitled vouches for it.
fn open(link: &str, max: usize, keys: &[PublicKey]) -> Result<(PublicKey, Claims, Digest), Fault> {
    if link.len() > max {
        return Err(Fault::new(
            Rule::Size,
            format!("is longer than {max} bytes"),
        ));
    }
    let parts = jws::split(link).ok_or_else(not_compact)?;
    let input = parts.signing_input.as_bytes();
    let signer = keys
        .iter()
        .find(|key| key.verifies(input, &parts.signature));
    let signer = signer
        .ok_or_else(|| Fault::new(Rule::Signature, "is not signed by the key it has to be"))?;
    Ok((*signer, read(&parts)?, sha256(input)))
}

fn start(link: &str, roots: &[PublicKey], at_s: Option<u64>) -> Result<Lineage, Fault> {
    let (root, mut claims, hash) = open(link, MAX_ROOT_LINK_BYTES, roots)?;
    check_root(&claims, &root)?;
    check_clock(&claims, at_s)?;
    // The challenge costs a second serialization: only where something answers it.
    let challenge = claims
        .human_proof
        .is_some()
        .then(|| human_challenge(&claims));
    let human_assertion = claims.human_proof.take().zip(challenge);
    let Some(session) = claims.session.take() else {
        return Err(Fault::new(Rule::Session, "is required").with_pointer("/session"));
    };
    Ok(Lineage {
        issuer: claims.iss.clone(),
        root,
        session,
        status: claims.status.take(),
        human_assertion,
        hops: vec![hop(claims, hash, Vec::new())],
    })
}

fn step(lineage: &Lineage, link: &str, at_s: Option<u64>) -> Result<Hop, Fault> {
    let Some(above) = lineage.leaf() else {
        return Err(Fault::new(Rule::Empty, "is missing"));
    };
    let (_, mut claims, hash) = open(link, MAX_LINK_BYTES, std::slice::from_ref(&above.key))?;
    let parent = Parent {
        key: &above.key,
        jti: &above.jti,
        hash: above.hash,
        iat_s: above.iat_s,
        exp_s: above.exp_s,
        depth: above.depth,
        max_depth: above.max_depth,
        aud: &above.audience,
        grants: &above.grants,
        limits: &above.limits,
    };
    let under = check_child(&parent, &claims)?;
    check_clock(&claims, at_s)?;
    let key = claims.cnf.jwk;
    if key == lineage.root || lineage.hops.iter().any(|hop| hop.key == key) {
        return Err(
            Fault::new(Rule::KeyTwice, "is the key of an earlier link").with_pointer("/cnf/jwk")
        );
    }
    if lineage.hops.iter().any(|hop| hop.jti == claims.jti) {
        return Err(Fault::new(Rule::JtiTwice, "is that of an earlier link").with_pointer("/jti"));
    }
    // The link may leave limits out; what it may do is then its parent's.
    claims.authorization_details = inherit(&above.grants, claims.authorization_details, &under);
    claims.limits = claims.limits.inheriting(&above.limits);
    Ok(hop(claims, hash, under))
}

fn hop(claims: Claims, hash: Digest, under: Vec<usize>) -> Hop {
    Hop {
        jti: claims.jti,
        agent: claims.agent,
        policy: claims.policy,
        holder: claims.cnf.jwk.thumbprint(),
        key: claims.cnf.jwk,
        iat_s: claims.iat,
        exp_s: claims.exp,
        depth: claims.del_depth,
        max_depth: claims.del_max_depth,
        audience: claims.aud,
        grants: claims.authorization_details,
        limits: claims.limits,
        under,
        hash,
    }
}
