//! Plain HTTP through the proxy: absolute form, fixed listeners, bodies, connections.

use crate::house::*;
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use marque_gateway::{DialPlan, Ending, ListenError, ListenerId, Mode, Options, Problem, Socket, limits};
use marque_model::{Content, Scheme};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_request_goes_on_with_the_credential_in_its_slot_and_nothing_that_was_for_one_hop() {
    let mut house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let request = absolute(&target, "/a/b?c=d")
        .header("authorization", "Bearer the-agents-own")
        .header("proxy-authorization", "Basic c2VjcmV0")
        .header("x-forwarded-for", "1.2.3.4")
        .header("x-http-method-override", "DELETE")
        .header("connection", "x-mine")
        .header("x-mine", "1")
        .header("range", "bytes=0-1")
        .header("x-kept", "2");
    let response = proxied(&house).await.send_request(request.body(empty()).unwrap()).await.unwrap();
    let (status, _, body) = whole(response).await;
    assert_eq!((status, body), (StatusCode::OK, Bytes::from("ok")));

    let seen = &upstream.seen()[0];
    assert_eq!((seen.method.as_str(), seen.uri.as_str()), ("GET", "/a/b?c=d"));
    assert_eq!(seen.header("authorization"), [format!("Bearer {SECRET}")]);
    assert_eq!(seen.header("host"), [target.authority()]);
    assert_eq!(seen.header("accept-encoding"), ["identity"]);
    assert_eq!(seen.header("x-kept"), ["2"]);
    for gone in ["proxy-authorization", "x-forwarded-for", "x-http-method-override", "x-mine", "range"] {
        assert!(seen.header(gone).is_empty(), "{gone}");
    }
    let (admitted, outcome) = house.outcome().await;
    assert_eq!((admitted[0].method.as_str(), admitted[0].path.as_deref()), ("GET", Some("/a/b")));
    assert_eq!((outcome.ending, outcome.status, outcome.credential_sent), (Ending::Completed, Some(200), true));
    assert_eq!(outcome.answer_bytes, 2);
}

#[tokio::test]
async fn what_was_held_is_hashed_and_sent_and_a_longer_body_streams() {
    let mut house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    for size in [limits::HOLD_BYTES_MAX, limits::HOLD_BYTES_MAX + 1] {
        let body = vec![b'x'; size];
        let response = client.send_request(absolute(&target, "/").method("POST").body(full(body)).unwrap()).await.unwrap();
        assert_eq!(whole(response).await.0, StatusCode::OK);
        let (admitted, outcome) = house.outcome().await;
        assert_eq!(outcome.request_bytes, size as u64);
        let held = size <= limits::HOLD_BYTES_MAX;
        assert_eq!(matches!(admitted[0].content, Content::Exact(_)), held, "{size}");
        assert_eq!(admitted[0].body.len(), if held { size } else { 0 });
        assert_eq!(outcome.request_sha256.is_some(), !held);
    }
    assert!(upstream.seen().iter().all(|s| s.body.len() > limits::HOLD_BYTES_MAX - 1));
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let house = House::start();
    // An upstream that answers with what it reads, as it reads it.
    let upstream = Upstream::with_requests(None, Default::default(), |request, _| async move {
        Response::new(request.into_body().boxed())
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let (mut to, body) = Channel::<Bytes, hyper::Error>::new(1);
    let request = absolute(&target, "/").method("POST").header("content-type", "application/grpc").body(body.boxed()).unwrap();
    let mut client = proxied(&house).await;
    let mut answer = within(client.send_request(request)).await.unwrap().into_body();
    for n in 0..5 {
        to.send_data(Bytes::from(format!("part {n}"))).await.unwrap();
        let frame = within(answer.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("part {n}"));
    }
    drop(to);
    assert!(within(answer.frame()).await.is_none());
}

#[tokio::test]
async fn a_refusal_is_understood_by_each_kind_of_client_and_nothing_is_dialled() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut problem = Problem::new(403, "MQ-2104", "this session may read and not write", "ask for a wider grant");
    problem.retry_after_s = Some(7);
    *house.gate.deny.lock().unwrap() = Some(problem);
    let mut client = proxied(&house).await;

    let (status, headers, body) = whole(client.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap()).await;
    assert_eq!((status, headers["content-type"].as_bytes()), (StatusCode::FORBIDDEN, &b"application/problem+json"[..]));
    assert_eq!((headers["x-marque"].as_bytes(), headers["retry-after"].as_bytes()), (&b"MQ-2104"[..], &b"7"[..]));
    let doc: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((doc["code"].as_str(), doc["source"].as_str()), (Some("MQ-2104"), Some("marque")));

    let grpc = absolute(&target, "/pkg.Svc/M").method("POST").header("content-type", "application/grpc").body(empty()).unwrap();
    let (status, headers, body) = whole(client.send_request(grpc).await.unwrap()).await;
    assert_eq!((status, headers["grpc-status"].as_bytes(), body.len()), (StatusCode::OK, &b"7"[..], 0));

    let git = absolute(&target, "/a/b.git/info/refs?service=git-upload-pack").header("user-agent", "git/2.47").body(empty()).unwrap();
    let (status, headers, body) = whole(client.send_request(git).await.unwrap()).await;
    assert_eq!((status, headers["content-type"].as_bytes()), (StatusCode::FORBIDDEN, &b"text/plain; charset=utf-8"[..]));
    assert!(String::from_utf8_lossy(&body).starts_with("marque MQ-2104: this session may read and not write"));
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn without_the_proxy_secret_nobody_is_served_and_with_it_it_stays_here() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    *house.gate.proxy_secret.lock().unwrap() = Some("Basic bWFycXVlOng=".into());
    let get = format!("GET {}/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", target.origin(), target.authority());
    let answer = raw(house.proxy, format!("{get}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 407"), "{answer}");
    assert!(answer.to_lowercase().contains("proxy-authenticate: basic realm=\"marque\""));
    let answer = raw(house.proxy, format!("{get}Proxy-Authorization: Basic bWFycXVlOng=\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let connect = raw(house.proxy, b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 407"), "{connect}");
    assert_eq!(upstream.seen().len(), 1);
    assert!(upstream.seen()[0].header("proxy-authorization").is_empty());
}

#[tokio::test]
async fn answers_without_a_body_are_passed_on_as_such() {
    let mut house = House::start();
    let upstream = Upstream::start(None, |seen| async move {
        let status = seen.uri.trim_start_matches('/').parse::<u16>().unwrap();
        let builder = Response::builder().status(status);
        if seen.method == "HEAD" { builder.header("content-length", "1234").body(empty()) } else { builder.body(empty()) }.unwrap()
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    for (method, status) in [("HEAD", 200u16), ("GET", 204), ("GET", 304), ("GET", 200), ("DELETE", 404)] {
        let request = absolute(&target, &format!("/{status}")).method(method).body(empty()).unwrap();
        let (got, headers, body) = whole(within(client.send_request(request)).await.unwrap()).await;
        assert_eq!((got.as_u16(), body.len()), (status, 0), "{method}");
        if method == "HEAD" {
            assert_eq!(headers["content-length"], "1234");
        }
        assert_eq!(house.outcome().await.1.ending, Ending::Completed);
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1, "the connection is used again");
}

#[tokio::test]
async fn a_client_that_expects_100_gets_it_and_the_upstream_is_not_asked() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut stream = TcpStream::connect(house.proxy).await.unwrap();
    let head = format!(
        "POST {}/ HTTP/1.1\r\nHost: {}\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        target.origin(),
        target.authority()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 100"));
    stream.write_all(b"hello").await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(upstream.seen()[0].body, "hello");
    assert!(upstream.seen()[0].header("expect").is_empty());
}

#[tokio::test]
async fn an_http_1_0_client_is_served_and_its_connection_closed() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let answer = raw(house.proxy, format!("GET {}/ HTTP/1.0\r\nHost: {}\r\n\r\n", target.origin(), target.authority()).as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.0 200") && answer.ends_with("ok"), "{answer}");
}

#[tokio::test]
async fn a_new_version_of_the_credential_gets_a_new_connection() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    for (version, connection) in [(1, 0), (1, 0), (2, 1), (2, 1)] {
        house.gate.version.store(version, Ordering::SeqCst);
        let response = client.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
        whole(response).await;
        assert_eq!(upstream.seen().last().unwrap().connection, connection);
    }
}

#[tokio::test]
async fn two_leaves_never_share_a_connection() {
    let (one, two) = (House::start(), House::start());
    let upstream = Upstream::ok(None).await;
    for house in [&one, &two, &one, &two] {
        let target = house.route(Scheme::Http, "api.test", upstream.port);
        let response = proxied(house).await.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
        whole(response).await;
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_upstream_closed_is_replaced_unseen() {
    let house = House::start();
    // Says keep-alive and closes: every second request meets a dead connection.
    let tap = Tap::start(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let target = house.route(Scheme::Http, "api.test", tap.port);
    let upstream = Upstream::start(None, |_| async { Response::builder().header("connection", "close").body(full("ok")).unwrap() }).await;
    let closing = house.route(Scheme::Http, "closing.test", upstream.port);
    let mut client = proxied(&house).await;
    for _ in 0..4 {
        let response = within(client.send_request(absolute(&closing, "/").body(empty()).unwrap())).await.unwrap();
        assert_eq!(whole(response).await.0, StatusCode::OK);
    }
    let response = within(client.send_request(absolute(&target, "/").body(empty()).unwrap())).await.unwrap();
    assert_eq!(whole(response).await.2, "ok");
}

#[tokio::test]
async fn a_fixed_listener_serves_its_one_target_under_its_own_names_alone() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = socket.local_addr().unwrap();
    house.handle.listen(ListenerId(2), Socket::Tcp(socket), Mode::Fixed(target.clone())).unwrap();
    let ask = |host: String| async move { raw(at, format!("GET /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await };
    for host in [at.to_string(), format!("localhost:{}", at.port()), target.authority()] {
        assert!(ask(host.clone()).await.starts_with("HTTP/1.1 200"), "{host}");
    }
    for host in ["evil.test".to_owned(), format!("evil.test:{}", at.port()), "localhost".to_owned()] {
        assert!(ask(host.clone()).await.starts_with("HTTP/1.1 421"), "{host}");
    }
    assert!(upstream.seen().iter().all(|s| s.header("host") == [target.authority()]));
    let connect = raw(at, b"CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n").await;
    assert!(connect.starts_with("HTTP/1.1 405"), "{connect}");
}

#[tokio::test]
async fn names_at_private_addresses_are_not_dialled() {
    let mut house = House::start();
    let upstream = Upstream::ok(None).await;
    let public = IpAddr::from([93, 184, 216, 34]);
    let cases: [(&str, Vec<IpAddr>); 5] = [
        ("loop.test", vec![IpAddr::from([127, 0, 0, 1])]),
        ("mixed.test", vec![public, IpAddr::from([127, 0, 0, 1])]),
        ("meta.test", vec![IpAddr::from([169, 254, 169, 254])]),
        ("mapped.test", vec!["::ffff:127.0.0.1".parse().unwrap()]),
        ("nat64.test", vec!["64:ff9b::7f00:1".parse().unwrap()]),
    ];
    for (name, addresses) in cases {
        house.names.0.lock().unwrap().insert(name.into(), addresses);
        let target = house.route_with(Scheme::Http, name, upstream.port, "bearer", DialPlan::Public);
        let response = proxied(&house).await.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
        let (status, headers, _) = whole(response).await;
        assert_eq!((status, headers["x-marque"].as_bytes()), (StatusCode::FORBIDDEN, &b"MQ-4102"[..]), "{name}");
        assert_eq!(house.refusal().await, "MQ-4102", "the gate hears of it");
    }
    let target = house.route_with(Scheme::Http, "nowhere.test", upstream.port, "bearer", DialPlan::Public);
    let response = proxied(&house).await.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(whole(response).await.1["x-marque"], "MQ-4110");
    let looped = house.route(Scheme::Http, "self.test", house.proxy.port());
    let response = proxied(&house).await.send_request(absolute(&looped, "/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(whole(response).await.0, StatusCode::FORBIDDEN, "our own listener");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_open_host_takes_neither_credentials_nor_long_bodies_and_gets_none() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "open.test", upstream.port);
    house.gate.kind.lock().unwrap().insert(target.clone(), "open");
    let mut client = proxied(&house).await;
    for (name, value) in [("authorization", "Bearer x"), ("cookie", "a=b"), ("x-api-key", "k"), ("X_Api_Key", "k")] {
        let request = absolute(&target, "/").header(name, value).body(empty()).unwrap();
        assert_eq!(whole(client.send_request(request).await.unwrap()).await.1["x-marque"], "MQ-4112", "{name}");
    }
    let long = vec![b'x'; limits::OPEN_BODY_BYTES_MAX as usize + 1];
    let request = absolute(&target, "/").method("POST").body(full(long.clone())).unwrap();
    assert_eq!(whole(proxied(&house).await.send_request(request).await.unwrap()).await.1["x-marque"], "MQ-4112");
    let fits = Bytes::from(long).slice(1..);
    let request = absolute(&target, "/").method("POST").body(full(fits)).unwrap();
    let mut client = proxied(&house).await;
    assert_eq!(whole(client.send_request(request).await.unwrap()).await.0, StatusCode::OK);
    assert_eq!(upstream.seen().len(), 1);
    assert!(upstream.seen()[0].header("authorization").is_empty());
}

#[tokio::test]
async fn a_drained_service_finishes_what_runs_and_accepts_nothing() {
    let mut house = House::start();
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let waiting = std::sync::Arc::clone(&go);
    let upstream = Upstream::start(None, move |_| {
        let waiting = std::sync::Arc::clone(&waiting);
        async move {
            waiting.notified().await;
            Response::new(full("late"))
        }
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    let running = tokio::spawn(client.send_request(absolute(&target, "/").body(empty()).unwrap()));
    assert!(matches!(house.next().await, Told::Admit(_)));
    house.drain.notify_one();
    go.notify_one();
    assert_eq!(whole(within(running).await.unwrap().unwrap()).await.2, "late");
    assert_eq!(house.outcome().await.1.ending, Ending::Completed);
    within(&mut house.service).await.unwrap();
    assert!(TcpStream::connect(house.proxy).await.is_err());
}

#[tokio::test]
async fn a_listener_serves_as_many_connections_as_allowed_and_not_one_more() {
    let house = House::start_with(Options { connections_per_listener_max: 2, listeners_max: 2, ..Options::default() });
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let get = format!("GET {}/ HTTP/1.1\r\nHost: {}\r\n\r\n", target.origin(), target.authority());
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(house.proxy).await.unwrap();
        stream.write_all(get.as_bytes()).await.unwrap();
        assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
        open.push(stream);
    }
    assert_eq!(raw(house.proxy, b"").await, "", "closed at once");
    let bind = || Socket::Tcp(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    assert!(matches!(house.handle.listen(ListenerId(1), bind(), Mode::Proxy), Err(ListenError::Taken(1))));
    house.handle.listen(ListenerId(2), bind(), Mode::Proxy).unwrap();
    assert!(matches!(house.handle.listen(ListenerId(3), bind(), Mode::Proxy), Err(ListenError::TooMany(2))));
    house.handle.close(ListenerId(2));
    house.handle.listen(ListenerId(3), bind(), Mode::Proxy).unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_a_listener_too() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let path = std::env::temp_dir().join(format!("marque-gateway-{}.sock", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    house.handle.listen(ListenerId(7), Socket::Unix(socket), Mode::Fixed(target)).unwrap();
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let request = http::Request::builder().uri("/").header("host", "localhost").body(empty()).unwrap();
    let response = within(h1(stream).await.send_request(request)).await.unwrap();
    assert_eq!(whole(response).await.2, "ok");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test]
async fn a_tunnel_to_port_80_holds_plain_requests_that_are_judged_too() {
    let house = House::start();
    let target = house.route_with(Scheme::Http, "plain.test", 80, "bearer", DialPlan::Pinned(vec![IpAddr::from([127, 0, 0, 2])]));
    // Nothing listens there: what is to be seen is that the scheme follows the port, and that no 200 comes first.
    let refused = house.connect(&target).await.unwrap_err();
    assert!(refused.starts_with("HTTP/1.1 502") && refused.contains("MQ-4110"), "{refused}");
}
