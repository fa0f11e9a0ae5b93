//! Path patterns of `http` grants: literal segments, `*` for one segment, a trailing `**` for any remainder.
//!
//! Patterns and uses have one canonical spelling (RFC 3986 section 6.2.2: upper-case escapes, nothing
//! escaped that need not be, no dot segments). A use in another spelling is permitted by nothing; the caller
//! normalises first, and forwards what it normalised.

use super::pattern::{PatternError, pattern_type};
use crate::limits::{MAX_PATTERN_BYTES, MAX_SEGMENTS, MAX_USE_BYTES};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// A typed path pattern. `/a/**` covers `/a`, `/a/` and everything below.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
}
pattern_type!(PathPattern);

impl PathPattern {
    /// # Errors
    /// [`PatternError`] for what is no canonical pattern, or over a bound.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError("is longer than a pattern may be"));
        }
        let below = text
            .strip_prefix('/')
            .ok_or(PatternError("must start with `/`"))?;
        let mut segments = Vec::new();
        let mut parts = below.split('/').peekable();
        while let Some(part) = parts.next() {
            let last = parts.peek().is_none();
            segments.push(match part {
                "**" if last => Segment::Rest,
                "**" => return Err(PatternError("may have `**` only at its end")),
                "*" => Segment::One,
                "" if last => Segment::Literal(String::new()),
                "" => return Err(PatternError("must not have an empty segment")),
                _ if part.contains('*') => {
                    return Err(PatternError("may have `*` only as a whole segment"));
                }
                _ if canonical_segment(part).is_none() => {
                    return Err(PatternError("is not a canonical path"));
                }
                _ => Segment::Literal(part.to_owned()),
            });
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(PatternError("has more segments than a pattern may"));
        }
        Ok(Self {
            text: text.to_owned(),
            segments,
        })
    }

    /// Whether a canonical path, without query, matches. Linear, allocates nothing.
    #[must_use]
    pub fn permits(&self, path: &str) -> bool {
        let Some(below) = canonical_path(path) else {
            return false;
        };
        let mut parts = below.split('/');
        for segment in &self.segments {
            let matches = match segment {
                Segment::Rest => return true,
                Segment::One => parts.next().is_some_and(is_one_segment),
                Segment::Literal(want) => parts.next() == Some(want),
            };
            if !matches {
                return false;
            }
        }
        parts.next().is_none()
    }

    /// Whether every path that `child` permits is permitted by `self`.
    #[must_use]
    pub fn covers(&self, child: &Self) -> bool {
        let mut theirs = child.segments.iter();
        for mine in &self.segments {
            let covers = match (mine, theirs.next()) {
                (Segment::Rest, _) => return true,
                (Segment::One, Some(Segment::One)) => true,
                (Segment::One, Some(Segment::Literal(text))) => is_one_segment(text),
                (Segment::Literal(a), Some(Segment::Literal(b))) => a == b,
                _ => false,
            };
            if !covers {
                return false;
            }
        }
        theirs.next().is_none()
    }
}

/// An escaped separator may become a real one in the upstream: only a literal or `**` matches such a segment.
fn is_one_segment(part: &str) -> bool {
    !part.is_empty() && canonical_segment(part) == Some(Opaque(false))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Opaque(bool);

/// `None` if not canonical; else whether it hides an escaped `/`, `\` or `%`.
fn canonical_segment(part: &str) -> Option<Opaque> {
    let mut bytes = part.bytes();
    let mut opaque = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let value = upper_hex(bytes.next()?)? << 4 | upper_hex(bytes.next()?)?;
                if is_unreserved(value) || value < 0x20 || value == 0x7f {
                    return None;
                }
                opaque |= matches!(value, b'/' | b'\\' | b'%');
            }
            _ if is_unreserved(byte) => {}
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':'
            | b'@' => {}
            _ => return None,
        }
    }
    // Some servers drop `;…` before they look for dot segments.
    let dots = |piece: &str| matches!(piece.split(';').next(), Some("." | ".."));
    let climbs = part
        .split("%2F")
        .flat_map(|piece| piece.split("%5C"))
        .any(dots);
    if climbs { None } else { Some(Opaque(opaque)) }
}

/// The path below its leading `/`, if it is canonical: an empty segment only at the end.
fn canonical_path(path: &str) -> Option<&str> {
    if path.len() > MAX_USE_BYTES {
        return None;
    }
    let below = path.strip_prefix('/')?;
    let mut parts = below.split('/').peekable();
    while let Some(part) = parts.next() {
        canonical_segment(part)?;
        if part.is_empty() && parts.peek().is_some() {
            return None;
        }
    }
    Some(below)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn upper_hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn star_is_one_segment_and_two_stars_any_remainder() {
        for (pattern, yes, no) in [
            (
                "/v1/items/*",
                vec!["/v1/items/7", "/v1/items/a%20b"],
                vec!["/v1/items", "/v1/items/", "/v1/items/7/x"],
            ),
            (
                "/static/**",
                vec!["/static", "/static/", "/static/a/b"],
                vec!["/statics", "/", "/x/static/a"],
            ),
            ("/**", vec!["/", "/a", "/a/b/"], vec!["", "a"]),
            ("/", vec!["/"], vec!["/a"]),
            ("/a/*/c", vec!["/a/b/c"], vec!["/a/b", "/a/b/c/", "/a//c"]),
            ("/a%2Fb", vec!["/a%2Fb"], vec!["/a/b", "/a%2fb"]),
        ] {
            for path in yes {
                assert!(p(pattern).permits(path), "{pattern} {path}");
            }
            for path in no {
                assert!(!p(pattern).permits(path), "{pattern} {path}");
            }
        }
    }

    #[test]
    fn a_path_in_a_second_spelling_is_permitted_by_nothing() {
        for path in [
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%2E%2E/b",
            "/a/..%2Fb",
            "/a/x%2F..%2Fb",
            "/a/..%5Cb",
            "/a/..;x/b",
            "/a//b",
            "/%61",
            "/a%2f",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a?b",
            "/a#b",
            "/a b",
            "/a\\b",
            "/a%00",
            "/a%0A",
            "/ä",
            "a",
            "",
            "//",
            "https://x/",
        ] {
            assert!(!p("/**").permits(path), "{path}");
            assert!(PathPattern::parse(path).is_err(), "{path}");
        }
    }

    #[test]
    fn an_escaped_separator_does_not_hide_in_one_segment() {
        assert!(!p("/items/*").permits("/items/7%2Fdelete"));
        assert!(!p("/items/*").permits("/items/7%252Fdelete"));
        assert!(!p("/items/*").covers(&p("/items/7%2Fdelete")));
        assert!(p("/items/**").permits("/items/7%2Fdelete"));
        assert!(p("/items/7%2Fdelete").permits("/items/7%2Fdelete"));
    }

    #[test]
    fn globs_inside_a_segment_do_not_parse() {
        for bad in ["/a*", "/*a", "/**/a", "/a/***", "/a**", "/*.js"] {
            assert!(PathPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_and_paths_are_bounded_at_n() {
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(MAX_PATTERN_BYTES - 1))).is_ok());
        assert!(PathPattern::parse(&format!("/{}", "a".repeat(MAX_PATTERN_BYTES))).is_err());
        assert!(PathPattern::parse(&"/a".repeat(MAX_SEGMENTS)).is_ok());
        assert!(PathPattern::parse(&"/a".repeat(MAX_SEGMENTS + 1)).is_err());
        assert!(p("/**").permits(&format!("/{}", "a".repeat(MAX_USE_BYTES - 1))));
        assert!(!p("/**").permits(&format!("/{}", "a".repeat(MAX_USE_BYTES))));
    }
}
