//! Sealed values and erasable text: everything that the secrets file holds, behind the signer.

use crate::authority::Authority;
use crate::machine::{Entry, OpenText};
use crate::recorded::Recorded;
use crate::signer::{RemoteWrap, SignerClient};
use crate::{Error, random};
use marque_api::{Code, Problem};
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
/// Rows of operating system users: this, and the user's number.
const HUMANS: &str = "human/uid/";
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

fn row_of(uid: u32) -> String {
    format!("{HUMANS}{uid}")
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

    /// The key of a subject's text, where there is one. What looks at text makes no key: it would be one of an erased subject.
    fn subject(&mut self, subject: [u8; 16]) -> Result<Arc<OpeningKey>, Error> {
        if let Some(key) = self.subjects.get(&subject) {
            return Ok(key.clone());
        }
        let key = Arc::new(self.store.opening_key(&mut self.wrap, subject).map_err(failed)?);
        self.subjects.insert(subject, key.clone());
        Ok(key)
    }

    /// The key of a human who is acting.
    pub(crate) fn key_of(&mut self, human: SubjectId) -> Result<Arc<OpeningKey>, Error> {
        if !self.store.has_subject(*human.as_bytes()) {
            let what = format!("`{human}` was erased in this moment");
            return Err(Error::Refused(Problem::new(Code::CONFLICT, what, "try again: the same user is somebody new")));
        }
        self.subject(*human.as_bytes())
    }

    /// The human that an operating system user is, where he is known. To look makes no row.
    pub(crate) fn known(&mut self, uid: u32) -> Result<Option<SubjectId>, Error> {
        Ok(self.pseudonym(&row_of(uid))?.map(SubjectId::from_bytes))
    }

    /// The pseudonym of an operating system user, made where there is none, with the key of his text.
    fn human(&mut self, uid: u32) -> Result<[u8; 16], Error> {
        let id = row_of(uid);
        let subject = match self.pseudonym(&id)? {
            Some(subject) => subject,
            None => {
                let fresh = random::bytes::<16>()?;
                self.store.put(&mut self.wrap, &id, 1, &Secret::new(fresh.to_vec())).map_err(failed)?;
                fresh
            }
        };
        self.store.make_opening_key(&mut self.wrap, subject).map_err(failed)?;
        Ok(subject)
    }

    fn pseudonym(&mut self, id: &str) -> Result<Option<[u8; 16]>, Error> {
        let Ok(hash) = self.store.row_hash(id, 1) else { return Ok(None) };
        let found = self.store.get(&mut self.wrap, id, 1, &hash).map_err(failed)?;
        <[u8; 16]>::try_from(found.expose()).map(Some).map_err(|_| Error::Secrets("a pseudonym is damaged".into()))
    }

    /// Every operating system user that has a pseudonym.
    pub(crate) fn humans(&mut self) -> Result<Vec<(u32, SubjectId)>, Error> {
        let uids: Vec<u32> = self.store.list().filter_map(|(id, _)| id.strip_prefix(HUMANS)?.parse().ok()).collect();
        let mut humans = Vec::with_capacity(uids.len());
        for uid in uids {
            humans.extend(self.pseudonym(&row_of(uid))?.map(|subject| (uid, SubjectId::from_bytes(subject))));
        }
        Ok(humans)
    }

    /// Whether anything is left of a subject: the key of his text, or the row with his name.
    pub(crate) fn knows(&self, subject: SubjectId, humans: &[(u32, SubjectId)]) -> bool {
        self.store.has_subject(*subject.as_bytes()) || humans.iter().any(|(_, known)| *known == subject)
    }

    /// Destroys the key of a subject's text and the row with his name, in one step.
    pub(crate) fn erase(&mut self, subject: SubjectId) -> Result<(), Error> {
        let rows: Vec<String> = self.humans()?.into_iter().filter(|(_, known)| *known == subject).map(|(uid, _)| row_of(uid)).collect();
        self.subjects.remove(subject.as_bytes());
        self.store.erase_subject(*subject.as_bytes(), &rows).map(drop).map_err(failed)
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
    /// that forgetting the row forgets the name. One that was erased is not given again.
    pub(crate) async fn subject_of(self: &Arc<Self>, uid: u32) -> Result<SubjectId, Error> {
        loop {
            let subject = self.with_vault(move |vault| vault.human(uid)).await.map(SubjectId::from_bytes)?;
            if !self.state.read().erased.contains_key(&subject) {
                return Ok(subject);
            }
            // Between the record of an erasure and its end, or after one that failed. All of it is finished first: with his
            // row gone and texts left, nothing would tell a start of them. The next turn makes a new one.
            let _one_at_a_time = self.erasing.lock().await;
            self.destroy(subject).await?;
        }
    }

    /// Works with the secrets file off the tasks' threads.
    pub(crate) async fn with_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Vault) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let secrets = self.secrets.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut secrets.lock())).await;
        done.map_err(|e| Error::Secrets(e.to_string()))?
    }

    /// The same draft, with text that is committed to and can be erased.
    pub(crate) fn with_opening(&self, draft: Draft, subject: SubjectId, id: u64, text: &Recorded<'_>) -> Entry {
        self.add_opening(draft.into(), subject, id, text)
    }

    pub(crate) fn with_salted_opening(
        &self,
        draft: Draft,
        subject: SubjectId,
        id: u64,
        text: &Recorded<'_>,
        salt: [u8; SALT_BYTES],
    ) -> Entry {
        self.add_salted(draft.into(), subject, id, text, salt)
    }

    pub(crate) fn add_opening(&self, entry: Entry, subject: SubjectId, id: u64, text: &Recorded<'_>) -> Entry {
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

    fn add_salted(&self, entry: Entry, subject: SubjectId, id: u64, text: &Recorded<'_>, salt: [u8; SALT_BYTES]) -> Entry {
        let Ok(nonce) = random::bytes() else { return entry };
        self.add_with(entry, subject, id, text, salt, nonce)
    }

    fn add_with(
        &self,
        mut entry: Entry,
        subject: SubjectId,
        id: u64,
        text: &Recorded<'_>,
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
        let commitment = marque_chain::commit(&salt, name_of(id), text.text().as_bytes());
        entry.draft.commitments.push((id, commitment.0));
        entry.draft.commitments.sort_unstable_by_key(|(id, _)| *id);
        entry.openings.push(OpenText { field: id, salt, nonce, text: text.text().into(), key });
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
        field::DIGEST_KEY => "digest_key",
        _ => "summary",
    }
}
