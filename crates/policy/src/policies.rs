//! Packs compiled, and the decision.

use crate::facts::Facts;
use crate::literals::Literals;
use crate::pack::Pack;
use crate::request::Prepared;
use crate::rule::{Rule, Says};
use crate::slice::{Slice, Slices, index_of};
use crate::verdict::{Verdict, join_groups};
use crate::vocabulary::Vocabulary;
use aws_lc_rs::digest::{Context, SHA256};
use cedar_policy::{AuthorizationError, Authorizer, Decision, PolicyId};
use marque_model::Effect;
use std::collections::BTreeSet;

/// All that policy says, ready to decide. Cheap to share behind an `Arc`; replaced as a whole.
#[derive(Debug)]
pub struct Policies {
    pub(crate) vocabulary: Vocabulary,
    pub(crate) rules: Vec<Rule>,
    slices: Slices,
    authorizer: Authorizer,
    digest: [u8; 32],
    /// Some policy may look at counts: only then is it worth finding out which.
    counters: bool,
    /// Literals of the texts: what a counterfactual may try.
    pub(crate) literals: Literals,
}

impl Policies {
    /// Compiles packs that were loaded with the same vocabulary. All their policies count together: a `forbid` of one
    /// holds against a `permit` of another. Without any pack nothing is permitted.
    #[must_use]
    pub fn new(vocabulary: &Vocabulary, packs: Vec<Pack>) -> Self {
        let mut hash = Context::new(&SHA256);
        let mut literals = Literals::default();
        let mut rules = Vec::new();
        for pack in packs {
            hash.update(&pack.digest());
            for text in &pack.texts {
                literals.take(text);
            }
            rules.extend(pack.rules);
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(hash.finish().as_ref());
        let slices = Slices::new(&rules, vocabulary.inner());
        let counters = rules.iter().any(|rule: &Rule| rule.counters);
        Self { vocabulary: vocabulary.clone(), rules, slices, authorizer: Authorizer::new(), digest, counters, literals }
    }

    /// SHA-256 over the digests of its packs, in order: the policy version.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// Judges one use. Total: what cannot be judged is [`Verdict::Error`], which is a denial.
    #[must_use]
    pub fn decide(&self, facts: &Facts) -> Verdict {
        self.decided(facts).0
    }

    /// Whether a policy that this use meets may look at what the session counted (`uses`, `destructive`, `grants`).
    /// Then the decision holds for those counts alone, and its admission has to be conditional on them.
    #[must_use]
    pub fn uses_counters(&self, facts: &Facts) -> bool {
        // What cannot be judged is denied; the answer then does not matter.
        self.counters && self.slice(facts).is_none_or(|(_, slice)| slice.counters)
    }

    /// Whether any policy at all may look at counts.
    #[must_use]
    pub const fn uses_counters_at_all(&self) -> bool {
        self.counters
    }

    /// Number of policies that a use like this one is judged by.
    #[must_use]
    pub fn slice_len(&self, facts: &Facts) -> usize {
        self.slice(facts).map_or(0, |(_, slice)| slice.rules)
    }

    fn slice(&self, facts: &Facts) -> Option<(Prepared, &Slice)> {
        let prepared = self.vocabulary.inner().prepare(facts).ok()?;
        let slice = self.slice_of(facts, &prepared)?;
        Some((prepared, slice))
    }

    pub(crate) fn slice_of(&self, facts: &Facts, prepared: &Prepared) -> Option<&Slice> {
        self.slices.of(&facts.action.service, &facts.resource.environment, prepared.effect, prepared.is_ref)
    }

    /// The verdict and the determining or erring rules, permits included.
    pub(crate) fn decided(&self, facts: &Facts) -> (Verdict, Vec<&Rule>) {
        match self.slice(facts) {
            Some((prepared, slice)) => self.judge(facts, &prepared, slice),
            None => (Verdict::Error { rules: Vec::new() }, Vec::new()),
        }
    }

    pub(crate) fn judge(&self, facts: &Facts, prepared: &Prepared, slice: &Slice) -> (Verdict, Vec<&Rule>) {
        let response = self.authorizer.is_authorized(&prepared.request, &slice.set, &prepared.entities);
        let diagnostics = response.diagnostics();
        let erring =
            self.sorted(diagnostics.errors().map(|AuthorizationError::PolicyEvaluationError(e)| e.policy_id()));
        // Cedar leaves out a policy that errs, a `forbid` too (threats C2).
        if diagnostics.errors().next().is_some() {
            return (Verdict::Error { rules: erring.iter().map(|rule| rule.id.clone()).collect() }, erring);
        }
        let rules = self.sorted(diagnostics.reason());
        let verdict = match response.decision() {
            Decision::Allow if prepared.effect == Effect::Unparsed => ask_unparsed(),
            Decision::Allow => Verdict::Allow,
            Decision::Deny => forbidden(&rules),
        };
        (askable(verdict, facts.context.ask_able, facts.context.streamed), rules)
    }

    fn sorted<'a>(&self, ids: impl Iterator<Item = &'a PolicyId>) -> Vec<&Rule> {
        let indices: BTreeSet<usize> = ids.filter_map(index_of).collect();
        indices.into_iter().filter_map(|index| self.rules.get(index)).collect()
    }

    /// The verdict of all policies, as if there were no slices.
    #[cfg(test)]
    pub(crate) fn decide_unsliced(&self, facts: &Facts) -> Verdict {
        let all: Vec<usize> = (0..self.rules.len()).collect();
        let slice = Slice::new(&self.rules, &all);
        match self.vocabulary.inner().prepare(facts) {
            Ok(prepared) => self.judge(facts, &prepared, &slice).0,
            Err(_) => Verdict::Error { rules: Vec::new() },
        }
    }
}

/// Unparsed is never better than a question, whatever the packs say.
pub(crate) fn ask_unparsed() -> Verdict {
    Verdict::Ask {
        group: "initiator".into(),
        rules: vec!["unparsed".into()],
        because: "marque does not know this request".into(),
        uses: crate::limits::ASK_USES_DEFAULT,
        ttl_s: crate::limits::ASK_TTL_DEFAULT_S,
    }
}

/// A question that nobody can be asked is a denial.
pub(crate) fn askable(verdict: Verdict, ask_able: bool, streamed: bool) -> Verdict {
    match verdict {
        Verdict::Ask { rules, because, .. } if !ask_able => {
            let next_step = match streamed {
                true => "send less at once: this is too long to be shown to somebody",
                false => "nobody can be asked about this here: ask for a grant that covers it",
            };
            Verdict::Deny { rules, because, next_step: next_step.into() }
        }
        other => other,
    }
}

/// What the determining `forbid`s say together: one that denies wins over all that ask.
pub(crate) fn forbidden(rules: &[&Rule]) -> Verdict {
    let denying = rules.iter().find_map(|rule| match &rule.says {
        Says::Deny { next_step } => Some((&rule.because, next_step)),
        _ => None,
    });
    if let Some((because, next_step)) = denying {
        let ids = rules.iter().filter(|rule| matches!(rule.says, Says::Deny { .. })).map(|rule| rule.id.clone());
        return Verdict::Deny { rules: ids.collect(), because: because.clone(), next_step: next_step.clone() };
    }
    let asking = || {
        rules.iter().filter_map(|rule| match &rule.says {
            Says::Ask { groups, uses, ttl_s } => Some((groups, *uses, *ttl_s)),
            _ => None,
        })
    };
    let Some((first, fewest)) = rules.first().zip(asking().map(|(_, uses, ttl_s)| (uses, ttl_s)).reduce(least)) else {
        return Verdict::Deny {
            rules: Vec::new(),
            because: "no policy permits it".into(),
            next_step: "ask whoever keeps the policies for a `permit`".into(),
        };
    };
    Verdict::Ask {
        group: join_groups(asking().flat_map(|(groups, ..)| groups.iter().map(String::as_str))),
        rules: rules.iter().map(|rule| rule.id.clone()).collect(),
        because: first.because.clone(),
        uses: fewest.0,
        ttl_s: fewest.1,
    }
}

fn least(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0.min(b.0), a.1.min(b.1))
}
