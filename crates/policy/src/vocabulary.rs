//! The words that policies may use: the Cedar schema, made from the operations of the service profiles.

use crate::limits::{NAME_BYTES_MAX, OPERATIONS_MAX, SERVICE_PARTS_MAX};
use crate::request::{ActionParts, Names};
use cedar_policy::{EntityUid, Schema};
use marque_model::Effect;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::sync::Arc;

/// What an unparsed request is called, and the group it is in.
pub(crate) const UNKNOWN: &str = "any/unknown";
/// The service of what the authority itself does for a human. It is in no group over all services: whoever forbids writes does
/// not mean that no session may be opened.
const OWN: &str = "marque";
/// The service part of groups over all services.
const ANY: &str = "any";

/// One operation of a service profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    /// The profile's name.
    pub service: String,
    /// The operation's name.
    pub operation: String,
    /// What it does.
    pub effect: Effect,
}

/// Why the service profiles do not make a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// A name with another character than letters, digits and `._:/*-`, or too long, or empty.
    #[error("`{0}` is not a name of a service or operation")]
    Name(String),
    /// The name is that of a group or of another operation.
    #[error("the operation `{operation}` of `{service}` has the name of a group or of another service's operation")]
    Clash {
        /// The service.
        service: String,
        /// The operation.
        operation: String,
    },
    /// More than [`OPERATIONS_MAX`].
    #[error("the services have more than {OPERATIONS_MAX} operations")]
    TooMany,
    /// Cedar does not take the schema that we made: a defect.
    #[error("the generated schema is refused: {0}")]
    Schema(String),
}

/// The schema and everything about names that a decision needs and that does not change from one to the next.
#[derive(Debug, Clone)]
pub struct Vocabulary(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) schema: Schema,
    pub(crate) text: String,
    pub(crate) names: Names,
    /// Declared services, sorted.
    pub(crate) services: Vec<String>,
    /// Uid of an operation, to its service and name.
    pub(crate) operations: BTreeMap<String, (String, String)>,
    /// Every group's name.
    pub(crate) groups: BTreeSet<String>,
    /// Service, then operation, to its actions by effect code.
    pub(crate) actions: HashMap<String, HashMap<String, Vec<(Effect, ActionParts)>>>,
}

/// The word of an effect in group names.
pub(crate) const fn group_word(effect: Effect) -> &'static str {
    match effect {
        Effect::Unparsed => "unknown",
        other => other.word(),
    }
}

/// `postgres/orders` is also a `postgres`.
pub(crate) fn prefixes(service: &str) -> impl Iterator<Item = &str> {
    let ends = service.match_indices('/').map(|(at, _)| at).chain([service.len()]);
    ends.filter_map(|end| service.get(..end)).take(SERVICE_PARTS_MAX)
}

/// All groups that an action of that service with that effect is in.
pub(crate) fn groups_of(service: &str, effect: Effect) -> Vec<String> {
    let word = group_word(effect);
    let mut groups = if service == OWN { Vec::new() } else { vec![format!("{ANY}/{word}")] };
    for prefix in prefixes(service) {
        groups.push(format!("{prefix}/{ANY}"));
        groups.push(format!("{prefix}/{word}"));
    }
    groups
}

fn is_name(name: &str) -> bool {
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b"._:/*-".contains(&b);
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(of_name)
}

fn is_service(name: &str) -> bool {
    let parts = name.split('/').count();
    is_name(name) && parts <= SERVICE_PARTS_MAX && name.split('/').all(|part| !part.is_empty() && part != ANY)
}

impl Vocabulary {
    /// The vocabulary of these operations. One that occurs with several effects is in the groups of all of them.
    ///
    /// # Errors
    /// A name that is none, or two things with one name.
    pub fn new(operations: &[Operation]) -> Result<Self, VocabularyError> {
        if operations.len() > OPERATIONS_MAX {
            return Err(VocabularyError::TooMany);
        }
        let mut by_name: BTreeMap<String, (String, String)> = BTreeMap::new();
        let mut groups: BTreeSet<String> =
            Effect::ALL.into_iter().map(|e| format!("{ANY}/{}", group_word(e))).collect();
        for op in operations {
            if !is_service(&op.service) {
                return Err(VocabularyError::Name(op.service.clone()));
            }
            if !is_name(&op.operation) {
                return Err(VocabularyError::Name(op.operation.clone()));
            }
            groups.extend(Effect::ALL.into_iter().flat_map(|effect| groups_of(&op.service, effect)));
            let whole = (op.service.clone(), op.operation.clone());
            let known = by_name.entry(format!("{}/{}", op.service, op.operation)).or_insert_with(|| whole.clone());
            if *known != whole {
                return Err(clash(op));
            }
        }
        if let Some(op) = operations.iter().find(|op| groups.contains(&format!("{}/{}", op.service, op.operation))) {
            return Err(clash(op));
        }
        let text = schema_text(operations, &groups);
        let (schema, _) = Schema::from_cedarschema_str(&text).map_err(|e| VocabularyError::Schema(e.to_string()))?;
        let names = Names::new().map_err(|e| VocabularyError::Schema(e.to_string()))?;
        let mut actions: HashMap<String, HashMap<String, Vec<(Effect, ActionParts)>>> = HashMap::new();
        for op in operations.iter().collect::<BTreeSet<_>>() {
            let parts = names.action(&format!("{}/{}", op.service, op.operation), &groups_of(&op.service, op.effect));
            let of_service = actions.entry(op.service.clone()).or_default();
            of_service.entry(op.operation.clone()).or_default().push((op.effect, parts));
        }
        let services = operations.iter().map(|op| op.service.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        Ok(Self(Arc::new(Inner { schema, text, names, services, operations: by_name, groups, actions })))
    }

    /// The schema in Cedar's own syntax, for people who write policies.
    #[must_use]
    pub fn schema_text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// The effects that profiles give to `service/operation`; empty where there is no such operation.
    pub(crate) fn effects(&self, service: &str, operation: &str) -> Vec<Effect> {
        let of = self.actions.get(service).and_then(|ops| ops.get(operation));
        of.map(|of| of.iter().map(|(effect, _)| *effect).collect()).unwrap_or_default()
    }

    /// The declared operation of that action uid.
    pub(crate) fn operation(&self, uid: &EntityUid) -> Option<&(String, String)> {
        self.operations.get(uid.id().unescaped())
    }
}

fn clash(op: &Operation) -> VocabularyError {
    VocabularyError::Clash { service: op.service.clone(), operation: op.operation.clone() }
}

/// What every action applies to, and what surrounds it.
const HEAD: &str = r#"entity Human;
entity Env;
entity Attributes tags String;
entity Agent in [Human] = { depth: Long, human: Human, session: String };
entity Resource in [Env, Resource] = { service: String, name: String, environment: String } tags String;
entity Ref in [Env, Resource] = { service: String, name: String, environment: String, branch: String } tags String;
type SessionFacts = { uses: Long, destructive: Long, grants: Long, read_untrusted: Bool };
type Circumstances = {
  grade: Long, mode: String, session: SessionFacts, purpose?: String, accepted: Set<String>, attributes: Attributes,
  streamed: Bool, ask_able: Bool
};
"#;
const APPLIES: &str = "appliesTo { principal: Agent, resource: [Resource, Ref], context: Circumstances };";

fn schema_text(operations: &[Operation], groups: &BTreeSet<String>) -> String {
    let mut text = HEAD.to_owned();
    let quoted = |names: &BTreeSet<String>| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    for group in groups.iter().filter(|group| *group != UNKNOWN) {
        let _ = writeln!(text, "action \"{group}\";");
    }
    let mut actions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let unknown = operations.iter().flat_map(|op| groups_of(&op.service, Effect::Unparsed)).filter(|g| g != UNKNOWN);
    actions.insert(UNKNOWN.to_owned(), unknown.collect());
    for op in operations {
        let of = actions.entry(format!("{}/{}", op.service, op.operation)).or_default();
        of.extend(groups_of(&op.service, op.effect));
    }
    for (name, groups) in &actions {
        let _ = match groups.is_empty() {
            true => writeln!(text, "action \"{name}\" {APPLIES}"),
            false => writeln!(text, "action \"{name}\" in [{}] {APPLIES}", quoted(groups)),
        };
    }
    text
}
