//! Refusals of one leaf: the last ones for `marque why`, and counts, so that a flood of refusals is a few records
//! (threats H18).

use marque_api::Problem;
use marque_model::Effect;
use std::collections::{BTreeMap, VecDeque};

/// Refusals kept for `why`, per leaf.
pub const REMEMBERED: usize = 32;
/// Least milliseconds between two records of the same refusal.
pub const RECORD_GAP_MS: u64 = 1_000;
/// Most kinds of refusal that are counted apart; beyond it they count as one.
pub const KINDS_MAX: usize = 256;

/// One refusal as `why` shows it.
#[derive(Debug, Clone)]
pub struct Refused {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What was asked for.
    pub request: String,
    /// The answer.
    pub problem: Problem,
    /// Rules; for humans.
    pub rule: Option<String>,
    /// What to explain it from, where policy decided; for humans.
    pub basis: Option<std::sync::Arc<crate::decide::Basis>>,
}

/// What makes two refusals the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Code.
    pub code: u16,
    /// Service or host.
    pub service: String,
    /// Operation.
    pub operation: String,
    /// Effect.
    pub effect: Effect,
    /// Rule.
    pub rule: Option<String>,
    /// The use was admitted before: it is counted as a use, and this is why it had no answer.
    pub of_a_use: bool,
}

#[derive(Debug, Default)]
struct Count {
    pending: u32,
    recorded_ms: Option<u64>,
    total: u64,
}

/// The refusals of one leaf.
#[derive(Debug, Default)]
pub struct Refusals {
    last: VecDeque<Refused>,
    counts: BTreeMap<Kind, Count>,
}

impl Refusals {
    /// Takes one refusal. Returns what to record now: the kind and how many there were since its last record.
    pub fn take(&mut self, kind: Kind, refused: Refused) -> Option<(Kind, u32)> {
        let now_ms = refused.at_ms;
        if self.last.len() == REMEMBERED {
            self.last.pop_front();
        }
        self.last.push_back(refused);
        let kind = match self.counts.len() >= KINDS_MAX && !self.counts.contains_key(&kind) {
            true => Kind { code: kind.code, service: "…".into(), operation: "…".into(), rule: None, ..kind },
            false => kind,
        };
        let count = self.counts.entry(kind.clone()).or_default();
        count.pending = count.pending.saturating_add(1);
        count.total = count.total.saturating_add(1);
        let due = count.recorded_ms.is_none_or(|at| now_ms.saturating_sub(at) >= RECORD_GAP_MS);
        due.then(|| {
            count.recorded_ms = Some(now_ms);
            (kind, std::mem::take(&mut count.pending))
        })
    }

    /// What was counted and not recorded yet.
    pub fn drain(&mut self) -> Vec<(Kind, u32)> {
        let pending = |(kind, count): (&Kind, &mut Count)| {
            let n = std::mem::take(&mut count.pending);
            (n > 0).then(|| (kind.clone(), n))
        };
        self.counts.iter_mut().filter_map(pending).collect()
    }

    /// The last refusal.
    #[must_use]
    pub fn last(&self) -> Option<&Refused> {
        self.last.back()
    }

    /// All counts, for the statement at the end.
    pub fn totals(&self) -> impl Iterator<Item = (&Kind, u64)> {
        self.counts.iter().map(|(kind, count)| (kind, count.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use marque_api::Code;

    fn refuse(to: &mut Refusals, operation: &str, at_ms: u64) -> Option<(Kind, u32)> {
        let kind = Kind { code: 2104, service: "s".into(), operation: operation.into(), effect: Effect::Read, rule: None, of_a_use: false };
        let problem = Problem::plain(Code::NOT_GRANTED, "");
        to.take(kind, Refused { at_ms, request: operation.into(), problem, rule: None, basis: None })
    }

    #[test]
    fn a_flood_of_one_refusal_is_one_record_a_second_and_loses_no_count() {
        let mut refusals = Refusals::default();
        let mut recorded = 0;
        for at in 0..10_000u64 {
            recorded += refuse(&mut refusals, "a", at).map_or(0, |(_, n)| n);
        }
        let rest: u32 = refusals.drain().iter().map(|(_, n)| n).sum();
        assert_eq!(recorded + rest, 10_000);
        assert!(refusals.last.len() == REMEMBERED);
    }

    #[test]
    fn kinds_beyond_the_limit_count_as_one() {
        let mut refusals = Refusals::default();
        for n in 0..=KINDS_MAX {
            refuse(&mut refusals, &format!("op{n}"), 0);
        }
        assert_eq!(refusals.counts.len(), KINDS_MAX + 1);
        refuse(&mut refusals, "one more", 0);
        assert_eq!(refusals.counts.len(), KINDS_MAX + 1);
    }
}
