//! Everything that the signer signs or wraps with, derived from one sealed root key (RFC 5869).

use crate::Error;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use marque_chain::SigningKey;
use marque_detect::Secret;
use marque_journal::note::{Ed25519Signer, SignatureType};

/// Name of the log in checkpoints; the instance's id follows it.
pub const LOG_NAME_PREFIX: &str = "marque.local/log/";

/// The keys, while the seal is open.
pub struct RootKeys {
    pub(crate) link: SigningKey,
    pub(crate) checkpoint: Ed25519Signer,
    pub(crate) log_name: String,
    snapshot: hmac::Key,
}

struct Len32;
impl KeyType for Len32 {
    fn len(&self) -> usize {
        32
    }
}

fn derive(root: &Secret, info: &[u8]) -> Result<Secret, Error> {
    let bad = |_| Error::Signer("a key could not be derived".into());
    let mut out = vec![0u8; 32];
    let prk = Salt::new(HKDF_SHA256, b"marque/root/v1").extract(root.expose());
    prk.expand(&[info], Len32).and_then(|okm| okm.fill(&mut out)).map_err(bad)?;
    Ok(Secret::new(out))
}

impl RootKeys {
    /// Derives all keys from the root.
    ///
    /// # Errors
    /// Never for 32 random bytes; the libraries' constructors are fallible.
    pub fn derive(root: &Secret, instance: &str) -> Result<Self, Error> {
        let seed = |info: &[u8]| -> Result<[u8; 32], Error> {
            let secret = derive(root, info)?;
            secret.expose().try_into().map_err(|_| Error::Signer("a key has another length".into()))
        };
        let wrong = |what: &str| Error::Signer(format!("the {what} key is not usable"));
        let link = SigningKey::from_seed(&seed(b"link")?).map_err(|_| wrong("link"))?;
        let log_name = format!("{LOG_NAME_PREFIX}{instance}");
        let checkpoint = Ed25519Signer::from_seed(&log_name, &seed(b"checkpoint")?).map_err(|_| wrong("checkpoint"))?;
        let snapshot = hmac::Key::new(hmac::HMAC_SHA256, derive(root, b"snapshot")?.expose());
        Ok(Self { link, checkpoint, log_name, snapshot })
    }

    /// The tag over a snapshot's hash.
    pub(crate) fn vouch(&self, snapshot: &[u8; 32]) -> [u8; 32] {
        let tag = hmac::sign(&self.snapshot, snapshot);
        // HMAC-SHA-256 has 32 bytes.
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }

    /// The verifier key of the log, in note form.
    ///
    /// # Errors
    /// As [`RootKeys::derive`].
    pub fn vkey(&self) -> Result<String, Error> {
        let key = self.checkpoint.verifier(SignatureType::Ed25519).map_err(|e| Error::Signer(e.to_string()))?;
        Ok(key.to_string())
    }
}

/// Lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
