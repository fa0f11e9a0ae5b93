//! C2SP tlog-cosignature, Ed25519 form: a witness says when it saw a checkpoint.

use crate::note::{NoteError, SignatureLine, SignatureType, Signer, VerifierKey, verify_ed25519};

/// Latest timestamp the format allows, seconds.
const MAX_TIME_S: u64 = (1 << 63) - 1;

/// Cosigns the text of a checkpoint at `now_s` (seconds since 1970). One key serves one witness role: this form does not bind
/// the witness's name.
///
/// # Errors
/// What the signer says, or [`NoteError::Malformed`] for a time past 2^63.
pub fn cosign(text: &str, now_s: u64, signer: &dyn Signer) -> Result<SignatureLine, NoteError> {
    if now_s > MAX_TIME_S {
        return Err(NoteError::Malformed);
    }
    let key = VerifierKey::new(signer.name(), SignatureType::CosignatureV1, signer.public_key())?;
    let signature = signer.sign(&message(now_s, text.as_bytes()))?;
    let timestamped = [&now_s.to_be_bytes()[..], &signature].concat();
    Ok(SignatureLine { name: signer.name().to_owned(), key_id: key.key_id(), signature: timestamped })
}

/// Checks a cosignature over a checkpoint's text and gives its time in seconds.
///
/// # Errors
/// [`NoteError::BadSignature`].
pub fn verify(public_key: &[u8; 32], text: &[u8], timestamped: &[u8]) -> Result<u64, NoteError> {
    let (time, signature) = timestamped.split_first_chunk::<8>().ok_or(NoteError::BadSignature)?;
    let time_s = u64::from_be_bytes(*time);
    if time_s > MAX_TIME_S {
        return Err(NoteError::BadSignature);
    }
    verify_ed25519(public_key, &message(time_s, text), signature)?;
    Ok(time_s)
}

fn message(time_s: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time_s}\n").as_bytes(), text].concat()
}
