//! Which policies a request of a class can meet. Cedar's cost is linear in the number of policies, heads that do not
//! match included, so a slice leaves out what its head keeps from matching. Only heads are looked at, and what is not
//! understood stays in: a head that does not match is never evaluated further, so that leaving it out changes nothing.

use crate::limits::ENVIRONMENTS_MAX;
use crate::rule::Rule;
use crate::vocabulary::{Inner, UNKNOWN, group_word, prefixes};
use cedar_policy::{ActionConstraint, EntityUid, PolicyId, PolicySet, ResourceConstraint};
use marque_model::Effect;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The policies of one class of requests.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) set: PolicySet,
    pub(crate) counters: bool,
    pub(crate) rules: usize,
}

/// All requests of one service in one environment with one effect on a branch or on something else.
#[derive(Debug, Clone, Copy)]
struct Class<'a> {
    /// `None`: a service that no profile declares.
    service: Option<&'a str>,
    /// `None`: an environment that no head names.
    environment: Option<&'a str>,
    effect: Effect,
    is_ref: bool,
}

/// A slice for every class.
#[derive(Debug)]
pub(crate) struct Slices {
    services: HashMap<String, usize>,
    environments: BTreeMap<String, usize>,
    all: Vec<Arc<Slice>>,
}

/// The name under which the rule at `index` stands in a slice.
pub(crate) fn name_of(index: usize) -> PolicyId {
    PolicyId::new(format!("r{index}"))
}

/// The index in that name.
pub(crate) fn index_of(id: &PolicyId) -> Option<usize> {
    let id: &str = id.as_ref();
    id.strip_prefix('r').and_then(|index| index.parse().ok())
}

impl Slices {
    /// Compiles every class; classes that meet the same policies share a slice.
    pub(crate) fn new(rules: &[Rule], inner: &Inner) -> Self {
        let named: BTreeSet<String> = rules.iter().filter_map(environment_of).collect();
        let environments: BTreeSet<String> = named.into_iter().take(ENVIRONMENTS_MAX).collect();
        let mut shared: BTreeMap<Vec<usize>, Arc<Slice>> = BTreeMap::new();
        let mut all = Vec::new();
        for service in inner.services.iter().map(|s| Some(s.as_str())).chain([None]) {
            for environment in environments.iter().map(|e| Some(e.as_str())).chain([None]) {
                for effect in Effect::ALL {
                    for is_ref in [false, true] {
                        let class = Class { service, environment, effect, is_ref };
                        let met =
                            rules.iter().enumerate().filter(|(_, rule)| class.may_meet(rule, inner, &environments));
                        let met: Vec<usize> = met.map(|(index, _)| index).collect();
                        let slice = shared.entry(met).or_insert_with_key(|met| Arc::new(Slice::new(rules, met)));
                        all.push(slice.clone());
                    }
                }
            }
        }
        let services = inner.services.iter().cloned().zip(0..).collect();
        Self { services, environments: environments.into_iter().zip(0..).collect(), all }
    }

    /// The slice of a request, by the same order as it was made. `None` cannot happen, and is then no decision.
    pub(crate) fn of(&self, service: &str, environment: &str, effect: Effect, is_ref: bool) -> Option<&Slice> {
        let service = self.services.get(service).copied().unwrap_or(self.services.len());
        let per_service = self.environments.len().checked_add(1)?;
        let environment = self.environments.get(environment).copied().unwrap_or(self.environments.len());
        let effect_at = Effect::ALL.iter().position(|e| *e == effect)?;
        let at = service.checked_mul(per_service)?.checked_add(environment)?;
        let at = at.checked_mul(Effect::ALL.len())?.checked_add(effect_at)?.checked_mul(2)?;
        self.all.get(at.checked_add(usize::from(is_ref))?).map(|slice| &**slice)
    }
}

impl Slice {
    pub(crate) fn new(rules: &[Rule], met: &[usize]) -> Self {
        let mut set = PolicySet::new();
        let mut counters = false;
        for index in met {
            if let Some(rule) = rules.get(*index) {
                // Cannot fail: static policies with names that are all different.
                let _ = set.add(rule.policy.new_id(name_of(*index)));
                counters |= rule.counters;
            }
        }
        Self { set, counters, rules: met.len() }
    }
}

fn is_env(uid: &EntityUid) -> bool {
    uid.type_name().basename() == "Env"
}

fn environment_of(rule: &Rule) -> Option<String> {
    match rule.policy.resource_constraint() {
        ResourceConstraint::In(uid) | ResourceConstraint::IsIn(_, uid) if is_env(&uid) => {
            Some(uid.id().unescaped().to_owned())
        }
        _ => None,
    }
}

impl Class<'_> {
    fn may_meet(&self, rule: &Rule, inner: &Inner, named: &BTreeSet<String>) -> bool {
        let action = match rule.policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => self.may_be(&uid, inner),
            ActionConstraint::In(uids) => uids.iter().any(|uid| self.may_be(uid, inner) && self.may_be_in(uid, inner)),
        };
        let of_type = |name: &str| match name {
            "Ref" => self.is_ref,
            "Resource" => !self.is_ref,
            _ => true,
        };
        let inside = |uid: &EntityUid| {
            let id = uid.id().unescaped();
            !is_env(uid) || !named.contains(id) || self.environment == Some(id)
        };
        action
            && match rule.policy.resource_constraint() {
                ResourceConstraint::Any | ResourceConstraint::Eq(_) => true,
                ResourceConstraint::In(uid) => inside(&uid),
                ResourceConstraint::Is(name) => of_type(name.basename()),
                ResourceConstraint::IsIn(name, uid) => of_type(name.basename()) && inside(&uid),
            }
    }

    /// Whether an action of this class may be that operation, or that group.
    fn may_be(&self, uid: &EntityUid, inner: &Inner) -> bool {
        // A declared operation is only ever the action of its own service.
        inner.operation(uid).is_none_or(|(service, _)| self.service == Some(service.as_str()))
    }

    /// Whether an action of this class may be in that group. What is no declared group may be anything.
    fn may_be_in(&self, uid: &EntityUid, inner: &Inner) -> bool {
        let name = uid.id().unescaped();
        if name == UNKNOWN {
            return self.effect == Effect::Unparsed;
        }
        if !inner.groups.contains(name) {
            return true;
        }
        let Some((service, word)) = name.rsplit_once('/') else { return true };
        let effect = word == "any" || word == group_word(self.effect);
        // An undeclared `postgres/x` is a `postgres` too: nothing is known about its groups but the effect.
        effect && (service == "any" || self.service.is_none_or(|own| prefixes(own).any(|prefix| prefix == service)))
    }
}
