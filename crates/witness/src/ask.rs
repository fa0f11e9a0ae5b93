//! A log's side: asking a witness over plain HTTP. Signatures on both sides say who speaks; an attacker on the way can only
//! keep them from hearing each other, and that is reported.

use crate::book::name_of;
use crate::limits::{ANSWER_BYTES_MAX, ASK_WAIT};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use marque_journal::note::Note;
use marque_journal::witness::{AddCheckpoint, Answer};
use std::fmt;
use thiserror::Error;
use tokio::net::TcpStream;

/// Why a witness gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AskError {
    /// Nobody listens, or the connection broke.
    #[error("it does not answer: {0}")]
    Unreachable(String),
    /// Too slow.
    #[error("it does not answer within {} s", ASK_WAIT.as_secs())]
    Slow,
    /// What came is no answer of a witness.
    #[error("its answer is not one of a witness")]
    Malformed,
}

/// Where a witness is: `http://host:port/prefix`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    prefix: String,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

impl Endpoint {
    /// The address that a URL names; `None` for what is not `http://host[:port][/prefix]`.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() || uri.authority()?.as_str().contains('@') {
            return None;
        }
        let host = uri.host()?.to_owned();
        Some(Self { host, port: uri.port_u16().unwrap_or(80), prefix: uri.path().trim_end_matches('/').to_owned() })
    }

    /// Asks for a cosignature.
    ///
    /// # Errors
    /// [`AskError`]; a refusal is an answer.
    pub async fn add_checkpoint(&self, request: &AddCheckpoint) -> Result<Answer, AskError> {
        let (status, body) = self.call(Method::POST, "/add-checkpoint", request.to_body()).await?;
        Answer::parse(status, &body).ok_or(AskError::Malformed)
    }

    /// The latest checkpoint of a log that it cosigned; nothing in it is verified.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn latest(&self, origin: &str) -> Result<Option<Note>, AskError> {
        match self.call(Method::GET, &format!("/checkpoint/{}", name_of(origin)), String::new()).await? {
            (200, body) => Note::parse(&body).map(Some).map_err(|_| AskError::Malformed),
            (404, _) => Ok(None),
            _ => Err(AskError::Malformed),
        }
    }

    async fn call(&self, method: Method, path: &str, body: String) -> Result<(u16, Bytes), AskError> {
        tokio::time::timeout(ASK_WAIT, self.exchange(method, path, body)).await.unwrap_or(Err(AskError::Slow))
    }

    async fn exchange(&self, method: Method, path: &str, body: String) -> Result<(u16, Bytes), AskError> {
        let broken = |e: hyper::Error| AskError::Unreachable(e.to_string());
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port)).await.map_err(|e| AskError::Unreachable(e.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header("host", format!("{}:{}", self.host, self.port))
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| AskError::Unreachable(e.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|_| AskError::Malformed)?;
            Ok((status, body.to_bytes()))
        };
        let answer = answer.await;
        driver.abort();
        answer
    }
}
