//! Credentials that exist because a session used them: minted at an upstream, or taken from an upstream's answer.

use crate::ids::SessionId;
use crate::session::coded;
pub use crate::session::UnknownWord;

coded! {
    /// Where a lease is (DESIGN section 3).
    LeaseState {
        /// Durable before the first upstream byte.
        Intent = 1 "intent",
        /// The upstream answered.
        Live = 2 "live",
        /// Its end is durable; the upstream is being told.
        Revoking = 3 "revoking",
        /// Probed and gone, or past its own expiry.
        Gone = 4 "gone",
        /// Cannot be revoked; retried for ever and shown.
        Stuck = 5 "stuck",
    }
}

impl LeaseState {
    /// Whether the fold takes this step. Nothing leaves `Gone`, and a lease that was live goes through `Revoking`.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use LeaseState::{Gone, Intent, Live, Revoking, Stuck};
        matches!(
            (self, next),
            (Intent, Live | Revoking | Gone) | (Live, Revoking | Gone) | (Revoking, Gone | Stuck) | (Stuck, Gone)
        )
    }
}

/// One lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The session that caused it and that it ends with.
    pub session: SessionId,
    /// Where it is.
    pub state: LeaseState,
    /// When it is dead by itself; 0 where the upstream sets no expiry.
    pub not_after_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_comes_back_from_gone() {
        for code in 1..=5u64 {
            let next = LeaseState::from_code(code);
            assert!(next.is_some_and(|n| !LeaseState::Gone.may_become(n)));
        }
        assert!(!LeaseState::Stuck.may_become(LeaseState::Live));
        assert!(!LeaseState::Revoking.may_become(LeaseState::Live));
    }
}
