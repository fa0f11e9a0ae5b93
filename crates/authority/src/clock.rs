//! Session time: the later of wall clock and boot time, so that neither a clock set back nor a suspended machine extends
//! a session (threats M4).

use rustix::time::{ClockId, clock_gettime};
use std::sync::atomic::{AtomicU64, Ordering};

/// Where time comes from.
#[derive(Debug)]
pub struct SessionClock {
    wall_at_start_ms: u64,
    boot_at_start_ms: u64,
    /// Added to the wall clock: for tests of a shifted clock in the real binary.
    offset_ms: i64,
    last_ms: AtomicU64,
}

fn read_ms(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000)
}

impl SessionClock {
    /// Starts counting. `floor_ms` is the time of the last record: time never goes back before it.
    #[must_use]
    pub fn start(floor_ms: u64, offset_ms: i64) -> Self {
        let wall = read_ms(ClockId::Realtime).saturating_add_signed(offset_ms);
        Self {
            wall_at_start_ms: wall,
            boot_at_start_ms: read_ms(ClockId::Boottime),
            offset_ms,
            last_ms: AtomicU64::new(floor_ms),
        }
    }

    /// Milliseconds since 1970, never less than before.
    pub fn now_ms(&self) -> u64 {
        let wall = read_ms(ClockId::Realtime).saturating_add_signed(self.offset_ms);
        let elapsed = read_ms(ClockId::Boottime).saturating_sub(self.boot_at_start_ms);
        let now = wall.max(self.wall_at_start_ms.saturating_add(elapsed));
        self.last_ms.fetch_max(now, Ordering::Relaxed).max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_before_the_last_record() {
        let ahead = read_ms(ClockId::Realtime) + 3_600_000;
        let clock = SessionClock::start(ahead, 0);
        assert!(clock.now_ms() >= ahead);
        let behind = SessionClock::start(0, -7_200_000);
        let first = behind.now_ms();
        assert!(behind.now_ms() >= first);
    }
}
