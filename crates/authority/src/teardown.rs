//! The end of a session: refuse first, then make it durable, then clean up, then say what is left.

use crate::authority::Authority;
use crate::leaf::Leaf;
use crate::{Error, limits};
use marque_api::control::{RefusedCount, Statement, UseCount};
use marque_api::{Code, Problem};
use marque_model::event::{Draft, SessionClosed, SessionEnd};
use marque_model::{EndReason, SessionId};
use marque_switch::{fail_point, guard_off};
use std::sync::Arc;

impl Authority {
    /// Ends a session and returns its teardown statement. Everything follows from the one durable end (I6).
    ///
    /// # Errors
    /// Where there is no such session, or the journal takes no record: the session refuses uses all the same.
    pub async fn end_session(self: &Arc<Self>, id: SessionId, reason: EndReason) -> Result<Statement, Error> {
        let leaf = self.leaves.read().get(&id).cloned();
        let Some(leaf) = leaf else {
            let done = self.statements.lock().get(&id).cloned();
            return done.ok_or_else(|| {
                Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{id}` is no live session"), "see `marque session list`"))
            });
        };
        // Early, never late: from here on nothing is admitted, whatever becomes of the record.
        let unguarded = guard_off("I6");
        let first = unguarded || !leaf.ended.send_replace(true);
        fail_point("end.decided");
        if !first {
            return self.statement_of(id).await;
        }
        let statement = self.tear_down(id, &leaf, reason).await;
        // Whatever became of the records: the leaf refuses, and whoever waits for the statement is told.
        self.leaves.write().remove(&id);
        leaf.kept.lock().clear();
        self.desk.clear(id);
        fail_point("end.told");
        if let Ok(statement) = &statement {
            self.keep_statement(id, statement.clone());
        }
        self.statement_ready.notify_waiters();
        self.remember()?;
        statement
    }

    /// For whoever asks again; the journal has all of it.
    fn keep_statement(&self, id: SessionId, statement: Statement) {
        let mut kept = self.statements.lock();
        kept.insert(id, statement);
        if kept.len() > limits::STATEMENTS_MAX {
            let oldest = kept.iter().min_by_key(|(_, statement)| statement.end_seq).map(|(id, _)| *id);
            oldest.and_then(|id| kept.remove(&id));
        }
    }

    async fn tear_down(self: &Arc<Self>, id: SessionId, leaf: &Arc<Leaf>, reason: EndReason) -> Result<Statement, Error> {
        let end = self.append(Draft::new(SessionEnd { reason }).in_session(id, leaf.mode).into()).await;
        fail_point("end.durable");
        if let Some(gateway) = self.listeners.read().clone()
            && !guard_off("I6")
        {
            gateway.close(leaf);
        }
        fail_point("end.cut");
        let end = end?;
        for (kind, count) in leaf.refusals.lock().drain() {
            self.append_later(crate::settle::denied(leaf, kind, count));
        }
        self.close(leaf, reason, end.seq, end.time_ms).await
    }

    /// The statement of a session that someone else is ending.
    async fn statement_of(self: &Arc<Self>, id: SessionId) -> Result<Statement, Error> {
        loop {
            let waiting = self.statement_ready.notified();
            if let Some(done) = self.statements.lock().get(&id).cloned() {
                return Ok(done);
            }
            if !self.leaves.read().contains_key(&id) {
                return Err(Error::Journal(format!("the end of `{id}` could not be recorded; it refuses every use")));
            }
            waiting.await;
        }
    }

    async fn close(self: &Arc<Self>, leaf: &Arc<Leaf>, reason: EndReason, end_seq: u64, end_ms: u64) -> Result<Statement, Error> {
        self.drained(leaf.session).await;
        fail_point("close.drained");
        let (unknown, used, standing, names) = {
            let state = self.state.read();
            let unknown = state.open_uses.values().filter(|open| open.session == leaf.session).count();
            let mut used = state.used(leaf.session).cloned().unwrap_or_default();
            // What never left is nowhere. The state cannot tell that from what was cut, and an earlier process's uses keep all.
            let carried = leaf.carried.lock();
            used.credentials.retain(|id| carried.get(id) != Some(&0));
            let unsent = leaf.unsent.lock();
            let grants = unsent.iter().filter(|((_, effect), _)| *effect == marque_model::Effect::Grant).map(|(_, n)| *n).sum::<u64>();
            used.standing = used.standing.saturating_sub(u32::try_from(grants).unwrap_or(u32::MAX));
            let name = |id| state.credentials.get(id).map_or_else(|| format!("{id}"), |c| c.name.clone());
            let names: Vec<String> = used.credentials.iter().map(name).collect();
            (u32::try_from(unknown).unwrap_or(u32::MAX), used.credentials, used.standing, names)
        };
        let closed = SessionClosed {
            uses_unknown: unknown,
            leases_gone: 0,
            leases_live: 0,
            standing,
            static_used: used.into_iter().take(200).collect(),
        };
        let ack = self.append(Draft::new(closed).in_session(leaf.session, leaf.mode).into()).await?;
        fail_point("close.durable");
        let checkpoint = self.journal.checkpoint_now().await.ok().map(|head| head.note.to_string());
        Ok(statement(leaf, reason, end_seq, ack.time_ms.saturating_sub(end_ms), unknown, names, standing, checkpoint))
    }

    /// Gives running requests, which were cut, the moment they need to report. What has not reported then is unknown.
    async fn drained(&self, session: SessionId) {
        let mut tail = self.journal.tail();
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_millis(500);
        loop {
            let open = self.state.read().sessions.get(&session).is_some_and(|s| s.uses_open > 0);
            if !open || tokio::time::timeout_at(deadline, tail.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Ends and closes what an earlier process left behind. Its gateway is gone, so nothing can run any more.
    pub(crate) async fn bury(&self, id: SessionId) -> Result<(), Error> {
        let (mode, ending) = {
            let state = self.state.read();
            let Some(session) = state.sessions.get(&id) else { return Ok(()) };
            (session.mode, session.phase != marque_model::Phase::Active)
        };
        if !ending {
            self.append(Draft::new(SessionEnd { reason: EndReason::Orphaned }).in_session(id, mode).into()).await?;
            fail_point("bury.end-durable");
        }
        let (unknown, used) = {
            let state = self.state.read();
            let unknown = state.open_uses.values().filter(|open| open.session == id).count();
            (u32::try_from(unknown).unwrap_or(u32::MAX), state.used(id).cloned().unwrap_or_default())
        };
        let closed = SessionClosed {
            uses_unknown: unknown,
            leases_gone: 0,
            leases_live: 0,
            standing: used.standing,
            static_used: used.credentials.into_iter().take(200).collect(),
        };
        self.append(Draft::new(closed).in_session(id, mode).into()).await?;
        fail_point("bury.closed-durable");
        Ok(())
    }
}

#[allow(clippy::too_many_arguments, reason = "one value's fields, given by name at the one call")]
fn statement(
    leaf: &Leaf,
    reason: EndReason,
    end_seq: u64,
    closed_after_ms: u64,
    unknown: u32,
    static_used: Vec<String>,
    standing: u32,
    checkpoint: Option<String>,
) -> Statement {
    let (uses, unsent) = (leaf.uses.lock(), leaf.unsent.lock());
    let count = |(key, uses): (&(String, marque_model::Effect), &u64)| UseCount {
        service: key.0.clone(),
        effect: key.1.to_string(),
        uses: *uses,
        sent: uses.saturating_sub(unsent.get(key).copied().unwrap_or(0)),
    };
    let refused = |(kind, count): (&crate::refusals::Kind, u64)| RefusedCount {
        code: format!("MQ-{}", kind.code),
        what: format!("{} {}", kind.service, kind.operation),
        count,
    };
    let refusals = leaf.refusals.lock();
    let of_kind = |of_a_use| refusals.totals().filter(|(kind, _)| kind.of_a_use == of_a_use).map(refused).collect();
    let passed = |((code, what), count): (&(u16, String), &u64)| RefusedCount { code: format!("MQ-{code}"), what: what.clone(), count: *count };
    let would_refuse = leaf.would.lock().iter().map(passed).collect();
    let mut not_known = vec!["what the agent sent to where it may write".to_owned()];
    not_known.extend(leaf.exposed.lock().iter().map(|what| format!("who uses the credential that an answer carried: {what}")));
    if standing > 0 {
        not_known.push("whether the authority that was created upstream is still wanted: look at it".into());
    }
    if leaf.grade < marque_model::Grade::C {
        not_known.push("what the agent's processes did with this user's own files: nothing contained them".into());
    }
    Statement {
        schema: "marque/statement.v1".into(),
        session: leaf.session.to_string(),
        reason: reason.to_string(),
        end_seq,
        closed_after_ms,
        uses: uses.values().sum(),
        by_service: uses.iter().map(count).collect(),
        refused: of_kind(false),
        unanswered: of_kind(true),
        would_refuse,
        unknown,
        static_used,
        standing: (standing > 0).then(|| format!("{standing} uses that create authority upstream")).into_iter().collect(),
        not_known,
        checkpoint,
    }
}
