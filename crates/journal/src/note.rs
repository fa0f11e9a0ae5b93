//! C2SP signed-note: a text and signature lines under it.

use crate::limits::{MAX_NAME_BYTES, MAX_NOTE_BYTES, MAX_NOTE_SIGNATURES};
use crate::merkle::sha256;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use thiserror::Error;

/// What precedes a signature line: an em dash and a space.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// Signature types of C2SP signed-note that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SignatureType {
    /// Ed25519 over the note text.
    Ed25519 = 0x01,
    /// Timestamped Ed25519 cosignature of a checkpoint (C2SP tlog-cosignature).
    CosignatureV1 = 0x04,
}

/// Why a note or key is not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoteError {
    /// Not a signed note.
    #[error("not a signed note")]
    Malformed,
    /// Longer than the limit, or with more signatures.
    #[error("the note is too long or has too many signatures")]
    TooLong,
    /// The name is empty, too long, or has a space or a plus sign in it.
    #[error("the key name is empty, too long, or contains a space, a control character or `+`")]
    Name,
    /// Not a verifier key of a supported type.
    #[error("not a verifier key of a supported type")]
    Key,
    /// A signature under a known key's name and id does not verify.
    #[error("a signature by a known key does not verify")]
    BadSignature,
    /// No known key signed.
    #[error("no known key signed the note")]
    Unsigned,
    /// The signing key failed or refused.
    #[error("the signing key did not sign")]
    Signer,
}

/// One signature line, not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// Name of the key.
    pub name: String,
    /// First four bytes of the key's hash.
    pub key_id: [u8; 4],
    /// The rest: the signature proper, with a timestamp before it in a cosignature.
    pub signature: Vec<u8>,
}

impl SignatureLine {
    /// The line, with its newline.
    #[must_use]
    pub fn to_line(&self) -> String {
        let bytes = [&self.key_id[..], &self.signature].concat();
        format!("{SIGNATURE_PREFIX}{} {}\n", self.name, BASE64.encode(bytes))
    }

    /// Parses one line without its newline.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::Name`].
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let (name, encoded) =
            line.strip_prefix(SIGNATURE_PREFIX).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
        check_name(name)?;
        let bytes = BASE64.decode(encoded).map_err(|_| NoteError::Malformed)?;
        let (key_id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        Ok(Self { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
    }
}

/// A parsed note. Nothing in it is trusted before [`Note::verified_by`] says who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

impl Note {
    /// Parses a signed note.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::Name`] or [`NoteError::TooLong`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        if note.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed);
        }
        // The text ends at the last empty line and keeps its own newline.
        let (text, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Malformed)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_NOTE_SIGNATURES {
                return Err(NoteError::TooLong);
            }
            signatures.push(SignatureLine::parse(line)?);
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// A note with no signature yet. `text` ends with a newline.
    ///
    /// # Errors
    /// [`NoteError::Malformed`] when it does not, or contains a control character.
    pub fn unsigned(text: String) -> Result<Self, NoteError> {
        if !text.ends_with('\n') || text.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// The text, with its final newline. Untrusted until verified.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// Adds a signature line.
    pub fn push(&mut self, line: SignatureLine) {
        self.signatures.push(line);
    }

    /// Which of `keys` signed, by index. Signatures of unknown keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] when a signature carries a known key's name and id but does not verify,
    /// [`NoteError::Unsigned`] when no known key signed.
    pub fn verified_by(&self, keys: &[VerifierKey]) -> Result<Vec<usize>, NoteError> {
        let mut signed = Vec::new();
        for line in &self.signatures {
            for (index, key) in keys.iter().enumerate() {
                if key.name != line.name || key.key_id() != line.key_id {
                    continue;
                }
                key.verify(self.text.as_bytes(), &line.signature)?;
                if !signed.contains(&index) {
                    signed.push(index);
                }
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.text, self.signatures.iter().map(SignatureLine::to_line).collect::<String>())
    }
}

/// A public key with the name and type it signs under: a C2SP *vkey*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    kind: SignatureType,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// A key of this name and type.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str, kind: SignatureType, public_key: [u8; 32]) -> Result<Self, NoteError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), kind, public_key })
    }

    /// Parses `<name>+<hex key id>+<base64(type || key)>`.
    ///
    /// # Errors
    /// [`NoteError::Key`] or [`NoteError::Name`].
    pub fn parse(vkey: &str) -> Result<Self, NoteError> {
        let mut parts = vkey.splitn(3, '+');
        let (Some(name), Some(_), Some(material)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let material = BASE64.decode(material).map_err(|_| NoteError::Key)?;
        let (kind, public_key) = material.split_first().ok_or(NoteError::Key)?;
        let kind = match kind {
            0x01 => SignatureType::Ed25519,
            0x04 => SignatureType::CosignatureV1,
            _ => return Err(NoteError::Key),
        };
        let key = Self::new(name, kind, public_key.try_into().map_err(|_| NoteError::Key)?)?;
        if key.to_string() == vkey { Ok(key) } else { Err(NoteError::Key) }
    }

    /// Name it signs under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type of signature it makes.
    #[must_use]
    pub fn kind(&self) -> SignatureType {
        self.kind
    }

    /// The raw Ed25519 public key.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// First four bytes of SHA-256(name || newline || type || key).
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = sha256(&[self.name.as_bytes(), b"\n", &[self.kind as u8], &self.public_key].concat());
        [a, b, c, d]
    }

    /// Checks a signature (with its timestamp, for a cosignature) over a note's text.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`].
    pub fn verify(&self, text: &[u8], signature: &[u8]) -> Result<(), NoteError> {
        match self.kind {
            SignatureType::Ed25519 => verify_ed25519(&self.public_key, text, signature),
            SignatureType::CosignatureV1 => crate::cosign::verify(&self.public_key, text, signature).map(|_| ()),
        }
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id: String = self.key_id().iter().map(|b| format!("{b:02x}")).collect();
        let material = [&[self.kind as u8][..], &self.public_key].concat();
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(material))
    }
}

/// Something that makes Ed25519 signatures: a key in memory, or a process that guards one.
pub trait Signer {
    /// Name it signs under.
    fn name(&self) -> &str;
    /// The raw public key.
    fn public_key(&self) -> [u8; 32];
    /// An Ed25519 signature over `message` (RFC 8032).
    ///
    /// # Errors
    /// [`NoteError::Signer`] when it refuses or fails.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NoteError>;
}

/// A [`Signer`] that holds its key. It has no `Debug` and does not give the key back.
pub struct Ed25519Signer {
    name: String,
    pair: Ed25519KeyPair,
}

impl Ed25519Signer {
    /// From a 32-byte seed.
    ///
    /// # Errors
    /// [`NoteError::Name`], or [`NoteError::Key`] for a seed of another length.
    pub fn from_seed(name: &str, seed: &[u8]) -> Result<Self, NoteError> {
        check_name(name)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::Key)?;
        Ok(Self { name: name.to_owned(), pair })
    }

    /// The verifier key for signatures of this type.
    ///
    /// # Errors
    /// [`NoteError::Key`].
    pub fn verifier(&self, kind: SignatureType) -> Result<VerifierKey, NoteError> {
        VerifierKey::new(&self.name, kind, self.public_key())
    }
}

impl Signer for Ed25519Signer {
    fn name(&self) -> &str {
        &self.name
    }

    fn public_key(&self) -> [u8; 32] {
        // Ed25519 public keys are 32 bytes; a zero key verifies nothing.
        self.pair.public_key().as_ref().try_into().unwrap_or([0; 32])
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], NoteError> {
        self.pair.sign(message).as_ref().try_into().map_err(|_| NoteError::Signer)
    }
}

/// Signs a note's text with type [`SignatureType::Ed25519`].
///
/// # Errors
/// What the signer says, or [`NoteError::Name`].
pub fn sign(text: &str, signer: &dyn Signer) -> Result<SignatureLine, NoteError> {
    let key = VerifierKey::new(signer.name(), SignatureType::Ed25519, signer.public_key())?;
    let signature = signer.sign(text.as_bytes())?.to_vec();
    Ok(SignatureLine { name: key.name.clone(), key_id: key.key_id(), signature })
}

pub(crate) fn verify_ed25519(public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), NoteError> {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).map_err(|_| NoteError::BadSignature)
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(bad) { Err(NoteError::Name) } else { Ok(()) }
}
