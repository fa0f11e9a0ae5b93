//! Key-encryption keys by term, under the root key: what the signer process holds.

use super::aead::{KEY_BYTES, NONCE_BYTES, bind, decrypt_with, encrypt_with};
use super::{KeyWrap, Random, SealedError, WrapError};
use crate::disk::{Disk, read_file, replace_file};
use crate::limits::{KEYRING_TERMS, SMALL_FILE_BYTES, WRAPS_PER_TERM};
use marque_detect::Secret;
use marque_journal::cbor::{CborError, Reader, Writer};
use std::collections::BTreeMap;

const VERSION: u64 = 1;

struct Term {
    key: Secret,
    wraps: u64,
}

/// Key-encryption keys. New data keys are wrapped under the newest term; older terms only unwrap.
pub struct Keyring {
    instance: [u8; 16],
    terms: BTreeMap<u64, Term>,
    random: Random,
}

impl Keyring {
    /// A keyring with one term.
    #[must_use]
    pub fn create(instance: [u8; 16], random: Random) -> Self {
        let mut keyring = Self { instance, terms: BTreeMap::new(), random };
        keyring.terms.insert(1, Term { key: new_key(&mut keyring.random), wraps: 0 });
        keyring
    }

    /// Begins a new term and gives its number. Rows are re-wrapped by [`super::SecretStore::rewrap`].
    ///
    /// # Errors
    /// [`SealedError::TooMany`].
    pub fn rotate(&mut self) -> Result<u64, SealedError> {
        if self.terms.len() >= KEYRING_TERMS {
            return Err(SealedError::TooMany("terms"));
        }
        let next = self.current().saturating_add(1);
        let key = new_key(&mut self.random);
        self.terms.insert(next, Term { key, wraps: 0 });
        Ok(next)
    }

    /// The newest term.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.terms.last_key_value().map_or(0, |(term, _)| *term)
    }

    /// Reads a keyring; `None` when there is no file.
    ///
    /// # Errors
    /// [`SealedError`], for another root key too.
    pub fn load(
        disk: &dyn Disk,
        path: &str,
        instance: [u8; 16],
        root: &Secret,
        random: Random,
    ) -> Result<Option<Self>, SealedError> {
        let bytes =
            read_file(disk, path, SMALL_FILE_BYTES).map_err(|source| SealedError::Io { path: path.to_owned(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let mut keyring = Self { instance, terms: BTreeMap::new(), random };
        for (term, wraps, wrapped) in parse(&bytes).map_err(|_| SealedError::Malformed(path.to_owned()))? {
            let key = decrypt_with(root.expose(), &keyring.aad(term), &wrapped)?;
            keyring.terms.insert(term, Term { key, wraps });
        }
        if keyring.terms.is_empty() { Err(SealedError::Malformed(path.to_owned())) } else { Ok(Some(keyring)) }
    }

    /// Writes the keyring, each key under the root key. Call it after [`Keyring::create`], [`Keyring::rotate`] and a change of
    /// the root key, before anything is wrapped.
    ///
    /// # Errors
    /// [`SealedError::Io`].
    pub fn save(&mut self, disk: &dyn Disk, path: &str, root: &Secret) -> Result<(), SealedError> {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.array(2).uint(VERSION).array(self.terms.len());
        for (number, term) in &self.terms {
            let mut nonce = [0; NONCE_BYTES];
            (self.random)(&mut nonce);
            let aad = aad(&self.instance, *number);
            let wrapped = encrypt_with(root.expose(), nonce, &aad, term.key.expose())?;
            w.array(3).uint(*number).uint(term.wraps).bytes(&wrapped);
        }
        replace_file(disk, path, &out).map_err(|source| SealedError::Io { path: path.to_owned(), source })
    }

    fn aad(&self, term: u64) -> Vec<u8> {
        aad(&self.instance, term)
    }
}

fn aad(instance: &[u8; 16], term: u64) -> Vec<u8> {
    bind(&[b"marque/keyring/v1", instance, &term.to_be_bytes()])
}

fn new_key(random: &mut Random) -> Secret {
    let mut key = vec![0; KEY_BYTES];
    random(&mut key);
    Secret::new(key)
}

fn parse(bytes: &[u8]) -> Result<Vec<(u64, u64, Vec<u8>)>, CborError> {
    let mut r = Reader::new(bytes);
    if r.array()? != 2 || r.uint()? != VERSION {
        return Err(CborError::Unexpected);
    }
    let mut terms = Vec::new();
    for _ in 0..r.array()? {
        if r.array()? != 3 || terms.len() >= KEYRING_TERMS {
            return Err(CborError::Range);
        }
        terms.push((r.uint()?, r.uint()?, r.bytes()?.to_vec()));
    }
    r.end()?;
    Ok(terms)
}

impl KeyWrap for Keyring {
    fn term(&mut self) -> Result<u64, WrapError> {
        Ok(self.current())
    }

    fn wrap(&mut self, term: u64, aad: &[u8], key: &Secret) -> Result<Vec<u8>, WrapError> {
        let mut nonce = [0; NONCE_BYTES];
        (self.random)(&mut nonce);
        let kek = self.terms.get_mut(&term).ok_or(WrapError::UnknownTerm(term))?;
        if kek.wraps >= WRAPS_PER_TERM {
            return Err(WrapError::TermUsedUp(term));
        }
        kek.wraps += 1;
        encrypt_with(kek.key.expose(), nonce, aad, key.expose()).map_err(|_| WrapError::NotOurs)
    }

    fn unwrap(&mut self, term: u64, aad: &[u8], wrapped: &[u8]) -> Result<Secret, WrapError> {
        let kek = self.terms.get(&term).ok_or(WrapError::UnknownTerm(term))?;
        decrypt_with(kek.key.expose(), aad, wrapped).map_err(|_| WrapError::NotOurs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_wraps_up_to_its_limit_and_no_further() {
        let mut keyring = Keyring::create([1; 16], Box::new(|bytes| bytes.fill(7)));
        let key = Secret::new(vec![5; KEY_BYTES]);
        keyring.terms.get_mut(&1).unwrap().wraps = WRAPS_PER_TERM - 1;
        assert!(keyring.wrap(1, b"", &key).is_ok());
        assert_eq!(keyring.wrap(1, b"", &key), Err(WrapError::TermUsedUp(1)));
        assert_eq!(keyring.rotate().unwrap(), 2);
        assert!(keyring.wrap(2, b"", &key).is_ok());
    }

    #[test]
    fn a_keyring_has_a_limit_of_terms() {
        let mut keyring = Keyring::create([1; 16], Box::new(|bytes| bytes.fill(7)));
        for _ in 1..KEYRING_TERMS {
            keyring.rotate().unwrap();
        }
        assert!(matches!(keyring.rotate(), Err(SealedError::TooMany("terms"))));
    }
}
