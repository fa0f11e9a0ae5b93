//! Credentials in a body that is held.

use super::PlaceError;
use crate::answer::json::{JsonError, Place, Pointer, quote, unquote};
use crate::http::query;
use crate::limits::BODY_HOLD_BYTES_MAX;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};

/// Puts `secret` at `pointer` of a JSON object; every other byte of the body stays.
pub(super) fn put_json(
    pointer: &Pointer,
    secret: &str,
    headers: &mut HeaderMap,
    body: &mut Vec<u8>,
) -> Result<(), PlaceError> {
    check(headers, body, is_json)?;
    let place = pointer.locate(body).map_err(why)?;
    let value = quote(secret).into_bytes();
    let (span, bytes) = match place {
        Place::Value(span) => (span, value),
        Place::Missing { at, name, is_empty } => {
            let comma: &[u8] = if is_empty { b"" } else { b"," };
            (at..at, [comma, quote(&name).as_bytes(), b":", value.as_slice()].concat())
        }
    };
    within(body.len().saturating_sub(span.len()).saturating_add(bytes.len()))?;
    body.splice(span, bytes);
    settle(headers, body);
    Ok(())
}

/// Puts `secret` into a form field; every other field stays.
pub(super) fn put_form(
    name: &str,
    secret: &[u8],
    headers: &mut HeaderMap,
    body: &mut Vec<u8>,
) -> Result<(), PlaceError> {
    check(headers, body, is_form)?;
    let text = std::str::from_utf8(body).map_err(|_| PlaceError::BodyShape)?;
    // `;` separates fields for some servers: a second field could hide behind it.
    if text.contains(';') {
        return Err(PlaceError::BodyAmbiguous);
    }
    let filled = query::replace(text, name, Some(&format!("{name}={}", query::encode(secret))));
    within(filled.len())?;
    *body = filled.into_bytes();
    settle(headers, body);
    Ok(())
}

/// The string that stands at `pointer`.
pub(super) fn read_json(pointer: &Pointer, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    check(headers, body, is_json).ok()?;
    match pointer.locate(body).ok()? {
        Place::Value(span) => unquote(std::str::from_utf8(body.get(span)?).ok()?),
        Place::Missing { .. } => None,
    }
}

/// The value of a form field that occurs once.
pub(super) fn read_form(name: &str, headers: &HeaderMap, body: &[u8]) -> Option<String> {
    check(headers, body, is_form).ok()?;
    query::value_of(std::str::from_utf8(body).ok()?, name)
}

fn check(headers: &HeaderMap, body: &[u8], is_type: fn(&str) -> bool) -> Result<(), PlaceError> {
    within(body.len())?;
    if headers.contains_key(CONTENT_ENCODING) {
        return Err(PlaceError::BodyType);
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(text), None) = (types.next().and_then(|v| v.to_str().ok()), types.next()) else {
        return Err(PlaceError::BodyType);
    };
    let mut pieces = text.split(';').map(str::trim);
    let essence = pieces.next().unwrap_or_default().to_ascii_lowercase();
    // UTF-16 bodies read as something else to whoever does not look here (threats H13).
    let utf8 = |p: &str| {
        let p = p.to_ascii_lowercase();
        !p.starts_with("charset") || matches!(p.as_str(), "charset=utf-8" | "charset=\"utf-8\"")
    };
    if is_type(&essence) && pieces.all(utf8) { Ok(()) } else { Err(PlaceError::BodyType) }
}

fn is_json(essence: &str) -> bool {
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
        || essence.starts_with("application/x-amz-json-")
}

fn is_form(essence: &str) -> bool {
    essence == "application/x-www-form-urlencoded"
}

const fn within(body_bytes: usize) -> Result<(), PlaceError> {
    if body_bytes > BODY_HOLD_BYTES_MAX { Err(PlaceError::BodyTooLong) } else { Ok(()) }
}

/// A body that changed has another length. One that is chunked says none.
fn settle(headers: &mut HeaderMap, body: &[u8]) {
    if headers.contains_key(CONTENT_LENGTH) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
}

const fn why(error: JsonError) -> PlaceError {
    match error {
        JsonError::Duplicate => PlaceError::BodyAmbiguous,
        _ => PlaceError::BodyShape,
    }
}
