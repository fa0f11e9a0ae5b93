//! Questions: an exec waits, somebody answers later, from whichever thread. Neither holds up anything else.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::judge::{Answer, Denial};

/// Holds the thread of an exec; goes into [`super::Verdict::Ask`].
#[derive(Debug)]
pub struct Pending(pub(super) Arc<Slot>);

/// Answers a question, from any thread. Dropped without an answer it denies.
#[derive(Debug)]
pub struct Resolver(Arc<Slot>);

/// Makes the two ends of a question.
#[must_use]
pub fn question() -> (Pending, Resolver) {
    let slot = Arc::new(Slot::default());
    (Pending(Arc::clone(&slot)), Resolver(slot))
}

#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Early,
    /// At a gate, which is called when there is an answer.
    Waiting(Arc<Bell>),
    Answered(Answer),
    Over,
}

impl Resolver {
    /// Answers. False if nobody waits any more: the question was withdrawn.
    pub fn resolve(self, answer: Answer) -> bool {
        self.0.answer(answer)
    }

    /// Whether the thread still waits.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !matches!(*self.0.lock(), State::Over)
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.answer(Answer::Deny(Denial::because("nobody is there to answer; try again later")));
    }
}

impl Slot {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, answer: Answer) -> bool {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Early => *state = State::Answered(answer),
            State::Waiting(bell) => {
                *state = State::Answered(answer);
                bell.ring();
            }
            first @ State::Answered(_) => *state = first,
            State::Over => return false,
        }
        true
    }

    /// From now on `bell` is rung when there is an answer.
    pub(super) fn wait_at(&self, bell: &Arc<Bell>) {
        let mut state = self.lock();
        if matches!(*state, State::Early) {
            *state = State::Waiting(Arc::clone(bell));
        }
    }

    /// The answer, once.
    pub(super) fn take(&self) -> Option<Answer> {
        let mut state = self.lock();
        match std::mem::replace(&mut *state, State::Over) {
            State::Answered(answer) => Some(answer),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Nobody waits any more. False if there was an answer in the meantime.
    pub(super) fn withdraw(&self) -> bool {
        let mut state = self.lock();
        let open = !matches!(*state, State::Answered(_));
        *state = State::Over;
        open
    }
}

/// Wakes the thread that settles answers.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_one();
    }

    /// Waits for a ring, at most for `most` where that is given.
    pub(super) fn wait(&self, most: Option<std::time::Duration>) {
        let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rung {
            rung = match most {
                Some(most) => self.heard.wait_timeout(rung, most).map_or_else(|error| error.into_inner().0, |(rung, _)| rung),
                None => self.heard.wait_while(rung, |rung| !*rung).unwrap_or_else(PoisonError::into_inner),
            };
        }
        *rung = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_once() {
        let (pending, resolver) = question();
        assert!(resolver.is_waiting());
        assert!(resolver.resolve(Answer::Allow));
        assert_eq!(pending.0.take(), Some(Answer::Allow));
        assert_eq!(pending.0.take(), None);
    }

    #[test]
    fn a_question_that_nobody_can_answer_is_denied() {
        let (pending, resolver) = question();
        drop(resolver);
        assert!(matches!(pending.0.take(), Some(Answer::Deny(_))));
    }

    #[test]
    fn a_withdrawn_question_takes_no_answer() {
        let (pending, resolver) = question();
        assert!(pending.0.withdraw());
        assert!(!resolver.is_waiting());
        assert!(!resolver.resolve(Answer::Allow));
        assert_eq!(pending.0.take(), None);
    }

    #[test]
    fn an_answer_rings_where_the_question_waits() {
        let bell = Arc::new(Bell::default());
        let (pending, resolver) = question();
        pending.0.wait_at(&bell);
        std::thread::scope(|threads| {
            threads.spawn(|| resolver.resolve(Answer::Allow));
            bell.wait(None);
        });
        assert_eq!(pending.0.take(), Some(Answer::Allow));
    }
}
