//! What people see: lists, lineage, why. Read from the journal and the live leaves; never a credential.

use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::Error;
use marque_api::control::{SessionView, StartView, Status, Why};
use marque_api::{Code, Problem};
use marque_model::{Phase, SessionId};
use std::sync::Arc;

/// The shortest name of a session that is not its whole id: `s-` and four characters.
const SESSION_PREFIX_MIN: usize = 6;

fn not_found(what: &str) -> Error {
    Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{what}` is not known"), "see `marque session list`"))
}

impl Authority {
    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            schema: "marque/status.v1".into(),
            instance: Some(self.instance.to_string()),
            version: env!("CARGO_PKG_VERSION").into(),
            pid: std::process::id(),
            sealed: false,
            initialised: true,
            records: self.journal.size(),
            sessions: u32::try_from(self.leaves.read().len()).unwrap_or(u32::MAX),
            checkpoint: self.journal.checkpoint().map(|head| head.note.to_string()),
            seal: Vec::new(),
            indexed: self.index.progress().applied,
            witnesses: self.witnesses.views(self.journal.size()),
            start: Some(self.start_view()),
        }
    }

    fn start_view(&self) -> StartView {
        let found = self.recovery();
        StartView {
            records: found.records,
            replayed: found.replayed,
            snapshot: found.snapshot,
            passed_over: found.passed_over.clone(),
        }
    }

    /// Profiles in force.
    #[must_use]
    pub fn service_list(&self) -> Vec<marque_api::control::ServiceView> {
        let state = self.state.read();
        let applied = |name: &String| state.applied.contains_key(&(crate::services::WHAT.to_owned(), name.clone()));
        let from = |name: &String| if applied(name) { "applied" } else { "shipped" };
        self.services.read().keys().map(|name| marque_api::control::ServiceView { service: name.clone(), from: from(name).into() }).collect()
    }

    /// Live sessions.
    #[must_use]
    pub fn session_list(&self) -> Vec<SessionView> {
        let state = self.state.read();
        let leaves = self.leaves.read();
        let view = |session: &marque_model::session::Session| {
            let leaf = leaves.get(&session.id);
            SessionView {
                session: session.id.to_string(),
                human: session.human.to_string(),
                agent: session.agent.clone(),
                purpose: leaf.map(|l| l.purpose.to_string()),
                environment: session.environment.clone(),
                mode: session.mode.to_string(),
                grade: session.grade.to_string(),
                state: match session.phase {
                    Phase::Active => "active".into(),
                    Phase::Ending(reason) => format!("ending ({reason})"),
                    Phase::Ended(reason) => format!("ended ({reason})"),
                },
                opened_ms: session.opened_ms,
                not_after_ms: session.not_after_ms,
                uses: session.facts.uses,
                grants: leaf.map(|l| l.grants.iter().map(marque_chain::render).collect()).unwrap_or_default(),
            }
        };
        state.sessions.values().map(view).collect()
    }

    /// The live session whose id begins like that.
    ///
    /// # Errors
    /// Where there is none, or more than one.
    pub fn find_session(&self, prefix: &str) -> Result<SessionId, Error> {
        // A slip, or a script's empty variable, must not name somebody's only session.
        if prefix.len() < SESSION_PREFIX_MIN {
            return Err(not_found(prefix));
        }
        let leaves = self.leaves.read();
        let done = self.statements.lock();
        let mut fitting = leaves.keys().chain(done.keys()).filter(|id| id.to_string().starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(*one),
            _ => prefix.parse().map_err(|_| not_found(prefix)),
        }
    }

    /// Why the last request of a session was refused: from memory while it lives, from its records afterwards.
    ///
    /// # Errors
    /// Where there is no such session, or nothing was refused in it.
    pub async fn why(self: &Arc<Self>, id: SessionId, inside: bool) -> Result<Why, Error> {
        if self.leaf(id).is_some() {
            return self.why_last(id, inside);
        }
        let (seqs, _) = self.records_of(id, 0).await?;
        let this = self.clone();
        let found = tokio::task::spawn_blocking(move || this.last_denied(&seqs)).await.map_err(|e| Error::Journal(e.to_string()))??;
        let denied = found.ok_or_else(nothing_refused)?;
        let code = Code::from_number(denied.code).unwrap_or(Code::MALFORMED);
        let rule = denied.rule.filter(|_| !inside);
        Ok(Why {
            schema: "marque/why.v1".into(),
            request: format!("{} {}", denied.service, denied.operation),
            code: code.text().into(),
            detail: code.sentence().into(),
            help: format!("the session is over; `marque explain {}` says what to do in the next", code.text()),
            rules: rule.iter().cloned().collect(),
            rule,
            // What it was decided by is in no record.
            counterfactual: None,
        })
    }

    fn last_denied(&self, seqs: &[u64]) -> Result<Option<marque_model::event::UseDenied>, Error> {
        let journal = |e: String| Error::Journal(e);
        for seq in seqs.iter().rev() {
            let bytes = self.journal.read(*seq).map_err(|e| journal(e.to_string()))?;
            let record = marque_journal::record::decode(&bytes).map_err(|e| journal(e.to_string()))?;
            if let marque_model::Event::UseDenied(denied) =
                marque_model::Event::decode(record.kind(), record.body()).map_err(|e| journal(e.to_string()))?
            {
                return Ok(Some(denied));
            }
        }
        Ok(None)
    }

    /// Why the last request of a session was refused. `inside`: asked by a process of the session, which is told the
    /// code and the next step but no rule (threats M3).
    ///
    /// # Errors
    /// Where the session is not live, or nothing was refused.
    pub fn why_last(&self, id: SessionId, inside: bool) -> Result<Why, Error> {
        let over = || {
            let help = format!("see `marque audit lineage {id}`: refusals are explained while their session lives");
            Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{id}` is no live session"), help))
        };
        let leaf: Arc<Leaf> = self.leaf(id).ok_or_else(over)?;
        let last = leaf.refusals.lock().last().cloned().ok_or_else(nothing_refused)?;
        // Rule, line and the way around it are for humans; an explanation costs some hundred decisions.
        let explained = last.basis.as_ref().filter(|_| !inside).map(|basis| basis.policies.explain(&basis.facts));
        Ok(Why {
            rules: match &explained {
                Some(explained) => explained.rules.iter().map(told).collect(),
                // What no policy said: an entry of the registry.
                None => last.rule.clone().filter(|_| !inside).into_iter().collect(),
            },
            counterfactual: explained.as_ref().and_then(|e| e.counterfactual.as_ref()).map(ToString::to_string),
            schema: "marque/why.v1".into(),
            request: last.request.clone(),
            code: last.problem.code.text().into(),
            detail: last.problem.detail.clone(),
            help: last.problem.help.clone(),
            rule: if inside { None } else { last.rule.clone() },
        })
    }
}

fn nothing_refused() -> Error {
    Error::Refused(Problem::new(Code::NOT_FOUND, "nothing was refused in this session", "try the request again"))
}

fn told(rule: &marque_policy::Told) -> String {
    format!("{} ({}:{}): {}", rule.id, rule.file, rule.line, rule.because)
}
