//! The seal: several wrapped copies of the root key, each of which opens it in another way.
//!
//! The signer process uses this, and nothing else ever holds the root key.

mod recovery;

use crate::disk::{Disk, read_file, replace_file};
use crate::limits::{ARGON2_KIB_MAX, ARGON2_PASSES_MAX, PASSPHRASE_BYTES, SEAL_COPIES, SMALL_FILE_BYTES};
use crate::sealed::aead::{KEY_BYTES, NONCE_BYTES, bind, decrypt_with, encrypt_with, mac};
use crate::sealed::{NotOurs, Random};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use marque_detect::Secret;
use marque_journal::cbor::{CborError, Reader, Writer};
use std::io;
use std::path::Path;
use thiserror::Error;

const VERSION: u64 = 1;
const SALT_BYTES: usize = 16;

/// A way to open the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Provider {
    /// A passphrase, through Argon2id.
    Passphrase = 1,
    /// A file that the service manager hands to the service (`$CREDENTIALS_DIRECTORY`).
    ServiceCredential = 2,
    /// A random key that was shown once.
    RecoveryKey = 3,
    /// A random key that is kept in the keyring of the user's desktop.
    OsKeyring = 4,
}

impl Provider {
    /// Its name, as people write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::ServiceCredential => "service-credential",
            Self::RecoveryKey => "recovery-key",
            Self::OsKeyring => "keyring",
        }
    }

    /// What it protects, in words for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Passphrase => "needs the passphrase at every start",
            Self::ServiceCredential => "protects at rest only: as good as the service manager's credential store",
            Self::RecoveryKey => "opens everything: keep it offline",
            Self::OsKeyring => "protects at rest only: any process of the user can ask for it",
        }
    }

    fn from_number(number: u64) -> Option<Self> {
        [Self::Passphrase, Self::ServiceCredential, Self::RecoveryKey, Self::OsKeyring]
            .into_iter()
            .find(|p| *p as u64 == number)
    }
}

/// Argon2id parameters of a passphrase; stored with the copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Stretch {
    /// 256 MiB, 3 passes.
    fn default() -> Self {
        Self { memory_kib: 256 * 1024, passes: 3, lanes: 1 }
    }
}

/// Why the seal does not open or change.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SealError {
    /// The file is not a seal.
    #[error("`{0}` is not a seal")]
    Malformed(String),
    /// The passphrase, key or credential opens no copy.
    #[error("this does not open the seal")]
    WrongKey,
    /// The text is not a recovery key, or was copied with a mistake.
    #[error("this is not a recovery key, or a letter of it is wrong")]
    NotARecoveryKey,
    /// The root key given is not the one under this seal.
    #[error("the root key is not the one under this seal")]
    WrongRoot,
    /// A seal keeps at least one copy, and one more way back than the one removed.
    #[error("the last copy of the root key cannot be removed")]
    LastCopy,
    /// A bound is reached.
    #[error("`{0}` is out of bounds")]
    Bounds(&'static str),
    /// The cipher or Argon2 failed.
    #[error("the key could not be derived")]
    Derive,
    /// The system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

struct Copy {
    id: u64,
    provider: Provider,
    salt: [u8; SALT_BYTES],
    stretch: Option<Stretch>,
    wrapped: Vec<u8>,
}

/// The seal file.
pub struct SealFile {
    instance: [u8; 16],
    /// Tells the root key without giving it away.
    check: [u8; 32],
    copies: Vec<Copy>,
}

impl SealFile {
    /// A new root key, and its seal without a copy yet: add at least one way to open it before [`SealFile::save`].
    #[must_use]
    pub fn create(instance: [u8; 16], random: &mut Random) -> (Self, Secret) {
        let mut root = vec![0; KEY_BYTES];
        random(&mut root);
        let root = Secret::new(root);
        (Self { instance, check: root_check(&instance, &root), copies: Vec::new() }, root)
    }

    /// Reads a seal; `None` when there is no file.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn load(disk: &dyn Disk, path: &str, instance: [u8; 16]) -> Result<Option<Self>, SealError> {
        let bytes =
            read_file(disk, path, SMALL_FILE_BYTES).map_err(|source| SealError::Io { path: path.to_owned(), source })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let seal = Self::decode(&bytes).map_err(|_| SealError::Malformed(path.to_owned()))?;
        if seal.instance == instance { Ok(Some(seal)) } else { Err(SealError::Malformed(path.to_owned())) }
    }

    /// Writes the seal in one step.
    ///
    /// # Errors
    /// [`SealError::LastCopy`] when nothing could open it, [`SealError::Io`].
    pub fn save(&self, disk: &dyn Disk, path: &str) -> Result<(), SealError> {
        if self.copies.is_empty() {
            return Err(SealError::LastCopy);
        }
        replace_file(disk, path, &self.encode()).map_err(|source| SealError::Io { path: path.to_owned(), source })
    }

    /// Id and kind of every copy.
    pub fn copies(&self) -> impl Iterator<Item = (u64, Provider)> + '_ {
        self.copies.iter().map(|copy| (copy.id, copy.provider))
    }

    /// Adds a passphrase.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn add_passphrase(
        &mut self,
        root: &Secret,
        passphrase: &Secret,
        stretch: Stretch,
        random: &mut Random,
    ) -> Result<u64, SealError> {
        if passphrase.is_empty() || passphrase.len() > PASSPHRASE_BYTES {
            return Err(SealError::Bounds("passphrase length"));
        }
        self.add(root, Provider::Passphrase, Some(stretch), passphrase, random)
    }

    /// Adds a recovery key and gives its text, which is shown once and kept nowhere.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn add_recovery_key(&mut self, root: &Secret, random: &mut Random) -> Result<(u64, Secret), SealError> {
        let mut key = vec![0; KEY_BYTES];
        random(&mut key);
        let key = Secret::new(key);
        Ok((self.add(root, Provider::RecoveryKey, None, &key, random)?, recovery::to_text(&key)))
    }

    /// Adds a service credential, of at least 32 bytes.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn add_service_credential(
        &mut self,
        root: &Secret,
        credential: &Secret,
        random: &mut Random,
    ) -> Result<u64, SealError> {
        if credential.len() < KEY_BYTES {
            return Err(SealError::Bounds("service credential length"));
        }
        self.add(root, Provider::ServiceCredential, None, credential, random)
    }

    /// Adds a copy for a keyring, and gives the id and the key that the keyring is to keep.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn add_os_keyring(&mut self, root: &Secret, random: &mut Random) -> Result<(u64, Secret), SealError> {
        let mut key = vec![0; KEY_BYTES];
        random(&mut key);
        let key = Secret::new(key);
        Ok((self.add(root, Provider::OsKeyring, None, &key, random)?, key))
    }

    /// Removes a copy, but not the last.
    ///
    /// # Errors
    /// [`SealError::LastCopy`].
    pub fn remove(&mut self, id: u64) -> Result<bool, SealError> {
        let there = self.copies.iter().any(|copy| copy.id == id);
        if there && self.copies.len() == 1 {
            return Err(SealError::LastCopy);
        }
        self.copies.retain(|copy| copy.id != id);
        Ok(there)
    }

    /// The root key, by passphrase.
    ///
    /// # Errors
    /// [`SealError::WrongKey`].
    pub fn open_with_passphrase(&self, passphrase: &Secret) -> Result<Secret, SealError> {
        if passphrase.len() > PASSPHRASE_BYTES {
            return Err(SealError::WrongKey);
        }
        self.open(Provider::Passphrase, passphrase)
    }

    /// Whether a passphrase is one of this seal's. How long it takes does not depend on how much of it is right.
    #[must_use]
    pub fn verify_passphrase(&self, passphrase: &Secret) -> bool {
        self.open_with_passphrase(passphrase).is_ok()
    }

    /// The root key, by the text of a recovery key.
    ///
    /// # Errors
    /// [`SealError::NotARecoveryKey`], [`SealError::WrongKey`].
    pub fn open_with_recovery_key(&self, text: &Secret) -> Result<Secret, SealError> {
        self.open(Provider::RecoveryKey, &recovery::from_text(text)?)
    }

    /// The root key, by service credential.
    ///
    /// # Errors
    /// [`SealError::WrongKey`].
    pub fn open_with_service_credential(&self, credential: &Secret) -> Result<Secret, SealError> {
        self.open(Provider::ServiceCredential, credential)
    }

    /// The root key, by the key of a keyring.
    ///
    /// # Errors
    /// [`SealError::WrongKey`].
    pub fn open_with_os_keyring(&self, key: &Secret) -> Result<Secret, SealError> {
        self.open(Provider::OsKeyring, key)
    }

    fn add(
        &mut self,
        root: &Secret,
        provider: Provider,
        stretch: Option<Stretch>,
        input: &Secret,
        random: &mut Random,
    ) -> Result<u64, SealError> {
        if verify_slices_are_equal(&root_check(&self.instance, root), &self.check).is_err() {
            return Err(SealError::WrongRoot);
        }
        if self.copies.len() >= SEAL_COPIES {
            return Err(SealError::Bounds("copies"));
        }
        let id = self.copies.iter().map(|copy| copy.id).max().unwrap_or(0).saturating_add(1);
        let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
        random(&mut salt);
        random(&mut nonce);
        let key = derive(provider, &salt, stretch, input)?;
        let aad = self.aad(id, provider);
        let wrapped = encrypt_with(key.expose(), nonce, &aad, root.expose()).map_err(|NotOurs| SealError::Derive)?;
        self.copies.push(Copy { id, provider, salt, stretch, wrapped });
        Ok(id)
    }

    fn open(&self, provider: Provider, input: &Secret) -> Result<Secret, SealError> {
        for copy in self.copies.iter().filter(|copy| copy.provider == provider) {
            let key = derive(provider, &copy.salt, copy.stretch, input)?;
            if let Ok(root) = decrypt_with(key.expose(), &self.aad(copy.id, provider), &copy.wrapped) {
                return match verify_slices_are_equal(&root_check(&self.instance, &root), &self.check) {
                    Ok(()) => Ok(root),
                    Err(_) => Err(SealError::WrongRoot),
                };
            }
        }
        Err(SealError::WrongKey)
    }

    fn aad(&self, id: u64, provider: Provider) -> Vec<u8> {
        bind(&[b"marque/seal/v1", &self.instance, &id.to_be_bytes(), &[provider as u8], &self.check])
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.array(4).uint(VERSION).bytes(&self.instance).bytes(&self.check).array(self.copies.len());
        for copy in &self.copies {
            w.array(5).uint(copy.id).uint(copy.provider as u64).bytes(&copy.salt);
            match copy.stretch {
                Some(s) => {
                    w.array(3).uint(u64::from(s.memory_kib)).uint(u64::from(s.passes)).uint(u64::from(s.lanes));
                }
                None => {
                    w.null();
                }
            }
            w.bytes(&copy.wrapped);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut r = Reader::new(bytes);
        if r.array()? != 4 || r.uint()? != VERSION {
            return Err(CborError::Unexpected);
        }
        let (instance, check) = (r.byte_array()?, r.byte_array()?);
        let mut copies = Vec::new();
        for _ in 0..r.array()? {
            if r.array()? != 5 || copies.len() >= SEAL_COPIES {
                return Err(CborError::Range);
            }
            let (id, provider) = (r.uint()?, Provider::from_number(r.uint()?).ok_or(CborError::Range)?);
            let salt = r.byte_array()?;
            let stretch = if r.null().is_ok() { None } else { Some(read_stretch(&mut r)?) };
            copies.push(Copy { id, provider, salt, stretch, wrapped: r.bytes()?.to_vec() });
        }
        r.end()?;
        Ok(Self { instance, check, copies })
    }
}

/// Reads a credential the service manager placed in `directory`, which is `$CREDENTIALS_DIRECTORY`.
///
/// # Errors
/// [`SealError::Io`], or [`SealError::Bounds`] for a name with a path in it or a file that is too long.
pub fn read_service_credential(directory: &Path, name: &str) -> Result<Secret, SealError> {
    if name.is_empty() || name.contains('/') || name == ".." {
        return Err(SealError::Bounds("service credential name"));
    }
    let path = directory.join(name);
    let io = |source| SealError::Io { path: path.display().to_string(), source };
    if std::fs::metadata(&path).map_err(io)?.len() > SMALL_FILE_BYTES {
        return Err(SealError::Bounds("service credential length"));
    }
    Ok(Secret::new(std::fs::read(&path).map_err(io)?))
}

fn read_stretch(r: &mut Reader<'_>) -> Result<Stretch, CborError> {
    if r.array()? != 3 {
        return Err(CborError::Unexpected);
    }
    let mut number = || u32::try_from(r.uint()?).map_err(|_| CborError::Range);
    Ok(Stretch { memory_kib: number()?, passes: number()?, lanes: number()? })
}

fn root_check(instance: &[u8; 16], root: &Secret) -> [u8; 32] {
    mac(root.expose(), &[b"marque/root-check/v1", instance])
}

/// The key that wraps a copy. Passphrases are stretched; the others are random already.
fn derive(provider: Provider, salt: &[u8; SALT_BYTES], stretch: Option<Stretch>, input: &Secret) -> Result<Secret, SealError> {
    let mut key = vec![0; KEY_BYTES];
    match (provider, stretch) {
        (Provider::Passphrase, Some(stretch)) => {
            // Stored values: a changed file must not make us allocate without bound.
            if stretch.memory_kib > ARGON2_KIB_MAX || stretch.passes > ARGON2_PASSES_MAX {
                return Err(SealError::Bounds("argon2 parameters"));
            }
            let params = Params::new(stretch.memory_kib, stretch.passes, stretch.lanes, Some(KEY_BYTES))
                .map_err(|_| SealError::Bounds("argon2 parameters"))?;
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon2.hash_password_into(input.expose(), salt, &mut key).map_err(|_| SealError::Derive)?;
        }
        (Provider::Passphrase, None) => return Err(SealError::Derive),
        (Provider::ServiceCredential | Provider::RecoveryKey | Provider::OsKeyring, _) => {
            key.copy_from_slice(&*zeroize::Zeroizing::new(mac(
                input.expose(),
                &[b"marque/seal-key/v1", salt, &[provider as u8]],
            )));
        }
    }
    Ok(Secret::new(key))
}
