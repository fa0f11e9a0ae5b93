//! Escapes of text formats: percent, JSON, HTML. Each style is that of encoders in use.

use super::{Sym, Writer};
use zeroize::Zeroizing;

type Syms = Zeroizing<Vec<Sym>>;

/// Which bytes percent-encoders leave as they are, besides letters and digits, and whether a space becomes `+`.
const PERCENT_STYLES: &[(&[u8], bool)] = &[
    (b"-._~", false), // RFC 3986, Python `quote(safe="")`, curl, Go `QueryEscape` without spaces
    (b"-._~", true),  // Go `QueryEscape`, Python `quote_plus`
    (b"-._~/", false), // Python `quote`
    (b"-_.!~*'()", false), // JavaScript `encodeURIComponent`
    (b"-_.!~*'();,/?:@&=+$#", false), // JavaScript `encodeURI`
    (b"-._~!$&'()*+,;=:@", false), // RFC 3986 path segment
    (b"-._~!$&'()*+,;=:@/?", false), // RFC 3986 query
    (b"-._~$&+=:@", false), // Go `PathEscape`
    (b"*-._", true),  // WHATWG form encoding, Java `URLEncoder`
    (b"-_.", true),   // PHP `urlencode`
];

pub(super) fn percent(bytes: &[u8]) -> impl Iterator<Item = Syms> {
    let everything = Writer::with(|w| {
        for byte in bytes {
            w.byte(b'%');
            w.hex(*byte);
        }
    });
    let styled = PERCENT_STYLES.iter().map(move |(kept, plus)| {
        Writer::with(|w| {
            for byte in bytes {
                match byte {
                    b' ' if *plus => w.byte(b'+'),
                    b if b.is_ascii_alphanumeric() || kept.contains(b) => w.byte(*b),
                    b => {
                        w.byte(b'%');
                        w.hex(*b);
                    }
                }
            }
        })
    });
    styled.chain([everything])
}

/// How one JSON encoder escapes.
struct JsonStyle {
    /// `/` becomes `\/`.
    slash: bool,
    /// Line feed and its like become `\u000a` instead of `\n`.
    long_controls: bool,
    /// What is not ASCII becomes `\uXXXX`, in surrogate pairs.
    ascii_only: bool,
    /// These become `\u00XX` as well.
    also: &'static [u8],
}

const JSON_PLAIN: JsonStyle = JsonStyle {
    slash: false,
    long_controls: false,
    ascii_only: false,
    also: b"",
};
const JSON_STYLES: &[JsonStyle] = &[
    JSON_PLAIN, // serde_json, JavaScript
    JsonStyle {
        slash: true,
        ..JSON_PLAIN
    }, // PHP with JSON_UNESCAPED_UNICODE
    JsonStyle {
        ascii_only: true,
        ..JSON_PLAIN
    }, // Python
    JsonStyle {
        slash: true,
        ascii_only: true,
        ..JSON_PLAIN
    }, // PHP
    JsonStyle {
        long_controls: true,
        ..JSON_PLAIN
    }, // Go before 1.22
    JsonStyle {
        also: b"<>&",
        ..JSON_PLAIN
    }, // Go, Rails
    JsonStyle {
        also: b"<>&",
        long_controls: true,
        ..JSON_PLAIN
    }, // Go before 1.22
    JsonStyle {
        also: b"<>&'=",
        ..JSON_PLAIN
    }, // Gson
    JsonStyle {
        also: b"<>&'+`\"\x7f",
        ascii_only: true,
        ..JSON_PLAIN
    }, // .NET
];

pub(super) fn json(bytes: &[u8]) -> impl Iterator<Item = Syms> {
    let everything = Writer::with(|w| characters(bytes, |c, _| unicode_escape(w, c)));
    let styled = JSON_STYLES.iter().map(move |style| {
        Writer::with(|w| characters(bytes, |c, raw| json_character(w, style, c, raw)))
    });
    styled.chain([everything])
}

fn json_character(w: &mut Writer, style: &JsonStyle, c: char, raw: &[u8]) {
    let short = match c {
        '\n' => Some(b'n'),
        '\r' => Some(b'r'),
        '\t' => Some(b't'),
        '\u{8}' => Some(b'b'),
        '\u{c}' => Some(b'f'),
        _ => None,
    };
    let named = u8::try_from(c).is_ok_and(|b| b.is_ascii() && style.also.contains(&b));
    match c {
        _ if named => unicode_escape(w, c),
        '"' | '\\' => w.literal(&[b'\\', c as u8]),
        '/' if style.slash => w.literal(b"\\/"),
        _ if (c as u32) < 0x20 => match short {
            Some(letter) if !style.long_controls => w.literal(&[b'\\', letter]),
            _ => unicode_escape(w, c),
        },
        _ if !c.is_ascii() && style.ascii_only => unicode_escape(w, c),
        _ => w.literal(raw),
    }
}

/// Calls with each character and its bytes. What is not UTF-8 is read as Latin-1, as encoders of byte strings do.
fn characters(bytes: &[u8], mut call: impl FnMut(char, &[u8])) {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let mut buffer = [0; 4];
            for c in text.chars() {
                call(c, c.encode_utf8(&mut buffer).as_bytes());
            }
        }
        Err(_) => bytes.iter().for_each(|b| call(char::from(*b), &[*b])),
    }
}

fn unicode_escape(w: &mut Writer, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        w.literal(b"\\u");
        unit.to_be_bytes().iter().for_each(|byte| w.hex(*byte));
    }
}

/// Replacements beyond `&amp;`, `&lt;` and `&gt;`, which all encoders share.
const HTML_STYLES: &[&[(u8, &str)]] = &[
    &[],                                                      // text nodes
    &[(b'"', "&quot;"), (b'\'', "&#x27;")],                   // Python, Django
    &[(b'"', "&#34;"), (b'\'', "&#39;")],                     // Go
    &[(b'"', "&quot;"), (b'\'', "&#39;")],                    // Ruby, JavaScript
    &[(b'"', "&quot;"), (b'\'', "&#039;")],                   // PHP
    &[(b'"', "&quot;"), (b'\'', "&apos;")],                   // XML
    &[(b'"', "&quot;")],                                      // attributes
    &[(b'"', "&quot;"), (b'\'', "&#x27;"), (b'/', "&#x2F;")], // OWASP, React before 15
    &[
        (b'"', "&quot;"),
        (b'\'', "&#39;"),
        (b'/', "&#x2F;"),
        (b'`', "&#x60;"),
        (b'=', "&#x3D;"),
    ], // Mustache
    &[(b'"', "&#34;"), (b'\'', "&#39;"), (b'+', "&#43;")],    // Go html/template
];

pub(super) fn html(bytes: &[u8]) -> impl Iterator<Item = Syms> {
    HTML_STYLES
        .iter()
        .map(move |style| Writer::with(|w| bytes.iter().for_each(|b| html_byte(w, style, *b))))
}

fn html_byte(w: &mut Writer, style: &[(u8, &str)], byte: u8) {
    let special = style
        .iter()
        .find(|(from, _)| *from == byte)
        .map(|(_, to)| *to);
    match (byte, special) {
        (_, Some(to)) => html_reference(w, to),
        (b'&', None) => w.literal(b"&amp;"),
        (b'<', None) => w.literal(b"&lt;"),
        (b'>', None) => w.literal(b"&gt;"),
        (_, None) => w.byte(byte),
    }
}

/// Named references are exact; the digits of `&#x2F;` come in either case.
fn html_reference(w: &mut Writer, reference: &str) {
    let numeric = reference.starts_with("&#x");
    for (at, byte) in reference.bytes().enumerate() {
        if numeric && at >= 2 {
            w.either(byte.to_ascii_lowercase(), byte.to_ascii_uppercase());
        } else {
            w.byte(byte);
        }
    }
}
