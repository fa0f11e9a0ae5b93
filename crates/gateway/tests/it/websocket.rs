//! WebSocket through the tunnel and through the plain proxy.

use crate::house::*;
use http::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use marque_gateway::{Ending, Kind};
use marque_model::Scheme;
use marque_wire::http::ws::accept_for;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn frame(text: &[u8], masked: bool) -> Vec<u8> {
    let mut out = vec![0x81, text.len() as u8 | if masked { 0x80 } else { 0 }];
    if masked {
        out.extend([1, 2, 3, 4]);
        out.extend(text.iter().zip([1u8, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m));
    } else {
        out.extend_from_slice(text);
    }
    out
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    within(stream.read_exact(&mut head)).await.ok()?;
    let mask = if head[1] & 0x80 != 0 {
        let mut mask = [0; 4];
        stream.read_exact(&mut mask).await.ok()?;
        Some(mask)
    } else {
        None
    };
    let mut text = vec![0; usize::from(head[1] & 0x7f)];
    within(stream.read_exact(&mut text)).await.ok()?;
    if let Some(mask) = mask {
        text.iter_mut().zip(mask.iter().cycle()).for_each(|(b, m)| *b ^= m);
    }
    Some((head[0], text))
}

/// An upstream that says each text back; `/plain` does not upgrade, `/wrong` answers with another key.
async fn echo(tls: Option<std::sync::Arc<rustls::ServerConfig>>) -> Upstream {
    Upstream::with_requests(tls, Default::default(), |mut request, _| async move {
        assert!(!request.headers().contains_key("sec-websocket-extensions"));
        assert_eq!(request.headers()["authorization"], format!("Bearer {SECRET}"));
        if request.uri().path() == "/plain" {
            return Response::new(full("no"));
        }
        let key = if request.uri().path() == "/wrong" { "another" } else { request.headers()["sec-websocket-key"].to_str().unwrap() };
        let accept = accept_for(key);
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgraded.await.unwrap());
            while let Some((_, text)) = read_frame(&mut stream).await {
                stream.write_all(&frame(&text, false)).await.unwrap();
                stream.flush().await.unwrap();
            }
        });
        Response::builder()
            .status(StatusCode::SWITCHING_PROTOCOLS)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-accept", accept)
            .body(empty())
            .unwrap()
    })
    .await
}

fn handshake(uri: &str, host: String) -> Request<TestBody> {
    Request::builder()
        .uri(uri)
        .header("host", host)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", KEY)
        .header("sec-websocket-extensions", "permessage-deflate")
        .body(empty())
        .unwrap()
}

async fn open(house: &House, upstream: &Upstream) -> TokioIo<hyper::upgrade::Upgraded> {
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let tls = house.tunnel(&target, "api.test", &["http/1.1"]).await.unwrap();
    let response = within(h1(tls).await.send_request(handshake("/ws", target.authority()))).await.unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    TokioIo::new(within(hyper::upgrade::on(response)).await.unwrap())
}

#[tokio::test]
async fn frames_go_both_ways_and_a_reflected_credential_is_masked() {
    let mut house = House::start();
    let upstream = echo(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let mut stream = open(&house, &upstream).await;
    for (text, expected) in [("hello", "hello".to_owned()), (SECRET, "*".repeat(SECRET.len())), ("bye", "bye".to_owned())] {
        stream.write_all(&frame(text.as_bytes(), true)).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(read_frame(&mut stream).await.unwrap(), (0x81, expected.into_bytes()));
    }
    drop(stream);
    let (admitted, outcome) = house.outcome().await;
    assert_eq!(admitted[0].kind, Kind::WebSocket);
    assert!(outcome.hits == 1 && outcome.request_bytes > 0 && outcome.answer_bytes > 0, "{outcome:?}");
}

#[tokio::test]
async fn an_open_websocket_is_cut_with_the_session() {
    let mut house = House::start();
    let upstream = echo(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let mut stream = open(&house, &upstream).await;
    stream.write_all(&frame(b"x", true)).await.unwrap();
    stream.flush().await.unwrap();
    assert!(read_frame(&mut stream).await.is_some());
    let since = Instant::now();
    house.gate.end.cancel();
    assert!(read_frame(&mut stream).await.is_none());
    assert!(since.elapsed() < Duration::from_millis(100), "{:?}", since.elapsed());
    assert_eq!(house.outcome().await.1.ending, Ending::Cut);
}

#[tokio::test]
async fn without_a_correct_101_nothing_is_upgraded() {
    let mut house = House::start();
    let upstream = echo(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let ask = |path: &str| handshake(&format!("{}{path}", target.origin()), target.authority());
    let plain = within(proxied(&house).await.send_request(ask("/plain"))).await.unwrap();
    assert_eq!(whole(plain).await.2, "no");
    assert_eq!(house.outcome().await.1.ending, Ending::Completed);
    let wrong = within(proxied(&house).await.send_request(ask("/wrong"))).await.unwrap();
    let (status, headers, _) = whole(wrong).await;
    assert_eq!((status, headers["x-marque"].as_bytes()), (StatusCode::BAD_GATEWAY, &b"MQ-4110"[..]));
    assert_eq!(house.outcome().await.1.ending, Ending::UpstreamFailed);
}

#[tokio::test]
async fn after_too_many_hits_the_socket_is_closed() {
    let mut house = House::start();
    let upstream = echo(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let mut stream = open(&house, &upstream).await;
    let mut closed = false;
    for _ in 0..4 {
        stream.write_all(&frame(SECRET.as_bytes(), true)).await.unwrap();
        stream.flush().await.unwrap();
        let (kind, text) = read_frame(&mut stream).await.unwrap();
        if kind == 0x88 {
            assert_eq!(text, 1008u16.to_be_bytes());
            closed = true;
            break;
        }
        assert_eq!(text, vec![b'*'; SECRET.len()]);
    }
    assert!(closed);
    assert_eq!(house.outcome().await.1.ending, Ending::Withheld);
}
