//! The rules themselves, over claims that are already read.

use super::rule::{Fault, Rule};
use crate::claims::{Claims, HumanProof};
use crate::commitment::Digest;
use crate::grant::{Grant, Limits, contain};
use crate::key::PublicKey;
use crate::limits::{HARD_MAX_DEPTH, MAX_LIFETIME_S, MAX_SKEW_S};

/// One-sided: a clock behind the signer's is tolerated for `iat`, none is for `exp`.
pub(super) fn check_clock(claims: &Claims, at_s: Option<u64>) -> Result<(), Fault> {
    let Some(now_s) = at_s else { return Ok(()) };
    if claims.iat > now_s.saturating_add(MAX_SKEW_S) {
        let why = format!("is more than {MAX_SKEW_S} s ahead of {now_s}");
        return Err(Fault::new(Rule::IssuedAhead, why).with_pointer("/iat"));
    }
    if claims.exp <= now_s {
        return Err(Fault::new(Rule::Expired, format!("is not after {now_s}")).with_pointer("/exp"));
    }
    Ok(())
}

fn ensure(holds: bool, rule: Rule, pointer: &str, why: &str) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::new(rule, why).with_pointer(pointer))
    }
}

/// What link 0 must satisfy at any time.
pub(crate) fn check_root(claims: &Claims, root: &PublicKey) -> Result<(), Fault> {
    ensure(
        claims.par_hash.is_none(),
        Rule::ParentHash,
        "/par_hash",
        "must be absent in link 0",
    )?;
    ensure(
        claims.del_depth == 0,
        Rule::Depth,
        "/del_depth",
        "must be 0 in link 0",
    )?;
    ensure(
        claims.del_max_depth <= HARD_MAX_DEPTH,
        Rule::Depth,
        "/del_max_depth",
        "is deeper than there can be",
    )?;
    ensure(
        claims.policy.is_some(),
        Rule::Policy,
        "/policy",
        "is required in link 0",
    )?;
    ensure(
        claims.exp > claims.iat,
        Rule::NoTime,
        "/exp",
        "must be after `iat`",
    )?;
    ensure(
        claims.exp - claims.iat <= MAX_LIFETIME_S,
        Rule::Lifetime,
        "/exp",
        "gives a longer life than a session may have",
    )?;
    ensure(
        claims.cnf.jwk != *root,
        Rule::KeyTwice,
        "/cnf/jwk",
        "is the root key",
    )?;
    let Some(session) = &claims.session else {
        return Err(Fault::new(Rule::Session, "is required in link 0").with_pointer("/session"));
    };
    let proven = session.human_proof == HumanProof::Proven;
    let agrees = proven == claims.human_proof.is_some();
    ensure(
        agrees,
        Rule::HumanProof,
        "/human_proof",
        "must be there exactly if the session says `proven`",
    )?;
    for (i, grant) in claims.authorization_details.iter().enumerate() {
        if grant.environment() != session.environment {
            let why = format!(
                "is `{}`, the session has `{}`",
                grant.environment(),
                session.environment
            );
            let pointer = format!("/authorization_details/{i}/environment");
            return Err(Fault::new(Rule::Environment, why).with_pointer(pointer));
        }
    }
    Ok(())
}

/// What a child is held against. Grants and limits are effective.
pub(crate) struct Parent<'a> {
    pub(crate) key: &'a PublicKey,
    pub(crate) jti: &'a str,
    pub(crate) hash: Digest,
    pub(crate) iat_s: u64,
    pub(crate) exp_s: u64,
    pub(crate) depth: u8,
    pub(crate) max_depth: u8,
    pub(crate) aud: &'a [String],
    pub(crate) grants: &'a [Grant],
    pub(crate) limits: &'a Limits,
}

/// What a child must satisfy at any time: the same for who derives it and who verifies it.
pub(crate) fn check_child(parent: &Parent<'_>, child: &Claims) -> Result<Vec<usize>, Fault> {
    check_binding(parent, child)?;
    check_bounds(parent, child)?;
    parent
        .limits
        .covers(&child.limits)
        .map_err(|wider| wider.under("limits"))?;
    Ok(contain(parent.grants, &child.authorization_details)?)
}

/// It hangs on this parent, and speaks for itself only.
fn check_binding(parent: &Parent<'_>, child: &Claims) -> Result<(), Fault> {
    ensure(
        child.iss == parent.key.thumbprint_uri(),
        Rule::Issuer,
        "/iss",
        "is not the thumbprint URI of the signer",
    )?;
    ensure(
        child.par_hash == Some(parent.hash),
        Rule::ParentHash,
        "/par_hash",
        "is not that of the link above",
    )?;
    ensure(
        child.session.is_none(),
        Rule::Session,
        "/session",
        "may be in link 0 only",
    )?;
    ensure(
        child.status.is_none(),
        Rule::Session,
        "/status",
        "may be in link 0 only",
    )?;
    ensure(
        child.human_proof.is_none(),
        Rule::Session,
        "/human_proof",
        "may be in link 0 only",
    )?;
    ensure(
        child.cnf.jwk != *parent.key,
        Rule::KeyTwice,
        "/cnf/jwk",
        "is the key of the link above",
    )?;
    ensure(
        child.jti != parent.jti,
        Rule::JtiTwice,
        "/jti",
        "is that of the link above",
    )
}

/// Depth, time and audience lie within the parent's.
fn check_bounds(parent: &Parent<'_>, child: &Claims) -> Result<(), Fault> {
    let one_deeper = parent.depth.checked_add(1) == Some(child.del_depth);
    ensure(
        one_deeper,
        Rule::Depth,
        "/del_depth",
        "must be one more than the parent's",
    )?;
    ensure(
        child.del_depth <= parent.max_depth,
        Rule::Depth,
        "/del_depth",
        "is deeper than the parent allows",
    )?;
    ensure(
        child.del_max_depth <= parent.max_depth,
        Rule::Depth,
        "/del_max_depth",
        "is deeper than the parent's",
    )?;
    ensure(
        child.iat >= parent.iat_s,
        Rule::IssuedBefore,
        "/iat",
        "is before the parent's",
    )?;
    ensure(
        child.exp <= parent.exp_s,
        Rule::Outlives,
        "/exp",
        "is after the parent's",
    )?;
    ensure(
        child.exp > child.iat,
        Rule::NoTime,
        "/exp",
        "must be after `iat`",
    )?;
    if let Some(i) = child.aud.iter().position(|name| !parent.aud.contains(name)) {
        return Err(
            Fault::new(Rule::Audience, "is not in the parent's").with_pointer(format!("/aud/{i}"))
        );
    }
    Ok(())
}
