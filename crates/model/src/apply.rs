//! What is true after an event. Total: an event that was judged, or read back from the journal, always applies.

use crate::budget::{Budget, Charge};
use crate::effect::Effect;
use crate::event::{
    APPLIED_POLICY, AskAnswer, AskOpen, CredentialAdd, Draft, Event, LinkRegister, PRINCIPAL_SYSTEM, SessionOpen, UseIntent, UseOutcome,
};
use crate::ids::SessionId;
use crate::judge::{Refusal, selector};
use crate::lease::{Lease, LeaseState};
use crate::session::{Facts, Mode, Phase, Session};
use crate::state::{Ask, AskPhase, Credential, LinkState, OpenUse, Path, State};
use marque_chain::{Hop, Rules, Verified, verify, verify_offline_at};
use std::sync::Arc;

impl State {
    /// Takes the event into the state. `bytes` is the length of its record.
    ///
    /// # Errors
    /// Where a link in the record does not verify: the journal holds something that no judge let in.
    pub fn apply(&mut self, draft: &Draft, seq: u64, time_ms: u64, bytes: usize) -> Result<(), Refusal> {
        self.next_seq = seq.saturating_add(1);
        self.time_ms = self.time_ms.max(time_ms);
        if let Some(session) = draft.session.and_then(|id| self.sessions.get_mut(&id)) {
            session.journal_bytes = session.journal_bytes.saturating_add(bytes as u64);
        }
        match &draft.event {
            Event::InstanceInit(event) => {
                self.instance = Some(event.instance);
                self.root_key = marque_chain::PublicKey::from_bytes(event.root_key).ok();
                self.checkpoint_vkey = Some(event.checkpoint_vkey.clone());
            }
            Event::AuthorityStart(event) => self.epoch = event.epoch,
            Event::SessionOpen(event) => self.apply_open(draft, event, seq, time_ms)?,
            Event::LinkRegister(event) => self.apply_link(draft, event, time_ms)?,
            Event::LinkRevoke(event) => {
                if let Some(link) = self.by_jti.get(event.jti.as_str()).and_then(|i| self.links.get_mut(i)) {
                    link.revoked = true;
                }
            }
            Event::SessionEnd(event) => {
                if let Some(session) = draft.session.and_then(|id| self.sessions.get_mut(&id)) {
                    session.phase = Phase::Ending(event.reason);
                }
            }
            Event::SessionClosed(_) => self.forget(draft.session),
            Event::AskOpen(event) => self.apply_ask(draft, event),
            Event::AskAnswer(event) => self.apply_answer(event, seq),
            Event::AskWithdraw(event) => {
                if let Some(ask) = self.asks.remove(&event.id) {
                    self.close_ask(ask.session);
                }
            }
            Event::UseIntent(event) => self.apply_intent(draft, event, seq, time_ms),
            Event::UseOutcome(event) => self.apply_outcome(draft, event),
            Event::CredentialAdd(event) => {
                self.credentials.insert(event.id, Credential::from(event));
            }
            Event::CredentialRemove(event) => {
                self.credentials.remove(&event.id);
            }
            Event::Apply(event) => {
                if event.what == APPLIED_POLICY {
                    self.policy_seq = seq;
                }
                self.applied.insert((event.what.clone(), event.name.clone()), event.digest);
            }
            Event::EnvironmentAdd(event) => {
                let selector = selector(&event.kind, &event.service, &event.name)?;
                self.registry.add(selector, event.environment.clone());
                self.redecide();
            }
            Event::EnvironmentRemove(event) => {
                self.registry.remove(&selector(&event.kind, &event.service, &event.name)?);
                self.redecide();
            }
            Event::Tainted(_) => {
                if let Some(session) = draft.session.and_then(|id| self.sessions.get_mut(&id))
                    && !session.facts.read_untrusted
                {
                    session.facts.read_untrusted = true;
                    session.facts.epoch += 1;
                }
            }
            Event::LeaseStep(event) => match (event.state, draft.session) {
                (LeaseState::Gone, _) => {
                    self.leases.remove(&event.id);
                }
                (state, Some(session)) => {
                    self.leases.insert(event.id, Lease { session, state, not_after_ms: event.not_after_ms });
                }
                (state, None) => {
                    if let Some(lease) = self.leases.get_mut(&event.id) {
                        lease.state = state;
                    }
                }
            },
            Event::Erased(event) => {
                self.erased.entry(event.subject).or_insert(seq);
            }
            Event::UseDenied(_) | Event::HostPassed(_) | Event::JournalSnapshot(_) => {}
        }
        Ok(())
    }

    /// What every session's decisions rest on has changed: those in flight are made again.
    fn redecide(&mut self) {
        for session in self.sessions.values_mut() {
            session.facts.epoch = session.facts.epoch.saturating_add(1);
        }
    }

    pub(crate) fn verified(&self, links: &[&str], now_ms: u64) -> Result<Verified, Refusal> {
        let key = self.root_key.as_ref().ok_or(Refusal::Sequence("the journal has no root key"))?;
        verify(links, std::slice::from_ref(key), now_ms / 1000, &Rules::for_auditor()).map_err(|e| Refusal::Link(e.to_string()))
    }

    pub(crate) fn verified_under(&self, parent: &str, link: &str, now_ms: u64) -> Result<Verified, Refusal> {
        let above = self.lineage(parent);
        let mut texts: Vec<&str> = above.iter().rev().map(|l| &*l.text).collect();
        texts.push(link);
        self.verified(&texts, now_ms)
    }

    /// The last hop of a chain as it was at `time_ms`. Replay happens long after a link's end.
    fn hop_then(&self, parent: Option<&str>, link: &str, time_ms: u64) -> Result<Hop, Refusal> {
        self.hop_at(parent, link, Some(time_ms / 1000))
    }

    /// The last hop of a chain; without a time, whenever that was.
    pub(crate) fn hop_at(&self, parent: Option<&str>, link: &str, at_s: Option<u64>) -> Result<Hop, Refusal> {
        let key = self.root_key.as_ref().ok_or(Refusal::Sequence("the journal has no root key"))?;
        let above = parent.map(|p| self.lineage(p)).unwrap_or_default();
        let mut texts: Vec<&str> = above.iter().rev().map(|l| &*l.text).collect();
        texts.push(link);
        let lineage = verify_offline_at(&texts, std::slice::from_ref(key), at_s, &Rules::for_auditor())
            .map_err(|e| Refusal::Link(e.to_string()))?;
        lineage.hops().last().cloned().ok_or(Refusal::Sequence("a chain without links"))
    }

    fn add_link(&mut self, session: SessionId, parent: Option<u32>, hop: &Hop, text: &str, not_after_ms: u64) {
        let jti: Arc<str> = hop.jti.as_str().into();
        let under = hop.under.iter().map(|i| u32::try_from(*i).unwrap_or(u32::MAX)).collect();
        let link = LinkState {
            jti: jti.clone(),
            session,
            parent,
            text: text.into(),
            budgets: hop.grants.iter().map(|g| Budget::new(*g.limits())).collect(),
            grants: hop.grants.clone().into(),
            under,
            whole: Budget::new(hop.limits),
            revoked: false,
            not_after_ms,
        };
        let index = self.next_link;
        self.next_link = self.next_link.saturating_add(1);
        self.links.insert(index, link);
        self.by_jti.insert(jti, index);
    }

    fn apply_open(&mut self, draft: &Draft, event: &SessionOpen, seq: u64, time_ms: u64) -> Result<(), Refusal> {
        let Some(id) = draft.session else { return Err(Refusal::Sequence("the session has no id")) };
        let hop = self.hop_then(None, &event.link, time_ms)?;
        self.add_link(id, None, &hop, &event.link, event.not_after_ms);
        self.humans.entry(event.human).or_insert(seq);
        self.used.insert(id, crate::state::Used::default());
        let session = Session {
            id,
            human: event.human,
            agent: event.agent.clone(),
            environment: event.environment.clone(),
            mode: draft.mode.unwrap_or(Mode::Enforce),
            grade: event.grade,
            opened_seq: seq,
            opened_ms: time_ms,
            not_after_ms: event.not_after_ms,
            phase: Phase::Active,
            facts: Facts::default(),
            links: 1,
            asks_open: 0,
            uses_open: 0,
            journal_bytes: 0,
        };
        self.sessions.insert(id, session);
        Ok(())
    }

    fn apply_link(&mut self, draft: &Draft, event: &LinkRegister, time_ms: u64) -> Result<(), Refusal> {
        let Some(id) = draft.session else { return Err(Refusal::Sequence("the link has no session")) };
        let hop = self.hop_then(Some(&event.parent), &event.link, time_ms)?;
        let parent = self.by_jti.get(event.parent.as_str()).copied();
        self.add_link(id, parent, &hop, &event.link, event.not_after_ms);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.links = session.links.saturating_add(1);
        }
        Ok(())
    }

    /// Drops what belongs to a closed session: its links, questions, open uses and budgets.
    fn forget(&mut self, session: Option<SessionId>) {
        let Some(id) = session else { return };
        self.sessions.remove(&id);
        self.used.remove(&id);
        self.asks.retain(|_, ask| ask.session != id);
        self.open_uses.retain(|_, open| open.session != id);
        let by_jti = &mut self.by_jti;
        self.links.retain(|_, link| {
            let keep = link.session != id;
            if !keep {
                by_jti.remove(&link.jti);
            }
            keep
        });
    }

    fn apply_ask(&mut self, draft: &Draft, event: &AskOpen) {
        let (Some(session), Some(leaf)) = (draft.session, draft.leaf.clone()) else { return };
        let ask = Ask {
            id: event.id,
            session,
            leaf,
            digest: event.digest,
            group: event.group.clone(),
            rule: event.rule.clone(),
            expires_ms: event.expires_ms,
            phase: AskPhase::Open,
        };
        self.asks.insert(event.id, ask);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.asks_open = session.asks_open.saturating_add(1);
        }
    }

    fn close_ask(&mut self, session: SessionId) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.asks_open = session.asks_open.saturating_sub(1);
        }
    }

    fn apply_answer(&mut self, event: &AskAnswer, seq: u64) {
        self.humans.entry(event.by).or_insert(seq);
        let Some(ask) = self.asks.get_mut(&event.id) else { return };
        ask.phase = match event.approved {
            true => AskPhase::Approved { uses_left: event.uses, expires_ms: event.expires_ms },
            false => AskPhase::Denied,
        };
        let session = ask.session;
        self.close_ask(session);
    }

    fn apply_intent(&mut self, draft: &Draft, event: &UseIntent, seq: u64, time_ms: u64) {
        let Some(id) = draft.session else { return };
        let charge = Charge { bytes: event.bytes, rows: event.rows };
        let start = draft.leaf.as_ref().and_then(|jti| self.by_jti.get(jti)).copied();
        let path = match (start, event.grant) {
            (Some(link), Some(grant)) => self.path(link, grant).unwrap_or(Path::EMPTY),
            _ => Path::EMPTY,
        };
        for (link, grant) in path.iter() {
            if let Some(link) = self.links.get_mut(&link) {
                link.whole.reserve(charge, time_ms);
                if let Some(budget) = link.budgets.get_mut(grant as usize) {
                    budget.reserve(charge, time_ms);
                }
            }
        }
        if let Some(ask) = event.ask.and_then(|ask| self.asks.get_mut(&ask))
            && let AskPhase::Approved { uses_left, .. } = &mut ask.phase
        {
            *uses_left = uses_left.saturating_sub(1);
        }
        let open = OpenUse { session: id, path, reserved: charge, credential: event.credential };
        self.open_uses.insert(seq, open);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.uses_open = session.uses_open.saturating_add(1);
            if event.principal != PRINCIPAL_SYSTEM {
                session.facts.admit(event.effect);
            }
        }
        if let Some(used) = self.used.get_mut(&id) {
            used.credentials.extend(event.credential);
            used.standing = used.standing.saturating_add(u32::from(event.effect == Effect::Grant));
        }
    }

    fn apply_outcome(&mut self, draft: &Draft, event: &UseOutcome) {
        let Some(open) = draft.cause.and_then(|seq| self.open_uses.remove(&seq)) else { return };
        let used = match event.verdict {
            // Unknown: charged in full.
            4 => open.reserved,
            _ => Charge { bytes: event.bytes, rows: event.rows },
        };
        for (link, grant) in open.path.iter() {
            if let Some(link) = self.links.get_mut(&link) {
                link.whole.settle(open.reserved, used);
                if let Some(budget) = link.budgets.get_mut(grant as usize) {
                    budget.settle(open.reserved, used);
                }
            }
        }
        if let Some(session) = self.sessions.get_mut(&open.session) {
            session.uses_open = session.uses_open.saturating_sub(1);
        }
    }
}

impl Facts {
    fn admit(&mut self, effect: Effect) {
        self.uses = self.uses.saturating_add(1);
        if let Some(count) = self.by_effect.get_mut(usize::from(effect.code())) {
            *count = count.saturating_add(1);
            // The first of its kind is a fact that a policy may turn on; the hundredth is only a count.
            if *count == 1 && effect != Effect::Read {
                self.epoch = self.epoch.saturating_add(1);
            }
        }
    }
}

impl From<&CredentialAdd> for Credential {
    fn from(event: &CredentialAdd) -> Self {
        Self {
            id: event.id,
            version: event.version,
            name: event.name.clone(),
            service: event.service.clone(),
            environment: event.environment.clone(),
            origins: event.origins.clone(),
            placement: event.placement.clone(),
            row: event.row,
            source: event.source.clone(),
            pins: event.pins.clone(),
            resources: event.resources.clone(),
        }
    }
}
