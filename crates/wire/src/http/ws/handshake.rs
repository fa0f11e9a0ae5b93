//! The handshake of RFC 6455 section 4, both ways.

use super::WsError;
use crate::limits::WS_PROTOCOLS_MAX;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode, Version, request, response};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const KEY_BYTES: usize = 16;

/// What the client asked for, to compare the answer with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    accept: String,
    protocols: Vec<String>,
}

/// What both sides agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The subprotocol, one of those offered.
    pub protocol: Option<String>,
}

/// Judges the client's half. [`crate::http::check_request`] comes first, and [`crate::http::strip_request`] takes the
/// offered extensions off.
///
/// # Errors
/// [`WsError::Request`].
pub fn check_request(parts: &request::Parts) -> Result<Handshake, WsError> {
    use WsError::Request as No;
    let headers = &parts.headers;
    if parts.method != Method::GET || parts.version != Version::HTTP_11 {
        return Err(No("it is a GET of HTTP/1.1"));
    }
    if headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|v| v != "0") {
        return Err(No("it has no body"));
    }
    if one(headers, &UPGRADE).is_none_or(|v| !v.eq_ignore_ascii_case("websocket")) || !has_upgrade(headers) {
        return Err(No("it asks for an upgrade to `websocket`"));
    }
    if one(headers, &SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(No("its version is 13"));
    }
    let key = one(headers, &SEC_WEBSOCKET_KEY).ok_or(No("it has one key"))?;
    if STANDARD.decode(key).map(|bytes| bytes.len()) != Ok(KEY_BYTES) {
        return Err(No("its key is 16 bytes in base64"));
    }
    let protocols = protocols(headers).ok_or(No("its protocols are tokens"))?;
    Ok(Handshake { accept: accept_for(key), protocols })
}

/// Judges the upstream's half: only after this do the connections become frames.
///
/// # Errors
/// [`WsError::Response`]: the answer goes on as an ordinary one if it is no 101, and is dropped if it is.
pub fn check_response(parts: &response::Parts, asked: &Handshake) -> Result<Accepted, WsError> {
    use WsError::Response as No;
    let headers = &parts.headers;
    if parts.status != StatusCode::SWITCHING_PROTOCOLS {
        return Err(No("its status is 101"));
    }
    if one(headers, &UPGRADE).is_none_or(|v| !v.eq_ignore_ascii_case("websocket")) || !has_upgrade(headers) {
        return Err(No("it upgrades to `websocket`"));
    }
    if one(headers, &SEC_WEBSOCKET_ACCEPT) != Some(asked.accept.as_str()) {
        return Err(No("it has the key's answer"));
    }
    if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
        return Err(No("it agrees to no extension, for none was offered"));
    }
    if !headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        return Ok(Accepted { protocol: None });
    }
    let chosen = one(headers, &SEC_WEBSOCKET_PROTOCOL).filter(|p| asked.protocols.iter().any(|offered| offered == p));
    let chosen = chosen.ok_or(No("its protocol is one of those offered"))?;
    Ok(Accepted { protocol: Some(chosen.to_owned()) })
}

/// `Sec-WebSocket-Accept` for a key. SHA-1 proves here that the peer read the key, and protects nothing.
#[must_use]
pub fn accept_for(key: &str) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat()))
}

fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

fn has_upgrade(headers: &HeaderMap) -> bool {
    let mut tokens = headers.get_all(CONNECTION).into_iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

fn protocols(headers: &HeaderMap) -> Option<Vec<String>> {
    let mut out = Vec::new();
    for value in headers.get_all(SEC_WEBSOCKET_PROTOCOL) {
        for token in value.to_str().ok()?.split(',').map(str::trim) {
            // A header's name is the same token.
            HeaderName::from_bytes(token.as_bytes()).ok()?;
            if out.len() == WS_PROTOCOLS_MAX {
                return None;
            }
            out.push(token.to_owned());
        }
    }
    Some(out)
}
