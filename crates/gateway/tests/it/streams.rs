//! Streams: events at once, backpressure, cancellation, and the end of a session.

use crate::house::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use marque_gateway::Ending;
use marque_model::Scheme;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// An upstream whose answer's body is fed by the test.
async fn fed(house: &House, tls: bool) -> (Upstream, mpsc::UnboundedSender<&'static str>) {
    let (feed, fed) = mpsc::unbounded_channel::<&'static str>();
    let fed = Arc::new(tokio::sync::Mutex::new(fed));
    let tls = tls.then(|| house.upstream_ca.server("api.test", &["h2", "http/1.1"]));
    let upstream = Upstream::start(tls, move |_| {
        let fed = Arc::clone(&fed);
        async move {
            let (mut to, body) = Channel::<Bytes, hyper::Error>::new(1);
            tokio::spawn(async move {
                while let Some(text) = fed.lock().await.recv().await {
                    if to.send_data(Bytes::from(text)).await.is_err() {
                        return;
                    }
                }
            });
            Response::builder().header("content-type", "text/event-stream").body(body.boxed()).unwrap()
        }
    })
    .await;
    (upstream, feed)
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    let house = House::start();
    let (upstream, feed) = fed(&house, false).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let response = proxied(&house).await.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
    let mut body = response.into_body();
    for event in ["data: 1\n\n", "data: sk-li\n\n", "data: 3\n\n"] {
        feed.send(event).unwrap();
        let mut got = Vec::new();
        while got.len() < event.len() {
            got.extend_from_slice(&within(body.frame()).await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(got, event.as_bytes());
    }
}

#[tokio::test]
async fn when_the_session_ends_every_stream_is_cut_within_100_ms() {
    for http2 in [false, true] {
        let mut house = House::start();
        let (upstream, feed) = fed(&house, true).await;
        let target = house.route(Scheme::Https, "api.test", upstream.port);
        let tls = house.tunnel(&target, "api.test", if http2 { &["h2"] } else { &["http/1.1"] }).await.unwrap();
        let response = if http2 {
            let uri = format!("https://{}/", target.authority());
            within(h2(tls).await.send_request(Request::builder().uri(uri).body(empty()).unwrap())).await
        } else {
            let request = Request::builder().uri("/").header("host", target.authority()).body(empty()).unwrap();
            within(h1(tls).await.send_request(request)).await
        };
        let mut body = response.unwrap().into_body();
        feed.send("first").unwrap();
        assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "first");
        let mut idle = TcpStream::connect(house.proxy).await.unwrap();
        let plain = house.route(Scheme::Http, "plain.test", Upstream::ok(None).await.port);
        let get = format!("GET {}/ HTTP/1.1\r\nHost: {}\r\n\r\n", plain.origin(), plain.authority());
        idle.write_all(get.as_bytes()).await.unwrap();
        assert!(read_head(&mut idle).await.starts_with("HTTP/1.1 200"));
        let mut ok = [0; 2];
        idle.read_exact(&mut ok).await.unwrap();

        let since = Instant::now();
        house.gate.end.cancel();
        assert!(within(body.frame()).await.is_none_or(|f| f.is_err()), "no whole answer");
        let mut one = [0];
        assert!(matches!(within(idle.read(&mut one)).await, Ok(0) | Err(_)), "idle connections too");
        assert!(since.elapsed() < Duration::from_millis(100), "{:?}", since.elapsed());
        let endings = [house.outcome().await.1.ending, house.outcome().await.1.ending];
        assert!(endings.contains(&Ending::Cut) && endings.contains(&Ending::Completed), "{endings:?}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_takes_the_upstream_request_with_it() {
    let mut house = House::start();
    let (gone, mut went) = mpsc::unbounded_channel::<()>();
    let upstream = Upstream::with_requests(None, Default::default(), move |_, _| {
        let gone = gone.clone();
        async move {
            let (mut to, body) = Channel::<Bytes, hyper::Error>::new(1);
            tokio::spawn(async move {
                while to.send_data(Bytes::from(vec![b'x'; 1024])).await.is_ok() {}
                let _ = gone.send(());
            });
            Response::new(body.boxed())
        }
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut stream = TcpStream::connect(house.proxy).await.unwrap();
    stream.write_all(format!("GET {}/ HTTP/1.1\r\nHost: {}\r\n\r\n", target.origin(), target.authority()).as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    drop(stream);
    within(went.recv()).await.unwrap();
    assert_eq!(house.outcome().await.1.ending, Ending::Aborted);
}

#[tokio::test]
async fn a_client_that_goes_away_while_it_waits_is_an_aborted_use() {
    let mut house = House::start();
    let upstream = Upstream::with_requests(None, Default::default(), |_, _| std::future::pending()).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut stream = TcpStream::connect(house.proxy).await.unwrap();
    stream.write_all(format!("GET {}/ HTTP/1.1\r\nHost: {}\r\n\r\n", target.origin(), target.authority()).as_bytes()).await.unwrap();
    assert!(matches!(house.next().await, Told::Admit(_)));
    drop(stream);
    let outcome = house.outcome().await.1;
    assert!(matches!(outcome.ending, Ending::Aborted | Ending::NotSent), "{outcome:?}");
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back() {
    let house = House::start();
    let produced = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&produced);
    let upstream = Upstream::with_requests(None, Default::default(), move |_, _| {
        let count = Arc::clone(&count);
        async move {
            let (mut to, body) = Channel::<Bytes, hyper::Error>::new(1);
            tokio::spawn(async move {
                while to.send_data(Bytes::from(vec![b'x'; 64 * 1024])).await.is_ok() {
                    count.fetch_add(64 * 1024, Ordering::SeqCst);
                }
            });
            Response::new(body.boxed())
        }
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut stream = TcpStream::connect(house.proxy).await.unwrap();
    stream.write_all(format!("GET {}/ HTTP/1.1\r\nHost: {}\r\n\r\n", target.origin(), target.authority()).as_bytes()).await.unwrap();
    read_head(&mut stream).await;
    // The reader reads nothing. What is produced must come to rest at what the kernel's buffers hold.
    let (mut last, mut still) = (0, 0);
    let rest = within(async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = produced.load(Ordering::SeqCst);
            still = if now == last { still + 1 } else { 0 };
            last = now;
            if still == 10 {
                return now;
            }
        }
    })
    .await;
    assert!(rest < 32 << 20, "{rest} bytes piled up");
    let mut buffer = vec![0; 1 << 20];
    let mut read = 0;
    while read < 4 << 20 {
        read += within(stream.read(&mut buffer)).await.unwrap();
    }
    within(async {
        while produced.load(Ordering::SeqCst) == rest {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_longer_than_the_permit_allows_is_broken_off() {
    let mut house = House::start();
    house.gate.answer_max.store(10, Ordering::SeqCst);
    let upstream = Upstream::start(None, |seen| async move {
        let n: usize = seen.uri.trim_start_matches('/').parse().unwrap();
        Response::new(full(vec![b'x'; n]))
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    for (n, status, ending) in [(10, 200, Ending::Completed), (11, 502, Ending::Limit)] {
        let request = absolute(&target, &format!("/{n}")).body(empty()).unwrap();
        let response = proxied(&house).await.send_request(request).await.unwrap();
        assert_eq!(response.status(), status);
        let _ = response.into_body().collect().await;
        assert_eq!(house.outcome().await.1.ending, ending);
    }
}
