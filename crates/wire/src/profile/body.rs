//! The values of a body, where they have one reading.

use super::json;
use super::limits::PARAMETERS_MAX;
use super::matcher::Scalar;
use serde_json::Value;

/// A body that was held, parsed.
#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Form(Vec<(String, String)>),
}

/// What stands at a pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Absent,
    Scalar(Scalar),
    /// A list, an object or null.
    Complex,
}

/// The media type, lower case, without parameters; its charset must be UTF-8.
pub(super) fn media_type(headers: &[(String, String)]) -> Result<Option<String>, String> {
    let Some(value) = one(headers, "content-type")? else { return Ok(None) };
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let utf8 = value.trim_matches('"').eq_ignore_ascii_case("utf-8");
        if name.trim().eq_ignore_ascii_case("charset") && !utf8 {
            return Err("the body is not in UTF-8".into());
        }
    }
    Ok(Some(media))
}

/// The value of a header that may occur once.
pub(super) fn one<'a>(headers: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let first = values.next();
    if values.next().is_some() {
        return Err(format!("the header `{name}` occurs twice"));
    }
    Ok(first)
}

impl Body {
    /// Parses a held body by its media type.
    pub(super) fn parse(headers: &[(String, String)], body: Option<&[u8]>) -> Result<Self, String> {
        let body = body.ok_or("the body, which the meaning depends on, was not held")?;
        if !matches!(one(headers, "content-encoding")?, None | Some("identity")) {
            return Err("the body is in a content coding".into());
        }
        match media_type(headers)?.as_deref() {
            Some("application/json") => Self::json(body),
            Some(media) if media.starts_with("application/") && media.ends_with("+json") => Self::json(body),
            Some("application/x-www-form-urlencoded") => form(body).map(Self::Form),
            Some(media) => Err(format!("a body of type `{media}` is not read")),
            None => Err("the body has no type".into()),
        }
    }

    fn json(body: &[u8]) -> Result<Self, String> {
        match json::parse(body) {
            Ok(value @ Value::Object(_)) => Ok(Self::Json(value)),
            Ok(_) => Err("the body is a batch or no object".into()),
            Err(json::NotStrict) => Err("the body is not strict JSON".into()),
        }
    }

    /// What stands at the pointer. A member that differs in case alone makes it ambiguous: some servers ignore case.
    pub(super) fn find(&self, pointer: &[String]) -> Result<Found, String> {
        match self {
            Self::Form(pairs) => match pointer {
                [key] => find_pair(pairs, key).map(|v| v.map_or(Found::Absent, |v| Found::Scalar(Scalar::Text(v.into())))),
                _ => Err("the body is a form, where an object is meant".into()),
            },
            Self::Json(value) => find_json(value, pointer),
        }
    }

    /// Whether a top-level member has that name, in any case.
    pub(super) fn has_member(&self, name: &str) -> bool {
        match self {
            Self::Form(pairs) => pairs.iter().any(|(key, _)| key.eq_ignore_ascii_case(name)),
            Self::Json(Value::Object(map)) => map.keys().any(|key| key.eq_ignore_ascii_case(name)),
            Self::Json(_) => false,
        }
    }
}

fn find_json(value: &Value, pointer: &[String]) -> Result<Found, String> {
    let mut at = value;
    for step in pointer {
        let next = match at {
            Value::Object(map) => {
                if map.keys().any(|key| key != step && key.eq_ignore_ascii_case(step)) {
                    return Err(format!("a member is written like `{step}` but not the same"));
                }
                map.get(step)
            }
            Value::Array(list) => step.parse::<usize>().ok().and_then(|index| list.get(index)),
            _ => None,
        };
        match next {
            Some(inner) => at = inner,
            None => return Ok(Found::Absent),
        }
    }
    Ok(match at {
        Value::String(text) => Found::Scalar(Scalar::Text(text.clone())),
        Value::Bool(flag) => Found::Scalar(Scalar::Bool(*flag)),
        Value::Number(number) => Found::Scalar(Scalar::Number(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => Found::Complex,
    })
}

/// The one value of a parameter. Twice, in another case or as `key[…]` it has more than one reading.
pub(super) fn find_pair<'a>(pairs: &'a [(String, String)], key: &str) -> Result<Option<&'a str>, String> {
    let mut found = None;
    for (name, value) in pairs {
        let stem = name.split('[').next().unwrap_or_default();
        if !stem.eq_ignore_ascii_case(key) {
            continue;
        }
        if name != key || found.is_some() {
            return Err(format!("the parameter `{key}` occurs twice, or in another spelling"));
        }
        found = Some(value.as_str());
    }
    Ok(found)
}

/// `application/x-www-form-urlencoded`, strictly.
pub(super) fn form(body: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the form is not UTF-8")?;
    let mut out = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        if out.len() == PARAMETERS_MAX {
            return Err("the form has more members than are read".into());
        }
        let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
        out.push((decode(key)?, decode(value)?));
    }
    Ok(out)
}

fn decode(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|v| u8::try_from(v).ok()).ok_or("the form has a malformed escape")?
            }
            _ => byte,
        });
    }
    String::from_utf8(out).map_err(|_| "the form is not UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn codings_types_and_charsets_that_are_not_known_are_refused() {
        let parse = |list: &[(&str, &str)], body: &[u8]| Body::parse(&headers(list), Some(body)).map(|_| ());
        assert!(parse(&[("content-type", "application/json; charset=UTF-8")], b"{}").is_ok());
        assert!(parse(&[("content-type", "application/vnd.github+json")], b"{}").is_ok());
        for list in [
            &[][..],
            &[("content-type", "text/plain")],
            &[("content-type", "multipart/form-data; boundary=x")],
            &[("content-type", "application/json; charset=utf-16")],
            &[("content-type", "application/json"), ("content-encoding", "gzip")],
            &[("content-type", "application/json"), ("content-type", "text/plain")],
        ] {
            assert!(parse(list, b"{}").is_err(), "{list:?}");
        }
        assert!(parse(&[("content-type", "application/json")], b"[{}]").is_err());
        assert!(Body::parse(&headers(&[("content-type", "application/json")]), None).is_err());
    }

    #[test]
    fn a_member_in_two_spellings_is_ambiguous() {
        let json = |text: &str| Body::json(text.as_bytes()).unwrap();
        let at = |text: &str| json(text).find(&["channel".into()]);
        assert_eq!(at(r#"{"channel":"C1"}"#), Ok(Found::Scalar(Scalar::Text("C1".into()))));
        assert_eq!(at("{}"), Ok(Found::Absent));
        assert_eq!(at(r#"{"channel":null}"#), Ok(Found::Complex));
        assert!(at(r#"{"channel":"C1","Channel":"C2"}"#).is_err());
        let form = |text: &str| find_pair(&form(text.as_bytes()).unwrap(), "channel").map(|v| v.map(str::to_owned));
        assert_eq!(form("channel=C%31&x=+"), Ok(Some("C1".into())));
        for twice in ["channel=a&channel=b", "channel=a&Channel=b", "channel[]=a", "chann%65l=a&channel=b"] {
            assert!(form(twice).is_err(), "{twice}");
        }
    }

    #[test]
    fn forms_are_strict_and_bounded_at_n() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%+1"] {
            assert!(form(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(form("a=1&".repeat(PARAMETERS_MAX).as_bytes()).is_ok());
        assert!(form("a=1&".repeat(PARAMETERS_MAX + 1).as_bytes()).is_err());
    }
}
