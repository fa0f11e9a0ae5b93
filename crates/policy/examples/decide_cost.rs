//! CPU time of one decision with 10, 40 and 100 policies that are all reached, beside one bare `is_authorized` over the
//! same policies with request and entities made beforehand. Interleaved samples, median.
//!
//! `cargo run --release -p marque-policy --example decide_cost`

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use cedar_policy::{Authorizer, Context, Entities, Entity, EntityUid, PolicySet, Request, RestrictedExpression};
use marque_model::{Effect, Grade, Mode};
use marque_policy::{
    Act, Circumstances, Facts, Operation, Pack, Policies, Principal, Resource, SessionFacts, Vocabulary,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const DEFAULT: &str = include_str!("../../../policies/default.cedar");
const ROUNDS: usize = 11;
const PER_ROUND: u32 = 2_000;

/// CPU time of this thread in ns (Linux, `schedstat`): it moves on at scheduler ticks, so that a sample is long.
fn cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("needs Linux with schedstat");
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

fn sample(mut one: impl FnMut()) -> f64 {
    let before = cpu_ns();
    (0..PER_ROUND).for_each(|_| one());
    cpu_ns().saturating_sub(before) as f64 / f64::from(PER_ROUND) / 1000.0
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// A permit and `count - 1` forbids with heads that match a push and conditions that have to be evaluated.
fn text(count: usize) -> String {
    let mut text = "@id(\"base\") permit (principal, action, resource);\n".to_owned();
    for i in 1..count {
        let condition = match i % 4 {
            0 => format!("context.session.read_untrusted && resource.name like \"acme/x{i}*\""),
            1 => format!("principal.depth > {}", 10 + i),
            2 => format!("resource is Ref && resource.branch == \"release-{i}\""),
            _ => format!("context.grade < 3 && resource.service == \"s{i}\""),
        };
        let head = ["action", "action in Action::\"any/write\"", "action in Action::\"github/any\""][i % 3];
        let _ = writeln!(
            text,
            "@id(\"p-{i}\") @deny(\"no\") @because(\"b\") forbid (principal, {head}, resource) when {{ {condition} }};"
        );
    }
    text
}

fn push() -> Facts {
    Facts {
        principal: Principal { human: "h-1".into(), agent: "codex".into(), depth: 1, session: "s-1".into() },
        action: Act { service: "github".into(), operation: "git.push".into(), effect: Effect::Write },
        resource: Resource {
            name: "acme/web@agent/x".into(),
            environment: "staging".into(),
            attributes: BTreeMap::new(),
        },
        context: Circumstances {
            grade: Grade::B,
            mode: Mode::Enforce,
            session: SessionFacts { uses: 41, ..SessionFacts::default() },
            purpose: None,
            accepted: Vec::new(),
            attributes: BTreeMap::from([("base".to_owned(), "main".to_owned())]),
            streamed: false,
            ask_able: true,
        },
    }
}

/// The same request by hand, outside the timed part.
fn bare() -> (Request, Entities) {
    let uid = |text: &str| text.parse::<EntityUid>().unwrap();
    let (text, long) = (|t: &str| RestrictedExpression::new_string(t.to_owned()), RestrictedExpression::new_long);
    let (agent, action) = (uid("Agent::\"codex\""), uid("Action::\"github/git.push\""));
    let resource = uid("Ref::\"github/acme/web@agent/x\"");
    let session = RestrictedExpression::new_record([
        ("uses".to_owned(), long(41)),
        ("destructive".to_owned(), long(0)),
        ("grants".to_owned(), long(0)),
        ("read_untrusted".to_owned(), RestrictedExpression::new_bool(false)),
    ]);
    let context = [("grade".to_owned(), long(3)), ("session".to_owned(), session.unwrap())];
    let of_agent = [("depth".to_owned(), long(1))];
    let of_ref = [("name", "acme/web@agent/x"), ("service", "github"), ("branch", "agent/x")];
    let of_ref = of_ref.map(|(name, value)| (name.to_owned(), text(value)));
    let groups = ["any/write", "github/any", "github/write"].map(|g| uid(&format!("Action::\"{g}\"")));
    let entities = [
        Entity::new_with_tags(agent.clone(), of_agent, [], []).unwrap(),
        Entity::new_with_tags(resource.clone(), of_ref, [uid("Env::\"staging\"")], []).unwrap(),
        Entity::new_with_tags(action.clone(), [], groups, []).unwrap(),
    ];
    let context = Context::from_pairs(context).unwrap();
    (
        Request::new(agent, action, resource, context, None).unwrap(),
        Entities::from_entities(entities, None).unwrap(),
    )
}

fn main() {
    let operation = |line: &str| {
        let (name, effect) = line.split_once(' ').unwrap();
        let effect = Effect::ALL.into_iter().find(|e| e.word() == effect).unwrap();
        Operation { service: "github".to_owned(), operation: name.to_owned(), effect }
    };
    let operations = [
        "repo.read read",
        "git.push write",
        "ref.update write",
        "contents.write write",
        "pr.merge write",
        "ref.delete destructive",
        "ref.force destructive",
        "secret.reveal reveal",
        "repo.admin grant",
    ];
    let vocabulary = Vocabulary::new(&operations.map(operation)).unwrap();
    let facts = push();
    println!("policies in slice | decide µs | bare is_authorized µs | ratio");
    let rows = [("10", text(10)), ("40", text(40)), ("100", text(100)), ("default pack", DEFAULT.to_owned())];
    for (name, text) in rows {
        let pack = Pack::load(&[("p.cedar", &text)], None, &vocabulary).expect("loads");
        let policies = Policies::new(&vocabulary, vec![pack]);
        let (request, entities) = bare();
        let set: PolicySet = text.parse().expect("parses");
        let authorizer = Authorizer::new();
        assert_eq!(policies.decide(&facts), marque_policy::Verdict::Allow);
        let response = authorizer.is_authorized(&request, &set, &entities);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            ours.push(sample(|| drop(std::hint::black_box(policies.decide(std::hint::black_box(&facts))))));
            theirs.push(sample(|| drop(std::hint::black_box(authorizer.is_authorized(&request, &set, &entities)))));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let of =
            if name == "default pack" { format!("{} of {name}", policies.slice_len(&facts)) } else { name.to_owned() };
        // The bare request lacks what the default pack's tag rule reads.
        let note = if response.diagnostics().errors().next().is_some() { " (bare: with errors)" } else { "" };
        println!("{of:>17} | {ours:9.1} | {theirs:21.1} | {:5.2}{note}", ours / theirs);
    }
}
