//! The policies as one leaf meets them. Whose uses these are, how contained they are and in which environment does not
//! change from one use to the next, and neither does what an operation is: what policies say about that is settled once
//! for each class of uses, and a decision evaluates what is left.

use crate::compiled::Condition;
use crate::facts::{Act, Circumstances, Facts, Principal, Resource, SessionFacts, branch_of};
use crate::fold::{Folded, fold, mentions_session};
use crate::limits::{ATTRIBUTES_MAX, FACT_BYTES_MAX};
use crate::policies::{Policies, askable};
use crate::rule::Says;
use crate::slice::index_of;
use crate::verdict::Verdict;
use cedar_policy_core::ast::{
    Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, PartialValue, Request, Value,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use marque_model::{Effect, Grade, Mode};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// What all uses of a leaf have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// Who asks.
    pub principal: Principal,
    /// The environment of its session.
    pub environment: String,
    /// Containment, measured by the launcher.
    pub grade: Grade,
    /// The session's mode.
    pub mode: Mode,
    /// A tag of the purpose, where the task gives one.
    pub purpose: Option<String>,
    /// Risks that the session's human accepted by name.
    pub accepted: Vec<String>,
}

/// What is left: one use.
#[derive(Debug, Clone, Copy)]
pub struct Use<'a> {
    /// The profile's name.
    pub service: &'a str,
    /// The profile's operation.
    pub operation: &'a str,
    /// What it does.
    pub effect: Effect,
    /// Canonical name; `name@branch` is a `Ref`.
    pub resource: &'a str,
    /// The action's attributes.
    pub attributes: &'a BTreeMap<String, String>,
    /// What happened before in the session tree.
    pub session: SessionFacts,
    /// The body is too long to be held.
    pub streamed: bool,
}

/// Policies, bound to a leaf.
#[derive(Debug)]
pub struct LeafPolicies {
    policies: Arc<Policies>,
    bearer: Bearer,
}

/// One rule of a class that is not settled.
#[derive(Debug)]
struct Open {
    index: usize,
    condition: Condition,
}

/// What the policies say about all uses of one leaf that do one thing to one kind of resource.
#[derive(Debug)]
pub struct Class {
    /// Rules that hold for all of them.
    settled: Vec<usize>,
    open: Vec<Open>,
    counters: bool,
    /// Some open rule is evaluated by Cedar, and may look at what happened before.
    cedar: bool,
    session: bool,
    unparsed: bool,
    principal: EntityUIDEntry,
    action: EntityUIDEntry,
    kind: EntityType,
    repository: EntityType,
    attributes: EntityUID,
    environment: EntityUID,
    /// Principal and action.
    entities: Entities,
    /// The resource's and the context's fields that are the same for all.
    resource: Vec<(&'static str, Value)>,
    context: Vec<(&'static str, Value)>,
}

fn text(value: &str) -> Value {
    Value::from(value)
}

fn long(value: u64) -> Value {
    Value::from(i64::try_from(value).unwrap_or(i64::MAX))
}

fn uid(kind: &EntityType, id: &str) -> EntityUID {
    EntityUID::from_components(kind.clone(), Eid::new(id), None)
}

fn record(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::record(pairs, None)
}

fn entity(
    uid: EntityUID,
    attributes: &[(&'static str, Value)],
    parents: HashSet<EntityUID>,
    tags: &BTreeMap<String, String>,
) -> Arc<Entity> {
    let attributes = attributes.iter().map(|(name, value)| ((*name).into(), PartialValue::from(value.clone())));
    let tags = tags.iter().map(|(name, value)| (name.as_str().into(), PartialValue::from(text(value))));
    Arc::new(Entity::new_with_attr_partial_value(uid, attributes, HashSet::new(), parents, tags))
}

/// All ancestors are named as parents, so that there is no closure to compute.
fn with(entities: Entities, more: impl IntoIterator<Item = Arc<Entity>>) -> Option<Entities> {
    let given = TCComputation::AssumeAlreadyComputed;
    entities.add_entities(more, None::<&NoEntitiesSchema>, given, Extensions::none()).ok()
}

impl LeafPolicies {
    /// Binds policies to a leaf.
    #[must_use]
    pub const fn new(policies: Arc<Policies>, bearer: Bearer) -> Self {
        Self { policies, bearer }
    }

    /// The policies.
    #[must_use]
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    /// One use with everything around it.
    #[must_use]
    pub fn facts(&self, of: &Use<'_>) -> Facts {
        let bearer = &self.bearer;
        Facts {
            principal: bearer.principal.clone(),
            action: Act { service: of.service.into(), operation: of.operation.into(), effect: of.effect },
            resource: Resource {
                name: of.resource.into(),
                environment: bearer.environment.clone(),
                attributes: BTreeMap::new(),
            },
            context: Circumstances {
                grade: bearer.grade,
                mode: bearer.mode,
                session: of.session,
                purpose: bearer.purpose.clone(),
                accepted: bearer.accepted.clone(),
                attributes: of.attributes.clone(),
                streamed: of.streamed,
                ask_able: !of.streamed,
            },
        }
    }

    /// The class of a use, to be kept for all uses with the same service, operation, effect, and branch or not. `None`
    /// where the use cannot be judged; then [`Policies::decide`] on its facts says so.
    #[must_use]
    pub fn class(&self, of: &Use<'_>) -> Option<Class> {
        let mut typical = self.facts(of);
        typical.context.attributes.clear();
        let inner = self.policies.vocabulary.inner();
        let prepared = inner.prepare(&typical).ok()?;
        let slice = self.policies.slice_of(&typical, &prepared)?;
        let names = &inner.names;
        let as_entry = |uid: Option<&cedar_policy::EntityUid>| {
            uid.map(|uid| EntityUIDEntry::from(AsRef::<EntityUID>::as_ref(uid).clone()))
        };
        let (principal, action) = (as_entry(prepared.request.principal())?, as_entry(prepared.request.action())?);
        let kind = if prepared.is_ref { &names.reference } else { &names.resource };
        let kind: EntityType = AsRef::<EntityType>::as_ref(kind).clone();
        let environment = uid(names.env.as_ref(), &self.bearer.environment);
        let of_all = prepared.entities.iter().map(|e| Arc::new(AsRef::<Entity>::as_ref(e).clone()));
        let is_party = |e: &Arc<Entity>| [&principal, &action].iter().any(|entry| entry.uid() == Some(e.uid()));
        let entities = with(Entities::new(), of_all.filter(is_party))?;
        let mut class = Class {
            settled: Vec::new(),
            open: Vec::new(),
            counters: false,
            cedar: false,
            session: false,
            unparsed: prepared.effect == Effect::Unparsed,
            principal,
            action,
            kind,
            repository: AsRef::<EntityType>::as_ref(&names.resource).clone(),
            attributes: uid(names.attributes.as_ref(), ""),
            environment,
            entities,
            resource: vec![("service", text(of.service)), ("environment", text(&self.bearer.environment))],
            context: self.context(),
        };
        let fixed = class.fixed()?;
        let (request, entities) = (&fixed.0, &fixed.1);
        let fixed = Evaluator::new(request.clone(), entities, Extensions::none());
        for policy in slice.set.policies() {
            let index = index_of(policy.id())?;
            let ast: &cedar_policy_core::ast::Policy = policy.as_ref();
            match fold(&ast.condition(), &fixed) {
                Folded::Known(false) => {}
                Folded::Known(true) => class.settled.push(index),
                Folded::Open(condition) => {
                    class.counters |= self.policies.rules.get(index).is_none_or(|rule| rule.counters);
                    class.session |= mentions_session(&condition);
                    let condition = Condition::of(&condition, prepared.is_ref);
                    class.cedar |= condition.needs_cedar();
                    class.open.push(Open { index, condition });
                }
            }
        }
        class.settled.sort_unstable();
        class.open.sort_unstable_by_key(|open| open.index);
        Some(class)
    }

    /// The leaf's part of the context.
    fn context(&self) -> Vec<(&'static str, Value)> {
        let bearer = &self.bearer;
        let mut context = vec![
            ("grade", long(bearer.grade.code().into())),
            ("mode", text(bearer.mode.word())),
            ("accepted", Value::set(bearer.accepted.iter().map(|risk| text(risk)), None)),
        ];
        context.extend(bearer.purpose.as_deref().map(|purpose| ("purpose", text(purpose))));
        context
    }

    /// Judges a use of that class, which must be its own. The same verdict as [`Policies::decide`] on its facts.
    #[must_use]
    pub fn decide(&self, class: &Class, of: &Use<'_>) -> Verdict {
        let tags = of.attributes;
        let within = of.resource.len() <= FACT_BYTES_MAX
            && tags.len() <= ATTRIBUTES_MAX
            && tags.iter().all(|(name, value)| name.len() <= FACT_BYTES_MAX && value.len() <= FACT_BYTES_MAX);
        if !within {
            return Verdict::Error { rules: Vec::new() };
        }
        if class.open.is_empty() {
            return self.conclude(class, class.settled.iter().copied(), of);
        }
        let asked = if class.cedar { class.request(of) } else { None };
        let evaluator = asked.as_ref().map(|(request, entities)| Evaluator::new(request.clone(), entities, Extensions::none()));
        let mut holding = class.settled.clone();
        let mut erring = Vec::new();
        for open in &class.open {
            match open.condition.holds(of, evaluator.as_ref()) {
                Some(true) => holding.push(open.index),
                Some(false) => {}
                // Cedar would leave out a policy that errs, a `forbid` too (threats C2).
                None => erring.extend(self.policies.rules.get(open.index)),
            }
        }
        if !erring.is_empty() {
            return Verdict::Error { rules: erring.iter().map(|rule| rule.id.clone()).collect() };
        }
        holding.sort_unstable();
        self.conclude(class, holding.into_iter(), of)
    }

    fn conclude(&self, class: &Class, holding: impl Iterator<Item = usize>, of: &Use<'_>) -> Verdict {
        let mut permitted = false;
        let mut forbidding = Vec::new();
        for rule in holding.filter_map(|index| self.policies.rules.get(index)) {
            match rule.says {
                Says::Permit => permitted = true,
                _ => forbidding.push(rule),
            }
        }
        let verdict = match (forbidding.is_empty(), permitted) {
            (true, true) if class.unparsed => crate::policies::ask_unparsed(),
            (true, true) => Verdict::Allow,
            _ => crate::policies::forbidden(&forbidding),
        };
        askable(verdict, !of.streamed, of.streamed)
    }
}

impl Class {
    /// Whether a policy that these uses meet may look at what the session counted.
    #[must_use]
    pub const fn uses_counters(&self) -> bool {
        self.counters
    }

    /// Number of policies that are evaluated for each use; all others are settled.
    #[must_use]
    pub const fn open_len(&self) -> usize {
        self.open.len()
    }

    /// What is the same for all, with nothing else in it.
    fn fixed(&self) -> Option<(Request, Entities)> {
        let me = uid(&self.kind, "");
        let resource = entity(me.clone(), &self.resource, HashSet::from([self.environment.clone()]), &BTreeMap::new());
        let context = self.context.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        let request = Request::new_unchecked(
            self.principal.clone(),
            self.action.clone(),
            me.into(),
            Some(Context::Value(Arc::new(context))),
        );
        Some((request, with(self.entities.clone(), [resource])?))
    }

    fn request(&self, of: &Use<'_>) -> Option<(Request, Entities)> {
        let me = uid(&self.kind, &[of.service, "/", of.resource].concat());
        let mut parents = HashSet::from([self.environment.clone()]);
        let mut own = self.resource.clone();
        own.push(("name", text(of.resource)));
        if let Some((repository, branch)) = branch_of(of.resource) {
            own.push(("branch", text(branch)));
            parents.insert(uid(&self.repository, &[of.service, "/", repository].concat()));
        }
        let resource = entity(me.clone(), &own, parents, &BTreeMap::new());
        let holder = &self.attributes;
        // Without the entity no tag is there: `hasTag` is false, and an unguarded `getTag` an error.
        let attributes = (!of.attributes.is_empty()).then(|| entity(holder.clone(), &[], HashSet::new(), of.attributes));
        let seen = &of.session;
        let mut context: BTreeMap<_, _> = self.context.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
        if self.session {
            let session = record([
                ("uses", long(seen.uses)),
                ("destructive", long(seen.destructive)),
                ("grants", long(seen.grants)),
                ("read_untrusted", Value::from(seen.read_untrusted)),
            ]);
            context.insert("session".into(), session);
        }
        context.insert("attributes".into(), Value::from(holder.clone()));
        context.insert("streamed".into(), Value::from(of.streamed));
        context.insert("ask_able".into(), Value::from(!of.streamed));
        let request = Request::new_unchecked(
            self.principal.clone(),
            self.action.clone(),
            me.into(),
            Some(Context::Value(Arc::new(context))),
        );
        Some((request, with(self.entities.clone(), [Some(resource), attributes].into_iter().flatten())?))
    }
}
