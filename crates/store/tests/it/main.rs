//! The journal and the sealed secrets on a real directory, through the public interface.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod index;
mod journal;
mod marks;
mod sealed;
mod snapshots;
mod toy;
