//! What the gateway keeps per leaf: upstream connections, TLS state, and the token that cuts all of it.

use crate::body::OutBody;
use crate::ca::SessionCa;
use crate::dial::Dialer;
use crate::gate::{LeafKey, RoutePlan};
use crate::pace::Pace;
use crate::limits::{H1_BUFFER_BYTES_MAX, H2_CONNECTION_WINDOW_BYTES, H2_STREAM_WINDOW_BYTES, HEAD_BYTES_MAX};
use crate::pool::{Carried, Pool, Sender};
use crate::problem::{Problem, found};
use crate::tls::{self, LeafTls, Offer, Protocol};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use marque_model::{CredentialId, Scheme, Target};
use std::future::Future;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// One leaf's share of the data plane.
pub(crate) struct LeafState {
    pub(crate) key: LeafKey,
    pub(crate) ca: Arc<SessionCa>,
    /// Cancelled when the session ended: whoever holds a stream of this leaf lets go of it.
    pub(crate) cut: CancellationToken,
    pub(crate) pool: Pool,
    pub(crate) tls: LeafTls,
    pace: Pace,
    began: Instant,
}

/// A spawner whose tasks end with the leaf.
#[derive(Clone)]
pub(crate) struct Until {
    pub(crate) cut: CancellationToken,
    /// Where the service must wait for them: they hold admitted uses.
    pub(crate) tasks: Option<TaskTracker>,
}

impl<F> Executor<F> for Until
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let cut = self.cut.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = cut.cancelled_owned() => {}
                _ = task => {}
            }
        };
        match &self.tasks {
            Some(tasks) => tasks.spawn(task),
            None => tokio::spawn(task),
        };
    }
}

impl LeafState {
    pub(crate) fn new(key: LeafKey, ca: Arc<SessionCa>, cut: CancellationToken) -> Self {
        Self { key, ca, cut, pool: Pool::default(), tls: LeafTls::default(), pace: Pace::default(), began: Instant::now() }
    }

    /// Returns when this leaf may be answered with a refusal, or is over.
    pub(crate) async fn in_turn(&self) {
        let wait = self.pace.wait(u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX));
        if !wait.is_zero() {
            tokio::select! {
                () = self.cut.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Idle upstream connections are nothing to wait for.
    fn until(&self) -> Until {
        Until { cut: self.cut.clone(), tasks: None }
    }

    /// A connection on which a request with that credential may be sent, and whether it was used before.
    pub(crate) async fn sender(
        &self,
        dialer: &Dialer,
        plan: &RoutePlan,
        protocol: Protocol,
        tag: Option<(CredentialId, u32)>,
    ) -> Result<(Sender, bool), Problem> {
        if let Some(sender) = self.pool.take(&plan.target, protocol, tag) {
            return Ok((sender, true));
        }
        Ok((self.fresh(dialer, plan, Offer::Only(protocol), Carried::Tag(tag)).await?, false))
    }

    /// A new connection. A share of an HTTP/2 connection stays in the pool.
    pub(crate) async fn fresh(
        &self,
        dialer: &Dialer,
        plan: &RoutePlan,
        offer: Offer,
        carried: Carried,
    ) -> Result<Sender, Problem> {
        // Boxed, as all that is rare and large on the way of a request: a warm request's future would carry the room for it
        // wherever it is moved.
        let sender = Box::pin(self.open(dialer, plan, offer)).await?;
        if let Sender::H2(shared) = &sender {
            self.pool.give(&plan.target, Sender::H2(shared.clone()), carried);
        }
        Ok(sender)
    }

    /// Sees to it that the target is there and is who it should be, before a client is told so. Returns the protocol it
    /// speaks.
    pub(crate) async fn prepare(&self, dialer: &Dialer, plan: &RoutePlan) -> Result<Protocol, Problem> {
        if let Some(protocol) = self.pool.at_hand(&plan.target) {
            return Ok(protocol);
        }
        let h1_alone = plan.target.scheme() == Scheme::Http || self.pool.has_h1_clients(&plan.target);
        let offer = if h1_alone { Offer::Only(Protocol::H1) } else { Offer::Both };
        self.prepare_as(dialer, plan, offer).await
    }

    /// As [`LeafState::prepare`], with a connection of the client's own protocol.
    pub(crate) async fn prepare_as(&self, dialer: &Dialer, plan: &RoutePlan, offer: Offer) -> Result<Protocol, Problem> {
        let sender = self.fresh(dialer, plan, offer, Carried::Nothing).await?;
        let protocol = sender.protocol();
        if protocol == Protocol::H1 {
            self.pool.give(&plan.target, sender, Carried::Nothing);
        }
        Ok(protocol)
    }

    async fn open(&self, dialer: &Dialer, plan: &RoutePlan, offer: Offer) -> Result<Sender, Problem> {
        let stream = dialer.dial(plan).await?;
        match plan.target.scheme() {
            Scheme::Http => self.speak(&plan.target, stream, Protocol::H1).await,
            Scheme::Https => {
                let (stream, protocol) = tls::connect(&self.tls, plan, stream, offer).await?;
                self.speak(&plan.target, stream, protocol).await
            }
        }
    }

    async fn speak<S>(&self, target: &Target, stream: S, protocol: Protocol) -> Result<Sender, Problem>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        let broken = |e: hyper::Error| found::dial(target.host(), &e.to_string());
        match protocol {
            Protocol::H1 => {
                let (sender, connection) = http1::Builder::new()
                    .max_buf_size(H1_BUFFER_BYTES_MAX)
                    .handshake::<_, OutBody>(io)
                    .await
                    .map_err(broken)?;
                self.until().execute( connection.with_upgrades());
                Ok(Sender::H1(sender))
            }
            Protocol::H2 => {
                let (sender, connection) = http2::Builder::new(self.until())
                    .timer(TokioTimer::new())
                    .initial_stream_window_size(H2_STREAM_WINDOW_BYTES)
                    .initial_connection_window_size(H2_CONNECTION_WINDOW_BYTES)
                    .max_header_list_size(HEAD_BYTES_MAX as u32)
                    .handshake::<_, OutBody>(io)
                    .await
                    .map_err(broken)?;
                self.until().execute( connection);
                Ok(Sender::H2(sender))
            }
        }
    }
}
