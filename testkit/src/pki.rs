//! A throw-away certificate authority: made per test, never written unless the test writes it.

use std::{fs, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

use crate::error::{Doing, Result};

/// A certificate authority that signs server certificates for a test.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
    key_pem: String,
}

/// A server certificate with its key.
pub struct ServerCert {
    /// Leaf certificate, PEM.
    pub cert_pem: String,
    /// Private key, PKCS #8 PEM.
    pub key_pem: String,
    der: CertificateDer<'static>,
    key_der: Vec<u8>,
}

impl Ca {
    /// A new authority with a fresh P-256 key.
    ///
    /// # Errors
    /// When the key or the certificate cannot be made.
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params
            .distinguished_name
            .push(DnType::CommonName, "marque testkit throw-away CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let cert = params.self_signed(&key)?;
        let (der, pem, key_pem) = (cert.der().clone(), cert.pem(), key.serialize_pem());
        Ok(Self {
            issuer: Issuer::new(params, key),
            der,
            pem,
            key_pem,
        })
    }

    /// The authority's certificate, PEM: what a client's CA variable points at.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's private key, PEM, for tests that need an outside program to sign.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The authority's certificate, DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// A server certificate for these DNS names or IP addresses.
    ///
    /// # Errors
    /// When a name is not valid in a certificate.
    pub fn issue(&self, names: &[&str]) -> Result<ServerCert> {
        let key = KeyPair::generate()?;
        let mut params =
            CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.distinguished_name.push(
            DnType::CommonName,
            names.first().copied().unwrap_or("testkit"),
        );
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(ServerCert {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            der: cert.der().clone(),
            key_der: key.serialize_der(),
        })
    }

    /// A root store that trusts only this authority.
    ///
    /// # Errors
    /// When rustls rejects the certificate.
    pub fn roots(&self) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone())?;
        Ok(roots)
    }

    /// A rustls client configuration that trusts only this authority and offers `alpn`.
    ///
    /// # Errors
    /// When rustls rejects the configuration.
    pub fn client_config(&self, alpn: &[&str]) -> Result<Arc<ClientConfig>> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// Writes the authority's certificate to `path`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_pem(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.pem).doing(format!("write `{}`", path.display()))
    }

    /// Writes a bundle of the system's roots (where there are any) and this authority, for clients whose CA
    /// variable replaces their roots.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_bundle(&self, path: &Path) -> Result<()> {
        let system = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default();
        fs::write(path, format!("{system}\n{}", self.pem))
            .doing(format!("write `{}`", path.display()))
    }
}

impl ServerCert {
    /// A rustls server configuration with this certificate, offering HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When rustls rejects the key.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        self.server_config_with(&["h2", "http/1.1"])
    }

    /// A rustls server configuration with this certificate and this ALPN list.
    ///
    /// # Errors
    /// When rustls rejects the key.
    pub fn server_config_with(&self, alpn: &[&str]) -> Result<Arc<ServerConfig>> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key_der.clone()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)?;
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The private key, PKCS #8 DER.
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }

    /// The leaf certificate, DER.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
