//! The local API: JSON over HTTP/1.1 on a unix socket that only this user can open.
//!
//! A peer's uid is not enough to widen anything: those acts carry the passphrase (I14). A process inside a session is
//! told of its own session alone; at grade D that is a courtesy, since a process can leave its ancestry (threats C5).

mod handover;
mod peer;
mod routes;

use crate::authority::{Authority, Options};
use crate::signer::SignerClient;
use crate::{Error, limits};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use marque_api::{Code, Problem};
use std::path::Path;
use std::sync::Arc;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{RwLock, Semaphore, watch};

pub use peer::Peer;

/// What starts when the seal opens: the gateway. Called once.
pub type OnOpen = Box<dyn Fn(&Arc<Authority>) -> Result<(), Error> + Send + Sync>;

/// The local API and what it serves.
pub struct Control {
    options: Options,
    signer: Arc<SignerClient>,
    authority: RwLock<Option<Arc<Authority>>>,
    on_open: OnOpen,
    stop: watch::Sender<bool>,
}

pub(crate) type Answer = Result<Response<routes::Body>, Error>;

impl Control {
    /// An API that is sealed until the passphrase comes.
    #[must_use]
    pub fn new(options: Options, signer: Arc<SignerClient>, on_open: OnOpen) -> Arc<Self> {
        Arc::new(Self { options, signer, authority: RwLock::new(None), on_open, stop: watch::Sender::new(false) })
    }

    /// The authority, once the seal is open.
    ///
    /// # Errors
    /// Where it is sealed.
    pub(crate) async fn open_authority(&self) -> Result<Arc<Authority>, Error> {
        let authority = self.authority.read().await.clone();
        authority.ok_or_else(|| Error::Refused(Problem::plain(Code::SEALED, "run `marque run` or `marque unseal`")))
    }

    /// Starts the authority with the signer's keys: after `init`, `unseal`, or when the signer was open already because
    /// only this process was restarted.
    ///
    /// # Errors
    /// As [`Authority::start`].
    pub async fn start_authority(&self, keys: crate::signer::Keys) -> Result<Arc<Authority>, Error> {
        let mut slot = self.authority.write().await;
        if let Some(authority) = slot.as_ref() {
            return Ok(authority.clone());
        }
        let (options, signer) = (self.options.clone(), self.signer.clone());
        let runtime = tokio::runtime::Handle::current();
        let started = tokio::task::spawn_blocking(move || {
            let _guard = runtime.enter();
            Authority::start(options, signer, keys)
        });
        let authority = started.await.map_err(|e| Error::Journal(e.to_string()))??;
        authority.ask_witnesses().await?;
        authority.reconcile().await?;
        authority.remember()?;
        authority.follow_with_witnesses();
        (self.on_open)(&authority)?;
        *slot = Some(authority.clone());
        Ok(authority)
    }

    /// Asks everything to end.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Serves until [`Control::stop`]. The socket is made with mode 0600 and removed at the end.
///
/// # Errors
/// Where the socket cannot be made.
pub async fn serve(control: Arc<Control>, socket: &Path, ready: impl FnOnce()) -> Result<(), Error> {
    let failed = |source| Error::Io { path: socket.display().to_string(), source };
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(failed)?;
    std::fs::set_permissions(socket, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
    if let Some(keys) = control.signer.status()?.keys {
        control.start_authority(keys).await?;
    }
    ready();
    let own = rustix::process::getuid().as_raw();
    let slots = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
    // Processes of sessions have few places of their own, so that they cannot keep the owner from ending one.
    let inner = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_INSIDE_MAX));
    let mut stop = control.stop.subscribe();
    let mut tick = tokio::time::interval(std::time::Duration::from_secs(1));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let Some(peer) = Peer::of(&stream) else { continue };
                // The socket's mode says so too; somebody may have changed that.
                if peer.uid != own && peer.uid != 0 {
                    continue;
                }
                let places = if peer.session().is_some() { &inner } else { &slots };
                // Over the limit a connection is closed at once: a queue would only hide it.
                let Ok(slot) = places.clone().try_acquire_owned() else { continue };
                let control = control.clone();
                tokio::spawn(async move {
                    connection(control, peer, stream).await;
                    drop(slot);
                });
            }
            _ = tick.tick() => {
                if let Some(authority) = control.authority.read().await.as_ref() {
                    // A mark that cannot be written is a weaker promise, not a reason to stop.
                    let _ = authority.remember();
                }
            }
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if let Some(authority) = control.authority.write().await.take() {
        authority.shut_down().await;
    }
    std::fs::remove_file(socket).map_err(failed)
}

async fn connection(control: Arc<Control>, peer: Peer, stream: UnixStream) {
    match tokio::time::timeout(limits::CONTROL_HEAD_WAIT, handover::is_one(&stream)).await {
        Ok(Ok(true)) => return handover::serve(&control, peer, stream).await,
        Ok(Ok(false)) => {}
        // A client that says nothing, or is gone.
        _ => return,
    }
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let control = control.clone();
        async move { Ok::<_, std::convert::Infallible>(answer(control, peer, request).await) }
    });
    // A client that breaks off has no one to be told.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::CONTROL_HEAD_WAIT)
        .serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(control: Arc<Control>, peer: Peer, request: Request<Incoming>) -> Response<routes::Body> {
    match routes::route(&control, peer, request).await {
        Ok(response) => response,
        Err(error) => {
            let problem = error.to_problem();
            let mut response = Response::new(routes::full(problem.to_json()));
            *response.status_mut() = hyper::StatusCode::from_u16(problem.status()).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
            let kind = hyper::header::HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
            response
        }
    }
}

/// Reads a JSON body up to the limit.
pub(crate) async fn read<T: serde::de::DeserializeOwned>(body: Incoming) -> Result<T, Error> {
    let unreadable = |why: String| Error::Refused(Problem::new(Code::INPUT, why, "see the API's shapes"));
    let limited = Limited::new(body, limits::CONTROL_BYTES_MAX);
    let bytes: Bytes = limited.collect().await.map_err(|e| unreadable(e.to_string()))?.to_bytes();
    serde_json::from_slice(&bytes).map_err(|_| unreadable("the body is not what this call takes".into()))
}

pub(crate) fn json(value: &impl serde::Serialize) -> Answer {
    let text = serde_json::to_string(value).map_err(|e| Error::Journal(e.to_string()))?;
    let mut response = Response::new(routes::full(text));
    let kind = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(response)
}

