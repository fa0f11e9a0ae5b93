//! May this be appended now? Asked by the single committer, in journal order, so that a check and the append that it
//! guards are one step (threats C8).

use crate::budget::{Charge, Limit};
use crate::event::{AskAnswer, AskOpen, Draft, Event, LinkRegister, PRINCIPAL_SYSTEM, SessionOpen, UseIntent};
use crate::ids::{SessionId, SubjectId};
use crate::limits;
use crate::registry::Selector;
use crate::session::{Phase, Session};
use crate::state::{AskPhase, State};
use std::sync::Arc;

/// Why the committer refuses. A value, not an error: it could decide, and the answer is no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The session is unknown, ending or ended, or its time is over.
    #[error("the session is not live")]
    SessionNotLive,
    /// The leaf is unknown, of another session, or over.
    #[error("the leaf is not live")]
    LeafNotLive,
    /// The leaf or one of its ancestors was revoked.
    #[error("the leaf or one of its ancestors was revoked")]
    Revoked,
    /// A limit of the leaf or of an ancestor is used up.
    #[error("the limit on {limit} is used up, {depth} links above the leaf")]
    LimitReached {
        /// Which.
        limit: Limit,
        /// How many links above the leaf it stands; 0 is the leaf's own.
        depth: u8,
    },
    /// The credential was replaced or removed since the decision.
    #[error("the credential changed since the decision")]
    CredentialChanged,
    /// There is no unspent approval for this very action by this very leaf.
    #[error("the approval does not cover this use")]
    ApprovalSpent,
    /// Something happened in the session since the decision that a policy could see.
    #[error("the session changed since the decision")]
    FactsChanged,
    /// A named limit of the model is reached.
    #[error("`{0}` is at its limit")]
    Quota(&'static str),
    /// The link does not verify, or is wider than its parent.
    #[error("the link is not valid: {0}")]
    Link(String),
    /// The event makes no sense now: a second opening, an answer to no question.
    #[error("the event does not follow from the state: {0}")]
    Sequence(&'static str),
}

/// The selector of a record. It is written as it is read, so that one thing has one record.
pub(crate) fn selector(kind: &str, service: &str, name: &str) -> Result<Selector, Refusal> {
    let read = Selector::parse(kind, service, name).ok().filter(|s| s.service == service && s.name == name);
    read.ok_or(Refusal::Sequence("it names nothing that can be registered"))
}

impl State {
    /// Whether the draft may be appended at `now_ms`.
    ///
    /// # Errors
    /// The first thing that is in the way. Nothing has changed then.
    pub fn judge(&self, draft: &Draft, now_ms: u64) -> Result<(), Refusal> {
        if now_ms < self.time_ms {
            return Err(Refusal::Sequence("time goes back"));
        }
        match &draft.event {
            Event::InstanceInit(_) if self.next_seq != 0 => Err(Refusal::Sequence("the journal has begun")),
            Event::InstanceInit(_) => Ok(()),
            _ if self.next_seq == 0 => Err(Refusal::Sequence("the journal has not begun")),
            Event::SessionOpen(event) => self.judge_open(draft, event, now_ms),
            Event::LinkRegister(event) => self.judge_link(draft, event, now_ms),
            Event::LinkRevoke(event) => match self.link(&event.jti) {
                Some(link) if !link.revoked => Ok(()),
                _ => Err(Refusal::LeafNotLive),
            },
            Event::SessionEnd(_) => match self.session_of(draft)?.phase {
                Phase::Active => Ok(()),
                _ => Err(Refusal::Sequence("the session has ended")),
            },
            Event::SessionClosed(_) => match self.session_of(draft)?.phase {
                Phase::Ending(_) => Ok(()),
                _ => Err(Refusal::Sequence("the session is not ending")),
            },
            Event::AskOpen(event) => self.judge_ask(draft, event, now_ms),
            Event::AskAnswer(event) => self.judge_answer(event, now_ms),
            Event::AskWithdraw(event) => match self.asks.get(&event.id) {
                Some(ask) if ask.phase == AskPhase::Open => Ok(()),
                _ => Err(Refusal::Sequence("the question is not open")),
            },
            Event::UseIntent(event) => self.judge_intent(draft, event, now_ms),
            Event::UseOutcome(_) => match draft.cause {
                Some(seq) if self.open_uses.contains_key(&seq) => Ok(()),
                _ => Err(Refusal::Sequence("the use is not open")),
            },
            Event::CredentialAdd(event) => {
                let next = self.credentials.get(&event.id).map_or(1, |old| old.version.saturating_add(1));
                let same_name = self.credentials.values().any(|c| c.name == event.name && c.id != event.id);
                match (event.version == next, same_name) {
                    (true, false) => Ok(()),
                    (false, _) => Err(Refusal::Sequence("the version does not follow")),
                    (_, true) => Err(Refusal::Sequence("the name is taken")),
                }
            }
            Event::CredentialRemove(event) => match self.credentials.contains_key(&event.id) {
                true => Ok(()),
                false => Err(Refusal::CredentialChanged),
            },
            Event::EnvironmentAdd(event) => {
                let selector = selector(&event.kind, &event.service, &event.name)?;
                let free = self.registry.judge(&selector, &event.environment);
                match crate::registry::is_environment(&event.environment) && free.is_ok() {
                    true => Ok(()),
                    false => Err(Refusal::Sequence("the registry has it for another environment, or is full")),
                }
            }
            Event::EnvironmentRemove(event) => match self.registry.get(&selector(&event.kind, &event.service, &event.name)?) {
                Some(_) => Ok(()),
                None => Err(Refusal::Sequence("it is not registered")),
            },
            Event::HostPassed(_) => {
                let session = self.session_of(draft)?;
                if !session.is_live(now_ms) {
                    return Err(Refusal::SessionNotLive);
                }
                if self.is_over_quota(session) {
                    return Err(Refusal::Quota("SESSION_JOURNAL_BYTES_MAX"));
                }
                Ok(())
            }
            Event::LeaseStep(event) => self.judge_lease(event),
            Event::AuthorityStart(event) if event.epoch != self.epoch.saturating_add(1) => {
                Err(Refusal::Sequence("the epoch does not follow"))
            }
            Event::JournalSnapshot(event) if event.seq > self.next_seq => {
                Err(Refusal::Sequence("a snapshot of what is not there yet"))
            }
            Event::AuthorityStart(_)
            | Event::JournalSnapshot(_)
            | Event::Apply(_)
            | Event::UseDenied(_)
            | Event::Tainted(_) => Ok(()),
            Event::Erased(event) => self.judge_erasure(event.subject),
        }
    }

    /// Text of a live session is in use, and would be written again by its next record.
    fn judge_erasure(&self, subject: SubjectId) -> Result<(), Refusal> {
        self.not_erased(subject)?;
        match self.sessions.values().any(|session| session.human == subject) {
            true => Err(Refusal::Sequence("the human has a live session")),
            false => Ok(()),
        }
    }

    /// A pseudonym that was erased answers for nothing: an act that was begun before the erasure came too late.
    fn not_erased(&self, subject: SubjectId) -> Result<(), Refusal> {
        match self.erased.contains_key(&subject) {
            true => Err(Refusal::Sequence("the human was erased")),
            false => Ok(()),
        }
    }

    fn session_of(&self, draft: &Draft) -> Result<&Session, Refusal> {
        draft.session.and_then(|id| self.sessions.get(&id)).ok_or(Refusal::SessionNotLive)
    }

    fn judge_open(&self, draft: &Draft, event: &SessionOpen, now_ms: u64) -> Result<(), Refusal> {
        let id = draft.session.ok_or(Refusal::Sequence("the session has no id"))?;
        self.not_erased(event.human)?;
        if self.sessions.contains_key(&id) || self.by_jti.contains_key(event.jti.as_str()) {
            return Err(Refusal::Sequence("the session is known"));
        }
        if event.not_after_ms <= now_ms || event.not_after_ms.saturating_sub(now_ms) > limits::SESSION_MS_MAX {
            return Err(Refusal::Sequence("the session's end is not within its bounds"));
        }
        self.verified(&[&event.link], now_ms).map(|_| ())
    }

    fn judge_link(&self, draft: &Draft, event: &LinkRegister, now_ms: u64) -> Result<(), Refusal> {
        let session = self.session_of(draft)?;
        if !session.is_live(now_ms) {
            return Err(Refusal::SessionNotLive);
        }
        if session.links as usize >= limits::LINKS_PER_SESSION_MAX {
            return Err(Refusal::Quota("LINKS_PER_SESSION_MAX"));
        }
        if self.by_jti.contains_key(event.jti.as_str()) {
            return Err(Refusal::Sequence("the link is known"));
        }
        self.live_links(&event.parent, session.id, now_ms)?;
        let verified = self.verified_under(&event.parent, &event.link, now_ms)?;
        match verified.lineage().hops().last() {
            Some(hop) if hop.jti == event.jti && hop.exp_s.saturating_mul(1000) == event.not_after_ms => Ok(()),
            _ => Err(Refusal::Link("its name or end is another".into())),
        }
    }

    fn judge_ask(&self, draft: &Draft, event: &AskOpen, now_ms: u64) -> Result<(), Refusal> {
        let session = self.session_of(draft)?;
        if !session.is_live(now_ms) {
            return Err(Refusal::SessionNotLive);
        }
        let leaf = draft.leaf.as_deref().ok_or(Refusal::LeafNotLive)?;
        self.live_links(leaf, session.id, now_ms)?;
        if self.asks.contains_key(&event.id) {
            return Err(Refusal::Sequence("the question is known"));
        }
        if self.is_over_quota(session) {
            return Err(Refusal::Quota("SESSION_JOURNAL_BYTES_MAX"));
        }
        if session.asks_open as usize >= limits::ASKS_OPEN_PER_SESSION_MAX {
            return Err(Refusal::Quota("ASKS_OPEN_PER_SESSION_MAX"));
        }
        Ok(())
    }

    fn judge_answer(&self, event: &AskAnswer, now_ms: u64) -> Result<(), Refusal> {
        let ask = self.asks.get(&event.id).ok_or(Refusal::Sequence("there is no such question"))?;
        self.not_erased(event.by)?;
        let live = self.sessions.get(&ask.session).is_some_and(|s| s.is_live(now_ms));
        if ask.phase != AskPhase::Open || now_ms >= ask.expires_ms || !live {
            return Err(Refusal::Sequence("the question is not open"));
        }
        if event.approved && (event.uses == 0 || event.expires_ms <= now_ms) {
            return Err(Refusal::Sequence("an approval of nothing"));
        }
        Ok(())
    }

    fn judge_lease(&self, event: &crate::event::LeaseStep) -> Result<(), Refusal> {
        use crate::lease::LeaseState;
        let fits = match self.leases.get(&event.id) {
            None => event.state == LeaseState::Intent,
            Some(lease) => lease.state.may_become(event.state),
        };
        if fits { Ok(()) } else { Err(Refusal::Sequence("the lease does not take that step")) }
    }

    fn judge_intent(&self, draft: &Draft, event: &UseIntent, now_ms: u64) -> Result<(), Refusal> {
        let session = self.session_of(draft)?;
        if !session.is_live(now_ms) {
            return Err(Refusal::SessionNotLive);
        }
        if session.uses_open as usize >= limits::USES_OPEN_PER_SESSION_MAX {
            return Err(Refusal::Quota("USES_OPEN_PER_SESSION_MAX"));
        }
        if self.is_over_quota(session) {
            return Err(Refusal::Quota("SESSION_JOURNAL_BYTES_MAX"));
        }
        if draft.facts_epoch.is_some_and(|epoch| epoch != session.facts.epoch) {
            return Err(Refusal::FactsChanged);
        }
        if draft.policy_seq.is_some_and(|seq| seq != self.policy_seq) {
            return Err(Refusal::FactsChanged);
        }
        if draft.facts_uses.is_some_and(|uses| uses != session.facts.uses) {
            return Err(Refusal::FactsChanged);
        }
        let leaf = draft.leaf.as_ref().ok_or(Refusal::LeafNotLive)?;
        self.live_links(leaf, session.id, now_ms)?;
        if let Some(id) = event.credential {
            let current = self.credentials.get(&id).ok_or(Refusal::CredentialChanged)?;
            if current.version != event.version {
                return Err(Refusal::CredentialChanged);
            }
        }
        if let Some(id) = event.ask {
            self.judge_spending(id, leaf, event, now_ms)?;
        }
        match event.grant {
            Some(grant) => self.judge_budgets(leaf, grant, Charge { bytes: event.bytes, rows: event.rows }, now_ms),
            // What marque does for itself, for a use that was granted: nothing is spent by it.
            None if event.principal == PRINCIPAL_SYSTEM => Ok(()),
            None if session.mode == crate::session::Mode::Enforce => {
                Err(Refusal::Sequence("a use without a grant outside observe mode"))
            }
            None => Ok(()),
        }
    }

    fn judge_spending(
        &self,
        id: crate::ids::AskId,
        leaf: &Arc<str>,
        event: &UseIntent,
        now_ms: u64,
    ) -> Result<(), Refusal> {
        let ask = self.asks.get(&id).ok_or(Refusal::ApprovalSpent)?;
        let AskPhase::Approved { uses_left, expires_ms } = ask.phase else {
            return Err(Refusal::ApprovalSpent);
        };
        let covers = uses_left > 0 && now_ms < expires_ms && ask.leaf == *leaf && ask.digest == event.digest;
        if covers { Ok(()) } else { Err(Refusal::ApprovalSpent) }
    }

    fn judge_budgets(&self, leaf: &str, grant: u32, charge: Charge, now_ms: u64) -> Result<(), Refusal> {
        let start = *self.by_jti.get(leaf).ok_or(Refusal::LeafNotLive)?;
        let path = self.path(start, grant).ok_or(Refusal::LeafNotLive)?;
        for (depth, (link, grant)) in (0u8..).zip(path.iter()) {
            let link = self.links.get(&link).ok_or(Refusal::LeafNotLive)?;
            let budget = link.budgets.get(grant as usize).ok_or(Refusal::LeafNotLive)?;
            for budget in [budget, &link.whole] {
                budget.admits(charge, now_ms).map_err(|limit| Refusal::LimitReached { limit, depth })?;
            }
        }
        Ok(())
    }

    /// The leaf and every ancestor must be of that session, in time and not revoked.
    fn live_links(&self, leaf: &str, session: SessionId, now_ms: u64) -> Result<(), Refusal> {
        let mut next = Some(*self.by_jti.get(leaf).ok_or(Refusal::LeafNotLive)?);
        while let Some(index) = next {
            let link = self.links.get(&index).ok_or(Refusal::LeafNotLive)?;
            if link.session != session || now_ms >= link.not_after_ms {
                return Err(Refusal::LeafNotLive);
            }
            if link.revoked {
                return Err(Refusal::Revoked);
            }
            next = link.parent;
        }
        Ok(())
    }
}
