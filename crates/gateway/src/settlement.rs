//! An admitted use, until it is settled. Whatever happens to the task that carries it, the gate hears of the end exactly
//! once.

use crate::body::Sent;
use crate::entry::Scene;
use crate::gate::{Ending, Gate, Outcome, RoutePlan};
use crate::leaf::LeafState;
use crate::pool::{Carried, Sender};
use crate::scrub::Watch;
use marque_detect::oracle::Verdict;
use marque_detect::scrub::{Hits, Needles};
use marque_model::CredentialId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One admitted use.
pub(crate) struct Use<G: Gate> {
    gate: Arc<G>,
    leaf: Arc<G::Leaf>,
    state: Arc<LeafState>,
    route: Arc<RoutePlan>,
    needles: Arc<Needles>,
    permit: Option<G::Permit>,
    source: Arc<G::Source>,
    tag: Option<(CredentialId, u32)>,
    pub(crate) sent: Option<Arc<Sent>>,
    /// Bytes that came back by another way than an answer's body.
    pub(crate) received: Arc<AtomicU64>,
    /// The HTTP/1 connection that goes back to the pool once the answer was read.
    pub(crate) connection: Option<Sender>,
    pub(crate) outcome: Outcome,
    told: u32,
}

impl<G: Gate> Use<G> {
    pub(crate) fn new(
        scene: &Scene<'_, G>,
        route: &Arc<RoutePlan>,
        permit: G::Permit,
        needles: Arc<Needles>,
        tag: Option<(CredentialId, u32)>,
    ) -> Self {
        let outcome = Outcome {
            ending: Ending::NotSent,
            status: None,
            request_bytes: 0,
            request_sha256: None,
            answer_bytes: 0,
            hits: 0,
            opaque: false,
            credential_sent: false,
        };
        Self {
            gate: Arc::clone(&scene.house.gate),
            leaf: Arc::clone(scene.leaf),
            state: Arc::clone(scene.state),
            route: Arc::clone(route),
            needles,
            source: scene.house.gate.source(&permit),
            permit: Some(permit),
            tag,
            sent: None,
            received: Arc::default(),
            connection: None,
            outcome,
            told: 0,
        }
    }

    pub(crate) fn needles(&self) -> &Arc<Needles> {
        &self.needles
    }
    pub(crate) fn tag(&self) -> Option<(CredentialId, u32)> {
        self.tag
    }
    pub(crate) fn state(&self) -> &Arc<LeafState> {
        &self.state
    }
    pub(crate) fn route(&self) -> &Arc<RoutePlan> {
        &self.route
    }
    pub(crate) fn leaf(&self) -> &Arc<G::Leaf> {
        &self.leaf
    }
    pub(crate) fn source(&self) -> &Arc<G::Source> {
        &self.source
    }
    pub(crate) fn gate(&self) -> Arc<G> {
        Arc::clone(&self.gate)
    }

    /// Settles; later calls do nothing.
    pub(crate) fn settle(&mut self, ending: Ending) {
        let Some(permit) = self.permit.take() else { return };
        self.outcome.ending = ending;
        if let Some(sent) = &self.sent {
            self.outcome.request_bytes = sent.bytes();
            self.outcome.request_sha256 = sent.sha256();
        }
        self.outcome.answer_bytes += self.received.load(Ordering::Relaxed);
        if ending == Ending::Completed {
            self.give_back();
        }
        self.gate.settle(permit, self.outcome.clone());
    }

    /// A connection is used again only if both directions of its last exchange ended as they should.
    fn give_back(&mut self) {
        let request_ended = self.sent.as_ref().is_some_and(|s| s.is_done());
        if let Some(sender) = self.connection.take().filter(|_| request_ended) {
            self.state.pool.give(&self.route.target, sender, Carried::Tag(self.tag));
        }
    }

    /// New hits, beside those of the body.
    pub(crate) fn tell(&mut self, hits: &Hits) -> Verdict {
        if hits.is_empty() {
            return Verdict::Mask;
        }
        self.outcome.hits = self.outcome.hits.saturating_add(hits.total());
        self.gate.scrub_hit(&self.leaf, &self.route, &self.needles, hits, hits.total())
    }
}

impl<G: Gate> Watch for Use<G> {
    fn hits(&mut self, hits: &Hits) -> Verdict {
        let new = hits.total().saturating_sub(self.told);
        self.told = hits.total();
        self.outcome.hits = self.outcome.hits.saturating_add(new);
        self.gate.scrub_hit(&self.leaf, &self.route, &self.needles, hits, new)
    }
    fn end(&mut self, ending: Ending, answer_bytes: u64) {
        self.outcome.answer_bytes = answer_bytes;
        self.settle(ending);
    }
}

impl<G: Gate> Drop for Use<G> {
    fn drop(&mut self) {
        if self.permit.is_some() {
            let ending = match () {
                () if self.sent.is_none() => Ending::NotSent,
                () if self.state.cut.is_cancelled() => Ending::Cut,
                () => Ending::Aborted,
            };
            self.settle(ending);
        }
    }
}
