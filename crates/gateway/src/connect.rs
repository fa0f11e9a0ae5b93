//! CONNECT: the tunnel is granted only when its target is allowed, was dialled, and proved who it is.

use crate::body::AnswerBody;
use crate::entry::{self, Scene};
use crate::gate::{Admitted, Ending, Gate, Intended, Kind, ListenerId};
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

/// A granted tunnel.
struct Tunnel<G: Gate> {
    house: Arc<House<G>>,
    listener: ListenerId,
    leaf: Arc<G::Leaf>,
    state: Arc<LeafState>,
    target: Target,
}

type Outer = Rewind<Strict<ClientIo>>;

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
    let tunnel = Tunnel {
        house: Arc::clone(&conn.house),
        listener: conn.listener,
        leaf: Arc::clone(&identity.leaf),
        state: Arc::clone(&identity.state),
        target: target.clone(),
    };
    let client = hyper::upgrade::on(&mut request);
    if rules == Rules::PassThrough {
        pass_through(tunnel, &plan, client).await?;
    } else {
        if target.scheme() == Scheme::Https && !identity.state.ca.covers(target.host()) {
            return Err(found::interception("this session's certificate authority does not name this host"));
        }
        let protocol = identity.state.prepare(&conn.house.dialer, &plan).await?;
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

async fn pass_through<G: Gate>(tunnel: Tunnel<G>, plan: &Arc<crate::gate::RoutePlan>, client: OnUpgrade) -> Result<(), Problem> {
    let intended = Intended {
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
    };
    let Admitted { permit, needles, credential, request_bytes_max, answer_bytes_max, .. } = tunnel.house.gate.admit(&tunnel.leaf, plan, intended).await?;
    let mut use_ = Use::new(&tunnel.scene(None), plan, permit, needles, credential);
    use_.outcome.opaque = true;
    let upstream = match tunnel.house.dialer.dial(plan).await {
        Ok(stream) => stream,
        Err(problem) => {
            use_.settle(Ending::NotSent);
            return Err(problem);
        }
    };
    use_.sent = Some(Arc::default());
    let (state, house) = (Arc::clone(&tunnel.state), Arc::clone(&tunnel.house));
    spawn(&state, &house, async move {
        let Some(client) = opened(client).await else { return };
        splice(client, upstream, &mut use_, request_bytes_max, answer_bytes_max).await;
    });
    Ok(())
}

impl<G: Gate> Tunnel<G> {
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

    fn refused(&self, problem: &Problem) {
        self.house.gate.refused(self.listener, Some(&self.leaf), Some(&self.target), problem);
    }

    async fn serve(self, client: OnUpgrade, upstream: Protocol) {
        let Some(stream) = opened(client).await else { return };
        match self.target.scheme() {
            Scheme::Http => self.serve_h1(stream).await,
            Scheme::Https => self.serve_tls(stream, upstream).await,
        }
    }

    async fn serve_tls(self, stream: Outer, upstream: Protocol) {
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

    async fn serve_h1<S>(self, stream: S)
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
