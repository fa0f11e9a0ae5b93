//! From [`Verified`] to [`Live`]: nothing revoked, as of a status that is fresh.

use std::collections::BTreeSet;

use crate::limits::MAX_SKEW_S;
use crate::verify::{Lineage, Verified};

/// What is revoked, as its source said at `as_of_s`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// `jti` of revoked links. Ending a session revokes link 0.
    pub revoked: BTreeSet<String>,
    /// Unix seconds of the source's clock.
    pub as_of_s: u64,
}

/// Why a verified chain is not live.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLive {
    /// The status is older than the caller accepts.
    #[error("the status is {age_s} s old, at most {max_age_s} s are accepted")]
    Stale {
        /// Its age.
        age_s: u64,
        /// The bound.
        max_age_s: u64,
    },
    /// The status is from the future, so its age says nothing.
    #[error("the status is {ahead_s} s ahead of the clock")]
    Ahead {
        /// How far.
        ahead_s: u64,
    },
    /// The link or an ancestor of the leaf is revoked.
    #[error("link {link} is revoked (`{jti}`)")]
    Revoked {
        /// Which link.
        link: usize,
        /// Its id.
        jti: String,
    },
    /// Time passed since it was verified.
    #[error("link {link} has expired")]
    Expired {
        /// Which link.
        link: usize,
    },
}

impl NotLive {
    /// Stable text for programs and test vectors.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Stale { .. } => "status_stale",
            Self::Ahead { .. } => "status_ahead",
            Self::Revoked { .. } => "revoked",
            Self::Expired { .. } => "expired",
        }
    }
}

/// A chain that is verified and not revoked. It ages: hold it no longer than [`Live::until_s`].
#[derive(Debug, PartialEq, Eq)]
pub struct Live {
    lineage: Lineage,
    until_s: u64,
}

impl Live {
    /// What was verified.
    #[must_use]
    pub fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The first Unix second at which it must be judged again: a link expires or the status is too old.
    #[must_use]
    pub fn until_s(&self) -> u64 {
        self.until_s
    }
}

impl Verified {
    /// Holds the chain, every ancestor included, against a status no older than `max_age_s`.
    ///
    /// # Errors
    /// [`NotLive`].
    pub fn live(self, status: &Status, now_s: u64, max_age_s: u64) -> Result<Live, NotLive> {
        let ahead_s = status.as_of_s.saturating_sub(now_s);
        if ahead_s > MAX_SKEW_S {
            return Err(NotLive::Ahead { ahead_s });
        }
        let age_s = now_s.saturating_sub(status.as_of_s);
        if age_s > max_age_s {
            return Err(NotLive::Stale { age_s, max_age_s });
        }
        // `as_of_s` may be a little ahead: count its age from now at the latest.
        let mut until_s = status
            .as_of_s
            .min(now_s)
            .saturating_add(max_age_s)
            .saturating_add(1);
        for (link, hop) in self.lineage().hops().iter().enumerate() {
            if status.revoked.contains(&hop.jti) {
                return Err(NotLive::Revoked {
                    link,
                    jti: hop.jti.clone(),
                });
            }
            if hop.exp_s <= now_s {
                return Err(NotLive::Expired { link });
            }
            until_s = until_s.min(hop.exp_s);
        }
        Ok(Live {
            lineage: self.into_lineage(),
            until_s,
        })
    }
}
