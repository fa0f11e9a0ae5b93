//! Drafts that nobody waits for, such as outcomes, wait a moment for one that somebody waits for: each batch costs a sync, and
//! a batch of one outcome would keep the next intent from the disk.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How the committer rests beside an unheard draft, and how it is called.
#[derive(Debug, Default)]
pub(crate) struct Linger {
    rests: AtomicBool,
    committer: OnceLock<Thread>,
}

impl Linger {
    /// Somebody waits: called after the draft was sent.
    pub(crate) fn call(&self) {
        // Either this sees that the committer rests, or the committer, which looks once more before it rests, sees the draft.
        fence(Ordering::SeqCst);
        if self.rests.load(Ordering::Relaxed)
            && let Some(committer) = self.committer.get()
        {
            committer.unpark();
        }
    }

    /// Rests for at most `most`, until `look` finds a reason not to. Called by the committer alone.
    pub(crate) fn rest(&self, most: Duration, mut look: impl FnMut() -> bool) {
        self.committer.get_or_init(std::thread::current);
        let until = Instant::now() + most;
        self.rests.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while !look() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::park_timeout(left);
        }
        self.rests.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn whoever_calls_is_heard_long_before_the_rest_is_over() {
        let (linger, sent, seen) = (Arc::new(Linger::default()), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (theirs, to_see, to_send) = (linger.clone(), sent.clone(), seen.clone());
        let resting = std::thread::spawn(move || {
            for round in 1..=10_000 {
                theirs.rest(Duration::from_secs(60), || to_see.load(Ordering::Relaxed) >= round);
                to_send.store(round, Ordering::Release);
            }
        });
        let began = Instant::now();
        for round in 1..=10_000 {
            sent.store(round, Ordering::Relaxed);
            linger.call();
            while seen.load(Ordering::Acquire) < round {
                std::hint::spin_loop();
                std::thread::yield_now();
            }
        }
        resting.join().unwrap();
        assert!(began.elapsed() < Duration::from_secs(60), "a call was not heard");
    }

    #[test]
    fn a_rest_that_nobody_ends_ends_by_itself() {
        let began = Instant::now();
        Linger::default().rest(Duration::from_millis(5), || false);
        assert!(began.elapsed() >= Duration::from_millis(5));
    }
}
