//! AES-256-GCM with a key commitment.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use marque_detect::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of every key.
pub const KEY_BYTES: usize = 32;
/// Length of a commitment to a key.
pub(crate) const COMMITMENT_BYTES: usize = 32;
/// Length of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// The nonce of a key that encrypts one message in its life.
pub(crate) const ONCE: [u8; NONCE_BYTES] = [0; NONCE_BYTES];

/// The ciphertext does not belong to this key and place, or was changed. Nothing more is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it cannot be decrypted here: another key, another place, or changed")]
pub struct NotOurs;

/// HMAC-SHA-256.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

/// GCM alone does not say which key a message is for: two keys can be found that both open it. This value does.
fn commitment(key: &[u8]) -> [u8; COMMITMENT_BYTES] {
    mac(key, &[b"marque/commit/v1"])
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, NotOurs> {
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(|_| NotOurs)?))
}

/// Commitment, then ciphertext and tag.
pub(crate) fn encrypt(key: &[u8], nonce: [u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, NotOurs> {
    // One buffer of the final size: growing it would leave pieces of the plaintext behind.
    let mut buffer = Vec::with_capacity(plaintext.len() + AES_256_GCM.tag_len());
    buffer.extend_from_slice(plaintext);
    let sealed = cipher(key)?.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer);
    sealed.map_err(|_| NotOurs)?;
    Ok([&commitment(key)[..], &buffer].concat())
}

/// What [`encrypt`] was given.
pub(crate) fn decrypt(key: &[u8], nonce: [u8; NONCE_BYTES], aad: &[u8], sealed: &[u8]) -> Result<Secret, NotOurs> {
    let (committed, ciphertext) = sealed.split_first_chunk::<COMMITMENT_BYTES>().ok_or(NotOurs)?;
    verify_slices_are_equal(&commitment(key), committed).map_err(|_| NotOurs)?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let plaintext =
        cipher(key)?.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut buffer).map_err(|_| NotOurs)?;
    Ok(Secret::new(plaintext.to_vec()))
}

/// Encrypts under a key that encrypts many messages: nonce, commitment, ciphertext and tag.
pub(crate) fn encrypt_with(key: &[u8], nonce: [u8; NONCE_BYTES], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, NotOurs> {
    Ok([&nonce[..], &encrypt(key, nonce, aad, plaintext)?].concat())
}

/// What [`encrypt_with`] was given.
pub(crate) fn decrypt_with(key: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Secret, NotOurs> {
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(NotOurs)?;
    decrypt(key, *nonce, aad, rest)
}

/// Fields, each after its length, so that no two lists of fields read the same.
pub(crate) fn bind(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        out.extend_from_slice(&(field.len() as u64).to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}
