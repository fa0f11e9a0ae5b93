//! SHA-256 values and salted commitments to fields that may later be erased.

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::b64;
use crate::schema::{Read, SchemaError, string};

/// 32 bytes of SHA-256; base64url in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// base64url without padding, 43 characters.
    #[must_use]
    pub fn to_text(&self) -> String {
        b64::encode(&self.0)
    }

    /// Reads [`Digest::to_text`]; `None` for every other spelling.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        b64::decode_array(text).map(Self)
    }

    pub(crate) fn from_json(value: Value) -> Read<Self> {
        Self::from_text(&string(value)?)
            .ok_or_else(|| SchemaError::here("must be 32 bytes in base64url"))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.to_text())
    }
}
crate::schema::deserialize_strictly!(Digest);

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    Digest(out)
}

const FIELD_TAG: &[u8] = b"marque/field/v1";

/// A commitment to one field: who has salt and value can open it, who has neither can not guess it.
///
/// `SHA-256(len(tag) tag  len(salt) salt  len(field_id) field_id  len(value) value)` with the tag
/// `marque/field/v1`, and every `len` a big-endian unsigned 64-bit count of bytes, so that no two tuples
/// share an encoding. Draw the 32 salt bytes afresh for each field: a salt used twice links two values.
#[must_use]
pub fn commit(salt: &[u8; 32], field_id: &str, value: &[u8]) -> Digest {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in [FIELD_TAG, salt, field_id.as_bytes(), value] {
        // usize is at most 64 bits wide on every target of Rust.
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(hash.finish().as_ref());
    Digest(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_between_fields_changes_the_commitment() {
        let salt = [7; 32];
        let base = commit(&salt, "purpose", b"fix ci");
        assert_eq!(base, commit(&salt, "purpose", b"fix ci"));
        assert_ne!(base, commit(&salt, "purposef", b"ix ci"));
        assert_ne!(base, commit(&salt, "purpos", b"efix ci"));
        assert_ne!(base, commit(&[8; 32], "purpose", b"fix ci"));
        assert_ne!(base, sha256(b"fix ci"));
    }

    #[test]
    fn a_commitment_is_the_documented_bytes() {
        let mut bytes = Vec::new();
        for part in [b"marque/field/v1".as_slice(), &[9; 32], b"purpose", b"x"] {
            bytes.extend(u64::try_from(part.len()).unwrap().to_be_bytes());
            bytes.extend(part);
        }
        assert_eq!(commit(&[9; 32], "purpose", b"x"), sha256(&bytes));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let text = sha256(b"").to_text();
        assert_eq!(text, "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!(Digest::from_text(&text), Some(sha256(b"")));
        assert_eq!(Digest::from_text(&format!("{text}=")), None);
        assert_eq!(
            Digest::from_text("47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFV"),
            None
        );
        assert_eq!(Digest::from_text("AAAA"), None);
    }
}
