//! Sealed secrets: a third file beside the journal, never derived from it.
//!
//! ```text
//! seal ─► root key ─► keyring {term → key-encryption key} ─► data key of one row version, used once ─► AES-256-GCM
//! ```
//! The store sees data keys only, one at a time: wrapping and unwrapping is [`KeyWrap`], which the signer process implements
//! (with a [`Keyring`]). The journal holds the hash of every row, so that an older file is noticed.

pub(crate) mod aead;
mod keyring;
mod openings;
mod rows;

pub use aead::{KEY_BYTES, NotOurs};
pub use keyring::Keyring;
pub use openings::OpeningKey;

use crate::disk::{Disk, read_file, replace_file};
use crate::limits::{ROW_ID_BYTES, SECRET_BYTES, SECRET_ROWS, SECRETS_FILE_BYTES, WRAPPED_KEY_BYTES};
use aead::{ONCE, decrypt, encrypt};
use marque_detect::Secret;
use marque_journal::merkle::Hash;
use rows::{Place, Row, Table};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Fills a buffer with random bytes fit for keys.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

/// Wraps and unwraps data keys. Implemented where the root key is, which is not here.
pub trait KeyWrap {
    /// Term under which new keys are wrapped.
    ///
    /// # Errors
    /// [`WrapError`].
    fn term(&mut self) -> Result<u64, WrapError>;
    /// Wraps a data key, bound to `aad`.
    ///
    /// # Errors
    /// [`WrapError`].
    fn wrap(&mut self, term: u64, aad: &[u8], key: &Secret) -> Result<Vec<u8>, WrapError>;
    /// Unwraps a data key.
    ///
    /// # Errors
    /// [`WrapError`], also when `aad` is not the one it was wrapped with.
    fn unwrap(&mut self, term: u64, aad: &[u8], wrapped: &[u8]) -> Result<Secret, WrapError>;
}

/// Why a key is not wrapped or unwrapped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrapError {
    /// Another key, another place, or changed.
    #[error("the data key cannot be unwrapped here")]
    NotOurs,
    /// The keyring has no such term.
    #[error("term {0} is not in the keyring")]
    UnknownTerm(u64),
    /// The term wrapped as many keys as it may; begin a new one.
    #[error("term {0} has wrapped as many keys as it may")]
    TermUsedUp(u64),
    /// The root key is sealed or its process away.
    #[error("the keys are not available: {0}")]
    Unavailable(String),
}

/// Why a secret is not stored or given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealedError {
    /// The file is not one of ours.
    #[error("`{0}` is damaged")]
    Malformed(String),
    /// The file belongs to another instance.
    #[error("`{0}` belongs to another instance")]
    OtherInstance(String),
    /// No such row.
    #[error("there is no secret `{id}` version {version}")]
    NotFound {
        /// Its id.
        id: String,
        /// Its version.
        version: u32,
    },
    /// A version is written once.
    #[error("`{id}` version {version} is already stored")]
    Exists {
        /// Its id.
        id: String,
        /// Its version.
        version: u32,
    },
    /// The row is not the one that the journal recorded: an older or foreign file.
    #[error("`{id}` version {version} is not the row that the journal recorded")]
    Stale {
        /// Its id.
        id: String,
        /// Its version.
        version: u32,
    },
    /// A bound is reached.
    #[error("`{0}` is at its limit")]
    TooMany(&'static str),
    /// It cannot be decrypted.
    #[error(transparent)]
    NotOurs(#[from] NotOurs),
    /// The key is not to be had.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// The secrets file: every change replaces it in one step.
pub struct SecretStore {
    disk: Arc<dyn Disk>,
    path: String,
    instance: [u8; 16],
    rows: BTreeMap<Place, Row>,
    random: Random,
}

impl SecretStore {
    /// Opens the file at `path`; it may be missing.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn open(disk: Arc<dyn Disk>, path: &str, instance: [u8; 16], random: Random) -> Result<Self, SealedError> {
        let bytes = read_file(disk.as_ref(), path, SECRETS_FILE_BYTES as u64)
            .map_err(|source| SealedError::Io { path: path.to_owned(), source })?;
        let rows = match bytes {
            None => BTreeMap::new(),
            Some(bytes) => {
                let (of, rows) = rows::decode(&bytes).map_err(|_| SealedError::Malformed(path.to_owned()))?;
                if of != instance {
                    return Err(SealedError::OtherInstance(path.to_owned()));
                }
                rows
            }
        };
        Ok(Self { disk, path: path.to_owned(), instance, rows, random })
    }

    /// Seals a version of a credential, durable when this returns; its row hash belongs into the journal.
    ///
    /// # Errors
    /// [`SealedError`]; the file is then as it was.
    pub fn put(&mut self, wrap: &mut dyn KeyWrap, id: &str, version: u32, secret: &Secret) -> Result<Hash, SealedError> {
        self.insert(wrap, credential(id, version), secret)
    }

    /// Unseals a version of a credential, if it is the row the journal recorded.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn get(&self, wrap: &mut dyn KeyWrap, id: &str, version: u32, recorded: &Hash) -> Result<Secret, SealedError> {
        let place = credential(id, version);
        if self.hash_of(&place)? != *recorded {
            return Err(SealedError::Stale { id: id.to_owned(), version });
        }
        self.unseal(wrap, &place)
    }

    /// Row hash of a version.
    ///
    /// # Errors
    /// [`SealedError::NotFound`].
    pub fn row_hash(&self, id: &str, version: u32) -> Result<Hash, SealedError> {
        self.hash_of(&credential(id, version))
    }

    /// Compares the file with what the journal recorded: every (id, version, row hash) must be there as it was. An older file
    /// fails here, at start, before a rotated secret is used again.
    ///
    /// # Errors
    /// [`SealedError::NotFound`] or [`SealedError::Stale`] for the first that is not.
    pub fn check<'a>(&self, recorded: impl IntoIterator<Item = (&'a str, u32, Hash)>) -> Result<(), SealedError> {
        for (id, version, hash) in recorded {
            if self.row_hash(id, version)? != hash {
                return Err(SealedError::Stale { id: id.to_owned(), version });
            }
        }
        Ok(())
    }

    /// Removes a version; whether there was one.
    ///
    /// # Errors
    /// [`SealedError::Io`].
    pub fn remove(&mut self, id: &str, version: u32) -> Result<bool, SealedError> {
        self.delete(&credential(id, version))
    }

    /// Ids and versions of credentials.
    pub fn list(&self) -> impl Iterator<Item = (String, u32)> + '_ {
        let credentials = self.rows.keys().filter(|place| place.table == Table::Credential);
        credentials.map(|place| (shown(&place.id), place.version))
    }

    /// Wraps every data key under the current term again; gives how many were not. Row hashes stay as they are.
    ///
    /// # Errors
    /// [`SealedError`]; the file is then as it was.
    pub fn rewrap(&mut self, wrap: &mut dyn KeyWrap) -> Result<usize, SealedError> {
        let term = wrap.term()?;
        let mut rows = self.rows.clone();
        let mut changed = 0;
        for (place, row) in rows.iter_mut().filter(|(_, row)| row.term != term) {
            let key = wrap.unwrap(row.term, &place.wrap_aad(&self.instance, row.term), &row.wrapped)?;
            row.wrapped = wrapped(wrap, term, &place.wrap_aad(&self.instance, term), &key)?;
            row.term = term;
            changed += 1;
        }
        if changed > 0 {
            self.save(rows)?;
        }
        Ok(changed)
    }

    /// Makes the key of a subject's openings, unless there is one; whether it was made.
    ///
    /// # Errors
    /// [`SealedError`].
    pub fn make_opening_key(&mut self, wrap: &mut dyn KeyWrap, subject: [u8; 16]) -> Result<bool, SealedError> {
        if self.has_subject(subject) {
            return Ok(false);
        }
        let key = self.new_key();
        self.insert(wrap, subject_row(subject), &key)?;
        Ok(true)
    }

    /// The key of a subject's openings. None is made: whoever looks for the text of an erased subject finds nothing, and leaves
    /// nothing behind.
    ///
    /// # Errors
    /// [`SealedError`]; [`SealedError::NotFound`] where there is none.
    pub fn opening_key(&self, wrap: &mut dyn KeyWrap, subject: [u8; 16]) -> Result<OpeningKey, SealedError> {
        Ok(OpeningKey { instance: self.instance, subject, key: self.unseal(wrap, &subject_row(subject))? })
    }

    /// Whether there is a key of that subject's openings.
    #[must_use]
    pub fn has_subject(&self, subject: [u8; 16]) -> bool {
        self.rows.contains_key(&subject_row(subject))
    }

    /// Destroys the key of a subject's openings, and every version of these rows, in one step; whether there was any of it. The
    /// file is written anew without them. Copies of it (backups), and blocks that the file system gave back, still have them.
    ///
    /// # Errors
    /// [`SealedError::Io`]; the file is then as it was.
    pub fn erase_subject(&mut self, subject: [u8; 16], ids: &[String]) -> Result<bool, SealedError> {
        let key = subject_row(subject);
        let of_them = |place: &Place| place.table == Table::Credential && ids.iter().any(|id| id.as_bytes() == place.id);
        let mut rows = self.rows.clone();
        rows.retain(|place, _| *place != key && !of_them(place));
        if rows.len() == self.rows.len() {
            return Ok(false);
        }
        self.save(rows)?;
        Ok(true)
    }

    fn insert(&mut self, wrap: &mut dyn KeyWrap, place: Place, secret: &Secret) -> Result<Hash, SealedError> {
        if self.rows.contains_key(&place) {
            return Err(SealedError::Exists { id: shown(&place.id), version: place.version });
        }
        let bounds = [
            ("secrets", self.rows.len() < SECRET_ROWS),
            ("secret length", secret.len() <= SECRET_BYTES),
            ("id length", place.id.len() <= ROW_ID_BYTES),
        ];
        if let Some((what, _)) = bounds.into_iter().find(|(_, holds)| !holds) {
            return Err(SealedError::TooMany(what));
        }
        let term = wrap.term()?;
        let key = self.new_key();
        let row = Row {
            term,
            wrapped: wrapped(wrap, term, &place.wrap_aad(&self.instance, term), &key)?,
            sealed: encrypt(key.expose(), ONCE, &place.aad(&self.instance), secret.expose())?,
        };
        let hash = place.row_hash(&self.instance, &row);
        let mut rows = self.rows.clone();
        rows.insert(place, row);
        self.save(rows)?;
        Ok(hash)
    }

    fn unseal(&self, wrap: &mut dyn KeyWrap, place: &Place) -> Result<Secret, SealedError> {
        let row = self.row(place)?;
        let key = wrap.unwrap(row.term, &place.wrap_aad(&self.instance, row.term), &row.wrapped)?;
        Ok(decrypt(key.expose(), ONCE, &place.aad(&self.instance), &row.sealed)?)
    }

    fn delete(&mut self, place: &Place) -> Result<bool, SealedError> {
        let mut rows = self.rows.clone();
        if rows.remove(place).is_none() {
            return Ok(false);
        }
        self.save(rows)?;
        Ok(true)
    }

    fn row(&self, place: &Place) -> Result<&Row, SealedError> {
        self.rows.get(place).ok_or_else(|| SealedError::NotFound { id: shown(&place.id), version: place.version })
    }

    fn hash_of(&self, place: &Place) -> Result<Hash, SealedError> {
        Ok(place.row_hash(&self.instance, self.row(place)?))
    }

    fn save(&mut self, rows: BTreeMap<Place, Row>) -> Result<(), SealedError> {
        replace_file(self.disk.as_ref(), &self.path, &rows::encode(&self.instance, &rows))
            .map_err(|source| SealedError::Io { path: self.path.clone(), source })?;
        self.rows = rows;
        Ok(())
    }

    fn new_key(&mut self) -> Secret {
        let mut key = vec![0; KEY_BYTES];
        (self.random)(&mut key);
        Secret::new(key)
    }
}

fn subject_row(subject: [u8; 16]) -> Place {
    Place { table: Table::Subject, id: subject.to_vec(), version: 1 }
}

fn credential(id: &str, version: u32) -> Place {
    Place { table: Table::Credential, id: id.as_bytes().to_vec(), version }
}

fn wrapped(wrap: &mut dyn KeyWrap, term: u64, aad: &[u8], key: &Secret) -> Result<Vec<u8>, SealedError> {
    let wrapped = wrap.wrap(term, aad, key)?;
    if wrapped.len() > WRAPPED_KEY_BYTES { Err(SealedError::TooMany("wrapped key length")) } else { Ok(wrapped) }
}

/// An id for an error text. Those of subjects are bytes.
fn shown(id: &[u8]) -> String {
    String::from_utf8_lossy(id).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::sim::SimDisk;

    #[test]
    fn the_file_holds_so_many_rows_and_no_more() {
        let disk = Arc::new(SimDisk::new(1));
        let mut keys = Keyring::create([1; 16], Box::new(|bytes| bytes.fill(7)));
        let mut store = SecretStore::open(disk.clone(), "secrets.db", [1; 16], Box::new(|bytes| bytes.fill(3))).unwrap();
        let row = Row { term: 1, wrapped: vec![1], sealed: vec![2] };
        store.rows = (1..SECRET_ROWS as u32).map(|version| (credential("filler", version), row.clone())).collect();
        let secret = Secret::new(b"x".to_vec());
        let hash = store.put(&mut keys, "last", 1, &secret).unwrap();
        assert!(matches!(store.put(&mut keys, "over", 1, &secret), Err(SealedError::TooMany("secrets"))));
        let again = SecretStore::open(disk.clone(), "secrets.db", [1; 16], Box::new(|bytes| bytes.fill(3))).unwrap();
        assert!(again.get(&mut keys, "last", 1, &hash).unwrap().eq_bytes(b"x"));
        let mut rows = again.rows.clone();
        rows.insert(credential("over", 1), row);
        crate::disk::replace_file(disk.as_ref(), "secrets.db", &rows::encode(&[1; 16], &rows)).unwrap();
        let over = SecretStore::open(disk, "secrets.db", [1; 16], Box::new(|bytes| bytes.fill(3)));
        assert!(matches!(over, Err(SealedError::Malformed(_))));
    }
}
