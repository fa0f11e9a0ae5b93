//! A witness never contradicts itself: over every sequence of requests, faults, races and restarts; and over HTTP.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot set up its world has failed")]

mod book;
mod http;
mod world;
