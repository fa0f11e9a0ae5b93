//! Find secrets in bytes and scrub them.
//!
//! **Purpose.** Everything Marque does with a secret that is already in memory: hold it without printing it
//! ([`Secret`]), know the shapes it takes when an upstream echoes it ([`forms`]), mask those in a stream without
//! changing its length ([`scrub`]), undo content codings so that there is something to search ([`decode`]), decide when
//! masking is no longer enough ([`oracle`]), recognise secrets nobody registered ([`pattern`]) and make stand-ins that
//! look like the real thing ([`placeholder`]).
//!
//! **Not its job.** Deciding where a secret may go, storing or fetching it, touching requests (a request is never
//! searched for placeholders), framing (HTTP, WebSocket), or stopping an upstream that means to re-encode what it
//! received: scrubbing is a net against accidental echo.
//!
//! **Invariants.**
//! * Pure: no I/O, clock, randomness, threads or `unsafe`; no panic and no super-linear time on untrusted bytes.
//! * A [`Secret`] cannot be printed, serialised or cloned, and is wiped when dropped.
//! * What a [`scrub::Scrubber`] emits does not depend on how its input was split, contains no registered needle, and
//!   differs from the input only inside hits.
//! * Every decoder and every rule is bounded by a constant in [`limits`].
//!
//! **Entry points.** [`scrub::Needles::builder`], [`scrub::Scrubber`], [`decode::Decoder`], [`oracle::HitLedger`],
//! [`pattern::Rules`], [`placeholder::Shape`].
//!
//! **How to test.** `cargo test -p marque-detect`.

pub mod decode;
pub mod forms;
pub mod limits;
pub mod oracle;
pub mod pattern;
pub mod placeholder;
pub mod scrub;
pub mod secret;

pub use secret::Secret;
