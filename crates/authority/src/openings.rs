//! Sealed values and erasable text: everything that the secrets file holds, behind the signer.

use crate::authority::Authority;
use crate::machine::{Entry, OpenText};
use crate::signer::{RemoteWrap, SignerClient};
use crate::{Error, random};
use marque_detect::Secret;
use marque_model::event::{Draft, field};
use marque_model::{CredentialId, SubjectId};
use marque_store::disk::RealDisk;
use marque_store::sealed::{OpeningKey, SealedError, SecretStore};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// Name of the secrets file in the data directory.
const FILE: &str = "secrets.db";
/// Bytes of salt before the text of an opening.
pub(crate) const SALT_BYTES: usize = 32;
/// Bytes of an encryption's nonce.
const NONCE_BYTES: usize = 12;

/// The secrets file and the keys of erasable text that were used.
pub(crate) struct Vault {
    store: SecretStore,
    wrap: RemoteWrap,
    subjects: HashMap<[u8; 16], Arc<OpeningKey>>,
}

fn failed(error: SealedError) -> Error {
    Error::Secrets(error.to_string())
}

impl Vault {
    pub(crate) fn open(dir: &Path, signer: Arc<SignerClient>, instance: [u8; 16]) -> Result<Self, Error> {
        let disk = RealDisk::open(dir).map_err(|source| Error::Io { path: dir.display().to_string(), source })?;
        let fill: marque_store::sealed::Random = Box::new(|out| {
            // Without randomness no key may be made; a process that cannot have any ends.
            if random::fill(out).is_err() {
                std::process::abort();
            }
        });
        let store = SecretStore::open(Arc::new(disk), FILE, instance, fill).map_err(failed)?;
        Ok(Self { store, wrap: RemoteWrap(signer), subjects: HashMap::new() })
    }

    pub(crate) fn row_hash(&self, id: &str, version: u32) -> Option<[u8; 32]> {
        self.store.row_hash(id, version).ok()
    }

    fn subject(&mut self, subject: [u8; 16]) -> Result<Arc<OpeningKey>, Error> {
        if let Some(key) = self.subjects.get(&subject) {
            return Ok(key.clone());
        }
        let key = Arc::new(self.store.opening_key(&mut self.wrap, subject).map_err(failed)?);
        self.subjects.insert(subject, key.clone());
        Ok(key)
    }
}

impl Authority {
    /// Seals a value; durable when this returns. Blocking work is kept off the tasks' threads.
    pub(crate) async fn vault_put(self: &Arc<Self>, id: String, version: u32, value: Secret) -> Result<[u8; 32], Error> {
        let this = self.clone();
        let work = move || {
            let vault = &mut *this.secrets.lock();
            // A version that was sealed for an addition that did not become durable is not the journal's.
            vault.store.remove(&id, version).map_err(failed)?;
            marque_switch::fail_point("credential.version-cleared");
            vault.store.put(&mut vault.wrap, &id, version, &value).map_err(failed)
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Secrets(e.to_string()))?
    }

    /// Opens the value of that credential, if it is the row that the journal recorded.
    pub(crate) async fn vault_get(&self, key: (CredentialId, u32)) -> Result<Secret, Error> {
        let (id, version) = key;
        let recorded = self.state.read().credentials.get(&id).filter(|c| c.version == version).map(|c| c.row);
        let recorded = recorded.ok_or_else(|| Error::Secrets("the credential was replaced".into()))?;
        let secrets = self.secrets.clone();
        let work = move || {
            let vault = &mut *secrets.lock();
            vault.store.get(&mut vault.wrap, &format!("credential/{id}"), version, &recorded).map_err(failed)
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Secrets(e.to_string()))?
    }

    /// The pseudonym of an operating system user, made at his first act. Name and pseudonym are in the secrets file, so
    /// that forgetting the row forgets the name.
    pub(crate) async fn subject_of(self: &Arc<Self>, uid: u32) -> Result<SubjectId, Error> {
        let this = self.clone();
        let work = move || {
            let vault = &mut *this.secrets.lock();
            let id = format!("human/uid/{uid}");
            let subject = match vault.store.row_hash(&id, 1) {
                Ok(hash) => vault.store.get(&mut vault.wrap, &id, 1, &hash).map_err(failed)?,
                Err(_) => {
                    let fresh = Secret::new(random::bytes::<16>()?.to_vec());
                    vault.store.put(&mut vault.wrap, &id, 1, &fresh).map_err(failed)?;
                    fresh
                }
            };
            let bytes = <[u8; 16]>::try_from(subject.expose()).map_err(|_| Error::Secrets("a pseudonym is damaged".into()))?;
            vault.subject(bytes)?;
            Ok(SubjectId::from_bytes(bytes))
        };
        tokio::task::spawn_blocking(work).await.map_err(|e| Error::Secrets(e.to_string()))?
    }

    /// The same draft, with text that is committed to and can be erased.
    pub(crate) fn with_opening(&self, draft: Draft, subject: SubjectId, id: u64, text: &str) -> Entry {
        self.add_opening(draft.into(), subject, id, text)
    }

    pub(crate) fn with_salted_opening(
        &self,
        draft: Draft,
        subject: SubjectId,
        id: u64,
        text: &str,
        salt: [u8; SALT_BYTES],
    ) -> Entry {
        self.add_salted(draft.into(), subject, id, text, salt)
    }

    pub(crate) fn add_opening(&self, entry: Entry, subject: SubjectId, id: u64, text: &str) -> Entry {
        // Both at once: each call to the kernel costs as much as the encryption.
        match random::bytes::<{ SALT_BYTES + NONCE_BYTES }>().as_ref().map(|both| both.split_first_chunk::<SALT_BYTES>()) {
            Ok(Some((salt, nonce))) => match nonce.first_chunk() {
                Some(nonce) => self.add_with(entry, subject, id, text, *salt, *nonce),
                None => entry,
            },
            // Without a salt there is no commitment: the record stands without the text.
            _ => entry,
        }
    }

    fn add_salted(&self, entry: Entry, subject: SubjectId, id: u64, text: &str, salt: [u8; SALT_BYTES]) -> Entry {
        let Ok(nonce) = random::bytes() else { return entry };
        self.add_with(entry, subject, id, text, salt, nonce)
    }

    fn add_with(
        &self,
        mut entry: Entry,
        subject: SubjectId,
        id: u64,
        text: &str,
        salt: [u8; SALT_BYTES],
        nonce: [u8; NONCE_BYTES],
    ) -> Entry {
        let key = self.subject_keys.read().get(subject.as_bytes()).cloned();
        let key = match key {
            Some(key) => key,
            None => match self.secrets.lock().subject(*subject.as_bytes()) {
                Ok(key) => {
                    self.subject_keys.write().insert(*subject.as_bytes(), key.clone());
                    key
                }
                Err(_) => return entry,
            },
        };
        let commitment = marque_chain::commit(&salt, name_of(id), text.as_bytes());
        entry.draft.commitments.push((id, commitment.0));
        entry.draft.commitments.sort_unstable_by_key(|(id, _)| *id);
        entry.openings.push(OpenText { field: id, salt, nonce, text: text.into(), key });
        entry
    }

    /// Text of a record's field, where it was not erased.
    pub(crate) async fn opening_text(&self, seq: u64, id: u64) -> Option<String> {
        let secrets = self.secrets.clone();
        let journal = self.journal.clone();
        let work = move || {
            let found = journal.openings(seq, |opening| {
                if opening.field != id {
                    return None;
                }
                let key = secrets.lock().subject(opening.subject).ok()?;
                let opened = key.open(opening).ok()?;
                opened.expose().get(SALT_BYTES..).map(|text| String::from_utf8_lossy(text).into_owned())
            });
            found.ok()?.into_iter().flatten().next()
        };
        tokio::task::spawn_blocking(work).await.ok()?
    }
}

/// What a field is called in its commitment.
fn name_of(id: u64) -> &'static str {
    match id {
        field::PURPOSE => "purpose",
        field::REFS => "refs",
        field::URL => "url",
        field::REASON => "reason",
        field::HUMAN_NAME => "human",
        _ => "summary",
    }
}
