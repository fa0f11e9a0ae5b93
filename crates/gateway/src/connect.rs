//! CONNECT: the tunnel is granted only when its target is allowed, was dialled, and proved who it is.

use crate::body::AnswerBody;
use crate::entry::{self, Scene};
use crate::gate::{Admitted, Ending, Gate, Intended, Kind, ListenerId, RoutePlan};
use crate::leaf::{LeafState, Until};
use crate::problem::{Problem, found};
use crate::request::{Rules, route};
use crate::serve::{Conn, House, Identity, h1, h2};
use crate::socket::ClientIo;
use crate::settlement::Use;
use crate::splice::{Rewind, splice};
use crate::strict::{Signals, Strict};
use crate::tls::{self, Hello, Offer, Protocol};
use bytes::Bytes;
use http::{Request, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use marque_model::{Content, Scheme, Target};
use marque_wire::profile::Extracted;
use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;

/// A granted tunnel, or a connection that was dialled as if there were no gateway.
pub(crate) struct Tunnel<G: Gate> {
    pub(crate) house: Arc<House<G>>,
    listener: ListenerId,
    pub(crate) leaf: Arc<G::Leaf>,
    pub(crate) state: Arc<LeafState>,
    pub(crate) target: Target,
}

pub(crate) type Outer = Rewind<Strict<ClientIo>>;

/// Grants or refuses a tunnel.
pub(crate) async fn connect<G: Gate>(
    conn: &Arc<Conn<G>>,
    identity: &Identity<G>,
    target: &Target,
    mut request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Problem> {
    let named = request.headers().get(header::HOST).is_none_or(|h| h.to_str().is_ok_and(|h| target.is_named_by(h)));
    if !named {
        return Err(found::misdirected("the Host of the CONNECT is not its target"));
    }
    let (plan, rules) = route(&*conn.house.gate, &identity.leaf, target)?;
    let tunnel = Tunnel::new(conn, identity, target.clone());
    let client = hyper::upgrade::on(&mut request);
    if rules == Rules::PassThrough {
        let through = tunnel.dial_through(&plan).await?;
        spawn(&identity.state, &conn.house, async move {
            if let Some(client) = opened(client).await {
                through.carry(client).await;
            }
        });
    } else {
        let protocol = tunnel.prepare(&plan).await?;
        spawn(&identity.state, &conn.house, async move {
            tunnel.serve(client, protocol).await;
        });
    }
    conn.signals.go_raw();
    Ok(Response::new(AnswerBody::empty()))
}

/// A task of a leaf: it ends with the leaf's session, and the service waits for it.
pub(crate) fn spawn<G: Gate>(state: &LeafState, house: &House<G>, task: impl Future<Output = ()> + Send + 'static) {
    let cut = state.cut.clone();
    house.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = cut.cancelled() => {}
            () = task => {}
        }
    });
}

/// The client's side of a granted tunnel, with whatever it sent early in front.
async fn opened(client: OnUpgrade) -> Option<Outer> {
    let upgraded = client.await.ok()?;
    let parts = upgraded.downcast::<TokioIo<Strict<ClientIo>>>().ok()?;
    Some(Rewind::new(parts.read_buf, parts.io.into_inner()))
}

/// Bytes of an admitted tunnel that are not read, and where they go.
pub(crate) struct Through<G: Gate> {
    use_: Use<G>,
    upstream: TcpStream,
    request_bytes_max: u64,
    answer_bytes_max: u64,
}

impl<G: Gate> Through<G> {
    pub(crate) async fn carry(mut self, client: Outer) {
        splice(client, self.upstream, &mut self.use_, self.request_bytes_max, self.answer_bytes_max).await;
    }
}

fn unread() -> Intended {
    Intended {
        kind: Kind::Tunnel,
        extracted: Extracted::Unknown { why: "a tunnel that passes through is not read".to_owned() },
        returned: Vec::new(),
        followed: None,
        method: "CONNECT".to_owned(),
        path: None,
        uri: String::new(),
        content: Content::Streamed,
        body: Bytes::new(),
        headers: Vec::new(),
        unbound: Vec::new(),
    }
}

impl<G: Gate> Tunnel<G> {
    pub(crate) fn new(conn: &Conn<G>, identity: &Identity<G>, target: Target) -> Self {
        let (house, leaf, state) = (Arc::clone(&conn.house), Arc::clone(&identity.leaf), Arc::clone(&identity.state));
        Self { house, listener: conn.listener, leaf, state, target }
    }

    /// Admits a tunnel that passes through, and dials its target.
    pub(crate) async fn dial_through(&self, plan: &Arc<RoutePlan>) -> Result<Through<G>, Problem> {
        let Admitted { permit, needles, credential, request_bytes_max, answer_bytes_max, .. } =
            self.house.gate.admit(&self.leaf, plan, unread()).await?;
        let mut use_ = Use::new(&self.scene(None), plan, permit, needles, credential);
        use_.outcome.opaque = true;
        let upstream = match self.house.dialer.dial(plan).await {
            Ok(stream) => stream,
            Err(problem) => {
                use_.settle(Ending::NotSent);
                return Err(problem);
            }
        };
        use_.sent = Some(Arc::default());
        Ok(Through { use_, upstream, request_bytes_max, answer_bytes_max })
    }

    /// Sees to it that the target is there and proved who it is, and that this session can stand for it.
    pub(crate) async fn prepare(&self, plan: &RoutePlan) -> Result<Protocol, Problem> {
        if self.target.scheme() == Scheme::Https && !self.state.ca.covers(self.target.host()) {
            return Err(found::interception("this session's certificate authority does not name this host"));
        }
        self.state.prepare(&self.house.dialer, plan).await
    }

    fn scene<'a>(&'a self, signals: Option<&'a Arc<Signals>>) -> Scene<'a, G> {
        Scene {
            house: &self.house,
            listener: self.listener,
            leaf: &self.leaf,
            state: &self.state,
            target: &self.target,
            signals,
        }
    }

    pub(crate) fn refused(&self, problem: &Problem) {
        self.house.gate.refused(self.listener, Some(&self.leaf), Some(&self.target), problem);
    }

    async fn serve(self, client: OnUpgrade, upstream: Protocol) {
        let Some(stream) = opened(client).await else { return };
        match self.target.scheme() {
            Scheme::Http => self.serve_h1(stream).await,
            Scheme::Https => self.serve_tls(stream, upstream).await,
        }
    }

    pub(crate) async fn serve_tls(self, stream: Outer, upstream: Protocol) {
        let Some(hello) = tls::hello(stream).await else { return };
        // I13: the name inside the handshake is the tunnel's. (An address is never intercepted, so there always is a name.)
        if hello.sni.as_deref() != Some(self.target.host()) {
            self.refused(&found::misdirected("the TLS server name is not the host of the tunnel"));
            return hello.deny().await;
        }
        let protocol = match self.agree(&hello, upstream).await {
            Ok(protocol) => protocol,
            Err(problem) => {
                self.refused(&problem);
                return hello.deny().await;
            }
        };
        let accepted = hello.accept(&self.state.tls, &self.state.ca, self.target.host(), protocol, now_s()).await;
        match (accepted, protocol) {
            (Ok(stream), Protocol::H1) => self.serve_h1(stream).await,
            (Ok(stream), Protocol::H2) => self.serve_h2(stream).await,
            (Err(Some(problem)), _) => self.refused(&problem),
            (Err(None), _) => {}
        }
    }

    /// The protocol that both ends speak. Where the client cannot speak what the upstream chose, the upstream is asked
    /// again with the client's protocol alone.
    async fn agree(&self, hello: &Hello<Outer>, upstream: Protocol) -> Result<Protocol, Problem> {
        self.state.pool.note_client(&self.target, hello.h2);
        let other = match upstream {
            Protocol::H2 if hello.h2 => return Ok(Protocol::H2),
            Protocol::H1 if hello.h1 => return Ok(Protocol::H1),
            _ if hello.h1 => Protocol::H1,
            _ if hello.h2 => Protocol::H2,
            _ => return Err(found::interception("the client speaks neither HTTP/1.1 nor HTTP/2")),
        };
        let (plan, _) = route(&*self.house.gate, &self.leaf, &self.target)?;
        self.state.prepare_as(&self.house.dialer, &plan, Offer::Only(other)).await
    }

    pub(crate) async fn serve_h1<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let signals = Arc::new(Signals::default());
        let drain = self.house.drain.clone();
        let this = Arc::new(self);
        let guarded = Strict::new(stream, Arc::clone(&signals));
        h1(guarded, drain, move |request| {
            let (this, signals) = (Arc::clone(&this), Arc::clone(&signals));
            async move { entry::inner(this.scene(Some(&signals)), request).await }
        })
        .await;
    }

    async fn serve_h2<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (drain, cut) = (self.house.drain.clone(), self.state.cut.clone());
        let until = Until { cut, tasks: Some(self.house.tasks.clone()) };
        let this = Arc::new(self);
        h2(stream, drain, until, move |request| {
            let this = Arc::clone(&this);
            async move { entry::inner(this.scene(None), request).await }
        })
        .await;
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
