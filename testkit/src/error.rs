//! One error for the whole kit: a test that cannot set up its world fails with the reason.

use std::{io, path::PathBuf};

/// Why a server, child or tool could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file, socket or process call failed.
    #[error("cannot {doing}: {source}")]
    Io {
        /// What was being done, as a verb phrase.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A TLS configuration was rejected.
    #[error("cannot configure TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// JSON could not be read or written.
    #[error("cannot read JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A needed program or package is missing. A missing component fails its test; nothing is skipped.
    #[error("`{program}` is missing: {help}")]
    Missing {
        /// The program looked for.
        program: PathBuf,
        /// What to run to get it.
        help: &'static str,
    },
    /// A child ended or stayed silent before it said what was waited for.
    #[error("`{program}` did not become ready: {output}")]
    NotReady {
        /// The program that was started.
        program: String,
        /// What it had printed so far.
        output: String,
    },
    /// A peer or a tool answered something else than was expected.
    #[error("{0}")]
    Unexpected(String),
}

/// The kit's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Adds what was being done to an I/O error.
pub trait Doing<T> {
    /// Names the step that failed, as a verb phrase.
    ///
    /// # Errors
    /// The I/O error with the step's name.
    fn doing(self, doing: impl Into<String>) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|source| Error::Io {
            doing: doing.into(),
            source,
        })
    }
}

/// An [`Error::Unexpected`] with this text.
pub(crate) fn unexpected(text: impl Into<String>) -> Error {
    Error::Unexpected(text.into())
}
