//! # GraphQL
//!
//! *Purpose*: the root fields that a GraphQL request over HTTP would run, with their arguments, and every name it selects
//! below them (GraphQL specification, October 2021, section 2; GraphQL over HTTP).
//!
//! *Not its job*: schemas, types, validation, execution.
//!
//! *Invariants*: strict: one JSON object, no batches, no persisted queries, no extensions, no unknown directives; what is
//! `@include`d or `@skip`ped conditionally counts as run. Aliases never hide a name. Fragments are visited once per
//! context, so that fragments which use each other cannot make the work grow.
//!
//! *Entry points*: [`Call::parse`].
//!
//! *How to test*: `cargo test -p marque-wire graphql::`; a property compares the grammar with `apollo-parser`.

mod ast;
mod call;
mod lexer;
mod parser;

pub use ast::Kind;
pub use call::{Argument, Call, Fields, RootField};

/// Why a request has no meaning that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphqlError {
    /// The envelope: not an object, a batch, a persisted query, unknown members.
    #[error("the GraphQL request {0}")]
    Envelope(&'static str),
    /// The document is not in the strict grammar.
    #[error("the GraphQL document {0}")]
    Document(&'static str),
    /// Longer, deeper or more tokens than the bound.
    #[error("the GraphQL request is over the bound of {0}")]
    Bound(&'static str),
    /// A selected field may lead out of the resource.
    #[error("the field `{0}` is not known to stay within the resource")]
    Field(String),
}
