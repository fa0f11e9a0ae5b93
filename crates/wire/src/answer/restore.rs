//! On the way back: a kept credential into the slot it came from, and nowhere else.

use crate::place::{PlaceError, Placement, PlacementError, cookie};
use http::HeaderMap;
use http::request::Parts;
use marque_detect::Secret;
use std::fmt;
use std::str::FromStr;

/// Where a client gives back what an answer gave it: a [`Placement`], or any cookie. Written as placements are, and
/// `cookie *`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum ReturnSlot {
    /// Any cookie, by its own name.
    AnyCookie,
    /// One slot.
    At(Placement),
}

/// Puts kept credentials back. For each slot the text in it, whole, is looked up together with the slot in words
/// (`bearer`, `cookie sid`): the caller answers only if that placeholder was minted for this session, target and slot.
/// The rest of the request is not looked at, and a text that is no placeholder stays (threats H12).
///
/// Comes after the action has been decided on and its content hashed. Returns the slots that were filled.
///
/// # Errors
/// [`PlaceError`]: the request must not be sent.
pub fn restore(
    parts: &mut Parts,
    mut body: Option<&mut Vec<u8>>,
    slots: &[ReturnSlot],
    lookup: &dyn Fn(&str, &str) -> Option<Secret>,
) -> Result<Vec<String>, PlaceError> {
    let mut filled = Vec::new();
    for slot in slots {
        match slot {
            ReturnSlot::AnyCookie => restore_cookies(parts, None, lookup, &mut filled)?,
            ReturnSlot::At(Placement::Cookie { name }) => restore_cookies(parts, Some(name), lookup, &mut filled)?,
            ReturnSlot::At(placement) => {
                let Some(text) = placement.read(parts, body.as_deref().map(Vec::as_slice)) else { continue };
                let words = placement.to_string();
                let Some(secret) = lookup(&words, &text) else { continue };
                placement.place(&secret, Some(&text), parts, body.as_deref_mut())?;
                filled.push(words);
            }
        }
    }
    Ok(filled)
}

/// A cookie goes back as the upstream set it, quotes and commas included, which [`Placement::place`] would refuse.
fn restore_cookies(
    parts: &mut Parts,
    only: Option<&str>,
    lookup: &dyn Fn(&str, &str) -> Option<Secret>,
    filled: &mut Vec<String>,
) -> Result<(), PlaceError> {
    let mut error = None;
    cookie::exchange(&mut parts.headers, |name, value| {
        if only.is_some_and(|only| only != name) {
            return None;
        }
        let words = format!("cookie {name}");
        let secret = lookup(&words, value)?;
        if secret.expose().iter().any(|b| *b == b';' || !(*b == b' ' || b.is_ascii_graphic())) {
            error = Some(PlaceError::SecretBytes);
            return None;
        }
        filled.push(words);
        Some(secret.expose().to_vec())
    });
    error.map_or(Ok(()), Err)
}

/// Name and value of every cookie of a request, where both are text: for a caller that wants to know beforehand what
/// [`restore`] would fill.
#[must_use]
pub fn cookies(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value)| Some((String::from_utf8(name).ok()?, String::from_utf8(value).ok()?));
    cookie::all(headers).into_iter().filter_map(text).collect()
}

impl FromStr for ReturnSlot {
    type Err = PlacementError;
    fn from_str(text: &str) -> Result<Self, PlacementError> {
        if text == "cookie *" { Ok(Self::AnyCookie) } else { text.parse().map(Self::At) }
    }
}

impl fmt::Display for ReturnSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyCookie => f.write_str("cookie *"),
            Self::At(placement) => write!(f, "{placement}"),
        }
    }
}

impl TryFrom<String> for ReturnSlot {
    type Error = PlacementError;
    fn try_from(text: String) -> Result<Self, PlacementError> {
        text.parse()
    }
}

impl From<ReturnSlot> for String {
    fn from(slot: ReturnSlot) -> Self {
        slot.to_string()
    }
}
