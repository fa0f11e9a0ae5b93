//! Puts a received credential back into an answer, in a chosen place, form, coding and number of pieces.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder, write::ZlibEncoder};
use hyper::{HeaderMap, header::HeaderValue};

use crate::{
    encode::Form,
    serve::{Call, Reply, reply, reply_stream, set_header},
};

/// What `/reflect?in=…&form=…&coding=…&split=…&pad=…` asks for.
struct Wish {
    place: String,
    form: Form,
    coding: String,
    piece_bytes: Option<usize>,
    pad: usize,
    range: Option<(usize, usize)>,
}

/// Answers a reflect request; `secret` is the credential that arrived.
pub(super) fn reflect(call: &Call, secret: &str) -> Reply {
    let Some(wish) = wish(call) else {
        return reply(400, "text/plain", "unknown form");
    };
    let mut plain = "x".repeat(wish.pad).into_bytes();
    plain.extend_from_slice(secret.as_bytes());
    let formed = wish.form.encode(&plain);
    let text = String::from_utf8_lossy(&formed).into_owned();
    match wish.place.as_str() {
        "body" => body(200, &wish, &formed),
        "error" => body(500, &wish, &formed),
        "header" => with_header("x-reflected", &text),
        "cookie" => with_header("set-cookie", &format!("reflected={text}; Path=/; HttpOnly")),
        "redirect" => {
            let mut answer =
                with_header("location", &format!("{}/landing?token={text}", call.base));
            *answer.status_mut() = hyper::StatusCode::FOUND;
            answer
        }
        "trailer" => trailer(&text),
        _ => reply(400, "text/plain", "unknown place"),
    }
}

fn wish(call: &Call) -> Option<Wish> {
    let size = |name| {
        call.number(name)
            .and_then(|number| usize::try_from(number).ok())
    };
    Some(Wish {
        place: call.query("in").unwrap_or_else(|| "body".to_owned()),
        form: Form::named(call.query("form").as_deref())?,
        coding: call
            .query("coding")
            .unwrap_or_else(|| "identity".to_owned()),
        piece_bytes: size("split").filter(|bytes| *bytes > 0),
        pad: size("pad").unwrap_or(0).min(64),
        range: call.header("range").and_then(range),
    })
}

/// `bytes=first-last`, both given (RFC 9110 section 14.1.2).
fn range(value: &str) -> Option<(usize, usize)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn with_header(name: &str, value: &str) -> Reply {
    let mut answer = reply(200, "text/plain", "the credential is in the head\n");
    set_header(&mut answer, name, value);
    answer
}

fn body(status: u16, wish: &Wish, formed: &[u8]) -> Reply {
    let json = wish.form == Form::Json;
    let (before, after, kind): (&[u8], &[u8], _) = if json {
        (b"{\"reflected\":\"", b"\"}\n", "application/json")
    } else {
        (b"reflected=", b"\n", "text/plain")
    };
    let whole = [before, formed, after].concat();
    let (status, whole, range) = match wish.range {
        Some((first, last)) if status == 200 => {
            let total = whole.len();
            let last = last.min(total.saturating_sub(1));
            match whole.get(first..=last).filter(|part| !part.is_empty()) {
                Some(part) => (
                    206,
                    part.to_vec(),
                    Some(format!("bytes {first}-{last}/{total}")),
                ),
                None => (416, Vec::new(), Some(format!("bytes */{total}"))),
            }
        }
        _ => (status, whole, None),
    };
    let Ok(coded) = code(&wish.coding, &whole) else {
        return reply(400, "text/plain", "unknown coding");
    };
    let mut answer = match wish.piece_bytes {
        None => reply(status, kind, coded),
        Some(bytes) => pieces(status, kind, &coded, bytes),
    };
    if wish.coding != "identity" {
        set_header(&mut answer, "content-encoding", &wish.coding);
    }
    if let Some(range) = range {
        set_header(&mut answer, "content-range", &range);
    }
    answer
}

fn pieces(status: u16, kind: &str, coded: &[u8], bytes: usize) -> Reply {
    let (mut sender, answer) = reply_stream(status, kind);
    let pieces: Vec<Bytes> = coded.chunks(bytes).map(Bytes::copy_from_slice).collect();
    tokio::spawn(async move {
        for piece in pieces {
            if sender.send_data(piece).await.is_err() {
                return;
            }
            // The connection is idle for a moment, so that the piece goes out by itself.
            tokio::task::yield_now().await;
        }
    });
    answer
}

fn trailer(text: &str) -> Reply {
    let (mut sender, mut answer) = reply_stream(200, "text/plain");
    // Over HTTP/1.1 hyper sends trailers only to a client that said `TE: trailers`.
    set_header(&mut answer, "trailer", "x-reflected");
    let value = HeaderValue::from_str(text);
    tokio::spawn(async move {
        if sender
            .send_data(Bytes::from_static(b"the credential is in the trailer\n"))
            .await
            .is_ok()
            && let Ok(value) = value
        {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-reflected", value);
            let _ = sender.send_trailers(trailers).await;
        }
    });
    answer
}

fn code(coding: &str, plain: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        "identity" => Ok(plain.to_vec()),
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        // RFC 9110 section 8.4.1.2: the zlib format.
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(plain)?;
            encoder.finish()
        }
        "br" => {
            let mut coded = Vec::new();
            let params = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut &*plain, &mut coded, &params)?;
            Ok(coded)
        }
        "zstd" => zstd::encode_all(plain, 0),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}
