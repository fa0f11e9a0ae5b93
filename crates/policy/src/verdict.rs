//! What a decision says. Denial is a value.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// A verdict without its reasons, least strict first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// Go.
    Allow,
    /// Somebody has to say yes.
    Ask,
    /// No; an error is a no.
    Deny,
}

impl Answer {
    /// The word of assertions and records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What policy says about one use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A `permit` matches and no `forbid` does.
    Allow,
    /// At least one determining `forbid` denies, or no `permit` matches.
    Deny {
        /// Ids of the determining rules that deny, in the order of the texts; empty where nothing permits.
        rules: Vec<Arc<str>>,
        /// What people see, of the first rule.
        because: Arc<str>,
        /// What to do instead, of the first rule.
        next_step: Arc<str>,
    },
    /// Every determining `forbid` asks.
    Ask {
        /// The groups of all asking rules, sorted, joined by `, `.
        group: Arc<str>,
        /// Ids of the asking rules, in the order of the texts.
        rules: Vec<Arc<str>>,
        /// What people see, of the first rule.
        because: Arc<str>,
        /// Uses that an approval is good for: the fewest that any of the rules gives.
        uses: u64,
        /// Seconds that an approval lives: the fewest that any of the rules gives.
        ttl_s: u64,
    },
    /// Policy could not be evaluated: a denial with the code [`Verdict::ERROR_CODE`].
    Error {
        /// Ids of the rules that erred; empty where the facts themselves could not be judged.
        rules: Vec<Arc<str>>,
    },
}

impl Verdict {
    /// The code of [`Verdict::Error`].
    pub const ERROR_CODE: &'static str = "policy_error";

    /// The answer without its reasons.
    #[must_use]
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Allow => Answer::Allow,
            Self::Ask { .. } => Answer::Ask,
            Self::Deny { .. } | Self::Error { .. } => Answer::Deny,
        }
    }

    /// Ids of the rules that made the verdict.
    #[must_use]
    pub fn rules(&self) -> &[Arc<str>] {
        match self {
            Self::Allow => &[],
            Self::Deny { rules, .. } | Self::Ask { rules, .. } | Self::Error { rules } => rules,
        }
    }

    /// The verdict over both, for a request that is several actions: the stricter, and the union of two questions.
    #[must_use]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Ask { group, rules, because, uses, ttl_s },
                Self::Ask { group: group2, rules: rules2, uses: uses2, ttl_s: ttl2_s, .. },
            ) => {
                let mut all = rules;
                all.extend(rules2.into_iter().filter(|rule| !all.contains(rule)).collect::<Vec<_>>());
                Self::Ask {
                    group: join_groups(group.split(", ").chain(group2.split(", "))),
                    rules: all,
                    because,
                    uses: uses.min(uses2),
                    ttl_s: ttl_s.min(ttl2_s),
                }
            }
            (error @ Self::Error { .. }, _) | (_, error @ Self::Error { .. }) => error,
            (first, second) if second.answer() > first.answer() => second,
            (first, _) => first,
        }
    }

    /// Whether the authority would do the same: the answer, and for a question who is asked for how much.
    pub(crate) fn same_answer(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ask { group, uses, ttl_s, .. }, Self::Ask { group: group2, uses: uses2, ttl_s: ttl2_s, .. }) => {
                group == group2 && uses == uses2 && ttl_s == ttl2_s
            }
            _ => self.answer() == other.answer(),
        }
    }
}

/// Sorted, without repetition, joined by `, `.
pub(crate) fn join_groups<'a>(groups: impl Iterator<Item = &'a str>) -> Arc<str> {
    groups.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ").into()
}
