//! What a decision looks at, as plain values.

use crate::limits::{ATTRIBUTES_MAX, FACT_BYTES_MAX};
use marque_model::{Action, Effect, Grade, Mode};
use std::collections::BTreeMap;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Pseudonym of the human who answers for the session.
    pub human: String,
    /// The agent's label. It carries no scope.
    pub agent: String,
    /// Links below the root: 0 is the session's own agent, 2 a sub-agent's sub-agent.
    pub depth: u32,
    /// The session.
    pub session: String,
}

/// What it wants to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The profile's name (`github`, `postgres/orders-staging`).
    pub service: String,
    /// The profile's operation (`git.push`).
    pub operation: String,
    /// What it does. It decides which `any/…` group the action is in, whatever the profile says.
    pub effect: Effect,
}

/// What it is done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Canonical name; `name@branch` is a `Ref`.
    pub name: String,
    /// The environment it is registered in.
    pub environment: String,
    /// What else is known about it: Cedar tags.
    pub attributes: BTreeMap<String, String>,
}

/// What happened before in the session tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionFacts {
    /// Uses admitted.
    pub uses: u64,
    /// Destructive uses admitted.
    pub destructive: u64,
    /// Uses admitted that created or widened something (effect `grant`).
    pub grants: u64,
    /// Text was read that a stranger could have written.
    pub read_untrusted: bool,
}

/// Everything around the use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circumstances {
    /// Containment, measured by the launcher.
    pub grade: Grade,
    /// The session's mode.
    pub mode: Mode,
    /// What happened before.
    pub session: SessionFacts,
    /// A tag of the purpose, where the task gives one.
    pub purpose: Option<String>,
    /// Risks that the session's human accepted by name.
    pub accepted: Vec<String>,
    /// The action's attributes: Cedar tags of `context.attributes`.
    pub attributes: BTreeMap<String, String>,
    /// The body is too long to be held.
    pub streamed: bool,
    /// Somebody can be asked about exactly this use. Where not, a question is a denial.
    pub ask_able: bool,
}

/// One request for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Who.
    pub principal: Principal,
    /// What.
    pub action: Act,
    /// To what.
    pub resource: Resource,
    /// When and where.
    pub context: Circumstances,
}

impl Resource {
    /// The repository and branch of `name@branch`. A `:` occurs in no git branch, so that `acme/web@tag:v1` and
    /// `image@sha256:…` are no branches.
    #[must_use]
    pub fn branch(&self) -> Option<(&str, &str)> {
        branch_of(&self.name)
    }
}

/// See [`Resource::branch`].
pub(crate) fn branch_of(name: &str) -> Option<(&str, &str)> {
    name.split_once('@').filter(|(name, branch)| !name.is_empty() && !branch.is_empty() && !branch.contains(':'))
}

/// Whether a resource of that name is a branch: classes of uses differ in that.
#[must_use]
pub fn is_branch(name: &str) -> bool {
    branch_of(name).is_some()
}

impl Facts {
    /// The facts of a normalised action: its attributes go to `context.attributes`, and a streamed one cannot be asked
    /// about. The resource has no attributes of its own.
    #[must_use]
    pub fn of(action: &Action, principal: Principal, grade: Grade, mode: Mode, session: SessionFacts) -> Self {
        let streamed = action.content == marque_model::Content::Streamed;
        Self {
            principal,
            action: Act { service: action.service.clone(), operation: action.operation.clone(), effect: action.effect },
            resource: Resource {
                name: action.resource.clone(),
                environment: action.environment.clone(),
                attributes: BTreeMap::new(),
            },
            context: Circumstances {
                grade,
                mode,
                session,
                purpose: None,
                accepted: Vec::new(),
                attributes: action.attributes.clone(),
                streamed,
                ask_able: !streamed,
            },
        }
    }

    /// Whether every string is short enough to be judged.
    pub(crate) fn within_limits(&self) -> bool {
        let p = &self.principal;
        let texts = [&p.human, &p.agent, &p.session, &self.action.service, &self.action.operation, &self.resource.name];
        let tags = [&self.resource.attributes, &self.context.attributes];
        texts.iter().all(|text| text.len() <= FACT_BYTES_MAX)
            && self.resource.environment.len() <= FACT_BYTES_MAX
            && self.context.purpose.as_ref().is_none_or(|p| p.len() <= FACT_BYTES_MAX)
            && self.context.accepted.len() <= ATTRIBUTES_MAX
            && self.context.accepted.iter().all(|risk| risk.len() <= FACT_BYTES_MAX)
            && tags.iter().all(|tags| tags.len() <= ATTRIBUTES_MAX)
            && tags.iter().flat_map(|t| t.iter()).all(|(k, v)| k.len() <= FACT_BYTES_MAX && v.len() <= FACT_BYTES_MAX)
    }
}
