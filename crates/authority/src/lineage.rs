//! The lineage of a session: human, links, uses, refusals and end, by the session's own chain of backlinks.

use crate::authority::Authority;
use crate::{Error, limits};
use marque_api::control::{Hop, Lineage, UseView};
use marque_api::{Code, Problem};
use marque_journal::record;
use marque_model::SessionId;
use marque_model::event::{Event, field};
use std::collections::HashMap;
use std::sync::Arc;

impl Authority {
    /// Human, links, uses and refusals of one session from record `after` on, read from the journal; its beginning and end are
    /// on the page that has them.
    ///
    /// # Errors
    /// Where the journal has no such session.
    pub async fn lineage(self: &Arc<Self>, id: SessionId, after: u64) -> Result<Lineage, Error> {
        let (mut seqs, open) = self.records_of(id, after).await?;
        let mut lineage = begin(id);
        lineage.next = seqs.get(limits::PAGE_RECORDS).copied();
        seqs.truncate(limits::PAGE_RECORDS);
        let mut at: HashMap<u64, usize> = HashMap::new();
        for seq in seqs {
            let bytes = self.journal.read(seq).map_err(|e| Error::Journal(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| Error::Journal(e.to_string()))?;
            let event = Event::decode(record.kind(), record.body()).map_err(|e| Error::Journal(e.to_string()))?;
            self.add(&mut lineage, &mut at, &record.head(), &event);
        }
        lineage.purpose = self.opening_text(open, field::PURPOSE).await;
        Ok(lineage)
    }

    /// Sequences of the records of one session from `after` on, oldest first, and of the one that opened it: by its backlinks,
    /// so that none is missing and no other session's records are read.
    pub(crate) async fn records_of(self: &Arc<Self>, id: SessionId, after: u64) -> Result<(Vec<u64>, u64), Error> {
        let this = self.clone();
        let walk = tokio::task::spawn_blocking(move || this.walk_back(id, after));
        walk.await.map_err(|e| Error::Journal(e.to_string()))?
    }

    fn walk_back(&self, id: SessionId, after: u64) -> Result<(Vec<u64>, u64), Error> {
        let unknown = || Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{id}` is not known"), "give the whole id of an ended session"));
        let head = self.newest_of(&id).map_err(Error::Journal)?;
        let (_, mut seq) = head.ok_or_else(unknown)?;
        let mut seqs = Vec::new();
        loop {
            if seq >= after {
                seqs.push(seq);
            }
            let bytes = self.journal.read(seq).map_err(|e| Error::Journal(e.to_string()))?;
            let record = record::decode(&bytes).map_err(|e| Error::Journal(e.to_string()))?;
            let head = record.head();
            let link = head.backlinks.iter().find(|link| link.key_kind == record::KeyKind::Session && link.key_id == id.as_bytes());
            match link.and_then(|link| link.prev_seq) {
                Some(before) => seq = before,
                None => break,
            }
        }
        seqs.reverse();
        Ok((seqs, seq))
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
            Event::SessionOpen(open) => {
                lineage.human = open.human.to_string();
                lineage.proof = open.proof.to_string();
                lineage.hops = marque_chain::Link::read_unverified(&open.link).map(|link| vec![hop(&link)]).unwrap_or_default();
            }
            Event::SessionEnd(end) => lineage.uses.push(UseView { what: "ended".into(), result: end.reason.to_string(), ..base }),
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
                let result = match (outcome.verdict, outcome.status) {
                    (1 | 3, status) => status.to_string(),
                    (2, _) => "aborted".into(),
                    _ => "unknown".into(),
                };
                let place = head.cause.and_then(|cause| at.get(&cause)).copied();
                match place.and_then(|index| lineage.uses.get_mut(index)) {
                    Some(view) => view.result = result,
                    // Its use is on the page before.
                    None => lineage.uses.push(UseView { what: "outcome".into(), from: head.cause, result, ..base }),
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

fn begin(id: SessionId) -> Lineage {
    Lineage {
        schema: "marque/lineage.v1".into(),
        session: id.to_string(),
        human: String::new(),
        proof: String::new(),
        purpose: None,
        hops: Vec::new(),
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
