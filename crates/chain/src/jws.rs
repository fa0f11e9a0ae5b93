//! Compact JWS (RFC 7515) with one algorithm and two header members.

use crate::key::SigningKey;
use crate::limits::MAX_HEADER_BYTES;
use crate::schema::{Object, string};
use crate::{b64, strict_json};

/// The three parts, not yet looked into. `signing_input` is what the signature covers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compact<'a> {
    pub(crate) signing_input: &'a str,
    header: &'a str,
    payload: &'a str,
    pub(crate) signature: [u8; 64],
}

pub(crate) fn split(text: &str) -> Option<Compact<'_>> {
    let (signing_input, signature) = text.rsplit_once('.')?;
    let (header, payload) = signing_input.split_once('.')?;
    // A further dot would be in the payload, where base64url refuses it; refusing here keeps the shape exact.
    if payload.contains('.') {
        return None;
    }
    Some(Compact {
        signing_input,
        header,
        payload,
        signature: b64::decode_array(signature)?,
    })
}

impl Compact<'_> {
    /// The header may say which of the two names of Ed25519 is meant (RFC 8037, RFC 9864) and the type. A key,
    /// key id or `crit` there would let the sender choose what only the chain may.
    pub(crate) fn check_header(&self, typ: &str) -> Result<(), String> {
        let bytes = b64::decode(self.header).ok_or("is not base64url")?;
        let value = strict_json::parse(&bytes, MAX_HEADER_BYTES).map_err(|e| e.to_string())?;
        let mut header = Object::new(value).map_err(|e| e.to_string())?;
        let alg = header.need("alg", string).map_err(|e| e.to_string())?;
        let have = header.need("typ", string).map_err(|e| e.to_string())?;
        header.end().map_err(|e| e.to_string())?;
        if alg != "EdDSA" && alg != "Ed25519" {
            return Err("`/alg` must be `EdDSA` or `Ed25519`".into());
        }
        if have == typ {
            Ok(())
        } else {
            Err(format!("`/typ` must be `{typ}`"))
        }
    }

    pub(crate) fn payload(&self) -> Option<Vec<u8>> {
        b64::decode(self.payload)
    }
}

pub(crate) fn sign(typ: &str, payload: &[u8], key: &SigningKey) -> String {
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}"}}"#);
    let input = format!(
        "{}.{}",
        b64::encode(header.as_bytes()),
        b64::encode(payload)
    );
    let signature = b64::encode(&key.sign(input.as_bytes()));
    format!("{input}.{signature}")
}
