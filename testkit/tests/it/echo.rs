//! The echo upstream says what it saw and puts credentials where it is told.

use std::{io::Read as _, process::Command, time::Duration};

use marque_testkit::{
    Options, canary,
    encode::{find_any, needles},
    http::{self, Route, bearer_challenge},
    pki::Ca,
    proc::Child,
    upstream::Echo,
};

use super::LONG;

#[test]
fn a_test_can_tell_its_own_server() {
    let (one, other) = (
        Echo::start(Options::plain()).unwrap(),
        Echo::start(Options::plain()).unwrap(),
    );
    let answer = http::get(&Route::default(), &one.url("/__testkit"), &[]).unwrap();
    assert_eq!(answer.json().unwrap()["nonce"], one.nonce());
    let answer = http::get(&Route::default(), &other.url("/echo"), &[]).unwrap();
    assert_eq!(answer.header("x-marque-testkit"), Some(other.nonce()));
    assert_ne!(one.nonce(), other.nonce());
}

#[test]
fn a_stopped_server_is_gone() {
    let server = Echo::start(Options::plain()).unwrap();
    let url = server.url("/echo");
    drop(server);
    http::get(&Route::default(), &url, &[]).unwrap_err();
}

#[test]
fn every_slot_is_read_and_logged() {
    let folder = tempfile::tempdir().unwrap();
    let jsonl = folder.path().join("log.jsonl");
    let server = Echo::start(Options::plain().with_jsonl(&jsonl)).unwrap();
    let secret = canary("slot");
    let bearer = format!("Bearer {secret}");
    let cookie = format!("a={secret}");
    let route = Route::default();
    let body = format!("{{\"api_key\":\"{secret}\"}}");
    http::get(
        &route,
        &server.url("/echo"),
        &[("authorization", &bearer), ("x-request-id", "mine")],
    )
    .unwrap();
    http::get(&route, &server.url("/echo"), &[("x-api-key", &secret)]).unwrap();
    http::get(&route, &server.url("/echo"), &[("cookie", &cookie)]).unwrap();
    http::get(&route, &server.url(&format!("/echo?api_key={secret}")), &[]).unwrap();
    http::get(&route, &server.url(&format!("/path/{secret}/echo")), &[]).unwrap();
    http::send(&route, "POST", &server.url("/echo"), &[], body.as_bytes()).unwrap();
    assert_eq!(server.log().count_saw(&secret), 6);
    let slots: Vec<String> = server
        .log()
        .records()
        .into_iter()
        .map(|record| record.credentials[0].slot.clone())
        .collect();
    assert_eq!(
        slots,
        ["bearer", "x-api-key", "cookie", "query", "path", "body"]
    );
    assert_eq!(server.log().records()[0].request_id, "mine");
    let lines = std::fs::read_to_string(jsonl).unwrap();
    assert_eq!(
        lines.lines().filter(|line| line.contains(&secret)).count(),
        6
    );
}

#[test]
fn a_reflected_credential_is_found_in_every_place_form_and_coding() {
    let server = Echo::start(Options::plain()).unwrap();
    let secret = canary("reflect");
    let all = needles(secret.as_bytes());
    let headers = [("x-api-key", secret.as_str()), ("te", "trailers")];
    for form in ["raw", "base64", "base64url", "hex", "percent", "json"] {
        for place in ["body", "error", "header", "cookie", "redirect", "trailer"] {
            for pad in 0..3 {
                let url = server.url(&format!(
                    "/reflect?in={place}&form={form}&pad={pad}&split=3"
                ));
                let answer = http::get(&Route::default(), &url, &headers).unwrap();
                let fields = answer.headers.values().chain(answer.trailers.values());
                let head: Vec<u8> = fields.flat_map(|value| value.as_bytes().to_vec()).collect();
                let found = (
                    find_any(&answer.body, &all).is_some(),
                    find_any(&head, &all).is_some(),
                );
                let in_body = place == "body" || place == "error";
                assert_eq!(found, (in_body, !in_body), "{place} {form} {pad}");
            }
        }
    }
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let url = server.url(&format!("/reflect?coding={coding}"));
        let answer = http::get(&Route::default(), &url, &headers).unwrap();
        assert_eq!(answer.header("content-encoding"), Some(coding));
        assert_eq!(
            decode(coding, &answer.body),
            format!("reflected={secret}\n")
        );
    }
}

fn decode(coding: &str, coded: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "gzip" => flate2::read::GzDecoder::new(coded)
            .read_to_string(&mut text)
            .unwrap(),
        "deflate" => flate2::read::ZlibDecoder::new(coded)
            .read_to_string(&mut text)
            .unwrap(),
        "br" => brotli::Decompressor::new(coded, 4096)
            .read_to_string(&mut text)
            .unwrap(),
        _ => zstd::Decoder::new(coded)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap(),
    };
    text
}

#[test]
fn a_range_gives_the_credential_byte_by_byte() {
    let server = Echo::start(Options::plain()).unwrap();
    let secret = canary("range");
    let mut all = Vec::new();
    for at in 0.. {
        let range = format!("bytes={at}-{at}");
        let headers = [("x-api-key", secret.as_str()), ("range", &range)];
        let answer = http::get(&Route::default(), &server.url("/reflect"), &headers).unwrap();
        if answer.status == 416 {
            break;
        }
        assert_eq!((answer.status, answer.body.len()), (206, 1));
        all.extend_from_slice(&answer.body);
    }
    assert_eq!(
        String::from_utf8(all).unwrap(),
        format!("reflected={secret}\n")
    );
}

#[test]
fn what_was_given_out_works_and_what_was_not_does_not() {
    let server = Echo::start(Options::plain()).unwrap();
    let route = Route::default();
    let get = |path: &str, headers: &[(&str, &str)]| {
        http::get(&route, &server.url(path), headers).unwrap()
    };
    let key = [("x-api-key", "anything")];
    let login = http::send(&route, "POST", &server.url("/login"), &key, b"").unwrap();
    let cookie = login
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(get("/me", &[("cookie", &cookie)]).status, 200);
    assert_eq!(get("/me", &[("cookie", "session=forged")]).status, 401);
    let redirect = get("/redirect-signed", &key);
    assert_eq!(redirect.status, 302);
    let location = redirect.header("location").unwrap().to_owned();
    assert_eq!(http::get(&route, &location, &[]).unwrap().status, 200);
    assert_eq!(get("/signed?sig=forged", &[]).status, 403);
    let token = |body: String| {
        http::send(
            &route,
            "POST",
            &server.url("/oauth/token"),
            &key,
            body.as_bytes(),
        )
        .unwrap()
    };
    let first = token("grant_type=client_credentials".to_owned())
        .json()
        .unwrap();
    let refresh = format!(
        "grant_type=refresh_token&refresh_token={}",
        first["refresh_token"].as_str().unwrap()
    );
    let second = token(refresh.clone()).json().unwrap();
    let bearer = format!("Bearer {}", second["access_token"].as_str().unwrap());
    assert_eq!(get("/oauth/me", &[("authorization", &bearer)]).status, 200);
    assert_eq!(
        token(refresh).status,
        400,
        "a spent refresh token is refused"
    );
}

#[test]
fn curl_speaks_http_2_to_the_tls_server_and_the_log_says_so() {
    let (ca, folder) = (Ca::new().unwrap(), tempfile::tempdir().unwrap());
    let cert = ca.issue(&["echo.example.test"]).unwrap();
    let server = Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
    ca.write_pem(&folder.path().join("ca.pem")).unwrap();
    for (flag, version) in [("--http2", "HTTP/2.0"), ("--http1.1", "HTTP/1.1")] {
        let mut command = Command::new("curl");
        command
            .args(["-sS", flag, "--cacert"])
            .arg(folder.path().join("ca.pem"));
        command.args([
            "--connect-to",
            &format!("echo.example.test:443:127.0.0.1:{}", server.port()),
        ]);
        let exit = Child::run(command.arg("https://echo.example.test/echo"), LONG).unwrap();
        assert!(exit.status.success(), "{}", exit.stderr);
        let record = server.log().records().pop().unwrap();
        assert_eq!(
            (record.version.as_str(), record.sni.as_deref()),
            (version, Some("echo.example.test"))
        );
        assert_eq!(record.authority.as_deref(), Some("echo.example.test"));
    }
}

#[test]
fn an_expectation_is_answered_and_a_refused_one_sends_no_body() {
    // curl itself expects an answer before it sends more than 1 MiB.
    let (folder, size) = (tempfile::tempdir().unwrap(), 2_000_000);
    let file = folder.path().join("body");
    std::fs::write(&file, "x".repeat(size)).unwrap();
    let curl = |path: &str| {
        let server = Echo::start(Options::plain()).unwrap();
        let mut command = Command::new("curl");
        command.args([
            "-sS",
            "--http1.1",
            "--expect100-timeout",
            "100",
            "--data-binary",
        ]);
        let exit = Child::run(
            command
                .arg(format!("@{}", file.display()))
                .arg(server.url(path)),
            LONG,
        )
        .unwrap();
        assert!(exit.status.success(), "{}", exit.stderr);
        server
            .log()
            .records()
            .into_iter()
            .map(|record| (record.status, record.body_bytes))
            .collect::<Vec<_>>()
    };
    let sent = u64::try_from(size).unwrap();
    assert_eq!(curl("/continue"), [(Some(200), sent)]);
    // curl answers a 417 with a second request that expects nothing.
    assert_eq!(
        curl("/continue?refuse=1"),
        [(Some(417), 0), (Some(200), sent)]
    );
}

#[test]
fn an_open_stream_is_seen_as_open_until_the_client_goes() {
    let server = Echo::start(Options::plain()).unwrap();
    let mut command = Command::new("curl");
    let child = Child::spawn(command.args(["-sN", &server.url("/sse?events=0")])).unwrap();
    child
        .wait_for_line(LONG, |line| line.starts_with("data: tick"))
        .unwrap();
    assert_eq!(server.log().open_count(), 1);
    drop(child);
    let ended = server
        .log()
        .wait_for(Duration::from_secs(20), |records| records[0].ended_at_ms);
    assert!(ended.is_some());
}

#[test]
fn a_websocket_tells_the_credential_and_echoes() {
    let server = Echo::start(Options::plain()).unwrap();
    let secret = canary("websocket");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let frames = runtime.block_on(async {
        use futures_util::{SinkExt as _, StreamExt as _};
        use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};
        let mut request = format!("ws://{}/ws", server.addr())
            .into_client_request()
            .unwrap();
        request
            .headers_mut()
            .insert("authorization", format!("Bearer {secret}").parse().unwrap());
        let stream = tokio::net::TcpStream::connect(server.addr()).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(request, stream)
            .await
            .unwrap();
        let first = socket.next().await.unwrap().unwrap();
        socket.send(Message::text("over and back")).await.unwrap();
        [first, socket.next().await.unwrap().unwrap()]
            .map(|frame| frame.into_text().unwrap().to_string())
    });
    assert_eq!(
        frames,
        [format!("credential: {secret}"), "over and back".to_owned()]
    );
}

#[test]
fn a_bearer_challenge_is_taken_apart() {
    let parts = bearer_challenge(
        "Bearer realm=\"https://a/token\",service=\"s\",scope=\"repository:x:pull,push\"",
    );
    assert_eq!(
        parts[2],
        ("scope".to_owned(), "repository:x:pull,push".to_owned())
    );
}
