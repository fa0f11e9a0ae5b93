//! Canonical web origins and HTTP methods.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Serialize, Serializer};
use serde_json::Value;

use super::pattern::{PatternError, pattern_type};
use crate::limits::{MAX_METHOD_BYTES, MAX_ORIGIN_BYTES};
use crate::schema::{Read, SchemaError, list, string};

/// `scheme://host:port` in its one canonical spelling: lower case, the port written out, addresses as the
/// standard library prints them, no trailing dot, no user, no path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    text: String,
}
pattern_type!(Origin);

impl Origin {
    /// # Errors
    /// [`PatternError`] for any other spelling.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_ORIGIN_BYTES {
            return Err(PatternError("is longer than an origin may be"));
        }
        let authority = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or(PatternError("must start with `https://` or `http://`"))?;
        let (host, port) = authority
            .rsplit_once(':')
            .ok_or(PatternError("must name its port"))?;
        match port.parse::<u16>() {
            Ok(number) if number != 0 && number.to_string() == port => {}
            _ => return Err(PatternError("must have a port from 1 to 65535")),
        }
        if !is_host(host) {
            return Err(PatternError("must have a canonical host"));
        }
        Ok(Self {
            text: text.to_owned(),
        })
    }
}

fn is_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').unwrap_or_default();
        return address
            .parse::<Ipv6Addr>()
            .is_ok_and(|parsed| parsed.to_string() == address);
    }
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return false;
    }
    // What ends in a number is read as an IPv4 address by browsers and libc (`0x7f.1`, `127.1`): one spelling.
    let last = host.rsplit('.').next().unwrap_or_default();
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
    if hex || last.bytes().all(|b| b.is_ascii_digit()) {
        return host
            .parse::<Ipv4Addr>()
            .is_ok_and(|parsed| parsed.to_string() == host);
    }
    true
}

/// The HTTP methods of a grant; `["*"]` is any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Methods {
    /// Whatever well-formed method.
    Any,
    /// These, in the order written.
    These(Vec<String>),
}

impl Methods {
    pub(crate) fn from_json(value: Value) -> Read<Self> {
        let names = list(value, crate::limits::MAX_ENTRIES, string)?;
        if matches!(names.as_slice(), [one] if one == "*") {
            return Ok(Self::Any);
        }
        match names.iter().position(|name| !is_method(name)) {
            None => Ok(Self::These(names)),
            Some(i) => Err(
                SchemaError::here("must be an upper-case method, or `*` alone")
                    .under(&i.to_string()),
            ),
        }
    }

    pub(crate) fn permits(&self, method: &str) -> bool {
        match self {
            Self::Any => is_method(method),
            Self::These(names) => names.iter().any(|name| name == method),
        }
    }

    /// The first method of `child` that this does not have, with its index.
    pub(crate) fn first_not_covered<'a>(&self, child: &'a Self) -> Option<(usize, &'a str)> {
        match (self, child) {
            (Self::Any, _) => None,
            (Self::These(_), Self::Any) => Some((0, "*")),
            (Self::These(mine), Self::These(theirs)) => theirs
                .iter()
                .enumerate()
                .find(|(_, name)| !mine.contains(name))
                .map(|(i, name)| (i, name.as_str())),
        }
    }

    pub(crate) fn words(&self) -> Vec<&str> {
        match self {
            Self::Any => vec!["any method"],
            Self::These(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

impl Serialize for Methods {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Any => to.collect_seq(["*"]),
            Self::These(names) => to.collect_seq(names),
        }
    }
}

fn is_method(name: &str) -> bool {
    let ok = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= MAX_METHOD_BYTES
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_spelling() {
        for good in [
            "https://api.example.test:443",
            "http://127.0.0.1:8080",
            "http://[::1]:80",
            "https://my_db.x-y.z9:5",
            "http://localhost:1",
        ] {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "https://api.example.test",
            "https://API.example.test:443",
            "HTTPS://a.b:443",
            "https://a.b:0443",
            "https://a.b:0",
            "https://a.b:65536",
            "https://a.b:+443",
            "https://a.b:443/",
            "https://u@a.b:443",
            "https://a.b.:443",
            "https://a..b:443",
            "https://:443",
            "https://-a.b:443",
            "https://127.1:443",
            "https://2130706433:443",
            "https://0x7f.0.0.1:443",
            "https://127.0.0.0x1:443",
            "https://127.0.0.01:443",
            "https://[0:0::1]:443",
            "https://[::1:443",
            "https://[FE80::1]:443",
            "https://[fe80::1%eth0]:443",
            "ftp://a.b:21",
            "https://*.b:443",
            "https://a.b:443#",
            "https://é.test:443",
            "",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn methods_are_upper_case_and_star_stands_alone() {
        let read = |v: Value| Methods::from_json(v);
        assert_eq!(read(serde_json::json!(["*"])), Ok(Methods::Any));
        for bad in [
            serde_json::json!(["get"]),
            serde_json::json!(["*", "GET"]),
            serde_json::json!([]),
            serde_json::json!(["GET", "GET"]),
            serde_json::json!(["G T"]),
            serde_json::json!("GET"),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
        assert!(
            Methods::Any.permits("GET")
                && !Methods::Any.permits("get")
                && !Methods::Any.permits("")
        );
    }

    #[test]
    fn origins_and_methods_are_bounded_at_n() {
        assert!(
            is_method(&"A".repeat(MAX_METHOD_BYTES))
                && !is_method(&"A".repeat(MAX_METHOD_BYTES + 1))
        );
        let label = "a".repeat(63);
        let host = |last: usize| format!("{label}.{label}.{label}.{}", "a".repeat(last));
        assert!(is_host(&host(61)) && !is_host(&host(62)));
        assert!(!is_host(&"a".repeat(64)));
        // The longest there is: https, a host of 253 and a port of 5 digits.
        let longest = format!("https://{}:65535", host(61));
        assert!(longest.len() <= MAX_ORIGIN_BYTES && Origin::parse(&longest).is_ok());
        assert_eq!(
            Origin::parse(&"a".repeat(MAX_ORIGIN_BYTES + 1)),
            Err(PatternError("is longer than an origin may be"))
        );
        assert_ne!(
            Origin::parse(&"a".repeat(MAX_ORIGIN_BYTES)),
            Err(PatternError("is longer than an origin may be"))
        );
    }
}
