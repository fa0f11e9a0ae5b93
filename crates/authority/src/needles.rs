//! The secrets attached in one session, as needles for the scrubber. A new secret makes a new set; readers keep theirs.

use crate::Error;
use marque_detect::Secret;
use marque_detect::scrub::{Needles, SecretId};
use parking_lot::RwLock;
use std::sync::Arc;

/// A secret of this session.
struct Attached {
    key: (marque_model::CredentialId, u32),
    forms: Vec<Secret>,
}

struct Inner {
    attached: Vec<Attached>,
    needles: Arc<Needles>,
    guessable: bool,
}

/// Needles that grow.
pub struct NeedleBox(RwLock<Inner>);

impl NeedleBox {
    /// Without a secret yet.
    ///
    /// # Errors
    /// Never for an empty set; the library's constructor is fallible.
    pub fn empty() -> Result<Self, Error> {
        let needles = Arc::new(Needles::builder().build().map_err(|e| Error::Needles(e.to_string()))?);
        Ok(Self(RwLock::new(Inner { attached: Vec::new(), needles, guessable: false })))
    }

    /// The needles as they are, and whether one of the secrets can be guessed.
    #[must_use]
    pub fn current(&self) -> (Arc<Needles>, bool) {
        let inner = self.0.read();
        (inner.needles.clone(), inner.guessable)
    }

    /// Whether that credential's forms are among them.
    #[must_use]
    pub fn has(&self, key: (marque_model::CredentialId, u32)) -> bool {
        self.0.read().attached.iter().any(|a| a.key == key)
    }

    /// Adds a credential: the value and what its placement makes of it.
    ///
    /// # Errors
    /// Where a form is too short to be searched for; such a credential is not attached.
    pub fn add(&self, key: (marque_model::CredentialId, u32), forms: Vec<Secret>) -> Result<(), Error> {
        let mut inner = self.0.write();
        if inner.attached.iter().any(|a| a.key == key) {
            return Ok(());
        }
        inner.attached.push(Attached { key, forms });
        let mut builder = Needles::builder();
        let mut guessable = false;
        for (id, attached) in (0u32..).zip(&inner.attached) {
            for form in &attached.forms {
                builder.add(SecretId(id), form).map_err(|e| Error::Needles(e.to_string()))?;
                guessable |= form.entropy_bits_estimate() < marque_detect::limits::LOW_ENTROPY_BITS;
            }
        }
        inner.needles = Arc::new(builder.build().map_err(|e| Error::Needles(e.to_string()))?);
        inner.guessable = guessable;
        Ok(())
    }
}
