//! Execs that wait for somebody's answer. Only their threads wait; one thread of the gate settles what was answered and notices
//! who is gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;

use super::gate::Desk;
use super::judge::{Answer, Judge};
use super::limits::{ASKS_MAX, WITHDRAWN_LOOK};
use super::question::{Bell, Pending, Slot};
use super::seen::Exec;

/// At most [`ASKS_MAX`] questions.
#[derive(Debug, Default)]
pub(super) struct Asks {
    waiting: Mutex<Vec<Waiting>>,
    bell: Arc<Bell>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Waiting {
    exec: Arc<Exec>,
    slot: Arc<Slot>,
}

impl Asks {
    /// Takes a question. False if there are too many.
    pub(super) fn add(&self, exec: Arc<Exec>, pending: Pending) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= ASKS_MAX {
            pending.0.withdraw();
            return false;
        }
        pending.0.wait_at(&self.bell);
        waiting.push(Waiting { exec, slot: pending.0 });
        drop(waiting);
        // It may have been answered before, and the thread below may sleep without end.
        self.bell.ring();
        true
    }

    /// Settles answers until the gate closes.
    pub(super) fn settle<'s>(&self, desk: &'s Desk<'_>, threads: &'s Scope<'s, '_>) {
        while !self.closed.load(Ordering::Acquire) {
            let most = if self.is_empty() { None } else { Some(WITHDRAWN_LOOK) };
            self.bell.wait(most);
            for (waiting, answer) in self.ready(desk) {
                match answer {
                    Some(answer) => desk.answer(&waiting.exec, &answer, threads),
                    None => desk.judge.withdrawn(&waiting.exec),
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes out what is answered, with its answer, and what is withdrawn.
    fn ready(&self, desk: &Desk<'_>) -> Vec<(Waiting, Option<Answer>)> {
        let mut ready = Vec::new();
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in std::mem::take(&mut *all) {
            if let Some(answer) = waiting.slot.take() {
                ready.push((waiting, Some(answer)));
            } else if desk.listener.valid(waiting.exec.id) {
                all.push(waiting);
            } else {
                waiting.slot.withdraw();
                ready.push((waiting, None));
            }
        }
        ready
    }

    /// The gate closes.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.bell.ring();
    }

    /// Nobody answers any more.
    pub(super) fn withdraw_all(&self, judge: &dyn Judge) {
        for waiting in std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)) {
            waiting.slot.withdraw();
            judge.withdrawn(&waiting.exec);
        }
    }
}
