//! Why the authority could not decide or act. A refusal is a `Problem` and not one of these.

use crate::signer::KeyringTrouble;
use marque_api::{Code, Problem};

/// Errors of the authority.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel gave no randomness.
    #[error("the kernel gives no randomness: {0}")]
    Random(String),
    /// The signer is gone or speaks nonsense.
    #[error("the signer does not answer: {0}")]
    Signer(String),
    /// The signer said no.
    #[error("{0}")]
    SignerRefused(String),
    /// The desktop's keyring does not open the seal.
    #[error("{}", .0.sentence())]
    Keyring(KeyringTrouble),
    /// The journal did not open or take a record.
    #[error("the journal: {0}")]
    Journal(String),
    /// Sealed secrets could not be read or written.
    #[error("the sealed secrets: {0}")]
    Secrets(String),
    /// A secret is too short to be searched for in answers.
    #[error("the credential cannot be searched for in answers: {0}")]
    Needles(String),
    /// A file or socket.
    #[error("`{path}`: {source}")]
    Io {
        /// Which.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A shipped profile does not parse: a broken build.
    #[error("the shipped profile `{0}` is not valid: {1}")]
    Profile(String, String),
    /// A refusal.
    #[error("{0}")]
    Refused(Problem),
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

impl Error {
    /// What the asker is told.
    #[must_use]
    pub fn to_problem(&self) -> Problem {
        match self {
            Self::Refused(problem) => problem.clone(),
            Self::SignerRefused(why) => Problem::new(Code::AUTH, why.clone(), "give the passphrase again"),
            Self::Keyring(trouble) => Problem::new(Code::KEYRING, trouble.sentence(), trouble.help()),
            Self::Journal(why) => Problem::new(Code::JOURNAL, why.clone(), "run `marque audit verify`"),
            other => Problem::new(Code::JOURNAL, other.to_string(), "see the authority's log"),
        }
    }
}
