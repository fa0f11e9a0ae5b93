//! Sending an admitted request upstream, and waiting for the head of its answer.

use crate::body::OutBody;
use crate::dial::Dialer;
use crate::gate::{Ending, Gate};
use crate::limits::ANSWER_WAIT;
use crate::pool::{Carried, Sender};
use crate::problem::{Problem, found};
use crate::settlement::Use;
use crate::tls::{Offer, Protocol};
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Request, Response, Version, header};
use hyper::body::Incoming;
use marque_model::Target;
use std::future::Future;
use std::pin::pin;
use tokio::time::timeout;

/// Sends the request on a connection of the use's own leaf, target and credential version, and waits for the head of the
/// answer. A request that a kept connection did not take (the upstream closed it meanwhile) is sent once more on a new
/// one: hyper gives it back only if nothing of it was written.
pub(crate) async fn send<G: Gate>(
    dialer: &Dialer,
    use_: &mut Use<G>,
    parts: Parts,
    body: OutBody,
    protocol: Protocol,
) -> Result<Response<Incoming>, Problem> {
    let state = std::sync::Arc::clone(use_.state());
    let plan = std::sync::Arc::clone(use_.route());
    let tag = use_.tag();
    let sent = body.sent();
    let mut request = shape(parts, body, &plan.target, protocol);
    let (mut sender, mut reused) = match state.sender(dialer, &plan, protocol, tag).await {
        Ok(got) => got,
        Err(problem) => return Err(not_sent(use_, problem)),
    };
    loop {
        use_.sent = Some(std::sync::Arc::clone(&sent));
        let failed = match once(&mut sender, request, &sent).await {
            Ok(response) => {
                use_.outcome.status = Some(response.status().as_u16());
                use_.connection = matches!(sender, Sender::H1(_)).then_some(sender);
                return Ok(response);
            }
            Err(failed) => failed,
        };
        match failed {
            Failed::Unsent(again) if reused => {
                request = *again;
                reused = false;
                sender = match state.fresh(dialer, &plan, Offer::Only(protocol), Carried::Tag(tag)).await {
                    Ok(sender) => sender,
                    Err(problem) => return Err(not_sent(use_, problem)),
                };
            }
            Failed::Unsent(_) | Failed::Broken => {
                use_.settle(Ending::UpstreamFailed);
                return Err(found::upstream_broke());
            }
            Failed::Slow => {
                use_.settle(Ending::UpstreamFailed);
                return Err(found::upstream_slow());
            }
        }
    }
}

fn not_sent<G: Gate>(use_: &mut Use<G>, problem: Problem) -> Problem {
    use_.outcome.credential_sent = false;
    use_.sent = None;
    use_.settle(Ending::NotSent);
    problem
}

enum Failed {
    /// Nothing of it was written.
    Unsent(Box<Request<OutBody>>),
    Broken,
    Slow,
}

async fn once(sender: &mut Sender, request: Request<OutBody>, sent: &crate::body::Sent) -> Result<Response<Incoming>, Failed> {
    match sender {
        Sender::H1(sender) => {
            if sender.ready().await.is_err() {
                return Err(Failed::Unsent(Box::new(request)));
            }
            await_head(sender.try_send_request(request), sent).await
        }
        Sender::H2(sender) => {
            if sender.ready().await.is_err() {
                return Err(Failed::Unsent(Box::new(request)));
            }
            await_head(sender.try_send_request(request), sent).await
        }
    }
}

/// The time limit runs from the moment the whole request was sent; before that the body's own limit runs.
async fn await_head(
    answer: impl Future<Output = Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<OutBody>>>>,
    sent: &crate::body::Sent,
) -> Result<Response<Incoming>, Failed> {
    let mut answer = pin!(answer);
    loop {
        let done = sent.is_done();
        match timeout(ANSWER_WAIT, answer.as_mut()).await {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(mut e)) => {
                return Err(e.take_message().map_or(Failed::Broken, |request| Failed::Unsent(Box::new(request))));
            }
            Err(_) if done => return Err(Failed::Slow),
            Err(_) => {}
        }
    }
}

/// The request as the upstream's protocol wants it. The authority is the target's, whatever the client wrote.
fn shape(mut parts: Parts, body: OutBody, target: &Target, protocol: Protocol) -> Request<OutBody> {
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    // hyper writes the length it knows from the body.
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.extensions = http::Extensions::new();
    match protocol {
        Protocol::H1 => {
            parts.uri = Uri::from(path);
            parts.version = Version::HTTP_11;
            if let Ok(host) = HeaderValue::from_str(&target.authority()) {
                parts.headers.insert(header::HOST, host);
            }
        }
        Protocol::H2 => {
            parts.headers.remove(header::HOST);
            parts.version = Version::HTTP_2;
            let uri = Uri::builder().scheme(target.scheme().word()).authority(target.authority()).path_and_query(path);
            parts.uri = uri.build().unwrap_or_default();
        }
    }
    Request::from_parts(parts, body)
}
