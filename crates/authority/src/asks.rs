//! Asks: a use waits for a human (DESIGN section 5). What is held is what is sent; an answer belongs to the leaf and the
//! exact action that asked; after it the use is contained and decided on again.

use crate::admit::{Meaning, Request};
use crate::authority::Authority;
use crate::decide::{Question, Refusing};
use crate::leaf::{Leaf, Road};
use crate::recorded::Recorded;
use crate::{Error, limits, random};
use marque_api::control::{ApprovalAnswer, ApprovalView, HeaderPiece, HeaderView};
use marque_api::problem::Retry;
use marque_api::{Code, Problem};
use marque_model::event::{AskAnswer, AskOpen, AskWithdraw, Draft, field};
use marque_model::state::AskPhase;
use marque_model::{AskId, Refusal, SessionId};
use marque_store::AppendError;
use marque_switch::guard_off;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use marque_detect::pattern::{Finding, Rule, Rules, builtin_rules};
use tokio::sync::watch;
use tokio::time::Instant;

/// What an approver is shown of one question. The journal has the rest.
struct Card {
    leaf: Arc<Leaf>,
    meaning: Meaning,
    service: Arc<str>,
    request: String,
    headers: Vec<HeaderView>,
    unbound: Vec<String>,
    body: Option<String>,
    body_bytes: u64,
    question: Question,
    opened_ms: u64,
    expires_ms: u64,
}

/// Questions of live sessions.
pub(crate) struct Desk {
    shown: Mutex<BTreeMap<AskId, Card>>,
    changed: watch::Sender<u64>,
}

impl Default for Desk {
    fn default() -> Self {
        Self { shown: Mutex::default(), changed: watch::Sender::new(0) }
    }
}

impl Desk {
    fn bump(&self) {
        self.changed.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// A session is over: so are its questions.
    pub(crate) fn clear(&self, session: SessionId) {
        self.shown.lock().retain(|_, shown| shown.leaf.session != session);
        self.bump();
    }
}

/// Where a question of that leaf stands.
pub(crate) enum Standing {
    None,
    Open(AskId),
    Approved(AskId),
    Denied,
}

fn pending(id: AskId) -> Problem {
    let mut problem = Problem::new(
        Code::APPROVAL_PENDING,
        format!("a human has to approve this first (`{id}`)"),
        format!("a human reads it with `marque approval show {id}` and answers with `marque approval approve` or `deny`; then send the same request again"),
    );
    problem.retry = Retry::AfterApproval;
    problem.retry_after_s = Some(limits::ASK_RETRY_S);
    problem.approval = Some(format!("urn:marque:approval:{id}"));
    problem
}

pub(crate) fn said_no() -> Problem {
    Problem::plain(Code::APPROVAL_DENIED, "do without it, or talk to the human of this session")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A header as an approver sees it: without what a terminal would obey, and without what has the exact form of a token, which a
/// card would carry into terminals, pipes and logs. Everything else is shown, also what may be a secret: whoever says yes has to see
/// what the agent chose to write. What is bound is the value as it is.
fn shown(name: &str, value: &[u8]) -> HeaderView {
    static RULES: LazyLock<Option<Rules>> = LazyLock::new(|| {
        let tokens: Vec<Rule> = builtin_rules().into_iter().filter(Rule::is_a_token).collect();
        Rules::compile(&tokens).ok()
    });
    let mut found = RULES.as_ref().map(|rules| rules.find(value)).unwrap_or_default();
    found.retain(|finding| value.get(finding.range.clone()).is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(|b| is_token_byte(*b))));
    let (mut pieces, mut at) = (Vec::new(), 0);
    for Finding { rule, range, .. } in found {
        if range.start > at {
            pieces.push(text(value.get(at..range.start).unwrap_or_default()));
        }
        pieces.push(HeaderPiece::Masked { rule: rule.to_string(), bytes: range.len() as u64 });
        at = range.end;
    }
    if at < value.len() || pieces.is_empty() {
        pieces.push(text(value.get(at..).unwrap_or_default()));
    }
    HeaderView { name: name.to_owned(), value: pieces }
}

fn text(bytes: &[u8]) -> HeaderPiece {
    HeaderPiece::Text(lossy(bytes).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
}

/// What tokens are made of. No space, no quote: no sentence hides behind a mask.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'=' | b'+' | b'/' | b'~')
}

fn unknown(id: &str) -> Error {
    Error::Refused(Problem::new(Code::NOT_FOUND, format!("`{id}` is no open question"), "see `marque approval list`"))
}

impl Authority {
    /// Where that question stands. An answer counts for the leaf, the exact action, the group and the rules it was for.
    pub(crate) fn standing(&self, leaf: &Leaf, question: &Question) -> Standing {
        let now_ms = self.clock.now_ms();
        let state = self.state.read();
        let same = |ask: &&marque_model::state::Ask| {
            ask.session == leaf.session
                && *ask.leaf == *leaf.jti
                && ask.digest == question.digest
                && *ask.group == *question.group
                && ask.rule == question.rule
        };
        let mut best = Standing::None;
        for ask in state.asks.values().filter(same) {
            match ask.phase {
                AskPhase::Approved { uses_left, expires_ms } if (uses_left > 0 || guard_off("I9")) && now_ms < expires_ms => {
                    return Standing::Approved(ask.id);
                }
                AskPhase::Denied if now_ms < ask.expires_ms => best = Standing::Denied,
                AskPhase::Open if now_ms < ask.expires_ms && matches!(best, Standing::None) => best = Standing::Open(ask.id),
                _ => {}
            }
        }
        best
    }

    /// Puts the questions to a human and waits until all are answered with yes, one with no, or the time in line is over.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        leaf: &Arc<Leaf>,
        road: &Road,
        request: &Request,
        questions: &[Question],
        until: Instant,
    ) -> Result<(), Refusing> {
        let mut changed = self.desk.changed.subscribe();
        for question in questions {
            self.open_ask(leaf, road, request, question).await?;
        }
        loop {
            changed.borrow_and_update();
            if leaf.is_over() {
                return Err(crate::admit::over(leaf).into());
            }
            let mut waiting = None;
            for question in questions {
                match self.standing(leaf, question) {
                    Standing::Approved(_) => {}
                    Standing::Open(id) => waiting = Some(id),
                    Standing::Denied => return Err(said_no().into()),
                    // Expired, or spent by another request of the same kind.
                    Standing::None => return Err(Problem::plain(Code::APPROVAL_PENDING, "send the request again to ask again").into()),
                }
            }
            let Some(id) = waiting else { return Ok(()) };
            tokio::select! {
                _ = changed.changed() => {}
                () = leaf.over() => {}
                () = tokio::time::sleep_until(until) => return Err(pending(id).into()),
            }
        }
    }

    /// Opens a question, unless the same is open already.
    async fn open_ask(
        self: &Arc<Self>,
        leaf: &Arc<Leaf>,
        road: &Road,
        request: &Request,
        question: &Question,
    ) -> Result<(), Refusing> {
        // One at a time, so that equal requests that arrive together ask once.
        let _turn = leaf.asking.lock().await;
        if !matches!(self.standing(leaf, question), Standing::None) {
            return Ok(());
        }
        let Some(meaning) = request.meanings.get(question.index) else {
            return Err(Problem::plain(Code::CONFLICT, "send the request again").into());
        };
        let id = AskId::from_bytes(random::bytes().map_err(|e| Refusing::from(e.to_problem()))?);
        let now_ms = self.clock.now_ms();
        let expires_ms = now_ms.saturating_add(limits::ASK_MS).min(leaf.not_after_ms);
        let event = AskOpen {
            id,
            digest: question.digest,
            group: question.group.to_string(),
            rule: question.rule.clone(),
            service: road.service.to_string(),
            operation: meaning.operation.clone(),
            effect: meaning.effect,
            expires_ms,
        };
        let body = &request.shown.body;
        let shown = Card {
            leaf: leaf.clone(),
            meaning: meaning.clone(),
            service: road.service.clone(),
            request: format!("{} {}{}", request.method, road.target, request.uri),
            headers: request.shown.headers.iter().map(|(name, value)| shown(name.as_str(), value.as_bytes())).collect(),
            unbound: request.shown.unbound.iter().map(ToString::to_string).collect(),
            body: (!body.is_empty()).then(|| lossy(body.get(..limits::ASK_BODY_BYTES).unwrap_or(body))),
            body_bytes: body.len() as u64,
            question: question.clone(),
            opened_ms: now_ms,
            expires_ms,
        };
        let draft = Draft::new(event).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone());
        let entry = self.with_opening(draft, leaf.human, field::SUMMARY, &Recorded::of(&shown.request));
        match self.journal.append(entry).await {
            Ok(_) => {}
            Err(AppendError::Refused(Refusal::Quota("ASKS_OPEN_PER_SESSION_MAX"))) => {
                return Err(Problem::plain(Code::ASKS_FULL, "wait until the open ones are answered").into());
            }
            Err(AppendError::Refused(refusal)) => return Err(crate::admit::refused(leaf, &refusal).into()),
            Err(_) => return Err(Problem::plain(Code::JOURNAL, "try again").into()),
        }
        self.desk.shown.lock().insert(id, shown);
        self.desk.bump();
        self.withdraw_at(leaf.clone(), id, expires_ms);
        Ok(())
    }

    /// Withdraws a question that nobody answered in time: that is no denial.
    fn withdraw_at(self: &Arc<Self>, leaf: Arc<Leaf>, id: AskId, expires_ms: u64) {
        let this = self.clone();
        tokio::spawn(async move {
            loop {
                let left = expires_ms.saturating_sub(this.clock.now_ms());
                if left == 0 {
                    break;
                }
                tokio::select! {
                    () = leaf.over() => return,
                    // In slices: a machine that was suspended wakes up within one of them.
                    () = tokio::time::sleep(std::time::Duration::from_millis(left.min(1_000))) => {}
                }
            }
            let open = this.state.read().asks.get(&id).is_some_and(|ask| ask.phase == AskPhase::Open);
            if open {
                let draft = Draft::new(AskWithdraw { id }).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone());
                // An answer that came in this very moment makes this too late, and that is well.
                let _ = this.append(draft.into()).await;
            }
            this.desk.shown.lock().remove(&id);
            this.desk.bump();
        });
    }

    fn find_ask(&self, prefix: &str) -> Result<AskId, Error> {
        let shown = self.desk.shown.lock();
        let mut fitting = shown.keys().filter(|id| id.to_string().starts_with(prefix));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => Ok(*one),
            _ => Err(unknown(prefix)),
        }
    }

    /// A human's answer. Yes is an act that widens authority and needs the passphrase; no does not.
    ///
    /// # Errors
    /// Where there is no such open question, the passphrase is wrong, or policy forbids the answer.
    pub async fn approval_answer(self: &Arc<Self>, prefix: &str, mut asked: ApprovalAnswer, uid: u32) -> Result<ApprovalView, Error> {
        let id = self.find_ask(prefix)?;
        let by = self.subject_of(uid).await?;
        if asked.approve {
            let mut passphrase = asked.passphrase.take().unwrap_or_default();
            self.check_passphrase(&mut passphrase).await?;
        }
        let (question, leaf, what) = {
            let shown = self.desk.shown.lock();
            let one = shown.get(&id).ok_or_else(|| unknown(prefix))?;
            let what = format!("{}/{}", one.service, one.meaning.operation);
            (one.question.clone(), one.leaf.clone(), what)
        };
        if asked.approve {
            self.judge_act("approval.answer", &what, &leaf.environment, by)?;
        }
        let now_ms = self.clock.now_ms();
        // A human may give less than the rule allows, never more.
        let uses = if asked.uses == 0 { question.uses } else { asked.uses.min(question.uses) };
        let ttl_s = if asked.ttl_s == 0 { question.ttl_s } else { asked.ttl_s.min(question.ttl_s) };
        let expires_ms = now_ms.saturating_add(ttl_s.saturating_mul(1_000)).min(leaf.not_after_ms);
        let event = AskAnswer { id, approved: asked.approve, by, factor: "passphrase".into(), uses, expires_ms };
        let factor = if asked.approve { event } else { AskAnswer { factor: "none".into(), ..event } };
        self.append(Draft::new(factor).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone()).into()).await?;
        self.remember()?;
        self.desk.bump();
        self.approval_view(id).ok_or_else(|| unknown(prefix))
    }

    /// The questions of live sessions, oldest first.
    #[must_use]
    pub fn approval_list(&self) -> Vec<ApprovalView> {
        let ids: Vec<AskId> = self.desk.shown.lock().keys().copied().collect();
        let mut list: Vec<ApprovalView> = ids.into_iter().filter_map(|id| self.approval_view(id)).collect();
        list.sort_by_key(|view| view.opened_ms);
        list
    }

    /// One question.
    ///
    /// # Errors
    /// Where no id begins like that, or more than one.
    pub fn approval_show(&self, prefix: &str) -> Result<ApprovalView, Error> {
        self.approval_view(self.find_ask(prefix)?).ok_or_else(|| unknown(prefix))
    }

    /// Changes whenever a question is opened, answered or void.
    #[must_use]
    pub fn approvals_changed(&self) -> watch::Receiver<u64> {
        self.desk.changed.subscribe()
    }

    fn approval_view(&self, id: AskId) -> Option<ApprovalView> {
        let now_ms = self.clock.now_ms();
        let state = match self.state.read().asks.get(&id)?.phase {
            AskPhase::Open => "open",
            AskPhase::Denied => "denied",
            AskPhase::Approved { uses_left: 0, .. } => "spent",
            AskPhase::Approved { expires_ms, .. } if now_ms >= expires_ms => "expired",
            AskPhase::Approved { .. } => "approved",
        };
        let desk = self.desk.shown.lock();
        let shown = desk.get(&id)?;
        Some(ApprovalView {
            id: id.to_string(),
            session: shown.leaf.session.to_string(),
            purpose: Some(shown.leaf.purpose.to_string()),
            lineage: vec![shown.leaf.human.to_string(), shown.leaf.agent.to_string()],
            service: shown.service.to_string(),
            operation: shown.meaning.operation.clone(),
            resource: shown.meaning.resource.clone(),
            effect: shown.meaning.effect.to_string(),
            environment: shown.leaf.environment.to_string(),
            request: shown.request.clone(),
            attributes: shown.meaning.attributes.clone(),
            headers: shown.headers.clone(),
            unbound: shown.unbound.clone(),
            body: shown.body.clone(),
            body_bytes: shown.body_bytes,
            group: shown.question.group.to_string(),
            because: shown.question.because.to_string(),
            rule: shown.question.rule.clone(),
            uses: shown.question.uses,
            ttl_s: shown.question.ttl_s,
            state: state.into(),
            digest: crate::hex(&shown.question.digest),
            opened_ms: shown.opened_ms,
            expires_ms: shown.expires_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HeaderPiece, shown};

    fn text(text: &str) -> HeaderPiece {
        HeaderPiece::Text(text.to_owned())
    }

    fn masked(rule: &str, bytes: u64) -> HeaderPiece {
        HeaderPiece::Masked { rule: rule.to_owned(), bytes }
    }

    #[test]
    fn text_that_the_agent_chose_is_never_behind_a_mask() {
        for value in [
            "-----BEGIN PRIVATE KEY----- X-Scope all-tenants force recursive -----END",
            "ALTER ROLE app PASSWORD 'x; DROP DATABASE prod; GRANT ALL ON everything TO mallory'",
            "tenant=t1 token: all-tenants-recursive",
            "dry-run (masked: jwt, 40 bytes)",
            "postgres://app:drop-all-tenants@db/prod",
            "https://hooks.slack.com/services/delete/all/tenants/now",
            "aws secret AllTenantsRecursiveForceDeleteEverything",
        ] {
            assert_eq!(shown("x-note", value.as_bytes()).value, [text(value)], "{value}");
        }
    }

    #[test]
    fn a_token_is_masked_and_the_text_around_it_shown() {
        let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
        let value = format!("Bearer {token} all-tenants");
        let expected = [text("Bearer "), masked("github-token", 40), text(" all-tenants")];
        assert_eq!(shown("x-token", value.as_bytes()).value, expected);
        let jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl";
        assert_eq!(shown("x-token", jwt.as_bytes()).value, [masked("jwt", jwt.len() as u64)]);
        assert_eq!(shown("x-empty", b"").value, [text("")]);
        assert_eq!(shown("x-control", b"a\tb").value, [text("a\u{fffd}b")]);
    }
}
