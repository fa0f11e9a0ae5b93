//! Why a placement does not parse, and why a credential is not placed.

/// Why a text is no placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a placement: {why}")]
pub struct PlacementError {
    /// The text, cut to its bound.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

/// Why a credential is not placed. The request is not sent; no variant holds a byte of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Empty, or over [`crate::limits::SECRET_BYTES_MAX`].
    #[error("the credential is empty or longer than can be placed")]
    SecretLength,
    /// CR, LF, NUL, beyond ASCII, or what the slot's grammar forbids.
    #[error("the credential has bytes that its slot cannot hold")]
    SecretBytes,
    /// A placement in the body, and no body held.
    #[error("the credential belongs into a body, and the request has none that is held")]
    BodyMissing,
    /// Over [`crate::limits::BODY_HOLD_BYTES_MAX`].
    #[error("the body that the credential belongs into is longer than is held")]
    BodyTooLong,
    /// Content type, charset or coding.
    #[error("the body that the credential belongs into is not of the type that its slot needs")]
    BodyType,
    /// Not one JSON object with objects down to the slot, or not a form.
    #[error("the body that the credential belongs into does not have its slot")]
    BodyShape,
    /// A member on the way occurs twice.
    #[error("the body has the slot of the credential twice")]
    BodyAmbiguous,
    /// A path placement without an expected placeholder.
    #[error("the path slot of the credential has no placeholder to stand for it")]
    NoPlaceholder,
    /// The placeholder is not where the placement says.
    #[error("the path does not have the placeholder where the credential belongs")]
    PathMismatch,
    /// A query with two readings.
    #[error("the query has more than one reading")]
    QueryAmbiguous,
    /// The placement is `none`.
    #[error("the credential goes nowhere at this host")]
    Nowhere,
    /// The target would be over [`crate::limits::TARGET_BYTES_MAX`].
    #[error("the request target would be longer than is sent")]
    TargetTooLong,
}

impl PlaceError {
    /// A stable word for error codes and tests.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::SecretLength => "secret_length",
            Self::SecretBytes => "secret_bytes",
            Self::BodyMissing => "body_missing",
            Self::BodyTooLong => "body_too_long",
            Self::BodyType => "body_type",
            Self::BodyShape => "body_shape",
            Self::BodyAmbiguous => "body_ambiguous",
            Self::NoPlaceholder => "no_placeholder",
            Self::PathMismatch => "path_mismatch",
            Self::QueryAmbiguous => "query_ambiguous",
            Self::Nowhere => "nowhere",
            Self::TargetTooLong => "target_too_long",
        }
    }
}
