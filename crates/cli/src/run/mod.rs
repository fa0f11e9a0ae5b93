//! `marque run`: open a session, start the agent with no credential in reach, hold the session while it runs, end it, say
//! what is left.

mod banner;
mod child;
mod contained;
mod env;
mod events;
pub(crate) mod mark;
pub(crate) mod task;
mod terminal;
mod tools;
mod workdir;

use crate::args::{Global, RunArgs};
use crate::connect;
use crate::out::{Failure, exit, say};
use crate::paths::Paths;
use hyper::Method;
use marque_api::Code;
use marque_api::control::{SessionEnd, SessionOpen, SessionOpened, Statement};
use marque_client::{Client, Lines};
use marque_detect::pattern::{Rules, builtin_rules};
use std::process::ExitCode;

/// `run`'s own failures, so that they are told from the agent's (as `env` and `timeout` do).
const OWN_FAILURE: u8 = 125;

pub(crate) fn main(global: &Global, args: &RunArgs) -> ExitCode {
    let outcome = crate::serve::harden().and_then(|()| {
        let paths = Paths::of(global)?;
        connect::block_on(session(global, args, &paths))
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            say(&failure.text());
            // A refusal keeps its meaning for scripts; everything else is 125.
            match failure.exit_code() {
                code @ (exit::DENIED | exit::AUTH | exit::APPROVAL | exit::UNREACHABLE) => ExitCode::from(code),
                _ => ExitCode::from(OWN_FAILURE),
            }
        }
    }
}

async fn session(global: &Global, args: &RunArgs, paths: &Paths) -> Result<u8, Failure> {
    let plan = task::plan(args)?;
    let containment = contained::Containment::measure(args);
    let grade = containment.grade();
    if let Some(required) = &plan.require {
        let required: marque_model::Grade =
            required.parse().map_err(|_| Failure::usage(format!("`{required}` is no grade"), "write A, B, C or D"))?;
        if grade < required {
            return Err(Failure::new(
                format!("this run has containment {grade}, and {required} is required"),
                containment.fix(),
            ));
        }
    }
    // First and plainly, before anything is asked.
    banner::containment(&containment);
    if mark::is_first_run(paths)
        && let Some(line) = crate::scan::summary()
    {
        say(&line);
    }
    let rules = Rules::compile(&builtin_rules()).map_err(|e| Failure::new(e.to_string(), "report this"))?;
    let (client, passphrase) = connect::open(global, paths).await?;
    let open = SessionOpen {
        passphrase,
        purpose: plan.purpose.clone(),
        refs: plan.refs.clone(),
        agent: plan.agent.clone(),
        environment: plan.environment.clone(),
        mode: plan.mode.clone(),
        grants: serde_json::Value::Array(plan.grants.clone()),
        ttl_s: plan.ttl_s,
        grade: grade.to_string(),
        accept: plan.accept.clone(),
        egress: plan.egress.clone(),
        task: plan.file.clone(),
        pins: plan.pins.clone(),
        inside: containment.is_sandbox(),
    };
    let opened: SessionOpened = match (client.call(Method::POST, "/v1/sessions", Some(&open)).await, &plan.file) {
        (Err(marque_client::Error::Refused(problem)), Some(file)) if problem.code == Code::DIGEST => {
            crate::task::show_change(&client, file).await?;
            return Err(Failure::Problem(problem));
        }
        (answer, _) => answer?,
    };
    drop(open);
    // The lifeline is let go only after the end was said: a connection that breaks means a launcher that died.
    let mut held = client.stream(&format!("/v1/sessions/{}/hold", opened.session)).await?;
    if let Some(file) = &args.json_events {
        events::opened(file, &opened)?;
    }
    let questions = client.stream("/v1/approvals/watch").await?;
    let session = Session { args, plan: &plan, opened: &opened, rules: &rules, client: &client, paths, containment: &containment };
    let result = agent(&session, Told { held: &mut held, questions }).await;
    let reason = SessionEnd { reason: "exited".into() };
    let path = format!("/v1/sessions/{}/end", opened.session);
    let statement: Result<Statement, _> = client.call(Method::POST, &path, Some(&reason)).await;
    match &statement {
        Ok(statement) => {
            banner::statement(statement);
            mark::remember(paths, statement)?;
        }
        Err(error) => say(&format!("The session's statement is not to be had: {error}. It ends by itself.")),
    }
    if let (Some(file), Ok(statement)) = (&args.json_events, &statement) {
        events::closed(file, statement)?;
    }
    drop(held);
    result
}

/// What the authority says while the agent runs.
pub(super) struct Told<'a> {
    held: &'a mut Lines,
    questions: Lines,
}

/// Everything that an agent is started from.
pub(super) struct Session<'a> {
    args: &'a RunArgs,
    plan: &'a task::Plan,
    opened: &'a SessionOpened,
    rules: &'a Rules,
    client: &'a Client,
    paths: &'a Paths,
    containment: &'a contained::Containment,
}

async fn agent(session: &Session<'_>, told: Told<'_>) -> Result<u8, Failure> {
    let Session { args, plan, opened, rules, .. } = *session;
    let dir = workdir::WorkDir::make(&opened.session, &opened.ca_pem)?;
    let scrubbed = env::scrub(text_vars(), rules, &plan.pass, &opened.unset);
    let mut vars = scrubbed.pass;
    let mut set = |name: &str, value: &str| {
        vars.retain(|(known, _)| known != name);
        vars.push((name.to_owned(), value.to_owned()));
    };
    for (name, value) in tools::variables(&opened.proxy, &opened.proxy_secret, &dir.bundle, &dir.root) {
        set(&name, &value);
    }
    for (name, value) in tools::git_config(&opened.git_rewrites) {
        set(&name, &value);
    }
    for (name, value) in opened.env.iter().chain(&plan.set) {
        set(name, value);
    }
    set("MARQUE_SESSION", &opened.session);
    banner::opening(plan, opened, &scrubbed.withheld);
    banner::unmatched(plan, opened);
    if session.containment.is_sandbox() {
        return contained::run(session, vars, &dir, told).await;
    }
    child::run(&args.command, vars, &opened.session, told).await
}

fn text_vars() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
