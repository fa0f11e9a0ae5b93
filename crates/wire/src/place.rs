//! Where a credential goes: into its declared slot and nowhere else (I13).
//!
//! A request is never searched for placeholders (threats H12): [`Placement::place`] writes to the one slot that the
//! credential's own record names, over whatever stands there, and [`Placement::read`] reads that slot alone.

mod body;
pub(crate) mod cookie;
mod error;
mod parse;
mod path;
mod put;
mod take;
#[cfg(test)]
mod tests;

pub use error::{PlaceError, PlacementError};
pub use parse::Template;
pub use path::PathPlace;
pub(crate) use put::{remove_header, set_target};

use crate::answer::json::Pointer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::AUTHORIZATION;
use marque_detect::Secret;

/// The slot of a credential, as profiles and credential records write it:
///
/// | words | the credential is |
/// |---|---|
/// | `bearer` | `Authorization: Bearer …` (RFC 6750 section 2.1) |
/// | `basic USER` | the password of `Authorization: Basic …` (RFC 7617) |
/// | `basic` | `user:password` of it |
/// | `header NAME` | the whole value of that header |
/// | `header NAME TEMPLATE` | in place of the `{}` of the template: `header Authorization token {}` |
/// | `query NAME` | the value of that query parameter |
/// | `cookie NAME` | the value of that cookie (RFC 6265 section 4.2) |
/// | `body /POINTER` | a string in a JSON object (RFC 6901) |
/// | `form NAME` | a field of an `application/x-www-form-urlencoded` body |
/// | `path N` | the N-th segment of the path, counted from 0 |
/// | `path /TEMPLATE` | in place of the `{}` of the path's beginning: `path /bot{}/`, or of all of it: `path /services/{}` |
/// | `none` | not sent there: the host takes what answers gave (a registry its tokens) |
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Placement {
    /// `bearer`.
    Bearer,
    /// `basic USER`, or `basic` where the secret holds the user too.
    Basic {
        /// The user whose password the secret is.
        user: Option<String>,
    },
    /// `header NAME` and `header NAME TEMPLATE`.
    Header {
        /// Never one that frames, routes or ends at one hop.
        name: HeaderName,
        /// The text around the secret.
        template: Template,
    },
    /// `query NAME`.
    Query {
        /// Not escaped.
        name: String,
    },
    /// `cookie NAME`.
    Cookie {
        /// A token (RFC 6265 section 4.1.1).
        name: String,
    },
    /// `body /POINTER`.
    Body {
        /// Without `*`.
        pointer: Pointer,
    },
    /// `form NAME`.
    Form {
        /// Not escaped.
        name: String,
    },
    /// `path N` and `path /TEMPLATE`.
    Path(PathPlace),
    /// `none`: the host belongs to the credential, and only what answers gave goes there.
    Nowhere,
}

/// A place in a request that a credential can occupy: what the agent has put there is taken off before the real one
/// is placed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Slot {
    /// A header.
    Header(HeaderName),
    /// A query parameter, by its name without escapes.
    Query(String),
    /// A cookie.
    Cookie(String),
    /// A member of a JSON body.
    Body(Pointer),
    /// A field of a form body.
    Form(String),
    /// A piece of the path. It is not taken off: the placeholder must stand there.
    Path,
}

impl Placement {
    /// The slots that this placement writes to.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        vec![match self {
            Self::Nowhere => return Vec::new(),
            Self::Bearer | Self::Basic { .. } => Slot::Header(AUTHORIZATION),
            Self::Header { name, .. } => Slot::Header(name.clone()),
            Self::Query { name } => Slot::Query(name.clone()),
            Self::Cookie { name } => Slot::Cookie(name.clone()),
            Self::Body { pointer } => Slot::Body(pointer.clone()),
            Self::Form { name } => Slot::Form(name.clone()),
            Self::Path(_) => Slot::Path,
        }]
    }

    /// Whether the whole body must be held for the credential to be placed.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        matches!(self, Self::Body { .. } | Self::Form { .. })
    }

    /// What an upstream may echo beside the secret itself and that gives it away: the base64 of `user:password`, the
    /// password alone, the telling pieces of a path. The secret in its own right and its encodings are the
    /// scrubber's.
    #[must_use]
    pub fn scrub_extras(&self, secret: &Secret) -> Vec<Secret> {
        match self {
            Self::Basic { user: Some(user) } => {
                let joined = Secret::new([user.as_bytes(), b":", secret.expose()].concat());
                vec![Secret::new(STANDARD.encode(joined.expose()).into_bytes()), joined]
            }
            Self::Basic { user: None } => {
                let mut extras = vec![Secret::new(STANDARD.encode(secret.expose()).into_bytes())];
                if let Some(at) = secret.expose().iter().position(|b| *b == b':') {
                    extras.extend(secret.expose().get(at + 1..).map(|password| Secret::new(password.to_vec())));
                }
                extras
            }
            Self::Path(_) => {
                let pieces: Vec<&[u8]> = secret.expose().split(|b| *b == b'/').collect();
                if pieces.len() < 2 {
                    return Vec::new();
                }
                pieces.into_iter().filter(|p| p.len() >= TELLING_BYTES_MIN).map(|p| Secret::new(p.to_vec())).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// A piece of a path secret this long is secret by itself; shorter ones (`T0123`, `B0123`) name a team or a channel.
const TELLING_BYTES_MIN: usize = 16;
