//! The payload of a link, read and written in one form.

use serde::Serialize;
use serde_json::Value;

use crate::b64;
use crate::commitment::{Digest, sha256};
use crate::grant::{Grant, Limits, name};
use crate::key::PublicKey;
use crate::limits::{
    MAX_ASSERTION_BYTES, MAX_AUDIENCES, MAX_JTI_BYTES, MAX_TEXT_BYTES, MAX_URI_BYTES, MIN_JTI_BYTES,
};
use crate::schema::{
    Object, Read, SchemaError, deserialize_strictly, integer, is_plain, list, small, string,
    text_of,
};

/// Everything a link says. Link 0 has `session` and `policy` and no `par_hash`; the others the reverse of it
/// (a further, narrowing `policy` is allowed).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Link 0: name of the authority. Others: RFC 9278 thumbprint URI of the signer.
    pub iss: String,
    /// 16 to 64 characters of base64url's alphabet: the handle for revocation.
    pub jti: String,
    /// Issued at, Unix seconds.
    pub iat: u64,
    /// Not valid from here on, Unix seconds.
    pub exp: u64,
    /// RFC 7800: whose link this is.
    pub cnf: Confirmation,
    /// 0 for link 0, one more for each delegation.
    pub del_depth: u8,
    /// The largest `del_depth` there may be below.
    pub del_max_depth: u8,
    /// SHA-256 of the parent's JWS signing input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub par_hash: Option<Digest>,
    /// RFC 9396: the whole effective permission, not a difference.
    pub authorization_details: Vec<Grant>,
    /// Limits over all grants together.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub limits: Limits,
    /// The holder as named by the delegator: a label, not a proof.
    pub agent: Agent,
    /// Policy in force (link 0), or one that restricts further.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRef>,
    /// Who may accept it.
    pub aud: Vec<String>,
    /// Token Status List entry; link 0 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusRef>,
    /// Link 0 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// Passkey assertion over [`human_challenge`]; link 0 only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub human_proof: Option<HumanAssertion>,
}
deserialize_strictly!(Claims);

/// `{"jwk": …}`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// The holder's key.
    pub jwk: PublicKey,
}

/// Whom the delegator says it delegates to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Agent {
    /// SPIFFE ID, URL or name.
    pub id: String,
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name and version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub software: Option<String>,
}

/// A policy by name and content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct PolicyRef {
    /// Name.
    pub id: String,
    /// SHA-256 of the policy text.
    pub sha256: Digest,
}

/// `{"status_list": {"idx": …, "uri": …}}` of the Token Status List draft.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StatusRef {
    /// Position and place.
    pub status_list: StatusEntry,
}

/// Where the bit of a link is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct StatusEntry {
    /// Index of the bit.
    pub idx: u64,
    /// Where the list is published.
    pub uri: String,
}

/// The session, in link 0 and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Session {
    /// Session id.
    pub id: String,
    /// Pseudonym of the human who answers for it.
    pub human: String,
    /// Whether a passkey assertion comes with it.
    pub human_proof: HumanProof,
    /// Commitment to the purpose, see [`crate::commit`].
    pub purpose_c: Digest,
    /// Commitment to ticket and change references.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refs_c: Option<Digest>,
    /// Signed, so that no later link can soften it.
    pub mode: Mode,
    /// Every grant of the chain is in it.
    pub environment: String,
}

/// How sure it is which human it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HumanProof {
    /// The authority's word.
    Asserted,
    /// A passkey assertion is in the link.
    Proven,
}

/// How a session runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Policy and grants are applied.
    Enforce,
    /// Policy and grants are evaluated and recorded.
    Observe,
    /// The agent keeps the credentials it has.
    Adopt,
}

/// A WebAuthn assertion, each member base64url. This crate carries it; who knows the credential verifies it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HumanAssertion {
    /// Credential id.
    pub credential_id: String,
    /// Authenticator data.
    pub authenticator_data: String,
    /// Client data JSON; its challenge is [`human_challenge`].
    pub client_data_json: String,
    /// Signature.
    pub signature: String,
}

/// What the human's passkey signs: SHA-256 over `marque/human-proof/v1`, a zero byte and the RFC 8785 form of
/// the claims without `human_proof`.
#[must_use]
pub fn human_challenge(claims: &Claims) -> Digest {
    let bare = Claims {
        human_proof: None,
        ..claims.clone()
    };
    let mut bytes = b"marque/human-proof/v1\0".to_vec();
    // Claims always serialize: string keys, integers, strings. An empty value would only fail to verify.
    write_jcs(&serde_json::to_value(bare).unwrap_or_default(), &mut bytes);
    sha256(&bytes)
}

/// RFC 8785 for values without floats. Depth is that of [`Claims`].
fn write_jcs(value: &Value, out: &mut Vec<u8>) {
    let separated = |out: &mut Vec<u8>, first: &mut bool| {
        if !std::mem::take(first) {
            out.push(b',');
        }
    };
    let mut first = true;
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            // By UTF-16 code units; member names of links are ASCII, where that is byte order.
            members.sort_by(|a, b| a.0.cmp(b.0));
            out.push(b'{');
            for (member, value) in members {
                separated(out, &mut first);
                out.extend(Value::from(member.as_str()).to_string().bytes());
                out.push(b':');
                write_jcs(value, out);
            }
            out.push(b'}');
        }
        Value::Array(values) => {
            out.push(b'[');
            for value in values {
                separated(out, &mut first);
                write_jcs(value, out);
            }
            out.push(b']');
        }
        scalar => out.extend(scalar.to_string().bytes()),
    }
}

impl Claims {
    /// Reads a payload; unknown members are an error.
    ///
    /// # Errors
    /// [`SchemaError`] with a pointer.
    pub fn from_json(value: Value) -> Result<Self, SchemaError> {
        let mut object = Object::new(value)?;
        let claims = Self {
            iss: object.need("iss", uri)?,
            jti: object.need("jti", jti)?,
            iat: object.need("iat", integer)?,
            exp: object.need("exp", integer)?,
            cnf: object.need("cnf", |v| {
                let mut cnf = Object::new(v)?;
                let jwk = cnf.need("jwk", PublicKey::from_json)?;
                cnf.end()?;
                Ok(Confirmation { jwk })
            })?,
            del_depth: object.need("del_depth", small)?,
            del_max_depth: object.need("del_max_depth", small)?,
            par_hash: object.may("par_hash", Digest::from_json)?,
            authorization_details: object.need("authorization_details", Grant::list)?,
            limits: object.may("limits", Limits::from_json)?.unwrap_or_default(),
            agent: object.need("agent", Agent::from_json)?,
            policy: object.may("policy", PolicyRef::from_json)?,
            aud: object.need("aud", |v| list(v, MAX_AUDIENCES, uri))?,
            status: object.may("status", StatusRef::from_json)?,
            session: object.may("session", Session::from_json)?,
            human_proof: object.may("human_proof", HumanAssertion::from_json)?,
        };
        object.end()?;
        Ok(claims)
    }
}

/// Visible ASCII, as URIs and names of systems are.
pub(crate) fn uri(value: Value) -> Read<String> {
    text_of(
        value,
        MAX_URI_BYTES,
        |c| c.is_ascii_graphic(),
        "visible ASCII",
    )
}

fn text(value: Value) -> Read<String> {
    text_of(
        value,
        MAX_TEXT_BYTES,
        is_plain,
        "text without control characters",
    )
}

pub(crate) fn jti(value: Value) -> Read<String> {
    let id = string(value)?;
    let ok = id
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if ok && (MIN_JTI_BYTES..=MAX_JTI_BYTES).contains(&id.len()) {
        return Ok(id);
    }
    Err(SchemaError::here(format!(
        "must be {MIN_JTI_BYTES} to {MAX_JTI_BYTES} of A-Z, a-z, 0-9, `-` and `_`"
    )))
}

fn assertion_bytes(value: Value) -> Read<String> {
    let text = string(value)?;
    if text.is_empty() || text.len() > MAX_ASSERTION_BYTES || b64::decode(&text).is_none() {
        return Err(SchemaError::here(format!(
            "must be 1 to {MAX_ASSERTION_BYTES} bytes of base64url"
        )));
    }
    Ok(text)
}

impl Agent {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let agent = Self {
            id: object.need("id", uri)?,
            name: object.may("name", text)?,
            software: object.may("software", text)?,
        };
        object.end()?;
        Ok(agent)
    }
}

impl PolicyRef {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let policy = Self {
            id: object.need("id", text)?,
            sha256: object.need("sha256", Digest::from_json)?,
        };
        object.end()?;
        Ok(policy)
    }
}

impl StatusRef {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let status_list = object.need("status_list", |v| {
            let mut entry = Object::new(v)?;
            let read = StatusEntry {
                idx: entry.need("idx", integer)?,
                uri: entry.need("uri", uri)?,
            };
            entry.end()?;
            Ok(read)
        })?;
        object.end()?;
        Ok(Self { status_list })
    }
}

impl Session {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let session = Self {
            id: object.need("id", uri)?,
            human: object.need("human", uri)?,
            human_proof: object.need("human_proof", |v| match string(v)?.as_str() {
                "asserted" => Ok(HumanProof::Asserted),
                "proven" => Ok(HumanProof::Proven),
                _ => Err(SchemaError::here("must be `asserted` or `proven`")),
            })?,
            purpose_c: object.need("purpose_c", Digest::from_json)?,
            refs_c: object.may("refs_c", Digest::from_json)?,
            mode: object.need("mode", |v| match string(v)?.as_str() {
                "enforce" => Ok(Mode::Enforce),
                "observe" => Ok(Mode::Observe),
                "adopt" => Ok(Mode::Adopt),
                _ => Err(SchemaError::here("must be `enforce`, `observe` or `adopt`")),
            })?,
            environment: object.need("environment", name)?,
        };
        object.end()?;
        Ok(session)
    }
}

impl HumanAssertion {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let proof = Self {
            credential_id: object.need("credential_id", assertion_bytes)?,
            authenticator_data: object.need("authenticator_data", assertion_bytes)?,
            client_data_json: object.need("client_data_json", assertion_bytes)?,
            signature: object.need("signature", assertion_bytes)?,
        };
        object.end()?;
        Ok(proof)
    }
}
