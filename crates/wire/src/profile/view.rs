//! What a profile is shown of a request, and what it says about it.

use super::Profile;
use crate::answer::AnswerField;
use crate::http::CanonicalPath;
use marque_model::Effect;
use std::collections::BTreeMap;

/// A request, as the gateway has checked it.
#[derive(Debug, Clone, Copy)]
pub struct RequestView<'a> {
    /// Which of the profile's hosts it goes to. The credential's record says which origin that is.
    pub alias: &'a str,
    /// As on the wire: methods are case-sensitive.
    pub method: &'a str,
    /// [`decoded_path`]: decoded once, from a raw path that had one reading.
    pub path: &'a str,
    /// Decoded, in order, duplicates too.
    pub query: &'a [(String, String)],
    /// Names in lower case. Must hold, where the request has them: `content-type`, `content-encoding`,
    /// `content-length`, `transfer-encoding` and every header whose name starts with `x-`.
    pub headers: &'a [(String, String)],
    /// The body, whole, or for [`BodyNeed::GitCommands`] its command section; `None` where it was not held. A request
    /// without body whose need is [`BodyNeed::Hold`] has `Some(b"")`.
    pub body: Option<&'a [u8]>,
}

/// The path of a [`RequestView`]: decoded, with the trailing slash that the request has.
#[must_use]
pub fn decoded_path(path: &CanonicalPath) -> String {
    let slash = if path.has_trailing_slash() { "/" } else { "" };
    format!("/{}{slash}", path.segments().join("/"))
}

/// How much of a body the meaning depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyNeed {
    /// Nothing: it can be streamed.
    None,
    /// All of it, up to so many bytes; a longer one is not known.
    Hold(usize),
    /// What [`crate::git::CommandScan`] says; the rest can be streamed.
    GitCommands,
}

/// A question whose answer names the resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolve {
    /// The GraphQL query that the profile asks, with the variable `id`.
    pub query: String,
    /// The node id, as the request has it.
    pub id: String,
    /// Which resource template the answer fills.
    pub is: String,
}

/// One action of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// Name in the profile, or the method where there is none.
    pub operation: String,
    /// Canonical name. Where `resolve` is set it is `node/<id>`, which no grant on names covers.
    pub resource: String,
    /// What it does.
    pub effect: Effect,
    /// Captured variables (never those marked secret) and what the operation lists.
    pub attributes: BTreeMap<String, String>,
    /// The answer passes unscrubbed, and is recorded so.
    pub opaque: bool,
    /// Where the answer carries credentials.
    pub answers: Vec<AnswerField>,
    /// Permissions that a minted credential needs for it.
    pub needs: Vec<String>,
    /// Set where the resource is known to the upstream alone.
    pub resolve: Option<Resolve>,
}

/// What a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extracted {
    /// Every action of it, at least one. Each must be permitted; the most severe effect decides.
    Known(Vec<Meaning>),
    /// No profile line says, or two readings are possible.
    Unknown {
        /// One sentence, for people.
        why: String,
    },
}

impl Extracted {
    pub(super) fn unknown(why: impl Into<String>) -> Self {
        Self::Unknown { why: why.into() }
    }

    /// The most severe effect; `Unparsed` where nothing is known.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.actions().iter().map(|action| action.effect).max().unwrap_or(Effect::Unparsed)
    }

    /// The actions; none where nothing is known.
    #[must_use]
    pub fn actions(&self) -> &[Meaning] {
        match self {
            Self::Known(actions) => actions,
            Self::Unknown { .. } => &[],
        }
    }
}

impl Profile {
    /// How much of the body [`Profile::extract`] must be given. `view.body` is not looked at.
    #[must_use]
    pub fn need(&self, view: &RequestView<'_>) -> BodyNeed {
        self.judge_need(view)
    }

    /// What the request means.
    #[must_use]
    pub fn extract(&self, view: &RequestView<'_>) -> Extracted {
        self.judge(view).unwrap_or_else(Extracted::unknown)
    }
}
