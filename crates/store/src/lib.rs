//! The journal on files with natural group commit, and sealed secrets.
//!
//! **Purpose.** One thread judges drafts in journal order, writes a batch, syncs it, and only then answers; another keeps tiles
//! and checkpoints. Credentials lie sealed in a third file whose keys this crate cannot unwrap by itself.
//!
//! **Not its job.** The bytes of a record or a proof (`journal`), what a record means (`model`), when a secret may be used
//! (`authority`), guarding the root key in a process of its own (`authority`'s signer).
//!
//! **Invariants.** I1, I7, I10: what was acknowledged is on the disk, and a failed write or sync ends the process instead of
//! being tried again. Recovery drops nothing but a last batch nobody was told of. C8: a draft is judged against everything
//! before it by the one committer. A snapshot is never believed against the journal:
//! none that is missing, altered or planted changes the state that a start comes to. A secret's plaintext is never in a file, an error or a log.
//!
//! **Entry points.** [`FileJournal::open`], [`Journal::append`], [`Journal::receipt`], [`MarkFile`], [`sealed::SecretStore`],
//! [`seal::SealFile`], [`index::IndexWriter`].
//!
//! **How to test.** `cargo test -p marque-store`; `MARQUE_SIM_SEEDS=from..to` chooses the seeds of the crash simulation, and
//! `marque-bench journal` measures.

pub mod disk;
mod files;
pub mod index;
pub mod limits;
mod machine;
mod mark;
pub mod seal;
pub mod sealed;

pub use files::{
    Ack, AppendError, CheckpointSigner, Fatal, FileJournal, Inclusion, Journal, KeySigner, OnFatal, OpenError, Opening,
    Options, ReadError, Records, Recovery, Remember, Remembered, SignError, SignedHead, snapshot_again,
};
pub use machine::{Announcement, FrameSink, Frozen, Machine, ReplayError, SinkError, Urgency};
pub use mark::{Mark, MarkError, MarkFile};
