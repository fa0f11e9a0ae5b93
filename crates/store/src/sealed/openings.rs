//! Openings: the text behind a commitment, under a key of its subject. Without the key it is gone, and every proof still holds.

use super::aead::{NONCE_BYTES, NotOurs, bind, decrypt, encrypt, mac};
use marque_detect::Secret;
use marque_journal::segment::Opening;

/// The key of one data subject's openings.
pub struct OpeningKey {
    pub(super) instance: [u8; 16],
    pub(super) subject: [u8; 16],
    pub(super) key: Secret,
}

impl OpeningKey {
    /// The subject's pseudonym.
    #[must_use]
    pub fn subject(&self) -> [u8; 16] {
        self.subject
    }

    /// Encrypts the opening of a field of record `seq`. `nonce` is fresh random bytes: a `seq` may be given twice when a batch was
    /// lost, and the key of the message is derived from all of them.
    ///
    /// # Errors
    /// When the text is longer than the cipher allows.
    pub fn seal(&self, seq: u64, field: u64, nonce: [u8; NONCE_BYTES], text: &[u8]) -> Result<Vec<u8>, NotOurs> {
        encrypt(&*self.message_key(seq, field, &nonce), nonce, &self.aad(seq, field), text)
    }

    /// The text of an opening.
    ///
    /// # Errors
    /// When it is of another subject, another place, or was changed.
    pub fn open(&self, opening: &Opening<'_>) -> Result<Secret, NotOurs> {
        if opening.subject != self.subject {
            return Err(NotOurs);
        }
        let key = self.message_key(opening.seq, opening.field, &opening.nonce);
        decrypt(&*key, opening.nonce, &self.aad(opening.seq, opening.field), opening.ciphertext)
    }

    fn message_key(&self, seq: u64, field: u64, nonce: &[u8; NONCE_BYTES]) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(mac(
            self.key.expose(),
            &[b"marque/opening/v1", &seq.to_be_bytes(), &field.to_be_bytes(), nonce],
        ))
    }

    fn aad(&self, seq: u64, field: u64) -> Vec<u8> {
        bind(&[b"marque/opening/v1", &self.instance, &self.subject, &seq.to_be_bytes(), &field.to_be_bytes()])
    }
}
