//! The `Cookie` header (RFC 6265 section 4.2), changed by whole cookies and otherwise left alone.

use std::collections::BTreeMap;

use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

/// Whether a text is a cookie's name: a token (RFC 6265 section 4.1.1).
#[must_use]
pub(crate) fn is_name(name: &str) -> bool {
    // A header's name is the same token.
    !name.is_empty() && HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Whether bytes are a cookie's value, unquoted: `cookie-octet` (RFC 6265 section 4.1.1).
#[must_use]
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b',' | b';' | b'\\'))
}

/// The pieces of all `Cookie` lines, trimmed, empty ones left out. HTTP/2 may split them over lines (RFC 9113
/// section 8.2.3).
fn pieces(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|b| *b == b';')).map(<[u8]>::trim_ascii).filter(|p| !p.is_empty())
}

fn split(piece: &[u8]) -> (&[u8], &[u8]) {
    match piece.iter().position(|b| *b == b'=') {
        Some(at) => (piece.get(..at).unwrap_or_default().trim_ascii(), piece.get(at + 1..).unwrap_or_default()),
        None => (piece, b""),
    }
}

/// Name and value of each cookie.
pub(crate) fn all(headers: &HeaderMap) -> Vec<(Vec<u8>, Vec<u8>)> {
    let owned = |piece| {
        let (name, value) = split(piece);
        (name.to_vec(), value.trim_ascii().to_vec())
    };
    pieces(headers).map(owned).collect()
}

/// Takes off every cookie of that name, in whatever case.
///
/// Returns whether there was one.
pub(crate) fn remove(headers: &mut HeaderMap, name: &str) -> bool {
    let is_it = |piece: &[u8]| split(piece).0.eq_ignore_ascii_case(name.as_bytes());
    let had = pieces(headers).any(is_it);
    if !had {
        return false;
    }
    let kept: Vec<&[u8]> = pieces(headers).filter(|piece| !is_it(piece)).collect();
    write(headers, &kept.join(&b"; "[..]), false);
    true
}

/// Sets one cookie. It stands first, where no quote of the agent's can swallow it. The line becomes sensitive, so that
/// HPACK never indexes it (RFC 7541 section 7.1.3).
pub(crate) fn set(headers: &mut HeaderMap, name: &str, value: &[u8]) {
    remove(headers, name);
    let mut line = [name.as_bytes(), b"=", value].concat();
    for piece in pieces(headers) {
        line.extend_from_slice(b"; ");
        line.extend_from_slice(piece);
    }
    write(headers, &line, true);
}

/// Exchanges the values for which `exchange` has another; cookies whose name occurs twice are not asked about. The
/// exchanged ones stand first, as with [`set`]. One pass over the line, and one write.
pub(crate) fn exchange(headers: &mut HeaderMap, mut exchange: impl FnMut(&str, &str) -> Option<Vec<u8>>) {
    let mut times: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for piece in pieces(headers) {
        *times.entry(split(piece).0.to_ascii_lowercase()).or_default() += 1;
    }
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    for piece in pieces(headers) {
        let (name, value) = split(piece);
        let once = times.get(&name.to_ascii_lowercase()) == Some(&1);
        let other = match (std::str::from_utf8(name), std::str::from_utf8(value.trim_ascii())) {
            (Ok(name), Ok(value)) if once => exchange(name, value),
            _ => None,
        };
        match other {
            Some(value) => first.push([name, b"=", value.as_slice()].concat()),
            None => rest.push(piece.to_vec()),
        }
    }
    if !first.is_empty() {
        first.append(&mut rest);
        write(headers, &first.join(&b"; "[..]), true);
    }
}

fn write(headers: &mut HeaderMap, line: &[u8], sensitive: bool) {
    let sensitive = sensitive || headers.get_all(COOKIE).iter().any(HeaderValue::is_sensitive);
    headers.remove(COOKIE);
    // Pieces of header values are header values.
    if let Ok(mut value) = HeaderValue::from_bytes(line)
        && !line.is_empty()
    {
        value.set_sensitive(sensitive);
        headers.insert(COOKIE, value);
    }
}
