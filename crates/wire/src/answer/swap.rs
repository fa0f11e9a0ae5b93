//! On the way to the agent: credentials out, placeholders in.

use super::field::{AnswerField, Carrier, Treat};
use super::json::{JsonError, quote, unquote};
use super::set_cookie::SetCookie;
use super::signed::looks_signed;
use crate::http::{body_changed, query};
use crate::limits::{ANSWER_FIELDS_MAX, ANSWER_HOLD_BYTES_MAX, SET_COOKIES_MAX};
use crate::place::cookie;
use http::header::{
    CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, REFRESH,
    SET_COOKIE,
};
use http::response::Parts;
use std::ops::Range;

/// Keeps a credential and says what stands for it: the carrier in words (`cookie sid`, `json /token`, `location`) and
/// the value. For `url` and `location` the answer must be a URL of the gateway.
pub type Mint<'a> = dyn FnMut(&str, &[u8]) -> String + 'a;

/// What became of one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// The agent got a placeholder.
    Swapped,
    /// The agent got the value, because the profile says so.
    Passed,
    /// The agent got nothing: nobody declared it.
    Withheld,
}

/// One credential that an answer carried. Its value is not in here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// The carrier in words, with the cookie's own name.
    pub carrier: String,
    /// What became of it.
    pub fate: Fate,
}

/// All that an answer carried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Swapped {
    /// In the order they were found.
    pub found: Vec<Found>,
    /// The body is another one now; its length and digests have been settled.
    pub body_changed: bool,
}

impl Swapped {
    /// Whether something was withheld, so that the caller says so.
    #[must_use]
    pub fn has_withheld(&self) -> bool {
        self.found.iter().any(|f| f.fate == Fate::Withheld)
    }

    fn add(&mut self, carrier: String, fate: Fate) {
        self.found.push(Found { carrier, fate });
    }
}

/// Why an answer is withheld whole: what it carries could not be found. `head` and `body` may have changed in part and
/// must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// Over [`ANSWER_HOLD_BYTES_MAX`].
    #[error("the answer is longer than is held")]
    TooLong,
    /// Declared fields are in the body, and it was not held.
    #[error("the answer's body was not held")]
    NotHeld,
    /// The body has a content coding: the caller decodes it first.
    #[error("the answer has a content coding")]
    Coded,
    /// A successful answer is not of the form in which its credentials were declared.
    #[error("the answer is not what its profile declares")]
    Unreadable,
    /// Over [`ANSWER_FIELDS_MAX`], [`SET_COOKIES_MAX`] or the hits of a pointer.
    #[error("the answer carries more credentials than are handled")]
    TooMany,
    /// What was minted cannot stand where it should.
    #[error("the placeholder does not fit into its place")]
    Placeholder,
}

/// Whether the body of an answer must be held for these fields.
#[must_use]
pub fn needs_body(fields: &[AnswerField]) -> bool {
    fields.iter().any(AnswerField::needs_body)
}

/// Exchanges every declared credential of an answer for what `mint` says, and withholds cookies and signed URLs that
/// are not declared. Every other byte of the body stays.
///
/// `body` is the whole body, decoded; `None` where it is not held. An answer without body has `Some` of nothing.
///
/// # Errors
/// [`AnswerError`]: the answer must be withheld.
pub fn swap(
    head: &mut Parts,
    body: Option<&mut Vec<u8>>,
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
) -> Result<Swapped, AnswerError> {
    if fields.len() > ANSWER_FIELDS_MAX {
        return Err(AnswerError::TooMany);
    }
    let mut swapped = Swapped::default();
    if needs_body(fields) {
        swap_body(head, body, fields, mint, &mut swapped)?;
    }
    swap_headers(&mut head.headers, fields, mint, &mut swapped)?;
    swap_cookies(&mut head.headers, fields, mint, &mut swapped)?;
    swap_locations(&mut head.headers, fields, mint, &mut swapped)?;
    Ok(swapped)
}

fn swap_body(
    head: &mut Parts,
    body: Option<&mut Vec<u8>>,
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<(), AnswerError> {
    let Some(body) = body else {
        return if head.status.is_success() { Err(AnswerError::NotHeld) } else { Ok(()) };
    };
    if body.is_empty() {
        return Ok(());
    }
    if body.len() > ANSWER_HOLD_BYTES_MAX {
        return Err(AnswerError::TooLong);
    }
    if head.headers.contains_key(CONTENT_ENCODING) {
        return Err(AnswerError::Coded);
    }
    let new =
        if is_form(&head.headers) { form(body, fields, mint, swapped) } else { json(body, fields, mint, swapped) };
    match new {
        Ok(Some(new)) => {
            *body = new;
            body_changed(&mut head.headers, Some(body.len()));
            swapped.body_changed = true;
            Ok(())
        }
        Ok(None) => Ok(()),
        // An error page carries no token; the scrubber reads it.
        Err(AnswerError::Unreadable) if !head.status.is_success() => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let text = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// JSON whatever the content type says: servers say all sorts.
fn json(
    body: &[u8],
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<Option<Vec<u8>>, AnswerError> {
    let text = std::str::from_utf8(body).map_err(|_| AnswerError::Unreadable)?;
    let mut hits: Vec<(Range<usize>, &AnswerField)> = Vec::new();
    let mut is_read = false;
    for field in fields {
        let (Carrier::Json(pointer) | Carrier::Url(pointer)) = &field.carrier else { continue };
        let spans = pointer.find_all(text).map_err(|error| match error {
            JsonError::TooMany => AnswerError::TooMany,
            _ => AnswerError::Unreadable,
        })?;
        hits.extend(spans.into_iter().map(|span| (span, field)));
        is_read = true;
    }
    if !is_read {
        return Err(AnswerError::Unreadable);
    }
    // Of nested values the outer one goes, with all that is in it.
    hits.sort_by_key(|(span, field)| (span.start, std::cmp::Reverse(span.end), field.treat));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (span, field) in hits {
        if span.start < done {
            continue;
        }
        let raw = text.get(span.clone()).unwrap_or_default();
        let value = unquote(raw).unwrap_or_else(|| raw.to_owned());
        if value.is_empty() || matches!(raw, "null" | "true" | "false") {
            continue;
        }
        let carrier = field.carrier.to_string();
        if field.treat == Treat::Pass {
            swapped.add(carrier, Fate::Passed);
            continue;
        }
        out.push_str(text.get(done..span.start).unwrap_or_default());
        out.push_str(&quote(&mint(&carrier, value.as_bytes())));
        done = span.end;
        swapped.add(carrier, Fate::Swapped);
    }
    if done == 0 {
        return Ok(None);
    }
    out.push_str(text.get(done..).unwrap_or_default());
    Ok(Some(out.into_bytes()))
}

fn form(
    body: &[u8],
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<Option<Vec<u8>>, AnswerError> {
    let pairs = query::parse_form(body, ANSWER_HOLD_BYTES_MAX).map_err(|_| AnswerError::Unreadable)?;
    let mut text = std::str::from_utf8(body).map_err(|_| AnswerError::Unreadable)?.to_owned();
    let (mut is_read, mut is_changed) = (false, false);
    for field in fields {
        let Carrier::Form(name) = &field.carrier else { continue };
        is_read = true;
        let value = query::one(&pairs, name).map_err(|_| AnswerError::Unreadable)?.unwrap_or_default();
        match field.treat {
            _ if value.is_empty() => {}
            Treat::Pass => swapped.add(field.carrier.to_string(), Fate::Passed),
            Treat::Swap => {
                let minted = mint(&field.carrier.to_string(), value.as_bytes());
                text = query::replace(&text, name, Some(&format!("{name}={}", query::encode(minted.as_bytes()))));
                swapped.add(field.carrier.to_string(), Fate::Swapped);
                is_changed = true;
            }
        }
    }
    if is_read { Ok(is_changed.then(|| text.into_bytes())) } else { Err(AnswerError::Unreadable) }
}

fn swap_headers(
    headers: &mut HeaderMap,
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<(), AnswerError> {
    for field in fields {
        let Carrier::Header(name) = &field.carrier else { continue };
        let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
        if field.treat == Treat::Swap {
            headers.remove(name);
        }
        for value in values {
            if field.treat == Treat::Pass {
                swapped.add(field.carrier.to_string(), Fate::Passed);
                continue;
            }
            headers.append(name, minted(mint(&field.carrier.to_string(), value.as_bytes()))?);
            swapped.add(field.carrier.to_string(), Fate::Swapped);
        }
    }
    Ok(())
}

fn swap_cookies(
    headers: &mut HeaderMap,
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<(), AnswerError> {
    let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    if lines.len() > SET_COOKIES_MAX {
        return Err(AnswerError::TooMany);
    }
    headers.remove(SET_COOKIE);
    for line in lines {
        let Some(set) = line.to_str().ok().and_then(SetCookie::read) else {
            swapped.add("cookie".to_owned(), Fate::Withheld);
            continue;
        };
        let carrier = format!("cookie {}", set.name);
        let named = |field: &&AnswerField| matches!(&field.carrier, Carrier::Cookie(Some(n)) if n == set.name);
        let any = |field: &&AnswerField| field.carrier == Carrier::Cookie(None);
        let treat = fields.iter().find(named).or_else(|| fields.iter().find(any)).map(|field| field.treat);
        match treat {
            // An empty value takes a cookie away.
            _ if set.value.is_empty() => {
                headers.append(SET_COOKIE, line);
            }
            None => swapped.add(carrier, Fate::Withheld),
            Some(Treat::Pass) => {
                headers.append(SET_COOKIE, line.clone());
                swapped.add(carrier, Fate::Passed);
            }
            Some(Treat::Swap) => {
                let placeholder = mint(&carrier, set.value.as_bytes());
                if !cookie::is_value(placeholder.as_bytes()) {
                    return Err(AnswerError::Placeholder);
                }
                headers.append(SET_COOKIE, minted(set.with_value(&placeholder))?);
                swapped.add(carrier, Fate::Swapped);
            }
        }
    }
    Ok(())
}

fn swap_locations(
    headers: &mut HeaderMap,
    fields: &[AnswerField],
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<(), AnswerError> {
    let declared = fields.iter().find(|field| field.carrier == Carrier::Location).map(|field| field.treat);
    for name in [LOCATION, CONTENT_LOCATION] {
        swap_url(headers, &name, declared, mint, swapped)?;
    }
    for name in [LINK, REFRESH] {
        let by_header = fields.iter().any(|field| field.carrier == Carrier::Header(name.clone()));
        if !by_header {
            swap_url(headers, &name, None, mint, swapped)?;
        }
    }
    Ok(())
}

fn swap_url(
    headers: &mut HeaderMap,
    name: &HeaderName,
    declared: Option<Treat>,
    mint: &mut Mint<'_>,
    swapped: &mut Swapped,
) -> Result<(), AnswerError> {
    let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in values {
        // What is not text cannot be seen to carry nothing.
        let is_signed = value.to_str().map_or(true, looks_signed);
        let has_more = value.as_bytes().iter().any(|b| matches!(b, b'?' | b'#' | b'@'));
        let carrier = if declared.is_some() { "location".to_owned() } else { format!("header {name}") };
        match declared {
            // Somebody said that a credential is in there: whatever follows the path may be it.
            Some(Treat::Swap) if is_signed || has_more => {
                headers.append(name, minted(mint(&carrier, value.as_bytes()))?);
                swapped.add(carrier, Fate::Swapped);
            }
            Some(Treat::Pass) if is_signed => {
                headers.append(name, value);
                swapped.add(carrier, Fate::Passed);
            }
            None if is_signed => swapped.add(carrier, Fate::Withheld),
            _ => {
                headers.append(name, value);
            }
        }
    }
    Ok(())
}

fn minted(text: String) -> Result<HeaderValue, AnswerError> {
    HeaderValue::try_from(text).map_err(|_| AnswerError::Placeholder)
}
