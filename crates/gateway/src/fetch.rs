//! A request of the authority's own: one GET, with the dialling, the floor and the TLS of every other request, on a connection
//! that nobody else uses. Nothing is followed, kept or sent twice.

use crate::body::OutBody;
use crate::gate::{Gate, RoutePlan};
use crate::limits::{FETCH_BYTES_MAX, FETCH_WAIT};
use crate::problem::{Problem, found};
use crate::serve::Handle;
use crate::tls::{self, LeafTls, Offer, Protocol};
use http::{HeaderMap, HeaderValue, Request, header};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use marque_detect::Secret;
use marque_model::Scheme;
use std::future::poll_fn;
use std::pin::Pin;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

/// What came back. The body is a secret, whatever it holds.
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Secret,
}

impl<G: Gate> Handle<G> {
    /// Sends one GET to the plan's target and reads its answer whole.
    ///
    /// # Errors
    /// Where the target may not be dialled or does not answer in time, its certificate does not verify, or the answer is too long.
    pub async fn fetch(&self, plan: &RoutePlan, path: &str, headers: HeaderMap) -> Result<Fetched, Problem> {
        match timeout(FETCH_WAIT, self.fetch_now(plan, path, headers)).await {
            Ok(done) => done,
            Err(_) => Err(found::upstream_slow()),
        }
    }

    async fn fetch_now(&self, plan: &RoutePlan, path: &str, headers: HeaderMap) -> Result<Fetched, Problem> {
        let mut request = Request::new(OutBody::empty());
        *request.uri_mut() = path.parse().map_err(|_| found::upstream_broke())?;
        *request.headers_mut() = headers;
        let host = HeaderValue::from_str(&plan.target.authority()).map_err(|_| found::upstream_broke())?;
        request.headers_mut().insert(header::HOST, host);
        let stream = self.dialer().dial(plan).await?;
        match plan.target.scheme() {
            Scheme::Http => exchange(stream, request).await,
            Scheme::Https => {
                // Tickets of its own too: nothing of an agent's connections is in it.
                let (stream, _) = tls::connect(&LeafTls::default(), plan, stream, Offer::Only(Protocol::H1)).await?;
                exchange(stream, request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<OutBody>) -> Result<Fetched, Problem>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broke = |_| found::upstream_broke();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broke)?;
    // It ends when the sender is dropped.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(broke)?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(broke)?.into_data() else { continue };
        if bytes.len() + data.len() > FETCH_BYTES_MAX {
            return Err(found::upstream_broke());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Fetched { status, body: Secret::new(bytes) })
}
