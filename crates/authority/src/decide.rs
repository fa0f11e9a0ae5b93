//! Decide: what policy says about a contained use, given what happened in the session before (DESIGN section 5).

use crate::Error;
use crate::authority::Authority;
use crate::bound::Bound;
use crate::leaf::Leaf;
use marque_api::{Code, Problem};
use marque_model::{Effect, Grade, Mode, SubjectId};
use marque_policy::{Act, Answer, Circumstances, Facts, Policies, Principal, Resource, SessionFacts, Use, Verdict};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a refusal by policy rests on: enough to explain it to a human later.
#[derive(Debug)]
pub struct Basis {
    /// What was decided on.
    pub facts: Facts,
    /// By which policies.
    pub policies: Arc<Policies>,
}

/// The facts of a session at one moment. A decision holds for that moment: the committer checks that it has not passed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Moment {
    /// What belongs where; none where nothing is registered. Every change moves the epoch on.
    pub(crate) registry: Option<Arc<marque_model::registry::Index>>,
    pub(crate) facts: SessionFacts,
    pub(crate) epoch: u64,
    pub(crate) uses: u64,
}

impl Moment {
    /// One more use.
    pub(crate) fn count(&mut self, effect: Effect) {
        self.facts.uses = self.facts.uses.saturating_add(1);
        match effect {
            Effect::Destructive => self.facts.destructive = self.facts.destructive.saturating_add(1),
            Effect::Grant => self.facts.grants = self.facts.grants.saturating_add(1),
            _ => {}
        }
    }
}

/// A refusal on its way to the agent and to the record.
pub(crate) struct Refusing {
    pub(crate) problem: Problem,
    pub(crate) rule: Option<String>,
    pub(crate) basis: Option<Arc<Basis>>,
}

impl From<Problem> for Refusing {
    fn from(problem: Problem) -> Self {
        Self { problem, rule: None, basis: None }
    }
}

/// What to ask a human about one action.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// Which meaning of the request.
    pub(crate) index: usize,
    pub(crate) digest: [u8; 32],
    pub(crate) group: Arc<str>,
    pub(crate) rule: String,
    pub(crate) because: Arc<str>,
    pub(crate) uses: u32,
    pub(crate) ttl_s: u64,
}

/// A verdict in the terms of admission.
pub(crate) enum Judged {
    Pass,
    Ask(Question),
    Refuse(Box<Refusing>),
}

fn joined(rules: &[Arc<str>]) -> String {
    rules.iter().map(|id| &**id).collect::<Vec<_>>().join(", ")
}

impl Authority {
    /// What happened in the leaf's session so far. `None` where it is over.
    pub(crate) fn moment(&self, leaf: &Leaf) -> Option<Moment> {
        let state = self.state.read();
        let seen = &state.sessions.get(&leaf.session)?.facts;
        let count = |effect: Effect| seen.by_effect.get(usize::from(effect.code())).copied().unwrap_or(0);
        let facts = SessionFacts {
            uses: seen.uses,
            destructive: count(Effect::Destructive),
            grants: count(Effect::Grant),
            read_untrusted: seen.read_untrusted,
        };
        Some(Moment { registry: state.registry.index().cloned(), facts, epoch: seen.epoch, uses: seen.uses })
    }

    /// Judges one of Marque's own acts for a human. The passphrase was checked before, and the local owner is in every
    /// group: what policy asks is answered by it, what it denies stays denied.
    pub(crate) fn judge_act(&self, act: &str, resource: &str, environment: &str, human: SubjectId) -> Result<(), Error> {
        let facts = act_facts(act, resource, environment, human, Grade::A, &[]);
        self.judge_own(&facts)
    }

    pub(crate) fn judge_own(&self, facts: &Facts) -> Result<(), Error> {
        if let Some(fault) = self.book.read().fault() {
            // The way out of a broken pack is to apply one.
            return match facts.action.operation == "policy.apply" {
                true => Ok(()),
                false => Err(Error::Refused(Problem::new(Code::DIGEST, fault, "apply the pack again with `marque policy apply`"))),
            };
        }
        match self.policies().decide(facts) {
            Verdict::Allow | Verdict::Ask { .. } => Ok(()),
            Verdict::Deny { because, next_step, rules } => {
                let detail = format!("policy refuses `{}`: {because} ({})", facts.action.operation, joined(&rules));
                Err(Error::Refused(Problem::new(Code::POLICY, detail, &*next_step)))
            }
            // The way out of a pack that errs is to apply another, or to take it away.
            Verdict::Error { .. } if facts.action.operation == "policy.apply" => Ok(()),
            Verdict::Error { rules } => Err(Error::Refused(policy_error(&rules))),
        }
    }
}

/// The facts of one of Marque's own acts.
pub(crate) fn act_facts(act: &str, resource: &str, environment: &str, human: SubjectId, grade: Grade, accepted: &[String]) -> Facts {
    Facts {
        principal: Principal { human: human.to_string(), agent: "marque".into(), depth: 0, session: String::new() },
        action: Act { service: crate::policies::SELF.into(), operation: act.into(), effect: Effect::Write },
        resource: Resource { name: resource.into(), environment: environment.into(), attributes: BTreeMap::new() },
        context: Circumstances {
            grade,
            mode: Mode::Enforce,
            session: SessionFacts::default(),
            purpose: None,
            accepted: accepted.to_vec(),
            attributes: BTreeMap::new(),
            streamed: false,
            ask_able: true,
        },
    }
}

fn policy_error(rules: &[Arc<str>]) -> Problem {
    let which = if rules.is_empty() { "the facts could not be judged".into() } else { format!("`{}` failed", joined(rules)) };
    Problem::new(Code::POLICY_ERROR, which, "tell whoever keeps the policies; nothing was sent")
}

/// What the verdict on that action means for it.
pub(crate) fn judge(bound: &Bound, of: &Use<'_>, index: usize, digest: [u8; 32]) -> Judged {
    let refuse = |problem: Problem, rules: &[Arc<str>]| {
        let basis = Some(Arc::new(Basis { facts: bound.facts(of), policies: bound.policies().clone() }));
        Judged::Refuse(Box::new(Refusing { problem, rule: (!rules.is_empty()).then(|| joined(rules)), basis }))
    };
    let what = |because: &str| format!("`{} {}` on `{}`: {because}", of.service, of.operation, of.resource);
    match bound.decide(of) {
        Verdict::Allow => Judged::Pass,
        Verdict::Ask { group, rules, because, uses, ttl_s } => Judged::Ask(Question {
            index,
            digest,
            group,
            rule: joined(&rules),
            because,
            uses: u32::try_from(uses).unwrap_or(u32::MAX),
            ttl_s,
        }),
        Verdict::Deny { rules, because, next_step } => {
            let code = if only_too_long(bound, of) { Code::NOT_ASKABLE } else { Code::POLICY };
            refuse(Problem::new(code, what(&because), &*next_step), &rules)
        }
        Verdict::Error { rules } => {
            let shown = Problem::new(Code::POLICY_ERROR, what("a policy could not be evaluated"), "tell the human of this session; nothing was sent");
            refuse(shown, &rules)
        }
    }
}

/// Whether a human could be asked if the body were short enough to be held.
fn only_too_long(bound: &Bound, of: &Use<'_>) -> bool {
    if !of.streamed {
        return false;
    }
    let mut held = bound.facts(of);
    held.context.ask_able = true;
    bound.policies().decide(&held).answer() == Answer::Ask
}
