//! Reading what the agent has put into a slot: a placeholder, or a credential of its own.

use super::{Placement, body, cookie};
use crate::http::query;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;

impl Placement {
    /// The text that stands in this slot in the form that [`Placement::place`] would write it: for `bearer` the
    /// token, for `basic USER` the password of that user, for a template what fills it.
    ///
    /// `None` where the slot is empty, has another form, or occurs more than once. The rest of the request is not
    /// looked at.
    #[must_use]
    pub fn read(&self, parts: &Parts, body: Option<&[u8]>) -> Option<String> {
        match self {
            Self::Nowhere => None,
            Self::Bearer => scheme(&parts.headers, "bearer").map(str::to_owned),
            Self::Basic { user } => {
                let pair = STANDARD.decode(scheme(&parts.headers, "basic")?).ok()?;
                let pair = String::from_utf8(pair).ok()?;
                match user {
                    None => Some(pair),
                    Some(user) => pair.strip_prefix(user.as_str())?.strip_prefix(':').map(str::to_owned),
                }
            }
            Self::Header { name, template } => {
                let value = one_header(&parts.headers, name)?;
                let held = value.strip_prefix(template.before.as_str())?.strip_suffix(template.after.as_str())?;
                Some(held.to_owned())
            }
            Self::Query { name } => query::value_of(parts.uri.query()?, name),
            Self::Cookie { name } => {
                let mut found = cookie::all(&parts.headers).into_iter().filter(|(n, _)| n == name.as_bytes());
                match (found.next(), found.next()) {
                    (Some((_, value)), None) => String::from_utf8(value).ok(),
                    _ => None,
                }
            }
            Self::Body { pointer } => body::read_json(pointer, &parts.headers, body?),
            Self::Form { name } => body::read_form(name, &parts.headers, body?),
            Self::Path(place) => place.held(parts.uri.path()).map(str::to_owned),
        }
    }
}

fn one_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// The credentials of an `Authorization` of that scheme (RFC 9110 section 11.4: schemes ignore case).
fn scheme<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let (scheme, rest) = one_header(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case(name).then(|| rest.trim_start_matches(' '))
}
