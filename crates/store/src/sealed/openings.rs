//! Openings: the text behind a commitment, under a key of its subject. Without the key it is gone, and every proof still holds.
//! The same key is for what is kept of him beside the journal, and for names that nobody else can tell.

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

    /// Encrypts a text that is kept beside the journal under `name`. `nonce` is fresh random bytes.
    ///
    /// # Errors
    /// When the text is longer than the cipher allows.
    pub fn seal_kept(&self, name: &[u8], nonce: [u8; NONCE_BYTES], text: &[u8]) -> Result<Vec<u8>, NotOurs> {
        let sealed = encrypt(&*self.kept_key(name, &nonce), nonce, &self.kept_aad(name), text)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What [`Self::seal_kept`] was given.
    ///
    /// # Errors
    /// When it is of another subject, another name, or was changed.
    pub fn open_kept(&self, name: &[u8], kept: &[u8]) -> Result<Secret, NotOurs> {
        let (nonce, sealed) = kept.split_first_chunk::<NONCE_BYTES>().ok_or(NotOurs)?;
        decrypt(&*self.kept_key(name, nonce), *nonce, &self.kept_aad(name), sealed)
    }

    /// What `text` is called where it must not be recognised: always the same, and without the key nobody can tell of which
    /// text it is, nor try.
    #[must_use]
    pub fn name_of(&self, text: &[u8]) -> [u8; 32] {
        mac(self.key.expose(), &[b"marque/name/v1", text])
    }

    fn kept_key(&self, name: &[u8], nonce: &[u8; NONCE_BYTES]) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(mac(self.key.expose(), &[b"marque/kept/v1", nonce, name]))
    }

    fn kept_aad(&self, name: &[u8]) -> Vec<u8> {
        bind(&[b"marque/kept/v1", &self.instance, &self.subject, name])
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
