//! What feeds each parser, with the laws that it keeps.

pub(crate) mod chain;
pub(crate) mod detect;
pub(crate) mod effects;
pub(crate) mod journal;
pub(crate) mod model;
pub(crate) mod outside;
pub(crate) mod store;
pub(crate) mod wire;

/// The text of an input; most parsers take nothing else.
fn text(input: &[u8]) -> Option<&str> {
    std::str::from_utf8(input).ok()
}

/// The first line and what is behind it.
fn line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|b| *b == b'\n') {
        Some(at) => (input.get(..at).unwrap_or_default(), input.get(at + 1..).unwrap_or_default()),
        None => (input, &[]),
    }
}
