//! Placements as words, and back.

use super::{PathPlace, Placement, PlacementError};
use crate::answer::json::Pointer;
use crate::limits::PLACEMENT_BYTES_MAX;
use std::fmt;
use std::str::FromStr;

/// Text with one `{}` for the secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    pub(super) before: String,
    pub(super) after: String,
}

impl Template {
    /// Splits a text at its one `{}`.
    pub(super) fn split(text: &str) -> Option<Self> {
        let (before, after) = text.split_once("{}")?;
        let plain = !before.contains(['{', '}']) && !after.contains(['{', '}']);
        plain.then(|| Self { before: before.to_owned(), after: after.to_owned() })
    }

    /// The template that is the secret alone.
    #[must_use]
    pub const fn whole() -> Self {
        Self { before: String::new(), after: String::new() }
    }

    /// Whether nothing stands around the secret.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{}}{}", self.before, self.after)
    }
}

/// Headers that no credential goes into: they frame, route, belong to one hop, or have a placement of their own.
const NOT_FOR_CREDENTIALS: [&str; 21] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "range",
    "referer",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
];

impl FromStr for Placement {
    type Err = PlacementError;

    fn from_str(text: &str) -> Result<Self, PlacementError> {
        let refuse = |why| PlacementError { text: text.chars().take(PLACEMENT_BYTES_MAX).collect(), why };
        if text.len() > PLACEMENT_BYTES_MAX {
            return Err(refuse("it is too long"));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) || text.trim() != text {
            return Err(refuse("it has characters that no placement has"));
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match (verb, rest) {
            ("bearer", "") => Ok(Self::Bearer),
            ("none", "") => Ok(Self::Nowhere),
            ("basic", "") => Ok(Self::Basic { user: None }),
            ("basic", user) if !user.contains([':', ' ']) => Ok(Self::Basic { user: Some(user.to_owned()) }),
            ("basic", _) => Err(refuse("a user has neither `:` nor blanks")),
            ("header", rest) => header(rest).map_err(refuse),
            ("query", name) if is_name(name) => Ok(Self::Query { name: name.to_owned() }),
            ("form", name) if is_name(name) => Ok(Self::Form { name: name.to_owned() }),
            ("cookie", name) if super::cookie::is_name(name) => Ok(Self::Cookie { name: name.to_owned() }),
            ("query" | "form" | "cookie", _) => Err(refuse("the name is missing or has characters that no name has")),
            ("body", pointer) => match Pointer::parse(pointer) {
                Ok(pointer) if pointer.is_single() => Ok(Self::Body { pointer }),
                _ => Err(refuse("a body slot is one JSON pointer without `*`")),
            },
            ("path", place) => PathPlace::parse(place).map(Self::Path).map_err(refuse),
            _ => Err(refuse("it is none of bearer, basic, header, query, cookie, body, form, path, none")),
        }
    }
}

impl TryFrom<String> for Placement {
    type Error = PlacementError;
    fn try_from(text: String) -> Result<Self, PlacementError> {
        text.parse()
    }
}

impl From<Placement> for String {
    fn from(placement: Placement) -> Self {
        placement.to_string()
    }
}

fn header(rest: &str) -> Result<Placement, &'static str> {
    let (name, template) = rest.split_once(' ').unwrap_or((rest, "{}"));
    let name = http::HeaderName::from_bytes(name.as_bytes()).map_err(|_| "the header's name is none")?;
    let refused = |known: &&str| crate::http::same_header(&name, known);
    // `X_Api_Key` is dropped by some servers and folded into `X-Api-Key` by others.
    if NOT_FOR_CREDENTIALS.iter().any(refused) || name.as_str().starts_with("proxy-") || name.as_str().contains('_') {
        return Err("no credential goes into that header");
    }
    let template = Template::split(template).ok_or("a header's text has exactly one `{}`")?;
    Ok(Placement::Header { name, template })
}

/// Names of parameters are kept plain, so that they need no escape and hide no bracket.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bearer => f.write_str("bearer"),
            Self::Nowhere => f.write_str("none"),
            Self::Basic { user: None } => f.write_str("basic"),
            Self::Basic { user: Some(user) } => write!(f, "basic {user}"),
            Self::Header { name, template } if template.is_whole() => write!(f, "header {name}"),
            Self::Header { name, template } => write!(f, "header {name} {template}"),
            Self::Query { name } => write!(f, "query {name}"),
            Self::Cookie { name } => write!(f, "cookie {name}"),
            Self::Body { pointer } => write!(f, "body {pointer}"),
            Self::Form { name } => write!(f, "form {name}"),
            Self::Path(place) => write!(f, "path {place}"),
        }
    }
}
