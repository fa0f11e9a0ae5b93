//! # marque-policy
//!
//! *Purpose*: judge one use against policy. [`Vocabulary`] is the Cedar schema made from the service profiles,
//! [`Pack`] a set of policy texts that parsed, passed the strict validator and its own assertions, [`Policies`] the
//! packs compiled into slices; [`Policies::decide`] turns [`Facts`] into a [`Verdict`], [`Policies::explain`] says
//! why and what would change it, [`Policies::replay`] what a new version would have said.
//!
//! *Not its job*: grants, budgets and containment (checked before, in `chain` and `model`), asking people, reading
//! files. A pack can only tighten what the grants allow.
//!
//! *Invariants*: whatever cannot be decided is denied, and one policy that errors is enough (I7: Cedar itself skips a
//! `forbid` that errors); a question results only where every determining `forbid` asks; what no profile knows is
//! never better than a question; a slice leaves out only policies whose head cannot match, so slicing never changes a
//! verdict. Explanations name rules and the way around them: they are for humans, never for an agent (threats M3).
//!
//! *Entry points*: [`Vocabulary::new`], [`Pack::load`], [`Policies::new`], [`Policies::decide`]; on the hot path
//! [`LeafPolicies`], which settles once what does not change from one use of a leaf to the next.
//!
//! *How to test*: `cargo test -p marque-policy`; figures by `cargo run --release -p marque-policy --example
//! decide_cost`.

mod assertions;
mod compiled;
mod error;
mod explain;
mod facts;
mod fold;
mod leaf;
pub mod limits;
mod literals;
mod pack;
mod policies;
mod request;
mod rule;
mod slice;
mod verdict;
mod vocabulary;

#[cfg(test)]
mod tests;

pub use error::{PackError, Problem};
pub use explain::{Change, Difference, Explanation, Told};
pub use facts::{Act, Circumstances, Facts, Principal, Resource, SessionFacts, is_branch};
pub use leaf::{Bearer, Class, LeafPolicies, Use};
pub use pack::Pack;
pub use policies::Policies;
pub use verdict::{Answer, Verdict};
pub use vocabulary::{Operation, Vocabulary, VocabularyError};
