//! The one destination of a request: made once, immutable, and the only thing a credential is looked up by (I13).

use crate::limits::HOST_BYTES_MAX;
use std::fmt;
use std::net::IpAddr;

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Cleartext HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that the scheme implies (RFC 9110 section 4.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Why a text names no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The host has upper case, a trailing dot, an empty label, or a character that no host name has.
    #[error("`{0}` is not a host name in canonical form")]
    Host(String),
    /// The port is missing or is not 1 to 65535 in decimal without leading zeros.
    #[error("`{0}` has no port that can be read")]
    Port(String),
}

/// Scheme, host and port. The host is lower case ASCII without a trailing dot, or an IP literal in its one canonical
/// form; so two targets are the same destination exactly when they are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    scheme: Scheme,
    host: Box<str>,
    port: u16,
}

impl Target {
    /// Makes a target of a host that is already canonical.
    ///
    /// # Errors
    /// [`TargetError::Host`] where the host is not canonical: it is refused and not repaired, because the client and
    /// the upstream may repair it differently.
    pub fn new(scheme: Scheme, host: &str, port: u16) -> Result<Self, TargetError> {
        if port == 0 {
            return Err(TargetError::Port(host.chars().take(HOST_BYTES_MAX).collect()));
        }
        if !(is_canonical_ip(host) || is_canonical_name(host)) {
            return Err(TargetError::Host(host.chars().take(HOST_BYTES_MAX).collect()));
        }
        Ok(Self { scheme, host: host.into(), port })
    }

    /// Reads `host:port`, or `host` where the scheme's port is meant; IPv6 literals in brackets.
    ///
    /// # Errors
    /// As [`Target::new`], and [`TargetError::Port`].
    pub fn from_authority(scheme: Scheme, authority: &str) -> Result<Self, TargetError> {
        let bad_port = || TargetError::Port(authority.chars().take(HOST_BYTES_MAX).collect());
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (inner, tail) = rest.split_once(']').ok_or_else(bad_port)?;
            if !inner.contains(':') {
                return Err(TargetError::Host(inner.chars().take(HOST_BYTES_MAX).collect()));
            }
            match tail {
                "" => (inner, None),
                _ => (inner, Some(tail.strip_prefix(':').ok_or_else(bad_port)?)),
            }
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let port = match port {
            None => scheme.default_port(),
            Some(text) => parse_port(text).ok_or_else(bad_port)?,
        };
        Self::new(scheme, host, port)
    }

    /// How the bytes travel.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }
    /// Canonical host name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
    /// Port, never 0.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
    /// The address, where the host is one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
    /// `scheme://host:port`, the port always written.
    #[must_use]
    pub fn origin(&self) -> String {
        self.to_string()
    }
    /// `host` or `host:port`: what a `Host` header of a request to this target holds.
    #[must_use]
    pub fn authority(&self) -> String {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        if self.port == self.scheme.default_port() {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }
    /// Whether an authority that a client wrote (`Host`, `:authority`, absolute form) names this very target.
    #[must_use]
    pub fn is_named_by(&self, authority: &str) -> bool {
        Self::from_authority(self.scheme, authority).is_ok_and(|other| other == *self)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}://[{}]:{}", self.scheme.word(), self.host, self.port)
        } else {
            write!(f, "{}://{}:{}", self.scheme.word(), self.host, self.port)
        }
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn is_canonical_ip(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|ip| ip.to_string() == host)
}

fn is_canonical_name(host: &str) -> bool {
    let label_ok = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    // A last label of digits alone, or in hex, is how `0x7f.1` and `2130706433` dress up as names: WHATWG URL calls
    // such hosts IPv4, so a resolver may too.
    let last_is_number = host.rsplit('.').next().is_some_and(|last| {
        last.bytes().all(|b| b.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
    });
    host.len() <= HOST_BYTES_MAX && !last_is_number && host.split('.').all(label_ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_two_parsers_could_read_differently_is_no_target() {
        for bad in [
            "", "API.test", "api.test.", ".api.test", "a..b", "0x7f.1", "127.1", "2130706433", "a b", "a/b", "a@b", "a%2eb",
            "-a.test", "a-.test", "ä.test", "a.test\0", "[::1]", "::1%eth0", "::0001",
        ] {
            assert!(Target::new(Scheme::Https, bad, 443).is_err(), "{bad:?}");
        }
        for good in ["api.test", "localhost", "xn--bcher-kva.example", "127.0.0.1", "::1", "a_b.test", "3.test"] {
            assert!(Target::new(Scheme::Https, good, 443).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_authority_names_one_target_or_none() -> Result<(), TargetError> {
        let t = Target::from_authority(Scheme::Https, "api.test")?;
        assert_eq!(t.origin(), "https://api.test:443");
        assert!(t.is_named_by("api.test:443"));
        assert!(t.is_named_by("api.test"));
        for other in ["api.test:8443", "API.test", "api.test:0443", "api.test:", "u@api.test", "api.test:443:443"] {
            assert!(!t.is_named_by(other), "{other}");
        }
        let v6 = Target::from_authority(Scheme::Http, "[::1]:8080")?;
        assert_eq!(v6.authority(), "[::1]:8080");
        assert_eq!(v6.origin(), "http://[::1]:8080");
        Ok(())
    }

    #[test]
    fn a_host_name_of_253_bytes_is_taken_and_one_more_is_not() {
        let label = "a".repeat(62);
        let long = format!("{label}.{label}.{label}.{label}.a"); // 4*63 + 1 = 253
        assert_eq!(long.len(), HOST_BYTES_MAX);
        assert!(Target::new(Scheme::Http, &long, 80).is_ok());
        assert!(Target::new(Scheme::Http, &format!("{long}b"), 80).is_err());
    }
}
