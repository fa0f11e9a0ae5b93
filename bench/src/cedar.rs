//! Policies that are all reached by a read, and the bare `is_authorized` over them: request and entities made beforehand,
//! nothing around it.

use crate::Result;
use crate::cpu;
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression,
};
use std::fmt::Write as _;
use std::hint::black_box;

/// Decisions in one sample.
const DECISIONS: u32 = 2_000;

/// The permit that every pack of the product has in the shipped one.
const BASE: &str = "@id(\"base\") permit (principal, action, resource);\n";

/// `count - 1` forbids beside the shipped permit: heads that match a read, conditions that have to be evaluated and are
/// false.
pub(crate) fn forbids(count: usize) -> String {
    let mut text = String::new();
    for i in 1..count {
        let condition = match i % 4 {
            0 => format!("context.session.read_untrusted && resource.name like \"acme/x{i}*\""),
            1 => format!("principal.depth > {}", 10 + i),
            2 => format!("resource.name like \"other-{i}/*\""),
            _ => format!("context.grade < 0 && resource.service == \"s{i}\""),
        };
        let heads = ["action", "action in Action::\"any/read\"", "action in Action::\"github/any\""];
        let head = heads.get(i % heads.len()).unwrap_or(&"action");
        let _ = writeln!(
            text,
            "@id(\"bench-{i}\") @deny(\"do something else\") @because(\"of the bench\") forbid (principal, {head}, resource) when {{ {condition} }};"
        );
    }
    text
}

/// A slice, and one request that it allows.
pub(crate) struct Bare {
    set: PolicySet,
    request: Request,
    entities: Entities,
    authorizer: Authorizer,
}

impl Bare {
    pub(crate) fn new(count: usize) -> Result<Self> {
        let (request, entities) = question()?;
        let bare = Self { set: format!("{BASE}{}", forbids(count)).parse()?, request, entities, authorizer: Authorizer::new() };
        let response = bare.authorizer.is_authorized(&bare.request, &bare.set, &bare.entities);
        let errors = response.diagnostics().errors().count();
        if response.decision() != Decision::Allow || errors > 0 {
            return Err(format!("the bare decision is {:?} with {errors} errors", response.decision()).into());
        }
        Ok(bare)
    }

    /// CPU µs of one decision.
    pub(crate) fn sample(&self) -> Result<f64> {
        cpu::on(cpu::TESTED, || {
            let before = cpu::of_thread()?;
            for _ in 0..DECISIONS {
                black_box(self.authorizer.is_authorized(black_box(&self.request), &self.set, &self.entities));
            }
            Ok((cpu::of_thread()?.saturating_sub(before)).as_secs_f64() * 1e6 / f64::from(DECISIONS))
        })
    }
}

/// What a read of one repository's issues looks like, with the entities and attributes that the product gives.
fn question() -> Result<(Request, Entities)> {
    let uid = |text: &str| text.parse::<EntityUid>();
    let (text, long) = (|t: &str| RestrictedExpression::new_string(t.to_owned()), RestrictedExpression::new_long);
    let (agent, action, human) = (uid("Agent::\"sh\"")?, uid("Action::\"github/repo.read\"")?, uid("Human::\"h-1\"")?);
    let resource = uid("Resource::\"github/acme/r00000\"")?;
    let session = RestrictedExpression::new_record([
        ("uses".to_owned(), long(41)),
        ("destructive".to_owned(), long(0)),
        ("grants".to_owned(), long(0)),
        ("read_untrusted".to_owned(), RestrictedExpression::new_bool(false)),
    ])?;
    let context = [
        ("grade".to_owned(), long(0)),
        ("mode".to_owned(), text("enforce")),
        ("session".to_owned(), session),
        ("attributes".to_owned(), RestrictedExpression::new_entity_uid(uid("Attributes::\"\"")?)),
        ("streamed".to_owned(), RestrictedExpression::new_bool(false)),
        ("ask_able".to_owned(), RestrictedExpression::new_bool(true)),
    ];
    let of_agent = [
        ("depth".to_owned(), long(0)),
        ("human".to_owned(), RestrictedExpression::new_entity_uid(human.clone())),
        ("session".to_owned(), text("s-1")),
    ];
    let of_resource = [("name", "acme/r00000"), ("service", "github"), ("environment", "staging")];
    let of_resource = of_resource.map(|(name, value)| (name.to_owned(), text(value)));
    let groups = ["any/any", "any/read", "github/any", "github/read"];
    let groups = groups.iter().map(|g| uid(&format!("Action::\"{g}\""))).collect::<std::result::Result<Vec<_>, _>>()?;
    let entities = [
        Entity::new_with_tags(agent.clone(), of_agent, [human], [])?,
        Entity::new_with_tags(resource.clone(), of_resource, [uid("Env::\"staging\"")?], [])?,
        Entity::new_with_tags(action.clone(), [], groups, [])?,
    ];
    let request = Request::new(agent, action, resource, Context::from_pairs(context)?, None)?;
    Ok((request, Entities::from_entities(entities, None)?))
}
