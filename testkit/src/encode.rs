//! The forms in which a credential can travel, for servers that reflect it and searches that look for it.

use std::fmt::Write as _;

use aws_lc_rs::digest;
use base64::{
    Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD,
};

/// A form of a byte string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Raw,
    /// RFC 4648 section 4.
    Base64,
    /// RFC 4648 section 5, without padding.
    Base64Url,
    /// Lower-case hexadecimal.
    Hex,
    /// Every byte as `%XX` (RFC 3986 section 2.1).
    Percent,
    /// The inside of a JSON string with every character as `\u00XX` (RFC 8259 section 7).
    Json,
}

impl Form {
    /// All forms.
    pub const ALL: [Self; 6] = [
        Self::Raw,
        Self::Base64,
        Self::Base64Url,
        Self::Hex,
        Self::Percent,
        Self::Json,
    ];

    /// The form with this name in a query, `raw` for none.
    #[must_use]
    pub fn named(name: Option<&str>) -> Option<Self> {
        Some(match name.unwrap_or("raw") {
            "raw" => Self::Raw,
            "base64" => Self::Base64,
            "base64url" => Self::Base64Url,
            "hex" => Self::Hex,
            "percent" => Self::Percent,
            "json" => Self::Json,
            _ => return None,
        })
    }

    /// `bytes` in this form.
    #[must_use]
    pub fn encode(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Raw => bytes.to_vec(),
            Self::Base64 => STANDARD.encode(bytes).into_bytes(),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
            Self::Hex => hex(bytes).into_bytes(),
            Self::Percent => each(bytes, "%", 2),
            Self::Json => each(bytes, "\\u", 4),
        }
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// Every form in which `secret` can be found as a substring: raw, hexadecimal in both cases, percent-encoded
/// (wholly, and only where needed), JSON-escaped (wholly, and only where needed) and both base64 alphabets at the
/// three alignments, cut to the characters that depend on the secret alone.
#[must_use]
pub fn needles(secret: &[u8]) -> Vec<Vec<u8>> {
    let lower = hex(secret);
    let mut all = vec![
        secret.to_vec(),
        lower.to_uppercase().into_bytes(),
        lower.into_bytes(),
        Form::Percent.encode(secret),
        Form::Percent.encode(secret).to_ascii_uppercase(),
        Form::Json.encode(secret),
        percent_minimal(secret),
    ];
    if let Ok(text) = std::str::from_utf8(secret)
        && let Ok(quoted) = serde_json::to_string(text)
    {
        all.push(quoted.trim_matches('"').as_bytes().to_vec());
    }
    for pad in 0..3 {
        let mut padded = vec![0_u8; pad];
        padded.extend_from_slice(secret);
        let inner = |text: String| {
            // The first characters mix with the bytes before, the last with those after.
            let from = [0, 2, 3].get(pad).copied().unwrap_or(0);
            let to = padded.len() * 8 / 6;
            text.as_bytes().get(from..to).unwrap_or_default().to_vec()
        };
        all.push(inner(STANDARD.encode(&padded)));
        all.push(inner(URL_SAFE_NO_PAD.encode(&padded)));
    }
    all.sort();
    all.dedup();
    all.retain(|needle| needle.len() >= 6);
    all
}

/// Where one of `needles` first occurs in `haystack`.
#[must_use]
pub fn find_any<'n>(haystack: &[u8], needles: &'n [Vec<u8>]) -> Option<(usize, &'n [u8])> {
    needles
        .iter()
        .find_map(|needle| find(haystack, needle).map(|at| (at, needle.as_slice())))
}

/// Where `needle` first occurs in `haystack`.
#[must_use]
pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(step) = haystack.get(from..)?.iter().position(|byte| *byte == first) {
        let at = from + step;
        if haystack.get(at..)?.starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The value of `%XX` escapes and `+` in a query component.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%')
            .then(|| bytes.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        out.push(escaped.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn each(bytes: &[u8], before: &str, width: usize) -> Vec<u8> {
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{before}{byte:0width$x}");
        text
    });
    text.into_bytes()
}

fn percent_minimal(bytes: &[u8]) -> Vec<u8> {
    let text = bytes.iter().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(char::from(*byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    });
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_at_every_alignment_is_found() {
        let secret = b"mqcanary_9f/+\"x\\ zZ?&_tail";
        let all = needles(secret);
        for form in Form::ALL {
            for pad in 0..3 {
                let mut text = vec![b'p'; pad];
                text.extend_from_slice(secret);
                text.extend_from_slice(b"after");
                assert!(
                    find_any(&form.encode(&text), &all).is_some(),
                    "{form:?} at {pad} was missed"
                );
            }
        }
        assert!(
            find_any(
                &Form::Base64.encode(b"something else altogether, longer than the secret"),
                &all
            )
            .is_none()
        );
    }

    #[test]
    fn percent_escapes_decode() {
        assert_eq!(percent_decode("a%2Fb+c%zz"), "a/b c%zz");
    }
}
