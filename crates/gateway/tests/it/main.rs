//! The data plane against real servers and clients on loopback, and a gate of its own.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test that stops here has failed")]

mod clients;
mod confusion;
mod framing;
mod house;
mod intercept;
mod plain;
mod scrub;
mod streams;
mod websocket;
