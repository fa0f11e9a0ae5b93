//! An executable document. Type system definitions do not occur in requests.

use std::collections::BTreeMap;

/// Type of an operation. Subscriptions are refused when parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads.
    Query,
    /// Writes.
    Mutation,
}

impl Kind {
    /// `query` or `mutation`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Document {
    pub operations: Vec<Operation>,
    pub fragments: BTreeMap<String, Vec<Selection>>,
}

#[derive(Debug)]
pub(super) struct Operation {
    pub kind: Kind,
    pub name: Option<String>,
    /// Declared variables with their default.
    pub variables: BTreeMap<String, Option<Value>>,
    pub selection: Vec<Selection>,
}

#[derive(Debug)]
pub(super) enum Selection {
    Field(Field),
    Spread(String),
    Inline(Vec<Selection>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub args: Vec<(String, Value)>,
    pub selection: Vec<Selection>,
}

#[derive(Debug)]
pub(super) enum Value {
    Variable(String),
    Text(String),
    /// Numbers, booleans, enums, null, lists and block strings: never compared with anything.
    Other,
    Object(Vec<(String, Value)>),
}
