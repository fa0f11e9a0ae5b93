//! URLs and connection strings that carry a login.

use super::words::{is_reference, is_stand_in, says_password, says_production, says_secret};
use super::{Raw, bits};

/// Fewest estimated bits of a password for this machine: below that it is a default of development.
const LOCAL_BITS_MIN: u32 = 40;

/// A login as a URL has it.
pub(super) struct Login {
    kind: String,
    host: String,
    secret: String,
}

impl Login {
    pub(super) fn named(self, name: &str) -> Raw {
        let raw = Raw::declared(name, self.kind, &self.secret);
        Raw { production: raw.production || says_production(&self.host), ..raw }.with_detail(self.host)
    }
}

/// The login in `scheme://user:password@host/…?password=…`, if there is one that is a value of its own.
pub(super) fn login(text: &str) -> Option<Login> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = scheme.rsplit(':').next().unwrap_or(scheme);
    if scheme.is_empty() || !scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, behind) = rest.split_at_checked(end)?;
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let secret = match user.split_once(':') {
        Some((_, password)) if !password.is_empty() => decoded(password),
        // A token in the place of a user, as git URLs have it.
        None if user.len() >= super::TOKEN_BYTES_MIN && bits(user) >= super::TOKEN_BITS_MIN => decoded(user),
        _ => parameter(behind)?,
    };
    let host = bare(host);
    let default = is_local(&host) && bits(&secret) < LOCAL_BITS_MIN;
    if secret.is_empty() || is_reference(&secret) || is_stand_in(&secret) || default {
        return None;
    }
    Some(Login { kind: format!("{} login", family(scheme)), host, secret })
}

fn family(scheme: &str) -> &str {
    match scheme {
        "postgresql" => "postgres",
        "mariadb" => "mysql",
        "rediss" => "redis",
        "mongodb+srv" => "mongodb",
        "amqps" => "amqp",
        "https" => "http",
        other => other,
    }
}

/// A parameter whose name says that it is a secret.
fn parameter(text: &str) -> Option<String> {
    let (_, query) = text.split_once('?')?;
    let mut pairs = query.split(['&', ';']).filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, value)| {
        (says_password(name) && !value.is_empty()) || (says_secret(name) && value.len() >= super::TOKEN_BYTES_MIN)
    })?;
    Some(decoded(value))
}

/// Without port and brackets.
fn bare(host: &str) -> String {
    match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((ip, _)) => ip.to_owned(),
        None => host.split(':').next().unwrap_or(host).to_owned(),
    }
}

fn is_local(host: &str) -> bool {
    host.is_empty() || host == "localhost" || host == "::1" || host.starts_with("127.") || host == "host.docker.internal"
}

/// Percent-decoded, so that the same password is the same value in a variable and in a URL.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = |b: &u8| char::from(*b).to_digit(16);
        match (first, after) {
            (b'%', [high, low, tail @ ..]) if hex(high).is_some() && hex(low).is_some() => {
                let byte = hex(high).zip(hex(low)).map_or(0, |(h, l)| h * 16 + l);
                out.push(u8::try_from(byte).unwrap_or(b'%'));
                rest = tail;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}
