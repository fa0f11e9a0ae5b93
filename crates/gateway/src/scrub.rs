//! An answer's body on its way to the client: counted, decoded, searched, masked, and settled when it ends, however it
//! ends.

use crate::body::{BodyError, Idle};
use crate::gate::Ending;
use crate::limits::BODY_IDLE;
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use marque_detect::decode::Decoder;
use marque_detect::oracle::Verdict;
use marque_detect::scrub::{Hits, Needles, Scrubber};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Encoded bytes that are decoded at once: what one poll can make of a bomb is bounded by it.
const DECODE_STEP_BYTES: usize = 4096;

/// Who wants to know about hits and about the end. Dropping it without a call to [`Watch::end`] is an abort.
pub(crate) trait Watch: Send {
    /// New hits in this answer.
    fn hits(&mut self, hits: &Hits) -> Verdict;
    /// The answer's body ended so. Called once.
    fn end(&mut self, ending: Ending, answer_bytes: u64);
}

/// How to treat one body.
pub(crate) struct Handling {
    /// Undo these codings first.
    pub(crate) decoder: Option<Decoder>,
    /// Mask these; `None` passes the body unsearched (opaque and pass-through routes).
    pub(crate) needles: Option<Arc<Needles>>,
    /// Bytes of answer, as received, beyond which it is cut.
    pub(crate) max: u64,
}

/// A body being passed on.
pub struct AnswerStream {
    rest: Incoming,
    decoder: Option<Decoder>,
    scrubber: Option<Scrubber>,
    needles: Option<Arc<Needles>>,
    /// Encoded bytes that were received and not yet decoded.
    encoded: Bytes,
    decoded: Vec<u8>,
    trailers: Option<HeaderMap>,
    received: u64,
    max: u64,
    hits_told: u32,
    state: State,
    /// Whoever collects the body says how it ended.
    deferred: bool,
    idle: Idle,
    watch: Box<dyn Watch>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Flowing,
    /// The upstream ended; trailers may be left to pass on.
    Ended,
    Over,
}

impl AnswerStream {
    pub(crate) fn new(rest: Incoming, handling: Handling, watch: Box<dyn Watch>) -> Self {
        Self {
            rest,
            decoder: handling.decoder,
            scrubber: handling.needles.clone().map(Scrubber::new),
            needles: handling.needles,
            encoded: Bytes::new(),
            decoded: Vec::new(),
            trailers: None,
            received: 0,
            max: handling.max,
            hits_told: 0,
            state: State::Flowing,
            deferred: false,
            idle: Idle::new(BODY_IDLE),
            watch,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            if self.state == State::Over {
                return Poll::Ready(None);
            }
            if !self.encoded.is_empty() {
                match self.take_step() {
                    Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(None) => continue,
                    Err(e) => return Poll::Ready(Some(Err(self.fail(e)))),
                }
            }
            if self.state == State::Ended {
                self.over(Ending::Completed);
                return Poll::Ready(self.trailers.take().map(|t| Ok(Frame::trailers(t))));
            }
            match Pin::new(&mut self.rest).poll_frame(cx) {
                Poll::Pending => {
                    if self.idle.poll(cx).is_ready() {
                        return Poll::Ready(Some(Err(self.fail(BodyError::Idle))));
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Some(Err(self.fail(BodyError::Broken(e))))),
                Poll::Ready(Some(Ok(frame))) => {
                    self.idle.progress();
                    match self.accept(frame) {
                        Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                        Ok(None) => {}
                        Err(e) => return Poll::Ready(Some(Err(self.fail(e)))),
                    }
                }
                Poll::Ready(None) => match self.last() {
                    Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Ok(None) => {}
                    Err(e) => return Poll::Ready(Some(Err(self.fail(e)))),
                },
            }
        }
    }

    /// Takes a frame from upstream; returns what can be passed on at once.
    fn accept(&mut self, frame: Frame<Bytes>) -> Result<Option<Bytes>, BodyError> {
        match frame.into_data() {
            Ok(data) => {
                self.received = self.received.saturating_add(data.len() as u64);
                if self.received > self.max {
                    return Err(BodyError::TooLong(self.max));
                }
                if self.scrubber.is_none() && self.decoder.is_none() {
                    // Not touched, so not copied.
                    return Ok(self.ended_early(data));
                }
                if self.decoder.is_some() {
                    self.encoded = data;
                    return Ok(None);
                }
                let out = self.scrub(&data)?;
                Ok(self.ended_early(out))
            }
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap_or_default();
                let rest = self.last()?;
                self.trailers = Some(self.scrub_trailers(trailers)?);
                Ok(rest)
            }
        }
    }

    /// Where the upstream's length is known and reached, the use is settled with its last byte, not with the next poll:
    /// hyper does not poll again.
    fn ended_early(&mut self, mut data: Bytes) -> Option<Bytes> {
        if self.rest.is_end_stream() {
            let mut tail = Vec::new();
            if let Some(scrubber) = &mut self.scrubber {
                scrubber.finish(&mut tail);
            }
            if !tail.is_empty() {
                let mut joined = data.to_vec();
                joined.extend_from_slice(&tail);
                data = joined.into();
            }
            self.over(Ending::Completed);
        }
        (!data.is_empty()).then_some(data)
    }

    fn take_step(&mut self) -> Result<Option<Bytes>, BodyError> {
        let step = self.encoded.split_to(self.encoded.remaining().min(DECODE_STEP_BYTES));
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let result = match &mut self.decoder {
            Some(decoder) => decoder.push(&step, &mut decoded).map_err(|_| BodyError::Withheld),
            None => Ok(()),
        };
        let out = result.and_then(|()| self.scrub(&decoded));
        self.decoded = decoded;
        out.map(|data| (!data.is_empty()).then_some(data))
    }

    fn scrub(&mut self, data: &[u8]) -> Result<Bytes, BodyError> {
        let Some(scrubber) = &mut self.scrubber else { return Ok(Bytes::copy_from_slice(data)) };
        let mut out = Vec::with_capacity(data.len() + scrubber.held_bytes());
        scrubber.push(data, &mut out);
        self.tell()?;
        Ok(Bytes::from(out))
    }

    /// Tells of hits that were not told yet.
    fn tell(&mut self) -> Result<(), BodyError> {
        let Some(scrubber) = &self.scrubber else { return Ok(()) };
        let hits = scrubber.hits();
        let total = hits.total();
        if total == self.hits_told {
            return Ok(());
        }
        self.hits_told = total;
        match self.watch.hits(&hits) {
            Verdict::Mask => Ok(()),
            Verdict::Withhold => Err(BodyError::Withheld),
        }
    }

    /// The upstream's body ended: what was held back turned out to be harmless.
    fn last(&mut self) -> Result<Option<Bytes>, BodyError> {
        if self.state != State::Flowing {
            return Ok(None);
        }
        self.state = State::Ended;
        if let Some(decoder) = &mut self.decoder {
            decoder.finish().map_err(|_| BodyError::Withheld)?;
        }
        let mut out = Vec::new();
        if let Some(scrubber) = &mut self.scrubber {
            scrubber.finish(&mut out);
        }
        Ok((!out.is_empty()).then(|| Bytes::from(out)))
    }

    fn scrub_trailers(&mut self, mut trailers: HeaderMap) -> Result<HeaderMap, BodyError> {
        if let Some(needles) = &self.needles {
            let mut hits = Hits::default();
            mask_fields(&mut trailers, needles, &mut hits);
            if !hits.is_empty() && self.watch.hits(&hits) == Verdict::Withhold {
                return Err(BodyError::Withheld);
            }
        }
        Ok(trailers)
    }

    fn fail(&mut self, error: BodyError) -> BodyError {
        self.over(match &error {
            BodyError::Broken(_) | BodyError::Idle => Ending::UpstreamFailed,
            BodyError::TooLong(_) => Ending::Limit,
            BodyError::Withheld => Ending::Withheld,
        });
        error
    }

    fn over(&mut self, ending: Ending) {
        if self.state != State::Over {
            self.state = State::Over;
            if !(self.deferred && ending == Ending::Completed) {
                self.watch.end(ending, self.received);
            }
        }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.state == State::Over && self.trailers.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.decoder.is_some() { SizeHint::default() } else { self.rest.size_hint() }
    }

    /// Reads the body to its end, up to `max` bytes of what the client would see. The use is not settled yet if all went
    /// well: the caller says how it ended.
    ///
    /// # Errors
    /// Whatever breaks the body off, and [`BodyError::TooLong`]; then the use is settled.
    pub(crate) async fn collect(mut self, max: usize) -> Result<Collected, BodyError> {
        self.deferred = true;
        let mut bytes = Vec::new();
        let mut trailers = None;
        while let Some(frame) = std::future::poll_fn(|cx| self.poll(cx)).await {
            match frame?.into_data() {
                Ok(data) if bytes.len() + data.len() > max => {
                    self.deferred = false;
                    self.state = State::Flowing;
                    return Err(self.fail(BodyError::TooLong(max as u64)));
                }
                Ok(data) => bytes.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        Ok(Collected { bytes, trailers, received: self.received, watch: self.watch })
    }
}

/// A body that was read whole, and the use that waits for its end.
pub(crate) struct Collected {
    pub(crate) bytes: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    received: u64,
    watch: Box<dyn Watch>,
}

impl Collected {
    /// Masks secrets in the body, in the head it goes with, and in the trailers; tells of all of it at once.
    pub(crate) fn mask(&mut self, head: &mut HeaderMap, needles: Option<&Needles>, always: &Needles) -> Verdict {
        let mut hits = Hits::default();
        mask_fields(head, always, &mut hits);
        if let Some(needles) = needles {
            if let std::borrow::Cow::Owned(masked) = needles.scrub_counting(&self.bytes, &mut hits) {
                self.bytes = masked;
            }
            if let Some(trailers) = &mut self.trailers {
                mask_fields(trailers, needles, &mut hits);
            }
        }
        if hits.is_empty() { Verdict::Mask } else { self.watch.hits(&hits) }
    }

    /// Settles the use.
    pub(crate) fn end(&mut self, ending: Ending) {
        self.watch.end(ending, self.received);
    }
}

/// Masks secrets in field values. A masked value stays a valid value: the mask is printable.
pub(crate) fn mask_fields(fields: &mut HeaderMap, needles: &Needles, hits: &mut Hits) {
    for value in fields.values_mut() {
        if let std::borrow::Cow::Owned(masked) = needles.scrub_counting(value.as_bytes(), hits) {
            *value = HeaderValue::from_bytes(&masked).unwrap_or_else(|_| HeaderValue::from_static("*"));
        }
    }
}
