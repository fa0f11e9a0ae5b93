//! Permissions in the form of RFC 9396 `authorization_details`, and containment between them.
//!
//! Types are registered here, in one enum; an unknown `type` or member is an error, never dropped. One parsed
//! form serves consent screen, issuance, verification and use, so that two readings of a pattern cannot exist.

mod limits;
mod origin;
mod path;
mod pattern;
mod render;
mod resource;
mod types;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

pub use limits::{Limits, Rate};
pub use origin::{Methods, Origin};
pub use path::PathPattern;
pub use pattern::PatternError;
pub use render::render;
pub use resource::{ActionPattern, ResourcePattern};
pub use types::{HttpGrant, ServiceGrant};

use crate::limits::{MAX_GRANTS, MAX_ROOT_LINK_BYTES};
use crate::schema::{Object, Read, SchemaError, deserialize_strictly, list, string};
use crate::strict_json;

pub(crate) use types::name;

/// One typed permission.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Grant {
    /// `"type":"http"`
    Http(HttpGrant),
    /// `"type":"service"`
    Service(ServiceGrant),
}
deserialize_strictly!(Grant);

/// One concrete use, asked of a grant. Borrowed, since it is asked on every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseRef<'a> {
    /// The environment the resource belongs to.
    pub environment: &'a str,
    /// What is done.
    pub what: UseWhat<'a>,
}

/// What a use does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseWhat<'a> {
    /// One request. All three in canonical form, the path without its query.
    Http {
        /// `scheme://host:port`
        origin: &'a str,
        /// Upper case.
        method: &'a str,
        /// Starts with `/`.
        path: &'a str,
    },
    /// One operation of a service profile.
    Service {
        /// Name of the profile.
        service: &'a str,
        /// Dotted operation.
        action: &'a str,
        /// Resource in the profile's spelling.
        resource: &'a str,
    },
}

/// A child asks for more than its parent has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("`{pointer}` {why}")]
pub struct Wider {
    /// JSON pointer (RFC 6901) to the member of the child that is wider.
    pub pointer: String,
    /// What it asks and what there is.
    pub why: String,
}

impl Wider {
    pub(crate) fn new(pointer: String, why: String) -> Self {
        Self { pointer, why }
    }

    pub(crate) fn under(self, prefix: impl fmt::Display) -> Self {
        Self {
            pointer: format!("/{prefix}{}", self.pointer),
            ..self
        }
    }
}

/// Members in the order in which `covers` looks at them: the later the miss, the nearer the parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Field {
    Type,
    Service,
    Environment,
    Locations,
    Actions,
    Resources,
    Paths,
    Limits,
}

impl Field {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Service => "service",
            Self::Environment => "environment",
            Self::Locations => "locations",
            Self::Actions => "actions",
            Self::Resources => "resources",
            Self::Paths => "paths",
            Self::Limits => "limits",
        }
    }
}

pub(crate) struct Miss {
    field: Field,
    wider: Wider,
}

impl Miss {
    pub(crate) fn new(field: Field, pointer: String, why: String) -> Self {
        Self {
            field,
            wider: Wider::new(pointer, why),
        }
    }

    pub(crate) fn entry(field: Field, index: usize, asked: impl fmt::Display) -> Self {
        let pointer = format!("/{}/{index}", field.name());
        Self::new(
            field,
            pointer,
            format!("asks for `{asked}`, which no entry of the parent covers"),
        )
    }

    pub(crate) fn limits(wider: Wider) -> Self {
        Self {
            field: Field::Limits,
            wider: wider.under("limits"),
        }
    }
}

impl Grant {
    /// Reads the JSON form; unknown types and members are an error.
    ///
    /// # Errors
    /// [`SchemaError`] with a pointer.
    pub fn from_json(value: Value) -> Result<Self, SchemaError> {
        let mut object = Object::new(value)?;
        let kind = object.need("type", string)?;
        let grant = match kind.as_str() {
            "http" => Self::Http(HttpGrant::read(&mut object)?),
            "service" => Self::Service(ServiceGrant::read(&mut object)?),
            _ => {
                return Err(
                    SchemaError::here(format!("is `{kind}`, which is no registered type"))
                        .under("type"),
                );
            }
        };
        object.end()?;
        Ok(grant)
    }

    /// [`Grant::from_json`] over strict JSON text.
    ///
    /// # Errors
    /// [`SchemaError`]; with an empty pointer if the text is no strict JSON.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        let value = strict_json::parse(text.as_bytes(), MAX_ROOT_LINK_BYTES)
            .map_err(|e| SchemaError::here(e.to_string()))?;
        Self::from_json(value)
    }

    pub(crate) fn list(value: Value) -> Read<Vec<Self>> {
        list(value, MAX_GRANTS, Self::from_json)
    }

    /// The RFC 9396 `type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Service(_) => "service",
        }
    }

    /// The one environment it speaks of.
    #[must_use]
    pub fn environment(&self) -> &str {
        match self {
            Self::Http(grant) => &grant.environment,
            Self::Service(grant) => &grant.environment,
        }
    }

    /// Its limits as written; in a verified chain, the effective ones.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        match self {
            Self::Http(grant) => &grant.limits,
            Self::Service(grant) => &grant.limits,
        }
    }

    /// The same permission under other limits. Not a narrowing by itself: `covers` judges the result.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        match &mut self {
            Self::Http(grant) => grant.limits = limits,
            Self::Service(grant) => grant.limits = limits,
        }
        self
    }

    pub(crate) fn inheriting(self, parent: &Self) -> Self {
        let limits = self.limits().inheriting(parent.limits());
        self.with_limits(limits)
    }

    /// Whether a use lies within it. Limits are not looked at: they need what was used before.
    #[must_use]
    pub fn permits(&self, what: &UseRef<'_>) -> bool {
        match self {
            Self::Http(grant) => grant.permits(what),
            Self::Service(grant) => grant.permits(what),
        }
    }

    fn judge(&self, child: &Self) -> Result<(), Miss> {
        match (self, child) {
            (Self::Http(mine), Self::Http(theirs)) => mine.covers(theirs),
            (Self::Service(mine), Self::Service(theirs)) => mine.covers(theirs),
            _ => {
                let why = format!("is `{}`, the parent has `{}`", child.kind(), self.kind());
                Err(Miss::new(Field::Type, "/type".into(), why))
            }
        }
    }
}

/// Whether every use that `child` permits is permitted by `parent`, within its limits. Total, polynomial,
/// deterministic, sound; incomplete in that no two entries of the parent are ever joined.
///
/// # Errors
/// [`Wider`] with a pointer relative to the grant.
pub fn covers(parent: &Grant, child: &Grant) -> Result<(), Wider> {
    parent.judge(child).map_err(|miss| miss.wider)
}

/// For each child the index of the first parent which covers it. The parents' limits must be effective
/// ([`Limits::inheriting`]); those of [`crate::Hop`] are.
///
/// # Errors
/// [`Wider`] for the first child that no single parent covers, with a pointer from the request's root
/// (`/authorization_details/0/paths/1`), as judged against the parent that came nearest.
pub fn contain(parents: &[Grant], children: &[Grant]) -> Result<Vec<usize>, Wider> {
    children
        .iter()
        .enumerate()
        .map(|(i, child)| first_cover(parents, child, i))
        .collect()
}

fn first_cover(parents: &[Grant], child: &Grant, index: usize) -> Result<usize, Wider> {
    let mut nearest: Option<Miss> = None;
    for (i, parent) in parents.iter().enumerate() {
        match parent.judge(child) {
            Ok(()) => return Ok(i),
            Err(miss) if nearest.as_ref().is_none_or(|best| miss.field > best.field) => {
                nearest = Some(miss)
            }
            Err(_) => {}
        }
    }
    let wider = nearest.map_or_else(
        || Wider::new(String::new(), "has no parent".into()),
        |miss| miss.wider,
    );
    Err(wider.under(index).under("authorization_details"))
}
