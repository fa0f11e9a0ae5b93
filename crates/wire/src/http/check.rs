//! Whether a request is one that we forward at all, and to the one target of its connection (I13).

use super::framing::{Framing, check_expect, check_framing, check_http2, check_single, check_upgrade};
use super::reject::Reject;
use crate::limits::{HEADER_BYTES_MAX, HEADER_LINE_OVERHEAD_BYTES, HEADERS_MAX, METHOD_BYTES_MAX, TARGET_BYTES_MAX};
use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Uri, Version};
use marque_model::{Scheme, Target};

/// What is known of a request that may be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// How the length of its body is known.
    pub framing: Framing,
    /// The client waits for `100 Continue`, which hyper answers when the body is first read.
    pub expects_continue: bool,
    /// It is a WebSocket handshake; [`super::ws::check_request`] looks at the rest of it.
    pub websocket: bool,
}

/// Judges the head of one request on a connection to `target`.
///
/// # Errors
/// [`Reject`]: the request is answered with 400, nothing of it is forwarded, and the connection is closed.
pub fn check_request(parts: &Parts, target: &Target) -> Result<Checked, Reject> {
    check_sizes(parts)?;
    check_method(&parts.method)?;
    check_form(parts)?;
    check_authority(parts, target)?;
    check_values(&parts.headers)?;
    check_single(&parts.headers)?;
    match parts.version {
        Version::HTTP_2 => check_http2(&parts.headers)?,
        Version::HTTP_10 | Version::HTTP_11 => {}
        _ => return Err(Reject::Version),
    }
    let framing = check_framing(parts)?;
    let expects_continue = check_expect(&parts.headers)?;
    let websocket = check_upgrade(parts, framing)?;
    Ok(Checked { framing, expects_continue, websocket })
}

/// The target of a CONNECT request: port 80 is cleartext, every other port TLS. What then comes through the tunnel
/// must be that; [`check_connect_as`] is for a host whose registration says something else.
///
/// # Errors
/// [`Reject`] for everything but a canonical `host:port` (RFC 9110 section 9.3.6).
pub fn check_connect(uri: &Uri) -> Result<Target, Reject> {
    let scheme = if uri.port_u16() == Some(80) { Scheme::Http } else { Scheme::Https };
    check_connect_as(uri, scheme)
}

/// As [`check_connect`], with the scheme that the registration of the host says.
///
/// # Errors
/// As [`check_connect`].
pub fn check_connect_as(uri: &Uri, scheme: Scheme) -> Result<Target, Reject> {
    let authority = uri.authority().ok_or(Reject::TargetForm)?;
    if uri.scheme().is_some() || uri.path_and_query().is_some_and(|p| !p.as_str().is_empty()) {
        return Err(Reject::TargetForm);
    }
    no_userinfo(authority)?;
    if authority.port().is_none() {
        return Err(Reject::TargetForm);
    }
    Ok(Target::from_authority(scheme, authority.as_str())?)
}

/// The target of a proxy request in absolute form (RFC 9112 section 3.2.2).
///
/// # Errors
/// [`Reject`] for another form, another scheme than `http` or `https`, or an authority that is not canonical.
pub fn check_absolute(uri: &Uri) -> Result<Target, Reject> {
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) => return Err(Reject::SchemeMismatch),
        None => return Err(Reject::TargetForm),
    };
    let authority = uri.authority().ok_or(Reject::TargetForm)?;
    no_userinfo(authority)?;
    if !uri.path().starts_with('/') {
        return Err(Reject::TargetForm);
    }
    Ok(Target::from_authority(scheme, authority.as_str())?)
}

fn check_sizes(parts: &Parts) -> Result<(), Reject> {
    if parts.headers.len() > HEADERS_MAX {
        return Err(Reject::HeadersTooMany);
    }
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        name.as_str().len() + value.len() + HEADER_LINE_OVERHEAD_BYTES
    };
    if parts.headers.iter().map(line).sum::<usize>() > HEADER_BYTES_MAX {
        return Err(Reject::HeadersTooLong);
    }
    let target = parts.uri.path_and_query().map_or("", |p| p.as_str());
    if target.len() > TARGET_BYTES_MAX {
        return Err(Reject::TargetTooLong);
    }
    if target.bytes().all(|b| b.is_ascii_graphic()) { Ok(()) } else { Err(Reject::TargetBytes) }
}

fn check_method(method: &Method) -> Result<(), Reject> {
    let text = method.as_str();
    if *method == Method::CONNECT {
        return Err(Reject::ConnectInTunnel);
    }
    // Methods are case-sensitive, and some frameworks fold them all the same.
    let plain = text.len() <= METHOD_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    // TRACE, TRACK and DEBUG show a request, credential and all; PRI opens HTTP/2 (RFC 9113 section 3.4).
    if plain && !matches!(text, "TRACE" | "TRACK" | "DEBUG" | "PRI") { Ok(()) } else { Err(Reject::Method) }
}

fn check_form(parts: &Parts) -> Result<(), Reject> {
    let path = parts.uri.path();
    let asterisk = path == "*" && parts.uri.query().is_none() && parts.method == Method::OPTIONS;
    if path.starts_with('/') || asterisk { Ok(()) } else { Err(Reject::TargetForm) }
}

fn check_authority(parts: &Parts, target: &Target) -> Result<(), Reject> {
    let uri = &parts.uri;
    if let Some(scheme) = uri.scheme_str()
        && scheme != target.scheme().word()
    {
        return Err(Reject::SchemeMismatch);
    }
    if let Some(authority) = uri.authority() {
        no_userinfo(authority)?;
        if !target.is_named_by(authority.as_str()) {
            let what = if parts.version == Version::HTTP_2 { "`:authority`" } else { "absolute form" };
            return Err(Reject::HostMismatch(what));
        }
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        let named = parts.version == Version::HTTP_2 && uri.authority().is_some();
        return if named { Ok(()) } else { Err(Reject::HostMissing) };
    };
    if hosts.next().is_some() {
        return Err(Reject::HostDuplicate);
    }
    if host.as_bytes().contains(&b'@') {
        return Err(Reject::Userinfo);
    }
    let agrees = host.to_str().is_ok_and(|text| target.is_named_by(text));
    if agrees { Ok(()) } else { Err(Reject::HostMismatch("`Host`")) }
}

fn no_userinfo(authority: &Authority) -> Result<(), Reject> {
    if authority.as_str().contains('@') { Err(Reject::Userinfo) } else { Ok(()) }
}

fn check_values(headers: &HeaderMap) -> Result<(), Reject> {
    for (name, value) in headers {
        // obs-text (RFC 9110 section 5.5) that is not UTF-8 is read differently everywhere.
        if std::str::from_utf8(value.as_bytes()).is_err() {
            return Err(Reject::HeaderValue(name.as_str().to_owned()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
