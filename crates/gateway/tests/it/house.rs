//! What every test needs: a gate that writes down what it was asked, upstreams that write down what they saw, and clients.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use marque_detect::Secret;
use marque_detect::oracle::{HitLedger, Verdict};
use marque_detect::scrub::{Hits, Needles, SecretId};
use marque_gateway::{
    Admitted, Attachment, DialPlan, Gate, Handle, Intended, LeafKey, ListenerId, Mode, Options, Outcome, Peer, Problem,
    Resolver, Route, RoutePlan, Service, SessionCa, Socket,
};
use marque_model::{CredentialId, Scheme, Target};
use marque_wire::answer::Found;
use marque_wire::place::Placement;
use marque_wire::profile::Profile;
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

/// The credential. Nothing the agent sees may hold it, in any form.
pub const SECRET: &str = "sk-live-9fK2xQ7ZbV4mTq8Ww1Lr6Nd3";
/// A bound on waiting: a test that reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub type TestBody = BoxBody<Bytes, hyper::Error>;

pub fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(|e| match e {}).boxed()
}
pub fn empty() -> TestBody {
    Empty::new().map_err(|e| match e {}).boxed()
}

pub async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it took too long")
}

/// Something the gate was told.
#[derive(Debug, Clone)]
pub enum Told {
    Admit(Intended),
    Settle(Outcome),
    Refused(&'static str),
    Carried(Vec<Found>),
}

pub struct Leaf(u64);

pub struct TestGate {
    pub proxy_secret: Mutex<Option<String>>,
    pub routes: Mutex<HashMap<Target, Arc<RoutePlan>>>,
    pub kind: Mutex<HashMap<Target, &'static str>>,
    pub deny: Mutex<Option<Problem>>,
    pub version: AtomicU32,
    pub ca: Arc<SessionCa>,
    pub end: CancellationToken,
    pub told: mpsc::UnboundedSender<Told>,
    pub ledger: Mutex<HitLedger>,
    pub guessable: Mutex<bool>,
    pub answer_max: AtomicU64,
    pub kept: Mutex<HashMap<String, (String, Vec<u8>)>>,
    needles: Arc<Needles>,
    leaf: Arc<Leaf>,
}

impl Gate for TestGate {
    type Leaf = Leaf;
    type Permit = ();
    type Source = ();

    fn identify(&self, _: ListenerId, proxy_auth: Option<&str>, _: &Peer) -> Result<Arc<Leaf>, Problem> {
        let wanted = self.proxy_secret.lock().unwrap().clone();
        if wanted.is_some() && wanted.as_deref() != proxy_auth {
            return Err(Problem::new(407, "MQ-2001", "show the session's proxy secret", ""));
        }
        Ok(Arc::clone(&self.leaf))
    }
    fn leaf_key(&self, leaf: &Leaf) -> LeafKey {
        LeafKey(leaf.0)
    }
    fn ca(&self, _: &Leaf) -> Arc<SessionCa> {
        Arc::clone(&self.ca)
    }
    fn route(&self, _: &Arc<Leaf>, target: &Target) -> Route {
        let Some(plan) = self.routes.lock().unwrap().get(target).cloned() else {
            return Route::Refused(Problem::new(403, "MQ-2002", format!("no grant for `{target}`"), "ask for one"));
        };
        match self.kind.lock().unwrap().get(target) {
            Some(&"open") => Route::Open(plan),
            Some(&"pass") => Route::PassThrough(plan),
            _ => Route::Governed(plan),
        }
    }
    async fn admit(&self, _: &Arc<Leaf>, route: &Arc<RoutePlan>, use_: Intended) -> Result<Admitted<()>, Problem> {
        let use_restored = use_.returned.clone();
        let _ = self.told.send(Told::Admit(use_));
        if let Some(problem) = self.deny.lock().unwrap().clone() {
            return Err(problem);
        }
        let governed = !self.kind.lock().unwrap().contains_key(&route.target);
        let attachments = if governed && use_restored.is_empty() {
            let secret = Secret::new(SECRET.as_bytes().to_vec());
            vec![Attachment { placement: route.placements[0].clone(), placeholder: Some("PLACEHOLDER".into()), secret }]
        } else {
            Vec::new()
        };
        Ok(Admitted {
            permit: (),
            attachments,
            credential: governed.then(|| (CredentialId::from_bytes([1; 10]), self.version.load(Ordering::SeqCst))),
            needles: Arc::clone(&self.needles),
            guessable: *self.guessable.lock().unwrap(),
            withhold: self.ledger.lock().unwrap().verdict() == Verdict::Withhold,
            request_bytes_max: 1 << 30,
            answer_bytes_max: self.answer_max.load(Ordering::SeqCst),
        })
    }
    fn source(&self, (): &()) -> Arc<()> {
        Arc::new(())
    }
    fn settle(&self, (): (), outcome: Outcome) {
        let _ = self.told.send(Told::Settle(outcome));
    }
    fn refused(&self, _: ListenerId, _: Option<&Arc<Leaf>>, _: Option<&Target>, problem: &Problem) {
        let _ = self.told.send(Told::Refused(problem.code));
    }
    fn ended(&self, _: &Arc<Leaf>) -> impl Future<Output = ()> + Send {
        self.end.clone().cancelled_owned()
    }
    fn scrub_hit(&self, _: &Arc<Leaf>, _: &RoutePlan, _: &Needles, _: &Hits, new: u32) -> Verdict {
        let low = *self.guessable.lock().unwrap();
        self.ledger.lock().unwrap().record(new, low)
    }
    fn keep_answer(&self, _: &Arc<Leaf>, _: &RoutePlan, _: &Arc<()>, carrier: &str, value: Secret) -> Result<String, Problem> {
        let mut kept = self.kept.lock().unwrap();
        let placeholder = format!("placeholder-{}", kept.len());
        kept.insert(placeholder.clone(), (carrier.to_owned(), value.expose().to_vec()));
        Ok(placeholder)
    }
    fn follow(&self, _: &Arc<Leaf>, _: &RoutePlan, _: &str) -> Option<marque_gateway::Address> {
        None
    }
    fn answer_carried(&self, _: &Arc<Leaf>, _: &RoutePlan, found: &[Found]) {
        let _ = self.told.send(Told::Carried(found.to_vec()));
    }
    fn restore_answer(&self, _: &Arc<Leaf>, _: &RoutePlan, slot: &str, placeholder: &str) -> Option<Secret> {
        let kept = self.kept.lock().unwrap();
        let (_, value) = kept.get(placeholder).filter(|(_, _)| slot == "bearer" || slot.starts_with("cookie "))?;
        Some(Secret::new(value.clone()))
    }
}

/// Names are what the test says.
#[derive(Default, Clone)]
pub struct Names(pub Arc<Mutex<HashMap<String, Vec<IpAddr>>>>);

impl Resolver for Names {
    fn resolve<'a>(&'a self, host: &'a str) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send + 'a>> {
        let found = self.0.lock().unwrap().get(host).cloned();
        Box::pin(async move { found.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound)) })
    }
}

/// A running gateway with one listener.
pub struct House {
    pub gate: Arc<TestGate>,
    pub proxy: SocketAddr,
    pub handle: Handle<TestGate>,
    pub told: mpsc::UnboundedReceiver<Told>,
    pub names: Names,
    pub drain: Arc<Notify>,
    pub service: tokio::task::JoinHandle<()>,
    pub upstream_ca: UpstreamCa,
}

static LEAVES: AtomicU64 = AtomicU64::new(1);

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl House {
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    pub fn start_with(options: Options) -> Self {
        let (told, hears) = mpsc::unbounded_channel();
        let mut needles = Needles::builder();
        needles.add(SecretId(1), &Secret::new(SECRET.as_bytes().to_vec())).unwrap();
        let key = LEAVES.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::new(TestGate {
            proxy_secret: Mutex::default(),
            routes: Mutex::default(),
            kind: Mutex::default(),
            deny: Mutex::default(),
            version: AtomicU32::new(1),
            ca: Arc::new(SessionCa::new(&["test".to_owned()], now_s(), now_s() + 3600).unwrap()),
            end: CancellationToken::new(),
            told,
            ledger: Mutex::default(),
            guessable: Mutex::new(false),
            answer_max: AtomicU64::new(1 << 40),
            kept: Mutex::default(),
            needles: Arc::new(needles.build().unwrap()),
            leaf: Arc::new(Leaf(key)),
        });
        let names = Names::default();
        let options = Options { resolver: Arc::new(names.clone()), drain_wait: Duration::from_secs(2), ..options };
        let (service, handle) = Service::new(options, Arc::clone(&gate));
        let drain = Arc::new(Notify::new());
        let drained = Arc::clone(&drain);
        let service = tokio::spawn(service.run(async move { drained.notified().await }));
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = socket.local_addr().unwrap();
        handle.listen(ListenerId(1), Socket::Tcp(socket), Mode::Proxy).unwrap();
        Self { gate, proxy, handle, told: hears, names, drain, service, upstream_ca: UpstreamCa::new() }
    }

    /// Routes `scheme://host:port` of that upstream, pinned to loopback.
    pub fn route(&self, scheme: Scheme, host: &str, port: u16) -> Target {
        self.route_with(scheme, host, port, "bearer", DialPlan::Pinned(vec![IpAddr::from(Ipv4Addr::LOCALHOST)]))
    }

    pub fn route_with(&self, scheme: Scheme, host: &str, port: u16, place: &str, dial: DialPlan) -> Target {
        let target = Target::new(scheme, host, port).unwrap();
        let profile = Arc::new(Profile::generic("svc", target.clone()));
        let placement: Placement = place.parse().unwrap();
        let plan = RoutePlan::new(target.clone(), "api", profile, vec![placement], dial, self.upstream_ca.roots());
        self.gate.routes.lock().unwrap().insert(target.clone(), Arc::new(plan));
        target
    }

    pub async fn next(&mut self) -> Told {
        within(self.told.recv()).await.unwrap()
    }

    /// Waits for the next outcome, and returns it with what was admitted before.
    pub async fn outcome(&mut self) -> (Vec<Intended>, Outcome) {
        let mut admitted = Vec::new();
        loop {
            match self.next().await {
                Told::Admit(intended) => admitted.push(intended),
                Told::Settle(outcome) => return (admitted, outcome),
                Told::Refused(_) | Told::Carried(_) => {}
            }
        }
    }

    /// The code of the next refusal that the gateway found by itself.
    pub async fn refusal(&mut self) -> &'static str {
        loop {
            if let Told::Refused(code) = self.next().await {
                return code;
            }
        }
    }

    /// Opens a tunnel and speaks TLS in it.
    pub async fn tunnel(&self, target: &Target, sni: &str, alpn: &[&str]) -> Result<Tls, String> {
        let stream = self.connect(target).await?;
        self.tls(stream, sni, alpn).await
    }

    pub async fn connect(&self, target: &Target) -> Result<TcpStream, String> {
        let mut stream = TcpStream::connect(self.proxy).await.unwrap();
        let authority = format!("{}:{}", target.host(), target.port());
        stream.write_all(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).await.unwrap();
        let head = read_head(&mut stream).await;
        if head.starts_with("HTTP/1.1 200") {
            return Ok(stream);
        }
        let mut rest = String::new();
        let _ = within(stream.read_to_string(&mut rest)).await;
        Err(head + &rest)
    }

    /// Speaks TLS in a tunnel; with an empty name, without one.
    pub async fn tls(&self, stream: TcpStream, sni: &str, alpn: &[&str]) -> Result<Tls, String> {
        let mut roots = RootCertStore::empty();
        for cert in pem_certs(self.gate.ca.root_pem()) {
            roots.add(cert).unwrap();
        }
        let mut config = client_config(roots);
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        config.enable_sni = !sni.is_empty();
        let name = if sni.is_empty() { "api.test" } else { sni };
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within(tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream)).await.map_err(|e| e.to_string())
    }
}

pub type Tls = tokio_rustls::client::TlsStream<TcpStream>;

fn client_config(roots: RootCertStore) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

pub fn pem_certs(pem: &str) -> Vec<rustls::pki_types::CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()).map(|c| c.unwrap()).collect()
}

/// Reads to the end of a head, one byte at a time so that nothing behind it is taken.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match within(stream.read_u8()).await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// Sends bytes and reads until the other side closes.
pub async fn raw(to: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// The authority behind the upstreams' certificates.
pub struct UpstreamCa {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    cert: rustls::pki_types::CertificateDer<'static>,
}

impl UpstreamCa {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let cert = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: rcgen::Issuer::new(params, key), cert }
    }
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.cert.clone()).unwrap();
        Arc::new(roots)
    }
    pub fn server(&self, name: &str, alpn: &[&str]) -> Arc<rustls::ServerConfig> {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let mut config = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|a| a.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

/// A request, as an upstream saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub uri: String,
    pub version: Version,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub connection: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect()
    }
}

/// A real server on loopback.
pub struct Upstream {
    pub port: u16,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<AtomicUsize>,
}

impl Upstream {
    /// Answers each request, whose body was read whole, with what `answer` makes of it.
    pub async fn start<A, F>(tls: Option<Arc<rustls::ServerConfig>>, answer: A) -> Self
    where
        A: Fn(Seen) -> F + Send + Sync + Clone + 'static,
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        Self::with_requests(tls, seen, move |request, connection| {
            let (answer, log) = (answer.clone(), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|b| b.to_bytes()).unwrap_or_default();
                let (method, uri) = (parts.method.to_string(), parts.uri.to_string());
                let seen = Seen { method, uri, version: parts.version, headers: parts.headers, body, connection };
                log.lock().unwrap().push(seen.clone());
                answer(seen).await
            }
        })
        .await
    }

    /// Answers requests whose bodies were not read.
    pub async fn with_requests<A, F>(tls: Option<Arc<rustls::ServerConfig>>, seen: Arc<Mutex<Vec<Seen>>>, answer: A) -> Self
    where
        A: Fn(Request<Incoming>, usize) -> F + Send + Sync + Clone + 'static,
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let (answer, tls) = (answer.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let answer = answer(request, number);
                        async move { Ok::<_, std::convert::Infallible>(answer.await) }
                    });
                    match tls {
                        None => {
                            let h1 = hyper::server::conn::http1::Builder::new();
                            let _ = h1.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                        }
                        Some(config) => {
                            let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await else { return };
                            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                                let h2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                                let _ = h2.serve_connection(TokioIo::new(stream), service).await;
                            } else {
                                let h1 = hyper::server::conn::http1::Builder::new();
                                let _ = h1.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                            }
                        }
                    }
                });
            }
        });
        Self { port, seen, connections }
    }

    /// Answers everything with `ok`.
    pub async fn ok(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self::start(tls, |_| async { Response::new(full("ok")) }).await
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// A socket that writes down every byte, answering each connection once with `answer` after the first head.
pub struct Tap {
    pub port: u16,
    pub bytes: Arc<Mutex<Vec<u8>>>,
}

impl Tap {
    pub async fn start(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let bytes: Arc<Mutex<Vec<u8>>> = Arc::default();
        let log = Arc::clone(&bytes);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let (mut mine, mut answered) = (Vec::new(), false);
                    let mut buffer = [0; 4096];
                    while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                        mine.extend_from_slice(&buffer[..n]);
                        log.lock().unwrap().extend_from_slice(&buffer[..n]);
                        if !answered && mine.windows(4).any(|w| w == b"\r\n\r\n") {
                            answered = true;
                            if stream.write_all(answer).await.is_err() {
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self { port, bytes }
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// An HTTP/1 client on any stream.
pub async fn h1<S>(stream: S) -> hyper::client::conn::http1::SendRequest<TestBody>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

/// An HTTP/2 client.
pub async fn h2(stream: Tls) -> hyper::client::conn::http2::SendRequest<TestBody> {
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A client of the proxy, for absolute-form requests.
pub async fn proxied(house: &House) -> hyper::client::conn::http1::SendRequest<TestBody> {
    h1(TcpStream::connect(house.proxy).await.unwrap()).await
}

/// A request in absolute form.
pub fn absolute(target: &Target, path: &str) -> http::request::Builder {
    let authority = target.authority();
    Request::builder().uri(format!("{}://{authority}{path}", target.scheme().word())).header("host", authority)
}

/// Status, head and whole body of an answer.
pub async fn whole(response: Response<Incoming>) -> (StatusCode, HeaderMap, Bytes) {
    let (parts, body) = response.into_parts();
    let bytes = within(body.collect()).await.map(|b| b.to_bytes()).unwrap_or_default();
    (parts.status, parts.headers, bytes)
}
