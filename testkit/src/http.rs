//! A small blocking HTTP client for tests: one connection per request, straight or through a proxy, HTTP/1.1.
//!
//! It is strict about nothing and hides nothing: status, header fields, trailers and body as they came.

use std::{sync::Arc, thread};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Uri,
    client::conn::http1,
    header::{HOST, HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    credential::query_pairs,
    error::{Doing, Result, unexpected},
};

/// How to get to a server.
#[derive(Clone, Default)]
pub struct Route {
    /// TLS roots for `https` URLs; without one they fail.
    pub tls: Option<Arc<ClientConfig>>,
    /// A forward proxy, as `http://127.0.0.1:PORT`; `https` goes by CONNECT, `http` in absolute form.
    pub proxy: Option<String>,
    /// The value of `Proxy-Authorization`.
    pub proxy_authorization: Option<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body, not decoded.
    pub body: Bytes,
    /// Trailer fields.
    pub trailers: HeaderMap,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text, lossy UTF-8.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// Sends one request and reads its answer. Works inside and outside an async runtime; it blocks either way.
///
/// # Errors
/// When the server, the proxy or the TLS handshake fails.
pub fn send(
    route: &Route,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let work = || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .doing("start a runtime")?;
        runtime.block_on(exchange(route, method, url, headers, body))
    };
    // A thread of its own, since a runtime cannot be blocked on from inside another one.
    thread::scope(|scope| scope.spawn(work).join())
        .map_err(|_| unexpected("the client's thread panicked"))?
}

/// [`send`] with GET and no body.
///
/// # Errors
/// As [`send`].
pub fn get(route: &Route, url: &str, headers: &[(&str, &str)]) -> Result<Answer> {
    send(route, "GET", url, headers, b"")
}

async fn exchange(
    route: &Route,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer> {
    let uri: Uri = url
        .parse()
        .map_err(|_| unexpected(format!("`{url}` is no URL")))?;
    let (host, tls) = (
        uri.host().unwrap_or_default().to_owned(),
        uri.scheme_str() == Some("https"),
    );
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let mut stream = connect(route, &host, port).await?;
    let absolute = route.proxy.is_some() && !tls;
    let target = if absolute {
        uri.to_string()
    } else {
        uri.path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned()
    };
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Full::new(Bytes::copy_from_slice(body)));
    let request = request
        .as_mut()
        .map_err(|error| unexpected(format!("the request is not valid: {error}")))?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    put(
        request.headers_mut(),
        HOST.as_str(),
        authority.rsplit('@').next().unwrap_or_default(),
    )?;
    for (name, value) in headers {
        put(request.headers_mut(), name, value)?;
    }
    if let Some(value) = route.proxy_authorization.as_ref().filter(|_| absolute) {
        put(request.headers_mut(), "proxy-authorization", value)?;
    }
    let request = std::mem::take(request);
    if !tls {
        return talk(stream, request).await;
    }
    if route.proxy.is_some() {
        tunnel(&mut stream, route, &host, port).await?;
    }
    let config = route
        .tls
        .clone()
        .ok_or_else(|| unexpected("an https URL needs TLS roots"))?;
    let name = ServerName::try_from(host).map_err(|error| unexpected(error.to_string()))?;
    talk(
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .doing("shake hands over TLS")?,
        request,
    )
    .await
}

async fn connect(route: &Route, host: &str, port: u16) -> Result<TcpStream> {
    let address = match &route.proxy {
        Some(proxy) => proxy
            .trim_start_matches("http://")
            .trim_end_matches('/')
            .to_owned(),
        None => format!("{host}:{port}"),
    };
    TcpStream::connect(&address)
        .await
        .doing(format!("connect to `{address}`"))
}

async fn tunnel(stream: &mut TcpStream, route: &Route, host: &str, port: u16) -> Result<()> {
    let authorization = route.proxy_authorization.as_ref();
    let authorization = authorization
        .map(|value| format!("Proxy-Authorization: {value}\r\n"))
        .unwrap_or_default();
    let head =
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n");
    stream
        .write_all(head.as_bytes())
        .await
        .doing("ask the proxy")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.doing("read the proxy's answer")?);
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.split(' ').nth(1) == Some("200") {
        return Ok(());
    }
    let mut rest = Vec::new();
    // Whatever explanation follows is worth having, and there may be none.
    let _ = stream.read_to_end(&mut rest).await;
    Err(unexpected(format!(
        "the proxy refused: {answer}{}",
        String::from_utf8_lossy(&rest)
    )))
}

async fn talk<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| unexpected(format!("the exchange failed: {error}"));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    tokio::spawn(connection);
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(failed)?
        .into_parts();
    let all = body.collect().await.map_err(failed)?;
    let trailers = all.trailers().cloned().unwrap_or_default();
    Ok(Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: all.to_bytes(),
        trailers,
    })
}

fn put(headers: &mut HeaderMap, name: &str, value: &str) -> Result<()> {
    let wrong = || unexpected(format!("header `{name}` is not valid"));
    let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| wrong())?;
    headers.append(HeaderName::try_from(name).map_err(|_| wrong())?, value);
    Ok(())
}

/// The parameters of a `WWW-Authenticate: Bearer …` challenge (RFC 6750 section 3).
#[must_use]
pub fn bearer_challenge(value: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut rest = value.strip_prefix("Bearer ").unwrap_or_default();
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some((value, after)) = after.split_once('"') else {
            break;
        };
        all.push((name.trim_matches([',', ' ']).to_owned(), value.to_owned()));
        rest = after;
    }
    all
}

/// The first value of a query parameter in a URL.
#[must_use]
pub fn query_of(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    query_pairs(query)
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}
