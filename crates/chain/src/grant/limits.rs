//! Limits of a grant or a link: amounts, rate, bytes, rows and a last moment.

use serde::Serialize;
use serde_json::Value;

use super::Wider;
use crate::schema::{Object, Read, SchemaError, deserialize_strictly, integer};

/// At most `uses` uses in any window of `per_s` seconds, wherever the window starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Rate {
    /// Uses in one window.
    pub uses: u64,
    /// Length of the window in seconds, at least 1.
    pub per_s: u64,
}

impl Rate {
    fn from_json(value: Value) -> Read<Self> {
        let mut object = Object::new(value)?;
        let uses = object.need("uses", integer)?;
        let per_s = object.need("per_s", |v| match integer(v)? {
            0 => Err(SchemaError::here("must be at least 1")),
            n => Ok(n),
        })?;
        object.end()?;
        Ok(Self { uses, per_s })
    }

    /// Whether every schedule that keeps `child` keeps `self` too.
    ///
    /// A window of the parent is covered by `ceil(parent.per_s / child.per_s)` windows of the child. Sound, and
    /// transitive, since ceil(a/c) is at most ceil(a/b) · ceil(b/c).
    #[must_use]
    pub fn covers(&self, child: &Self) -> bool {
        let windows = self.per_s.div_ceil(child.per_s.max(1));
        windows
            .checked_mul(child.uses)
            .is_some_and(|most| most <= self.uses)
    }
}
deserialize_strictly!(Rate);

/// What may be used of a permission. A missing member of a child is *inherited* from its parent; a missing
/// member of link 0 is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Limits {
    /// Uses in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// Uses over time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
    /// Bytes in both directions, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Last second of use, Unix time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_s: Option<u64>,
    /// Rows, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}
deserialize_strictly!(Limits);

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self {
        uses: None,
        rate: None,
        bytes: None,
        until_s: None,
        rows: None,
    };

    pub(crate) fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// Reads the JSON form; unknown members are an error.
    ///
    /// # Errors
    /// [`SchemaError`] with a pointer.
    pub fn from_json(value: Value) -> Result<Self, SchemaError> {
        let mut object = Object::new(value)?;
        let limits = Self {
            uses: object.may("uses", integer)?,
            rate: object.may("rate", Rate::from_json)?,
            bytes: object.may("bytes", integer)?,
            until_s: object.may("until_s", integer)?,
            rows: object.may("rows", integer)?,
        };
        object.end()?;
        Ok(limits)
    }

    /// Whether no member of `child` is above this one's. `self` must be *effective*
    /// ([`Limits::inheriting`] applied from link 0 down), else a member dropped in between is lost.
    ///
    /// # Errors
    /// [`Wider`] with a pointer relative to the limits.
    pub fn covers(&self, child: &Self) -> Result<(), Wider> {
        let above = |name: &str, mine: Option<u64>, theirs: Option<u64>| match (mine, theirs) {
            (Some(most), Some(asked)) if asked > most => Err(Wider::new(
                format!("/{name}"),
                format!("asks for {asked}, the parent has {most}"),
            )),
            _ => Ok(()),
        };
        above("uses", self.uses, child.uses)?;
        if let (Some(most), Some(asked)) = (self.rate, child.rate)
            && !most.covers(&asked)
        {
            let why = format!(
                "asks for {} in {} s, the parent has {} in {} s",
                asked.uses, asked.per_s, most.uses, most.per_s
            );
            return Err(Wider::new("/rate".into(), why));
        }
        above("bytes", self.bytes, child.bytes)?;
        above("until_s", self.until_s, child.until_s)?;
        above("rows", self.rows, child.rows)
    }

    /// These limits with the parent's in place of the missing ones.
    #[must_use]
    pub fn inheriting(&self, parent: &Self) -> Self {
        Self {
            uses: self.uses.or(parent.uses),
            rate: self.rate.or(parent.rate),
            bytes: self.bytes.or(parent.bytes),
            until_s: self.until_s.or(parent.until_s),
            rows: self.rows.or(parent.rows),
        }
    }
}
