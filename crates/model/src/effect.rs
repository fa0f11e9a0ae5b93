//! What a use does to the world.

use std::fmt;

/// The effect of an action. Ordered by how much care it asks for, least first, so that a mutation of a request can be
/// tested never to lower it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Effect {
    /// Looks.
    Read = 1,
    /// Changes something that can be changed back.
    Write = 2,
    /// Removes or overwrites; cannot be undone by the same API.
    Destructive = 3,
    /// Shows a secret.
    Reveal = 4,
    /// Creates or widens a principal, key, token, member, hook, trigger, schedule, or code that runs with the
    /// upstream's own credentials (threats C9).
    Grant = 5,
    /// No profile knows this request: never better than a question.
    Unparsed = 6,
}

impl Effect {
    /// Every effect, in order.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Write, Self::Destructive, Self::Reveal, Self::Grant, Self::Unparsed];

    /// The number a record holds.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The effect with that number.
    #[must_use]
    pub fn from_code(code: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|e| u64::from(e.code()) == code)
    }

    /// The word used in tasks, policies and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Reveal => "reveal",
            Self::Grant => "grant",
            Self::Unparsed => "unparsed",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
