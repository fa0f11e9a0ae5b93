//! Facts as Cedar wants them, built without JSON and without the schema: the types are right by construction, which
//! a test checks against the schema.

use crate::facts::Facts;
use crate::vocabulary::{Inner, UNKNOWN, groups_of};
use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression};
use cedar_policy_core::entities::{NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use marque_model::Effect;
use std::collections::{BTreeMap, HashSet};
use std::str::FromStr;

/// The facts cannot be judged.
#[derive(Debug)]
pub(crate) struct Unfit;

/// An action with all its groups.
#[derive(Debug, Clone)]
pub(crate) struct ActionParts {
    pub(crate) uid: EntityUid,
    pub(crate) entity: Entity,
}

/// Names of entity types, parsed once.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) action: EntityTypeName,
    pub(crate) agent: EntityTypeName,
    pub(crate) human: EntityTypeName,
    pub(crate) env: EntityTypeName,
    pub(crate) attributes: EntityTypeName,
    pub(crate) resource: EntityTypeName,
    pub(crate) reference: EntityTypeName,
}

/// A request that Cedar can answer.
pub(crate) struct Prepared {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
    /// The effect whose groups the action is in.
    pub(crate) effect: Effect,
    pub(crate) is_ref: bool,
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn long(value: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(value).unwrap_or(i64::MAX))
}

fn tags(of: &BTreeMap<String, String>) -> impl Iterator<Item = (String, RestrictedExpression)> + '_ {
    of.iter().map(|(name, value)| (name.clone(), text(value)))
}

/// Entities whose parents are all their ancestors: what they are in, they are in directly, so that there is no closure
/// to compute. Cedar's own interface computes it anyway, which costs as much as the decision.
fn closed(all: impl Iterator<Item = Entity>) -> Result<Entities, Unfit> {
    let all = all.map(|entity| AsRef::<cedar_policy_core::ast::Entity>::as_ref(&entity).clone());
    let given = TCComputation::AssumeAlreadyComputed;
    cedar_policy_core::entities::Entities::from_entities(all, None::<&NoEntitiesSchema>, given, Extensions::none())
        .map_or(Err(Unfit), |entities| Ok(entities.into()))
}

impl Names {
    pub(crate) fn new() -> Result<Self, Box<cedar_policy::ParseErrors>> {
        let name = |name: &str| EntityTypeName::from_str(name).map_err(Box::new);
        Ok(Self {
            action: name("Action")?,
            agent: name("Agent")?,
            human: name("Human")?,
            env: name("Env")?,
            attributes: name("Attributes")?,
            resource: name("Resource")?,
            reference: name("Ref")?,
        })
    }

    pub(crate) fn action(&self, name: &str, groups: &[String]) -> ActionParts {
        let me = uid(&self.action, name);
        let parents: HashSet<_> = groups.iter().filter(|g| *g != name).map(|g| uid(&self.action, g)).collect();
        ActionParts { uid: me.clone(), entity: Entity::new_no_attrs(me, parents) }
    }

    /// Principal, resource and whether the latter is a branch.
    fn parties(&self, facts: &Facts) -> Result<(Entity, Entity, bool), Unfit> {
        let principal = &facts.principal;
        let human = uid(&self.human, &principal.human);
        let attributes = [
            ("depth".to_owned(), long(u64::from(principal.depth))),
            ("human".to_owned(), RestrictedExpression::new_entity_uid(human.clone())),
            ("session".to_owned(), text(&principal.session)),
        ];
        let agent = Entity::new_with_tags(uid(&self.agent, &principal.agent), attributes, [human], []);
        let resource = &facts.resource;
        let service = &facts.action.service;
        let mut attributes = vec![
            ("service".to_owned(), text(service)),
            ("name".to_owned(), text(&resource.name)),
            ("environment".to_owned(), text(&resource.environment)),
        ];
        let mut parents = vec![uid(&self.env, &resource.environment)];
        let branch = resource.branch();
        if let Some((repository, branch)) = branch {
            attributes.push(("branch".to_owned(), text(branch)));
            parents.push(uid(&self.resource, &format!("{service}/{repository}")));
        }
        let kind = if branch.is_some() { &self.reference } else { &self.resource };
        let me = uid(kind, &format!("{service}/{}", resource.name));
        let resource = Entity::new_with_tags(me, attributes, parents, tags(&resource.attributes));
        Ok((agent.map_err(|_| Unfit)?, resource.map_err(|_| Unfit)?, branch.is_some()))
    }

    fn context(&self, facts: &Facts) -> Result<Context, Unfit> {
        let context = &facts.context;
        let seen = &context.session;
        let session = RestrictedExpression::new_record([
            ("uses".to_owned(), long(seen.uses)),
            ("destructive".to_owned(), long(seen.destructive)),
            ("grants".to_owned(), long(seen.grants)),
            ("read_untrusted".to_owned(), RestrictedExpression::new_bool(seen.read_untrusted)),
        ]);
        let pairs = [
            ("grade".to_owned(), long(context.grade.code().into())),
            ("mode".to_owned(), text(context.mode.word())),
            ("session".to_owned(), session.map_err(|_| Unfit)?),
            ("attributes".to_owned(), RestrictedExpression::new_entity_uid(uid(&self.attributes, ""))),
            ("accepted".to_owned(), RestrictedExpression::new_set(context.accepted.iter().map(|risk| text(risk)))),
            ("streamed".to_owned(), RestrictedExpression::new_bool(context.streamed)),
            ("ask_able".to_owned(), RestrictedExpression::new_bool(context.ask_able)),
        ];
        let purpose = context.purpose.as_deref().map(|purpose| ("purpose".to_owned(), text(purpose)));
        Context::from_pairs(pairs.into_iter().chain(purpose)).map_err(|_| Unfit)
    }
}

impl Inner {
    /// The action's entity and the effect whose groups it is in. A name that would pass for a group, or for another
    /// service's operation, is what nobody knows.
    fn act(&self, facts: &Facts) -> (ActionParts, Effect) {
        let act = &facts.action;
        let declared = self.actions.get(&act.service).and_then(|ops| ops.get(&act.operation));
        let same = |of: &&(Effect, ActionParts)| of.0 == act.effect;
        if let Some((effect, parts)) = declared.and_then(|of| of.iter().find(same))
            && *effect != Effect::Unparsed
        {
            return (parts.clone(), *effect);
        }
        let name = format!("{}/{}", act.service, act.operation);
        let taken =
            declared.is_none() && (self.operations.contains_key(&name) || self.reserved(&act.service, &act.operation));
        if act.effect == Effect::Unparsed || taken {
            let groups = groups_of(&act.service, Effect::Unparsed);
            return (self.names.action(UNKNOWN, &groups), Effect::Unparsed);
        }
        (self.names.action(&name, &groups_of(&act.service, act.effect)), act.effect)
    }

    fn reserved(&self, service: &str, operation: &str) -> bool {
        let last = operation.rsplit('/').next().unwrap_or(operation);
        let word = last == "any" || Effect::ALL.into_iter().any(|e| crate::vocabulary::group_word(e) == last);
        word || service.split('/').any(|part| part == "any" || part.is_empty())
    }

    pub(crate) fn prepare(&self, facts: &Facts) -> Result<Prepared, Unfit> {
        if !facts.within_limits() {
            return Err(Unfit);
        }
        let (agent, resource, is_ref) = self.names.parties(facts)?;
        let (action, effect) = self.act(facts);
        let context = self.names.context(facts)?;
        let request = Request::new(agent.uid(), action.uid, resource.uid(), context, None).map_err(|_| Unfit)?;
        // Without the entity no tag is there: `hasTag` is false, and an unguarded `getTag` an error.
        let attributes = match facts.context.attributes.is_empty() {
            true => None,
            false => {
                let me = uid(&self.names.attributes, "");
                Some(Entity::new_with_tags(me, [], [], tags(&facts.context.attributes)).map_err(|_| Unfit)?)
            }
        };
        let all = [agent, resource, action.entity].into_iter().chain(attributes);
        let entities = closed(all)?;
        Ok(Prepared { request, entities, effect, is_ref })
    }
}
