use super::*;
use crate::limits::{BODY_HOLD_BYTES_MAX, PLACEMENT_BYTES_MAX, SECRET_BYTES_MAX, TARGET_BYTES_MAX};
use http::Request;
use http::request::Parts;
use proptest::prelude::*;

fn placement(words: &str) -> Placement {
    words.parse().unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec())
}

fn get(target: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().uri(target);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn values(parts: &Parts, name: &str) -> Vec<String> {
    parts.headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect()
}

fn kind(words: &str, text: &str, parts: &mut Parts, body: Option<&mut Vec<u8>>) -> &'static str {
    match placement(words).place(&secret(text), Some("PH"), parts, body) {
        Ok(()) => "placed",
        Err(error) => error.kind(),
    }
}

#[test]
fn words_that_place_nothing_safe_do_not_parse() {
    for bad in [
        "",
        "Bearer",
        "bearer x",
        " bearer",
        "bearer ",
        "basic a b",
        "basic a:b",
        "header",
        "header host",
        "header Cookie",
        "header connection",
        "header Content-Length",
        "header proxy-authorization",
        "header X_Api_Key",
        "header te",
        "header x y",
        "header x {}{}",
        "header x {",
        "header x {}}",
        "header bad(name) {}",
        "query",
        "query a b",
        "query a[]",
        "query %6b",
        "query a&b",
        "cookie",
        "cookie a=b",
        "cookie a;b",
        "body",
        "body x",
        "body /a/*",
        "form",
        "form a=b",
        "path",
        "path -1",
        "path 01",
        "path 128",
        "path x",
        "path /a",
        "path /{}{}",
        "path /{}x",
        "path /../{}",
        "path //{}",
        "path /a?{}",
        "path /a%2f{}",
        "token",
        "header x ä{}",
        "header x a\n{}",
    ] {
        assert!(bad.parse::<Placement>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_placement_prints_as_it_is_written() {
    for words in [
        "none",
        "bearer",
        "basic",
        "basic x-access-token",
        "header x-api-key",
        "header authorization token {}",
        "header x-sig v1={};k",
        "query api_key",
        "cookie sid",
        "body /auth/token",
        "form token",
        "path 3",
        "path /bot{}/",
        "path /services/{}",
    ] {
        assert_eq!(placement(words).to_string(), words);
    }
    assert_eq!(placement("header X-Api-Key {}").to_string(), "header x-api-key");
}

#[test]
fn a_header_credential_overwrites_every_spelling_of_its_header_and_is_sensitive() {
    for (words, name, want) in [
        ("bearer", "authorization", "Bearer s3cret"),
        ("basic user", "authorization", "Basic dXNlcjpzM2NyZXQ="),
        ("header X-Api-Key", "x-api-key", "s3cret"),
        ("header Authorization token {}", "authorization", "token s3cret"),
    ] {
        let mut parts =
            get("/", &[("authorization", "A"), ("authorization", "B"), ("x-api-key", "C"), ("x_api_key", "D")]);
        assert_eq!(kind(words, "s3cret", &mut parts, None), "placed");
        assert_eq!(values(&parts, name), [want], "{words}");
        assert!(parts.headers[name].is_sensitive());
        if name == "x-api-key" {
            assert!(!parts.headers.contains_key("x_api_key"));
            assert_eq!(values(&parts, "authorization"), ["A", "B"], "only the declared slot is written");
        }
    }
    let mut parts = get("/", &[]);
    assert_eq!(kind("basic", "user:pass", &mut parts, None), "placed");
    assert_eq!(values(&parts, "authorization"), ["Basic dXNlcjpwYXNz"]);
}

#[test]
fn a_secret_with_bytes_that_its_slot_cannot_hold_is_not_placed() {
    for (words, text, want) in [
        ("bearer", "a\r\nX: y", "secret_bytes"),
        ("bearer", "a\n", "secret_bytes"),
        ("bearer", "a\0", "secret_bytes"),
        ("bearer", "ä", "secret_bytes"),
        ("bearer", "a b", "secret_bytes"),
        ("header x-k", " a", "secret_bytes"),
        ("header x-k", "a ", "secret_bytes"),
        ("header x-k", "a b", "placed"),
        ("basic", "nocolon", "secret_bytes"),
        ("cookie c", "a;b", "secret_bytes"),
        ("cookie c", "a b", "secret_bytes"),
        ("cookie c", "a\"b", "secret_bytes"),
        ("query k", "a b&c=d#e", "placed"),
        ("query k", "a\nb", "secret_bytes"),
        ("path 0", "a/b", "secret_bytes"),
        ("path 0", "a?b", "secret_bytes"),
        ("path 0", "..", "secret_bytes"),
        ("path /{}", "a/../b", "secret_bytes"),
        ("path /{}", "a//b", "secret_bytes"),
        ("path /{}", "a%2fb", "secret_bytes"),
        ("path /{}", "a/b", "placed"),
        ("bearer", "", "secret_length"),
    ] {
        let mut parts = get("/PH", &[]);
        let before = parts.clone();
        assert_eq!(kind(words, text, &mut parts, None), want, "{words} {text:?}");
        if want != "placed" {
            assert_eq!((parts.uri, parts.headers), (before.uri, before.headers), "{words} {text:?}");
        }
    }
}

#[test]
fn a_query_credential_stands_once_and_the_rest_stays_as_it_was() {
    for (target, want) in [
        ("/a", "/a?k=s%26x"),
        ("/a?b=%2f+1", "/a?b=%2f+1&k=s%26x"),
        ("/a?k=agent&b=1&K=agent", "/a?k=s%26x&b=1"),
        ("/%2e?%6b=agent", "/%2e?k=s%26x"),
        ("https://api.test/a?k", "/a?k=s%26x"),
    ] {
        let mut parts = get(target, &[]);
        assert_eq!(kind("query k", "s&x", &mut parts, None), "placed");
        assert_eq!(parts.uri.path_and_query().unwrap().as_str(), want, "{target}");
    }
    let mut parts = get("https://api.test/a", &[]);
    assert_eq!(kind("query k", "s", &mut parts, None), "placed");
    assert_eq!(parts.uri.to_string(), "https://api.test/a?k=s", "scheme and authority stay");
    assert_eq!(kind("query k", "s", &mut get("/a?x=1;k=2", &[]), None), "query_ambiguous");
}

#[test]
fn a_cookie_credential_stands_first_and_once() {
    let mut parts = get("/", &[("cookie", "a=\"x; sid=agent; SID=agent2"), ("cookie", "b=2;sid=agent3")]);
    assert_eq!(kind("cookie sid", "real", &mut parts, None), "placed");
    assert_eq!(values(&parts, "cookie"), ["sid=real; a=\"x; b=2"]);
    assert!(parts.headers["cookie"].is_sensitive());
}

#[test]
fn a_body_credential_changes_its_own_member_and_nothing_else() {
    let json = [("content-type", "application/json; charset=UTF-8"), ("content-length", "1")];
    for (pointer, before, after) in [
        ("/t", r#"{"n":1.0,"t":"agent", "z":1e5}"#, r#"{"n":1.0,"t":"s\"x", "z":1e5}"#),
        ("/t", r#"{"t":{"a":[1]}}"#, r#"{"t":"s\"x"}"#),
        ("/t", r#"{ "n":12345678901234567890 }"#, r#"{ "n":12345678901234567890 ,"t":"s\"x"}"#),
        ("/t", "{}", r#"{"t":"s\"x"}"#),
        ("/a/t", r#"{"a":{},"t":1}"#, r#"{"a":{"t":"s\"x"},"t":1}"#),
        ("/t", r#"{"\u0074":1}"#, r#"{"\u0074":"s\"x"}"#),
    ] {
        let mut body = before.as_bytes().to_vec();
        let mut parts = get("/", &json);
        assert_eq!(kind(&format!("body {pointer}"), "s\"x", &mut parts, Some(&mut body)), "placed", "{before}");
        assert_eq!(String::from_utf8(body).unwrap(), after);
        assert_eq!(values(&parts, "content-length"), [after.len().to_string()]);
    }
}

#[test]
fn a_body_without_the_slot_is_refused_and_stays_as_it_was() {
    for (content_type, before, want) in [
        ("application/json", r#"["t"]"#, "body_shape"),
        ("application/json", r#""t""#, "body_shape"),
        ("application/json", "", "body_shape"),
        ("application/json", r#"{"t":1"#, "body_shape"),
        ("application/json", r#"{"t":1}{}"#, "body_shape"),
        ("application/json", r#"{"t":1,"t":2}"#, "body_ambiguous"),
        ("application/json", r#"{"t":1,"\u0074":2}"#, "body_ambiguous"),
        ("application/json", r#"{"t":1,"T":2}"#, "body_ambiguous"),
        ("application/json", r#"{"T":2}"#, "body_ambiguous"),
        ("application/json; charset=utf-16", r#"{"t":1}"#, "body_type"),
        ("text/plain", r#"{"t":1}"#, "body_type"),
        ("application/x-www-form-urlencoded", r#"{"t":1}"#, "body_type"),
    ] {
        let mut body = before.as_bytes().to_vec();
        let mut parts = get("/", &[("content-type", content_type)]);
        assert_eq!(kind("body /t", "s", &mut parts, Some(&mut body)), want, "{before}");
        assert_eq!(body, before.as_bytes());
    }
    assert_eq!(kind("body /t", "s", &mut get("/", &[("content-type", "application/json")]), None), "body_missing");
    let mut coded = get("/", &[("content-type", "application/json"), ("content-encoding", "gzip")]);
    assert_eq!(kind("body /t", "s", &mut coded, Some(&mut b"{}".to_vec())), "body_type");
    let mut untyped = get("/", &[]);
    assert_eq!(kind("body /t", "s", &mut untyped, Some(&mut b"{}".to_vec())), "body_type");
}

#[test]
fn a_form_credential_overwrites_its_field() {
    let form = [("content-type", "application/x-www-form-urlencoded")];
    for (before, after) in [("", "t=s%2B"), ("a=1&t=agent&%74=x&b", "a=1&t=s%2B&b"), ("T[]=x", "t=s%2B")] {
        let mut body = before.as_bytes().to_vec();
        assert_eq!(kind("form t", "s+", &mut get("/", &form), Some(&mut body)), "placed");
        assert_eq!(String::from_utf8(body).unwrap(), after);
    }
    assert_eq!(kind("form t", "s", &mut get("/", &form), Some(&mut b"a=1;t=2".to_vec())), "body_ambiguous");
    assert_eq!(kind("form t", "s", &mut get("/", &form), Some(&mut b"a=\xff".to_vec())), "body_shape");
}

#[test]
fn a_path_credential_goes_where_the_placeholder_stands_and_nowhere_else() {
    for (words, target, text, want) in [
        ("path 1", "/v1/PH/x?y=PH", "sec", Some("/v1/sec/x?y=PH")),
        ("path 0", "/PH", "sec", Some("/sec")),
        ("path 1", "/PH/x", "sec", None),
        ("path 1", "/v1/PHx", "sec", None),
        ("path 9", "/v1/PH", "sec", None),
        ("path 1", "/v1/%50H", "sec", None),
        ("path /bot{}/", "/botPH/sendMessage?a=PH", "1:a-b", Some("/bot1:a-b/sendMessage?a=PH")),
        ("path /bot{}/", "/botPH", "1:a", None),
        ("path /bot{}/", "/bot/PH/x", "1:a", None),
        ("path /bot{}/", "/x/botPH/y", "1:a", None),
        ("path /services/{}", "/services/PH", "T0/B0/xyz", Some("/services/T0/B0/xyz")),
        ("path /services/{}", "/services/PH/more", "T0/B0/xyz", None),
        ("path /services/{}", "/services/PHx", "T0/B0/xyz", None),
    ] {
        let mut parts = get(target, &[]);
        let placed = kind(words, text, &mut parts, None);
        assert_eq!(placed, if want.is_some() { "placed" } else { "path_mismatch" }, "{words} {target}");
        assert_eq!(parts.uri.to_string(), want.unwrap_or(target));
    }
    let mut parts = get("/PH", &[]);
    let unnamed = placement("path 0").place(&secret("s"), None, &mut parts, None);
    assert_eq!(unnamed, Err(PlaceError::NoPlaceholder));
}

#[test]
fn a_placeholder_elsewhere_is_never_replaced() {
    let headers = [("x-note", "PH"), ("cookie", "a=PH"), ("content-type", "application/json")];
    let mut parts = get("/PH?q=PH", &headers);
    let mut body = br#"{"note":"PH"}"#.to_vec();
    assert_eq!(kind("bearer", "real", &mut parts, Some(&mut body)), "placed");
    assert_eq!(parts.uri.to_string(), "/PH?q=PH");
    assert_eq!((values(&parts, "x-note"), values(&parts, "cookie")), (vec!["PH".to_owned()], vec!["a=PH".to_owned()]));
    assert_eq!(body, br#"{"note":"PH"}"#);
}

#[test]
fn what_is_placed_is_read_back_from_its_slot_alone() {
    for (words, target, content_type, body) in [
        ("bearer", "/", "", ""),
        ("basic user", "/", "", ""),
        ("header x-k pre {} post", "/", "", ""),
        ("query k", "/?a=1", "", ""),
        ("cookie c", "/", "", ""),
        ("body /a/b", "/", "application/json", r#"{"a":{}}"#),
        ("form f", "/", "application/x-www-form-urlencoded", "x=1"),
        ("path 1", "/a/PH", "", ""),
        ("path /a/{}", "/a/PH", "", ""),
        ("path /a{}/", "/aPH/x", "", ""),
    ] {
        let mut parts = get(target, &[("content-type", content_type)]);
        let mut held = body.as_bytes().to_vec();
        let place = placement(words);
        place.place(&secret("val-1"), Some("PH"), &mut parts, Some(&mut held)).unwrap();
        assert_eq!(place.read(&parts, Some(&held)).as_deref(), Some("val-1"), "{words}");
        let empty = get("/", &[("x-other", "val-1"), ("cookie", "other=val-1")]);
        assert_ne!(place.read(&empty, Some(b"val-1")).as_deref(), Some("val-1"), "{words}");
    }
    let two = get("/?k=1&k=2", &[("authorization", "Bearer a"), ("authorization", "Bearer b"), ("cookie", "c=1; c=2")]);
    for words in ["bearer", "query k", "cookie c"] {
        assert_eq!(placement(words).read(&two, None), None, "{words}: what occurs twice is nothing");
    }
    assert_eq!(placement("basic other").read(&get("/", &[("authorization", "Basic dXNlcjpwdw==")]), None), None);
}

#[test]
fn what_gives_a_composite_credential_away_is_scrubbed_too() {
    let extras = |words: &str, text: &str| -> Vec<String> {
        let extras = placement(words).scrub_extras(&secret(text));
        extras.iter().map(|s| String::from_utf8(s.expose().to_vec()).unwrap()).collect()
    };
    assert_eq!(extras("basic user", "pass"), ["dXNlcjpwYXNz", "user:pass"]);
    assert_eq!(extras("basic", "user:pass"), ["dXNlcjpwYXNz", "pass"]);
    assert_eq!(extras("path /s/{}", "T01/B01/abcdefghijklmnop"), ["abcdefghijklmnop"]);
    assert!(extras("bearer", "x").is_empty());
}

#[test]
fn placements_are_bounded_at_n() {
    let name = "a".repeat(PLACEMENT_BYTES_MAX - "query ".len());
    assert!(format!("query {name}").parse::<Placement>().is_ok());
    assert!(format!("query {name}a").parse::<Placement>().is_err());

    assert_eq!(kind("header x-k", &"s".repeat(SECRET_BYTES_MAX), &mut get("/", &[]), None), "placed");
    assert_eq!(kind("header x-k", &"s".repeat(SECRET_BYTES_MAX + 1), &mut get("/", &[]), None), "secret_length");

    let fits = "s".repeat(TARGET_BYTES_MAX - "/?k=".len());
    assert_eq!(kind("query k", &fits, &mut get("/", &[]), None), "placed");
    assert_eq!(kind("query k", &format!("{fits}s"), &mut get("/", &[]), None), "target_too_long");

    let json = [("content-type", "application/json")];
    let body = |n: usize| format!(r#"{{"p":"{}","t":""}}"#, "x".repeat(n - r#"{"p":"","t":""}"#.len())).into_bytes();
    let mut fits = body(BODY_HOLD_BYTES_MAX - 1);
    assert_eq!(kind("body /t", "s", &mut get("/", &json), Some(&mut fits)), "placed");
    let mut over = body(BODY_HOLD_BYTES_MAX);
    assert_eq!(kind("body /t", "s", &mut get("/", &json), Some(&mut over)), "body_too_long");
    assert_eq!(over.len(), BODY_HOLD_BYTES_MAX, "a body that is refused is not changed");
}

proptest! {
    #[test]
    fn any_words_parse_or_are_refused_and_what_parses_prints_back(words in "(bearer|basic|header|query|cookie|body|form|path)( [ -~]{0,20})?") {
        if let Ok(placement) = words.parse::<Placement>() {
            prop_assert_eq!(placement.to_string().parse::<Placement>(), Ok(placement));
        }
    }

    #[test]
    fn a_placed_credential_is_in_its_slot_and_the_other_slots_are_untouched(text in "[!-~]{1,30}", which in 0usize..4) {
        let words = ["bearer", "header x-k", "query k", "cookie c"][which];
        let mut parts = get("/p?z=1", &[("authorization", "A"), ("x-k", "B"), ("cookie", "c=C; d=D")]);
        let place = placement(words);
        if place.place(&secret(&text), None, &mut parts, None).is_ok() {
            prop_assert_eq!(place.read(&parts, None), Some(text));
            prop_assert!(which == 0 || values(&parts, "authorization") == ["A"]);
            prop_assert!(which == 1 || values(&parts, "x-k") == ["B"]);
            prop_assert!(which == 2 || parts.uri == "/p?z=1");
            prop_assert!(values(&parts, "cookie")[0].contains("d=D"));
        }
    }
}

#[test]
fn a_credential_that_goes_nowhere_is_never_written() {
    let nowhere: Placement = "none".parse().unwrap();
    let before = Request::get("/v2/").header("authorization", "Bearer placeholder").body(()).unwrap().into_parts().0;
    let mut parts = before.clone();
    assert_eq!(nowhere.place(&Secret::new(b"s3cret".to_vec()), None, &mut parts, None), Err(PlaceError::Nowhere));
    assert_eq!(parts.headers, before.headers);
    assert!(nowhere.slots().is_empty() && nowhere.read(&parts, None).is_none());
}
