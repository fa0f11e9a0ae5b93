//! The journal's bytes: how a record is written, hashed into a tree, vouched for by a checkpoint, and checked by someone else.
//!
//! **Purpose.** One encoding of a record (version 1); segment files of checksummed batches; an RFC 9162 Merkle tree in C2SP
//! tiles; signed checkpoints, cosignatures and receipts; recovery and verification as decisions over bytes.
//!
//! **Not its job.** Files, clocks, randomness, threads (the `store` crate), what a record means (`model`), who signed a chain
//! link (`chain`).
//!
//! **Invariants.** I10: alteration, removal and reordering below a checkpoint are found by whoever holds it. I11: no panic, no
//! unbounded recursion and no super-linear time on untrusted bytes. I12: every bound is in [`limits`]. A value has exactly one
//! encoding, and decoders refuse all others.
//!
//! **Entry points.** [`record::encode`] and [`record::decode`]; [`segment::BatchWriter`], [`segment::scan`] and
//! [`segment::recover`]; [`merkle::Tree`]; [`checkpoint::may_sign`]; [`witness::decide`]; [`proof::Receipt`];
//! [`verify::Verifier`].
//!
//! **How to test.** `cargo test -p marque-journal`; `MARQUE_BLESS=1` rewrites the golden files in `conformance/journal`. The
//! format is written down in `conformance/FORMAT.md`, and `conformance/verify.py` checks it without sharing code.

pub mod cbor;
pub mod checkpoint;
pub mod cosign;
pub mod limits;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod record;
pub mod segment;
pub mod tile;
pub mod verify;
pub mod witness;
