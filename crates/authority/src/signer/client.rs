//! The authority's end of the signer.

use super::proto::{Answer, Blob, Copy, Keys, Question, receive, send};
use crate::Error;
use marque_detect::Secret;
use marque_store::sealed::{KeyWrap, WrapError};
use parking_lot::Mutex;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// A connection to the signer. Questions are answered one after the other; none of them is on the warm path.
pub struct SignerClient {
    stream: Mutex<UnixStream>,
}

/// How the signer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerStatus {
    /// Whether a root key exists.
    pub initialised: bool,
    /// Public keys, once the seal is open.
    pub keys: Option<Keys>,
    /// Ways to open the seal.
    pub copies: Vec<Copy>,
}

impl SignerClient {
    /// Takes the authority's end of the pair.
    #[must_use]
    pub fn new(stream: UnixStream) -> Self {
        Self { stream: Mutex::new(stream) }
    }

    fn ask(&self, question: &Question) -> Result<Answer, Error> {
        let mut stream = self.stream.lock();
        let lost = |e: std::io::Error| Error::Signer(e.to_string());
        send(&mut *stream, question).map_err(lost)?;
        match receive(&mut *stream).map_err(lost)? {
            Some(Answer::Refused(why)) => Err(Error::SignerRefused(why)),
            Some(Answer::Keyring(trouble)) => Err(Error::Keyring(trouble)),
            Some(answer) => Ok(answer),
            None => Err(Error::Signer("it is gone".into())),
        }
    }

    /// How things stand.
    ///
    /// # Errors
    /// Where the signer is gone.
    pub fn status(&self) -> Result<SignerStatus, Error> {
        match self.ask(&Question::Status)? {
            Answer::Status { initialised, keys, copies, .. } => Ok(SignerStatus { initialised, keys, copies }),
            _ => Err(unexpected()),
        }
    }

    /// Makes the root key. Returns the recovery key, to be shown once.
    ///
    /// # Errors
    /// Where there is one already, or the signer is gone.
    pub fn init(&self, passphrase: &Secret) -> Result<(Secret, Keys), Error> {
        match self.ask(&Question::Init { passphrase: Blob(passphrase.expose().to_vec()) })? {
            Answer::Initialised { recovery_key, keys } => Ok((Secret::new(recovery_key.0.clone()), keys)),
            _ => Err(unexpected()),
        }
    }

    /// Opens the seal.
    ///
    /// # Errors
    /// Where the passphrase is wrong.
    pub fn unseal(&self, passphrase: &Secret) -> Result<Keys, Error> {
        match self.ask(&Question::Unseal { passphrase: Blob(passphrase.expose().to_vec()) })? {
            Answer::Open(keys) => Ok(keys),
            _ => Err(unexpected()),
        }
    }

    /// Adds a copy of the root key that the desktop's keyring opens.
    ///
    /// # Errors
    /// Where the passphrase is wrong or the keyring cannot be had.
    pub fn add_keyring(&self, passphrase: &Secret) -> Result<Vec<Copy>, Error> {
        match self.ask(&Question::AddKeyring { passphrase: Blob(passphrase.expose().to_vec()) })? {
            Answer::Copies(copies) => Ok(copies),
            _ => Err(unexpected()),
        }
    }

    /// Takes a copy for the keyring out.
    ///
    /// # Errors
    /// Where the passphrase is wrong, or there is no such copy.
    pub fn remove_copy(&self, passphrase: &Secret, id: u64) -> Result<Vec<Copy>, Error> {
        match self.ask(&Question::RemoveCopy { passphrase: Blob(passphrase.expose().to_vec()), id })? {
            Answer::Copies(copies) => Ok(copies),
            _ => Err(unexpected()),
        }
    }

    /// Whether this is the passphrase.
    ///
    /// # Errors
    /// Where the signer is gone or refuses to be asked so often.
    pub fn check(&self, passphrase: &Secret) -> Result<bool, Error> {
        match self.ask(&Question::Check { passphrase: Blob(passphrase.expose().to_vec()) })? {
            Answer::Checked(yes) => Ok(yes),
            _ => Err(unexpected()),
        }
    }

    /// Signs link 0.
    ///
    /// # Errors
    /// Where the claims are not valid, or the seal is closed.
    pub fn sign_link(&self, claims: &marque_chain::Claims) -> Result<String, Error> {
        let claims = serde_json::to_string(claims).map_err(|e| Error::Signer(e.to_string()))?;
        match self.ask(&Question::SignLink { claims })? {
            Answer::Text(text) => Ok(text),
            _ => Err(unexpected()),
        }
    }

    /// The last checkpoint that was signed, as text.
    ///
    /// # Errors
    /// Where the signer is gone.
    pub fn last_checkpoint(&self) -> Result<Option<String>, Error> {
        match self.ask(&Question::Last)? {
            Answer::Last(text) => Ok(text),
            _ => Err(unexpected()),
        }
    }

    /// Tags the hash of a snapshot of the state.
    ///
    /// # Errors
    /// Where the signer is gone or closed.
    pub fn vouch(&self, snapshot: &[u8; 32]) -> Result<[u8; 32], Error> {
        match self.ask(&Question::Vouch { snapshot: *snapshot })? {
            Answer::Bytes(tag) => tag.0.as_slice().try_into().map_err(|_| unexpected()),
            _ => Err(unexpected()),
        }
    }

    /// Signs a checkpoint that extends the last; the inner error says that it does not.
    ///
    /// # Errors
    /// Where the signer is gone, or the seal is closed.
    pub fn sign_checkpoint(&self, checkpoint: String, proof: Vec<[u8; 32]>) -> Result<Result<String, String>, Error> {
        match self.ask(&Question::SignCheckpoint { checkpoint, proof })? {
            Answer::Text(text) => Ok(Ok(text)),
            Answer::Forked(why) => Ok(Err(why)),
            _ => Err(unexpected()),
        }
    }
}

fn wrap_error(error: Error) -> WrapError {
    match error {
        Error::SignerRefused(_) => WrapError::NotOurs,
        other => WrapError::Unavailable(other.to_string()),
    }
}

/// The secrets file's keys, wrapped and unwrapped by the signer.
pub struct RemoteWrap(pub Arc<SignerClient>);

impl KeyWrap for RemoteWrap {
    fn term(&mut self) -> Result<u64, WrapError> {
        match self.0.ask(&Question::Term).map_err(wrap_error)? {
            Answer::Term(term) => Ok(term),
            _ => Err(wrap_error(unexpected())),
        }
    }

    fn wrap(&mut self, term: u64, aad: &[u8], key: &Secret) -> Result<Vec<u8>, WrapError> {
        let question = Question::Wrap { term, aad: Blob(aad.to_vec()), key: Blob(key.expose().to_vec()) };
        match self.0.ask(&question).map_err(wrap_error)? {
            Answer::Bytes(bytes) => Ok(bytes.0.clone()),
            _ => Err(wrap_error(unexpected())),
        }
    }

    fn unwrap(&mut self, term: u64, aad: &[u8], wrapped: &[u8]) -> Result<Secret, WrapError> {
        let question = Question::Unwrap { term, aad: Blob(aad.to_vec()), wrapped: Blob(wrapped.to_vec()) };
        match self.0.ask(&question).map_err(wrap_error)? {
            Answer::Bytes(bytes) => Ok(Secret::new(bytes.0.clone())),
            _ => Err(wrap_error(unexpected())),
        }
    }
}

fn unexpected() -> Error {
    Error::Signer("it answered another question".into())
}
