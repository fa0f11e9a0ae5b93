//! I13: CONNECT, TLS name, Host or `:authority`, certificate and dialled address, one of them differing at a time. The
//! control is the row in which none does: there the credential arrives.

use crate::house::*;
use http::Request;
use marque_gateway::DialPlan;
use marque_model::{Scheme, Target};
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    Nothing,
    ConnectHost,
    ConnectHostHeader,
    Sni,
    NoSni,
    Host,
    Absolute,
    Certificate,
    Address,
}

/// Where a credential byte would be seen: in what any upstream read.
async fn credential_arrives(differs: Differs, http2: bool) -> bool {
    let house = House::start();
    let alpn: &[&str] = if http2 { &["h2"] } else { &["http/1.1"] };
    let name = if differs == Differs::Certificate { "other.test" } else { "api.test" };
    let upstream = Upstream::ok(Some(house.upstream_ca.server(name, alpn))).await;
    let port = upstream.port;
    let target = match differs {
        Differs::Address => {
            house.names.0.lock().unwrap().insert("api.test".into(), vec![IpAddr::from([127, 0, 0, 1])]);
            house.route_with(Scheme::Https, "api.test", port, "bearer", DialPlan::Public)
        }
        _ => house.route(Scheme::Https, "api.test", port),
    };
    let connect = match differs {
        Differs::ConnectHost => Target::new(Scheme::Https, "other.test", port).unwrap(),
        _ => target.clone(),
    };
    let reached = attempt(&house, differs, &connect, &target, http2).await;
    let arrived = upstream.seen().iter().any(|s| format!("{s:?}").contains(SECRET));
    assert!(!arrived || reached, "{differs:?}: it arrived though the client was refused");
    arrived
}

async fn attempt(house: &House, differs: Differs, connect: &Target, target: &Target, http2: bool) -> bool {
    let stream = if differs == Differs::ConnectHostHeader {
        let text = format!("CONNECT {} HTTP/1.1\r\nHost: other.test:443\r\n\r\n", connect.authority());
        assert!(raw(house.proxy, text.as_bytes()).await.starts_with("HTTP/1.1 421"));
        return false;
    } else {
        match house.connect(connect).await {
            Ok(stream) => stream,
            Err(_) => return false,
        }
    };
    let sni = match differs {
        Differs::Sni => "other.test",
        Differs::NoSni => "",
        _ => "api.test",
    };
    let Ok(tls) = house.tls(stream, sni, if http2 { &["h2"] } else { &["http/1.1"] }).await else { return false };
    let other = Target::new(Scheme::Https, "other.test", target.port()).unwrap();
    let host = if differs == Differs::Host { &other } else { target };
    let authority = if matches!(differs, Differs::Absolute) || (http2 && differs == Differs::Host) { &other } else { target };
    let mut request = Request::builder();
    if http2 || differs == Differs::Absolute {
        request = request.uri(format!("https://{}/", authority.authority()));
    } else {
        request = request.uri("/");
    }
    if !http2 || differs == Differs::Absolute {
        request = request.header("host", host.authority());
    }
    let request = request.body(empty()).unwrap();
    let response = if http2 {
        within(h2(tls).await.send_request(request)).await
    } else {
        within(h1(tls).await.send_request(request)).await
    };
    response.is_ok_and(|r| r.status() == 200)
}

#[tokio::test]
async fn a_request_whose_names_disagree_carries_no_credential_byte_anywhere() {
    for http2 in [false, true] {
        assert!(credential_arrives(Differs::Nothing, http2).await, "the control");
        for differs in [
            Differs::ConnectHost,
            Differs::ConnectHostHeader,
            Differs::Sni,
            Differs::NoSni,
            Differs::Host,
            Differs::Absolute,
            Differs::Certificate,
            Differs::Address,
        ] {
            assert!(!credential_arrives(differs, http2).await, "{differs:?} http2={http2}");
        }
    }
}

#[tokio::test]
async fn an_absolute_form_that_disagrees_with_its_host_goes_nowhere() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let other = house.route(Scheme::Http, "other.test", upstream.port);
    for (uri, host) in [(&target, &other), (&other, &target)] {
        let answer = raw(house.proxy, format!("GET {}/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", uri.origin(), host.authority()).as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    }
    for uri in ["http://API.test/", "http://u:p@api.test/", "http://api.test./", "ftp://api.test/", "http://api.test:0/", "/", "*"] {
        let answer = raw(house.proxy, format!("GET {uri} HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{uri}: {answer}");
    }
    assert!(upstream.seen().is_empty());
}
