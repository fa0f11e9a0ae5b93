//! What a profile says about the credentials in answers.

use super::json::Pointer;
use crate::limits::PLACEMENT_BYTES_MAX;
use crate::place::cookie;
use http::HeaderName;
use std::fmt;
use std::str::FromStr;

/// One place where answers carry a credential, and what becomes of it. Written `json /token`, `json /auths/*/auth`,
/// `url /download_url`, `form access_token`, `header X-Subject-Token`, `cookie sid`, `cookie *`, `location`; with
/// `pass` before it, the agent gets the real value and the session lists it as exposed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AnswerField {
    /// Where.
    pub carrier: Carrier,
    /// What becomes of it.
    pub treat: Treat,
}

/// Where in an answer a credential stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Carrier {
    /// A value in a JSON body.
    Json(Pointer),
    /// A signed URL in a JSON body.
    Url(Pointer),
    /// A field of a form body, as OAuth servers still answer.
    Form(String),
    /// The whole value of a header.
    Header(HeaderName),
    /// The value of a cookie that is set; `None` is any.
    Cookie(Option<String>),
    /// `Location` and `Content-Location`, where they carry a query, a fragment or user information.
    Location,
}

/// What becomes of a declared credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Treat {
    /// Kept; the agent gets a placeholder.
    Swap,
    /// Shown, and listed as exposed.
    Pass,
}

/// Why a text is no answer field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an answer field: {why}")]
pub struct FieldError {
    /// The text, cut to its bound.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl AnswerField {
    /// Whether the body must be held for it.
    #[must_use]
    pub const fn needs_body(&self) -> bool {
        matches!(self.carrier, Carrier::Json(_) | Carrier::Url(_) | Carrier::Form(_))
    }
}

/// Headers that are read by us or have a carrier of their own.
const NOT_SWAPPED: [&str; 8] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-location",
    "content-type",
    "location",
    "set-cookie",
    "transfer-encoding",
];

impl FromStr for AnswerField {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let refuse = |why| FieldError { text: text.chars().take(PLACEMENT_BYTES_MAX).collect(), why };
        if text.len() > PLACEMENT_BYTES_MAX {
            return Err(refuse("it is too long"));
        }
        if !text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Err(refuse("it has characters that no field has"));
        }
        let (treat, rest) = text.strip_prefix("pass ").map_or((Treat::Swap, text), |rest| (Treat::Pass, rest));
        let (verb, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let pointer = || Pointer::parse(name).map_err(|_| refuse("it has no JSON pointer"));
        let carrier = match (verb, name) {
            ("json", _) => Carrier::Json(pointer()?),
            ("url", _) => Carrier::Url(pointer()?),
            ("form", name) if is_plain(name) => Carrier::Form(name.to_owned()),
            ("header", name) => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) if !NOT_SWAPPED.contains(&name.as_str()) => Carrier::Header(name),
                _ => return Err(refuse("no credential comes in that header, or it has a word of its own")),
            },
            ("cookie", "*") => Carrier::Cookie(None),
            ("cookie", name) if cookie::is_name(name) => Carrier::Cookie(Some(name.to_owned())),
            ("location", "") if !rest.ends_with(' ') => Carrier::Location,
            _ => return Err(refuse("it is none of json, url, form, header, cookie, location with a name")),
        };
        Ok(Self { carrier, treat })
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(pointer) => write!(f, "json {pointer}"),
            Self::Url(pointer) => write!(f, "url {pointer}"),
            Self::Form(name) => write!(f, "form {name}"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(None) => f.write_str("cookie *"),
            Self::Cookie(Some(name)) => write!(f, "cookie {name}"),
            Self::Location => f.write_str("location"),
        }
    }
}

impl fmt::Display for AnswerField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.treat == Treat::Pass {
            f.write_str("pass ")?;
        }
        write!(f, "{}", self.carrier)
    }
}

impl TryFrom<String> for AnswerField {
    type Error = FieldError;
    fn try_from(text: String) -> Result<Self, FieldError> {
        text.parse()
    }
}

impl From<AnswerField> for String {
    fn from(field: AnswerField) -> Self {
        field.to_string()
    }
}
