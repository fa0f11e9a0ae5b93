//! The secrets attached in one session, as needles for the scrubber. A new secret makes a new set; readers keep theirs.

use crate::Error;
use crate::limits::{KEPT_NEEDLES_MAX, REFERENCE_VALUES_MAX};
use marque_detect::Secret;
use marque_detect::scrub::{Needles, SecretId};
use parking_lot::RwLock;
use std::collections::VecDeque;
use std::sync::Arc;

/// Ids of what answers gave; those of credentials are below.
const KEPT_IDS: u32 = 1 << 16;

/// A secret of this session.
struct Attached {
    key: (marque_model::CredentialId, u32),
    forms: Vec<Secret>,
}

/// What answers gave, and the session keeps.
struct Kept {
    forms: Vec<Secret>,
}

struct Inner {
    attached: Vec<Attached>,
    /// The latest last.
    kept: VecDeque<Kept>,
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
        Ok(Self(RwLock::new(Inner { attached: Vec::new(), kept: VecDeque::new(), needles, guessable: false })))
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

    /// Adds a credential: the value and what its placement makes of it. What its reference gave before is still searched for.
    ///
    /// # Errors
    /// Where a form is too short to be searched for; such a credential is not attached.
    pub fn add(&self, key: (marque_model::CredentialId, u32), forms: Vec<Secret>) -> Result<(), Error> {
        let mut inner = self.0.write();
        let same = |a: &Attached| a.key == key && a.forms.iter().zip(&forms).all(|(a, b)| a.eq_bytes(b.expose()));
        if inner.attached.iter().any(same) {
            return Ok(());
        }
        if inner.attached.iter().filter(|a| a.key == key).count() >= REFERENCE_VALUES_MAX
            && let Some(oldest) = inner.attached.iter().position(|a| a.key == key)
        {
            inner.attached.remove(oldest);
        }
        inner.attached.push(Attached { key, forms });
        inner.rebuild()
    }

    /// Adds what an answer gave. What is too short, or could be guessed, is not searched for: the first would be found
    /// everywhere, and the second would have every answer of the session held.
    pub fn add_kept(&self, mut forms: Vec<Secret>) {
        use marque_detect::limits::{LOW_ENTROPY_BITS, SECRET_MAX_BYTES, SECRET_MIN_BYTES};
        forms.retain(|form| {
            (SECRET_MIN_BYTES..=SECRET_MAX_BYTES).contains(&form.len()) && form.entropy_bits_estimate() >= LOW_ENTROPY_BITS
        });
        if forms.is_empty() {
            return;
        }
        let mut inner = self.0.write();
        if inner.kept.len() >= KEPT_NEEDLES_MAX {
            inner.kept.pop_front();
        }
        inner.kept.push_back(Kept { forms });
        if inner.rebuild().is_err() {
            // More than the scrubber takes: what is attached is searched for in any case.
            inner.kept.pop_back();
        }
    }
}

impl Inner {
    fn rebuild(&mut self) -> Result<(), Error> {
        let mut builder = Needles::builder();
        let mut guessable = false;
        for (id, attached) in (0u32..).zip(&self.attached) {
            for form in &attached.forms {
                builder.add(SecretId(id), form).map_err(|e| Error::Needles(e.to_string()))?;
                guessable |= form.entropy_bits_estimate() < marque_detect::limits::LOW_ENTROPY_BITS;
            }
        }
        for (id, kept) in (KEPT_IDS..).zip(&self.kept) {
            for form in &kept.forms {
                builder.add(SecretId(id), form).map_err(|e| Error::Needles(e.to_string()))?;
            }
        }
        self.needles = Arc::new(builder.build().map_err(|e| Error::Needles(e.to_string()))?);
        self.guessable = guessable;
        Ok(())
    }
}
