//! Session time: the later of wall clock and boot time, so that neither a clock set back nor a suspended machine extends
//! a session (threats M4).

use marque_switch::clock_shift;
use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where time comes from: boot time, which a suspended machine does not stop, and the furthest that the wall clock was ever
/// ahead of it. A wall clock that leaps ahead and is corrected leaves time ahead, and it goes on from there: nothing stands
/// still until the wall clock has caught up.
#[derive(Debug)]
pub struct SessionClock {
    ahead_ms: AtomicU64,
}

fn read_ms(clock: ClockId, shift_ms: i64) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000).saturating_add_signed(shift_ms)
}

impl SessionClock {
    /// Starts counting.
    #[must_use]
    pub fn start() -> Self {
        Self { ahead_ms: AtomicU64::new(0) }
    }

    /// From now on time is not before `floor_ms`: the last record of the journal was then.
    pub fn not_before(&self, floor_ms: u64) {
        let (_, boot_ms) = clock_shift();
        self.lead(floor_ms.saturating_sub(read_ms(ClockId::Boottime, boot_ms)));
    }

    /// Milliseconds since 1970, never less than before.
    pub fn now_ms(&self) -> u64 {
        let (wall_ms, boot_ms) = clock_shift();
        // In this order: whoever is held up between the two finds the wall clock behind, not ahead.
        let wall = read_ms(ClockId::Realtime, wall_ms);
        let boot = read_ms(ClockId::Boottime, boot_ms);
        boot.saturating_add(self.lead(wall.saturating_sub(boot)))
    }

    fn lead(&self, ahead_ms: u64) -> u64 {
        let most = self.ahead_ms.load(Ordering::Relaxed);
        if ahead_ms <= most {
            return most;
        }
        self.ahead_ms.fetch_max(ahead_ms, Ordering::Relaxed).max(ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_before_the_last_record_and_does_not_stand_still_after_it() {
        let floor = read_ms(ClockId::Realtime, 3_600_000);
        let clock = SessionClock::start();
        assert!(clock.now_ms() < floor);
        clock.not_before(floor);
        let first = clock.now_ms();
        assert!(first >= floor && first < floor + 60_000);
        while clock.now_ms() == first {
            std::hint::spin_loop();
        }
        assert!(clock.now_ms() > first);
    }
}
