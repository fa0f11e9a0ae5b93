//! CONNECT with interception: HTTP/1 and HTTP/2 inside, and pass-through.

use crate::house::*;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use marque_gateway::{Ending, Kind};
use marque_model::Scheme;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn http_1_in_a_tunnel_is_judged_request_by_request() {
    let mut house = House::start();
    let upstream = Upstream::ok(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let tls = house.tunnel(&target, "api.test", &["http/1.1"]).await.unwrap();
    let mut client = h1(tls).await;
    for n in 0..3 {
        let request = Request::builder().uri(format!("/{n}")).header("host", target.authority()).header("authorization", "Bearer own");
        let response = within(client.send_request(request.body(empty()).unwrap())).await.unwrap();
        assert_eq!(whole(response).await.2, "ok");
        assert_eq!(house.outcome().await.1.ending, Ending::Completed);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "the connection that was dialled first serves");
    assert!(upstream.seen().iter().all(|s| s.header("authorization") == [format!("Bearer {SECRET}")]));
}

#[tokio::test]
async fn http_2_goes_end_to_end_with_trailers() {
    let mut house = House::start();
    let upstream = Upstream::start(Some(house.upstream_ca.server("api.test", &["h2", "http/1.1"])), |_| async {
        let (mut to, body) = Channel::<Bytes, hyper::Error>::new(2);
        tokio::spawn(async move {
            to.send_data(Bytes::from("data")).await.unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            trailers.insert("x-echo", HeaderValue::from_static(SECRET));
            to.send(Frame::trailers(trailers)).await.unwrap();
        });
        Response::new(body.boxed())
    })
    .await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let tls = house.tunnel(&target, "api.test", &["h2", "http/1.1"]).await.unwrap();
    let mut client = h2(tls).await;
    for _ in 0..3 {
        let uri = format!("https://{}/pkg.Svc/Method", target.authority());
        let request = Request::builder().method("POST").uri(uri).header("te", "trailers").header("content-type", "application/grpc");
        let response = within(client.send_request(request.body(full("in")).unwrap())).await.unwrap();
        let body = within(response.into_body().collect()).await.unwrap();
        let trailers = body.trailers().unwrap().clone();
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers["x-echo"], "*".repeat(SECRET.len()), "trailers are searched too");
        assert_eq!(body.to_bytes(), "data");
        assert_eq!(house.outcome().await.1.hits, 1);
        *house.gate.ledger.lock().unwrap() = Default::default();
    }
    let seen = upstream.seen();
    assert!(seen.iter().all(|s| s.version == http::Version::HTTP_2 && s.header("te") == ["trailers"]));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_speaks_http_1_alone_gets_an_upstream_that_does_too() {
    let house = House::start();
    let upstream = Upstream::ok(Some(house.upstream_ca.server("api.test", &["h2", "http/1.1"]))).await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    for _ in 0..2 {
        let tls = house.tunnel(&target, "api.test", &[]).await.unwrap();
        let request = Request::builder().uri("/").header("host", target.authority()).body(empty()).unwrap();
        let response = within(h1(tls).await.send_request(request)).await.unwrap();
        assert_eq!(whole(response).await.0, StatusCode::OK);
    }
    assert!(upstream.seen().iter().all(|s| s.version == http::Version::HTTP_11));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2, "the second tunnel asks for HTTP/1 at once");
}

#[tokio::test]
async fn an_upstream_that_speaks_http_1_alone_makes_the_client_speak_it() {
    let house = House::start();
    let upstream = Upstream::ok(Some(house.upstream_ca.server("api.test", &["http/1.1"]))).await;
    let target = house.route(Scheme::Https, "api.test", upstream.port);
    let tls = house.tunnel(&target, "api.test", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn a_tunnel_is_refused_before_it_stands() {
    let house = House::start();
    let refused = house.connect(&marque_model::Target::new(Scheme::Https, "other.test", 443).unwrap()).await.unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("application/problem+json") && refused.contains("MQ-2002"), "{refused}");
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = house.route(Scheme::Https, "dead.test", dead.local_addr().unwrap().port());
    drop(dead);
    let refused = house.connect(&target).await.unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 502") && refused.contains("MQ-4110"), "{refused}");
    let outside = house.route(Scheme::Https, "host.elsewhere", 443);
    let refused = house.connect(&outside).await.unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("MQ-4101"), "{refused}");
}

#[tokio::test]
async fn a_host_that_passes_through_keeps_its_own_certificate_and_is_recorded() {
    let mut house = House::start();
    let upstream = Upstream::ok(Some(house.upstream_ca.server("pass.test", &["http/1.1"]))).await;
    let target = house.route(Scheme::Https, "pass.test", upstream.port);
    house.gate.kind.lock().unwrap().insert(target.clone(), "pass");
    let stream = house.connect(&target).await.unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(house.upstream_ca.roots())
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("pass.test").unwrap();
    let mut tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await.unwrap();
    tls.write_all(b"GET / HTTP/1.1\r\nHost: pass.test\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let _ = within(tls.read_to_string(&mut answer)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(tls);
    assert!(upstream.seen()[0].header("authorization").is_empty());
    let (admitted, outcome) = house.outcome().await;
    assert_eq!(admitted[0].kind, Kind::Tunnel);
    assert!(outcome.request_bytes > 0 && outcome.answer_bytes > 0 && outcome.opaque && !outcome.credential_sent);
}
