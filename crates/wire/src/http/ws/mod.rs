//! WebSocket (RFC 6455), sans-IO: the handshake both ways, and a reader that lets a scrubber see every payload.
//!
//! Extensions are never agreed on, so that a payload is what its frames hold; without extensions an intermediary may
//! change how a message is cut into frames (RFC 6455 section 5.4), which lets a scrubber hold bytes back.

mod frame;
mod handshake;
mod rewrite;

pub use handshake::{Accepted, Handshake, accept_for, check_request, check_response};
pub use rewrite::{Kind, Piece, Rewriter, Scrub, Side};

/// Why a handshake or a stream of frames is not taken: the connection is closed, with [`WsError::close_code`] where
/// frames have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    /// RFC 6455 section 4.2.1.
    #[error("the handshake is not one of RFC 6455: {0}")]
    Request(&'static str),
    /// RFC 6455 section 4.2.2.
    #[error("the upstream did not take the handshake as RFC 6455 says: {0}")]
    Response(&'static str),
    /// RFC 6455 section 5.
    #[error("a frame is malformed: {0}")]
    Frame(&'static str),
    /// Over [`crate::limits::WS_FRAME_BYTES_MAX`].
    #[error("a frame is longer than is taken")]
    TooLong,
    /// The stream ended inside a frame or a message.
    #[error("the stream ended inside a message")]
    Truncated,
    /// The caller's scrubber withheld the payload.
    #[error("the payload is withheld")]
    Withheld,
}

impl WsError {
    /// The status of the close frame that tells the peer (RFC 6455 section 7.4.1).
    #[must_use]
    pub const fn close_code(self) -> u16 {
        match self {
            Self::TooLong => 1009,
            Self::Withheld => 1008,
            _ => 1002,
        }
    }

    /// A stable word for error codes and tests.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Request(_) => "websocket_request",
            Self::Response(_) => "websocket_response",
            Self::Frame(_) => "websocket_frame",
            Self::TooLong => "websocket_too_long",
            Self::Truncated => "websocket_truncated",
            Self::Withheld => "websocket_withheld",
        }
    }
}

#[cfg(test)]
mod tests;
