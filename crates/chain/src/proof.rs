//! Proof of possession: the leaf's holder signs the request it makes.
//!
//! A holder has its ancestors' links, and whoever sees a chain has all of it; only this tells them apart. The
//! shape is that of DPoP (RFC 9449) with the key taken from the leaf's `cnf` instead of the header. Replay
//! within `max_age_s` is the caller's: remember [`Proof::jti`] for writes.

use serde::Serialize;
use serde_json::Value;

use crate::claims::{jti, uri};
use crate::commitment::Digest;
use crate::jws;
use crate::key::SigningKey;
use crate::limits::{MAX_METHOD_BYTES, MAX_PROOF_BYTES, MAX_SKEW_S, MAX_USE_BYTES};
use crate::schema::{Object, Read, SchemaError, deserialize_strictly, integer, text_of};
use crate::strict_json;
use crate::verify::Lineage;

const PROOF_TYP: &str = "agent-proof+jwt";

/// What a proof says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProofClaims {
    /// Hash of the leaf link ([`crate::Link::hash`]).
    pub ath: Digest,
    /// HTTP method, or the verb of another protocol.
    pub htm: String,
    /// Target URI without query and fragment, in canonical form.
    pub htu: String,
    /// 16 to 64 characters, never used before.
    pub jti: String,
    /// Unix seconds.
    pub iat: u64,
    /// SHA-256 of the body's bytes, where the verifier wants it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_sha256: Option<Digest>,
}
deserialize_strictly!(ProofClaims);

impl ProofClaims {
    /// Reads a payload; unknown members are an error.
    ///
    /// # Errors
    /// [`SchemaError`] with a pointer.
    pub fn from_json(value: Value) -> Result<Self, SchemaError> {
        let mut object = Object::new(value)?;
        let claims = Self {
            ath: object.need("ath", Digest::from_json)?,
            htm: object.need("htm", verb)?,
            htu: object.need("htu", target)?,
            jti: object.need("jti", jti)?,
            iat: object.need("iat", integer)?,
            body_sha256: object.may("body_sha256", Digest::from_json)?,
        };
        object.end()?;
        Ok(claims)
    }
}

fn verb(value: Value) -> Read<String> {
    let text = uri(value)?;
    if text.len() > MAX_METHOD_BYTES {
        Err(SchemaError::here("is longer than a method may be"))
    } else {
        Ok(text)
    }
}

fn target(value: Value) -> Read<String> {
    text_of(
        value,
        MAX_USE_BYTES,
        |c| c.is_ascii_graphic(),
        "visible ASCII",
    )
}

/// What the verifier saw of the request itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected<'a> {
    /// Method of the request.
    pub htm: &'a str,
    /// Its target URI, in canonical form.
    pub htu: &'a str,
    /// Unix seconds.
    pub now_s: u64,
    /// How old a proof may be.
    pub max_age_s: u64,
    /// SHA-256 of the body. Given, the proof must carry it; `None` accepts a proof with or without.
    pub body_sha256: Option<Digest>,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotProven {
    /// Over [`MAX_PROOF_BYTES`].
    #[error("the proof is longer than {MAX_PROOF_BYTES} bytes")]
    TooLong,
    /// No compact JWS.
    #[error("the proof is no compact JWS with an Ed25519 signature")]
    Encoding,
    /// Not signed by the leaf's holder: an ancestor's or a stranger's key.
    #[error("the proof is not signed by the holder of the leaf")]
    Signature,
    /// Another header.
    #[error("the header of the proof {0}")]
    Header(String),
    /// Unreadable claims.
    #[error("the proof is not readable: {0}")]
    Claims(String),
    /// Made for another link.
    #[error("the proof is for another link")]
    Leaf,
    /// Made for another request.
    #[error("the proof is for another request (`{0}`)")]
    Request(&'static str),
    /// Older than accepted.
    #[error("the proof is {age_s} s old")]
    Stale {
        /// Its age.
        age_s: u64,
    },
    /// From the future.
    #[error("the proof is {ahead_s} s ahead of the clock")]
    Ahead {
        /// How far.
        ahead_s: u64,
    },
}

impl NotProven {
    /// Stable text for programs and test vectors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong => "proof_size",
            Self::Encoding => "proof_encoding",
            Self::Signature => "proof_signature",
            Self::Header(_) => "proof_header",
            Self::Claims(_) => "proof_claims",
            Self::Leaf => "proof_leaf",
            Self::Request(_) => "proof_request",
            Self::Stale { .. } => "proof_stale",
            Self::Ahead { .. } => "proof_ahead",
        }
    }
}

/// A verified proof; comes from [`verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof(ProofClaims);

impl Proof {
    /// To be remembered against replay, per leaf.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.0.jti
    }

    /// All it says.
    #[must_use]
    pub fn claims(&self) -> &ProofClaims {
        &self.0
    }
}

/// Signs a proof with the leaf holder's key.
///
/// # Errors
/// [`NotProven`] for claims no verifier would read.
pub fn sign(claims: &ProofClaims, holder: &SigningKey) -> Result<String, NotProven> {
    let unreadable = |e: &dyn std::fmt::Display| NotProven::Claims(e.to_string());
    let payload = serde_json::to_vec(claims).map_err(|e| unreadable(&e))?;
    let value = strict_json::parse(&payload, MAX_PROOF_BYTES).map_err(|_| NotProven::TooLong)?;
    ProofClaims::from_json(value).map_err(|e| unreadable(&e))?;
    let compact = jws::sign(PROOF_TYP, &payload, holder);
    if compact.len() > MAX_PROOF_BYTES {
        Err(NotProven::TooLong)
    } else {
        Ok(compact)
    }
}

/// Verifies a proof against the leaf of a verified chain and the request as seen.
///
/// # Errors
/// [`NotProven`].
pub fn verify(
    compact: &str,
    lineage: &Lineage,
    expected: &Expected<'_>,
) -> Result<Proof, NotProven> {
    if compact.len() > MAX_PROOF_BYTES {
        return Err(NotProven::TooLong);
    }
    let leaf = lineage.leaf().ok_or(NotProven::Leaf)?;
    let parts = jws::split(compact).ok_or(NotProven::Encoding)?;
    if !leaf
        .key
        .verifies(parts.signing_input.as_bytes(), &parts.signature)
    {
        return Err(NotProven::Signature);
    }
    parts.check_header(PROOF_TYP).map_err(NotProven::Header)?;
    let payload = parts.payload().ok_or(NotProven::Encoding)?;
    let value = strict_json::parse(&payload, MAX_PROOF_BYTES)
        .map_err(|e| NotProven::Claims(e.to_string()))?;
    let claims = ProofClaims::from_json(value).map_err(|e| NotProven::Claims(e.to_string()))?;
    if claims.ath != leaf.hash {
        return Err(NotProven::Leaf);
    }
    if claims.htm != expected.htm {
        return Err(NotProven::Request("htm"));
    }
    if claims.htu != expected.htu {
        return Err(NotProven::Request("htu"));
    }
    if expected.body_sha256.is_some() && claims.body_sha256 != expected.body_sha256 {
        return Err(NotProven::Request("body_sha256"));
    }
    check_age(&claims, expected)?;
    Ok(Proof(claims))
}

fn check_age(claims: &ProofClaims, expected: &Expected<'_>) -> Result<(), NotProven> {
    let ahead_s = claims.iat.saturating_sub(expected.now_s);
    let age_s = expected.now_s.saturating_sub(claims.iat);
    if ahead_s > MAX_SKEW_S {
        return Err(NotProven::Ahead { ahead_s });
    }
    if age_s > expected.max_age_s {
        Err(NotProven::Stale { age_s })
    } else {
        Ok(())
    }
}
