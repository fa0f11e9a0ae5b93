//! Bodies: pull streams in both directions. A frame is read from one side only when the other side asks for it, so that a
//! slow reader holds back the sender and nothing piles up here.

use crate::limits::BODY_IDLE;
use crate::scrub::AnswerStream;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use marque_wire::http::ContentHasher;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// Why a body ended early. The connection or stream that carries it is broken off, so that nobody takes the part for the
/// whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The other side broke off.
    #[error("the body was broken off")]
    Broken(#[source] hyper::Error),
    /// No progress for too long.
    #[error("the body made no progress in time")]
    Idle,
    /// More bytes than the permit allows.
    #[error("the body is longer than `{0}` bytes")]
    TooLong(u64),
    /// The rest holds a credential, or cannot be searched for one.
    #[error("the rest of the body is withheld")]
    Withheld,
}

/// A timer that runs only while nothing happens: a body that flows costs no timer.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

impl Idle {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, sleep: None, armed: false }
    }
    pub(crate) fn progress(&mut self) {
        self.armed = false;
    }
    /// Called when there was nothing to read: ready once that has lasted too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.limit)));
        if !self.armed {
            sleep.as_mut().reset(Instant::now() + self.limit);
            self.armed = true;
        }
        sleep.as_mut().poll(cx)
    }
}

/// How much of a request was sent; shared with whoever settles the use.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    bytes: AtomicU64,
    done: AtomicBool,
    sha256: OnceLock<[u8; 32]>,
}

impl Sent {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }
    pub(crate) fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256.get().copied()
    }
    pub(crate) fn add(&self, n: usize) {
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
    fn finish(&self) {
        self.done.store(true, Ordering::Release);
    }
}

/// What is sent upstream.
pub struct OutBody {
    kind: Out,
    sent: Arc<Sent>,
}

enum Out {
    Empty,
    Held(Bytes),
    Stream(Box<OutStream>),
}

struct OutStream {
    /// Read before the use was admitted.
    ahead: VecDeque<Bytes>,
    rest: Incoming,
    hash: Option<ContentHasher>,
    max: u64,
    idle: Idle,
}

impl OutBody {
    pub(crate) fn empty() -> Self {
        let sent = Arc::new(Sent::default());
        sent.finish();
        Self { kind: Out::Empty, sent }
    }

    pub(crate) fn held(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        Self { kind: Out::Held(bytes), sent: Arc::default() }
    }

    pub(crate) fn stream(ahead: VecDeque<Bytes>, rest: Incoming, max: u64, hash: ContentHasher) -> Self {
        let idle = Idle::new(BODY_IDLE);
        let stream = OutStream { ahead, rest, hash: Some(hash), max, idle };
        Self { kind: Out::Stream(Box::new(stream)), sent: Arc::default() }
    }

    pub(crate) fn sent(&self) -> Arc<Sent> {
        Arc::clone(&self.sent)
    }
}

impl OutStream {
    fn poll(&mut self, sent: &Sent, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = match self.ahead.pop_front() {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        };
        match next {
            Poll::Pending => match self.idle.poll(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(BodyError::Idle))),
                Poll::Pending => Poll::Pending,
            },
            Poll::Ready(None) => {
                self.finish(sent);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(e))) => Poll::Ready(Some(Err(BodyError::Broken(e)))),
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.progress();
                if let Some(data) = frame.data_ref() {
                    sent.add(data.len());
                    if sent.bytes() > self.max {
                        return Poll::Ready(Some(Err(BodyError::TooLong(self.max))));
                    }
                    if let Some(hash) = &mut self.hash {
                        hash.update(data);
                    }
                    if self.ahead.is_empty() && self.rest.is_end_stream() {
                        self.finish(sent);
                    }
                } else {
                    // Request trailers were in no decision and no hash: they are not forwarded.
                    self.finish(sent);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn finish(&mut self, sent: &Sent) {
        if let Some(hash) = self.hash.take() {
            let _ = sent.sha256.set(hash.finish());
        }
        sent.finish();
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match &mut this.kind {
            Out::Empty => Poll::Ready(None),
            Out::Held(bytes) if bytes.is_empty() => Poll::Ready(None),
            Out::Held(bytes) => {
                this.sent.add(bytes.len());
                this.sent.finish();
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))))
            }
            Out::Stream(stream) => stream.poll(&this.sent, cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Out::Empty => true,
            Out::Held(bytes) => bytes.is_empty(),
            Out::Stream(s) => s.ahead.is_empty() && s.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Out::Empty => SizeHint::with_exact(0),
            Out::Held(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Out::Stream(s) => {
                let ahead: u64 = s.ahead.iter().map(|b| b.len() as u64).sum();
                s.rest.size_hint().exact().map_or_else(SizeHint::default, |n| SizeHint::with_exact(n + ahead))
            }
        }
    }
}

/// What is sent to the client.
pub struct AnswerBody(In);

enum In {
    Empty,
    Full(Bytes, Option<HeaderMap>),
    Stream(Box<AnswerStream>),
}

impl AnswerBody {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(In::Empty)
    }
    /// A body that is at hand.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self(In::Full(bytes, None))
    }
    pub(crate) fn with_trailers(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self(In::Full(bytes, trailers))
    }
    pub(crate) fn stream(stream: AnswerStream) -> Self {
        Self(In::Stream(Box::new(stream)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            In::Empty => Poll::Ready(None),
            In::Full(bytes, _) if !bytes.is_empty() => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            In::Full(_, trailers) => Poll::Ready(trailers.take().map(|t| Ok(Frame::trailers(t)))),
            In::Stream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            In::Empty => true,
            In::Full(bytes, trailers) => bytes.is_empty() && trailers.is_none(),
            In::Stream(stream) => stream.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            In::Empty => SizeHint::with_exact(0),
            In::Full(bytes, None) => SizeHint::with_exact(bytes.len() as u64),
            In::Full(..) => SizeHint::default(),
            In::Stream(stream) => stream.size_hint(),
        }
    }
}
