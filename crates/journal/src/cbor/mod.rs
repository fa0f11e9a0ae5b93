//! A small deterministic subset of CBOR (RFC 8949 section 4.2.1).
//!
//! Integers, byte strings, text, arrays, maps, booleans and null. Every length is definite, every integer is in its shortest
//! form, map keys are unique and ascend by their encoded bytes. No tags, no floats, no `undefined`: a value has one encoding,
//! so whoever holds a hash of it holds the value.

mod reader;
mod writer;

pub use reader::{Kind, Reader, validate};
pub use writer::Writer;

use thiserror::Error;

/// Why bytes are not the deterministic CBOR that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the input ends inside an item")]
    Truncated,
    /// An integer or length is not in its shortest form.
    #[error("an integer or a length is not in its shortest form")]
    NotShortest,
    /// Indefinite length.
    #[error("an item has indefinite length")]
    Indefinite,
    /// Tag, float, or an unassigned simple value.
    #[error("an item is a tag, a float or an unassigned value")]
    Forbidden,
    /// A different kind of item was expected.
    #[error("an item is of another kind than expected")]
    Unexpected,
    /// A negative or unsigned integer does not fit the type asked for.
    #[error("an integer is out of range")]
    Range,
    /// Text is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// Map keys do not ascend, or one occurs twice.
    #[error("map keys do not ascend")]
    KeyOrder,
    /// Nested deeper than the limit.
    #[error("items are nested too deeply")]
    TooDeep,
    /// Bytes follow the last item.
    #[error("bytes follow the last item")]
    Trailing,
}
