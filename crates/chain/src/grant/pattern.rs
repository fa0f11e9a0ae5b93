//! What the pattern types share.

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PatternError(pub(crate) &'static str);

/// Text in, typed pattern out; text again when shown or serialized.
macro_rules! pattern_type {
    ($type:ident) => {
        impl $type {
            /// The text it was parsed from.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.text
            }

            pub(crate) fn from_json(value: serde_json::Value) -> crate::schema::Read<Self> {
                let text = crate::schema::string(value)?;
                Self::parse(&text).map_err(|e| crate::schema::SchemaError::here(e.to_string()))
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.text)
            }
        }
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.text)
            }
        }
    };
}
pub(crate) use pattern_type;
