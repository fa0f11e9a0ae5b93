//! The one HTTP server under every upstream here: HTTP/1.1 and HTTP/2, plain or TLS, on a port the kernel chose.
//!
//! A server runs on a thread of its own, so it serves tests with and without an async runtime. Dropping it stops it and
//! closes its connections. Every answer carries the server's nonce in `x-marque-testkit`, and `/__testkit` tells it, so
//! that a test can check that the server it talks to is its own.

mod body;
mod reply;

pub use body::{OpenGuard, SeenBody};
pub use reply::{Reply, ReplyBody, reply, reply_json, reply_stream, set_header};

use std::{
    convert::Infallible,
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    thread,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::{
    Request,
    body::Incoming,
    header::{self, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    canary,
    credential::{self, Seen},
    error::{Doing, Result},
    log::{Record, RequestLog, now_ms},
};

/// The header that carries the server's nonce in every answer.
pub const NONCE_HEADER: &str = "x-marque-testkit";
/// The target that answers `{"nonce": …}` on every server.
pub const NONCE_PATH: &str = "/__testkit";

/// What a server does with a request.
pub type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync>;

/// How a server listens and logs.
#[derive(Clone, Default)]
pub struct Options {
    /// TLS configuration; plain without one.
    pub tls: Option<Arc<ServerConfig>>,
    /// Appends one JSON line per request here.
    pub jsonl: Option<PathBuf>,
}

impl Options {
    /// A plain server with an in-memory log.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// A TLS server with an in-memory log.
    #[must_use]
    pub fn tls(config: Arc<ServerConfig>) -> Self {
        Self {
            tls: Some(config),
            jsonl: None,
        }
    }

    /// The same, with a JSONL file.
    #[must_use]
    pub fn with_jsonl(mut self, path: impl Into<PathBuf>) -> Self {
        self.jsonl = Some(path.into());
        self
    }
}

/// A running server; dropping it stops it.
pub struct Server {
    addr: SocketAddr,
    nonce: String,
    log: RequestLog,
    scheme: &'static str,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// A request on its way through a handler.
pub struct Call {
    /// The request; its body is hashed into the log as it is read.
    pub request: Request<SeenBody>,
    /// The credentials in the head, in order of slots.
    pub credentials: Vec<Seen>,
    /// This request's place in the log.
    pub seq: usize,
    /// The server's log.
    pub log: RequestLog,
    /// The server's own base URL, as `http://127.0.0.1:PORT`.
    pub base: String,
    /// Marks the exchange as ended when the last clone goes.
    pub open: Arc<OpenGuard>,
}

impl Server {
    /// Binds a port on the loopback and serves `handler` there.
    ///
    /// # Errors
    /// When the port, the log file or the thread cannot be had.
    pub fn start(options: Options, handler: Handler) -> Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("bind a loopback port")?;
        listener
            .set_nonblocking(true)
            .doing("make the listener non-blocking")?;
        let addr = listener.local_addr().doing("read the bound address")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing("start a runtime")?;
        let scheme = if options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let (nonce, log) = (canary("nonce"), RequestLog::new(options.jsonl.as_deref())?);
        let base = format!("{scheme}://{addr}");
        let shared = Arc::new(Shared {
            tls: options.tls,
            nonce: nonce.clone(),
            log: log.clone(),
            base,
            handler,
        });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("testkit-server".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! { () = accept(listener, shared) => {}, _ = stopped => {} }
                });
            })
            .doing("start a server thread")?;
        Ok(Self {
            addr,
            nonce,
            log,
            scheme,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// What tells this server from every other one.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// `http` or `https`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// What it saw.
    #[must_use]
    pub fn log(&self) -> &RequestLog {
        &self.log
    }

    /// The URL of `path` by address.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.addr)
    }

    /// The URL of `path` by a host name that leads here.
    #[must_use]
    pub fn url_for(&self, host: &str, path: &str) -> String {
        format!("{}://{host}:{}{path}", self.scheme, self.addr.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Call {
    /// The path of the target.
    #[must_use]
    pub fn path(&self) -> &str {
        self.request.uri().path()
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let pairs = credential::query_pairs(self.request.uri().query().unwrap_or_default());
        pairs
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    /// A numeric query parameter.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.query(name)?.parse().ok()
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    /// Reads the whole body; what arrived before a failure if it fails.
    pub async fn body(&mut self) -> Bytes {
        let mut all = Vec::new();
        while let Some(Ok(frame)) = self.request.body_mut().frame().await {
            if let Some(data) = frame.data_ref() {
                all.extend_from_slice(data);
            }
        }
        Bytes::from(all)
    }
}

/// Wraps an async function as a [`Handler`].
pub fn handler<F, Fut>(function: F) -> Handler
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Reply> + Send + 'static,
{
    Arc::new(move |call| Box::pin(function(call)))
}

struct Shared {
    tls: Option<Arc<ServerConfig>>,
    nonce: String,
    log: RequestLog,
    base: String,
    handler: Handler,
}

struct Peer {
    addr: SocketAddr,
    sni: Option<String>,
}

async fn accept(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    loop {
        // An accept error (no descriptors) passes; the loop yields so that connections can end.
        let Ok((stream, addr)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        tokio::spawn(connection(stream, addr, Arc::clone(&shared)));
    }
}

async fn connection(stream: TcpStream, addr: SocketAddr, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let Some(config) = shared.tls.clone() else {
        return serve(stream, Peer { addr, sni: None }, shared).await;
    };
    if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
        let sni = stream.get_ref().1.server_name().map(ToOwned::to_owned);
        serve(stream, Peer { addr, sni }, shared).await;
    }
}

async fn serve<S>(stream: S, peer: Peer, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        let (peer, shared) = (Arc::clone(&peer), Arc::clone(&shared));
        async move { Ok::<_, Infallible>(exchange(request, &peer, &shared).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    // A broken connection is the client's affair; what was seen is in the log.
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

async fn exchange(request: Request<Incoming>, peer: &Peer, shared: &Shared) -> Reply {
    if request.uri().path() == NONCE_PATH {
        return tagged(
            reply_json(200, &serde_json::json!({ "nonce": shared.nonce })),
            &shared.nonce,
        );
    }
    let credentials = credential::in_head(request.uri(), request.headers());
    let seq = shared
        .log
        .push(record(&request, peer, credentials.clone()), &shared.nonce);
    let open = Arc::new(OpenGuard::new(shared.log.clone(), seq));
    let request = request.map(|inner| SeenBody::new(inner, shared.log.clone(), seq));
    let (log, base) = (shared.log.clone(), shared.base.clone());
    let call = Call {
        request,
        credentials,
        seq,
        log,
        base,
        open: Arc::clone(&open),
    };
    let answer = (shared.handler)(call).await;
    shared
        .log
        .update(seq, |record| record.status = Some(answer.status().as_u16()));
    shared.log.write_line(seq);
    tagged(
        answer.map(|inner| body::SentBody::new(inner, open).boxed()),
        &shared.nonce,
    )
}

fn tagged(mut answer: Reply, nonce: &str) -> Reply {
    set_header(&mut answer, NONCE_HEADER, nonce);
    answer
}

fn record(request: &Request<Incoming>, peer: &Peer, credentials: Vec<Seen>) -> Record {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = request.headers().get(header::HOST).map(text);
    Record {
        seq: 0,
        request_id: request
            .headers()
            .get("x-request-id")
            .map(text)
            .unwrap_or_default(),
        at_ms: now_ms(),
        peer: peer.addr.to_string(),
        sni: peer.sni.clone(),
        version: format!("{:?}", request.version()),
        method: request.method().to_string(),
        target: request
            .uri()
            .path_and_query()
            .map_or_else(|| request.uri().to_string(), ToString::to_string),
        authority: request.uri().authority().map(ToString::to_string).or(host),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect(),
        credentials,
        body_sha256: None,
        body_bytes: 0,
        status: None,
        sent_bytes: 0,
        ended_at_ms: None,
    }
}
