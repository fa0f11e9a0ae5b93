//! The query of a URL and the form of a body: `application/x-www-form-urlencoded`, read in the one way that all
//! servers share.

use super::path::{Ambiguous, escape};
use crate::limits::{QUERY_PAIRS_MAX, TARGET_BYTES_MAX};

/// Reads the raw query of a request, without its `?`. `+` is a blank; a parameter without `=` has an empty value;
/// empty pieces (`a=1&&b=2`) carry nothing. Names may repeat: see [`duplicate`] and [`one`].
///
/// # Errors
/// [`Ambiguous`] for bad escapes, `;` (a separator to some servers), NUL, what is not UTF-8, a parameter
/// without a name, more than [`QUERY_PAIRS_MAX`] of them, or more than [`TARGET_BYTES_MAX`] bytes.
pub fn parse(raw: &str) -> Result<Vec<(String, String)>, Ambiguous> {
    read(raw, TARGET_BYTES_MAX)
}

/// Reads a form body of at most `max_bytes`.
///
/// # Errors
/// As [`parse`].
pub fn parse_form(body: &[u8], max_bytes: usize) -> Result<Vec<(String, String)>, Ambiguous> {
    read(std::str::from_utf8(body).map_err(|_| Ambiguous::NotUtf8)?, max_bytes)
}

fn read(raw: &str, max_bytes: usize) -> Result<Vec<(String, String)>, Ambiguous> {
    if raw.len() > max_bytes {
        return Err(Ambiguous::TooLong);
    }
    let mut pairs = Vec::new();
    for piece in raw.split('&').filter(|piece| !piece.is_empty()) {
        if pairs.len() == QUERY_PAIRS_MAX {
            return Err(Ambiguous::TooLong);
        }
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let name = decode(name)?;
        if name.is_empty() {
            return Err(Ambiguous::NoName);
        }
        pairs.push((name, decode(value)?));
    }
    Ok(pairs)
}

/// The first name that occurs twice. Case counts; `a[]` is a name like any other.
#[must_use]
pub fn duplicate(pairs: &[(String, String)]) -> Option<&str> {
    let mut names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.iter().zip(names.iter().skip(1)).find(|(a, b)| a == b).map(|(name, _)| *name)
}

/// The value of a parameter that may occur once.
///
/// # Errors
/// [`Ambiguous::Duplicate`] where it occurs more often: servers take the first, the last, or both.
pub fn one<'a>(pairs: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, Ambiguous> {
    let mut found = pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str());
    match (found.next(), found.next()) {
        (value, None) => Ok(value),
        _ => Err(Ambiguous::Duplicate),
    }
}

/// `raw` without the parameters of that name, however they are escaped, in whatever case, and with or without `[…]`;
/// everything else byte for byte. Where `instead` is given, it stands where the first of them stood, or at the end.
#[must_use]
pub(crate) fn replace(raw: &str, name: &str, instead: Option<&str>) -> String {
    let mut instead = instead;
    let mut out: Vec<&str> = Vec::new();
    for piece in raw.split('&') {
        if is_named(piece, name) {
            out.extend(instead.take());
        } else {
            out.push(piece);
        }
    }
    if let Some(instead) = instead {
        if raw.is_empty() {
            out.clear();
        }
        out.push(instead);
    }
    out.join("&")
}

/// Whether any piece of a raw query has that name, as [`replace`] sees it.
#[must_use]
pub(crate) fn has(raw: &str, name: &str) -> bool {
    raw.split('&').any(|piece| is_named(piece, name))
}

/// The decoded value of the one piece of that exact name.
pub(crate) fn value_of(raw: &str, name: &str) -> Option<String> {
    let mut found = raw.split('&').filter(|piece| is_named(piece, name));
    let (piece, None) = (found.next()?, found.next()) else { return None };
    decode(piece.split_once('=')?.1).ok()
}

/// Cautious: a name that does not decode cleanly still counts if its lossy reading is the name.
fn is_named(piece: &str, name: &str) -> bool {
    let raw = piece.split('=').next().unwrap_or_default();
    let spaced = raw.replace('+', " ");
    let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy();
    // Rails and PHP read `key[]` and `key[x]` into `key`.
    let bare = decoded.split('[').next().unwrap_or_default();
    bare.trim().eq_ignore_ascii_case(name) || decoded.eq_ignore_ascii_case(name)
}

fn decode(text: &str) -> Result<String, Ambiguous> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escape(&mut bytes)? {
                0 => return Err(Ambiguous::Control),
                value => out.push(value),
            },
            b';' => return Err(Ambiguous::Parameter),
            b'#' => return Err(Ambiguous::RawByte),
            0..=0x20 | 0x7f => return Err(Ambiguous::Control),
            _ if !byte.is_ascii() => return Err(Ambiguous::RawByte),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).map_err(|_| Ambiguous::NotUtf8)
}

/// Escapes a value so that every server reads it back: everything but the unreserved characters of RFC 3986.
#[must_use]
pub(crate) fn encode(value: &[u8]) -> String {
    const KEPT: &percent_encoding::AsciiSet =
        &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    percent_encoding::percent_encode(value, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_query_is_read_as_every_server_reads_it() {
        for (raw, want) in [
            ("", vec![]),
            ("a=1&b=2", vec![("a", "1"), ("b", "2")]),
            ("a", vec![("a", "")]),
            ("a=b=c", vec![("a", "b=c")]),
            ("a=1&&b=2&", vec![("a", "1"), ("b", "2")]),
            ("q=x+y%2Bz", vec![("q", "x y+z")]),
            ("%61=%c3%a4", vec![("a", "ä")]),
            ("a=1&a=2", vec![("a", "1"), ("a", "2")]),
            ("h=host%3Bx-amz-date", vec![("h", "host;x-amz-date")]),
        ] {
            assert_eq!(parse(raw), Ok(pairs(&want)), "{raw}");
        }
    }

    #[test]
    fn a_query_with_two_readings_is_refused() {
        use Ambiguous as A;
        for (raw, why) in [
            ("a=1;b=2", A::Parameter),
            ("=x", A::NoName),
            ("a=%", A::BadEscape),
            ("a=%0", A::BadEscape),
            ("a=%00", A::Control),
            ("a=b c", A::Control),
            ("a=%ff", A::NotUtf8),
            ("a=%c0%af", A::NotUtf8),
            ("a=ä", A::RawByte),
            ("a#b", A::RawByte),
        ] {
            assert_eq!(parse(raw), Err(why), "{raw}");
        }
    }

    #[test]
    fn a_parameter_that_occurs_twice_is_seen() {
        let twice = pairs(&[("b", "1"), ("a", "1"), ("b", "1")]);
        assert_eq!(duplicate(&twice), Some("b"));
        assert_eq!(one(&twice, "b"), Err(Ambiguous::Duplicate));
        assert_eq!(one(&twice, "a"), Ok(Some("1")));
        assert_eq!(one(&twice, "c"), Ok(None));
        assert_eq!(duplicate(&pairs(&[("a", ""), ("A", "")])), None);
    }

    #[test]
    fn queries_are_bounded_at_n() {
        let many = vec!["a=1"; QUERY_PAIRS_MAX].join("&");
        assert!(parse(&many).is_ok());
        assert_eq!(parse(&format!("{many}&a=1")), Err(Ambiguous::TooLong));
        let long = format!("a={}", "x".repeat(TARGET_BYTES_MAX - 2));
        assert!(parse(&long).is_ok());
        assert_eq!(parse(&format!("{long}x")), Err(Ambiguous::TooLong));
        assert!(parse_form(long.as_bytes(), TARGET_BYTES_MAX).is_ok());
        assert_eq!(parse_form(long.as_bytes(), TARGET_BYTES_MAX - 1), Err(Ambiguous::TooLong));
    }

    #[test]
    fn a_parameter_is_replaced_under_every_spelling_of_its_name() {
        for (raw, want) in [
            ("a=1&key=agent&b=2", "a=1&key=real&b=2"),
            ("a=1&KEY=agent", "a=1&key=real"),
            ("%6bey=agent&a=1", "key=real&a=1"),
            ("key=x&key=y&a", "key=real&a"),
            ("key[]=x&key[a]=y", "key=real"),
            ("key", "key=real"),
            ("+key=x", "key=real"),
            ("a=1", "a=1&key=real"),
            ("", "key=real"),
            ("monkey=1", "monkey=1&key=real"),
            ("a=%zz&x=key", "a=%zz&x=key&key=real"),
        ] {
            assert_eq!(replace(raw, "key", Some("key=real")), want, "{raw}");
        }
        assert_eq!(replace("key=1&a=%20+&key=2", "key", None), "a=%20+");
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(value in "[ -~ä]{0,40}") {
            prop_assert_eq!(parse(&format!("k={}", encode(value.as_bytes()))), Ok(vec![("k".to_owned(), value)]));
        }

        #[test]
        fn after_a_replacement_no_reader_finds_another(raw in "[kK%46eEyY5b=&a\\[\\]+]{0,40}") {
            let out = replace(&raw, "key", Some("key=REAL"));
            if let Ok(read) = parse(&out) {
                let found: Vec<_> = read.iter().filter(|(n, _)| n.to_ascii_lowercase().trim() == "key").collect();
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].1.as_str(), "REAL");
            }
        }
    }
}
