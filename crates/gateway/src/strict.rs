//! A guard in front of the HTTP/1 parser: request heads and chunked framing that two parsers could read differently are
//! refused before anything is parsed, let alone forwarded.
//!
//! hyper re-serialises every message, so ambiguous framing never goes upstream; but it accepts bare line feeds, several
//! `Host` fields, and a `Content-Length` beside `Transfer-Encoding` (which it drops, so that later phases cannot see
//! it). The guard reads the same bytes first. It holds a head back until the head is complete and well formed; a head that
//! is not is replaced by a request to [`REFUSED_HOST`], which the service answers with the reason, and nothing
//! after it is read.

use crate::limits::{CHUNK_LINE_BYTES_MAX, EARLY_BYTES_MAX, HEAD_BYTES_MAX, HEADER_FIELDS_MAX, TRAILER_BYTES_MAX};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The host of the request that takes the place of a refused head. No name server knows it (RFC 6761 section 6.4).
pub(crate) const REFUSED_HOST: &str = "refused.marque.invalid";
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nhost: refused.marque.invalid\r\nconnection: close\r\n\r\n";

/// Shared between the guard and the service behind it.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    raw: AtomicBool,
    why: OnceLock<&'static str>,
}

impl Signals {
    /// From now on the connection is no longer HTTP: a tunnel was granted, or an upgrade.
    pub(crate) fn go_raw(&self) {
        self.raw.store(true, Ordering::Release);
    }
    /// Why the head was refused.
    pub(crate) fn why(&self) -> &'static str {
        self.why.get().copied().unwrap_or("its head is malformed")
    }
}

/// What the guard expects next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    Head,
    /// This many bytes of body.
    Body(u64),
    ChunkLine,
    ChunkData(u64),
    /// The CRLF behind a chunk.
    ChunkEnd,
    Trailers,
    /// Behind a CONNECT: what comes is judged when the answer is known.
    Verdict,
}

/// A strict HTTP/1 request framer: bytes in, position out. No I/O.
#[derive(Debug)]
pub struct Framer {
    expect: Expect,
    /// How far the held part was searched for its end.
    scanned: usize,
    trailer_bytes: usize,
}

impl Default for Framer {
    fn default() -> Self {
        Self { expect: Expect::Head, scanned: 0, trailer_bytes: 0 }
    }
}

/// Why bytes are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// In a head: nothing of that head was released.
    Head {
        /// Bytes before it, which may be.
        clean: usize,
        /// Why.
        why: &'static str,
    },
    /// In a body, of which earlier parts were released.
    Body(&'static str),
}

impl Framer {
    /// Judges `bytes`, which begin where the last call stopped releasing. Returns how many may be released; what is left
    /// is an incomplete line or head, to be shown again with more behind it.
    ///
    /// # Errors
    /// [`Refused`]: nothing after it is read.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<usize, Refused> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(at);
            }
            let step = match self.expect {
                Expect::Head => self.head(rest).map_err(|why| Refused::Head { clean: at, why })?,
                Expect::Body(left) => self.skip(left, rest.len(), Expect::Body, Expect::Head),
                Expect::ChunkData(left) => self.skip(left, rest.len(), Expect::ChunkData, Expect::ChunkEnd),
                Expect::ChunkLine => self.chunk_line(rest).map_err(Refused::Body)?,
                Expect::ChunkEnd => self.chunk_end(rest).map_err(Refused::Body)?,
                Expect::Trailers => self.trailer(rest).map_err(Refused::Body)?,
                Expect::Verdict if rest.len() > EARLY_BYTES_MAX => {
                    return Err(Refused::Body("too much was sent before the tunnel stood"));
                }
                Expect::Verdict => None,
            };
            match step {
                Some(taken) => at += taken,
                None => return Ok(at),
            }
        }
    }

    fn skip(&mut self, left: u64, have: usize, more: fn(u64) -> Expect, then: Expect) -> Option<usize> {
        let take = usize::try_from(left).unwrap_or(usize::MAX).min(have);
        let left = left - take as u64;
        self.expect = if left == 0 { then } else { more(left) };
        Some(take)
    }

    fn head(&mut self, rest: &[u8]) -> Result<Option<usize>, &'static str> {
        let from = self.scanned.saturating_sub(3);
        let window = rest.get(..rest.len().min(HEAD_BYTES_MAX)).unwrap_or_default();
        let found = window.get(from..).unwrap_or_default().windows(4).position(|w| w == b"\r\n\r\n");
        let Some(end) = found.map(|p| from + p + 4) else {
            if rest.len() >= HEAD_BYTES_MAX {
                return Err("its head is too long");
            }
            // A head that ends in bare line feeds never ends for us: say so now and not at the time limit.
            let before = self.scanned.checked_sub(1).and_then(|at| rest.get(at)).copied().unwrap_or_default();
            lines_are_ended_by_crlf(before, rest.get(self.scanned..).unwrap_or_default())?;
            self.scanned = rest.len();
            return Ok(None);
        };
        self.scanned = 0;
        self.expect = judge_head(window.get(..end).unwrap_or_default())?;
        Ok(Some(end))
    }

    fn chunk_line(&mut self, rest: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(line) = line(rest, CHUNK_LINE_BYTES_MAX)? else { return Ok(None) };
        let size = line.split(|b| *b == b';').next().unwrap_or_default();
        if size.is_empty() || size.len() > 15 || !size.iter().all(u8::is_ascii_hexdigit) {
            return Err("a chunk size is not plain hexadecimal");
        }
        let size = size.iter().fold(0u64, |n, b| n * 16 + u64::from(char::from(*b).to_digit(16).unwrap_or(0)));
        self.trailer_bytes = 0;
        self.expect = if size == 0 { Expect::Trailers } else { Expect::ChunkData(size) };
        Ok(Some(line.len() + 2))
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Result<Option<usize>, &'static str> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.expect = Expect::ChunkLine;
                Ok(Some(2))
            }
            [b'\r'] => Ok(None),
            _ => Err("a chunk does not end where its size says"),
        }
    }

    fn trailer(&mut self, rest: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(line) = line(rest, TRAILER_BYTES_MAX.saturating_sub(self.trailer_bytes))? else { return Ok(None) };
        if line.is_empty() {
            self.expect = Expect::Head;
        } else {
            field(line)?;
            self.trailer_bytes += line.len() + 2;
        }
        Ok(Some(line.len() + 2))
    }
}

/// The line at the beginning, without its CRLF; `None` where more is needed.
fn line(rest: &[u8], max: usize) -> Result<Option<&[u8]>, &'static str> {
    let window = rest.get(..rest.len().min(max.saturating_add(2))).unwrap_or_default();
    match window.iter().position(|b| *b == b'\n') {
        Some(0) => Err("a line ends without a carriage return"),
        Some(at) => {
            let line = window.get(..at - 1).unwrap_or_default();
            if window.get(at - 1) != Some(&b'\r') || line.contains(&b'\r') || line.contains(&0) {
                return Err("a line ends without a carriage return, or holds a control character");
            }
            Ok(Some(line))
        }
        None if rest.len() >= max.saturating_add(2) => Err("a chunk line or its trailers are too long"),
        None => Ok(None),
    }
}

fn lines_are_ended_by_crlf(mut before: u8, bytes: &[u8]) -> Result<(), &'static str> {
    for byte in bytes {
        match (before, *byte) {
            (b'\r', b'\n') => {}
            (_, b'\n') => return Err("a line ends without a carriage return"),
            (b'\r', _) => return Err("a carriage return stands alone"),
            (_, 0) => return Err("it holds a NUL"),
            _ => {}
        }
        before = *byte;
    }
    Ok(())
}

const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// One field line, without its CRLF: name and trimmed value.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err("a header line is folded");
    }
    let colon = line.iter().position(|b| *b == b':').ok_or("a header line has no colon")?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
        return Err("a header name holds a character that it may not");
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    if value.iter().any(|b| (*b < 0x20 && *b != b'\t') || *b == 0x7f) {
        return Err("a header value holds a control character");
    }
    Ok((name, value))
}

#[derive(Default)]
struct Fields<'a> {
    count: usize,
    hosts: usize,
    length: Option<&'a [u8]>,
    chunked: bool,
}

impl<'a> Fields<'a> {
    fn add(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), &'static str> {
        self.count += 1;
        if self.count > HEADER_FIELDS_MAX {
            return Err("it has too many header fields");
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.replace(value).is_some() {
                return Err("it has two lengths");
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked {
                return Err("it has two transfer codings");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("its transfer coding is not exactly `chunked`");
            }
            self.chunked = true;
        }
        Ok(())
    }
}

/// Judges one complete head, and says what follows it.
fn judge_head(head: &[u8]) -> Result<Expect, &'static str> {
    lines_are_ended_by_crlf(0, head)?;
    let mut lines = head.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l));
    let request = lines.next().unwrap_or_default();
    let mut words = request.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return Err("its request line is not three words with one space between");
    };
    if method.is_empty() || !method.iter().all(|b| is_token(*b)) {
        return Err("its method holds a character that it may not");
    }
    if target.is_empty() || target.iter().any(|b| !(0x21..=0x7e).contains(b)) {
        return Err("its target holds a character that it may not");
    }
    let old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ => return Err("its version is neither HTTP/1.1 nor HTTP/1.0"),
    };
    let mut fields = Fields::default();
    for line in lines.take_while(|l| !l.is_empty()) {
        let (name, value) = field(line)?;
        fields.add(name, value)?;
    }
    match fields.hosts {
        1 => {}
        0 if old && !target.starts_with(b"/") => {}
        0 => return Err("it has no Host"),
        _ => return Err("it has several Hosts"),
    }
    body_framing(&fields, old, method == b"CONNECT")
}

fn body_framing(fields: &Fields<'_>, old: bool, connect: bool) -> Result<Expect, &'static str> {
    if fields.chunked && fields.length.is_some() {
        return Err("it has both a length and a transfer coding");
    }
    if fields.chunked && old {
        return Err("HTTP/1.0 has no transfer codings");
    }
    let length = match fields.length {
        None => 0,
        Some(digits) => {
            if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
                return Err("its length is not a plain decimal number");
            }
            digits.iter().fold(0u64, |n, b| n * 10 + u64::from(b - b'0'))
        }
    };
    Ok(match (connect, fields.chunked, length) {
        (true, false, 0) => Expect::Verdict,
        (true, ..) => return Err("CONNECT has no body"),
        (_, true, _) => Expect::ChunkLine,
        (_, _, 0) => Expect::Head,
        (_, _, n) => Expect::Body(n),
    })
}

/// A byte stream whose reader sees well-formed HTTP/1 requests only, until [`Signals::go_raw`].
pub(crate) struct Strict<S> {
    io: S,
    framer: Framer,
    signals: Arc<Signals>,
    /// Bytes that were read and not yet released.
    held: Vec<u8>,
    /// Released bytes that the reader had no room for yet.
    ready: Vec<u8>,
    ready_at: usize,
    refused: bool,
}

impl<S> Strict<S> {
    pub(crate) fn new(io: S, signals: Arc<Signals>) -> Self {
        Self { io, framer: Framer::default(), signals, held: Vec::new(), ready: Vec::new(), ready_at: 0, refused: false }
    }

    /// Hands what is ready to the reader; whether there was any.
    fn give(&mut self, out: &mut ReadBuf<'_>) -> bool {
        let rest = self.ready.get(self.ready_at..).unwrap_or_default();
        if rest.is_empty() {
            return false;
        }
        let take = rest.len().min(out.remaining());
        out.put_slice(rest.get(..take).unwrap_or_default());
        self.ready_at += take;
        if self.ready_at == self.ready.len() {
            self.ready.clear();
            self.ready_at = 0;
        }
        true
    }

    fn refuse(&mut self, refused: Refused, out: &mut ReadBuf<'_>, clean_from: &[u8]) -> io::Result<()> {
        self.refused = true;
        match refused {
            Refused::Body(why) => Err(io::Error::new(io::ErrorKind::InvalidData, why)),
            Refused::Head { clean, why } => {
                let _ = self.signals.why.set(why);
                self.ready.extend_from_slice(clean_from.get(..clean).unwrap_or_default());
                self.ready.extend_from_slice(STAND_IN);
                self.held.clear();
                self.give(out);
                Ok(())
            }
        }
    }

    /// Bytes were appended to `held`: releases what can be.
    fn judge_held(&mut self, out: &mut ReadBuf<'_>) -> io::Result<()> {
        let held = std::mem::take(&mut self.held);
        match self.framer.advance(&held) {
            Ok(0) => {
                self.held = held;
                Ok(())
            }
            Ok(released) => {
                self.ready.extend_from_slice(held.get(..released).unwrap_or_default());
                self.held.extend_from_slice(held.get(released..).unwrap_or_default());
                self.give(out);
                Ok(())
            }
            Err(refused) => self.refuse(refused, out, &held),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Strict<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.give(out) {
                return Poll::Ready(Ok(()));
            }
            if this.signals.raw.load(Ordering::Acquire) {
                if this.held.is_empty() {
                    return Pin::new(&mut this.io).poll_read(cx, out);
                }
                this.ready = std::mem::take(&mut this.held);
                continue;
            }
            if this.refused {
                // The connection is closed by the answer to the stand-in; an end of file here could cut that answer off.
                return Poll::Pending;
            }
            if out.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let before = out.filled().len();
            std::task::ready!(Pin::new(&mut this.io).poll_read(cx, out))?;
            let fresh = out.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if this.held.is_empty() {
                match this.framer.advance(fresh) {
                    Ok(released) if released == fresh.len() => return Poll::Ready(Ok(())),
                    Ok(released) => {
                        this.held.extend_from_slice(fresh.get(released..).unwrap_or_default());
                        out.set_filled(before + released);
                        if released > 0 {
                            return Poll::Ready(Ok(()));
                        }
                    }
                    Err(refused) => {
                        let fresh = fresh.to_vec();
                        out.set_filled(before);
                        return Poll::Ready(this.refuse(refused, out, &fresh));
                    }
                }
            } else {
                this.held.extend_from_slice(fresh);
                out.set_filled(before);
                this.judge_held(out)?;
                if out.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Strict<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds in pieces of `step`; returns what was released.
    fn feed(input: &[u8], step: usize) -> Result<usize, Refused> {
        let mut framer = Framer::default();
        let (mut held, mut released) = (Vec::new(), 0);
        for piece in input.chunks(step) {
            held.extend_from_slice(piece);
            let n = framer.advance(&held)?;
            held.drain(..n);
            released += n;
        }
        Ok(released)
    }

    const GET: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn well_formed_requests_pass_whole_in_any_split() {
        let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nabcd\r\nA\r\n0123456789\r\n0\r\nX-T: v\r\n\r\n";
        let sized = "POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n\n\n\0\r\n";
        let all = format!("{GET}{chunked}{sized}{GET}");
        for step in 1..all.len() + 1 {
            assert_eq!(feed(all.as_bytes(), step), Ok(all.len()), "{step}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused_in_any_split() {
        let post = "POST /a HTTP/1.1\r\nHost: a\r\n";
        let cases = [
            format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"),
            format!("{post}Transfer-Encoding: xchunked\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n"),
            format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
            format!("{post}Transfer-Encoding:\x0bchunked\r\n\r\n"),
            format!("{post}Transfer-Encoding : chunked\r\n\r\n"),
            format!("{post}Content-Length: 4\r\nContent-Length: 4\r\n\r\n"),
            format!("{post}Content-Length: 4, 4\r\n\r\n"),
            format!("{post}Content-Length: +4\r\n\r\n"),
            format!("{post}Content-Length: -1\r\n\r\n"),
            format!("{post}Content-Length: 0x4\r\n\r\n"),
            format!("{post}Content-Length:\r\n\r\n"),
            format!("{post}Content-Length: 1234567890123456789\r\n\r\n"),
            format!("{post}X: a\r\n b\r\n\r\n"),
            format!("{post}X: a\0b\r\n\r\n"),
            format!("{post}X: a\rb\r\n\r\n"),
            format!("{post}X\r\n\r\n"),
            format!("{post}: a\r\n\r\n"),
            format!("{post}Host: b\r\n\r\n"),
            "GET /a HTTP/1.1\nHost: a\n\n".into(),
            "GET /a HTTP/1.1\r\nHost: a\n\r\n".into(),
            "GET /a HTTP/1.1\r\n\r\n".into(),
            "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a\tHTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a HTTP/1.2\r\nHost: a\r\n\r\n".into(),
            "GET /a http/1.1\r\nHost: a\r\n\r\n".into(),
            "GET /a\r\n\r\n".into(),
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(),
            "\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n".into(),
            "POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
            "CONNECT a:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n".into(),
        ];
        for case in cases {
            for step in [1, 2, 7, case.len()] {
                let got = feed(case.as_bytes(), step);
                assert!(matches!(got, Err(Refused::Head { clean: 0, .. })), "{case:?} by {step}: {got:?}");
            }
        }
    }

    #[test]
    fn a_body_whose_chunks_are_ambiguous_is_broken_off() {
        let head = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        for tail in ["0;x\n\r\n\r\n", "0x4\r\nabcd\r\n", "4\nabcd\r\n", "4\r\nabcde\r\n", " 4\r\nabcd\r\n", "\r\n", "4\rx\r\n", "-1\r\n", "0\r\nA: b\n\r\n", "0\r\n A: b\r\n\r\n"] {
            for step in [1, 3, 200] {
                assert!(matches!(feed(format!("{head}{tail}").as_bytes(), step), Err(Refused::Body(_))), "{tail:?} by {step}");
            }
        }
    }

    #[test]
    fn what_comes_before_a_refused_head_is_released() {
        let input = format!("{GET}GET / HTTP/1.1\nHost: a\n\n");
        assert_eq!(Framer::default().advance(input.as_bytes()), Err(Refused::Head { clean: GET.len(), why: "a line ends without a carriage return" }));
    }

    #[test]
    fn limits_hold_at_n_and_not_at_one_more() {
        let head = |n: usize| {
            let base = "GET / HTTP/1.1\r\nHost: a\r\nX: ".len() + 4;
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(n - base))
        };
        assert_eq!(feed(head(HEAD_BYTES_MAX).as_bytes(), 8192), Ok(HEAD_BYTES_MAX));
        assert!(feed(head(HEAD_BYTES_MAX + 1).as_bytes(), 8192).is_err());

        let many = |n: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "x: y\r\n".repeat(n - 1));
        assert!(feed(many(HEADER_FIELDS_MAX).as_bytes(), 512).is_ok());
        assert!(feed(many(HEADER_FIELDS_MAX + 1).as_bytes(), 512).is_err());

        let post = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = |n: usize| format!("{post}1;{}\r\nx\r\n", "e".repeat(n - 2));
        assert!(feed(chunk(CHUNK_LINE_BYTES_MAX).as_bytes(), 64).is_ok());
        assert!(feed(chunk(CHUNK_LINE_BYTES_MAX + 1).as_bytes(), 64).is_err());

        let trailer = |n: usize| format!("{post}0\r\nx:{}\r\n\r\n", "y".repeat(n - 2));
        assert!(feed(trailer(TRAILER_BYTES_MAX).as_bytes(), 512).is_ok());
        assert!(feed(trailer(TRAILER_BYTES_MAX + 1).as_bytes(), 512).is_err());

        let early = |n: usize| format!("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(n));
        assert!(feed(early(EARLY_BYTES_MAX).as_bytes(), 1024).is_ok());
        assert!(feed(early(EARLY_BYTES_MAX + 1).as_bytes(), 1024).is_err());
    }
}
