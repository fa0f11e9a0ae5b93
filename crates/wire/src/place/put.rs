//! Writing a credential into its slot.

use super::{PlaceError, Placement, body, cookie};
use crate::http::{query, same_header};
use crate::limits::{SECRET_BYTES_MAX, TARGET_BYTES_MAX};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use marque_detect::Secret;

impl Placement {
    /// Writes the credential into its declared slot, over whatever stands there; nothing else changes.
    ///
    /// `placeholder` is what a path placement expects in the slot; others ignore it. `body` is the held body, where
    /// there is one; a `Content-Length` follows it.
    ///
    /// # Errors
    /// [`PlaceError`]: then neither `parts` nor `body` has changed, and the request must not be sent.
    pub fn place(
        &self,
        secret: &Secret,
        placeholder: Option<&str>,
        parts: &mut Parts,
        body: Option<&mut Vec<u8>>,
    ) -> Result<(), PlaceError> {
        let bytes = secret.expose();
        if bytes.is_empty() || bytes.len() > SECRET_BYTES_MAX {
            return Err(PlaceError::SecretLength);
        }
        // Whatever the slot: a line end, a NUL or a byte beyond ASCII is read differently somewhere.
        let text = std::str::from_utf8(bytes).map_err(|_| PlaceError::SecretBytes)?;
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(PlaceError::SecretBytes);
        }
        match self {
            Self::Nowhere => Err(PlaceError::Nowhere),
            Self::Bearer if text.contains(' ') => Err(PlaceError::SecretBytes),
            Self::Bearer => set_header(&mut parts.headers, &AUTHORIZATION, &[b"Bearer ", bytes]),
            Self::Basic { user } => {
                let pair = match user {
                    Some(user) => Secret::new([user.as_bytes(), b":", bytes].concat()),
                    None if bytes.contains(&b':') => Secret::new(bytes.to_vec()),
                    None => return Err(PlaceError::SecretBytes),
                };
                let coded = Secret::new(STANDARD.encode(pair.expose()).into_bytes());
                set_header(&mut parts.headers, &AUTHORIZATION, &[b"Basic ", coded.expose()])
            }
            Self::Header { name, template } => {
                set_header(&mut parts.headers, name, &[template.before.as_bytes(), bytes, template.after.as_bytes()])
            }
            Self::Query { name } => put_query(name, bytes, parts),
            Self::Cookie { .. } if !cookie::is_value(bytes) => Err(PlaceError::SecretBytes),
            Self::Cookie { name } => {
                cookie::set(&mut parts.headers, name, bytes);
                Ok(())
            }
            Self::Body { pointer } => {
                body::put_json(pointer, text, &mut parts.headers, body.ok_or(PlaceError::BodyMissing)?)
            }
            Self::Form { name } => {
                body::put_form(name, bytes, &mut parts.headers, body.ok_or(PlaceError::BodyMissing)?)
            }
            Self::Path(place) => {
                let placeholder = placeholder.ok_or(PlaceError::NoPlaceholder)?;
                let path = place.fill(parts.uri.path(), placeholder, text)?;
                let target = match parts.uri.query() {
                    Some(query) => [path.as_str(), "?", query].concat(),
                    None => path,
                };
                set_target(parts, &target)
            }
        }
    }
}

/// Overwrites a header in every spelling, and marks it so that it is neither logged nor indexed by HPACK.
fn set_header(headers: &mut HeaderMap, name: &HeaderName, pieces: &[&[u8]]) -> Result<(), PlaceError> {
    let line = Secret::new(pieces.concat());
    let blank_ended = line.expose().first() == Some(&b' ') || line.expose().last() == Some(&b' ');
    let mut value = HeaderValue::from_bytes(line.expose()).map_err(|_| PlaceError::SecretBytes)?;
    if blank_ended {
        // A server trims it, and the credential is another.
        return Err(PlaceError::SecretBytes);
    }
    value.set_sensitive(true);
    remove_header(headers, name);
    headers.insert(name.clone(), value);
    Ok(())
}

/// Takes off a header in every spelling that a server may fold into it. Returns whether there was one.
pub(crate) fn remove_header(headers: &mut HeaderMap, name: &HeaderName) -> bool {
    let aliases: Vec<HeaderName> = headers.keys().filter(|k| same_header(k, name.as_str())).cloned().collect();
    for alias in &aliases {
        headers.remove(alias);
    }
    !aliases.is_empty()
}

fn put_query(name: &str, secret: &[u8], parts: &mut Parts) -> Result<(), PlaceError> {
    let raw = parts.uri.query().unwrap_or_default();
    if raw.contains(';') {
        return Err(PlaceError::QueryAmbiguous);
    }
    let query = query::replace(raw, name, Some(&format!("{name}={}", query::encode(secret))));
    let target = [parts.uri.path(), "?", &query].concat();
    set_target(parts, &target)
}

/// Replaces path and query, and leaves scheme and authority.
pub(crate) fn set_target(parts: &mut Parts, target: &str) -> Result<(), PlaceError> {
    if target.len() > TARGET_BYTES_MAX {
        return Err(PlaceError::TargetTooLong);
    }
    let target = PathAndQuery::try_from(target).map_err(|_| PlaceError::SecretBytes)?;
    let mut pieces = parts.uri.clone().into_parts();
    pieces.path_and_query = Some(target);
    parts.uri = http::Uri::from_parts(pieces).map_err(|_| PlaceError::SecretBytes)?;
    Ok(())
}
