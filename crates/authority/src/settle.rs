//! Settle: what became of a use; and refusals, remembered for `why` and recorded once a second a kind.

use crate::admit::Permit;
use crate::authority::Authority;
use crate::decide::Refusing;
use crate::intended::Request;
use crate::leaf::{Leaf, Road};
use crate::machine::Entry;
use crate::refusals::{Kind, Refused};
use marque_api::Problem;
use marque_model::Effect;
use marque_model::event::{Draft, UseOutcome};
use std::sync::Arc;

/// How a use ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// 1 done, 2 aborted, 3 refused by the upstream, 4 unknown.
    pub verdict: u8,
    /// The upstream's status, or 0.
    pub status: u16,
    /// Bytes both ways.
    pub bytes: u64,
    /// Scrub hits.
    pub scrubbed: u32,
    /// Hash of a streamed body.
    pub content: Option<[u8; 32]>,
    /// Passed unscrubbed.
    pub opaque: bool,
    /// Something of the request can have left.
    pub sent: bool,
}

/// Nothing left.
pub(crate) const NOT_SENT: Settled = Settled { verdict: 2, status: 0, bytes: 0, scrubbed: 0, content: None, opaque: false, sent: false };

impl Authority {
    /// Says what became of a use. Does not wait: an outcome that never becomes durable is charged in full.
    pub fn settle(&self, mut permit: Permit, how: Settled) {
        permit.settled = true;
        marque_switch::fail_point("use.answered");
        if let (Some(key), 401) = (permit.referred, how.status) {
            permit.leaf.references.refused(key);
        }
        if !how.sent {
            let mut unsent = permit.leaf.unsent.lock();
            permit.counted.drain(..).for_each(|key| *unsent.entry(key).or_default() += 1);
            if let Some(account) = permit.account
                && let Some(uses) = permit.leaf.carried.lock().get_mut(&account)
            {
                *uses = uses.saturating_sub(1);
            }
        }
        for (index, seq) in permit.intents.iter().enumerate() {
            // The bytes of one request are counted once.
            let first = index == 0;
            let outcome = UseOutcome {
                verdict: how.verdict,
                status: how.status,
                bytes: if first { how.bytes } else { 0 },
                rows: 0,
                scrubbed: if first { how.scrubbed } else { 0 },
                content: how.content,
                opaque: how.opaque,
            };
            let draft = Draft::new(outcome)
                .in_session(permit.leaf.session, permit.leaf.mode)
                .by_leaf(permit.leaf.jti.clone())
                .caused_by(*seq);
            self.append_later(draft.into());
        }
    }

    /// Remembers and, once a second a kind, records a refusal.
    pub(crate) fn record_refusal(self: &Arc<Self>, leaf: &Arc<Leaf>, road: &Road, request: &Request, refusing: &Refusing) {
        let Some(first) = request.meanings.iter().max_by_key(|m| m.effect) else { return };
        let kind = Kind {
            code: refusing.problem.code.number(),
            service: road.service.to_string(),
            operation: first.operation.clone(),
            effect: first.effect,
            rule: refusing.rule.clone(),
            of_a_use: false,
        };
        let what = format!("{} {}{}", request.method, road.target, request.path);
        self.note_refusal(leaf, kind, what, refusing);
    }

    /// The same for a refusal that has no request yet: a host, a framing error.
    pub(crate) fn note_refusal(self: &Arc<Self>, leaf: &Arc<Leaf>, kind: Kind, what: String, refusing: &Refusing) {
        let refused = Refused {
            at_ms: self.clock.now_ms(),
            request: what,
            problem: refusing.problem.clone(),
            rule: refusing.rule.clone(),
            basis: refusing.basis.clone(),
        };
        let due = leaf.refusals.lock().take(kind, refused);
        if let Some((kind, count)) = due {
            self.append_later(denied(leaf, kind, count));
        }
        self.end_over_quota(leaf);
    }

    /// A session that has caused as much of the journal as one may is ended; the others go on (threats H18). Asked where a
    /// refusal is noted: a use beyond the quota is refused, and whoever is only ever refused comes by here too.
    fn end_over_quota(self: &Arc<Self>, leaf: &Leaf) {
        let over = {
            let state = self.state.read();
            state.sessions.get(&leaf.session).is_some_and(|session| state.is_over_quota(session))
        };
        if over && !leaf.is_over() {
            let (this, id) = (self.clone(), leaf.session);
            // Whoever came first ends it; the statement is kept for whoever asks.
            self.runtime.spawn(async move { this.end_session(id, marque_model::EndReason::Quota).await.map(drop) });
        }
    }

    /// A refusal that the gateway found by itself: a host, a framing error, an address; or, `of_a_use`, why an admitted use had no
    /// answer.
    pub fn refused_by_gateway(self: &Arc<Self>, leaf: &Arc<Leaf>, host: String, problem: &Problem, of_a_use: bool) {
        self.note_at_host(leaf, host, &problem.clone().into(), of_a_use);
    }

    pub(crate) fn note_host_refusal(self: &Arc<Self>, leaf: &Arc<Leaf>, host: String, refusing: &Refusing) {
        self.note_at_host(leaf, host, refusing, false);
    }

    fn note_at_host(self: &Arc<Self>, leaf: &Arc<Leaf>, host: String, refusing: &Refusing, of_a_use: bool) {
        let kind = Kind {
            code: refusing.problem.code.number(),
            service: host.clone(),
            operation: "connect".into(),
            effect: Effect::Unparsed,
            rule: refusing.rule.clone(),
            of_a_use,
        };
        self.note_refusal(leaf, kind, host, refusing);
    }
}

/// The record of so many refusals of one kind.
pub(crate) fn denied(leaf: &Leaf, kind: Kind, count: u32) -> Entry {
    let event = marque_model::event::UseDenied {
        code: kind.code,
        service: kind.service,
        operation: kind.operation,
        count,
        effect: kind.effect,
        rule: kind.rule,
    };
    Draft::new(event).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone()).into()
}
