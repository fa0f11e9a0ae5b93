//! How long a request is and what becomes of its connection: the headers that smuggling is made of.

use super::reject::Reject;
use super::same_header;
use crate::limits::CONTENT_LENGTH_DIGITS_MAX;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::request::Parts;
use http::{Method, Version};

/// How the length of the body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    Empty,
    /// `Content-Length`, in bytes.
    Length(u64),
    /// HTTP/1.1 `Transfer-Encoding: chunked`.
    Chunked,
    /// HTTP/2 without a content length: until the stream's end, which may be at once.
    Stream,
}

/// Headers that frame, route or carry identity: never for one hop alone, never in a second spelling.
const NEVER_HOP: [&str; 12] = [
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "authorization",
    "cookie",
    "accept",
    "accept-encoding",
    "expect",
    "range",
    "date",
    "origin",
];

/// Headers of which an alias (`content_length`) would frame or route at a server that maps names to variables.
const NO_ALIAS: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "content-type",
    "content-encoding",
    "http2-settings",
    "expect",
];

pub(super) fn check_framing(parts: &Parts) -> Result<Framing, Reject> {
    let headers = &parts.headers;
    for name in headers.keys() {
        if NO_ALIAS.iter().any(|known| name != known && same_header(name, known)) {
            return Err(Reject::HeaderAlias(name.as_str().to_owned()));
        }
    }
    let length = content_length(headers)?;
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = match (codings.next(), codings.next()) {
        (None, _) => false,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => true,
        _ => return Err(Reject::TransferCoding),
    };
    match (length, chunked, parts.version) {
        (Some(_), true, _) => Err(Reject::LengthAndCoding),
        (None, true, Version::HTTP_11) => Ok(Framing::Chunked),
        // RFC 9112 section 6.1: a coding in HTTP/1.0 is faulty framing.
        (None, true, _) => Err(Reject::TransferCoding),
        (Some(0), false, _) => Ok(Framing::Empty),
        (Some(bytes), false, _) => Ok(Framing::Length(bytes)),
        (None, false, Version::HTTP_2) => Ok(Framing::Stream),
        (None, false, _) => Ok(Framing::Empty),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Reject> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Reject::ContentLength);
    }
    let text = value.to_str().map_err(|_| Reject::ContentLength)?;
    let plain = !text.is_empty()
        && text.len() <= CONTENT_LENGTH_DIGITS_MAX
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if !plain {
        return Err(Reject::ContentLength);
    }
    text.parse().map(Some).map_err(|_| Reject::ContentLength)
}

/// Whether the client waits for `100 Continue`.
pub(super) fn check_expect(headers: &HeaderMap) -> Result<bool, Reject> {
    let mut all = headers.get_all(EXPECT).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(false),
        (Some(one), None) if one.as_bytes().eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(Reject::Expect),
    }
}

/// The names that `Connection` lists, lower case.
///
/// # Errors
/// [`Reject::ConnectionNames`] for one that is not for one hop, or is no header name.
pub(super) fn connection_names(headers: &HeaderMap) -> Result<Vec<HeaderName>, Reject> {
    let mut names = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty()) {
            let refused = || Reject::ConnectionNames(String::from_utf8_lossy(token).into_owned());
            let name = HeaderName::from_bytes(token).map_err(|_| refused())?;
            if NEVER_HOP.iter().any(|kept| same_header(&name, kept)) {
                return Err(refused());
            }
            names.push(name);
        }
    }
    Ok(names)
}

/// Whether this is a WebSocket handshake. Every other upgrade is refused.
pub(super) fn check_upgrade(parts: &Parts, framing: Framing) -> Result<bool, Reject> {
    let headers = &parts.headers;
    let names = connection_names(headers)?;
    if headers.contains_key("http2-settings") {
        return Err(Reject::Upgrade);
    }
    let mut all = headers.get_all(UPGRADE).iter();
    let Some(value) = all.next() else { return Ok(false) };
    if all.next().is_some() || !value.as_bytes().eq_ignore_ascii_case(b"websocket") {
        return Err(Reject::Upgrade);
    }
    let asked = names.contains(&UPGRADE);
    if asked && parts.version == Version::HTTP_11 && parts.method == Method::GET && framing == Framing::Empty {
        Ok(true)
    } else {
        Err(Reject::UpgradeForm)
    }
}

/// RFC 9113 section 8.2.2.
pub(super) fn check_http2(headers: &HeaderMap) -> Result<(), Reject> {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"] {
        if headers.contains_key(name) {
            return Err(Reject::HopInHttp2(name.to_owned()));
        }
    }
    let te_ok = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"trailers");
    if headers.get_all(TE).iter().all(te_ok) { Ok(()) } else { Err(Reject::HopInHttp2("te".to_owned())) }
}

/// Headers of which a second line would be another request to another reader.
pub(super) fn check_single(headers: &HeaderMap) -> Result<(), Reject> {
    for (name, word) in [(CONTENT_TYPE, "content-type"), (http::header::ORIGIN, "origin")] {
        if headers.get_all(name).iter().count() > 1 {
            return Err(Reject::HeaderDuplicate(word));
        }
    }
    Ok(())
}
