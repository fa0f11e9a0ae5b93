//! The rules by name, and how a failure of one is told.

use std::fmt;

use crate::grant::Wider;
#[cfg(doc)]
use crate::limits::{MAX_LIFETIME_S, MAX_ROOTS};

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// The rules of verification, in about the order in which they are applied. Codes are stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Rule { $($(#[doc = $doc])+ $name,)+ }

        impl Rule {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Stable text for programs and test vectors.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }
        }
    };
}

rules! {
    /// No root key, or more than [`MAX_ROOTS`].
    Roots = "roots",
    /// No link.
    Empty = "empty",
    /// Too many links, a depth that does not count up, or one beyond an ancestor's `del_max_depth`.
    Depth = "depth",
    /// A link over its size.
    Size = "size",
    /// No compact JWS, or not base64url in its one spelling.
    Encoding = "encoding",
    /// Not signed by a root (link 0) or by the key of the link above.
    Signature = "signature",
    /// A header other than the two allowed.
    Header = "header",
    /// A payload that is not strict JSON.
    Json = "json",
    /// A member missing, unknown, or not of its type; an unregistered grant type.
    Claims = "claims",
    /// `iss` is not the signer's thumbprint URI.
    Issuer = "issuer",
    /// `par_hash` is not that of the link above.
    ParentHash = "par_hash",
    /// Session, status or passkey assertion below link 0, or no session in it.
    Session = "session",
    /// `human_proof` says `proven` without an assertion, or the reverse.
    HumanProof = "human_proof",
    /// Link 0 without a policy.
    Policy = "policy",
    /// `iat` too far in the future.
    IssuedAhead = "issued_ahead",
    /// `iat` before the parent's.
    IssuedBefore = "issued_before_parent",
    /// `exp` not after `iat`.
    NoTime = "no_time",
    /// `exp` after the parent's.
    Outlives = "outlives_parent",
    /// A life over [`MAX_LIFETIME_S`].
    Lifetime = "lifetime",
    /// `exp` has passed.
    Expired = "expired",
    /// `aud` is not a subset of the parent's, or the leaf does not name the verifier.
    Audience = "audience",
    /// A grant outside of the session's environment.
    Environment = "environment",
    /// Limits above the parent's.
    Limits = "limits",
    /// A grant that no grant of the parent covers.
    Grants = "grants",
    /// A key that occurs twice in the chain.
    KeyTwice = "key_twice",
    /// A `jti` that occurs twice in the chain.
    JtiTwice = "jti_twice",
}

impl Rule {
    pub(crate) fn is_widening(self) -> bool {
        matches!(
            self,
            Self::Grants
                | Self::Limits
                | Self::Environment
                | Self::Audience
                | Self::Outlives
                | Self::Depth
        )
    }
}

/// A chain that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("link {link} fails `{}`: {}{why}", rule.code(), At(pointer))]
pub struct Invalid {
    /// Which link, counted from 0.
    pub link: usize,
    /// Which rule.
    pub rule: Rule,
    /// JSON pointer into the link's claims, where there is one.
    pub pointer: Option<String>,
    /// For people.
    pub why: String,
}

struct At<'a>(&'a Option<String>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .as_ref()
            .map_or(Ok(()), |pointer| write!(f, "`{pointer}` "))
    }
}

#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) rule: Rule,
    pub(crate) pointer: Option<String>,
    pub(crate) why: String,
}

impl Fault {
    pub(crate) fn new(rule: Rule, why: impl Into<String>) -> Self {
        Self {
            rule,
            pointer: None,
            why: why.into(),
        }
    }

    pub(crate) fn with_pointer(self, pointer: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            ..self
        }
    }

    pub(crate) fn at(self, link: usize) -> Invalid {
        Invalid {
            link,
            rule: self.rule,
            pointer: self.pointer,
            why: self.why,
        }
    }
}

impl From<Wider> for Fault {
    fn from(wider: Wider) -> Self {
        let rule = if wider.pointer.ends_with("/environment") {
            Rule::Environment
        } else if wider.pointer.contains("/limits/") {
            Rule::Limits
        } else {
            Rule::Grants
        };
        Self::new(rule, wider.why).with_pointer(wider.pointer)
    }
}
