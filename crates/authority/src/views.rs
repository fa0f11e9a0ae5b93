//! What people see: lists, lineage, why. Read from the journal and the live leaves; never a credential.

use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::{Error, limits};
use marque_api::control::{Hop, Lineage, SessionView, Status, UseView, Why};
use marque_api::{Code, Problem};
use marque_journal::record;
use marque_model::event::{Event, field};
use marque_model::{Phase, SessionId};
use std::collections::HashMap;
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
            indexed: self.index.progress().applied,
            witnesses: self.witnesses.views(self.journal.size()),
        }
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

    /// Why the last request of a session was refused. `inside`: asked by a process of the session, which is told the
    /// code and the next step but no rule (threats M3).
    ///
    /// # Errors
    /// Where the session is not live, or nothing was refused.
    pub fn why_last(&self, id: SessionId, inside: bool) -> Result<Why, Error> {
        let leaf: Arc<Leaf> = self.leaf(id).ok_or_else(|| not_found(&id.to_string()))?;
        let last = leaf.refusals.lock().last().cloned().ok_or_else(|| {
            Error::Refused(Problem::new(Code::NOT_FOUND, "nothing was refused in this session", "try the request again"))
        })?;
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

    /// Human, links, uses and refusals of one session, read from the journal.
    ///
    /// # Errors
    /// Where the journal has no such session.
    pub async fn lineage(&self, id: SessionId) -> Result<Lineage, Error> {
        let mut out: Option<Lineage> = None;
        let mut at: HashMap<u64, usize> = HashMap::new();
        let mut purpose_at = None;
        for (read, item) in self.journal.records(0).enumerate() {
            let (_, bytes) = item.map_err(|e| Error::Journal(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| Error::Journal(e.to_string()))?;
            let head = record.head();
            if head.session != Some(*id.as_bytes()) {
                continue;
            }
            let event = Event::decode(record.kind(), record.body()).map_err(|e| Error::Journal(e.to_string()))?;
            match (&event, &mut out) {
                (Event::SessionOpen(open), _) => {
                    purpose_at = Some(record.seq());
                    out = Some(begin(id, open));
                }
                (_, None) => {}
                (event, Some(lineage)) => self.add(lineage, &mut at, &head, event),
            }
            if read >= limits::PAGE_RECORDS {
                if let Some(lineage) = &mut out {
                    lineage.next = Some(record.seq() + 1);
                }
                break;
            }
        }
        let mut lineage = out.ok_or_else(|| not_found(&id.to_string()))?;
        if let Some(seq) = purpose_at {
            lineage.purpose = self.opening_text(seq, field::PURPOSE).await;
        }
        Ok(lineage)
    }

    fn add(&self, lineage: &mut Lineage, at: &mut HashMap<u64, usize>, head: &record::RecordHead<'_>, event: &Event) {
        let base = UseView {
            seq: head.seq,
            time_ms: head.time_ms,
            what: String::new(),
            service: String::new(),
            operation: String::new(),
            resource: None,
            effect: String::new(),
            credential: None,
            result: String::new(),
            leaf: (!head.leaf.is_empty()).then(|| head.leaf.to_owned()),
            from: None,
            would_deny: Vec::new(),
            rule: None,
        };
        match event {
            Event::LinkRegister(link) => {
                if let Ok(read) = marque_chain::Link::read_unverified(&link.link) {
                    lineage.hops.push(hop(&read));
                }
            }
            Event::UseIntent(intent) => {
                at.insert(head.seq, lineage.uses.len());
                let state = self.state.read();
                let name = |id| state.credentials.get(&id).map_or_else(|| id.to_string(), |c| c.name.clone());
                lineage.uses.push(UseView {
                    what: match (intent.principal, intent.ask) {
                        (1, Some(_)) => "approved".into(),
                        (1, None) => "allowed".into(),
                        _ => "own".into(),
                    },
                    service: intent.service.clone(),
                    operation: intent.operation.clone(),
                    resource: intent.resource.clone(),
                    effect: intent.effect.to_string(),
                    credential: intent.credential.map(name),
                    result: "no outcome yet".into(),
                    from: head.cause,
                    would_deny: intent.would_deny.iter().map(|code| format!("MQ-{code}")).collect(),
                    ..base
                });
            }
            Event::UseOutcome(outcome) => {
                let place = head.cause.and_then(|cause| at.get(&cause)).copied();
                if let Some(view) = place.and_then(|index| lineage.uses.get_mut(index)) {
                    view.result = match (outcome.verdict, outcome.status) {
                        (1 | 3, status) => status.to_string(),
                        (2, _) => "aborted".into(),
                        _ => "unknown".into(),
                    };
                }
            }
            Event::UseDenied(denied) => lineage.uses.push(UseView {
                what: "denied".into(),
                service: denied.service.clone(),
                operation: denied.operation.clone(),
                effect: denied.effect.to_string(),
                result: format!("MQ-{} ×{}", denied.code, denied.count),
                rule: denied.rule.clone(),
                ..base
            }),
            Event::HostPassed(passed) => lineage.uses.push(UseView {
                what: "passed".into(),
                service: passed.host.clone(),
                operation: "connect".into(),
                effect: "unparsed".into(),
                result: format!("×{}", passed.count),
                ..base
            }),
            _ => {}
        }
    }
}

fn told(rule: &marque_policy::Told) -> String {
    format!("{} ({}:{}): {}", rule.id, rule.file, rule.line, rule.because)
}

fn begin(id: SessionId, open: &marque_model::event::SessionOpen) -> Lineage {
    let hops = marque_chain::Link::read_unverified(&open.link).map(|link| vec![hop(&link)]).unwrap_or_default();
    Lineage {
        schema: "marque/lineage.v1".into(),
        session: id.to_string(),
        human: open.human.to_string(),
        proof: open.proof.to_string(),
        purpose: None,
        hops,
        uses: Vec::new(),
        next: None,
    }
}

fn hop(link: &marque_chain::Link) -> Hop {
    let claims = link.claims();
    Hop {
        jti: claims.jti.clone(),
        agent: claims.agent.id.clone(),
        grants: claims.authorization_details.iter().map(marque_chain::render).collect(),
        policy: claims.policy.as_ref().map(|p| p.id.clone()),
    }
}
