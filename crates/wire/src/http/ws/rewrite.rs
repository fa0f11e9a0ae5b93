//! Frames in, scrubbed frames out.

use super::WsError;
use super::frame::{HEAD_BYTES_MAX, Head, Opcode, apply};
use crate::limits::{WS_CONTROL_BYTES_MAX, WS_GATHER_BYTES_MAX};

/// Who sends the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The agent: frames are masked, and masked anew with a key of ours.
    Client,
    /// The upstream: frames are not masked.
    Server,
}

/// What a payload belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// A control frame, between the frames of a message: it needs scrubber state of its own.
    Control,
}

/// A piece of a payload, unmasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What it belongs to.
    pub kind: Kind,
    /// The bytes.
    pub bytes: &'a [u8],
    /// The last piece of its message: what was held back must come out now.
    pub is_last: bool,
}

/// Where clean bytes go to: appended are those that may be sent on. Fewer than came in while the message goes on,
/// where some are held back for a match across frames; the rest with [`Piece::is_last`].
pub type Scrub<'a> = dyn FnMut(Piece<'_>, &mut Vec<u8>) -> Result<(), WsError> + 'a;

/// Reads the frames of one direction and writes them anew. Holds at most one head and [`WS_GATHER_BYTES_MAX`] bytes.
pub struct Rewriter {
    side: Side,
    head: Vec<u8>,
    frame: Option<Frame>,
    message: Option<Message>,
    closed: bool,
    failed: Option<WsError>,
}

struct Frame {
    head: Head,
    /// Bytes of the payload that have gone to the scrubber.
    passed: u64,
    /// Bytes that have not, unmasked.
    gathered: Vec<u8>,
}

struct Message {
    kind: Kind,
    /// A frame of it has been written, so that the next is a continuation.
    begun: bool,
}

impl Rewriter {
    /// A rewriter at the start of a stream, after the handshake.
    #[must_use]
    pub const fn new(side: Side) -> Self {
        Self { side, head: Vec::new(), frame: None, message: None, closed: false, failed: None }
    }

    /// Takes bytes of the stream and appends the frames that go on to `out`.
    ///
    /// `scrub` sees every payload; `mask` gives the key of a client's frame and must be unpredictable (RFC 6455
    /// section 10.3); it is not called for a server's.
    ///
    /// # Errors
    /// [`WsError`]: what is in `out` may be sent, nothing after it, and the connection is closed. Every later call has
    /// the same error.
    pub fn push(
        &mut self,
        input: &[u8],
        scrub: &mut Scrub<'_>,
        mask: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), WsError> {
        let result = self.failed.map_or_else(|| self.advance(input, scrub, mask, out), Err);
        self.failed = result.err();
        result
    }

    fn advance(
        &mut self,
        mut input: &[u8],
        scrub: &mut Scrub<'_>,
        mask: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), WsError> {
        loop {
            if let Some(mut frame) = self.frame.take() {
                let taken = frame.gather(input);
                input = input.get(taken..).unwrap_or_default();
                let done = frame.is_complete();
                if done || frame.gathered.len() >= WS_GATHER_BYTES_MAX {
                    self.flush(&mut frame, done, scrub, mask, out)?;
                }
                if !done {
                    self.frame = Some(frame);
                    if input.is_empty() {
                        return Ok(());
                    }
                }
                continue;
            }
            if input.is_empty() {
                return Ok(());
            }
            if self.closed {
                return Err(WsError::Frame("nothing follows a close frame"));
            }
            let wanted = HEAD_BYTES_MAX.saturating_sub(self.head.len()).min(input.len());
            let had = self.head.len();
            self.head.extend_from_slice(input.get(..wanted).unwrap_or_default());
            let Some((head, used)) = Head::read(&self.head, self.side)? else {
                input = input.get(wanted..).unwrap_or_default();
                continue;
            };
            input = input.get(used.saturating_sub(had)..).unwrap_or_default();
            self.head.clear();
            self.begin(head)?;
        }
    }

    /// Whether a close frame has gone through.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// [`WsError::Truncated`] inside a frame or a message: what the scrubber holds back is dropped.
    pub const fn finish(&self) -> Result<(), WsError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.head.is_empty() && self.frame.is_none() && self.message.is_none() {
            Ok(())
        } else {
            Err(WsError::Truncated)
        }
    }

    fn begin(&mut self, head: Head) -> Result<(), WsError> {
        match (head.opcode, &self.message) {
            (Opcode::Continuation, None) => return Err(WsError::Frame("it continues no message")),
            (Opcode::Text | Opcode::Binary, Some(_)) => return Err(WsError::Frame("a message begins inside another")),
            (Opcode::Text, None) => self.message = Some(Message { kind: Kind::Text, begun: false }),
            (Opcode::Binary, None) => self.message = Some(Message { kind: Kind::Binary, begun: false }),
            _ => {}
        }
        self.frame = Some(Frame { head, passed: 0, gathered: Vec::new() });
        Ok(())
    }

    fn flush(
        &mut self,
        frame: &mut Frame,
        done: bool,
        scrub: &mut Scrub<'_>,
        mask: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), WsError> {
        let mut key = || (self.side == Side::Client).then(&mut *mask);
        let bytes = std::mem::take(&mut frame.gathered);
        frame.passed = frame.passed.saturating_add(bytes.len() as u64);
        let mut clean = Vec::new();
        if frame.head.opcode.is_control() {
            scrub(Piece { kind: Kind::Control, bytes: &bytes, is_last: true }, &mut clean)?;
            check_control(frame.head.opcode, &bytes, &clean)?;
            self.closed |= frame.head.opcode == Opcode::Close;
            Head::write(true, frame.head.opcode, key(), &clean, out);
            return Ok(());
        }
        let Some(message) = &mut self.message else { return Err(WsError::Frame("it continues no message")) };
        let is_last = done && frame.head.fin;
        scrub(Piece { kind: message.kind, bytes: &bytes, is_last }, &mut clean)?;
        let opcode = match (message.begun, message.kind) {
            (true, _) => Opcode::Continuation,
            (false, Kind::Text) => Opcode::Text,
            (false, _) => Opcode::Binary,
        };
        if is_last || !clean.is_empty() {
            message.begun = true;
            Head::write(is_last, opcode, key(), &clean, out);
        }
        if is_last {
            self.message = None;
        }
        Ok(())
    }
}

impl Frame {
    fn is_complete(&self) -> bool {
        self.passed.saturating_add(self.gathered.len() as u64) == self.head.len_bytes
    }

    /// Takes bytes of the payload, unmasks them, and says how many.
    fn gather(&mut self, input: &[u8]) -> usize {
        let left = self.head.len_bytes.saturating_sub(self.passed).saturating_sub(self.gathered.len() as u64);
        let room = WS_GATHER_BYTES_MAX.saturating_sub(self.gathered.len());
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(room).min(input.len());
        let start = self.gathered.len();
        self.gathered.extend_from_slice(input.get(..taken).unwrap_or_default());
        if let (Some(mask), Some(new)) = (self.head.mask, self.gathered.get_mut(start..)) {
            // Whole gatherings are multiples of four, so the offset within this one is the offset within the mask.
            apply(mask, start, new);
        }
        taken
    }
}

/// A scrubbed control frame is still one, and a close frame keeps its code.
fn check_control(opcode: Opcode, before: &[u8], after: &[u8]) -> Result<(), WsError> {
    if after.len() > WS_CONTROL_BYTES_MAX {
        return Err(WsError::Withheld);
    }
    if opcode != Opcode::Close || before.is_empty() {
        return Ok(());
    }
    let Some((code, reason)) = before.split_first_chunk::<2>() else {
        return Err(WsError::Frame("a close frame has a code of two bytes"));
    };
    // RFC 6455 section 7.4: the others are not sent, or not assigned.
    if !matches!(u16::from_be_bytes(*code), 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(WsError::Frame("a close frame has a code that may be sent"));
    }
    if std::str::from_utf8(reason).is_err() {
        return Err(WsError::Frame("a close frame has a reason in UTF-8"));
    }
    if after.starts_with(code) { Ok(()) } else { Err(WsError::Withheld) }
}
