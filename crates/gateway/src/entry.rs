//! Who asks, and for what target: the first two questions of every request, on an accepted connection or in a tunnel.

use crate::body::AnswerBody;
use crate::connect;
use crate::gate::{Gate, ListenerId, Peer};
use crate::leaf::LeafState;
use crate::problem::{Problem, form_of, found};
use crate::request::exchange;
use crate::extract::rejected;
use crate::serve::{Conn, House, Mode};
use crate::strict::{REFUSED_HOST, Signals};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use marque_model::Target;
use marque_wire::http::{check_absolute, check_connect};
use std::net::SocketAddr;
use std::sync::Arc;

/// Who asks, and over what: the same for every request of a connection or tunnel.
pub(crate) struct Scene<'a, G: Gate> {
    pub(crate) house: &'a Arc<House<G>>,
    pub(crate) listener: ListenerId,
    pub(crate) leaf: &'a Arc<G::Leaf>,
    pub(crate) state: &'a Arc<LeafState>,
    pub(crate) target: &'a Target,
    pub(crate) signals: Option<&'a Arc<Signals>>,
}

/// Answers a request on an accepted connection.
pub(crate) async fn outer<G: Gate>(conn: &Arc<Conn<G>>, mut request: Request<Incoming>) -> Response<AnswerBody> {
    let form = form_of(request.headers(), request.uri().path());
    let twice = request.headers().get_all(header::PROXY_AUTHORIZATION).iter().nth(1).is_some();
    let shown = request.headers_mut().remove(header::PROXY_AUTHORIZATION);
    if is_stand_in(&request) {
        let problem = found::framing(conn.signals.why());
        conn.house.gate.refused(conn.listener, None, None, &problem);
        return problem.response(form);
    }
    // Which of two counts is a question that two programs answer differently.
    let identified = if twice { Err(found::head("the connection shows two proxy secrets")) } else { conn.identify(shown.as_ref()) };
    let identity = match identified {
        Ok(identity) => identity,
        Err(problem) => {
            // Clients that ask first what is wanted of them were refused nothing.
            if shown.is_some() {
                conn.house.gate.refused(conn.listener, None, None, &problem);
            }
            return closing(problem.response(form), request.method());
        }
    };
    let connecting = request.method() == Method::CONNECT;
    let target = match &conn.mode {
        Mode::Proxy if connecting => check_connect(request.uri()).map_err(|r| rejected(&r)),
        Mode::Proxy => check_absolute(request.uri()).map_err(|r| rejected(&r)),
        Mode::Fixed(_) if connecting => Err(found::method("this listener is not a proxy")),
        // Its connections name their target by what they dialled, before any request.
        Mode::Dialled(_) => Err(found::misdirected("this listener takes no requests of its own")),
        Mode::Fixed(target) => retarget(&mut request, target, &conn.peer).map(|()| target.clone()),
    };
    let method = request.method().clone();
    let result = match &target {
        Err(problem) => Err(problem.clone()),
        Ok(target) if connecting => Box::pin(connect::connect(conn, identity, target, request)).await,
        Ok(target) => {
            let scene = Scene {
                house: &conn.house,
                listener: conn.listener,
                leaf: &identity.leaf,
                state: &identity.state,
                target,
                signals: Some(&conn.signals),
            };
            exchange(&scene, request).await
        }
    };
    match result {
        Ok(response) => response,
        Err(problem) => {
            conn.house.gate.refused(conn.listener, Some(&identity.leaf), target.as_ref().ok(), &problem);
            identity.state.in_turn().await;
            closing(problem.response(form), &method)
        }
    }
}

/// Answers a request inside an intercepted tunnel.
pub(crate) async fn inner<G: Gate>(scene: Scene<'_, G>, request: Request<Incoming>) -> Response<AnswerBody> {
    let form = form_of(request.headers(), request.uri().path());
    let result = match scene.signals {
        Some(signals) if is_stand_in(&request) => Err(found::framing(signals.why())),
        _ if request.method() == Method::CONNECT => Err(found::method("CONNECT is not taken inside a tunnel")),
        _ if scene.state.cut.is_cancelled() => Err(found::ended()),
        _ => exchange(&scene, request).await,
    };
    match result {
        Ok(response) => response,
        Err(problem) => {
            scene.house.gate.refused(scene.listener, Some(scene.leaf), Some(scene.target), &problem);
            scene.state.in_turn().await;
            problem.response(form)
        }
    }
}

fn is_stand_in(request: &Request<Incoming>) -> bool {
    request.headers().get(header::HOST).is_some_and(|h| h == REFUSED_HOST)
}

/// Behind a refused CONNECT the guard does not know what follows: the connection ends there.
fn closing(mut response: Response<AnswerBody>, method: &Method) -> Response<AnswerBody> {
    if *method == Method::CONNECT {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// A client with a base URL names our listener; what it means is the listener's one target. Any other name is refused: a
/// page that was rebound to our address sends its own.
fn retarget(request: &mut Request<Incoming>, target: &Target, peer: &Peer) -> Result<(), Problem> {
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let ours = match peer {
        Peer::Tcp { local, .. } | Peer::Inside { dialled: local } => is_local_name(host, *local),
        Peer::Unix { .. } => host == "localhost",
    };
    if !ours && !target.is_named_by(host) {
        return Err(found::misdirected("the Host is neither this listener nor its target"));
    }
    let value = HeaderValue::from_str(&target.authority()).map_err(|_| found::head("the target has no name"))?;
    request.headers_mut().insert(header::HOST, value);
    if request.uri().authority().is_some() {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    Ok(())
}

fn is_local_name(host: &str, local: SocketAddr) -> bool {
    let Some(name) = host.strip_suffix(&format!(":{}", local.port())) else { return false };
    name == "localhost" || name.trim_matches(['[', ']']) == local.ip().to_string()
}

