//! Ed25519 keys as JWKs (RFC 8037) and their thumbprints (RFC 7638).

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::b64;
use crate::commitment::sha256;
use crate::schema::{Object, Read, SchemaError, string};

const THUMBPRINT_URI: &str = "urn:ietf:params:oauth:jwk-thumbprint:sha-256:";

/// Why bytes are no usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The y coordinate is not below the field's prime: a second spelling of another key.
    #[error("the key is not in its canonical encoding")]
    NotCanonical,
    /// A point of small order verifies signatures that nobody made.
    #[error("the key is a point of small order")]
    SmallOrder,
    /// The library refused the seed.
    #[error("the seed is not usable")]
    Seed,
}

/// y coordinates of the eight points of small order, sign bit cleared, little-endian.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
];

/// The order of the checks `dalek::verify_strict` makes on A and on R.
fn check_point(point: &[u8; 32]) -> Result<(), KeyError> {
    let mut y = *point;
    let [first, middle @ .., last] = &mut y;
    *last &= 0x7f;
    // p = 2^255 - 19 is ed ff .. ff 7f.
    if *last == 0x7f && *first >= 0xed && middle.iter().all(|b| *b == 0xff) {
        return Err(KeyError::NotCanonical);
    }
    if SMALL_ORDER_Y.contains(&y) {
        Err(KeyError::SmallOrder)
    } else {
        Ok(())
    }
}

/// An Ed25519 public key: canonical, and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// # Errors
    /// A non-canonical encoding or a point of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        check_point(&bytes).map(|()| Self(bytes))
    }

    /// The 32 bytes of RFC 8032.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a JWK with exactly the members `kty`, `crv` and `x` (RFC 8037 section 2).
    ///
    /// # Errors
    /// Another key type, another member (`d` and `kid` too), or an unusable key.
    pub fn from_json(value: Value) -> Result<Self, SchemaError> {
        let mut jwk = Object::new(value)?;
        jwk.need("kty", |v| exactly(v, "OKP"))?;
        jwk.need("crv", |v| exactly(v, "Ed25519"))?;
        let x = jwk.need("x", |v| {
            let bytes = b64::decode_array(&string(v)?)
                .ok_or_else(|| SchemaError::here("must be 32 bytes in base64url"))?;
            Self::from_bytes(bytes).map_err(|e| SchemaError::here(e.to_string()))
        })?;
        jwk.end()?;
        Ok(x)
    }

    /// RFC 7638 thumbprint with SHA-256, base64url, 43 characters.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let jwk = format!(
            r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
            b64::encode(&self.0)
        );
        sha256(jwk.as_bytes()).to_text()
    }

    /// RFC 9278 URI of [`PublicKey::thumbprint`]: the `iss` of a link signed by this key.
    #[must_use]
    pub fn thumbprint_uri(&self) -> String {
        format!("{THUMBPRINT_URI}{}", self.thumbprint())
    }

    /// Strict verification: canonical S, R and A, none of small order, no cofactor.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let r = signature
            .first_chunk::<32>()
            .is_some_and(|r| check_point(r).is_ok());
        r && UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(message, signature)
            .is_ok()
    }
}

fn exactly(value: Value, want: &str) -> Read<()> {
    if string(value)? == want {
        Ok(())
    } else {
        Err(SchemaError::here(format!("must be `{want}`")))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut jwk = to.serialize_struct("jwk", 3)?;
        jwk.serialize_field("kty", "OKP")?;
        jwk.serialize_field("crv", "Ed25519")?;
        jwk.serialize_field("x", &b64::encode(&self.0))?;
        jwk.end()
    }
}
crate::schema::deserialize_strictly!(PublicKey);

/// An Ed25519 private key. Its bytes cannot be read back; Debug shows the public half.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl SigningKey {
    /// The key of a 32-byte seed (RFC 8032 section 5.1.5). Where the seed comes from is the caller's affair.
    ///
    /// # Errors
    /// [`KeyError`] if the library refuses the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| KeyError::Seed)?;
        let bytes = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| KeyError::Seed)?;
        let public = PublicKey::from_bytes(bytes)?;
        Ok(Self { pair, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// 64 bytes, deterministic. Kept inside the crate: holder keys sign links and proofs, nothing else.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    // RFC 8037 appendix A.1 to A.3.
    const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    const THUMB: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";

    fn rfc_key() -> SigningKey {
        SigningKey::from_seed(&b64::decode_array(D).unwrap()).unwrap()
    }

    #[test]
    fn thumbprint_is_that_of_rfc_8037_a_3() {
        let key = PublicKey::from_json(json!({"kty":"OKP","crv":"Ed25519","x":X})).unwrap();
        assert_eq!(key, rfc_key().public());
        assert_eq!(key.thumbprint(), THUMB);
        assert_eq!(
            key.thumbprint_uri(),
            format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{THUMB}")
        );
    }

    #[test]
    fn signature_is_that_of_rfc_8037_a_4() {
        let input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let want = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        assert_eq!(b64::encode(&rfc_key().sign(input.as_bytes())), want);
        assert!(
            rfc_key()
                .public()
                .verifies(input.as_bytes(), &b64::decode_array(want).unwrap())
        );
    }

    #[test]
    fn a_jwk_with_anything_else_in_it_is_refused() {
        for jwk in [
            json!({"kty":"OKP","crv":"Ed25519","x":X,"d":D}),
            json!({"kty":"OKP","crv":"Ed25519","x":X,"kid":"1"}),
            json!({"kty":"EC","crv":"Ed25519","x":X}),
            json!({"kty":"OKP","crv":"X25519","x":X}),
            json!({"kty":"OKP","crv":"Ed25519","x":format!("{X}=")}),
            json!({"kty":"OKP","crv":"Ed25519"}),
            json!(["OKP", "Ed25519", X]),
        ] {
            assert!(PublicKey::from_json(jwk.clone()).is_err(), "{jwk}");
        }
    }

    #[test]
    fn keys_that_verify_what_nobody_signed_are_refused() {
        for y in SMALL_ORDER_Y {
            let mut negative = y;
            negative[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(y), Err(KeyError::SmallOrder));
            assert_eq!(PublicKey::from_bytes(negative), Err(KeyError::SmallOrder));
        }
        for first in 0xed..=0xff_u8 {
            let mut y = [0xff; 32];
            y[0] = first;
            assert_eq!(PublicKey::from_bytes(y), Err(KeyError::NotCanonical));
            y[31] = 0x7f;
            assert_eq!(PublicKey::from_bytes(y), Err(KeyError::NotCanonical));
        }
        assert!(PublicKey::from_bytes(*rfc_key().public().as_bytes()).is_ok());
    }

    #[test]
    fn debug_shows_no_private_byte() {
        assert_eq!(
            format!("{:?}", rfc_key()),
            format!("SigningKey(PublicKey({THUMB}))")
        );
    }
}
