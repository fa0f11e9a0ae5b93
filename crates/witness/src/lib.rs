//! # marque-witness
//!
//! *Purpose*: a witness of logs. Another user or host runs it; it remembers the last checkpoint that it saw of each log and
//! cosigns only what extends it (C2SP tlog-witness, tlog-cosignature). And the other side: how a log asks one.
//!
//! *Not its job*: what a record says (it sees sizes and roots), when a log asks (`authority`), the format (`journal`).
//!
//! *Invariants*: I10: two checkpoints with its cosignature never contradict each other. What it cosigns is durable before the
//! cosignature leaves; check and write are one step. A log is believed by its key and a witness by its own: the connection
//! between them is not trusted, and nothing on it is secret.
//!
//! *Entry points*: [`Book::open`], [`serve`], [`Endpoint`].
//!
//! *How to test*: `cargo test --workspace --test it -- witness`; end to end in `crates/cli/tests/it/witness.rs`.

mod ask;
mod book;
pub mod limits;
mod serve;

pub use ask::{AskError, Endpoint};
pub use book::{Book, BookError, Reply, file_of};
pub use serve::serve;
