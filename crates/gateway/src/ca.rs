//! The certificate authority of one session: a throw-away root, one name-constrained intermediate, and certificates for
//! the hosts of the session alone (threats H6).
//!
//! The root's key signs the intermediate and is dropped before [`SessionCa::new`] returns. Clients such as Java ignore
//! name constraints on a trust anchor and DNS constraints do not limit addresses, so the constraint is on the
//! intermediate and excludes every address. What protects a client that ignores constraints is that the
//! intermediate's key is in memory alone and ends with the session.

use crate::limits::{CLOCK_SKEW_S, CONSTRAINT_NAMES_MAX, LEAF_CERTIFICATES_MAX, LEAF_LIFE_S};
use marque_model::target::{Scheme, Target};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use time::OffsetDateTime;

/// Why a session has no authority, or a host no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaError {
    /// The end lies before the beginning.
    #[error("a session that ends at `{ends_s}` has ended already")]
    Ended {
        /// Seconds since the epoch.
        ends_s: u64,
    },
    /// More names than [`CONSTRAINT_NAMES_MAX`].
    #[error("`{count}` hosts are more than one session's certificate authority can name")]
    TooManyNames {
        /// How many there were.
        count: usize,
    },
    /// A host is not a canonical DNS name.
    #[error("`{0}` is not a host name that a certificate can be constrained to")]
    Name(String),
    /// The host lies outside the names that the session was opened with.
    #[error("`{0}` is not among the hosts that this session may intercept")]
    Outside(String),
    /// The cryptographic library failed.
    #[error("the certificate could not be made")]
    Make(#[from] rcgen::Error),
    /// The TLS library did not take the key.
    #[error("the certificate's key could not be used")]
    Key(#[from] rustls::Error),
}

/// One session's authority. Shared by its listeners.
pub struct SessionCa {
    root_pem: String,
    chain: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    leaf_key: KeyPair,
    names: Vec<String>,
    ends_s: u64,
    issued: Mutex<Issued>,
}

#[derive(Default)]
struct Issued {
    tick: u64,
    by_host: HashMap<Box<str>, Entry>,
}

struct Entry {
    used: u64,
    until_s: u64,
    key: Arc<CertifiedKey>,
}

impl SessionCa {
    /// Makes an authority for `hosts`, each a DNS name that stands for itself and its subdomains, valid from
    /// `now_s` to `ends_s`, seconds since the epoch. No hosts: it can certify none.
    ///
    /// # Errors
    /// See [`CaError`].
    pub fn new(hosts: &[String], now_s: u64, ends_s: u64) -> Result<Self, CaError> {
        if ends_s <= now_s {
            return Err(CaError::Ended { ends_s });
        }
        if hosts.len() > CONSTRAINT_NAMES_MAX {
            return Err(CaError::TooManyNames { count: hosts.len() });
        }
        let mut names: Vec<String> = Vec::with_capacity(hosts.len());
        for host in hosts {
            let name = host.strip_prefix("*.").unwrap_or(host);
            let canonical = Target::new(Scheme::Https, name, 443).is_ok_and(|t| t.ip().is_none());
            if !canonical {
                return Err(CaError::Name(host.chars().take(253).collect()));
            }
            names.push(name.to_owned());
        }
        names.sort_unstable();
        names.dedup();

        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root = authority("Marque session root", now_s, ends_s, BasicConstraints::Constrained(1));
        let root_cert = root.self_signed(&root_key)?;
        let root_pem = root_cert.pem();
        let root_issuer = Issuer::new(root, root_key);

        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = authority("Marque session", now_s, ends_s, BasicConstraints::Constrained(0));
        params.custom_extensions.push(constraints(&names));
        let chain = params.signed_by(&key, &root_issuer)?.der().clone();
        drop(root_issuer); // with it goes the root's key: nothing can be signed by the root any more

        Ok(Self {
            root_pem,
            chain,
            issuer: Issuer::new(params, key),
            leaf_key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            names,
            ends_s,
            issued: Mutex::default(),
        })
    }

    /// The root that the session's agent is told to trust.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// Whether the session may intercept this host.
    #[must_use]
    pub fn covers(&self, host: &str) -> bool {
        host.parse::<IpAddr>().is_err()
            && self.names.iter().any(|name| {
                host.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
    }

    /// The key and chain for `host` at `now_s`, made now or kept from before. Signing takes about 20 µs, so that
    /// holding the lock meanwhile makes one of many simultaneous requests and costs less than waiting otherwise.
    ///
    /// # Errors
    /// [`CaError::Outside`] for a host that the session may not intercept, and failures of the libraries.
    pub fn certificate(&self, host: &str, now_s: u64) -> Result<Arc<CertifiedKey>, CaError> {
        if !self.covers(host) {
            return Err(CaError::Outside(host.to_owned()));
        }
        if now_s >= self.ends_s {
            return Err(CaError::Ended { ends_s: self.ends_s });
        }
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.tick += 1;
        let tick = issued.tick;
        if let Some(entry) = issued.by_host.get_mut(host).filter(|e| e.until_s > now_s + 60 || e.until_s == self.ends_s) {
            entry.used = tick;
            return Ok(Arc::clone(&entry.key));
        }
        let (key, until_s) = self.sign(host, now_s)?;
        if issued.by_host.len() >= LEAF_CERTIFICATES_MAX && !issued.by_host.contains_key(host) {
            let oldest = issued.by_host.iter().min_by_key(|(_, e)| e.used).map(|(host, _)| host.clone());
            if let Some(oldest) = oldest {
                issued.by_host.remove(&oldest);
            }
        }
        issued.by_host.insert(host.into(), Entry { used: tick, until_s, key: Arc::clone(&key) });
        Ok(key)
    }

    fn sign(&self, host: &str, now_s: u64) -> Result<(Arc<CertifiedKey>, u64), CaError> {
        let until_s = self.ends_s.min(now_s.saturating_add(LEAF_LIFE_S));
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        // RFC 5280 appendix A.1 (ub-common-name): a common name of more than 64 characters is refused by GnuTLS.
        params.distinguished_name.push(DnType::CommonName, if host.len() <= 64 { host } else { "Marque" });
        params.not_before = at(now_s.saturating_sub(CLOCK_SKEW_S));
        params.not_after = at(until_s);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&self.leaf_key, &self.issuer)?;
        let der = PrivateKeyDer::Pkcs8(self.leaf_key.serialize_der().into());
        let key = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der)?;
        let chain = vec![cert.der().clone(), self.chain.clone()];
        Ok((Arc::new(CertifiedKey::new(chain, key)), until_s))
    }

    /// How many host certificates are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).by_host.len()
    }
}

fn at(seconds: u64) -> OffsetDateTime {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| OffsetDateTime::from_unix_timestamp(s).ok())
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn authority(name: &str, now_s: u64, ends_s: u64, depth: BasicConstraints) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(now_s.saturating_sub(CLOCK_SKEW_S));
    params.not_after = at(ends_s);
    params.is_ca = IsCa::Ca(depth);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// RFC 5280 section 4.2.1.10: DNS names permitted; all addresses, mail addresses and URIs excluded; critical. Written
/// here because rcgen has no URI constraint.
fn constraints(names: &[String]) -> CustomExtension {
    // GeneralName tags: 1 rfc822Name, 2 dNSName, 6 uniformResourceIdentifier, 7 iPAddress.
    let subtree = |tag: u8, value: &[u8]| der(0x30, &der(0x80 | tag, value));
    let mut permitted = Vec::new();
    for name in names {
        permitted.extend(subtree(2, name.as_bytes()));
    }
    let mut excluded = Vec::new();
    if names.is_empty() {
        excluded.extend(subtree(2, b"")); // the empty name is above all names
    }
    excluded.extend(subtree(1, b""));
    excluded.extend(subtree(6, b""));
    excluded.extend(subtree(7, &[0; 8]));
    excluded.extend(subtree(7, &[0; 32]));
    let mut body = Vec::new();
    if !permitted.is_empty() {
        body.extend(der(0xa0, &permitted));
    }
    body.extend(der(0xa1, &excluded));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], der(0x30, &body));
    extension.set_criticality(true);
    extension
}

/// One DER element (X.690 section 8.1).
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let len = content.len();
    if len < 0x80 {
        out.push(len as u8);
    } else {
        let bytes: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000;

    fn ca(hosts: &[&str]) -> SessionCa {
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        SessionCa::new(&hosts, NOW, NOW + 3600).unwrap()
    }

    #[test]
    fn only_hosts_of_the_session_are_certified() {
        let ca = ca(&["api.test", "*.wild.test"]);
        for good in ["api.test", "x.api.test", "wild.test", "a.b.wild.test"] {
            assert!(ca.certificate(good, NOW).is_ok(), "{good}");
        }
        for bad in ["evil.test", "xapi.test", "test", "127.0.0.1", "::1", ""] {
            assert!(matches!(ca.certificate(bad, NOW), Err(CaError::Outside(_))), "{bad}");
        }
    }

    #[test]
    fn nothing_is_signed_beyond_the_session() {
        let ca = ca(&["api.test"]);
        assert!(ca.certificate("api.test", NOW + 3599).is_ok());
        assert!(matches!(ca.certificate("api.test", NOW + 3600), Err(CaError::Ended { .. })));
        assert!(matches!(SessionCa::new(&[], NOW, NOW), Err(CaError::Ended { .. })));
    }

    #[test]
    fn certificates_are_kept_up_to_the_limit_and_the_longest_unused_goes() {
        let ca = ca(&["api.test"]);
        let first = ca.certificate("h0.api.test", NOW).unwrap();
        for i in 1..LEAF_CERTIFICATES_MAX {
            ca.certificate(&format!("h{i}.api.test"), NOW).unwrap();
        }
        assert_eq!(ca.kept(), LEAF_CERTIFICATES_MAX);
        assert!(Arc::ptr_eq(&first, &ca.certificate("h0.api.test", NOW).unwrap()));
        ca.certificate("one-more.api.test", NOW).unwrap();
        assert_eq!(ca.kept(), LEAF_CERTIFICATES_MAX);
        assert!(Arc::ptr_eq(&first, &ca.certificate("h0.api.test", NOW).unwrap()), "it was used last");
    }

    #[test]
    fn a_constraint_of_as_many_names_as_allowed_is_made_and_one_more_is_not() {
        let mut hosts: Vec<String> = (0..CONSTRAINT_NAMES_MAX).map(|i| format!("h{i}.test")).collect();
        assert!(SessionCa::new(&hosts, NOW, NOW + 1).is_ok());
        hosts.push("one-more.test".into());
        assert!(matches!(SessionCa::new(&hosts, NOW, NOW + 1), Err(CaError::TooManyNames { .. })));
    }

    #[test]
    fn a_name_that_is_not_canonical_names_no_constraint() {
        for bad in ["API.test", "127.0.0.1", "a b", "", "*.", "api.test."] {
            assert!(matches!(SessionCa::new(&[bad.to_owned()], NOW, NOW + 1), Err(CaError::Name(_))), "{bad}");
        }
    }
}
