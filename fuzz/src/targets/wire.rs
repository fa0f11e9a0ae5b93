//! Requests, answers, profiles.

use super::{line, text};
use http::request::Parts;
use marque_detect::Secret;
use marque_model::{Scheme, Target};
use marque_wire::answer::json::Pointer;
use marque_wire::answer::{AnswerField, ReturnSlot, looks_signed, swap};
use marque_wire::git::{CommandScan, Progress, parse_commands, read, recognise};
use marque_wire::graphql::Call;
use marque_wire::http::check::{check_absolute, check_connect, check_request};
use marque_wire::http::path::CanonicalPath;
use marque_wire::http::query::{parse as parse_query, parse_form};
use marque_wire::http::ws::{self, Rewriter, Side};
use marque_wire::place::Placement;
use marque_wire::profile::{BodyNeed, Egress, Extracted, Profile, RequestView, decoded_path};
use std::sync::LazyLock;

/// A canonical path is its own canonical path.
pub(crate) fn path(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(path) = CanonicalPath::parse(text) {
        let again = CanonicalPath::parse(path.as_str());
        assert_eq!(again.ok().map(|p| p.as_str().to_owned()).as_deref(), Some(path.as_str()));
        assert!(!path.segments().iter().any(|s| s == ".." || s == "."));
    }
    let _ = CanonicalPath::parse_keeping_slashes(text);
}

pub(crate) fn query(input: &[u8]) {
    if let Some(text) = text(input) {
        let _ = parse_query(text);
    }
}

pub(crate) fn form(input: &[u8]) {
    if let Ok(pairs) = parse_form(input, 64 << 10) {
        assert!(pairs.len() <= input.len() + 1);
    }
}

/// A head as bytes to the parts that the gateway judges. hyper reads it in production; here a plain reader does, which lets more
/// through.
fn parts_of(input: &[u8]) -> Option<(Parts, &[u8])> {
    let end = input.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = text(input.get(..end)?)?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let mut request = http::Request::builder().method(words.next()?).uri(words.next()?);
    request = match words.next() {
        Some("HTTP/1.0") => request.version(http::Version::HTTP_10),
        Some("HTTP/2") => request.version(http::Version::HTTP_2),
        _ => request,
    };
    for field in lines {
        let (name, value) = field.split_once(':')?;
        request = request.header(name, value.trim());
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    Some((parts, input.get(end + 4..).unwrap_or_default()))
}

static API: LazyLock<Option<Target>> = LazyLock::new(|| Target::new(Scheme::Https, "api.test", 443).ok());

pub(crate) fn http_request(input: &[u8]) {
    let (Some((parts, body)), Some(target)) = (parts_of(input), API.as_ref()) else { return };
    let _ = (check_connect(&parts.uri), check_absolute(&parts.uri), ws::check_request(&parts));
    if check_request(&parts, target).is_err() {
        return;
    }
    // Whatever passed: what is placed can be read back from its one place, and a refusal changes nothing.
    for placement in ["bearer", "basic x", "header x-api-key", "query key", "cookie sid", "body /a/b", "form token"] {
        let Ok(placement) = placement.parse::<Placement>() else { continue };
        let (mut to, mut held) = (parts.clone(), body.to_vec());
        match placement.place(&Secret::new(SECRET.to_vec()), None, &mut to, Some(&mut held)) {
            Ok(()) => assert_eq!(placement.read(&to, Some(&held)).as_deref().map(str::as_bytes), Some(SECRET), "{placement}"),
            Err(_) => assert!(to.headers == parts.headers && to.uri == parts.uri && held == body, "{placement}"),
        }
    }
}

/// What stands for a credential.
const SECRET: &[u8] = b"the-real-one-0123";

pub(crate) fn connect_authority(input: &[u8]) {
    let Some(Ok(uri)) = text(input).map(str::parse::<http::Uri>) else { return };
    if let Ok(target) = check_connect(&uri) {
        assert_eq!(uri.authority().map(|a| target.is_named_by(a.as_str())), Some(true));
    }
}

/// In pieces and whole, the same frames come out; a client's are masked anew.
fn websocket(side: Side, input: &[u8]) {
    let run = |piece: usize| {
        let (mut rewriter, mut out, mut shown) = (Rewriter::new(side), Vec::new(), Vec::new());
        let mut scrub = |piece: ws::Piece<'_>, to: &mut Vec<u8>| {
            shown.extend_from_slice(piece.bytes);
            to.extend_from_slice(piece.bytes);
            Ok(())
        };
        let mut fine = true;
        for chunk in input.chunks(piece.max(1)) {
            fine = fine && rewriter.push(chunk, &mut scrub, &mut || [1, 2, 3, 4], &mut out).is_ok();
        }
        (fine, shown)
    };
    let (whole, shown) = run(usize::MAX);
    let (pieces, also) = run(1 + input.len() / 64);
    assert_eq!(whole, pieces);
    if whole {
        assert_eq!(shown, also);
    }
}

pub(crate) fn websocket_client(input: &[u8]) {
    websocket(Side::Client, input);
}

pub(crate) fn websocket_server(input: &[u8]) {
    websocket(Side::Server, input);
}

pub(crate) fn git_pkt(input: &[u8]) {
    let mut rest = input;
    while let Ok(Some((_, length))) = read(rest) {
        assert!((4..=rest.len()).contains(&length));
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// What is found in pieces is found whole.
pub(crate) fn git_commands(input: &[u8]) {
    let whole = parse_commands(input);
    let (mut scan, mut end) = (CommandScan::default(), None);
    let mut at = 0;
    let step = 1 + input.len() / 64;
    while at < input.len() && end.is_none() {
        at = (at + step).min(input.len());
        match scan.advance(input.get(..at).unwrap_or_default()) {
            Ok(Progress::Done { end: found }) => end = Some(found),
            Ok(Progress::NeedMore { at_least }) => assert!(at_least > at, "asked for what is there"),
            Err(_) => break,
        }
    }
    if let Ok(list) = whole {
        assert_eq!(end, Some(list.end));
    }
}

/// `METHOD path query`, then headers as `name: value` lines.
pub(crate) fn git_smart(input: &[u8]) {
    let (first, rest) = line(input);
    let (Some(first), Some(rest)) = (text(first), text(rest)) else { return };
    let mut words = first.splitn(3, ' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return };
    let query = parse_query(words.next().unwrap_or("")).unwrap_or_default();
    let headers: Vec<(String, String)> = rest.lines().filter_map(|l| l.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect();
    if let Some(found) = recognise(method, path, &query, &headers) {
        assert!(path.contains(found.repo));
    }
}

/// Roots and arguments of a call that is read can be asked for without end.
pub(crate) fn graphql(input: &[u8]) {
    let Ok(call) = Call::parse(input) else { return };
    let Ok(roots) = call.roots() else { return };
    for root in &roots {
        assert!(!root.name().is_empty());
        for name in root.arguments() {
            let _ = call.argument(root, &[name.to_owned(), "id".to_owned()]);
        }
    }
}

pub(crate) fn placement(input: &[u8]) {
    let Some(Ok(placement)) = text(input).map(str::parse::<Placement>) else { return };
    assert_eq!(placement.to_string().parse::<Placement>().as_ref(), Ok(&placement));
    assert!(!placement.slots().is_empty());
}

pub(crate) fn answer_field(input: &[u8]) {
    let Some(Ok(field)) = text(input).map(str::parse::<AnswerField>) else { return };
    assert_eq!(field.to_string().parse::<AnswerField>().as_ref(), Ok(&field));
}

pub(crate) fn json_pointer(input: &[u8]) {
    let Some(Ok(pointer)) = text(input).map(Pointer::parse) else { return };
    assert_eq!(Pointer::parse(&pointer.to_string()).as_ref(), Ok(&pointer));
}

pub(crate) fn return_slot(input: &[u8]) {
    let Some(Ok(slot)) = text(input).map(str::parse::<ReturnSlot>) else { return };
    assert_eq!(slot.to_string().parse::<ReturnSlot>().as_ref(), Ok(&slot));
}

/// After a swap, what was JSON is JSON.
pub(crate) fn answer_swap(input: &[u8]) {
    let fields: Vec<AnswerField> =
        ["json /token", "json /auths/*/auth", "url /url", "location", "cookie *"].iter().filter_map(|f| f.parse().ok()).collect();
    let form: Vec<AnswerField> = ["form access_token"].iter().filter_map(|f| f.parse().ok()).collect();
    for (kind, fields) in [("application/json", fields), ("application/x-www-form-urlencoded", form)] {
        let answer = http::Response::builder().header("content-type", kind).header("location", "https://h/x?sig=1").header("set-cookie", "a=b; Path=/");
        let Ok(answer) = answer.body(()) else { continue };
        let (mut head, ()) = answer.into_parts();
        let mut body = input.to_vec();
        let mut count = 0;
        let done = swap(&mut head, Some(&mut body), &fields, &mut |carrier: &str, _: &[u8]| {
            count += 1;
            let url = carrier.starts_with("url") || carrier.starts_with("location");
            if url { format!("https://kept.marque.invalid/{count:04}") } else { format!("marque-kept-{count:04}") }
        });
        let is_json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).is_ok();
        if done.is_ok() && kind == "application/json" {
            // The other way round it may become JSON: a value that is no text (`\ud800`) is exchanged like any other.
            assert!(is_json(&body) || !is_json(input), "what was JSON is JSON");
        }
    }
    if let Some(text) = text(input) {
        let _ = looks_signed(text);
    }
}

/// What is a profile, is checked without end.
pub(crate) fn profile(input: &[u8]) {
    let Some(Ok(profile)) = text(input).map(Profile::parse) else { return };
    let _ = profile.check();
    assert!(!profile.service().is_empty());
}

pub(crate) fn egress(input: &[u8]) {
    if let Some(Ok(set)) = text(input).map(Egress::parse) {
        assert!(!set.name().is_empty());
    }
}

static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let texts = [
        include_str!("../../../services/github.toml"),
        include_str!("../../../services/anthropic.toml"),
        include_str!("../../../services/openai.toml"),
        include_str!("../../../services/slack.toml"),
        include_str!("../../../services/docker-registry.toml"),
    ];
    texts.iter().filter_map(|text| Profile::parse(text).ok()).collect()
});

/// `service`, `alias`, `method`, path, query, one header, each on a line; then the body. What a profile knows of a request has a
/// name, and a body that it does not ask for says nothing more.
pub(crate) fn profile_extract(input: &[u8]) {
    let mut lines = Vec::new();
    let mut rest = input;
    for _ in 0..6 {
        let (first, behind) = line(rest);
        lines.push(text(first).unwrap_or(""));
        rest = behind;
    }
    let [service, alias, method, raw_path, raw_query, header] = lines.as_slice() else { return };
    let Some(profile) = PROFILES.iter().find(|p| p.service() == *service) else { return };
    let Ok(path) = CanonicalPath::parse(raw_path) else { return };
    let Ok(query) = parse_query(raw_query) else { return };
    let headers: Vec<(String, String)> = header.split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())).into_iter().collect();
    let path = decoded_path(&path);
    let view = RequestView { alias, method, path: &path, query: &query, headers: &headers, body: Some(rest) };
    let found = profile.extract(&view);
    if profile.need(&view) == BodyNeed::None && matches!(found, Extracted::Known(_)) {
        assert_eq!(profile.extract(&RequestView { body: None, ..view }), found, "the body counts and was not asked for");
    }
    if let Extracted::Known(meanings) = found {
        assert!(!meanings.is_empty());
        for meaning in meanings {
            assert!(!meaning.operation.is_empty() && !meaning.resource.contains(char::is_whitespace), "{meaning:?}");
        }
    }
}
