use super::frame::{Head, Opcode};
use super::rewrite::Scrub;
use super::*;
use crate::limits::{WS_CONTROL_BYTES_MAX, WS_FRAME_BYTES_MAX, WS_GATHER_BYTES_MAX, WS_PROTOCOLS_MAX};
use http::{Request, Response, request, response};
use proptest::prelude::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn asks(edit: &[(&str, Option<&str>)]) -> request::Parts {
    let mut parts = Request::builder()
        .header("upgrade", "websocket")
        .header("connection", "keep-alive, Upgrade")
        .header("sec-websocket-key", KEY)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, v2.json")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    change(&mut parts.headers, edit);
    parts
}

fn answers(status: u16, edit: &[(&str, Option<&str>)]) -> response::Parts {
    let mut parts = Response::builder()
        .status(status)
        .header("upgrade", "WebSocket")
        .header("connection", "upgrade")
        .header("sec-websocket-accept", ACCEPT)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    change(&mut parts.headers, edit);
    parts
}

fn change(headers: &mut http::HeaderMap, edit: &[(&str, Option<&str>)]) {
    for (name, value) in edit {
        let name = http::HeaderName::try_from(*name).unwrap();
        match value {
            None => drop(headers.remove(name)),
            Some(value) => match value.strip_prefix('+') {
                Some(more) => drop(headers.append(name, more.parse().unwrap())),
                None => drop(headers.insert(name, value.parse().unwrap())),
            },
        }
    }
}

#[test]
fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
    assert_eq!(accept_for(KEY), ACCEPT);
}

#[test]
fn only_a_handshake_of_rfc_6455_is_taken() {
    assert!(check_request(&asks(&[])).is_ok());
    for edit in [
        ("upgrade", None),
        ("upgrade", Some("h2c")),
        ("upgrade", Some("+h2c")),
        ("connection", None),
        ("connection", Some("close")),
        ("sec-websocket-key", None),
        ("sec-websocket-key", Some("short")),
        ("sec-websocket-key", Some("dGhlIHNhbXBsZSBub25jZQ")),
        ("sec-websocket-key", Some("+dGhlIHNhbXBsZSBub25jZQ==")),
        ("sec-websocket-version", None),
        ("sec-websocket-version", Some("8")),
        ("sec-websocket-version", Some("13, 8")),
        ("sec-websocket-protocol", Some("a b")),
        ("sec-websocket-protocol", Some("a,,b")),
        ("content-length", Some("3")),
        ("transfer-encoding", Some("chunked")),
    ] {
        assert_eq!(check_request(&asks(&[edit])).map_err(WsError::kind), Err("websocket_request"), "{edit:?}");
    }
    let mut post = asks(&[]);
    post.method = http::Method::POST;
    assert!(check_request(&post).is_err());
    let mut two = asks(&[]);
    two.version = http::Version::HTTP_2;
    assert!(check_request(&two).is_err());
    let list = |n: usize| check_request(&asks(&[("sec-websocket-protocol", Some(&vec!["p"; n].join(",")))]));
    assert!(list(WS_PROTOCOLS_MAX).is_ok());
    assert!(list(WS_PROTOCOLS_MAX + 1).is_err());
}

#[test]
fn only_an_answer_to_this_very_handshake_switches() -> Result<(), WsError> {
    let asked = check_request(&asks(&[]))?;
    assert_eq!(check_response(&answers(101, &[]), &asked)?.protocol, None);
    let chosen = answers(101, &[("sec-websocket-protocol", Some("v2.json"))]);
    assert_eq!(check_response(&chosen, &asked)?.protocol.as_deref(), Some("v2.json"));
    assert!(check_response(&answers(200, &[]), &asked).is_err());
    for edit in [
        ("sec-websocket-accept", None),
        ("sec-websocket-accept", Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo")),
        ("sec-websocket-accept", Some("+s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")),
        ("upgrade", None),
        ("upgrade", Some("h2c")),
        ("connection", Some("close")),
        ("sec-websocket-extensions", Some("permessage-deflate")),
        ("sec-websocket-protocol", Some("other")),
        ("sec-websocket-protocol", Some("chat, v2.json")),
    ] {
        assert!(check_response(&answers(101, &[edit]), &asked).is_err(), "{edit:?}");
    }
    Ok(())
}

/// One frame as bytes.
fn frame(side: Side, fin: bool, opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mask = (side == Side::Client).then_some([0x37, 0xfa, 0x21, 0x3d]);
    Head::write(fin, opcode, mask, payload, &mut out);
    out
}

/// The frames of a stream, unmasked.
fn read(side: Side, mut bytes: &[u8]) -> Vec<(bool, Opcode, Vec<u8>)> {
    let mut out = Vec::new();
    while let Some((head, used)) = Head::read(bytes, side).unwrap() {
        let end = used + usize::try_from(head.len_bytes).unwrap();
        let mut payload = bytes[used..end].to_vec();
        if let Some(mask) = head.mask {
            super::frame::apply(mask, 0, &mut payload);
        }
        out.push((head.fin, head.opcode, payload));
        bytes = &bytes[end..];
    }
    assert!(bytes.is_empty());
    out
}

fn pass(piece: Piece<'_>, out: &mut Vec<u8>) -> Result<(), WsError> {
    out.extend_from_slice(piece.bytes);
    Ok(())
}

fn run(side: Side, chunks: &[&[u8]], scrub: &mut Scrub<'_>) -> Result<Vec<u8>, WsError> {
    let mut rewriter = Rewriter::new(side);
    let mut out = Vec::new();
    let mut next = 0u8;
    let mut mask = || {
        next = next.wrapping_add(1);
        [next, 2, 3, 4]
    };
    for chunk in chunks {
        rewriter.push(chunk, scrub, &mut mask, &mut out)?;
    }
    rewriter.finish()?;
    Ok(out)
}

#[test]
fn frames_go_through_as_they_are_and_are_masked_anew() -> Result<(), WsError> {
    for side in [Side::Client, Side::Server] {
        let stream = [
            frame(side, true, Opcode::Text, b"hello"),
            frame(side, false, Opcode::Binary, b"one"),
            frame(side, true, Opcode::Ping, b"p"),
            frame(side, true, Opcode::Continuation, b"two"),
            frame(side, true, Opcode::Text, b""),
            frame(side, true, Opcode::Close, b"\x03\xe8bye"),
        ]
        .concat();
        let out = run(side, &[&stream], &mut pass)?;
        assert_eq!(read(side, &out), read(side, &stream));
        assert_eq!(out == stream, side == Side::Server, "a client's frames have another mask");
    }
    Ok(())
}

/// Masks `SECRET` by stars, across pieces, holding back what may become one.
fn stars() -> impl FnMut(Piece<'_>, &mut Vec<u8>) -> Result<(), WsError> {
    let mut held = Vec::new();
    move |piece, out| {
        if piece.kind == Kind::Control {
            out.extend_from_slice(piece.bytes);
            return Ok(());
        }
        held.extend_from_slice(piece.bytes);
        while let Some(at) = held.windows(6).position(|w| w == b"SECRET") {
            held[at..at + 6].fill(b'*');
        }
        let keep = if piece.is_last { 0 } else { held.len().min(5) };
        out.extend(held.drain(..held.len() - keep));
        Ok(())
    }
}

#[test]
fn a_secret_that_is_cut_over_frames_is_scrubbed() -> Result<(), WsError> {
    for side in [Side::Client, Side::Server] {
        let stream = [
            frame(side, false, Opcode::Text, b"a SEC"),
            frame(side, true, Opcode::Ping, b"SECRET"),
            frame(side, false, Opcode::Continuation, b"R"),
            frame(side, true, Opcode::Continuation, b"ET b"),
            frame(side, true, Opcode::Text, b"SECRET"),
        ]
        .concat();
        let frames = read(side, &run(side, &[&stream], &mut stars())?);
        let texts: Vec<u8> = frames.iter().filter(|f| !f.1.is_control()).flat_map(|f| f.2.clone()).collect();
        assert_eq!(texts, b"a ****** b******");
        assert_eq!(frames.iter().filter(|f| f.1 == Opcode::Text).count(), 2, "each message begins once");
        assert_eq!(frames.iter().filter(|f| f.0 && !f.1.is_control()).count(), 2, "and ends once");
    }
    Ok(())
}

#[test]
fn a_malformed_stream_is_an_error() {
    let text = |fin, payload: &[u8]| frame(Side::Server, fin, Opcode::Text, payload);
    let more = |fin| frame(Side::Server, fin, Opcode::Continuation, b"x");
    for (stream, want) in [
        (vec![0xc1, 0x00], "websocket_frame"),
        (vec![0xa1, 0x00], "websocket_frame"),
        (vec![0x83, 0x00], "websocket_frame"),
        (vec![0x8b, 0x00], "websocket_frame"),
        (vec![0x81, 0x80, 0, 0, 0, 0], "websocket_frame"),
        (vec![0x81, 0x7e, 0x00, 0x7d], "websocket_frame"),
        (vec![0x81, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "websocket_frame"),
        (vec![0x81, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0], "websocket_too_long"),
        (vec![0x09, 0x00], "websocket_frame"),
        (vec![0x89, 0x7e, 0x00, 0x7e], "websocket_frame"),
        (more(true), "websocket_frame"),
        ([text(false, b"a"), text(true, b"b")].concat(), "websocket_frame"),
        (frame(Side::Server, true, Opcode::Close, b"\x03"), "websocket_frame"),
        (frame(Side::Server, true, Opcode::Close, b"\x03\xed"), "websocket_frame"),
        (frame(Side::Server, true, Opcode::Close, b"\x03\xe8\xff"), "websocket_frame"),
        ([frame(Side::Server, true, Opcode::Close, b""), text(true, b"a")].concat(), "websocket_frame"),
        (text(false, b"a"), "websocket_truncated"),
        (text(true, b"abc")[..3].to_vec(), "websocket_truncated"),
        (vec![0x81], "websocket_truncated"),
    ] {
        assert_eq!(run(Side::Server, &[&stream], &mut pass).map_err(WsError::kind), Err(want), "{stream:x?}");
    }
    assert_eq!(run(Side::Client, &[&text(true, b"a")], &mut pass).map_err(WsError::kind), Err("websocket_frame"));
}

#[test]
fn after_an_error_nothing_more_comes_out() {
    let mut rewriter = Rewriter::new(Side::Server);
    let mut out = Vec::new();
    let mut push = |bytes: &[u8]| rewriter.push(bytes, &mut pass, &mut || [0; 4], &mut out);
    assert!(push(&[0xc1, 0x00]).is_err());
    assert!(push(&frame(Side::Server, true, Opcode::Text, b"a")).is_err());
    assert!(rewriter.finish().is_err());
    assert!(out.is_empty());
}

#[test]
fn a_scrubber_can_withhold_and_cannot_break_a_control_frame() {
    let ping = frame(Side::Server, true, Opcode::Ping, &[b'a'; WS_CONTROL_BYTES_MAX]);
    let close = frame(Side::Server, true, Opcode::Close, b"\x03\xe8why");
    let mut withhold = |_: Piece<'_>, _: &mut Vec<u8>| Err(WsError::Withheld);
    assert_eq!(run(Side::Server, &[&ping], &mut withhold), Err(WsError::Withheld));
    let mut longer = |piece: Piece<'_>, out: &mut Vec<u8>| {
        out.extend_from_slice(piece.bytes);
        out.push(b'!');
        Ok(())
    };
    assert_eq!(run(Side::Server, &[&ping], &mut longer), Err(WsError::Withheld));
    let mut zeros = |piece: Piece<'_>, out: &mut Vec<u8>| {
        out.resize(piece.bytes.len(), 0);
        Ok(())
    };
    assert_eq!(run(Side::Server, &[&close], &mut zeros), Err(WsError::Withheld));
}

#[test]
fn frames_are_bounded_at_n() -> Result<(), WsError> {
    let head = |len: u64| [&[0x82, 0x7f][..], &len.to_be_bytes()].concat();
    assert!(Head::read(&head(WS_FRAME_BYTES_MAX), Side::Server)?.is_some());
    assert_eq!(Head::read(&head(WS_FRAME_BYTES_MAX + 1), Side::Server), Err(WsError::TooLong));

    for (len, frames) in [(WS_GATHER_BYTES_MAX, 1), (WS_GATHER_BYTES_MAX + 1, 2)] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let stream = frame(Side::Client, true, Opcode::Binary, &payload);
        let out = read(Side::Client, &run(Side::Client, &[&stream], &mut pass)?);
        assert_eq!(out.len(), frames, "a frame of {len} bytes");
        assert_eq!(out.into_iter().flat_map(|f| f.2).collect::<Vec<u8>>(), payload);
    }
    let control = |n: usize| run(Side::Server, &[&frame(Side::Server, true, Opcode::Pong, &vec![1; n])], &mut pass);
    assert!(control(WS_CONTROL_BYTES_MAX).is_ok());
    assert!(control(WS_CONTROL_BYTES_MAX + 1).is_err());
    Ok(())
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_messages(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5),
                                                   cuts in prop::collection::vec(0usize..1500, 0..8), client in any::<bool>()) {
        let side = if client { Side::Client } else { Side::Server };
        let count = payloads.len();
        let stream: Vec<u8> = payloads.iter().enumerate().flat_map(|(i, p)| {
            frame(side, i + 1 == count, if i == 0 { Opcode::Binary } else { Opcode::Continuation }, p)
        }).collect();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(stream.len())).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &stream[w[0]..w[1]]).collect();
        let joined = |bytes: Vec<u8>| read(side, &bytes).into_iter().flat_map(|f| f.2).collect::<Vec<u8>>();
        prop_assert_eq!(joined(run(side, &chunks, &mut stars()).unwrap()), joined(run(side, &[&stream], &mut stars()).unwrap()));
    }

    #[test]
    fn any_bytes_are_survived_and_what_comes_out_is_frames(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for side in [Side::Client, Side::Server] {
            let mut out = Vec::new();
            let _ = Rewriter::new(side).push(&bytes, &mut pass, &mut || [9; 4], &mut out);
            read(side, &out);
        }
    }
}
