//! Landlock, which says again what the mounts say: two locks of different make on the same door.

use super::{At, Outcome};
use crate::error::Step;
use crate::files::{ALL_RIGHTS, ALL_SCOPES, Rule};
use crate::sys::landlock;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};

/// A ruleset of these rules, made in the new root.
pub(super) fn make(rules: &[Rule]) -> Outcome<OwnedFd> {
    let set = landlock::create(ALL_RIGHTS, ALL_SCOPES).at(Step::Landlock)?;
    for (index, rule) in rules.iter().enumerate() {
        let at = openat(CWD, rule.at.as_c_str(), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).of(Step::Landlock, index)?;
        landlock::allow(set.as_fd(), rule.rights, at.as_fd()).of(Step::Landlock, index)?;
    }
    Ok(set)
}
