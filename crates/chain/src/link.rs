//! Making links: link 0 by the authority, the others by the holder of the one above, offline.

use crate::claims::{Agent, Claims, Confirmation, PolicyRef};
use crate::commitment::{Digest, sha256};
use crate::grant::{Grant, Limits, Wider, contain};
use crate::jws::{self, Compact};
use crate::key::{PublicKey, SigningKey};
use crate::limits::{MAX_LINK_BYTES, MAX_ROOT_LINK_BYTES};
use crate::schema::SchemaError;
use crate::strict_json;
use crate::verify::{Fault, Invalid, Parent, Rule, check_child, check_root};

pub(crate) const LINK_TYP: &str = "agent-link+jwt";

/// One signed step of delegation, as its holder keeps it. Proves nothing: [`crate::verify`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    claims: Claims,
    compact: String,
    hash: Digest,
}

/// Why link 0 was not signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A member that no verifier would read.
    #[error("the link would not be readable: {0}")]
    Schema(#[from] SchemaError),
    /// A rule that a verifier would apply.
    #[error("the link would be refused by `{}`: {why}", rule.code())]
    Rule {
        /// The rule.
        rule: Rule,
        /// JSON pointer into the claims, where there is one.
        pointer: Option<String>,
        /// What is wrong.
        why: String,
    },
    /// Over [`MAX_ROOT_LINK_BYTES`] or [`MAX_LINK_BYTES`].
    #[error("the link would be longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
}

/// Why no link was derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// More than the parent has.
    #[error("wider than the parent: {0}")]
    Wider(#[from] Wider),
    /// The signing key is not the one in the parent's `cnf`.
    #[error("the signing key does not hold the parent link")]
    NotHolder,
    /// The parent has no time left.
    #[error("the parent link has expired")]
    Expired,
    /// Anything else that keeps the link from being signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// What a holder asks for its child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildRequest {
    /// The child's key: fresh, used in no other link.
    pub holder: PublicKey,
    /// How the delegator names the child.
    pub agent: Agent,
    /// A policy that restricts further.
    pub policy: Option<PolicyRef>,
    /// The child's whole permission. Missing limits are filled in from the parent's.
    pub grants: Vec<Grant>,
    /// Limits over all grants; missing ones are filled in from the parent's.
    pub limits: Limits,
    /// `None` for the parent's.
    pub audience: Option<Vec<String>>,
    /// Unix seconds.
    pub exp_s: u64,
    /// `None` for the parent's. The child's own depth forbids further delegation.
    pub max_depth: Option<u8>,
}

impl Link {
    /// Takes a compact link apart to derive from it. No signature is checked.
    ///
    /// # Errors
    /// [`Invalid`] for what no verifier would read.
    pub fn read_unverified(compact: &str) -> Result<Self, Invalid> {
        let read = || {
            if compact.len() > MAX_ROOT_LINK_BYTES {
                return Err(Fault::new(
                    Rule::Size,
                    format!("is longer than {MAX_ROOT_LINK_BYTES} bytes"),
                ));
            }
            let parts = jws::split(compact).ok_or_else(not_compact)?;
            Ok(Self {
                claims: read(&parts)?,
                hash: sha256(parts.signing_input.as_bytes()),
                compact: compact.to_owned(),
            })
        };
        read().map_err(|fault| fault.at(0))
    }

    /// What it says.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The compact JWS to hand on.
    #[must_use]
    pub fn compact(&self) -> &str {
        &self.compact
    }

    /// SHA-256 of the signing input: `par_hash` of its children and `ath` of its holder's proofs. Not of the
    /// signature, of which one message may have several.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.hash
    }
}

pub(crate) fn not_compact() -> Fault {
    Fault::new(
        Rule::Encoding,
        "is no compact JWS with an Ed25519 signature",
    )
}

/// Header and payload of a link whose signature was verified.
pub(crate) fn read(parts: &Compact<'_>) -> Result<Claims, Fault> {
    parts
        .check_header(LINK_TYP)
        .map_err(|why| Fault::new(Rule::Header, why))?;
    let payload = parts
        .payload()
        .ok_or_else(|| Fault::new(Rule::Encoding, "has a payload that is not base64url"))?;
    // The compact text was bounded before; the payload is shorter.
    let value = strict_json::parse(&payload, MAX_ROOT_LINK_BYTES)
        .map_err(|e| Fault::new(Rule::Json, e.to_string()))?;
    Claims::from_json(value).map_err(|e| Fault::new(Rule::Claims, e.why).with_pointer(e.pointer))
}

fn encode(claims: &Claims, key: &SigningKey, max: usize) -> Result<Link, SignError> {
    let unreadable =
        |e: &dyn std::fmt::Display| SignError::Schema(SchemaError::here(e.to_string()));
    let payload = serde_json::to_vec(claims).map_err(|e| unreadable(&e))?;
    // Claims can be put together by hand: what is signed must read back as itself.
    let value = strict_json::parse(&payload, MAX_ROOT_LINK_BYTES).map_err(|e| unreadable(&e))?;
    if Claims::from_json(value)? != *claims {
        return Err(unreadable(&"does not read back as itself"));
    }
    let compact = jws::sign(LINK_TYP, &payload, key);
    if compact.len() > max {
        return Err(SignError::TooLong { max });
    }
    let input = compact.rsplit_once('.').map_or("", |(input, _)| input);
    Ok(Link {
        claims: claims.clone(),
        hash: sha256(input.as_bytes()),
        compact,
    })
}

fn refused(fault: Fault) -> SignError {
    SignError::Rule {
        rule: fault.rule,
        pointer: fault.pointer,
        why: fault.why,
    }
}

/// Signs link 0.
///
/// # Errors
/// [`SignError`] for every link that [`crate::verify`] would refuse whatever the time.
pub fn sign_root(claims: &Claims, authority: &SigningKey) -> Result<Link, SignError> {
    check_root(claims, &authority.public()).map_err(refused)?;
    encode(claims, authority, MAX_ROOT_LINK_BYTES)
}

/// Signs a narrower link below `parent`, offline. `jti` is the caller's randomness, `now_s` its clock; a clock
/// behind the parent's is taken for the parent's `iat`.
///
/// # Errors
/// [`DeriveError::Wider`] says what was asked beyond the parent.
pub fn derive(
    parent: &Link,
    request: ChildRequest,
    holder: &SigningKey,
    now_s: u64,
    jti: &str,
) -> Result<Link, DeriveError> {
    let above = &parent.claims;
    if holder.public() != above.cnf.jwk {
        return Err(DeriveError::NotHolder);
    }
    let iat = now_s.max(above.iat);
    if above.exp <= iat {
        return Err(DeriveError::Expired);
    }
    let under = contain(&above.authorization_details, &request.grants)?;
    let grants = inherit(&above.authorization_details, request.grants, &under);
    let claims = Claims {
        iss: holder.public().thumbprint_uri(),
        jti: jti.to_owned(),
        iat,
        exp: request.exp_s,
        cnf: Confirmation {
            jwk: request.holder,
        },
        del_depth: above.del_depth.saturating_add(1),
        del_max_depth: request.max_depth.unwrap_or(above.del_max_depth),
        par_hash: Some(parent.hash),
        authorization_details: grants,
        limits: request.limits.inheriting(&above.limits),
        agent: request.agent,
        policy: request.policy,
        aud: request.audience.unwrap_or_else(|| above.aud.clone()),
        status: None,
        session: None,
        human_proof: None,
    };
    let view = Parent {
        key: &above.cnf.jwk,
        jti: &above.jti,
        hash: parent.hash,
        iat_s: above.iat,
        exp_s: above.exp,
        depth: above.del_depth,
        max_depth: above.del_max_depth,
        aud: &above.aud,
        grants: &above.authorization_details,
        limits: &above.limits,
    };
    check_child(&view, &claims).map_err(widened)?;
    Ok(encode(&claims, holder, MAX_LINK_BYTES)?)
}

/// The children with what they did not say taken from the parent that covers them.
pub(crate) fn inherit(parents: &[Grant], children: Vec<Grant>, under: &[usize]) -> Vec<Grant> {
    let over = under.iter().map(|i| parents.get(*i));
    children
        .into_iter()
        .zip(over)
        .map(|(child, parent)| match parent {
            Some(parent) => child.inheriting(parent),
            None => child,
        })
        .collect()
}

fn widened(fault: Fault) -> DeriveError {
    match (fault.rule.is_widening(), fault.pointer) {
        (true, Some(pointer)) => DeriveError::Wider(Wider {
            pointer,
            why: fault.why,
        }),
        (_, pointer) => DeriveError::Sign(refused(Fault {
            pointer,
            ..Fault::new(fault.rule, fault.why)
        })),
    }
}
