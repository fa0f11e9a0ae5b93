//! Bodies that tell the log what passed: hash and size of the request's, size and end of the answer's.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use aws_lc_rs::digest;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::ReplyBody;
use crate::{
    encode::hex,
    log::{RequestLog, now_ms},
};

/// While a clone of it lives, the exchange counts as open.
pub struct OpenGuard {
    log: RequestLog,
    seq: usize,
}

impl OpenGuard {
    pub(super) fn new(log: RequestLog, seq: usize) -> Self {
        Self { log, seq }
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        self.log
            .update(self.seq, |record| record.ended_at_ms = Some(now_ms()));
    }
}

/// A request body that tells the log its size and hash.
pub struct SeenBody {
    inner: Incoming,
    hash: Option<digest::Context>,
    log: RequestLog,
    seq: usize,
}

impl SeenBody {
    pub(super) fn new(inner: Incoming, log: RequestLog, seq: usize) -> Self {
        let mut body = Self {
            inner,
            hash: Some(digest::Context::new(&digest::SHA256)),
            log,
            seq,
        };
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(hash) = self.hash.take() {
            let hash = hex(hash.finish().as_ref());
            self.log
                .update(self.seq, |record| record.body_sha256 = Some(hash));
        }
    }
}

impl Body for SeenBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let (Some(data), Some(hash)) = (frame.data_ref(), this.hash.as_mut()) {
                    hash.update(data);
                    let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    this.log
                        .update(this.seq, |record| record.body_bytes += count);
                }
                if this.inner.is_end_stream() {
                    this.finish();
                }
            }
            Some(Err(_)) => this.hash = None,
            None => this.finish(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

pub(super) struct SentBody {
    inner: ReplyBody,
    open: Arc<OpenGuard>,
}

impl SentBody {
    pub(super) fn new(inner: ReplyBody, open: Arc<OpenGuard>) -> Self {
        Self { inner, open }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let count = u64::try_from(data.len()).unwrap_or(u64::MAX);
            this.open
                .log
                .update(this.open.seq, |record| record.sent_bytes += count);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
