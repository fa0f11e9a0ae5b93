//! What a session is, apart from its budgets.

use crate::ids::{SessionId, SubjectId};

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $word)] $variant),+
        }
        impl $name {
            /// The number that a record holds.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }
            /// The value with that number.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)+ _ => None }
            }
            /// The word people read and write.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownWord { text: text.chars().take(64).collect(), known: &[$($word),+] }),
                }
            }
        }
    };
}
pub(crate) use coded;

/// A word that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is none of {known:?}")]
pub struct UnknownWord {
    /// What was given, cut to 64 characters.
    pub text: String,
    /// What would have been understood.
    pub known: &'static [&'static str],
}

coded! {
    /// How much of the answer is applied (DESIGN section 1). Signed into link 0 and on every record.
    Mode {
        /// Policy and grants are applied.
        Enforce = 1 "enforce",
        /// Policy and grants are evaluated and recorded; brokering, scrubbing and the journal are real.
        Observe = 2 "observe",
        /// The agent keeps the credentials it has; records say `credentials: exposed`.
        Adopt = 3 "adopt",
    }
}

coded! {
    /// Containment grade, an ordered integer in policy: D is the weakest.
    Grade {
        /// Nothing keeps the agent from the user's own files and processes.
        D = 1 "D",
        /// Hooks and courtesies.
        C = 2 "C",
        /// Network and programs are judged; files are denied, not hidden.
        B = 3 "B",
        /// Own namespaces: one road out, files hidden, programs judged.
        A = 4 "A",
    }
}

coded! {
    /// Why a session ended.
    EndReason {
        /// The agent exited.
        Exited = 1 "exited",
        /// Its time was over.
        Expired = 2 "expired",
        /// A human ended it.
        Stopped = 3 "stopped",
        /// The launcher or guardian went away.
        Lost = 4 "lost",
        /// The authority was restarted and found no launcher for it.
        Orphaned = 5 "orphaned",
        /// It used up its share of the journal.
        Quota = 6 "quota",
    }
}

coded! {
    /// How the human in link 0 is known (I5).
    HumanProof {
        /// By the authority's word: an operating system user and a passphrase.
        Asserted = 1 "asserted",
        /// By a passkey over the digest of link 0.
        Proven = 2 "proven",
    }
}

/// Where a session is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Uses are admitted.
    Active,
    /// The end is durable; teardown is under way. No use is admitted.
    Ending(EndReason),
    /// Teardown is done and its statement is recorded.
    Ended(EndReason),
}

/// What happened in a session tree before: facts that policy may look at. They belong to the tree, never to a leaf
/// (threats M9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Admitted uses so far.
    pub uses: u64,
    /// Admitted uses by effect code.
    pub by_effect: [u64; 7],
    /// The session read text that a stranger could have written.
    pub read_untrusted: bool,
    /// Changes whenever a fact other than a bare count changes: a decision holds for one value of it.
    pub epoch: u64,
}

/// One session, as the fold knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Pseudonym of the human who answers for it.
    pub human: SubjectId,
    /// The agent's identity, a label that carries no scope.
    pub agent: String,
    /// Its environment.
    pub environment: String,
    /// Its mode.
    pub mode: Mode,
    /// Containment, as measured by the launcher that this authority started.
    pub grade: Grade,
    /// Journal sequence and time of its opening.
    pub opened_seq: u64,
    /// See `opened_seq`.
    pub opened_ms: u64,
    /// Hard end.
    pub not_after_ms: u64,
    /// Where it is.
    pub phase: Phase,
    /// What happened in it.
    pub facts: Facts,
    /// Number of links registered.
    pub links: u32,
    /// Number of questions that are open.
    pub asks_open: u32,
    /// Number of uses admitted and not settled.
    pub uses_open: u32,
    /// Bytes of journal it caused.
    pub journal_bytes: u64,
}

impl Session {
    /// Whether a use may be admitted at `now_ms`.
    #[must_use]
    pub fn is_live(&self, now_ms: u64) -> bool {
        self.phase == Phase::Active && now_ms < self.not_after_ms
    }
}
