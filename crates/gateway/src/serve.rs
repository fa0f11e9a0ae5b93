//! Listeners, connections, and their end: Options → [`Service::run`] → [`Handle`].

use crate::body::AnswerBody;
use crate::dial::{Dialer, Resolver, SystemResolver};
use crate::dialled::{self, Names};
use crate::gate::{Gate, LeafKey, ListenerId, Peer};
use crate::leaf::{LeafState, Until};
use crate::limits::{
    ACCEPT_REST, CONNECTIONS_MAX, CONNECTIONS_PER_LISTENER_MAX, DRAIN_WAIT, H1_BUFFER_BYTES_MAX, H2_CONNECTION_WINDOW_BYTES,
    H2_LOCAL_RESETS_MAX, H2_STREAM_WINDOW_BYTES, H2_STREAMS_MAX, HEAD_BYTES_MAX, HEAD_WAIT, HEADER_FIELDS_MAX,
    LISTENERS_MAX,
};
use crate::problem::{Problem, found};
use crate::entry;
use crate::socket::{Bound, ClientIo, Socket};
use crate::strict::{Signals, Strict};
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use marque_model::Target;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How to run the data plane.
pub struct Options {
    /// Turns names into addresses.
    pub resolver: Arc<dyn Resolver>,
    /// How long requests in progress may take once draining began.
    pub drain_wait: Duration,
    /// Client connections of one listener at a time.
    pub connections_per_listener_max: usize,
    /// Client connections of all listeners together: each may need descriptors of its own for upstreams.
    pub connections_max: usize,
    /// Listeners at a time.
    pub listeners_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resolver: Arc::new(SystemResolver),
            drain_wait: DRAIN_WAIT,
            connections_per_listener_max: CONNECTIONS_PER_LISTENER_MAX,
            connections_max: CONNECTIONS_MAX,
            listeners_max: LISTENERS_MAX,
        }
    }
}

/// How requests of a listener name their target.
#[derive(Debug, Clone)]
pub enum Mode {
    /// As proxies are used: CONNECT and absolute form.
    Proxy,
    /// Every request goes to this target (a base URL given to a client that knows no proxies).
    Fixed(Target),
    /// By the address that the client dialled, which these names explain: for [`Socket::Inside`] alone.
    Dialled(Arc<dyn Names>),
}

/// Why a listener is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The id is in use.
    #[error("listener `{0}` is there already")]
    Taken(u64),
    /// The id is of no listener.
    #[error("listener `{0}` is not there")]
    Gone(u64),
    /// More than the options allow.
    #[error("`{0}` listeners are as many as there can be")]
    TooMany(usize),
    /// The service drains.
    #[error("the gateway is shutting down")]
    Draining,
    /// The socket cannot be used.
    #[error("the socket could not be used")]
    Socket(#[from] std::io::Error),
}

/// What all connections share.
pub(crate) struct House<G: Gate> {
    pub(crate) gate: Arc<G>,
    pub(crate) dialer: Dialer,
    leaves: Mutex<HashMap<LeafKey, Arc<LeafState>>>,
    listeners: Mutex<HashMap<ListenerId, Listening>>,
    pub(crate) tasks: TaskTracker,
    connections_max: usize,
    /// Places of all connections, whosever they are.
    room: Arc<Semaphore>,
    listeners_max: usize,
    /// No new connections, no new requests on old ones.
    pub(crate) drain: CancellationToken,
    /// Everything ends.
    pub(crate) cut: CancellationToken,
}

struct Listening {
    stop: CancellationToken,
    /// Of its first socket. Further ones have none that could be dialled from here.
    address: Option<SocketAddr>,
    /// Its connections, over all its sockets.
    room: Arc<Semaphore>,
}

/// The data plane, before it runs.
pub struct Service<G: Gate> {
    house: Arc<House<G>>,
    drain_wait: Duration,
}

/// Opens and closes listeners of a running service.
pub struct Handle<G: Gate> {
    house: Arc<House<G>>,
}

impl<G: Gate> Clone for Handle<G> {
    fn clone(&self) -> Self {
        Self { house: Arc::clone(&self.house) }
    }
}

impl<G: Gate> Service<G> {
    /// A service and its handle. Nothing happens before [`Service::run`] is polled and [`Handle::listen`] called.
    pub fn new(options: Options, gate: Arc<G>) -> (Self, Handle<G>) {
        let house = Arc::new(House {
            gate,
            dialer: Dialer { resolver: options.resolver, own: std::sync::RwLock::default() },
            leaves: Mutex::default(),
            listeners: Mutex::default(),
            tasks: TaskTracker::new(),
            connections_max: options.connections_per_listener_max,
            room: Arc::new(Semaphore::new(options.connections_max)),
            listeners_max: options.listeners_max,
            drain: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        (Self { house: Arc::clone(&house), drain_wait: options.drain_wait }, Handle { house })
    }

    /// Runs until `drain` resolves; then accepts nothing, lets requests in progress finish for the time in the options,
    /// and cuts what is left. Every admitted use is settled when this returns.
    pub async fn run(self, drain: impl Future<Output = ()>) {
        drain.await;
        self.house.drain.cancel();
        self.house.tasks.close();
        let _ = tokio::time::timeout(self.drain_wait, self.house.tasks.wait()).await;
        self.house.cut.cancel();
        self.house.tasks.wait().await;
    }
}

impl<G: Gate> Handle<G> {
    pub(crate) fn dialer(&self) -> &Dialer {
        &self.house.dialer
    }

    /// Serves a socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn listen(&self, id: ListenerId, socket: Socket, mode: Mode) -> Result<(), ListenError> {
        let house = &self.house;
        if house.drain.is_cancelled() {
            return Err(ListenError::Draining);
        }
        let bound = Bound::new(socket)?;
        let address = bound.address();
        let stop = house.drain.child_token();
        let room = Arc::new(Semaphore::new(house.connections_max));
        {
            let mut listeners = house.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            if listeners.contains_key(&id) {
                return Err(ListenError::Taken(id.0));
            }
            if listeners.len() >= house.listeners_max {
                return Err(ListenError::TooMany(house.listeners_max));
            }
            listeners.insert(id, Listening { stop: stop.clone(), address, room: Arc::clone(&room) });
        }
        house.refresh_own();
        let house = Arc::clone(house);
        self.house.tasks.spawn(accept(house, id, bound, mode, stop, room));
        Ok(())
    }

    /// Serves a further socket as part of a listener: it has the same identity, room and end. Must be called within a tokio
    /// runtime.
    ///
    /// # Errors
    /// See [`ListenError`].
    pub fn join(&self, id: ListenerId, socket: Socket, mode: Mode) -> Result<(), ListenError> {
        let bound = Bound::new(socket)?;
        let (stop, room) = {
            let listeners = self.house.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            let listening = listeners.get(&id).ok_or(ListenError::Gone(id.0))?;
            (listening.stop.clone(), Arc::clone(&listening.room))
        };
        self.house.tasks.spawn(accept(Arc::clone(&self.house), id, bound, mode, stop, room));
        Ok(())
    }

    /// Closes a listener: nothing more is accepted. Its connections end with their session.
    pub fn close(&self, id: ListenerId) {
        let gone = self.house.listeners.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(listening) = gone {
            listening.stop.cancel();
            self.house.refresh_own();
        }
    }
}

impl<G: Gate> House<G> {
    fn refresh_own(&self) {
        let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let own = listeners.values().filter_map(|l| l.address).collect();
        *self.dialer.own.write().unwrap_or_else(PoisonError::into_inner) = own;
    }

    /// The state of a leaf; on first sight someone is set to watch for its end.
    fn leaf(self: &Arc<Self>, leaf: &Arc<G::Leaf>) -> Arc<LeafState> {
        let key = self.gate.leaf_key(leaf);
        let mut leaves = self.leaves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = leaves.get(&key) {
            return Arc::clone(state);
        }
        let state = Arc::new(LeafState::new(key, self.gate.ca(leaf), self.cut.child_token()));
        leaves.insert(key, Arc::clone(&state));
        let (house, leaf, watched) = (Arc::clone(self), Arc::clone(leaf), Arc::clone(&state));
        tokio::spawn(async move {
            tokio::select! {
                () = house.gate.ended(&leaf) => {}
                () = watched.cut.cancelled() => {}
            }
            watched.cut.cancel();
            house.leaves.lock().unwrap_or_else(PoisonError::into_inner).remove(&watched.key);
        });
        state
    }
}

/// A leaf, as one connection knows it.
pub(crate) struct Identity<G: Gate> {
    pub(crate) leaf: Arc<G::Leaf>,
    pub(crate) state: Arc<LeafState>,
    shown: Option<HeaderValue>,
}

/// One accepted connection.
pub(crate) struct Conn<G: Gate> {
    pub(crate) house: Arc<House<G>>,
    pub(crate) listener: ListenerId,
    pub(crate) mode: Mode,
    pub(crate) peer: Peer,
    pub(crate) signals: Arc<Signals>,
    identity: OnceLock<Identity<G>>,
    identified: Notify,
}

impl<G: Gate> Conn<G> {
    /// Who this connection is, given what the request shows. Asked of the gate once; later requests must show the same.
    pub(crate) fn identify(&self, shown: Option<&HeaderValue>) -> Result<&Identity<G>, Problem> {
        if let Some(identity) = self.identity.get() {
            if identity.shown.as_ref() == shown {
                return if identity.state.cut.is_cancelled() { Err(found::ended()) } else { Ok(identity) };
            }
            return Err(found::head("the connection shows another proxy secret than before"));
        }
        let text = shown.map(|v| v.to_str().map_err(|_| found::head("the proxy secret is not text"))).transpose()?;
        let leaf = self.house.gate.identify(self.listener, text, &self.peer)?;
        let state = self.house.leaf(&leaf);
        let mut shown = shown.cloned();
        if let Some(value) = &mut shown {
            value.set_sensitive(true);
        }
        let identity = self.identity.get_or_init(|| Identity { leaf, state, shown });
        self.identified.notify_one();
        Ok(identity)
    }

    /// Resolves when this connection must be cut.
    async fn cut(&self) {
        while self.identity.get().is_none() {
            tokio::select! {
                () = self.identified.notified() => {}
                () = self.house.cut.cancelled() => return,
            }
        }
        if let Some(identity) = self.identity.get() {
            identity.state.cut.cancelled().await;
        }
    }
}

async fn accept<G: Gate>(
    house: Arc<House<G>>,
    id: ListenerId,
    bound: Bound,
    mode: Mode,
    stop: CancellationToken,
    room: Arc<Semaphore>,
) {
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = bound.accept() => accepted,
        };
        match accepted {
            Ok((io, peer)) => {
                // Over the limit the connection is closed at once: a queue would only hide it.
                let Ok(place) = Arc::clone(&room).try_acquire_owned() else { continue };
                let Ok(of_all) = Arc::clone(&house.room).try_acquire_owned() else { continue };
                let (house, mode) = (Arc::clone(&house), mode.clone());
                let tasks = house.tasks.clone();
                tasks.spawn(async move {
                    connection(house, id, mode, io, peer).await;
                    drop((place, of_all));
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_REST).await,
        }
    }
}

async fn connection<G: Gate>(house: Arc<House<G>>, listener: ListenerId, mode: Mode, io: ClientIo, peer: Peer) {
    let signals = Arc::new(Signals::default());
    let conn = Arc::new(Conn {
        house,
        listener,
        mode,
        peer,
        signals: Arc::clone(&signals),
        identity: OnceLock::new(),
        identified: Notify::new(),
    });
    if let (Mode::Dialled(names), Peer::Inside { dialled }) = (&conn.mode, conn.peer) {
        return tokio::select! {
            biased;
            () = conn.cut() => {}
            () = dialled::serve(&conn, io, dialled, &**names) => {}
        };
    }
    let at = Arc::clone(&conn);
    let serve = h1(Strict::new(io, signals), conn.house.drain.clone(), move |request| {
        let at = Arc::clone(&at);
        async move { entry::outer(&at, request).await }
    });
    tokio::select! {
        biased;
        () = conn.cut() => {}
        () = serve => {}
    }
}

/// Serves HTTP/1 on a guarded stream until it closes.
pub(crate) async fn h1<S, F, R>(io: Strict<S>, drain: CancellationToken, handle: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<AnswerBody>>,
{
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_headers(HEADER_FIELDS_MAX)
        .max_buf_size(H1_BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut serve = pin!(serve);
    tokio::select! {
        _ = serve.as_mut() => return,
        () = drain.cancelled() => serve.as_mut().graceful_shutdown(),
    }
    let _ = serve.await;
}

/// Serves HTTP/2 until the connection closes. Its streams are tasks of `until`.
pub(crate) async fn h2<S, F, R>(io: S, drain: CancellationToken, until: Until, handle: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Send + 'static,
    R: Future<Output = Response<AnswerBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handle(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serve = http2::Builder::new(until)
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_local_error_reset_streams(H2_LOCAL_RESETS_MAX)
        .max_header_list_size(HEAD_BYTES_MAX as u32)
        .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(H2_STREAM_WINDOW_BYTES as usize)
        .serve_connection(TokioIo::new(io), service);
    let mut serve = pin!(serve);
    tokio::select! {
        _ = serve.as_mut() => return,
        () = drain.cancelled() => serve.as_mut().graceful_shutdown(),
    }
    let _ = serve.await;
}
