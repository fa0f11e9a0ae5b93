//! Contain, decide, admit, attach: from an intended use to a permit (DESIGN section 5).

use crate::authority::Authority;
use crate::asks::{Standing, said_no};
use crate::bound::{Bound, use_of};
use crate::decide::{self, Judged, Moment, Question, Refusing};
use crate::contain::{Chosen, contain, note};
use crate::environments::{self, Belongs};
pub use crate::intended::{Brings, Meaning, Request, Shown};
use crate::leaf::{Candidate, Leaf, Road};
use crate::recorded::Recorded;
use crate::settle::NOT_SENT;
pub use crate::settle::Settled;
use crate::limits;
use crate::machine::Entry;
use marque_api::{Code, Problem, problem::Retry};
use marque_detect::Secret;
use marque_detect::scrub::Needles;
use marque_model::event::{Draft, PRINCIPAL_AGENT, UseIntent};
use marque_model::{Action, AskId, Content, CredentialId, Effect, Mode, Refusal, action::Binding};
use marque_store::AppendError;
use marque_policy::SessionFacts;
use marque_switch::guard_off;
use marque_wire::place::Placement;
use std::sync::Arc;

/// Leave to forward one request, made only when its intents are durable. Not cloneable; consumed by
/// [`Authority::settle`].
#[must_use = "a permit that is not settled is charged in full"]
pub struct Permit {
    pub(crate) leaf: Arc<Leaf>,
    /// The credential whose value was read by reference for it.
    pub(crate) referred: Option<(CredentialId, u32)>,
    pub(crate) intents: Vec<u64>,
    /// What it was counted as, for the statement.
    pub(crate) counted: Vec<(String, Effect)>,
    /// The credential that it is recorded under.
    pub(crate) account: Option<CredentialId>,
    pub(crate) settled: bool,
}

impl Permit {
    /// Sequence of the first intent: the receipt's handle.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.intents.first().copied().unwrap_or(0)
    }
}

/// What an admission gives to the gateway.
pub struct Granted {
    /// To be settled.
    pub permit: Permit,
    /// The credential and its place; none on open roads.
    pub attachment: Option<(Placement, Secret)>,
    /// Which credential.
    pub credential: Option<(CredentialId, u32)>,
    /// What to mask in the answer.
    pub needles: Arc<Needles>,
    /// One of the session's secrets can be guessed.
    pub guessable: bool,
    /// Most bytes of request and answer.
    pub bytes_max: Option<u64>,
}

/// One meaning on its way to its intent.
struct Planned {
    action: Action,
    digest: [u8; 32],
    grant: Option<u32>,
    /// The approval that it spends.
    ask: Option<AskId>,
}

/// The moment that a decision holds for.
struct Held {
    moment: Moment,
    /// A policy may have looked at counts: they must not have changed.
    counted: bool,
    /// The last change of policy that the decision knew.
    policy_seq: u64,
}

/// Why an attempt to admit did not.
enum Stop {
    /// No.
    Refuse(Box<Refusing>),
    /// The session's facts changed meanwhile: decide again.
    Changed,
    /// A human has to answer first.
    Ask(Vec<Question>),
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Refuse(Box::new(problem.into()))
    }
}

impl Authority {
    /// Decides on one use, and asks a human where policy says so. When this returns a permit, its intent is durable (I1).
    ///
    /// # Errors
    /// The refusal that the agent sees; it is recorded.
    pub async fn admit(self: &Arc<Self>, leaf: &Arc<Leaf>, road: &Road, request: &Request) -> Result<Granted, Problem> {
        let refusing = match self.admit_or_ask(leaf, road, request).await {
            Ok(granted) => return Ok(granted),
            Err(refusing) => refusing,
        };
        self.record_refusal(leaf, road, request, &refusing);
        Err(refusing.problem)
    }

    /// After an answer the use re-enters at *contain*: all facts, limits and policies are looked at anew.
    async fn admit_or_ask(self: &Arc<Self>, leaf: &Arc<Leaf>, road: &Road, request: &Request) -> Result<Granted, Refusing> {
        let mut until = None;
        for _ in 0..limits::DECISIONS_MAX {
            match self.attempt(leaf, road, request).await {
                Ok(granted) => return Ok(granted),
                Err(Stop::Refuse(refusing)) => return Err(*refusing),
                Err(Stop::Changed) => {}
                Err(Stop::Ask(questions)) => {
                    let hold = std::time::Duration::from_millis(limits::HOLD_MS);
                    let until = *until.get_or_insert_with(|| tokio::time::Instant::now() + hold);
                    Box::pin(self.hold(leaf, road, request, &questions, until)).await?;
                }
            }
        }
        Err(refused(leaf, &Refusal::FactsChanged).into())
    }

    async fn attempt(self: &Arc<Self>, leaf: &Arc<Leaf>, road: &Road, request: &Request) -> Result<Granted, Stop> {
        if leaf.is_over() {
            return Err(over(leaf).into());
        }
        let mut chosen = contain(leaf, road, request)?;
        let mut planned = plan(leaf, road, request, &chosen);
        // Where policies look at counts, uses of one leaf are decided one after the other, so that they do not chase
        // each other's changes; the committer still has the last word.
        let (policies, policy_seq) = self.book.read().current_since();
        let bound = leaf.bound.of(leaf, &policies);
        let looks = |one: &Planned| bound.uses_counters(&use_of(&one.action, SessionFacts::default()));
        let counted = policies.uses_counters_at_all() && planned.iter().any(looks);
        let _turn = if counted { Some(leaf.turn.lock().await) } else { None };
        let moment = self.moment(leaf).or_else(|| guard_off("I6").then(Moment::default)).ok_or_else(|| over(leaf))?;
        self.decide(leaf, road, request, &bound, &moment, &mut planned, &mut chosen)?;
        let held = Held { moment, counted, policy_seq };
        let bytes_max = self.byte_cap(leaf, &chosen);
        let mut intents = Vec::with_capacity(planned.len());
        let account = request.brings.account(chosen.candidate).map(|(id, _)| id);
        if let Some(id) = account {
            *leaf.carried.lock().entry(id).or_default() += 1;
        }
        for (index, one) in planned.into_iter().enumerate() {
            // Each of one request's own intents moves the facts on by itself.
            let draft = self.intent(leaf, road, request, one, &chosen, bytes_max, &held, index);
            match self.append_intent(leaf, draft).await {
                Ok(seq) => intents.push(seq),
                Err(stop) => {
                    // Nothing was sent: what was admitted for the other meanings is given back.
                    let permit = Permit { leaf: leaf.clone(), referred: None, intents, counted: Vec::new(), account, settled: false };
                    self.settle(permit, NOT_SENT);
                    return Err(stop);
                }
            }
        }
        let attached = chosen.candidate.filter(|c| request.brings.leaves(&c.placement));
        let referred = attached.filter(|c| c.by_reference).map(|c| (c.id, c.version));
        let mut permit = Permit { leaf: leaf.clone(), referred, intents, counted: Vec::new(), account, settled: false };
        match self.attach(leaf, attached, permit.seq()).await {
            Ok(attachment) => {
                let (needles, guessable) = leaf.needles.current();
                let credential = chosen.candidate.map(|c| (c.id, c.version));
                let mut uses = leaf.uses.lock();
                for meaning in &request.meanings {
                    let key = (road.service.to_string(), meaning.effect);
                    permit.counted.push(key.clone());
                    *uses.entry(key).or_default() += 1;
                }
                drop(uses);
                if !chosen.would_deny.is_empty() {
                    leaf.note_would_refuse(&road.service, &request.meanings, &chosen.would_deny);
                }
                Ok(Granted { permit, attachment, credential, needles, guessable, bytes_max })
            }
            Err(error) => {
                self.settle(permit, NOT_SENT);
                Err(error.to_problem().into())
            }
        }
    }

    /// Refuses what belongs to another environment, in every mode; says whether nobody registered where it belongs (I8).
    fn place(&self, leaf: &Leaf, road: &Road, request: &Request, moment: &Moment, index: usize, credentialed: bool) -> Result<bool, Stop> {
        let (Some(registry), Some(meaning)) = (&moment.registry, request.meanings.get(index)) else { return Ok(false) };
        match environments::belongs(registry, leaf, road, request, meaning) {
            Belongs::Elsewhere(entry) if !guard_off("I8") => {
                let refusing = environments::refusal(leaf, &environments::name_of(road, meaning), entry);
                Err(Stop::Refuse(Box::new(refusing)))
            }
            Belongs::Here | Belongs::Elsewhere(_) => Ok(false),
            Belongs::Unknown => Ok(credentialed),
        }
    }

    /// Judges every meaning; one that is refused refuses the request, one that is asked about asks for it. In observe mode
    /// what policy says is noted and passes.
    #[allow(clippy::too_many_arguments, reason = "the parts of one attempt, given by name at the one call")]
    fn decide(
        &self,
        leaf: &Arc<Leaf>,
        road: &Road,
        request: &Request,
        bound: &Bound,
        moment: &Moment,
        planned: &mut [Planned],
        chosen: &mut Chosen<'_>,
    ) -> Result<(), Stop> {
        let mut questions = Vec::new();
        let mut moment = moment.clone();
        for (index, one) in planned.iter_mut().enumerate() {
            let unknown = self.place(leaf, road, request, &moment, index, chosen.candidate.is_some())?;
            let use_ = use_of(&one.action, moment.facts);
            // A request of several meanings is several uses: the second is judged as if the first were admitted.
            moment.count(one.action.effect);
            let mut judged = decide::judge(bound, &use_, index, one.digest);
            if unknown && leaf.mode == Mode::Enforce {
                let name = request.meanings.get(index).map(|meaning| environments::name_of(road, meaning)).unwrap_or_default();
                judged = environments::unknown(judged, &name, index, one.digest, one.action.content != Content::Streamed);
            } else if unknown {
                note(&mut chosen.would_deny, Code::ENVIRONMENT_UNKNOWN);
            }
            match judged {
                Judged::Pass => {}
                Judged::Refuse(refusing) if leaf.mode == Mode::Enforce => return Err(Stop::Refuse(refusing)),
                Judged::Refuse(refusing) => note(&mut chosen.would_deny, refusing.problem.code),
                Judged::Ask(_) if leaf.mode != Mode::Enforce => note(&mut chosen.would_deny, Code::APPROVAL_PENDING),
                Judged::Ask(question) => match self.standing(leaf, &question) {
                    Standing::Approved(id) => one.ask = Some(id),
                    Standing::Denied => return Err(said_no().into()),
                    Standing::Open(_) | Standing::None => questions.push(question),
                },
            }
        }
        if questions.is_empty() { Ok(()) } else { Err(Stop::Ask(questions)) }
    }

    /// The least that is left in the chain, up to a share that one use may reserve.
    fn byte_cap(&self, leaf: &Leaf, chosen: &Chosen<'_>) -> Option<u64> {
        if !leaf.has_byte_limit {
            return None;
        }
        let state = self.state.read();
        let left = |grant: &Option<u32>| state.bytes_left(&leaf.jti, (*grant)?);
        chosen.grants.iter().filter_map(left).min().map(|left| left.min(limits::RESERVE_BYTES))
    }

    #[allow(clippy::too_many_arguments, reason = "one record's fields, given by name at the one call")]
    fn intent(
        &self,
        leaf: &Arc<Leaf>,
        road: &Road,
        request: &Request,
        one: Planned,
        chosen: &Chosen<'_>,
        bytes_max: Option<u64>,
        held: &Held,
        index: usize,
    ) -> Entry {
        let Planned { action, digest, grant, ask } = one;
        let credential = request.brings.account(chosen.candidate);
        let intent = UseIntent {
            credential: credential.map(|(id, _)| id),
            version: credential.map_or(0, |(_, version)| version),
            digest,
            service: action.service,
            operation: action.operation,
            // A resource that is a path may hold anything: it is in the opening alone.
            resource: (road.profile.is_some()).then_some(action.resource),
            effect: action.effect,
            grant,
            bytes: bytes_max.unwrap_or(0),
            rows: 0,
            ask,
            origin: action.target.origin(),
            would_deny: chosen.would_deny.clone(),
            principal: PRINCIPAL_AGENT,
        };
        let mut draft = Draft::new(intent).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone());
        draft.cause = request.brings.source.as_ref().map(|source| source.seq);
        if index == 0 {
            draft.facts_epoch = Some(held.moment.epoch);
            draft.policy_seq = Some(held.policy_seq);
            draft.facts_uses = held.counted.then_some(held.moment.uses);
        }
        self.with_opening(draft, leaf.human, marque_model::event::field::URL, &Recorded::of(&request.uri))
    }

    async fn append_intent(&self, leaf: &Arc<Leaf>, entry: Entry) -> Result<u64, Stop> {
        self.witnesses.admits()?;
        match self.durable_intent(leaf, entry).await {
            Ok(seq) => Ok(seq),
            Err(AppendError::Refused(Refusal::FactsChanged)) => Err(Stop::Changed),
            Err(error) => Err(unrecorded(leaf, &error).into()),
        }
    }

    /// Opens the chosen credential's value. Only here, and only after the intent is durable.
    async fn attach(
        &self,
        leaf: &Arc<Leaf>,
        candidate: Option<&Candidate>,
        cause: u64,
    ) -> Result<Option<(Placement, Secret)>, crate::Error> {
        let Some(candidate) = candidate else { return Ok(None) };
        let key = (candidate.id, candidate.version);
        let (value, fresh) = match candidate.by_reference {
            true => Box::pin(self.referred(leaf, candidate, cause)).await?,
            false => (self.credential_value(key).await?, false),
        };
        marque_switch::fail_point("use.attached");
        if fresh || !leaf.needles.has(key) {
            let mut forms = vec![Secret::new(value.expose().to_vec())];
            forms.extend(candidate.placement.scrub_extras(&value));
            leaf.needles.add(key, forms)?;
        }
        Ok(Some((candidate.placement.clone(), Secret::new(value.expose().to_vec()))))
    }
}

fn plan(leaf: &Leaf, road: &Road, request: &Request, chosen: &Chosen<'_>) -> Vec<Planned> {
    let credential = request.brings.account(chosen.candidate);
    let binding = Binding { session: leaf.session, leaf: &leaf.jti, credential, key: &leaf.digest_key };
    let one = |(meaning, grant): (&Meaning, &Option<u32>)| {
        let action = action(leaf, road, request, meaning);
        let digest = action.digest(&binding).0;
        Planned { action, digest, grant: *grant, ask: None }
    };
    request.meanings.iter().zip(&chosen.grants).map(one).collect()
}

fn action(leaf: &Leaf, road: &Road, request: &Request, meaning: &Meaning) -> Action {
    Action {
        target: request.brings.address.as_ref().unwrap_or(&road.target).clone(),
        service: road.service.to_string(),
        environment: leaf.environment.to_string(),
        operation: meaning.operation.clone(),
        resource: meaning.resource.clone(),
        effect: meaning.effect,
        attributes: meaning.attributes.clone(),
        method: request.method.clone(),
        path: request.path.clone(),
        content: request.content,
    }
}

pub(crate) fn over(leaf: &Leaf) -> Problem {
    Problem::new(Code::SESSION_OVER, format!("session `{}` is over", leaf.session), "start a new session")
}

/// Why an admission has no record, in the agent's words.
fn unrecorded(leaf: &Leaf, error: &AppendError<Refusal>) -> Problem {
    match error {
        AppendError::Refused(refusal) => refused(leaf, refusal),
        AppendError::NoSpace => Problem::plain(Code::NO_SPACE, "free space on the disk of the data directory"),
        _ => Problem::plain(Code::JOURNAL, "the authority is stopping; try again"),
    }
}

/// A refusal of the committer, in the agent's words.
pub(crate) fn refused(leaf: &Leaf, refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::SessionNotLive => over(leaf),
        Refusal::LeafNotLive => Problem::plain(Code::SESSION_OVER, "start a new session"),
        Refusal::Revoked => Problem::plain(Code::REVOKED, "ask the parent agent"),
        Refusal::LimitReached { limit, .. } => Problem::new(
            Code::LIMIT,
            format!("the limit on {limit} is used up"),
            "ask for a session with a higher limit",
        ),
        Refusal::CredentialChanged => {
            Problem::plain(Code::CREDENTIAL_NONE, "the credential was replaced: start a new session")
        }
        Refusal::ApprovalSpent => Problem::plain(Code::APPROVAL_PENDING, "another request spent the approval; send this one again to ask again"),
        Refusal::FactsChanged => {
            let mut problem = Problem::plain(Code::QUOTA, "send the request again");
            problem.retry = Retry::Later;
            problem
        }
        Refusal::Quota(name @ "SESSION_JOURNAL_BYTES_MAX") => {
            Problem::new(Code::QUOTA, format!("the limit `{name}` is reached, and ends the session"), "start a new session")
        }
        Refusal::Quota(name) => {
            Problem::new(Code::QUOTA, format!("the limit `{name}` is reached"), "wait for running requests to end")
        }
        other => Problem::new(Code::CONFLICT, other.to_string(), "start a new session"),
    }
}

impl Authority {
    /// Observe mode: a host that nobody listed is reached without interception and without a credential, and recorded.
    ///
    /// # Errors
    /// Where the session is over, or the journal takes no record.
    pub async fn pass_host(self: &Arc<Self>, leaf: &Arc<Leaf>, target: &marque_model::Target) -> Result<Permit, Problem> {
        if leaf.is_over() || leaf.mode != Mode::Observe {
            return Err(over(leaf));
        }
        let elsewhere = self.moment(leaf).and_then(|moment| moment.host_elsewhere(leaf, target)).filter(|_| !guard_off("I8"));
        if let Some(refusing) = elsewhere {
            self.note_host_refusal(leaf, target.host().to_owned(), &refusing);
            return Err(refusing.problem);
        }
        let event = marque_model::event::HostPassed { host: format!("{}:{}", target.host(), target.port()), count: 1 };
        let draft = Draft::new(event).in_session(leaf.session, leaf.mode).by_leaf(leaf.jti.clone());
        self.witnesses.admits()?;
        if let Err(error) = self.journal.append(draft.into()).await {
            let problem = unrecorded(leaf, &error);
            self.note_host_refusal(leaf, target.host().to_owned(), &problem.clone().into());
            return Err(problem);
        }
        Ok(Permit { leaf: leaf.clone(), referred: None, intents: Vec::new(), counted: Vec::new(), account: None, settled: false })
    }
}
