//! Allowed execs that need no second verdict: builds start the same compiler a thousand times.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::limits::ALLOWED_MAX;
use super::seen::Exec;

/// What must be the same for a verdict to be: everything that the judge sees, but for process ids and the very directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    /// The key of an exec, or none where parts of it were not read.
    pub(super) fn of(exec: &Exec, class: u64) -> Option<Self> {
        if exec.argv.truncated || exec.env.truncated || exec.script.as_ref().is_some_and(|script| script.truncated) {
            return None;
        }
        let mut digest = Sha256::new();
        let mut field = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        };
        field(&exec.path);
        field(&exec.program.sha256);
        field(&exec.binary.sha256);
        field(&exec.starts_with.bytes);
        field(&exec.argv.bytes);
        for (name, value) in &exec.env_changed {
            field(name);
            field(&[u8::from(value.is_some())]);
            field(value.as_deref().unwrap_or_default());
        }
        if let Some(script) = &exec.script {
            field(&script.sha256);
            field(&[script.held as u8]);
        }
        field(&[exec.stdin as u8]);
        field(&class.to_le_bytes());
        Some(Self(digest.finalize().into()))
    }
}

/// At most [`ALLOWED_MAX`] keys.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    keys: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: HashSet<Key>,
    epoch: u64,
}

impl Allowed {
    /// Whether `key` was allowed, and the epoch in which that was asked.
    pub(super) fn has(&self, key: &Key) -> (bool, u64) {
        let state = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        (state.keys.contains(key), state.epoch)
    }

    /// Remembers a verdict, unless everything was forgotten since it was asked for.
    pub(super) fn put(&self, key: Key, epoch: u64) {
        let mut state = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if state.epoch != epoch {
            return;
        }
        if state.keys.len() >= ALLOWED_MAX && !state.keys.contains(&key) {
            state.keys.clear();
        }
        state.keys.insert(key);
    }

    /// Forgets everything: the policy changed, or the session was tightened.
    pub(super) fn forget(&self) {
        let mut state = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys.clear();
        state.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        Key(bytes)
    }

    #[test]
    fn as_many_verdicts_are_kept_as_fit() {
        let allowed = Allowed::default();
        for number in 0..ALLOWED_MAX {
            allowed.put(key(number), 0);
        }
        allowed.put(key(0), 0);
        assert!(allowed.has(&key(0)).0 && allowed.has(&key(ALLOWED_MAX - 1)).0);
        allowed.put(key(ALLOWED_MAX), 0);
        assert!(!allowed.has(&key(0)).0 && allowed.has(&key(ALLOWED_MAX)).0);
    }

    #[test]
    fn a_verdict_from_before_a_change_is_not_kept_after_it() {
        let allowed = Allowed::default();
        let (_, epoch) = allowed.has(&key(1));
        allowed.forget();
        allowed.put(key(1), epoch);
        assert!(!allowed.has(&key(1)).0);
    }
}
