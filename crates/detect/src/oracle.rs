//! When masking is no longer enough.
//!
//! An upstream that echoes turns the scrubber into an oracle: what comes back masked is the secret. A secret that could
//! be guessed that way withholds the body at its first hit; any other may be masked a few times per target and session,
//! which no guesser of 2^64 can use but an honest echo needs.

use crate::limits::HITS_MASKED_MAX;

/// What to do with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Pass it on, hits masked.
    Mask,
    /// Withhold it whole, as far as it was not sent, and tell a human.
    Withhold,
}

/// The hits of attached secrets that one target returned in one session. The caller keeps one per pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HitLedger {
    hits: u32,
    withheld: bool,
}

impl HitLedger {
    /// Records the new hits of one body (or part of it) and says what to do with that body. `low_entropy`: one of the
    /// secrets hit is guessable ([`Needles::is_low_entropy`](crate::scrub::Needles::is_low_entropy)).
    ///
    /// The first [`HITS_MASKED_MAX`] hits are masked. Once withheld, always withheld.
    pub fn record(&mut self, hits: u32, low_entropy: bool) -> Verdict {
        self.hits = self.hits.saturating_add(hits);
        let guessable = low_entropy && hits > 0;
        self.withheld |= guessable || self.hits > HITS_MASKED_MAX;
        if self.withheld {
            Verdict::Withhold
        } else {
            Verdict::Mask
        }
    }

    /// What to do with the next body before it is looked at: withheld once the target used up its hits.
    pub fn verdict(&self) -> Verdict {
        if self.withheld || self.hits >= HITS_MASKED_MAX {
            Verdict::Withhold
        } else {
            Verdict::Mask
        }
    }

    /// Hits so far.
    #[must_use]
    pub fn hits(&self) -> u32 {
        self.hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_hits_are_masked_and_the_rest_withheld() {
        let mut ledger = HitLedger::default();
        for _ in 0..HITS_MASKED_MAX {
            assert_eq!(ledger.verdict(), Verdict::Mask);
            assert_eq!(ledger.record(1, false), Verdict::Mask);
        }
        assert_eq!(
            ledger.verdict(),
            Verdict::Withhold,
            "the next body is withheld unread"
        );
        assert_eq!(ledger.record(1, false), Verdict::Withhold);
        assert_eq!(
            ledger.record(0, false),
            Verdict::Withhold,
            "a body without hits too"
        );
        assert_eq!(ledger.hits(), HITS_MASKED_MAX + 1);
    }

    #[test]
    fn the_limit_is_exact_within_one_body() {
        assert_eq!(
            HitLedger::default().record(HITS_MASKED_MAX, false),
            Verdict::Mask
        );
        assert_eq!(
            HitLedger::default().record(HITS_MASKED_MAX + 1, false),
            Verdict::Withhold
        );
        assert_eq!(
            HitLedger::default().record(u32::MAX, false),
            Verdict::Withhold
        );
    }

    #[test]
    fn a_guessable_secret_withholds_at_its_first_hit_and_for_good() {
        let mut ledger = HitLedger::default();
        assert_eq!(ledger.record(0, true), Verdict::Mask);
        assert_eq!(ledger.record(1, true), Verdict::Withhold);
        assert_eq!(ledger.record(0, false), Verdict::Withhold);
        assert_eq!(ledger.verdict(), Verdict::Withhold);
    }
}
