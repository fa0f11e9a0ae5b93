//! Reading a request's body ahead of the decision: what was held is what is hashed, decided on and sent.

use crate::body::OutBody;
use crate::limits::{HOLD_BYTES_MAX, HOLD_WAIT, HOLD_WAIT_NEEDED};
use crate::problem::{Problem, found};
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http_body::Body;
use hyper::body::Incoming;
use marque_wire::git::{CommandScan, Progress};
use marque_wire::http::{ContentHasher, content_hash};
use marque_model::Content;
use std::collections::VecDeque;
use std::pin::Pin;
use tokio::time::{Instant, timeout_at};

/// How much of a body must be there before the decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing depends on it: held only so that a human can be asked about exactly this.
    Nothing,
    /// The body may never end by itself, and nothing depends on it.
    Stream,
    /// All of it, up to so many bytes.
    Hold(usize),
    /// The commands in front of a git pack.
    GitCommands,
}

/// A body, as far as it was read.
pub(crate) enum Taken {
    /// All of it.
    Whole(Bytes),
    /// Longer than the hold limit, or not ended in time.
    Part {
        /// What was read, in pieces.
        ahead: VecDeque<Bytes>,
        /// What the meaning was asked to depend on: the commands of a push.
        section: Bytes,
        rest: Incoming,
    },
}

impl Taken {
    pub(crate) async fn take(mut body: Incoming, need: Need) -> Result<Self, Problem> {
        let mut ahead = VecDeque::new();
        let limit = match need {
            Need::Hold(bytes) => bytes,
            Need::Nothing | Need::GitCommands => HOLD_BYTES_MAX,
            Need::Stream => 0,
        };
        let too_long = body.size_hint().lower() > limit as u64;
        if body.is_end_stream() {
            return Ok(Self::Whole(Bytes::new()));
        }
        if too_long && need != Need::GitCommands {
            return Ok(Self::Part { ahead, section: Bytes::new(), rest: body });
        }
        let needed = matches!(need, Need::Hold(_) | Need::GitCommands);
        let until = Instant::now() + if needed { HOLD_WAIT_NEEDED } else { HOLD_WAIT };
        let mut scan = (need == Need::GitCommands).then(Commands::default);
        let mut bytes = 0;
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx));
            let frame = match timeout_at(until, next).await {
                Ok(None) => return Ok(Self::Whole(join(ahead, bytes))),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(_))) => return Err(found::body_broken()),
                Err(_) if needed => return Err(found::body_broken()),
                Err(_) => return Ok(Self::Part { ahead, section: Bytes::new(), rest: body }),
            };
            // Request trailers were in no decision and no hash: they are not forwarded.
            let Ok(data) = frame.into_data() else { continue };
            bytes += data.len();
            if let Some(section) = scan.as_mut().and_then(|s| s.push(&data)) {
                ahead.push_back(data);
                if too_long || bytes > HOLD_BYTES_MAX {
                    return Ok(Self::Part { ahead, section, rest: body });
                }
                // A short push is held whole, so that it can be asked about.
                scan = None;
                continue;
            }
            ahead.push_back(data);
            if bytes > limit && scan.is_none() {
                return Ok(Self::Part { ahead, section: Bytes::new(), rest: body });
            }
        }
    }

    /// What the meaning may be read from.
    pub(crate) fn readable(&self) -> Option<&[u8]> {
        match self {
            Self::Whole(bytes) => Some(bytes),
            Self::Part { section, .. } if !section.is_empty() => Some(section),
            Self::Part { .. } => None,
        }
    }

    /// What an approval would bind, and the bytes that a human may be shown.
    pub(crate) fn content(&self, parts: &Parts) -> (Content, Bytes) {
        match self {
            Self::Whole(bytes) => (content_hash(parts, bytes), bytes.clone()),
            Self::Part { .. } => (Content::Streamed, Bytes::new()),
        }
    }

    pub(crate) fn into_body(self, parts: &Parts, max: u64) -> OutBody {
        match self {
            Self::Whole(bytes) => OutBody::held(bytes),
            Self::Part { ahead, rest, .. } => OutBody::stream(ahead, rest, max, ContentHasher::new(parts)),
        }
    }
}

fn join(mut pieces: VecDeque<Bytes>, bytes: usize) -> Bytes {
    match (pieces.pop_front(), pieces.is_empty()) {
        (None, _) => Bytes::new(),
        (Some(only), true) => only,
        (Some(first), false) => {
            let mut joined = BytesMut::with_capacity(bytes);
            joined.extend_from_slice(&first);
            pieces.iter().for_each(|b| joined.extend_from_slice(b));
            joined.freeze()
        }
    }
}

/// The commands of a push, as far as they were read.
#[derive(Default)]
struct Commands {
    scan: CommandScan,
    buffer: Vec<u8>,
    wanted: usize,
}

impl Commands {
    /// The section, once it is complete. A section that is no git is complete at once: the profile says what it thinks.
    fn push(&mut self, data: &[u8]) -> Option<Bytes> {
        self.buffer.extend_from_slice(data);
        if self.buffer.len() < self.wanted {
            return None;
        }
        match self.scan.advance(&self.buffer) {
            Ok(Progress::NeedMore { at_least }) => {
                self.wanted = at_least;
                None
            }
            Ok(Progress::Done { end }) => {
                self.buffer.truncate(end);
                Some(Bytes::from(std::mem::take(&mut self.buffer)))
            }
            Err(_) => Some(Bytes::from(std::mem::take(&mut self.buffer))),
        }
    }
}
