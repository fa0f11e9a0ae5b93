//! What may still be used, per grant and per link. Unknown amounts are reserved at their cap and settled by the
//! outcome; an intent that never gets one is charged in full (I4).

use marque_chain::Limits;
use std::collections::VecDeque;

/// Most uses a rate window may hold: the window remembers each, so that the limit is exact.
pub const RATE_USES_MAX: u64 = 10_000;

/// Amounts of one use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Charge {
    /// Bytes sent and received.
    pub bytes: u64,
    /// Rows read or changed.
    pub rows: u64,
}

/// What was used, settled and reserved together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Uses admitted.
    pub uses: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// Which limit was in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Number of uses.
    #[error("uses")]
    Uses,
    /// Uses within a time.
    #[error("rate")]
    Rate,
    /// Bytes.
    #[error("bytes")]
    Bytes,
    /// Rows.
    #[error("rows")]
    Rows,
    /// End of time.
    #[error("until")]
    Until,
}

/// A limit and what has been used of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    limits: Limits,
    spent: Spent,
    /// Times of the last admitted uses, at most `rate.uses` of them; empty where there is no rate.
    window_ms: VecDeque<u64>,
}

impl Budget {
    /// A budget of which nothing is used.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, spent: Spent::default(), window_ms: VecDeque::new() }
    }

    /// A budget as it was; `None` where its window is not one that these limits leave behind.
    pub(crate) fn resumed(limits: Limits, spent: Spent, window_ms: VecDeque<u64>) -> Option<Self> {
        let most = limits.rate.map_or(0, |rate| rate.uses.min(RATE_USES_MAX).max(1));
        let ascends = window_ms.iter().zip(window_ms.iter().skip(1)).all(|(a, b)| a <= b);
        (window_ms.len() as u64 <= most && ascends).then_some(Self { limits, spent, window_ms })
    }

    pub(crate) const fn window_ms(&self) -> &VecDeque<u64> {
        &self.window_ms
    }

    /// What was used.
    #[must_use]
    pub const fn spent(&self) -> Spent {
        self.spent
    }

    /// The limits.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes that may still be reserved; `None` where there is no limit.
    #[must_use]
    pub fn bytes_left(&self) -> Option<u64> {
        self.limits.bytes.map(|max| max.saturating_sub(self.spent.bytes))
    }

    /// Whether one more use with that charge fits at `now_ms`.
    ///
    /// # Errors
    /// The first limit that is in the way.
    pub fn admits(&self, charge: Charge, now_ms: u64) -> Result<(), Limit> {
        let within = |max: Option<u64>, spent: u64, more: u64| max.is_none_or(|max| spent.saturating_add(more) <= max);
        if self.limits.until_s.is_some_and(|last_s| now_ms / 1000 > last_s) {
            return Err(Limit::Until);
        }
        if !within(self.limits.uses, self.spent.uses, 1) {
            return Err(Limit::Uses);
        }
        if !within(self.limits.bytes, self.spent.bytes, charge.bytes) {
            return Err(Limit::Bytes);
        }
        if !within(self.limits.rows, self.spent.rows, charge.rows) {
            return Err(Limit::Rows);
        }
        if let Some(rate) = &self.limits.rate {
            let from_ms = now_ms.saturating_sub(rate.per_s.saturating_mul(1000));
            // Session time never goes back, so the oldest are in front.
            let recent = self.window_ms.iter().rev().take_while(|at| **at > from_ms || from_ms == 0).count() as u64;
            if recent >= rate.uses.min(RATE_USES_MAX) {
                return Err(Limit::Rate);
            }
        }
        Ok(())
    }

    /// Takes one use with that charge. The caller has asked [`Budget::admits`] first.
    pub fn reserve(&mut self, charge: Charge, now_ms: u64) {
        self.spent.uses = self.spent.uses.saturating_add(1);
        self.spent.bytes = self.spent.bytes.saturating_add(charge.bytes);
        self.spent.rows = self.spent.rows.saturating_add(charge.rows);
        if let Some(rate) = &self.limits.rate {
            let keep = rate.uses.min(RATE_USES_MAX);
            while self.window_ms.len() as u64 >= keep.max(1) {
                self.window_ms.pop_front();
            }
            self.window_ms.push_back(now_ms);
        }
    }

    /// Gives back what was reserved and not used. What was used beyond the reservation is charged too.
    pub fn settle(&mut self, reserved: Charge, used: Charge) {
        let swap = |spent: u64, out: u64, into: u64| spent.saturating_sub(out).saturating_add(into);
        self.spent.bytes = swap(self.spent.bytes, reserved.bytes, used.bytes);
        self.spent.rows = swap(self.spent.rows, reserved.rows, used.rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_chain::Rate;

    fn limited(edit: impl FnOnce(&mut Limits)) -> Budget {
        let mut limits = Limits::default();
        edit(&mut limits);
        Budget::new(limits)
    }

    #[test]
    fn the_nth_use_is_admitted_and_the_next_is_not() {
        let mut budget = limited(|l| l.uses = Some(3));
        for _ in 0..3 {
            assert_eq!(budget.admits(Charge::default(), 1), Ok(()));
            budget.reserve(Charge::default(), 1);
        }
        assert_eq!(budget.admits(Charge::default(), 1), Err(Limit::Uses));
    }

    #[test]
    fn bytes_are_reserved_at_their_cap_and_given_back_when_settled() {
        let mut budget = limited(|l| l.bytes = Some(100));
        let cap = Charge { bytes: 80, rows: 0 };
        assert_eq!(budget.admits(cap, 1), Ok(()));
        budget.reserve(cap, 1);
        assert_eq!(budget.admits(cap, 1), Err(Limit::Bytes));
        budget.settle(cap, Charge { bytes: 20, rows: 0 });
        assert_eq!(budget.bytes_left(), Some(80));
        assert_eq!(budget.admits(cap, 1), Ok(()));
    }

    #[test]
    fn a_rate_is_exact_over_any_window() {
        let mut budget = limited(|l| l.rate = Some(Rate { uses: 2, per_s: 1 }));
        budget.reserve(Charge::default(), 10_000);
        budget.reserve(Charge::default(), 10_500);
        assert_eq!(budget.admits(Charge::default(), 10_999), Err(Limit::Rate));
        assert_eq!(budget.admits(Charge::default(), 11_000), Ok(()));
        budget.reserve(Charge::default(), 11_000);
        assert_eq!(budget.admits(Charge::default(), 11_499), Err(Limit::Rate));
        assert_eq!(budget.admits(Charge::default(), 11_500), Ok(()));
    }

    #[test]
    fn the_last_second_is_the_last() {
        let budget = limited(|l| l.until_s = Some(5));
        assert_eq!(budget.admits(Charge::default(), 5_999), Ok(()));
        assert_eq!(budget.admits(Charge::default(), 6_000), Err(Limit::Until));
    }
}
