//! The policies in force, bound to one leaf: what they say about each class of its uses is worked out at the first one.

use crate::leaf::Leaf;
use crate::limits;
use marque_model::{Action, Effect};
use marque_policy::{Bearer, Class, LeafPolicies, Policies, Principal, SessionFacts, Use, Verdict};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// By service, operation, and (effect, branch or not).
type Classes = HashMap<String, HashMap<String, HashMap<(Effect, bool), Arc<Class>>>>;

/// One version of the policies, as a leaf meets it.
#[derive(Debug)]
pub(crate) struct Bound {
    policies: LeafPolicies,
    classes: RwLock<(usize, Classes)>,
}

/// A leaf's newest [`Bound`].
#[derive(Debug, Default)]
pub(crate) struct BoundBox(RwLock<Option<Arc<Bound>>>);

impl BoundBox {
    /// The policies bound to that leaf; bound anew where others came into force.
    pub(crate) fn of(&self, leaf: &Leaf, policies: &Arc<Policies>) -> Arc<Bound> {
        if let Some(bound) = &*self.0.read()
            && Arc::ptr_eq(bound.policies.policies(), policies)
        {
            return bound.clone();
        }
        let bound = Arc::new(Bound {
            policies: LeafPolicies::new(policies.clone(), bearer(leaf)),
            classes: RwLock::default(),
        });
        *self.0.write() = Some(bound.clone());
        bound
    }
}

fn bearer(leaf: &Leaf) -> Bearer {
    Bearer {
        principal: Principal {
            human: leaf.human.to_string(),
            agent: leaf.agent.to_string(),
            depth: leaf.depth,
            session: leaf.session.to_string(),
        },
        environment: leaf.environment.to_string(),
        grade: leaf.grade,
        mode: leaf.mode,
        purpose: None,
        accepted: leaf.accepted.to_vec(),
    }
}

/// The part of an action that policy looks at.
pub(crate) fn use_of(action: &Action, session: SessionFacts) -> Use<'_> {
    Use {
        service: &action.service,
        operation: &action.operation,
        effect: action.effect,
        resource: &action.resource,
        attributes: &action.attributes,
        session,
        streamed: action.content == marque_model::Content::Streamed,
    }
}

impl Bound {
    /// Everything about a use, for an explanation.
    pub(crate) fn facts(&self, of: &Use<'_>) -> marque_policy::Facts {
        self.policies.facts(of)
    }

    /// The policies.
    pub(crate) const fn policies(&self) -> &Arc<Policies> {
        self.policies.policies()
    }

    /// What policy says.
    pub(crate) fn decide(&self, of: &Use<'_>) -> Verdict {
        match self.class(of) {
            Some(class) => self.policies.decide(&class, of),
            None => self.policies().decide(&self.facts(of)),
        }
    }

    /// Whether what policy says may rest on what the session counted.
    pub(crate) fn uses_counters(&self, of: &Use<'_>) -> bool {
        match self.class(of) {
            Some(class) => class.uses_counters(),
            None => self.policies().uses_counters(&self.facts(of)),
        }
    }

    fn class(&self, of: &Use<'_>) -> Option<Arc<Class>> {
        let key = (of.effect, marque_policy::is_branch(of.resource));
        {
            let classes = self.classes.read();
            let known = classes.1.get(of.service).and_then(|s| s.get(of.operation)).and_then(|o| o.get(&key));
            if let Some(class) = known {
                return Some(class.clone());
            }
            // An agent may send methods that nobody ever heard of.
            if classes.0 >= limits::POLICY_CLASSES_MAX {
                return None;
            }
        }
        let class = Arc::new(self.policies.class(of)?);
        let mut classes = self.classes.write();
        let of_service = classes.1.entry(of.service.to_owned()).or_default();
        let fresh = of_service.entry(of.operation.to_owned()).or_default().insert(key, class.clone()).is_none();
        classes.0 += usize::from(fresh);
        Some(class)
    }
}
