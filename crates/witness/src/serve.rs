//! A witness over HTTP/1.1: `POST …/add-checkpoint` (C2SP tlog-witness), and `GET …/checkpoint/<SHA-256 of the origin>`, our own:
//! what it cosigned last, for whoever verifies a journal.

use crate::book::{Book, Reply};
use crate::limits::{CONNECTIONS_MAX, REQUEST_BYTES_MAX, REQUEST_WAIT};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use marque_journal::witness::Decision;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Content type of a size in a 409 (C2SP tlog-witness).
const SIZE_TYPE: &str = "text/x.tlog.size";

/// Serves until it is dropped. A connection carries one request.
pub async fn serve(book: Arc<Book>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, usually: those that are open end soon.
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let book = book.clone();
        tokio::spawn(async move {
            // Whoever is slower than that is no log.
            let _ = tokio::time::timeout(REQUEST_WAIT, connection(book, stream)).await;
            drop(place);
        });
    }
}

async fn connection(book: Arc<Book>, stream: TcpStream) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let book = book.clone();
        async move { Ok::<_, Infallible>(answer(book, request).await) }
    });
    // A client that breaks off has no one to be told.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WAIT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn plain(status: u16, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(if status == 409 { SIZE_TYPE } else { "text/plain; charset=utf-8" });
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn answer(book: Arc<Book>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    if request.method() == Method::GET
        && let Some((_, name)) = path.rsplit_once("/checkpoint/")
    {
        return match book.latest(name) {
            Some(note) => plain(200, note.to_string()),
            None => plain(404, "no checkpoint of that log was cosigned\n".into()),
        };
    }
    if request.method() != Method::POST || !path.ends_with("/add-checkpoint") {
        return plain(404, "this is a witness: POST …/add-checkpoint\n".into());
    }
    let Ok(body) = Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await else {
        return plain(400, "the request is cut or too long\n".into());
    };
    let body = body.to_bytes();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // A write and two syncs: not for the thread that accepts.
    let added = tokio::task::spawn_blocking(move || book.add(&body, now_s)).await;
    match added {
        Ok(Ok(Reply::Cosigned(line))) => plain(200, line.to_line()),
        Ok(Ok(Reply::Refused(decision))) => plain(decision.status(), reason(&decision)),
        // What is wrong with this machine is not for whoever can reach the port.
        Ok(Err(_)) | Err(_) => plain(500, "the witness could not write\n".into()),
    }
}

fn reason(decision: &Decision) -> String {
    match decision {
        Decision::Conflict { size } => format!("{size}\n"),
        Decision::UnknownLog => "the log is not known\n".into(),
        Decision::Forbidden => "no trusted key of the log signed the checkpoint\n".into(),
        Decision::Unprocessable => "the consistency proof does not verify\n".into(),
        _ => "the request is not one of tlog-witness\n".into(),
    }
}
