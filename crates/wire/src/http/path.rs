//! The path of a request in the one spelling that decisions are made on.
//!
//! The raw target is forwarded unchanged; a path for which the upstream might read something else than we do is
//! refused (RFC 3986 section 6.2.2; dataplane 1.1).

use crate::limits::{PATH_BYTES_MAX, PATH_SEGMENTS_MAX};
use std::fmt::Write as _;

/// Why a path, query or form has more than one reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ambiguous {
    /// The path does not begin with a slash, as `*` and absolute URLs do not.
    #[error("the path does not start with `/`")]
    NotAbsolute,
    /// Over [`PATH_BYTES_MAX`], [`PATH_SEGMENTS_MAX`] or the query's bounds.
    #[error("it is longer than is read")]
    TooLong,
    /// `//`, which some servers merge.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `.` or `..`, escaped or not, or what becomes it for servers that trim dots, blanks or parameters.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `%2f`, `%5c` or `\`.
    #[error("the path hides a separator")]
    HiddenSeparator,
    /// `;`, where some servers begin parameters and others do not.
    #[error("it has a `;`, which servers read differently")]
    Parameter,
    /// `%` without two hexadecimal digits.
    #[error("it has an escape which is none")]
    BadEscape,
    /// An escape of an escape.
    #[error("it is escaped twice")]
    DoubleEscape,
    /// A control character, escaped or not.
    #[error("it has a control character")]
    Control,
    /// A character that must be escaped is not.
    #[error("it has a character that a URL may not have")]
    RawByte,
    /// Not UTF-8, overlong forms included.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// A parameter without a name.
    #[error("it has a parameter without a name")]
    NoName,
    /// A parameter occurs more than once where one is meant.
    #[error("it has a parameter twice")]
    Duplicate,
}

impl Ambiguous {
    /// A stable word for error codes and tests.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::NotAbsolute => "path_not_absolute",
            Self::TooLong => "target_too_long",
            Self::EmptySegment => "path_empty_segment",
            Self::DotSegment => "path_dot_segment",
            Self::HiddenSeparator => "path_hidden_separator",
            Self::Parameter => "target_parameter",
            Self::BadEscape => "target_bad_escape",
            Self::DoubleEscape => "target_double_escape",
            Self::Control => "target_control",
            Self::RawByte => "target_raw_byte",
            Self::NotUtf8 => "target_not_utf8",
            Self::NoName => "query_no_name",
            Self::Duplicate => "query_duplicate",
        }
    }
}

/// What an escaped slash means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EscapedSlash {
    Refused,
    /// Data inside one segment, as in GitLab's project ids and npm's scopes.
    Data,
}

/// A path with one reading: decoded segments, and one spelling of the whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalPath {
    segments: Vec<String>,
    text: String,
}

impl CanonicalPath {
    /// Reads the raw path of a request, without its query.
    ///
    /// # Errors
    /// [`Ambiguous`] for every path that some server reads differently. Nothing is repaired.
    pub fn parse(raw_path: &str) -> Result<Self, Ambiguous> {
        Self::read(raw_path, EscapedSlash::Refused)
    }

    /// As [`Self::parse`], but `%2F` is data inside its segment and stays `%2F` there. Only for upstreams whose
    /// profile says that they read it so (GitLab's `/projects/group%2Fname`, npm's `/@scope%2fname`).
    ///
    /// # Errors
    /// As [`Self::parse`]; also where a piece beside an escaped slash is empty or a dot segment.
    pub fn parse_keeping_slashes(raw_path: &str) -> Result<Self, Ambiguous> {
        Self::read(raw_path, EscapedSlash::Data)
    }

    fn read(raw: &str, slash: EscapedSlash) -> Result<Self, Ambiguous> {
        if raw.len() > PATH_BYTES_MAX {
            return Err(Ambiguous::TooLong);
        }
        let below = raw.strip_prefix('/').ok_or(Ambiguous::NotAbsolute)?;
        let mut segments = Vec::new();
        let mut text = String::with_capacity(raw.len());
        let mut pieces = below.split('/').peekable();
        while let Some(piece) = pieces.next() {
            text.push('/');
            if piece.is_empty() {
                if pieces.peek().is_some() {
                    return Err(Ambiguous::EmptySegment);
                }
                break;
            }
            let segment = decode_segment(piece, slash)?;
            push_canonical(&mut text, &segment);
            segments.push(segment);
            if segments.len() > PATH_SEGMENTS_MAX {
                return Err(Ambiguous::TooLong);
            }
        }
        Ok(Self { segments, text })
    }

    /// The decoded segments, none empty; a trailing slash adds none. A kept escaped slash is a `/` in its segment.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// The whole path, escaped as RFC 3986 section 6.2.2 says (upper case, and nothing that need not be): the
    /// spelling that `http` grants are compared with.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the path ends in a slash below the root.
    #[must_use]
    pub fn has_trailing_slash(&self) -> bool {
        !self.segments.is_empty() && self.text.ends_with('/')
    }
}

impl std::fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Decodes one segment. A kept escaped slash is a `/` in the result: nothing else can be.
fn decode_segment(piece: &str, slash: EscapedSlash) -> Result<String, Ambiguous> {
    let mut out = Vec::with_capacity(piece.len());
    let mut bytes = piece.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => match escape(&mut bytes)? {
                b'/' if slash == EscapedSlash::Refused => return Err(Ambiguous::HiddenSeparator),
                b'\\' => return Err(Ambiguous::HiddenSeparator),
                b';' => return Err(Ambiguous::Parameter),
                0..=0x1f | 0x7f => return Err(Ambiguous::Control),
                value => out.push(value),
            },
            b'\\' => return Err(Ambiguous::HiddenSeparator),
            b';' => return Err(Ambiguous::Parameter),
            0..=0x1f | 0x7f => return Err(Ambiguous::Control),
            _ if may_stand(byte) => out.push(byte),
            _ => return Err(Ambiguous::RawByte),
        }
    }
    // An escape that decoding leaves is another path to whoever decodes twice.
    if out.windows(3).any(|w| matches!(*w, [b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())) {
        return Err(Ambiguous::DoubleEscape);
    }
    let text = String::from_utf8(out).map_err(|_| Ambiguous::NotUtf8)?;
    // C1 controls and the line separators are controls too, to the servers that look at characters.
    if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
        return Err(Ambiguous::Control);
    }
    for part in text.split('/') {
        if part.is_empty() {
            return Err(Ambiguous::EmptySegment);
        }
        // Windows servers trim trailing dots and blanks, so `.. ` and `...` climb there.
        if part.chars().all(|c| c == '.' || c == ' ') {
            return Err(Ambiguous::DotSegment);
        }
    }
    Ok(text)
}

/// The byte that the two digits after a `%` stand for.
pub(super) fn escape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, Ambiguous> {
    let mut digit = || {
        let value = char::from(bytes.next()?).to_digit(16)?;
        u8::try_from(value).ok()
    };
    match (digit(), digit()) {
        (Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err(Ambiguous::BadEscape),
    }
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The `pchar` of RFC 3986 section 3.3 less `%` and `;`.
const fn may_stand(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'=' | b':' | b'@')
}

fn push_canonical(out: &mut String, segment: &str) {
    for byte in segment.bytes() {
        if may_stand(byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_with_two_readings_is_refused() {
        use Ambiguous as A;
        for (raw, why) in [
            ("", A::NotAbsolute),
            ("*", A::NotAbsolute),
            ("https://x/", A::NotAbsolute),
            ("//", A::EmptySegment),
            ("/a//b", A::EmptySegment),
            ("/a//", A::EmptySegment),
            ("/.", A::DotSegment),
            ("/a/..", A::DotSegment),
            ("/a/../b", A::DotSegment),
            ("/a/%2e%2e/b", A::DotSegment),
            ("/a/%2E./b", A::DotSegment),
            ("/a/.%2e", A::DotSegment),
            ("/a/..%20/b", A::DotSegment),
            ("/a/.../b", A::DotSegment),
            ("/a%2fb", A::HiddenSeparator),
            ("/a%2Fb", A::HiddenSeparator),
            ("/a%5cb", A::HiddenSeparator),
            ("/a\\b", A::HiddenSeparator),
            ("/a;b=1/c", A::Parameter),
            ("/a%3bb", A::Parameter),
            ("/a/..;/b", A::Parameter),
            ("/a%00", A::Control),
            ("/a%0d%0aX", A::Control),
            ("/a%7f", A::Control),
            ("/a%c2%85", A::Control),
            ("/a%e2%80%a8b", A::Control),
            ("/a\tb", A::Control),
            ("/a%252fb", A::DoubleEscape),
            ("/a%25%32fb", A::DoubleEscape),
            ("/a%25%32%66b", A::DoubleEscape),
            ("/a%", A::BadEscape),
            ("/a%2", A::BadEscape),
            ("/a%zz", A::BadEscape),
            ("/a%u002f", A::BadEscape),
            ("/a%c0%af", A::NotUtf8),
            ("/a%c0%ae%c0%ae", A::NotUtf8),
            ("/a%ff", A::NotUtf8),
            ("/a%ed%a0%80", A::NotUtf8),
            ("/ä", A::RawByte),
            ("/a b", A::RawByte),
            ("/a?b", A::RawByte),
            ("/a#b", A::RawByte),
            ("/{id}", A::RawByte),
        ] {
            assert_eq!(CanonicalPath::parse(raw), Err(why), "{raw:?}");
        }
    }

    #[test]
    fn a_path_with_one_reading_has_one_spelling() -> Result<(), Ambiguous> {
        for (raw, text, segments) in [
            ("/", "/", vec![]),
            ("/simple/flask/", "/simple/flask/", vec!["simple", "flask"]),
            ("/repos/acme/w%65b", "/repos/acme/web", vec!["repos", "acme", "web"]),
            ("/a%20b", "/a%20b", vec!["a b"]),
            ("/%c3%a4", "/%C3%A4", vec!["ä"]),
            ("/100%25", "/100%25", vec!["100%"]),
            ("/labels/c%23", "/labels/c%23", vec!["labels", "c#"]),
            ("/a%3fb", "/a%3Fb", vec!["a?b"]),
            ("/pkg.Svc/Method", "/pkg.Svc/Method", vec!["pkg.Svc", "Method"]),
            ("/@types/%6eode", "/@types/node", vec!["@types", "node"]),
            ("/a%24b$", "/a$b$", vec!["a$b$"]),
            ("/..x/.git", "/..x/.git", vec!["..x", ".git"]),
        ] {
            let path = CanonicalPath::parse(raw)?;
            assert_eq!(path.as_str(), text, "{raw}");
            assert_eq!(path.segments(), segments, "{raw}");
        }
        assert!(CanonicalPath::parse("/a/")?.has_trailing_slash());
        assert!(!CanonicalPath::parse("/")?.has_trailing_slash());
        Ok(())
    }

    #[test]
    fn a_kept_slash_stays_inside_its_segment() -> Result<(), Ambiguous> {
        let path = CanonicalPath::parse_keeping_slashes("/projects/acme%2fweb/issues")?;
        assert_eq!(path.as_str(), "/projects/acme%2Fweb/issues");
        assert_eq!(path.segments(), ["projects", "acme/web", "issues"].map(|s| s.to_owned()));
        for (raw, why) in [
            ("/p/a%2f..%2fb", Ambiguous::DotSegment),
            ("/p/..%2fb", Ambiguous::DotSegment),
            ("/p/a%2f", Ambiguous::EmptySegment),
            ("/p/%2f", Ambiguous::EmptySegment),
            ("/p/a%2f%2fb", Ambiguous::EmptySegment),
            ("/p/a%5cb", Ambiguous::HiddenSeparator),
            ("/p/a%252fb", Ambiguous::DoubleEscape),
        ] {
            assert_eq!(CanonicalPath::parse_keeping_slashes(raw), Err(why), "{raw}");
        }
        Ok(())
    }

    #[test]
    fn paths_are_bounded_at_n() {
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
        assert!(CanonicalPath::parse(&long).is_ok());
        assert_eq!(CanonicalPath::parse(&format!("{long}a")), Err(Ambiguous::TooLong));
        let deep = "/a".repeat(PATH_SEGMENTS_MAX);
        assert!(CanonicalPath::parse(&deep).is_ok());
        assert_eq!(CanonicalPath::parse(&format!("{deep}/a")), Err(Ambiguous::TooLong));
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_of_a_canonical_spelling_is_itself(raw in "/[a-z%0-9A-F./;~ ä\\\\]{0,24}") {
            if let Ok(path) = CanonicalPath::parse(&raw) {
                prop_assert_eq!(CanonicalPath::parse(path.as_str()), Ok(path.clone()));
            }
            if let Ok(path) = CanonicalPath::parse_keeping_slashes(&raw) {
                prop_assert_eq!(CanonicalPath::parse_keeping_slashes(path.as_str()), Ok(path.clone()));
            }
        }

        #[test]
        fn every_escaping_of_a_path_reads_the_same(text in "[a-zA-Z0-9 ?#ä]{1,12}", escaped in any::<u64>()) {
            let mut raw = String::from("/x");
            for (i, byte) in text.bytes().enumerate() {
                if byte.is_ascii_alphanumeric() && escaped >> (i % 64) & 1 == 0 {
                    raw.push(char::from(byte));
                } else if escaped & 1 == 0 {
                    raw.push_str(&format!("%{byte:02x}"));
                } else {
                    raw.push_str(&format!("%{byte:02X}"));
                }
            }
            let path = CanonicalPath::parse(&raw).unwrap();
            prop_assert_eq!(path.segments(), [format!("x{text}")]);
        }
    }
}
