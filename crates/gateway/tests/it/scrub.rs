//! A reflected credential, in every place, coding and form.

use crate::house::*;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use marque_gateway::Ending;
use marque_model::Scheme;
use marque_wire::answer::Fate;
use std::io::Write as _;

fn forms() -> Vec<(&'static str, String)> {
    let hex = |upper: bool| {
        let one = |b: u8| if upper { format!("{b:02X}") } else { format!("{b:02x}") };
        SECRET.bytes().map(one).collect::<String>()
    };
    let json = SECRET.bytes().map(|b| format!("\\u{:04x}", b)).collect();
    let percent = SECRET.bytes().map(|b| format!("%{b:02X}")).collect();
    vec![
        ("raw", SECRET.to_owned()),
        ("base64", STANDARD.encode(SECRET)),
        ("base64 +1", STANDARD.encode(format!("x{SECRET}"))),
        ("base64 +2", STANDARD.encode(format!("xy{SECRET}"))),
        ("base64url", URL_SAFE_NO_PAD.encode(SECRET)),
        ("hex", hex(false)),
        ("HEX", hex(true)),
        ("percent", percent),
        ("json", json),
    ]
}

/// The part that must not be readable any more: the ends of base64 mix with their neighbours.
fn core(text: &str) -> &str {
    &text[8..text.len() - 8]
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(data).unwrap();
    to.finish().unwrap()
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut &data[..], &mut out, &Default::default()).unwrap();
    out
}

fn zstd(data: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(data, ruzstd::encoding::CompressionLevel::Fastest)
}

/// `/PLACE/CODING/FORM-NUMBER`
async fn mirror() -> Upstream {
    Upstream::start(None, |seen| async move {
        assert_eq!(seen.header("authorization"), [format!("Bearer {SECRET}")]);
        let words: Vec<String> = seen.uri.split('/').map(str::to_owned).collect();
        let text = forms()[words[3].parse::<usize>().unwrap()].1.clone();
        let (status, mut builder) = match words[1].as_str() {
            "error" => (500, Response::builder()),
            "redirect" => (302, Response::builder().header("location", format!("https://x.test/?t={text}"))),
            "header" => (200, Response::builder().header("x-echo", &text).header("set-cookie", format!("a={text}"))),
            _ => (200, Response::builder()),
        };
        let body = format!("{{\"before\":1,\"token\":\"{text}\",\"after\":2}}").into_bytes();
        let coded = match words[2].as_str() {
            "gzip" => gzip(&body),
            "br" => brotli(&body),
            "zstd" => zstd(&body),
            "gzip,br" => brotli(&gzip(&body)),
            _ => body,
        };
        if words[2] != "identity" {
            builder = builder.header("content-encoding", words[2].replace(',', ", ")).header("etag", "\"x\"");
        }
        builder.status(status).body(full(coded)).unwrap()
    })
    .await
}

#[tokio::test]
async fn a_reflected_credential_is_masked_in_every_place_coding_and_form() {
    let mut house = House::start();
    let upstream = mirror().await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    for place in ["body", "header", "error", "redirect"] {
        for coding in ["identity", "gzip", "br", "zstd", "gzip,br"] {
            for (number, (form, text)) in forms().iter().enumerate() {
                let what = format!("{place} {coding} {form}");
                let request = absolute(&target, &format!("/{place}/{coding}/{number}")).body(empty()).unwrap();
                let response = within(client.send_request(request)).await.unwrap();
                let (_, headers, body) = whole(response).await;
                let body = String::from_utf8_lossy(&body).into_owned();
                let head = format!("{headers:?}");
                assert!(body.contains("\"before\":1") && body.contains("\"after\":2"), "{what}: {body}");
                assert!(!body.contains(core(text)) && !head.contains(core(text)), "{what}: {head} {body}");
                assert!(headers.get("content-encoding").is_none() && headers.get("etag").is_none(), "{what}");
                let outcome = house.outcome().await.1;
                assert!(outcome.hits >= 1, "{what}: {outcome:?}");
                *house.gate.ledger.lock().unwrap() = Default::default();
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_a_credential_is_passed_on_byte_for_byte() {
    let house = House::start();
    let text: Bytes = (0..200_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let plain = text.clone();
    let upstream = Upstream::start(None, move |seen| {
        let body = plain.clone();
        async move {
            if seen.uri == "/gzip" {
                Response::builder().header("content-encoding", "gzip").body(full(gzip(&body))).unwrap()
            } else {
                Response::new(full(body))
            }
        }
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let mut client = proxied(&house).await;
    for path in ["/plain", "/gzip"] {
        let response = within(client.send_request(absolute(&target, path).body(empty()).unwrap())).await.unwrap();
        assert!(whole(response).await.2 == text, "{path}");
    }
}

#[tokio::test]
async fn a_coding_that_cannot_be_searched_is_withheld() {
    let mut house = House::start();
    let upstream = Upstream::start(None, |_| async {
        Response::builder().header("content-encoding", "x-secret-sauce").body(full(SECRET)).unwrap()
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let response = proxied(&house).await.send_request(absolute(&target, "/").body(empty()).unwrap()).await.unwrap();
    let (status, headers, body) = whole(response).await;
    assert_eq!((status, headers["x-marque"].as_bytes()), (StatusCode::BAD_GATEWAY, &b"MQ-4108"[..]));
    assert!(!String::from_utf8_lossy(&body).contains(SECRET));
    assert_eq!(house.outcome().await.1.ending, Ending::Withheld);
}

#[tokio::test]
async fn after_three_hits_the_bodies_of_a_target_are_withheld_whole() {
    let mut house = House::start();
    let upstream = mirror().await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    for n in 0..5 {
        let request = absolute(&target, "/body/identity/0").body(empty()).unwrap();
        let response = within(proxied(&house).await.send_request(request)).await.unwrap();
        let (status, headers, body) = whole(response).await;
        if n < 3 {
            assert_eq!(status, StatusCode::OK);
            assert!(String::from_utf8_lossy(&body).contains(&"*".repeat(SECRET.len())));
        } else {
            assert_eq!((status, headers["x-marque"].as_bytes()), (StatusCode::BAD_GATEWAY, &b"MQ-4109"[..]), "{n}");
        }
        let ending = house.outcome().await.1.ending;
        assert_eq!(ending, if n < 3 { Ending::Completed } else { Ending::Withheld });
    }
}

#[tokio::test]
async fn a_guessable_secret_is_not_found_by_a_dictionary() {
    let mut house = House::start();
    *house.gate.guessable.lock().unwrap() = true;
    let upstream = Upstream::start(None, |seen| async move { Response::new(full(seen.body)) }).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let words: String = (0..10_000).map(|i| if i == 7_000 { format!("{SECRET}\n") } else { format!("guess-{i:08}\n") }).collect();
    let request = absolute(&target, "/").method("POST").body(full(words)).unwrap();
    let (status, headers, body) = whole(within(proxied(&house).await.send_request(request)).await.unwrap()).await;
    assert_eq!((status, headers["x-marque"].as_bytes()), (StatusCode::BAD_GATEWAY, &b"MQ-4109"[..]));
    assert!(!String::from_utf8_lossy(&body).contains("guess-"), "not one candidate comes back");
    assert_eq!(house.outcome().await.1.ending, Ending::Withheld);
    let harmless = absolute(&target, "/").method("POST").body(full("harmless")).unwrap();
    let again = whole(within(proxied(&house).await.send_request(harmless)).await.unwrap()).await;
    assert_eq!(again.0, StatusCode::BAD_GATEWAY, "nor anything after it");
}

#[tokio::test]
async fn a_placeholder_anywhere_but_in_the_slot_is_never_replaced() {
    let house = House::start();
    let upstream = Upstream::ok(None).await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let request = absolute(&target, "/PLACEHOLDER?q=PLACEHOLDER&k=KEPT").method("POST").header("x-note", "PLACEHOLDER KEPT").header("content-type", "application/json");
    let response = proxied(&house).await.send_request(request.body(full(r#"{"a":"PLACEHOLDER","b":"KEPT"}"#)).unwrap()).await.unwrap();
    assert_eq!(whole(response).await.0, StatusCode::OK);
    let seen = &upstream.seen()[0];
    assert_eq!(seen.uri, "/PLACEHOLDER?q=PLACEHOLDER&k=KEPT");
    assert_eq!(seen.header("x-note"), ["PLACEHOLDER KEPT"]);
    assert_eq!(seen.body, r#"{"a":"PLACEHOLDER","b":"KEPT"}"#);
}

#[tokio::test]
async fn a_token_in_an_answer_is_swapped_and_goes_back_into_its_slot_alone() {
    const TOKEN: &str = "registry-token-8f2k1";
    let mut house = House::start();
    let upstream = Upstream::start(None, |seen| async move {
        if seen.uri.starts_with("/token") {
            return Response::builder()
                .header("content-type", "application/json")
                .header("set-cookie", "sid=undeclared-session; Path=/")
                .body(full(format!(r#"{{"token":"{TOKEN}","expires_in":300}}"#)))
                .unwrap();
        }
        Response::new(full(seen.header("authorization").join(",")))
    })
    .await;
    let profile = std::sync::Arc::new(marque_wire::profile::Profile::parse(include_str!("../../../../services/docker-registry.toml")).unwrap());
    let auth = house.route(Scheme::Http, "auth.test", upstream.port);
    let registry = house.route(Scheme::Http, "registry.test", upstream.port);
    for (target, alias, place) in [(&auth, "auth", "basic"), (&registry, "registry", "bearer")] {
        let dial = marque_gateway::DialPlan::Pinned(vec![std::net::IpAddr::from([127, 0, 0, 1])]);
        let placements = vec![if place == "basic" { "header x-cred".parse().unwrap() } else { place.parse().unwrap() }];
        let mut plan = marque_gateway::RoutePlan::new(
            target.clone(),
            alias,
            std::sync::Arc::clone(&profile),
            placements,
            dial,
            house.upstream_ca.roots(),
        );
        plan.returns = vec!["bearer".parse().unwrap()];
        house.gate.routes.lock().unwrap().insert(target.clone(), std::sync::Arc::new(plan));
    }
    let mut client = proxied(&house).await;
    let ask = absolute(&auth, "/token?service=registry.docker.io&scope=repository:library/alpine:pull").body(empty()).unwrap();
    let (status, headers, body) = whole(within(client.send_request(ask)).await.unwrap()).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(status, StatusCode::OK, "{text}");
    assert!(text.contains(r#""token":"placeholder-0""#) && text.contains(r#""expires_in":300"#) && !text.contains(TOKEN), "{text}");
    assert!(headers.get("set-cookie").is_none(), "a cookie that nobody declared is withheld");
    assert!(headers["x-marque-withheld"].to_str().unwrap().contains("cookie sid"));
    let carried = loop {
        if let Told::Carried(found) = house.next().await {
            break found;
        }
    };
    let carried: Vec<_> = carried.iter().map(|f| (f.carrier.as_str(), f.fate)).collect();
    assert_eq!(carried, [("json /token", Fate::Swapped), ("cookie sid", Fate::Withheld)]);
    assert_eq!(house.outcome().await.1.ending, Ending::Completed);

    let pull = |auth: String| absolute(&registry, "/v2/library/alpine/manifests/latest").header("authorization", auth).body(empty()).unwrap();
    let (_, _, body) = whole(within(client.send_request(pull("Bearer placeholder-0".into()))).await.unwrap()).await;
    assert_eq!(body, format!("Bearer {TOKEN}"));
    let (_, _, body) = whole(within(client.send_request(pull("Bearer placeholder-1".into()))).await.unwrap()).await;
    assert_eq!(body, format!("Bearer {}", "*".repeat(SECRET.len())), "what is no placeholder is replaced as ever");
}

#[tokio::test]
async fn an_answer_is_held_up_to_the_limit_and_not_one_byte_more() {
    let mut house = House::start();
    *house.gate.guessable.lock().unwrap() = true;
    let upstream = Upstream::start(None, |seen| async move {
        Response::new(full(vec![b'x'; seen.uri.trim_start_matches('/').parse().unwrap()]))
    })
    .await;
    let target = house.route(Scheme::Http, "api.test", upstream.port);
    let limit = marque_gateway::limits::ANSWER_HOLD_BYTES_MAX;
    for (n, status, ending) in [(limit, 200, Ending::Completed), (limit + 1, 502, Ending::Limit)] {
        let request = absolute(&target, &format!("/{n}")).body(empty()).unwrap();
        let (got, _, body) = whole(within(proxied(&house).await.send_request(request)).await.unwrap()).await;
        assert_eq!((got.as_u16(), body.len() == n), (status, status == 200));
        assert_eq!(house.outcome().await.1.ending, ending);
    }
}
