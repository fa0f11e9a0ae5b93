//! Reading typed values out of strict JSON, with a JSON pointer (RFC 6901) to whatever is wrong.
//!
//! Not serde's derive: that reads a struct from an array too and takes `null` for absent, so that two
//! spellings of one link would exist.

use serde_json::{Map, Value};

/// A member that is missing, unknown or not of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pointer}` {why}")]
pub struct SchemaError {
    /// JSON pointer to the member; empty for the whole value.
    pub pointer: String,
    /// What is wrong with it.
    pub why: String,
}

impl SchemaError {
    pub(crate) fn here(why: impl Into<String>) -> Self {
        Self {
            pointer: String::new(),
            why: why.into(),
        }
    }

    /// The same fault seen from one level further out.
    pub(crate) fn under(mut self, token: &str) -> Self {
        self.pointer = format!(
            "/{}{}",
            token.replace('~', "~0").replace('/', "~1"),
            self.pointer
        );
        self
    }
}

pub(crate) type Read<T> = Result<T, SchemaError>;

/// An object of which every member must be asked for.
pub(crate) struct Object(Map<String, Value>);

impl Object {
    pub(crate) fn new(value: Value) -> Read<Self> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            _ => Err(SchemaError::here("must be an object")),
        }
    }

    pub(crate) fn need<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Read<T>) -> Read<T> {
        self.may(name, read)?
            .ok_or_else(|| SchemaError::here("is required").under(name))
    }

    pub(crate) fn may<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Read<T>,
    ) -> Read<Option<T>> {
        self.0
            .remove(name)
            .map(|value| read(value).map_err(|e| e.under(name)))
            .transpose()
    }

    /// # Errors
    /// A member nobody asked for.
    pub(crate) fn end(self) -> Read<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(SchemaError::here("is not a known member").under(name)),
        }
    }
}

pub(crate) fn integer(value: Value) -> Read<u64> {
    value
        .as_u64()
        .ok_or_else(|| SchemaError::here("must be a non-negative integer"))
}

pub(crate) fn small(value: Value) -> Read<u8> {
    u8::try_from(integer(value)?).map_err(|_| SchemaError::here("must be at most 255"))
}

pub(crate) fn string(value: Value) -> Read<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(SchemaError::here("must be a string")),
    }
}

/// 1 to `max` bytes, of which every character satisfies `ok`.
pub(crate) fn text_of(value: Value, max: usize, ok: fn(char) -> bool, what: &str) -> Read<String> {
    let text = string(value)?;
    if text.is_empty() || text.len() > max || !text.chars().all(ok) {
        return Err(SchemaError::here(format!(
            "must be 1 to {max} bytes of {what}"
        )));
    }
    Ok(text)
}

/// Text shown to people: nothing that moves the cursor or turns the reading direction.
pub(crate) fn is_plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

pub(crate) fn list<T: PartialEq>(
    value: Value,
    max: usize,
    read: impl Fn(Value) -> Read<T>,
) -> Read<Vec<T>> {
    let Value::Array(values) = value else {
        return Err(SchemaError::here("must be an array"));
    };
    if values.is_empty() || values.len() > max {
        return Err(SchemaError::here(format!("must have 1 to {max} entries")));
    }
    let mut out: Vec<T> = Vec::with_capacity(values.len());
    for (i, value) in values.into_iter().enumerate() {
        let item = read(value).map_err(|e| e.under(&i.to_string()))?;
        if out.contains(&item) {
            return Err(SchemaError::here("occurs twice").under(&i.to_string()));
        }
        out.push(item);
    }
    Ok(out)
}

/// `Deserialize` through the strict reader, for tasks, the API and the journal.
macro_rules! deserialize_strictly {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let value = $crate::strict_json::from_deserializer(from)?;
                <$type>::from_json(value).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use deserialize_strictly;
