//! JSON in which two readers cannot disagree.
//!
//! RFC 8259 leaves open what a repeated member, a float or a large integer means; a signature over such a text
//! is a signature over two meanings. This wrapper over serde_json's tokenizer refuses them all: repeated
//! members (after unescaping), floats (also `1e2` and `-0`), integers beyond 2^53 - 1, depth and size over a
//! bound, bytes after the value, and what is not UTF-8.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::limits::{MAX_JSON_DEPTH, MAX_JSON_INT};

/// Why a text is not strict JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrictError {
    /// Longer than the bound.
    #[error("is longer than {max} bytes")]
    TooLong {
        /// The bound.
        max: usize,
    },
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotUtf8,
    /// Nested deeper than the bound.
    #[error("is nested deeper than {max}")]
    TooDeep {
        /// The bound.
        max: usize,
    },
    /// A member occurs twice in one object.
    #[error("has the member `{0}` twice")]
    Duplicate(String),
    /// A number with a fraction, an exponent, or a negative zero.
    #[error("has a number which is no integer")]
    Float,
    /// An integer outside of ±(2^53 - 1).
    #[error("has an integer beyond 2^53 - 1")]
    IntegerRange,
    /// Not JSON, or bytes follow the value.
    #[error("is not JSON: {0}")]
    Syntax(String),
}

/// Parses one value of at most `max_bytes`, nested no deeper than [`MAX_JSON_DEPTH`].
///
/// # Errors
/// [`StrictError`], see the module.
pub fn parse(bytes: &[u8], max_bytes: usize) -> Result<Value, StrictError> {
    parse_bounded(bytes, max_bytes, MAX_JSON_DEPTH)
}

/// [`parse`] with another depth bound. Above 127 the tokenizer's own bound answers first.
///
/// # Errors
/// [`StrictError`], see the module.
pub fn parse_bounded(
    bytes: &[u8],
    max_bytes: usize,
    max_depth: usize,
) -> Result<Value, StrictError> {
    if bytes.len() > max_bytes {
        return Err(StrictError::TooLong { max: max_bytes });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| StrictError::NotUtf8)?;
    let fault = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Strict {
        left: max_depth,
        max: max_depth,
        fault: &fault,
    };
    let read = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        fault
            .take()
            .unwrap_or_else(|| StrictError::Syntax(error.to_string()))
    })
}

/// The same rules for any serde format, so that `Deserialize` impls of this crate cannot be more lenient.
pub(crate) fn from_deserializer<'de, D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
    let fault = RefCell::new(None);
    let read = Strict {
        left: MAX_JSON_DEPTH,
        max: MAX_JSON_DEPTH,
        fault: &fault,
    }
    .deserialize(from);
    read.map_err(|error| fault.take().map_or(error, D::Error::custom))
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    left: usize,
    max: usize,
    // serde errors are text; the typed reason travels beside them.
    fault: &'a RefCell<Option<StrictError>>,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(&self, why: StrictError) -> E {
        let error = E::custom(&why);
        *self.fault.borrow_mut() = Some(why);
        error
    }

    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.refuse(StrictError::TooDeep { max: self.max })),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MAX_JSON_INT {
            Err(self.refuse(StrictError::IntegerRange))
        } else {
            Ok(Value::from(value))
        }
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MAX_JSON_INT {
            Err(self.refuse(StrictError::IntegerRange))
        } else {
            Ok(Value::from(value))
        }
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        // The tokenizer turns integers beyond 64 bits into floats.
        let why = if value.abs() >= 18_446_744_073_709_551_615.0 {
            StrictError::IntegerRange
        } else {
            StrictError::Float
        };
        Err(self.refuse(why))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(value) = seq.next_element_seed(inner)? {
            out.push(value);
        }
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if out.contains_key(&name) {
                return Err(self.refuse(StrictError::Duplicate(name)));
            }
            let value = map.next_value_seed(inner)?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> StrictError {
        parse(text.as_bytes(), 1000).unwrap_err()
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        assert_eq!(why(r#"{"a":1,"a":1}"#), StrictError::Duplicate("a".into()));
        assert_eq!(
            why(r#"{"a":1,"\u0061":1}"#),
            StrictError::Duplicate("a".into())
        );
        assert_eq!(
            why(r#"{"x":{"b":[],"b":[]}}"#),
            StrictError::Duplicate("b".into())
        );
        for float in ["1.0", "1e2", "-0", "0.5", "1E0"] {
            assert_eq!(why(float), StrictError::Float, "{float}");
        }
        assert_eq!(
            why("123456789012345678901234567890"),
            StrictError::IntegerRange
        );
        assert!(matches!(why("{} {}"), StrictError::Syntax(_)));
        assert!(matches!(why("{}x"), StrictError::Syntax(_)));
        assert!(matches!(why(r#""\ud800""#), StrictError::Syntax(_)));
        assert!(matches!(why("\u{feff}{}"), StrictError::Syntax(_)));
        for other in [
            "",
            "{,}",
            "[1,]",
            "NaN",
            "'a'",
            "{\"a\" 1}",
            "01",
            "+1",
            "\"\u{1}\"",
        ] {
            assert!(matches!(why(other), StrictError::Syntax(_)), "{other}");
        }
        assert_eq!(parse(b"\"\xff\"", 10), Err(StrictError::NotUtf8));
    }

    #[test]
    fn numbers_stay_numbers_whatever_features_other_crates_switch_on() {
        let value = parse(br#"{"a":[1,-1,true,null,"x"]}"#, 1000).unwrap();
        assert_eq!(value, serde_json::json!({"a":[1,-1,true,null,"x"]}));
        assert!(value["a"][0].is_u64());
    }

    #[test]
    fn integers_are_bounded_at_2_53_minus_1() {
        assert!(parse(b"9007199254740991", 100).is_ok());
        assert!(parse(b"-9007199254740991", 100).is_ok());
        assert_eq!(why("9007199254740992"), StrictError::IntegerRange);
        assert_eq!(why("-9007199254740992"), StrictError::IntegerRange);
    }

    #[test]
    fn depth_and_size_are_bounded_at_n() {
        let nest = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(parse(nest(MAX_JSON_DEPTH).as_bytes(), 100).is_ok());
        assert_eq!(
            why(&nest(MAX_JSON_DEPTH + 1)),
            StrictError::TooDeep {
                max: MAX_JSON_DEPTH
            }
        );
        assert!(parse_bounded(nest(100_000).as_bytes(), 1 << 20, usize::MAX).is_err());
        assert!(parse(b"[ ]", 3).is_ok());
        assert_eq!(parse(b"[ ] ", 3), Err(StrictError::TooLong { max: 3 }));
    }
}
