//! TLS on both sides. Upstream first: its certificate is verified for the one target before the client hears a word; then
//! the client is answered with the protocol that upstream speaks, so that HTTP/2 is never translated into HTTP/1.

use crate::ca::SessionCa;
use crate::gate::RoutePlan;
use crate::limits::{TLS_ACCEPT_WAIT, TLS_DIAL_WAIT};
use crate::problem::{Problem, found};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore, ServerConfig};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, client, server};

/// An HTTP version, as ALPN names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Protocol {
    H1,
    H2,
}

impl Protocol {
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::H1 => b"http/1.1",
            Self::H2 => b"h2",
        }
    }
}

/// What may be offered upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Offer {
    Both,
    Only(Protocol),
}

/// The TLS state of one leaf: tickets and certificates are never shared with another.
#[derive(Default)]
pub(crate) struct LeafTls {
    /// By the address of the root store, which the entry keeps alive.
    clients: Mutex<HashMap<usize, Clients>>,
    servers: Mutex<HashMap<Box<str>, Servers>>,
}

struct Clients {
    roots: Arc<RootCertStore>,
    both: Arc<ClientConfig>,
    h1: Arc<ClientConfig>,
    h2: Arc<ClientConfig>,
}

#[derive(Clone)]
struct Servers {
    key: Arc<CertifiedKey>,
    h1: Arc<ServerConfig>,
    h2: Arc<ServerConfig>,
}

/// Root stores of which client configurations are kept per leaf; more than a session has in practice.
const ROOT_STORES_MAX: usize = 64;

impl LeafTls {
    fn client(&self, roots: &Arc<RootCertStore>, offer: Offer) -> Result<Arc<ClientConfig>, rustls::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Arc::as_ptr(roots) as usize;
        if clients.len() >= ROOT_STORES_MAX && !clients.contains_key(&at) {
            clients.clear();
        }
        let entry = match clients.entry(at) {
            std::collections::hash_map::Entry::Occupied(o) if Arc::ptr_eq(&o.get().roots, roots) => o.into_mut(),
            std::collections::hash_map::Entry::Occupied(mut o) => {
                o.insert(Clients::new(roots)?);
                o.into_mut()
            }
            std::collections::hash_map::Entry::Vacant(v) => v.insert(Clients::new(roots)?),
        };
        Ok(Arc::clone(match offer {
            Offer::Both => &entry.both,
            Offer::Only(Protocol::H1) => &entry.h1,
            Offer::Only(Protocol::H2) => &entry.h2,
        }))
    }

    /// The configuration that answers for `host` with `protocol`.
    fn server(&self, ca: &SessionCa, host: &str, protocol: Protocol, now_s: u64) -> Result<Arc<ServerConfig>, crate::ca::CaError> {
        let key = ca.certificate(host, now_s)?;
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if servers.len() >= crate::limits::LEAF_CERTIFICATES_MAX && !servers.contains_key(host) {
            servers.clear();
        }
        let known = servers.get(host).filter(|s| Arc::ptr_eq(&s.key, &key));
        let entry = match known {
            Some(entry) => entry.clone(),
            None => {
                let make = |p: Protocol| server_config(&key, Some(p)).map(Arc::new);
                let entry = Servers { key: Arc::clone(&key), h1: make(Protocol::H1)?, h2: make(Protocol::H2)? };
                servers.insert(host.into(), entry.clone());
                entry
            }
        };
        Ok(match protocol {
            Protocol::H1 => entry.h1,
            Protocol::H2 => entry.h2,
        })
    }
}

impl Clients {
    fn new(roots: &Arc<RootCertStore>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let base = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        let with = |protocols: &[Protocol]| {
            let mut config = base.clone();
            config.alpn_protocols = protocols.iter().map(|p| p.alpn().to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            roots: Arc::clone(roots),
            both: with(&[Protocol::H2, Protocol::H1]),
            h1: with(&[Protocol::H1]),
            h2: with(&[Protocol::H2]),
        })
    }
}

#[derive(Debug)]
struct One(Option<Arc<CertifiedKey>>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.clone()
    }
}

fn server_config(key: &Arc<CertifiedKey>, protocol: Option<Protocol>) -> Result<ServerConfig, rustls::Error> {
    config_of(Some(Arc::clone(key)), protocol)
}

fn config_of(key: Option<Arc<CertifiedKey>>, protocol: Option<Protocol>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&LISTENING))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(One(key)));
    config.alpn_protocols = protocol.iter().map(|p| p.alpn().to_vec()).collect();
    config.ignore_client_order = true;
    config.send_tls13_tickets = TICKETS;
    Ok(config)
}

/// Session tickets of one handshake: clients in sequence take one at a time, and those that do not can shake hands.
const TICKETS: usize = 1;

/// Between an agent and its gateway lies one kernel. What is cheap there comes first: SHA-256 has instructions where SHA-384
/// has none, and a group that is hybrid against recorded traffic hides nothing from who can record the loopback. All the
/// others remain on offer.
static LISTENING: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519);
    Arc::new(provider)
});

/// Verifies the upstream for the plan's target.
pub(crate) async fn connect(
    tls: &LeafTls,
    plan: &RoutePlan,
    stream: TcpStream,
    offer: Offer,
) -> Result<(client::TlsStream<TcpStream>, Protocol), Problem> {
    let host = plan.target.host();
    let config = tls.client(&plan.roots, offer).map_err(|e| found::certificate(host, &e.to_string()))?;
    let name = ServerName::try_from(host.to_owned()).map_err(|_| found::certificate(host, "it is no server name"))?;
    let connecting = TlsConnector::from(config).connect(name, stream);
    let stream = match timeout(TLS_DIAL_WAIT, connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(found::certificate(host, &e.to_string())),
        Err(_) => return Err(found::dial(host, "no TLS answer in time")),
    };
    let protocol = match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => Protocol::H2,
        _ => Protocol::H1,
    };
    match offer {
        Offer::Only(wanted) if wanted != protocol => Err(found::dial(host, "it does not speak the client's HTTP version")),
        _ => Ok((stream, protocol)),
    }
}

/// What a client's first message says.
pub(crate) struct Hello<S> {
    start: tokio_rustls::StartHandshake<S>,
    pub(crate) sni: Option<String>,
    pub(crate) h1: bool,
    pub(crate) h2: bool,
}

/// Reads the client's first message and answers nothing yet.
pub(crate) async fn hello<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> Option<Hello<S>> {
    let start = timeout(TLS_ACCEPT_WAIT, LazyConfigAcceptor::new(Acceptor::default(), stream)).await.ok()?.ok()?;
    let (sni, h1, h2) = {
        let hello = start.client_hello();
        let offers = |p: Protocol| hello.alpn().is_some_and(|mut all| all.any(|name| name == p.alpn()));
        let none = hello.alpn().is_none();
        (hello.server_name().map(str::to_owned), none || offers(Protocol::H1), offers(Protocol::H2))
    };
    Some(Hello { start, sni, h1, h2 })
}

impl<S: AsyncRead + AsyncWrite + Unpin> Hello<S> {
    /// Completes the handshake for `host`.
    pub(crate) async fn accept(
        self,
        tls: &LeafTls,
        ca: &SessionCa,
        host: &str,
        protocol: Protocol,
        now_s: u64,
    ) -> Result<server::TlsStream<S>, Option<Problem>> {
        let config = tls.server(ca, host, protocol, now_s).map_err(|e| Some(found::interception(&e.to_string())))?;
        timeout(TLS_ACCEPT_WAIT, self.start.into_stream(config)).await.map_err(|_| None)?.map_err(|_| None)
    }

    /// Ends the handshake with the alert `access_denied`: there is no certificate for what was asked.
    pub(crate) async fn deny(self) {
        if let Ok(config) = config_of(None, None) {
            let _ = timeout(TLS_ACCEPT_WAIT, self.start.into_stream(Arc::new(config))).await;
        }
    }
}
