//! How fast one leaf is refused. A refusal costs the agent nothing and us a decision, so that a session in a loop of refused
//! requests would take the processor from the others (threats H18): beyond a burst its answers come at a rate.

use crate::limits::{REFUSALS_BURST, REFUSALS_PER_SECOND};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const GAP_US: u64 = 1_000_000 / REFUSALS_PER_SECOND;

/// When the next refusal of one leaf is due. Time is the caller's, in microseconds from any fixed moment.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next_us: AtomicU64,
}

impl Pace {
    /// Takes a place in the row; returns how long it is until then.
    pub(crate) fn wait(&self, now_us: u64) -> Duration {
        let earliest = now_us.saturating_sub((REFUSALS_BURST - 1) * GAP_US);
        let after = |next: u64| Some(next.max(earliest).saturating_add(GAP_US));
        let taken = self.next_us.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after).unwrap_or(u64::MAX);
        Duration::from_micros(taken.max(earliest).saturating_sub(now_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_answered_at_once_and_a_flood_at_the_rate() {
        let pace = Pace::default();
        let now = 3_600_000_000;
        for _ in 0..REFUSALS_BURST {
            assert_eq!(pace.wait(now), Duration::ZERO);
        }
        // n + 1 waits for its turn, and whoever comes later waits longer.
        assert_eq!(pace.wait(now), Duration::from_micros(GAP_US));
        for _ in 0..REFUSALS_PER_SECOND {
            pace.wait(now);
        }
        assert_eq!(pace.wait(now), Duration::from_micros(GAP_US * (REFUSALS_PER_SECOND + 2)));
        // What was not used comes back.
        assert_eq!(pace.wait(now + 3_600_000_000), Duration::ZERO);
    }
}
