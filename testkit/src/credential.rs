//! Which credentials a request carries, slot by slot.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{HeaderMap, Uri, header};
use serde::Serialize;

use crate::encode::percent_decode;

/// A credential that arrived with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `bearer`, `basic`, `token`, `x-api-key`, `query`, `cookie`, `path` or `body`.
    pub slot: String,
    /// The credential itself; of Basic, the password.
    pub value: String,
}

impl Seen {
    fn new(slot: &str, value: impl Into<String>) -> Self {
        Self {
            slot: slot.to_owned(),
            value: value.into(),
        }
    }
}

/// Header names other than `Authorization` and `Cookie` that carry a key.
const KEY_HEADERS: [&str; 5] = [
    "x-api-key",
    "api-key",
    "private-token",
    "x-goog-api-key",
    "x-vault-token",
];
/// Query and body fields that carry a key.
const KEY_FIELDS: [&str; 6] = [
    "api_key",
    "access_token",
    "key",
    "token",
    "password",
    "client_secret",
];
/// Paths of the shape `/path/<credential>/…` carry it in a segment, as Slack's and Telegram's do.
const PATH_PREFIX: &str = "/path/";

/// The credentials in a request's head.
#[must_use]
pub fn in_head(uri: &Uri, headers: &HeaderMap) -> Vec<Seen> {
    let mut all = Vec::new();
    for value in headers.get_all(header::AUTHORIZATION) {
        all.extend(authorization(&String::from_utf8_lossy(value.as_bytes())));
    }
    for name in KEY_HEADERS {
        for value in headers.get_all(name) {
            all.push(Seen::new(name, String::from_utf8_lossy(value.as_bytes())));
        }
    }
    for value in headers.get_all(header::COOKIE) {
        for pair in String::from_utf8_lossy(value.as_bytes()).split(';') {
            if let Some((_, value)) = pair.split_once('=') {
                all.push(Seen::new("cookie", value.trim()));
            }
        }
    }
    for (name, value) in query_pairs(uri.query().unwrap_or_default()) {
        if KEY_FIELDS.contains(&name.as_str()) {
            all.push(Seen::new("query", value));
        }
    }
    if let Some((segment, _)) = path_credential(uri.path()) {
        all.push(Seen::new("path", percent_decode(segment)));
    }
    all
}

/// The credentials in fields of a JSON or form body.
#[must_use]
pub fn in_body(body: &[u8]) -> Vec<Seen> {
    if let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(body) {
        let fields = map
            .iter()
            .filter(|(name, _)| KEY_FIELDS.contains(&name.as_str()));
        return fields
            .filter_map(|(_, value)| Some(Seen::new("body", value.as_str()?)))
            .collect();
    }
    let pairs = query_pairs(std::str::from_utf8(body).unwrap_or_default());
    let fields = pairs
        .into_iter()
        .filter(|(name, _)| KEY_FIELDS.contains(&name.as_str()));
    fields.map(|(_, value)| Seen::new("body", value)).collect()
}

/// `/path/<credential>/rest` as the credential and `/rest`.
#[must_use]
pub fn path_credential(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(PATH_PREFIX)?;
    let end = rest.find('/').unwrap_or(rest.len());
    rest.split_at_checked(end)
        .filter(|(segment, _)| !segment.is_empty())
}

/// The pairs of a query string or a form, decoded.
#[must_use]
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    parts
        .map(|part| part.split_once('=').unwrap_or((part, "")))
        .map(|(name, value)| (percent_decode(name), percent_decode(value)))
        .collect()
}

fn authorization(value: &str) -> Option<Seen> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    Some(match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Seen::new("bearer", rest),
        "token" => Seen::new("token", rest),
        "basic" => {
            let pair = STANDARD.decode(rest).ok()?;
            let pair = String::from_utf8_lossy(&pair).into_owned();
            Seen::new(
                "basic",
                pair.split_once(':')
                    .map_or(pair.as_str(), |(_, password)| password),
            )
        }
        other => Seen::new(other, rest),
    })
}
