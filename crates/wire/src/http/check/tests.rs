use super::*;
use http::Request;
use proptest::prelude::*;

type Try = Result<(), Box<dyn std::error::Error>>;

fn https(host: &str) -> Target {
    Target::new(Scheme::Https, host, 443).unwrap()
}

/// `GET / HTTP/1.1`, a method, target and version spelled so, and headers `name: value`.
fn request(line: &str, headers: &[&str]) -> Parts {
    let words: Vec<&str> = line.split(' ').collect();
    let version = match words[2] {
        "0.9" => Version::HTTP_09,
        "1.0" => Version::HTTP_10,
        "1.1" => Version::HTTP_11,
        "2" => Version::HTTP_2,
        _ => Version::HTTP_3,
    };
    let mut builder = Request::builder().method(words[0]).uri(words[1]).version(version);
    for line in headers {
        let (name, value) = line.split_once(": ").unwrap();
        builder = builder.header(name, http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    builder.body(()).unwrap().into_parts().0
}

fn kind(line: &str, headers: &[&str]) -> &'static str {
    match check_request(&request(line, headers), &https("api.test")) {
        Ok(_) => "taken",
        Err(reject) => reject.kind(),
    }
}

#[test]
fn only_a_request_for_the_connections_own_target_is_taken() {
    for (line, headers, want) in [
        ("GET / 1.1", &["host: api.test"][..], "taken"),
        ("GET / 1.1", &["host: api.test:443"], "taken"),
        ("GET / 1.0", &["host: api.test"], "taken"),
        ("GET https://api.test/x 1.1", &["host: api.test"], "taken"),
        ("GET https://api.test/x 2", &[], "taken"),
        ("GET https://api.test/x 2", &["host: api.test"], "taken"),
        ("GET /x 2", &["host: api.test"], "taken"),
        ("GET / 0.9", &["host: api.test"], "http_version"),
        ("GET / 3", &["host: api.test"], "http_version"),
        ("GET / 1.1", &[], "host_missing"),
        ("GET / 1.0", &[], "host_missing"),
        ("GET https://api.test/ 1.1", &[], "host_missing"),
        ("GET / 2", &[], "host_missing"),
        ("GET / 1.1", &["host: api.test", "host: api.test"], "host_duplicate"),
        ("GET https://api.test/ 2", &["host: api.test", "host: evil.test"], "host_duplicate"),
        ("GET / 1.1", &["host: evil.test"], "host_mismatch"),
        ("GET / 1.1", &["host: api.test, evil.test"], "host_mismatch"),
        ("GET / 1.1", &["host: api.test:80"], "host_mismatch"),
        ("GET / 1.1", &["host: api.test."], "host_mismatch"),
        ("GET / 1.1", &["host: API.test"], "host_mismatch"),
        ("GET / 1.1", &["host: äpi.test"], "host_mismatch"),
        ("GET / 1.1", &["host: api.test:0443"], "host_mismatch"),
        ("GET / 1.1", &["host: api.test/"], "host_mismatch"),
        ("GET / 1.1", &["host: u@api.test"], "authority_userinfo"),
        ("GET https://u:p@api.test/ 1.1", &["host: api.test"], "authority_userinfo"),
        ("GET https://evil.test/ 1.1", &["host: api.test"], "host_mismatch"),
        ("GET https://api.test/ 1.1", &["host: evil.test"], "host_mismatch"),
        ("GET https://api.test/ 2", &["host: evil.test"], "host_mismatch"),
        ("GET https://evil.test/ 2", &["host: api.test"], "host_mismatch"),
        ("GET https://Api.test/ 2", &[], "host_mismatch"),
        ("GET http://api.test:443/ 1.1", &["host: api.test"], "scheme_mismatch"),
        ("GET http://api.test:443/ 2", &[], "scheme_mismatch"),
    ] {
        assert_eq!(kind(line, headers), want, "{line} {headers:?}");
    }
}

#[test]
fn methods_that_reflect_tunnel_or_hide_are_not_taken() {
    for (line, want) in [
        ("GET / 1.1", "taken"),
        ("PROPFIND / 1.1", "taken"),
        ("M-SEARCH / 1.1", "taken"),
        ("OPTIONS * 1.1", "taken"),
        ("GET * 1.1", "target_form"),
        ("CONNECT api.test:443 1.1", "connect_in_tunnel"),
        ("CONNECT / 2", "connect_in_tunnel"),
        ("TRACE / 1.1", "method_refused"),
        ("TRACK / 1.1", "method_refused"),
        ("PRI / 1.1", "method_refused"),
        ("get / 1.1", "method_refused"),
        ("Get / 1.1", "method_refused"),
        ("GET|X / 1.1", "method_refused"),
        ("-GET / 1.1", "method_refused"),
    ] {
        assert_eq!(kind(line, &["host: api.test"]), want, "{line}");
    }
}

#[test]
fn a_length_has_one_reading_or_the_request_is_refused() {
    for (line, headers, want) in [
        ("POST / 1.1", &["content-length: 5"][..], "taken"),
        ("POST / 1.1", &["transfer-encoding: chunked"], "taken"),
        ("POST / 1.1", &["transfer-encoding: Chunked"], "taken"),
        ("POST / 1.1", &["content-length: 5", "transfer-encoding: chunked"], "length_and_coding"),
        ("POST / 1.1", &["content-length: 5", "content-length: 5"], "content_length"),
        ("POST / 1.1", &["content-length: 5, 5"], "content_length"),
        ("POST / 1.1", &["content-length: +5"], "content_length"),
        ("POST / 1.1", &["content-length: -5"], "content_length"),
        ("POST / 1.1", &["content-length: 05"], "content_length"),
        ("POST / 1.1", &["content-length: 0x5"], "content_length"),
        ("POST / 1.1", &["content-length: "], "content_length"),
        ("POST / 1.1", &["content-length: 99999999999999999999"], "content_length"),
        ("POST / 1.1", &["transfer-encoding: xchunked"], "transfer_coding"),
        ("POST / 1.1", &["transfer-encoding: gzip, chunked"], "transfer_coding"),
        ("POST / 1.1", &["transfer-encoding: chunked, identity"], "transfer_coding"),
        ("POST / 1.1", &["transfer-encoding: chunked", "transfer-encoding: chunked"], "transfer_coding"),
        ("POST / 1.0", &["transfer-encoding: chunked"], "transfer_coding"),
        ("POST / 2", &["transfer-encoding: chunked"], "hop_header_in_http2"),
        ("POST / 1.1", &["content_length: 5"], "header_alias"),
        ("POST / 1.1", &["transfer_encoding: chunked"], "header_alias"),
        ("POST / 1.1", &["content-type: a/b", "content-type: c/d"], "header_duplicate"),
        ("POST / 1.1", &["expect: 100-continue"], "taken"),
        ("POST / 1.1", &["expect: 100-Continue"], "taken"),
        ("POST / 1.1", &["expect: 200-ok"], "expect_refused"),
        ("POST / 1.1", &["expect: 100-continue, x"], "expect_refused"),
        ("POST / 1.1", &["expect: 100-continue", "expect: 100-continue"], "expect_refused"),
    ] {
        let headers: Vec<&str> = std::iter::once("host: api.test").chain(headers.iter().copied()).collect();
        assert_eq!(kind(line, &headers), want, "{line} {headers:?}");
    }
}

#[test]
fn the_framing_is_what_the_headers_say() -> Try {
    for (line, header, want) in [
        ("POST / 1.1", "content-length: 5", Framing::Length(5)),
        ("POST / 1.1", "content-length: 0", Framing::Empty),
        ("POST / 1.1", "transfer-encoding: chunked", Framing::Chunked),
        ("POST / 1.1", "accept: a", Framing::Empty),
        ("POST / 2", "accept: a", Framing::Stream),
        ("POST / 2", "content-length: 7", Framing::Length(7)),
    ] {
        let parts = request(line, &["host: api.test", header]);
        assert_eq!(check_request(&parts, &https("api.test"))?.framing, want, "{line} {header}");
    }
    Ok(())
}

#[test]
fn websocket_is_the_only_upgrade() {
    let ws = ["connection: keep-alive, Upgrade", "upgrade: websocket"];
    for (line, headers, want) in [
        ("GET / 1.1", &ws[..], "taken"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: WebSocket"], "taken"),
        ("GET / 1.1", &["upgrade: websocket"], "upgrade_form"),
        ("GET / 1.1", &["connection: close", "upgrade: websocket"], "upgrade_form"),
        ("GET / 1.0", &ws, "upgrade_form"),
        ("POST / 1.1", &ws, "upgrade_form"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: websocket", "content-length: 3"], "upgrade_form"),
        ("GET / 2", &ws, "hop_header_in_http2"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: h2c"], "upgrade_refused"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: websocket, h2c"], "upgrade_refused"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: websocket", "upgrade: h2c"], "upgrade_refused"),
        ("GET / 1.1", &["connection: upgrade", "upgrade: SPDY/3.1"], "upgrade_refused"),
        ("GET / 1.1", &["connection: http2-settings", "http2-settings: AAMAAABk"], "upgrade_refused"),
        ("GET / 1.1", &["http2-settings: AAMAAABk"], "upgrade_refused"),
        ("GET / 1.1", &["http2_settings: AAMAAABk"], "header_alias"),
    ] {
        let headers: Vec<&str> = std::iter::once("host: api.test").chain(headers.iter().copied()).collect();
        assert_eq!(kind(line, &headers), want, "{line} {headers:?}");
    }
}

#[test]
fn connection_cannot_take_off_a_header_that_was_decided_on() {
    for named in ["host", "Content-Type", "content_type", "authorization", "cookie", "content-length", "a b", "é"] {
        let header = format!("connection: close, {named}");
        assert_eq!(kind("GET / 1.1", &["host: api.test", &header]), "connection_names", "{named}");
    }
    assert_eq!(kind("GET / 1.1", &["host: api.test", "connection: x-mine, TE,, keep-alive"]), "taken");
}

#[test]
fn http2_has_no_hop_by_hop_headers() {
    for (header, want) in [
        ("connection: close", "hop_header_in_http2"),
        ("proxy-connection: close", "hop_header_in_http2"),
        ("keep-alive: 5", "hop_header_in_http2"),
        ("te: gzip", "hop_header_in_http2"),
        ("te: trailers", "taken"),
    ] {
        assert_eq!(kind("GET https://api.test/ 2", &[header]), want, "{header}");
    }
}

#[test]
fn header_values_are_text() {
    let mut parts = request("GET / 1.1", &["host: api.test", "x-note: grün"]);
    assert!(check_request(&parts, &https("api.test")).is_ok());
    parts.headers.insert("x-note", http::HeaderValue::from_bytes(b"gr\xfcn").unwrap());
    assert_eq!(check_request(&parts, &https("api.test")).unwrap_err().kind(), "header_value");
}

#[test]
fn requests_are_bounded_at_n() {
    let host = "host: api.test";
    let many = |n: usize| {
        let mut parts = request("GET / 1.1", &[host]);
        for i in 1..n {
            parts.headers.append(http::HeaderName::try_from(format!("x-{i}")).unwrap(), "1".parse().unwrap());
        }
        check_request(&parts, &https("api.test")).map_err(|r| r.kind())
    };
    assert!(many(HEADERS_MAX).is_ok());
    assert_eq!(many(HEADERS_MAX + 1), Err("headers_too_many"));

    let spent = 2 * HEADER_LINE_OVERHEAD_BYTES + "host".len() + "api.test".len() + "x-a".len();
    let long = |n: usize| kind("GET / 1.1", &[host, &format!("x-a: {}", "v".repeat(n - spent))]);
    assert_eq!(long(HEADER_BYTES_MAX), "taken");
    assert_eq!(long(HEADER_BYTES_MAX + 1), "headers_too_long");

    let target = |n: usize| kind(&format!("GET /{} 1.1", "a".repeat(n - 1)), &[host]);
    assert_eq!(target(TARGET_BYTES_MAX), "taken");
    assert_eq!(target(TARGET_BYTES_MAX + 1), "target_too_long");

    let method = |n: usize| kind(&format!("{} / 1.1", "A".repeat(n)), &[host]);
    assert_eq!(method(METHOD_BYTES_MAX), "taken");
    assert_eq!(method(METHOD_BYTES_MAX + 1), "method_refused");

    let digits = |n: usize| kind("POST / 1.1", &[host, &format!("content-length: {}", "9".repeat(n))]);
    assert_eq!(digits(crate::limits::CONTENT_LENGTH_DIGITS_MAX), "taken");
    assert_eq!(digits(crate::limits::CONTENT_LENGTH_DIGITS_MAX + 1), "content_length");
}

#[test]
fn a_target_of_raw_bytes_is_refused() {
    assert_eq!(kind("GET /ä 1.1", &["host: api.test"]), "target_bytes");
}

#[test]
fn connect_takes_one_canonical_host_and_port() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    for (text, origin) in [
        ("api.test:443", "https://api.test:443"),
        ("api.test:80", "http://api.test:80"),
        ("api.test:8443", "https://api.test:8443"),
        ("127.0.0.1:8080", "https://127.0.0.1:8080"),
        ("[::1]:443", "https://[::1]:443"),
    ] {
        assert_eq!(check_connect(&uri(text)).unwrap().origin(), origin, "{text}");
    }
    assert_eq!(check_connect_as(&uri("api.test:8080"), Scheme::Http).unwrap().origin(), "http://api.test:8080");
    for (text, want) in [
        ("api.test", "target_form"),
        ("/", "target_form"),
        ("*", "target_form"),
        ("https://api.test:443/", "target_form"),
        ("u@api.test:443", "authority_userinfo"),
        ("API.test:443", "authority_not_canonical"),
        ("api.test.:443", "authority_not_canonical"),
        ("0x7f.1:443", "authority_not_canonical"),
        ("2130706433:443", "authority_not_canonical"),
        ("api.test:0443", "authority_not_canonical"),
        ("api.test:0", "authority_not_canonical"),
        ("[0:0:0:0:0:0:0:1]:443", "authority_not_canonical"),
    ] {
        assert_eq!(check_connect(&uri(text)).unwrap_err().kind(), want, "{text}");
    }
}

#[test]
fn an_absolute_request_names_its_target() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    assert_eq!(check_absolute(&uri("http://api.test/x")).unwrap().origin(), "http://api.test:80");
    assert_eq!(check_absolute(&uri("https://api.test:8443")).unwrap().origin(), "https://api.test:8443");
    for (text, want) in [
        ("/x", "target_form"),
        ("api.test:80", "target_form"),
        ("ftp://api.test/", "scheme_mismatch"),
        ("http://u:p@api.test/", "authority_userinfo"),
        ("http://API.test/", "authority_not_canonical"),
        ("http://127.1/", "authority_not_canonical"),
    ] {
        assert_eq!(check_absolute(&uri(text)).unwrap_err().kind(), want, "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_names_the_target_everywhere(host in "(api|evil)\\.test(:443|:80|\\.)?", authority in "(api|evil)\\.test(:443|:80)?",
                                                     absolute in any::<bool>(), two in any::<bool>()) {
        let target = if absolute { format!("https://{authority}/") } else { "/".to_owned() };
        let parts = request(&format!("GET {target} {}", if two { "2" } else { "1.1" }), &[&format!("host: {host}")]);
        if check_request(&parts, &https("api.test")).is_ok() {
            prop_assert!(host == "api.test" || host == "api.test:443");
            prop_assert!(!absolute || authority == "api.test" || authority == "api.test:443");
        }
    }
}
