//! Contain: exactly one credential, and a grant for every meaning (DESIGN section 5, I3, I13).

use crate::intended::{Meaning, Request};
use crate::leaf::{Candidate, Leaf, Road};
use marque_api::{Code, Problem};
use marque_chain::{UseRef, UseWhat};
use marque_model::Mode;
use marque_switch::guard_off;

/// The outcome of looking for a credential and a grant.
pub(crate) struct Chosen<'a> {
    pub(crate) candidate: Option<&'a Candidate>,
    /// Index of the grant for each meaning; `None` where only observe mode lets it pass.
    pub(crate) grants: Vec<Option<u32>>,
    pub(crate) would_deny: Vec<u16>,
}

/// One credential, and a grant for every meaning (I13, I3). In observe mode what is missing is noted and passes, but
/// never without the one credential that it is about.
pub(crate) fn contain<'a>(leaf: &Leaf, road: &'a Road, request: &Request) -> Result<Chosen<'a>, Problem> {
    let candidate = choose(leaf, road, request)?;
    let mut chosen = Chosen { candidate, grants: Vec::with_capacity(request.meanings.len()), would_deny: Vec::new() };
    for meaning in &request.meanings {
        let origin = road.target.origin();
        // An open road has no credential; what may be done on it is an `http` grant of its own.
        let what = match (&road.profile, candidate) {
            (Some(_), Some(_)) => UseWhat::Service {
                service: &road.service,
                action: &meaning.operation,
                resource: &meaning.resource,
            },
            _ => UseWhat::Http { origin: &origin, method: &request.method, path: &request.path },
        };
        let use_ref = UseRef { environment: &leaf.environment, what };
        match leaf.grants.iter().position(|grant| grant.permits(&use_ref)) {
            Some(index) => chosen.grants.push(u32::try_from(index).ok()),
            None if leaf.mode == Mode::Enforce => return Err(not_granted(leaf, road, request, meaning)),
            None => {
                chosen.grants.push(None);
                note(&mut chosen.would_deny, Code::NOT_GRANTED);
            }
        }
    }
    Ok(chosen)
}

/// The one credential that the destination, the environment and the resources leave.
fn choose<'a>(leaf: &Leaf, road: &'a Road, request: &Request) -> Result<Option<&'a Candidate>, Problem> {
    if road.candidates.is_empty() {
        return match road.open {
            true => Ok(None),
            false => Err(Problem::new(
                Code::CREDENTIAL_NONE,
                format!("no credential of `{}` is for `{}`", leaf.environment, road.target.host()),
                "ask a human to run `marque credential add`",
            )),
        };
    }
    let fits = |candidate: &&Candidate| {
        candidate.resources.is_empty()
            || request.meanings.iter().all(|m| candidate.resources.iter().any(|p| resource_fits(p, &m.resource)))
    };
    let mut fitting = road.candidates.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(Some(one)),
        (None, _) => Err(Problem::new(
            Code::CREDENTIAL_NONE,
            "no credential of this session is for that resource",
            "ask for a session with a credential for it",
        )),
        (Some(one), Some(_)) if guard_off("I13") => Ok(Some(one)),
        (Some(_), Some(_)) => Err(Problem::new(
            Code::CREDENTIAL_AMBIGUOUS,
            "two credentials of this session fit that resource",
            "a human has to say with `--resource` which credential is for which resource",
        )),
    }
}

/// The grants' own pattern language decides.
fn resource_fits(pattern: &str, resource: &str) -> bool {
    marque_chain::grant::ResourcePattern::parse(pattern).is_ok_and(|p| p.permits(resource))
}

fn not_granted(leaf: &Leaf, road: &Road, request: &Request, meaning: &Meaning) -> Problem {
    let what = match road.profile {
        Some(_) => format!("`{} {}` on `{}`", road.service, meaning.operation, meaning.resource),
        None => format!("`{} {}`", request.method, request.path),
    };
    Problem::new(
        Code::NOT_GRANTED,
        format!("{what} is outside this session, whose purpose is `{}`", leaf.purpose),
        "stay within the session's grants, or ask its human for a session that includes this",
    )
}

/// Notes, once, what observe mode did not apply.
pub(crate) fn note(codes: &mut Vec<u16>, code: Code) {
    if !codes.contains(&code.number()) {
        codes.push(code.number());
    }
}
