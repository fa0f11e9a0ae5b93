//! Why a decision is what it is, and what would change it. For humans: an agent that is told learns the way around
//! (threats M3).

use crate::facts::Facts;
use crate::limits::CANDIDATES_MAX;
use crate::policies::Policies;
use crate::verdict::{Answer, Verdict};
use marque_model::{Effect, Grade, Mode};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Deepest delegation there is.
const DEPTH_MAX: u32 = 10;

/// A rule that took part, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: Arc<str>,
    /// The file.
    pub file: Arc<str>,
    /// The line where it begins, counted from 1.
    pub line: usize,
    /// What people see; empty for a `permit` that says nothing.
    pub because: Arc<str>,
}

/// The reasons of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The decision.
    pub verdict: Verdict,
    /// Every determining rule (a question that a denial overrode too), or those that erred.
    pub rules: Vec<Told>,
    /// The nearest single change that gives another answer: a milder one to what was asked or denied, a stricter one
    /// to what was allowed.
    pub counterfactual: Option<Change>,
}

/// One fact with another value. In the order of nearness: what the agent can change by itself comes first, then what
/// the person who started it can, then what makes it another request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Another branch of the same repository.
    Branch(String),
    /// Another link asks.
    Depth(u32),
    /// The session did (not) read what a stranger could write.
    ReadUntrusted(bool),
    /// Another number of uses before.
    Uses(u64),
    /// Another number of destructive uses before.
    Destructive(u64),
    /// Another number of uses before that created or widened something.
    Grants(u64),
    /// Other containment.
    Grade(Grade),
    /// Somebody can (not) be asked.
    AskAble(bool),
    /// A body that is (not) short enough to hold.
    Streamed(bool),
    /// Another mode.
    Mode(Mode),
    /// Another effect.
    Effect(Effect),
    /// Another environment.
    Environment(String),
}

/// A decision that came out differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which of the replayed, counted from 0.
    pub index: usize,
    /// What was decided.
    pub was: Verdict,
    /// What these policies decide.
    pub now: Verdict,
}

impl Change {
    /// The facts with that change.
    #[must_use]
    pub fn apply(&self, facts: &Facts) -> Facts {
        let mut facts = facts.clone();
        let context = &mut facts.context;
        match self {
            Self::Branch(branch) => {
                let repository = facts.resource.branch().map(|(repository, _)| repository.to_owned());
                if let Some(repository) = repository {
                    facts.resource.name = format!("{repository}@{branch}");
                }
            }
            Self::Depth(depth) => facts.principal.depth = *depth,
            Self::ReadUntrusted(read) => context.session.read_untrusted = *read,
            Self::Uses(uses) => context.session.uses = *uses,
            Self::Destructive(count) => context.session.destructive = *count,
            Self::Grants(count) => context.session.grants = *count,
            Self::Grade(grade) => context.grade = *grade,
            Self::AskAble(able) => context.ask_able = *able,
            Self::Streamed(streamed) => context.streamed = *streamed,
            Self::Mode(mode) => context.mode = *mode,
            Self::Effect(effect) => facts.action.effect = *effect,
            Self::Environment(environment) => facts.resource.environment.clone_from(environment),
        }
        facts
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Branch(branch) => write!(f, "the branch were `{branch}`"),
            Self::Depth(depth) => write!(f, "the delegation depth were {depth}"),
            Self::ReadUntrusted(true) => f.write_str("the session had read text that a stranger could write"),
            Self::ReadUntrusted(false) => f.write_str("the session had not read text that a stranger could write"),
            Self::Uses(count) => write!(f, "the session had {count} uses before"),
            Self::Destructive(count) => write!(f, "the session had {count} destructive uses before"),
            Self::Grants(count) => write!(f, "the session had {count} uses before that granted something"),
            Self::Grade(grade) => write!(f, "the containment were grade {grade}"),
            Self::AskAble(true) => f.write_str("somebody could be asked"),
            Self::AskAble(false) => f.write_str("nobody could be asked"),
            Self::Streamed(true) => f.write_str("the body were too long to hold"),
            Self::Streamed(false) => f.write_str("the body were short enough to hold"),
            Self::Mode(mode) => write!(f, "the mode were {mode}"),
            Self::Effect(effect) => write!(f, "the effect were {effect}"),
            Self::Environment(environment) => write!(f, "the environment were `{environment}`"),
        }
    }
}

/// Whether the change from one answer to the other is worth telling: towards yes, or away from it.
pub(crate) fn flips(from: Answer, to: Answer) -> bool {
    match from {
        Answer::Allow => to != Answer::Allow,
        _ => to < from,
    }
}

fn by_distance<T>(all: impl IntoIterator<Item = T>, from: u64, number: impl Fn(&T) -> u64) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().filter(|one| number(one) != from).collect();
    all.sort_by_key(|one| number(one).abs_diff(from));
    all
}

impl Policies {
    /// Explains a decision. Costs up to some hundred decisions; it is no part of one.
    #[must_use]
    pub fn explain(&self, facts: &Facts) -> Explanation {
        let (verdict, rules) = self.decided(facts);
        let told = rules.into_iter().map(|rule| Told {
            id: rule.id.clone(),
            file: rule.file.clone(),
            line: rule.line,
            because: rule.because.clone(),
        });
        let rules = told.collect();
        let answer = verdict.answer();
        let counterfactual =
            self.changes(facts).into_iter().find(|change| flips(answer, self.decide(&change.apply(facts)).answer()));
        Explanation { verdict, rules, counterfactual }
    }

    /// All changes that are tried, nearest first.
    pub(crate) fn changes(&self, facts: &Facts) -> Vec<Change> {
        let context = &facts.context;
        let seen = context.session;
        let mut changes: Vec<Change> = Vec::new();
        if let Some((_, branch)) = facts.resource.branch() {
            let known = ["agent/change", "main", "master"].into_iter().map(str::to_owned);
            let named =
                self.literals.texts.iter().filter(|text| !text.contains([' ', ':', '@'])).take(CANDIDATES_MAX).cloned();
            let mut tried = BTreeSet::new();
            changes.extend(
                known
                    .chain(named)
                    .filter(|other| !other.is_empty() && other != branch && tried.insert(other.clone()))
                    .map(Change::Branch),
            );
        }
        let depths = by_distance(0..=DEPTH_MAX, facts.principal.depth.into(), |depth| u64::from(*depth));
        changes.extend(depths.into_iter().map(Change::Depth));
        changes.push(Change::ReadUntrusted(!seen.read_untrusted));
        let around = |n: &u64| [n.saturating_sub(1), *n, n.saturating_add(1)];
        let counts: BTreeSet<u64> =
            self.literals.numbers.iter().take(CANDIDATES_MAX).flat_map(around).chain([0]).collect();
        let near = |from| by_distance(counts.iter().copied(), from, |n| *n);
        changes.extend(near(seen.uses).into_iter().map(Change::Uses));
        changes.extend(near(seen.destructive).into_iter().map(Change::Destructive));
        changes.extend(near(seen.grants).into_iter().map(Change::Grants));
        let grades =
            by_distance([Grade::D, Grade::C, Grade::B, Grade::A], context.grade.code().into(), |g| g.code().into());
        changes.extend(grades.into_iter().map(Change::Grade));
        changes.push(Change::AskAble(!context.ask_able));
        changes.push(Change::Streamed(!context.streamed));
        let modes =
            by_distance([Mode::Enforce, Mode::Observe, Mode::Adopt], context.mode.code().into(), |m| m.code().into());
        changes.extend(modes.into_iter().map(Change::Mode));
        let effects = by_distance(Effect::ALL, facts.action.effect.code().into(), |e| e.code().into());
        changes.extend(effects.into_iter().map(Change::Effect));
        let named = self.literals.environments.iter().take(CANDIDATES_MAX).cloned();
        let environments: BTreeSet<String> =
            ["dev", "staging", "production"].map(str::to_owned).into_iter().chain(named).collect();
        let here = &facts.resource.environment;
        changes.extend(environments.into_iter().filter(|e| e != here).map(Change::Environment));
        changes
    }

    /// What these policies say to decisions that were made before, where the authority would now do something else.
    pub fn replay<I>(&self, decisions: I) -> Vec<Difference>
    where
        I: IntoIterator<Item = (Facts, Verdict)>,
    {
        let judged = decisions.into_iter().enumerate().map(|(index, (facts, was))| {
            let now = self.decide(&facts);
            Difference { index, was, now }
        });
        judged.filter(|difference| !difference.was.same_answer(&difference.now)).collect()
    }
}
