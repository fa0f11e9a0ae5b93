//! What every subject of a run has in common: the upstream, its certificate, the credential.

use crate::Result;
use crate::cpu;
use crate::load::Road;
use crate::peers::{START, nginx_server};
use marque_testkit::pki::Ca;
use marque_testkit::proc::{Child, free_port};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// The upstream's name.
pub(crate) const HOST: &str = "api.bench.test";
/// Bytes of an answer's body.
const ANSWER_BYTES: usize = 1024;

/// The upstream runs on the load's core until this is dropped.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ca: Ca,
    pub(crate) credential: String,
    /// Without and with TLS.
    pub(crate) http: u16,
    pub(crate) https: u16,
    _upstream: Child,
}

impl World {
    /// Starts the upstream: it answers 401 to whoever lacks the credential, so that every counted answer proves that the
    /// subject attached it.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        // It is left to whoever named `dir`: an ext4 that has just lost thousands of tiles searches for inodes among them for minutes
        // (`recently_deleted`), and the next bench would be charged with that.
        let folder = tempfile::Builder::new().prefix("marque-bench-").disable_cleanup(true).tempdir_in(dir)?;
        let ca = Ca::new()?;
        let cert = ca.issue(&[HOST, "localhost"])?;
        let credential = marque_testkit::canary("bench");
        let at = folder.path();
        std::fs::write(at.join("ca.pem"), ca.pem())?;
        std::fs::write(at.join("cert.pem"), &cert.cert_pem)?;
        std::fs::write(at.join("key.pem"), &cert.key_pem)?;
        let (http, https) = (free_port()?, free_port()?);
        let filler = "the answer of an upstream, which is searched for credentials; ".repeat(ANSWER_BYTES / 60 + 1);
        let body: String = filler.chars().take(ANSWER_BYTES).collect();
        let server = format!(
            "  server {{\n    listen 127.0.0.1:{http} backlog=4096;\n    listen 127.0.0.1:{https} ssl backlog=4096;\n    \
             ssl_certificate {0}/cert.pem;\n    ssl_certificate_key {0}/key.pem;\n    ssl_protocols TLSv1.3;\n    \
             default_type application/json;\n    if ($http_authorization != \"Bearer {credential}\") {{ return 401; }}\n    \
             location / {{ return 200 \"{body}\"; }}\n  }}\n",
            at.display()
        );
        let upstream = cpu::on(cpu::LOAD, || nginx_server(at, "upstream", &server))?;
        Ok(Self { folder, ca, credential, http, https, _upstream: upstream })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Authority of the upstream.
    pub(crate) fn authority(&self, tls: bool) -> String {
        format!("{HOST}:{}", if tls { self.https } else { self.http })
    }

    /// The way to a reverse proxy on a port; with TLS, under the upstream's own name.
    pub(crate) fn reverse(&self, port: u16, tls: bool, resume: bool) -> Result<Road> {
        let config = tls.then(|| client_config(&self.ca, resume)).transpose()?;
        Ok(Road {
            address: local(port),
            host: self.authority(tls),
            absolute: false,
            proxy_authorization: None,
            tunnel: false,
            tls: config,
        })
    }
}

/// A port on this machine.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A client that trusts the world's authority.
fn client_config(ca: &Ca, resume: bool) -> Result<std::sync::Arc<rustls::ClientConfig>> {
    config_of(ca.roots()?, resume)
}

/// A TLS 1.3 client with these roots, HTTP/1.1 alone.
pub(crate) fn config_of(roots: rustls::RootCertStore, resume: bool) -> Result<std::sync::Arc<rustls::ClientConfig>> {
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if !resume {
        config.resumption = rustls::client::Resumption::disabled();
    }
    Ok(std::sync::Arc::new(config))
}

/// Waits until somebody listens on a port, as long as the child lives that should.
pub(crate) fn wait_for_port(child: &Child, port: u16) -> Result<()> {
    let until = std::time::Instant::now() + START;
    while std::time::Instant::now() < until {
        if std::net::TcpStream::connect(local(port)).is_ok() {
            return Ok(());
        }
        if child.has_ended() {
            break;
        }
        // Between two tries of a connection, which is the condition that is waited for.
        std::thread::park_timeout(std::time::Duration::from_millis(20));
    }
    Err(format!("a peer does not listen:\n{}{}", child.stdout(), child.stderr()).into())
}
