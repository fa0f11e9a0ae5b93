//! # marque-client
//!
//! *Purpose*: speak the authority's local API: JSON over HTTP/1.1 on a unix socket.
//!
//! *Not its job*: deciding, printing, holding credentials.
//!
//! *Invariants*: an answer is read up to a limit; a refusal comes back as the [`Problem`] that the authority sent; nothing is
//! said to a listener of another user.
//!
//! *Entry points*: [`Client::new`], [`Client::call`], [`Client::stream`], [`Client::hand_over`].
//!
//! *How to test*: through the `marque` binary, in `crates/cli/tests`.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use marque_api::control::{HANDOVER, HANDOVER_FDS_MAX, Handover};
use marque_api::{Code, Problem};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, Interest};
use tokio::net::UnixStream;

/// Longest answer that is read, in bytes: a page of a listing is far below it.
pub const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Why a call gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody listens.
    #[error("no authority listens at `{path}`: {source}")]
    Unreachable {
        /// Where it was looked for.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody else listens.
    #[error("what listens at `{path}` is another user's (uid {uid})")]
    Stranger {
        /// Where it listens.
        path: String,
        /// Who he is, as the kernel says.
        uid: u32,
    },
    /// The connection broke.
    #[error("the connection to the authority broke: {0}")]
    Broken(String),
    /// The authority refused.
    #[error("{0}")]
    Refused(Problem),
}

impl Error {
    /// The code of the refusal, or what stands for the failure.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) => Code::UNREACHABLE,
            Self::Stranger { .. } => Code::EXPOSED,
            Self::Refused(problem) => problem.code,
        }
    }
}

/// A client. Each call is its own connection: the API is for people and launchers, not for traffic.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    uid: u32,
}

impl Client {
    /// A client of the authority that listens at `socket` as the user `uid`, or as root.
    #[must_use]
    pub fn new(socket: &Path, uid: u32) -> Self {
        Self { socket: socket.to_owned(), uid }
    }

    /// One call. `body` is sent as JSON where there is one.
    ///
    /// # Errors
    /// [`Error`]; a refusal is [`Error::Refused`].
    pub async fn call<A: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<A, Error> {
        let response = self.send(method, path, body).await?;
        let bytes = collect(response).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Broken(format!("its answer cannot be read: {e}")))
    }

    /// A call whose answer is a stream of JSON lines.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn stream(&self, path: &str) -> Result<Lines, Error> {
        let response = self.send(Method::POST, path, None::<&()>).await?;
        Ok(Lines { body: response.into_body(), buffer: Vec::new() })
    }

    /// Gives the gateway the sockets of a session's sandbox.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn hand_over(&self, what: &Handover, sockets: &[BorrowedFd<'_>]) -> Result<(), Error> {
        let mut stream = self.connect().await?;
        let broken = |e: std::io::Error| Error::Broken(e.to_string());
        let mut message = vec![HANDOVER];
        message.extend(serde_json::to_vec(what).map_err(|e| Error::Broken(e.to_string()))?);
        message.push(b'\n');
        let sent = stream.async_io(Interest::WRITABLE, || send_with(&stream, &message, sockets)).await.map_err(broken)?;
        if sent != message.len() {
            return Err(Error::Broken("the message was cut short".into()));
        }
        let mut answer = String::new();
        (&mut stream).take(ANSWER_BYTES_MAX as u64).read_to_string(&mut answer).await.map_err(broken)?;
        match Problem::from_json(&answer) {
            None if answer.is_empty() => Ok(()),
            Some(problem) => Err(Error::Refused(problem)),
            None => Err(Error::Broken("its answer cannot be read".into())),
        }
    }

    async fn connect(&self) -> Result<UnixStream, Error> {
        let unreachable = |source| Error::Unreachable { path: self.socket.display().to_string(), source };
        let stream = UnixStream::connect(&self.socket).await.map_err(unreachable)?;
        // Before the first byte: a passphrase may be in it. Root could read it anyway.
        let peer = stream.peer_cred().map_err(unreachable)?.uid();
        if peer != self.uid && peer != 0 {
            return Err(Error::Stranger { path: self.socket.display().to_string(), uid: peer });
        }
        Ok(stream)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<Response<Incoming>, Error> {
        let stream = self.connect().await?;
        let broken = |e: hyper::Error| Error::Broken(e.to_string());
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|e| Error::Broken(e.to_string()))?,
            None => Vec::new(),
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "marque")
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|e| Error::Broken(e.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = collect(response).await?;
        match std::str::from_utf8(&bytes).ok().and_then(Problem::from_json) {
            Some(problem) => Err(Error::Refused(problem)),
            None => Err(Error::Broken(format!("it answered `{status}`"))),
        }
    }
}

fn send_with(stream: &UnixStream, message: &[u8], sockets: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDOVER_FDS_MAX))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(sockets)) {
        return Err(std::io::Error::other("too many descriptors"));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    Ok(sendmsg(stream, &[IoSlice::new(message)], &mut beside, flags)?)
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let whole = body.collect().await.map_err(|e| Error::Broken(e.to_string()))?;
    Ok(whole.to_bytes())
}

/// JSON lines as they come.
pub struct Lines {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line, or `None` when the authority closed the stream.
    ///
    /// # Errors
    /// Where the connection broke or a line is longer than [`ANSWER_BYTES_MAX`].
    pub async fn next<A: DeserializeOwned>(&mut self) -> Result<Option<A>, Error> {
        loop {
            if let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = std::mem::replace(&mut self.buffer, rest);
                let value = serde_json::from_slice(&line).map_err(|e| Error::Broken(e.to_string()))?;
                return Ok(Some(value));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame.map_err(|e| Error::Broken(e.to_string()))?;
                    self.buffer.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                    if self.buffer.len() > ANSWER_BYTES_MAX {
                        return Err(Error::Broken("a line is too long".into()));
                    }
                }
            }
        }
    }
}
