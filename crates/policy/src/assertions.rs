//! Assertions that a pack brings along (`acme.test.toml`): all must hold, or nothing loads.
//!
//! ```toml
//! [[case]]
//! action = "github/git.push"                                   # or { service, operation, effect }
//! resource = { name = "acme/web@main", environment = "dev" }
//! principal = { depth = 2 }                                    # optional
//! context = { grade = "B", read_untrusted = true }             # optional; grade "A", enforce, nothing happened before
//! expect = "deny"
//! rule = "main-is-protected"                                   # optional: among the rules that made the verdict
//! ```

use crate::error::{PackError, Problem, line_of, lower};
use crate::facts::{Act, Circumstances, Facts, Principal, Resource, SessionFacts};
use crate::limits::{CASES_MAX, TEXT_BYTES_MAX};
use crate::policies::Policies;
use crate::verdict::{Answer, Verdict};
use crate::vocabulary::{UNKNOWN, Vocabulary};
use marque_model::{Effect, Grade, Mode};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    case: Vec<Spanned<Case>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    principal: Who,
    action: What,
    resource: Where,
    #[serde(default)]
    context: When,
    expect: Expect,
    rule: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Who {
    human: String,
    agent: String,
    depth: u32,
    session: String,
}

impl Default for Who {
    fn default() -> Self {
        Self { human: "h-1".to_owned(), agent: "agent".to_owned(), depth: 0, session: "s-1".to_owned() }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum What {
    Name(String),
    Parts { service: String, operation: String, effect: Effect },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Where {
    name: String,
    environment: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct When {
    grade: Grade,
    mode: Mode,
    uses: u64,
    destructive: u64,
    grants: u64,
    read_untrusted: bool,
    purpose: Option<String>,
    accepted: Vec<String>,
    attributes: BTreeMap<String, String>,
    streamed: bool,
    ask_able: bool,
}

impl Default for When {
    fn default() -> Self {
        Self {
            grade: Grade::A,
            mode: Mode::Enforce,
            uses: 0,
            destructive: 0,
            grants: 0,
            read_untrusted: false,
            purpose: None,
            accepted: Vec::new(),
            attributes: BTreeMap::new(),
            streamed: false,
            ask_able: true,
        }
    }
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Expect {
    Allow,
    Ask,
    Deny,
}

impl From<Expect> for Answer {
    fn from(expect: Expect) -> Self {
        match expect {
            Expect::Allow => Self::Allow,
            Expect::Ask => Self::Ask,
            Expect::Deny => Self::Deny,
        }
    }
}

/// Judges every case.
pub(crate) fn check(file: &str, text: &str, policies: &Policies, vocabulary: &Vocabulary) -> Result<(), PackError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(
            Problem::new(file, 0, format!("the file is longer than {TEXT_BYTES_MAX} bytes"), "split the pack").into()
        );
    }
    let parsed: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        Problem::new(
            file,
            line,
            lower(error.message()),
            "a case has action, resource, expect, and may have principal, context, rule",
        )
    })?;
    if parsed.case.len() > CASES_MAX {
        return Err(Problem::new(file, 0, format!("there are more than {CASES_MAX} cases"), "split the pack").into());
    }
    let mut problems = Vec::new();
    for case in parsed.case {
        let line = line_of(text, case.span().start);
        let (expect, rule) = (Answer::from(case.get_ref().expect), case.get_ref().rule.clone());
        match facts(case.into_inner(), vocabulary) {
            Ok(facts) => problems.extend(judge(&policies.decide(&facts), expect, rule.as_deref()).map(|message| {
                Problem::new(file, line, message, "change the policy, or the case if the policy is right")
            })),
            Err((message, help)) => problems.push(Problem::new(file, line, message, help)),
        }
    }
    PackError::check(problems)
}

fn judge(verdict: &Verdict, expect: Answer, rule: Option<&str>) -> Option<String> {
    let by = match verdict {
        Verdict::Error { .. } => " by an error in",
        _ => " by",
    };
    let by = match verdict.rules() {
        [] => String::new(),
        rules => format!("{by} `{}`", rules.join("`, `")),
    };
    if verdict.answer() != expect {
        return Some(format!("the case expects {expect} and gets {}{by}", verdict.answer()));
    }
    let rule = rule.filter(|rule| !verdict.rules().iter().any(|id| &**id == *rule))?;
    Some(format!(
        "the case expects {expect} by `{rule}` and gets it{}",
        if by.is_empty() { " by no rule".to_owned() } else { by }
    ))
}

fn act(what: What, vocabulary: &Vocabulary) -> Result<Act, (String, &'static str)> {
    let name = match what {
        What::Parts { service, operation, effect } => return Ok(Act { service, operation, effect }),
        What::Name(name) => name,
    };
    if name == UNKNOWN {
        return Ok(Act { service: "http".to_owned(), operation: "unknown".to_owned(), effect: Effect::Unparsed });
    }
    let inner = vocabulary.inner();
    let known =
        inner.operations.get(&name).map(|(service, operation)| (service, operation, inner.effects(service, operation)));
    match known {
        None => Err((
            format!("no service has the operation `{name}`"),
            "write `service/operation` as in the profiles, or `any/unknown`",
        )),
        Some((service, operation, effects)) => match effects.as_slice() {
            [effect] => Ok(Act { service: service.clone(), operation: operation.clone(), effect: *effect }),
            _ => Err((format!("the operation `{name}` has several effects"), "write `{ service, operation, effect }`")),
        },
    }
}

fn facts(case: Case, vocabulary: &Vocabulary) -> Result<Facts, (String, &'static str)> {
    let When { grade, mode, uses, destructive, grants, read_untrusted, purpose, accepted, attributes, streamed, ask_able } =
        case.context;
    let Who { human, agent, depth, session } = case.principal;
    let Where { name, environment, attributes: of_resource } = case.resource;
    Ok(Facts {
        principal: Principal { human, agent, depth, session },
        action: act(case.action, vocabulary)?,
        resource: Resource { name, environment, attributes: of_resource },
        context: Circumstances {
            grade,
            mode,
            session: SessionFacts { uses, destructive, grants, read_untrusted },
            purpose,
            accepted,
            attributes,
            streamed,
            ask_able,
        },
    })
}
