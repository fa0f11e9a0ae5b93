//! # marque-switch
//!
//! *Purpose*: what a second build of the workspace has and the product has not. *Fail points*: places between two durable
//! steps where the process kills itself when it is told to. *Guard switches*: an invariant's guard can be taken away, so that
//! the test of the invariant is seen to fail. *Shifted clocks*: a machine that slept, a wall clock that was set.
//!
//! *Not its job*: deciding anything. Without the feature `on` every function here is empty, and `marque` does not compile with
//! it: `crates/cli/src/main.rs` says so to the compiler, `cargo xtask tidy` to the reader.
//!
//! *Invariants*: a fail point fires once: it claims the file in `MARQUE_FAIL_HIT` first, so that the process that is started
//! again lives, and whoever watches can prove that it was there.
//!
//! | variable | means |
//! |---|---|
//! | `MARQUE_FAIL_POINT` | `name` or `name:nth`: die there, the nth time this process comes by |
//! | `MARQUE_FAIL_HIT` | file that is made before dying; while it is there, nothing fires |
//! | `MARQUE_FAIL_SCOPE` | `group`: the whole process group dies, as if the power went |
//! | `MARQUE_FAIL_TRACE` | file to which every fail point is appended that a process comes by, once each |
//! | `MARQUE_GUARD_OFF` | invariants whose guards are off: `I1,I6` |
//! | `MARQUE_CLOCK_SHIFT` | file with two numbers, read at every look at a clock: milliseconds added to wall clock and boot time |
//!
//! *Entry points*: [`fail_point`], [`fail_point_of`], [`guard_off`], [`clock_shift`].
//!
//! *How to test*: `crates/cli/tests/it/guards.rs` and `kills.rs`, with the real binary.

#[cfg(feature = "on")]
mod on;

#[cfg(feature = "on")]
pub use on::{clock_shift, fail_point, fail_point_of, guard_off};

/// The process may end here, in the second build, when it is told to.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn fail_point(_name: &str) {}

/// A fail point of one file: its name is the file's, without directory and id, and the step.
#[cfg(not(feature = "on"))]
#[inline(always)]
pub const fn fail_point_of(_path: &str, _step: &str) {}

/// Whether this invariant's guard was taken away; only ever in the second build.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn guard_off(_invariant: &str) -> bool {
    false
}

/// Milliseconds to add to wall clock and boot time.
#[cfg(not(feature = "on"))]
#[inline(always)]
#[must_use]
pub const fn clock_shift() -> (i64, i64) {
    (0, 0)
}
