//! The registered grant types: `http` and `service`.

use serde::Serialize;
use serde_json::Value;

use super::limits::Limits;
use super::origin::{Methods, Origin};
use super::path::PathPattern;
use super::resource::{ActionPattern, ResourcePattern};
use super::{Field, Miss, UseRef, UseWhat};
use crate::limits::{MAX_ENTRIES, MAX_NAME_BYTES};
use crate::schema::{Object, Read, list, text_of};

/// Requests to origins: every location with every action on every path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HttpGrant {
    pub(crate) environment: String,
    pub(crate) locations: Vec<Origin>,
    pub(crate) actions: Methods,
    pub(crate) paths: Vec<PathPattern>,
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub(crate) limits: Limits,
}

/// Operations of a service that has a profile: every action on every resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ServiceGrant {
    pub(crate) service: String,
    pub(crate) environment: String,
    pub(crate) actions: Vec<ActionPattern>,
    pub(crate) resources: Vec<ResourcePattern>,
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub(crate) limits: Limits,
}

/// Environment and service names: lower case, digits, `.`, `_`, `-`.
pub(crate) fn name(value: Value) -> Read<String> {
    let ok = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    text_of(
        value,
        MAX_NAME_BYTES,
        ok,
        "lower-case letters, digits, `.`, `_` or `-`",
    )
}

impl HttpGrant {
    /// Origins, as written.
    #[must_use]
    pub fn locations(&self) -> &[Origin] {
        &self.locations
    }

    /// Methods.
    #[must_use]
    pub fn methods(&self) -> &Methods {
        &self.actions
    }

    /// Path patterns, as written.
    #[must_use]
    pub fn paths(&self) -> &[PathPattern] {
        &self.paths
    }

    pub(crate) fn read(object: &mut Object) -> Read<Self> {
        Ok(Self {
            environment: object.need("environment", name)?,
            locations: object.need("locations", |v| list(v, MAX_ENTRIES, Origin::from_json))?,
            actions: object.need("actions", Methods::from_json)?,
            paths: object.need("paths", |v| list(v, MAX_ENTRIES, PathPattern::from_json))?,
            limits: object.may("limits", Limits::from_json)?.unwrap_or_default(),
        })
    }

    pub(crate) fn permits(&self, what: &UseRef<'_>) -> bool {
        let UseWhat::Http {
            origin,
            method,
            path,
        } = what.what
        else {
            return false;
        };
        self.environment == what.environment
            && self.locations.iter().any(|mine| mine.as_str() == origin)
            && self.actions.permits(method)
            && self.paths.iter().any(|mine| mine.permits(path))
    }

    pub(crate) fn covers(&self, child: &Self) -> Result<(), Miss> {
        same(Field::Environment, &self.environment, &child.environment)?;
        each(
            Field::Locations,
            &self.locations,
            &child.locations,
            |a, b| a == b,
        )?;
        if let Some((i, method)) = self.actions.first_not_covered(&child.actions) {
            return Err(Miss::entry(Field::Actions, i, method));
        }
        each(Field::Paths, &self.paths, &child.paths, PathPattern::covers)?;
        self.limits.covers(&child.limits).map_err(Miss::limits)
    }
}

impl ServiceGrant {
    /// Name of the service profile.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Action patterns, as written.
    #[must_use]
    pub fn actions(&self) -> &[ActionPattern] {
        &self.actions
    }

    /// Resource patterns, as written.
    #[must_use]
    pub fn resources(&self) -> &[ResourcePattern] {
        &self.resources
    }

    pub(crate) fn read(object: &mut Object) -> Read<Self> {
        Ok(Self {
            service: object.need("service", name)?,
            environment: object.need("environment", name)?,
            actions: object.need("actions", |v| {
                list(v, MAX_ENTRIES, ActionPattern::from_json)
            })?,
            resources: object.need("resources", |v| {
                list(v, MAX_ENTRIES, ResourcePattern::from_json)
            })?,
            limits: object.may("limits", Limits::from_json)?.unwrap_or_default(),
        })
    }

    pub(crate) fn permits(&self, what: &UseRef<'_>) -> bool {
        let UseWhat::Service {
            service,
            action,
            resource,
        } = what.what
        else {
            return false;
        };
        self.environment == what.environment
            && self.service == service
            && self.actions.iter().any(|mine| mine.permits(action))
            && self.resources.iter().any(|mine| mine.permits(resource))
    }

    pub(crate) fn covers(&self, child: &Self) -> Result<(), Miss> {
        same(Field::Service, &self.service, &child.service)?;
        same(Field::Environment, &self.environment, &child.environment)?;
        each(
            Field::Actions,
            &self.actions,
            &child.actions,
            ActionPattern::covers,
        )?;
        each(
            Field::Resources,
            &self.resources,
            &child.resources,
            ResourcePattern::covers,
        )?;
        self.limits.covers(&child.limits).map_err(Miss::limits)
    }
}

fn same(field: Field, mine: &str, theirs: &str) -> Result<(), Miss> {
    if mine == theirs {
        return Ok(());
    }
    Err(Miss::new(
        field,
        format!("/{}", field.name()),
        format!("is `{theirs}`, the parent has `{mine}`"),
    ))
}

/// Every entry of the child lies in *one* entry of the parent. No union reasoning: sound and quick, and
/// deliberately incomplete.
fn each<T: std::fmt::Display>(
    field: Field,
    mine: &[T],
    theirs: &[T],
    covers: fn(&T, &T) -> bool,
) -> Result<(), Miss> {
    let lost = theirs
        .iter()
        .enumerate()
        .find(|(_, child)| !mine.iter().any(|parent| covers(parent, child)));
    lost.map_or(Ok(()), |(i, child)| Err(Miss::entry(field, i, child)))
}
