//! What is taken off a message before it goes on: what was meant for one hop, what would tell or change the route,
//! and every slot that a credential can occupy (RFC 9110 section 7.6.1; dataplane 1.1).

use super::framing::connection_names;
use super::{query, same_header};
use crate::place::{Slot, cookie, remove_header, set_target};
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, UPGRADE,
};
use http::request::Parts;

/// How a request is stripped.
#[derive(Debug, Clone, Copy, Default)]
pub struct RequestStrip<'a> {
    /// Every slot that a credential of this service can occupy, whether or not it is the one that will be used.
    pub slots: &'a [Slot],
    /// The answer will be scrubbed: no ranges of it and no content coding.
    pub scrubbed: bool,
    /// [`super::Checked::websocket`]: the upgrade goes on, its extensions do not.
    pub websocket: bool,
}

/// How an answer is stripped.
#[derive(Debug, Clone, Copy, Default)]
pub struct ResponseStrip {
    /// The answer is scrubbed: nothing may lead the client past the gateway or ask for parts.
    pub scrubbed: bool,
    /// A 101 to a WebSocket handshake that [`super::ws::check_response`] has taken.
    pub websocket: bool,
}

/// For one hop, by the specifications or by use. `Proxy-*` goes too.
const HOP: [&str; 7] = ["connection", "http2-settings", "keep-alive", "te", "transfer-encoding", "upgrade", "expect"];

/// They say where a request came from: the upstream must not believe the agent about that, nor learn about the house.
const ROUTE: [&str; 12] = [
    "cf-connecting-ip",
    "client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-original-host",
    "x-originating-ip",
    "x-real-ip",
];

/// They say that a request is another than it is.
const OVERRIDE: [&str; 9] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-http-path-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-url",
];

/// Takes off a request what must not go on. Returns the slots in which the agent had put something, so that a
/// credential of its own can be told from a placeholder and recorded.
///
/// Body slots are overwritten where the credential is placed, and path slots must hold their placeholder: neither is
/// touched here. Where any slot is given, `Authorization` goes whatever the slots are: two identities in one request
/// let the upstream choose.
pub fn strip_request(parts: &mut Parts, strip: &RequestStrip<'_>) -> Vec<Slot> {
    let trailers = accepts_trailers(&parts.headers);
    remove_named(&mut parts.headers);
    remove_where(&mut parts.headers, |name| {
        is_hop(name)
            || starts_with(name, "x-forwarded-")
            || ROUTE.iter().chain(&OVERRIDE).any(|known| same_header(name, known))
            || (strip.scrubbed && (same_header(name, "range") || same_header(name, "if-range")))
            || (strip.websocket && same_header(name, "sec-websocket-extensions"))
    });
    let filled = strip_slots(parts, strip.slots);
    let headers = &mut parts.headers;
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if strip.scrubbed {
        remove_header(headers, &ACCEPT_ENCODING);
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    if strip.websocket {
        upgrade_websocket(headers);
    }
    filled
}

/// Takes off an answer what must not go on. Challenges (`WWW-Authenticate`) stay: clients need them to know what
/// scheme to use a placeholder with.
pub fn strip_response(headers: &mut HeaderMap, strip: ResponseStrip) {
    remove_named(headers);
    remove_where(headers, |name| {
        is_hop(name)
            || same_header(name, "set-cookie2")
            || (strip.scrubbed && same_header(name, "alt-svc"))
            || (strip.scrubbed && same_header(name, "alt-used"))
            || (strip.scrubbed && same_header(name, "accept-ranges"))
            || (strip.websocket && same_header(name, "sec-websocket-extensions"))
    });
    if strip.websocket {
        upgrade_websocket(headers);
    }
}

/// After a body was changed: its length, where it is known, and none of the marks of the bytes that it was.
pub fn body_changed(headers: &mut HeaderMap, len_bytes: Option<usize>) {
    remove_where(headers, |name| {
        ["content-md5", "digest", "content-digest", "repr-digest", "etag", "content-length"].iter().any(|k| name == k)
            || starts_with(name, "x-amz-checksum-")
    });
    if let Some(len) = len_bytes {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
}

fn strip_slots(parts: &mut Parts, slots: &[Slot]) -> Vec<Slot> {
    let mut filled = Vec::new();
    for slot in slots {
        let had = match slot {
            Slot::Header(name) => remove_header(&mut parts.headers, name),
            Slot::Cookie(name) => cookie::remove(&mut parts.headers, name),
            Slot::Query(name) => remove_parameter(parts, name),
            Slot::Body(_) | Slot::Form(_) | Slot::Path => false,
        };
        if had {
            filled.push(slot.clone());
        }
    }
    if !slots.is_empty() && remove_header(&mut parts.headers, &AUTHORIZATION) {
        filled.push(Slot::Header(AUTHORIZATION));
    }
    filled
}

fn remove_parameter(parts: &mut Parts, name: &str) -> bool {
    let Some(raw) = parts.uri.query().filter(|raw| query::has(raw, name)) else { return false };
    let kept = query::replace(raw, name, None);
    let path = parts.uri.path();
    let target = if kept.is_empty() { path.to_owned() } else { [path, "?", &kept].concat() };
    // A shorter target of the same pieces is a target.
    set_target(parts, &target).is_ok()
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    let tokens = headers.get_all(TE).into_iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    tokens.map(<[u8]>::trim_ascii).any(|token| token.eq_ignore_ascii_case(b"trailers"))
}

/// Everything that `Connection` names. A list that [`super::check_request`] would refuse names nothing.
fn remove_named(headers: &mut HeaderMap) {
    for name in connection_names(headers).unwrap_or_default() {
        remove_header(headers, &name);
    }
}

fn is_hop(name: &HeaderName) -> bool {
    HOP.iter().any(|hop| same_header(name, hop)) || starts_with(name, "proxy-")
}

fn starts_with(name: &HeaderName, prefix: &str) -> bool {
    let fold = |b: u8| if b == b'_' { b'-' } else { b };
    name.as_str().len() >= prefix.len() && name.as_str().bytes().map(fold).zip(prefix.bytes()).all(|(a, b)| a == b)
}

fn remove_where(headers: &mut HeaderMap, is_gone: impl Fn(&HeaderName) -> bool) {
    let gone: Vec<HeaderName> = headers.keys().filter(|name| is_gone(name)).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

fn upgrade_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn get(target: &str, lines: &[&str]) -> Parts {
        let mut builder = Request::builder().uri(target);
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            builder = builder.header(name, value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        let mut out: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        out.sort();
        out
    }

    fn stripped(target: &str, headers: &[&str], strip: RequestStrip<'_>) -> (String, Vec<String>, Vec<Slot>) {
        let mut parts = get(target, headers);
        let filled = strip_request(&mut parts, &strip);
        (parts.uri.to_string(), lines(&parts.headers), filled)
    }

    #[test]
    fn what_is_for_one_hop_goes_no_further() {
        let (_, left, _) = stripped(
            "/",
            &[
                "host: api.test",
                "connection: keep-alive, X-Mine",
                "keep-alive: 5",
                "x-mine: 1",
                "x_mine: 2",
                "proxy-authorization: Basic agent",
                "proxy-connection: x",
                "Proxy_Authorization: Basic agent",
                "te: gzip, trailers",
                "transfer-encoding: chunked",
                "upgrade: h2c",
                "http2-settings: AAA",
                "expect: 100-continue",
                "trailer: x-sum",
                "accept: a/b",
            ],
            RequestStrip::default(),
        );
        assert_eq!(left, ["accept: a/b", "host: api.test", "te: trailers", "trailer: x-sum"]);
    }

    #[test]
    fn what_lies_about_route_or_method_goes_no_further() {
        for line in [
            "forwarded: for=1.2.3.4",
            "x-forwarded-for: 1.2.3.4",
            "x-forwarded-host: evil.test",
            "x_forwarded_proto: http",
            "x-real-ip: 1.2.3.4",
            "via: 1.1 a",
            "x-client-ip: 1.2.3.4",
            "x-http-method-override: DELETE",
            "x-http-method: DELETE",
            "x_http_method_override: DELETE",
            "x-method-override: DELETE",
            "x-original-url: /admin",
            "x-rewrite-url: /admin",
            "x-original-host: evil.test",
        ] {
            let (_, left, _) = stripped("/", &[line, "accept: a/b"], RequestStrip::default());
            assert_eq!(left, ["accept: a/b"], "{line}");
        }
    }

    #[test]
    fn a_scrubbed_route_asks_for_whole_and_plain_answers() {
        let headers = ["range: bytes=0-1", "if-range: \"x\"", "accept-encoding: br, gzip"];
        let scrubbed = RequestStrip { scrubbed: true, ..RequestStrip::default() };
        assert_eq!(stripped("/", &headers, scrubbed).1, ["accept-encoding: identity"]);
        assert_eq!(stripped("/", &headers, RequestStrip::default()).1.len(), 3, "other routes keep them");
        assert_eq!(stripped("/", &[], scrubbed).1, ["accept-encoding: identity"]);
    }

    #[test]
    fn every_slot_that_a_credential_can_occupy_is_emptied_in_every_spelling() {
        let slots = [
            Slot::Header(HeaderName::from_static("x-api-key")),
            Slot::Query("api_key".into()),
            Slot::Cookie("sid".into()),
        ];
        let (uri, left, filled) = stripped(
            "/a?api_key=agent&b=%2f&API%5fKEY=agent2",
            &[
                "x-api-key: agent",
                "x-api-key: agent2",
                "x_api_key: agent3",
                "authorization: Bearer agent",
                "cookie: a=1; sid=agent; b=2",
                "cookie: SID=agent",
                "accept: a/b",
            ],
            RequestStrip { slots: &slots, ..RequestStrip::default() },
        );
        assert_eq!(uri, "/a?b=%2f");
        assert_eq!(left, ["accept: a/b", "cookie: a=1; b=2"]);
        assert_eq!(filled.len(), 4);
        assert!(filled.contains(&Slot::Header(AUTHORIZATION)));

        let (uri, _, filled) =
            stripped("/a?api_key=x", &["accept: a/b"], RequestStrip { slots: &slots, ..RequestStrip::default() });
        assert_eq!((uri.as_str(), filled), ("/a", vec![Slot::Query("api_key".into())]));
        let (uri, left, filled) = stripped("/a?b=1", &["authorization: A"], RequestStrip::default());
        assert_eq!((uri.as_str(), left.len(), filled.len()), ("/a?b=1", 1, 0), "without slots nothing is emptied");
    }

    #[test]
    fn a_websocket_handshake_keeps_its_upgrade_and_loses_its_extensions() {
        let (_, left, _) = stripped(
            "/",
            &[
                "connection: keep-alive, Upgrade",
                "upgrade: websocket",
                "sec-websocket-key: k",
                "sec-websocket-extensions: permessage-deflate",
            ],
            RequestStrip { websocket: true, ..RequestStrip::default() },
        );
        assert_eq!(left, ["connection: Upgrade", "sec-websocket-key: k", "upgrade: websocket"]);
    }

    #[test]
    fn an_answer_leads_nobody_past_the_gateway() {
        let headers = |scrubbed| {
            let mut map = get(
                "/",
                &[
                    "connection: close, x-hop",
                    "x-hop: 1",
                    "keep-alive: 5",
                    "transfer-encoding: chunked",
                    "upgrade: h2c",
                    "proxy-authenticate: Basic",
                    "alt-svc: h3=\":443\"",
                    "accept-ranges: bytes",
                    "set-cookie2: a=1",
                    "www-authenticate: Bearer",
                    "content-length: 5",
                ],
            )
            .headers;
            strip_response(&mut map, ResponseStrip { scrubbed, websocket: false });
            lines(&map)
        };
        assert_eq!(headers(true), ["content-length: 5", "www-authenticate: Bearer"]);
        assert_eq!(
            headers(false),
            ["accept-ranges: bytes", "alt-svc: h3=\":443\"", "content-length: 5", "www-authenticate: Bearer"]
        );
    }

    #[test]
    fn a_changed_body_keeps_no_mark_of_the_old_one() {
        let mut map = get(
            "/",
            &["etag: \"x\"", "content-md5: x", "digest: x", "x-amz-checksum-crc32: x", "content-length: 9", "date: d"],
        )
        .headers;
        body_changed(&mut map, Some(4));
        assert_eq!(lines(&map), ["content-length: 4", "date: d"]);
        body_changed(&mut map, None);
        assert_eq!(lines(&map), ["date: d"]);
    }

    proptest! {
        #[test]
        fn stripping_twice_is_stripping_once(names in prop::collection::vec("(x-forwarded-for|connection|te|authorization|cookie|range|accept|x[-_]api[-_]key)", 0..8), value in "[a-z,= ]{1,12}") {
            let slots = [Slot::Header(HeaderName::from_static("x-api-key")), Slot::Cookie("a".into())];
            let strip = RequestStrip { slots: &slots, scrubbed: true, websocket: false };
            let owned: Vec<String> = names.iter().map(|n| format!("{n}: {}", value.trim())).collect();
            let mut parts = get("/", &owned.iter().map(String::as_str).collect::<Vec<_>>());
            strip_request(&mut parts, &strip);
            let once = lines(&parts.headers);
            prop_assert!(strip_request(&mut parts, &strip).is_empty());
            prop_assert_eq!(lines(&parts.headers), once);
            prop_assert!(!parts.headers.contains_key("x_api_key") && !parts.headers.contains_key(AUTHORIZATION));
        }
    }
}
