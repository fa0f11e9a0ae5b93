//! Framing that two parsers could read differently, through raw sockets: the upstream sees one clean request or none, and
//! never what was hidden behind it.

use crate::house::*;
use marque_model::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends, closes the writing side once an answer is there, and returns everything that came back.
async fn probe(house: &House, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(house.proxy).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match within(stream.read(&mut buffer)).await {
            Ok(n @ 1..) => answer.extend_from_slice(&buffer[..n]),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

#[tokio::test]
async fn ambiguous_requests_reach_no_upstream_and_end_the_connection() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let (o, h) = (target.origin(), target.authority());
    let get = format!("GET {o}/smuggled HTTP/1.1\r\nHost: {h}\r\n\r\n");
    let post = format!("POST {o}/check HTTP/1.1\r\nHost: {h}\r\n");
    let cases = [
        ("CL then TE, pipelined", format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{get}")),
        ("TE then CL", format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n{get}")),
        ("TE xchunked", format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{get}")),
        ("TE chunked, identity", format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{get}")),
        ("TE twice", format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{get}")),
        ("TE with a tab", format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n{get}")),
        ("space before colon", format!("{post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{get}")),
        ("two lengths", format!("{post}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde{get}")),
        ("same length twice", format!("{post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd{get}")),
        ("length list", format!("{post}Content-Length: 4, 4\r\n\r\nabcd{get}")),
        ("length +4", format!("{post}Content-Length: +4\r\n\r\nabcd{get}")),
        ("length 0x4", format!("{post}Content-Length: 0x4\r\n\r\nabcd{get}")),
        ("length in another spelling", format!("{post}Content_Length: 4\r\nConnection: close\r\n\r\nabcd{get}")),
        ("HTTP/1.0 and TE", format!("POST {o}/check HTTP/1.0\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{get}")),
        ("bare LF", format!("GET {o}/check HTTP/1.1\nHost: {h}\n\n")),
        ("bare LF after a field", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\nX: y\r\n\r\n")),
        ("two hosts", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nHost: b\r\n\r\n")),
        ("same host twice", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nHost: {h}\r\n\r\n")),
        ("no host", format!("GET {o}/check HTTP/1.1\r\n\r\n")),
        ("folded field", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nX-A: b\r\n c\r\n\r\n")),
        ("NUL", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nX: a\0b\r\n\r\n")),
        ("bare CR", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nX: a\rb\r\n\r\n")),
        ("two spaces", format!("GET  {o}/check HTTP/1.1\r\nHost: {h}\r\n\r\n")),
        ("version 2.0", format!("GET {o}/check HTTP/2.0\r\nHost: {h}\r\n\r\n")),
        ("preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned()),
        ("TRACE", format!("TRACE {o}/check HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\n\r\n")),
        ("other expectation", format!("{post}Expect: 200-ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")),
        ("h2c upgrade", format!("GET {o}/check HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")),
        ("chunk ext with bare LF", format!("{post}Transfer-Encoding: chunked\r\nContent-Type: application/grpc\r\n\r\n0;x\n\r\n\r\n{get}")),
        ("chunk size 0x4", format!("{post}Transfer-Encoding: chunked\r\n\r\n0x4\r\nabcd\r\n0\r\n\r\n{get}")),
        ("chunk longer than its size", format!("{post}Transfer-Encoding: chunked\r\n\r\n4\r\nabcdef\r\n0\r\n\r\n{get}")),
    ];
    for (name, case) in cases {
        let answer = probe(&house, case.as_bytes()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4") || answer.starts_with("HTTP/1.0 4") || answer.starts_with("HTTP/1.1 502"), "{name}: {answer}");
        assert!(!answer.contains("HTTP/1.1 200") && !answer.contains("HTTP/1.0 200"), "{name}: {answer}");
        let seen = upstream.seen();
        assert!(seen.iter().all(|s| !s.uri.contains("smuggled") && s.body.is_empty()), "{name}: {seen:?}");
    }
}

#[tokio::test]
async fn a_refused_head_is_answered_with_the_reason() {
    let house = House::start();
    let answer = probe(&house, b"GET http://api.test/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("MQ-4105") && answer.contains("several Hosts"), "{answer}");
}

#[tokio::test]
async fn pipelined_requests_stay_two_and_an_upgrade_that_is_not_taken_hides_none() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let (o, h) = (target.origin(), target.authority());
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let upgrade = format!("GET {o}/one HTTP/1.1\r\nHost: {h}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n");
    let second = format!("GET {o}/two HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\nAuthorization: Bearer own\r\n\r\n");
    let answer = probe(&house, format!("{upgrade}{second}").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    let seen = upstream.seen();
    assert_eq!(seen.iter().map(|s| s.uri.as_str()).collect::<Vec<_>>(), ["/one", "/two"]);
    assert_eq!(seen[1].header("authorization"), [format!("Bearer {SECRET}")], "the second request is a use of its own");
}

#[tokio::test]
async fn a_chunked_body_is_framed_anew() {
    let house = House::start();
    let tap = Tap::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let target = house.route(Scheme::Http, "api.test", tap.port);
    let (o, h) = (target.origin(), target.authority());
    let request = format!("POST {o}/ HTTP/1.1\r\nHost: {h}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4;ext=\"x\"\r\nabcd\r\n2\r\nef\r\n0\r\nX-Trailer: t\r\n\r\n");
    let answer = probe(&house, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let text = tap.text().to_lowercase();
    assert!(text.contains("content-length: 6\r\n") && text.ends_with("\r\n\r\nabcdef"), "{text}");
    assert!(!text.contains("ext") && !text.contains("x-trailer") && !text.contains("transfer-encoding"));
}

#[tokio::test]
async fn inside_a_tunnel_the_same_holds() {
    let house = House::start();
    let upstream = Upstream::ok(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let h = target.authority();
    for (name, case) in [
        ("CL and TE", format!("POST / HTTP/1.1\r\nHost: {h}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two hosts", format!("GET / HTTP/1.1\r\nHost: {h}\r\nHost: {h}\r\n\r\n")),
        ("bare LF", format!("GET / HTTP/1.1\nHost: {h}\n\n")),
        ("CONNECT", format!("CONNECT {h} HTTP/1.1\r\nHost: {h}\r\n\r\n")),
    ] {
        let mut tls = house.tunnel(&target, "api.test", &["http/1.1"]).await.unwrap();
        tls.write_all(case.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        within(tls.read_exact(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 4"), "{name}: {}", String::from_utf8_lossy(&answer));
    }
    assert!(upstream.seen().is_empty());
}
