//! The event vocabulary: everything that can happen, once, in the words of the journal. State is a fold over these.
//!
//! A body holds nothing that may have to be erased: free text, URLs, SQL and commands are in the record's head as salted
//! commitments and in openings that can be destroyed (threats H9).

use crate::codec::{BodyError, BodyReader, Field, Shown};
use crate::effect::Effect;
use crate::ids::{AskId, CredentialId, InstanceId, LeaseId, SessionId, SubjectId};
use crate::lease::LeaseState;
use crate::session::{EndReason, Grade, HumanProof, Mode};
use marque_journal::cbor::Writer;

/// Names of the fields that records hold as commitments only.
pub mod field {
    /// Purpose of a session.
    pub const PURPOSE: u64 = 1;
    /// References: ticket, change, pull request.
    pub const REFS: u64 = 2;
    /// Path and query of a request.
    pub const URL: u64 = 3;
    /// What a human or an agent gave as a reason.
    pub const REASON: u64 = 4;
    /// Display name of a human.
    pub const HUMAN_NAME: u64 = 5;
    /// What an approver was shown.
    pub const SUMMARY: u64 = 6;
    /// Key of the digests of a session's actions, hex.
    pub const DIGEST_KEY: u64 = 7;
}

/// The principal of an agent's use.
pub const PRINCIPAL_AGENT: u8 = 1;
/// The principal of what marque does with a credential itself.
pub const PRINCIPAL_SYSTEM: u8 = 2;
/// What an [`Apply`] of a policy pack is about.
pub const APPLIED_POLICY: &str = "policy";

macro_rules! events {
    ($( $(#[$doc:meta])* $name:ident = $kind:literal { $( $(#[$fdoc:meta])* $key:literal $field:ident : $t:ty ),* $(,)? } )+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $name { $( $(#[$fdoc])* pub $field: $t ),* }

            impl $name {
                /// The word that stands in the record.
                pub const KIND: &'static str = $kind;
                fn put(&self, w: &mut Writer<'_>) {
                    let count = 0usize $( + usize::from(!self.$field.is_absent()) )*;
                    w.map(count);
                    $( if !self.$field.is_absent() { w.uint($key); self.$field.put(w); } )*
                }
                fn shown(&self) -> Vec<(&'static str, Shown)> {
                    vec![$( (stringify!($field), self.$field.show()) ),*]
                }
                fn take(bytes: &[u8]) -> Result<Self, BodyError> {
                    let mut body = BodyReader::new(bytes)?;
                    let this = Self { $( $field: body.field($key)? ),* };
                    body.end()?;
                    Ok(this)
                }
            }
            impl From<$name> for Event {
                fn from(event: $name) -> Self { Self::$name(event) }
            }
        )+

        /// Everything that can happen.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant, reason = "events are made one at a time and written at once")]
        pub enum Event { $( $(#[$doc])* $name($name) ),+ }

        impl Event {
            /// Every kind, in the order of the vocabulary.
            pub const KINDS: &'static [&'static str] = &[$($kind),+];
            /// Every kind with its fields: key in the body's map, name, type. What is in a journal stays readable, so that a
            /// line of it never changes; `conformance/journal/events.txt` holds them.
            pub const LAYOUT: &'static [(&'static str, &'static [(u64, &'static str, &'static str)])] =
                &[$( ($kind, &[$( ($key, stringify!($field), stringify!($t)) ),*]) ),+];
            /// The word that stands in the record.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $( Self::$name(_) => $kind ),+ }
            }
            /// Appends the body's deterministic CBOR.
            pub fn encode_body(&self, out: &mut Vec<u8>) {
                let mut w = Writer::new(out);
                match self { $( Self::$name(event) => event.put(&mut w) ),+ }
            }
            /// Every field of the body with its name, in the order of its keys.
            #[must_use]
            pub fn fields(&self) -> Vec<(&'static str, Shown)> {
                match self { $( Self::$name(event) => event.shown() ),+ }
            }
            /// Reads a body back.
            ///
            /// # Errors
            /// Where the kind is unknown, or the body is not exactly one of that kind.
            pub fn decode(kind: &str, body: &[u8]) -> Result<Self, BodyError> {
                match kind {
                    $( $kind => $name::take(body).map(Self::$name), )+
                    _ => Err(BodyError::Kind(kind.chars().take(48).collect())),
                }
            }
        }
    };
}

events! {
    /// The journal begins.
    InstanceInit = "instance.init" {
        /// This journal's identity.
        1 instance: InstanceId,
        /// Public key that signs link 0 of every session.
        20 root_key: [u8; 32],
        /// Verifier key of the checkpoints, in note form.
        21 checkpoint_vkey: String,
    }
    /// An authority process took over the journal.
    AuthorityStart = "authority.start" {
        /// Identity of the running kernel.
        1 boot: [u8; 16],
        /// Counts the starts, and is kept outside the data directory too (threats H11).
        2 epoch: u64,
        /// Version of the program.
        3 version: String,
    }
    /// A session began. The agent's purpose and references are commitments.
    SessionOpen = "session.open" {
        /// Pseudonym of the human who answers for it.
        1 human: SubjectId,
        /// How that human is known.
        2 proof: HumanProof,
        /// The agent's identity.
        3 agent: String,
        /// Environment.
        4 environment: String,
        /// Measured containment.
        5 grade: Grade,
        /// Hard end, milliseconds since 1970.
        6 not_after_ms: u64,
        /// `jti` of link 0.
        7 jti: String,
        /// Digest of the task file, where there was one.
        8 task: Option<[u8; 32]>,
        /// Digest of the policies in force.
        9 policy: Option<[u8; 32]>,
        /// Risks the human accepted by name.
        10 accepted: Vec<String>,
        /// Link 0, signed.
        20 link: String,
    }
    /// A narrower link became known.
    LinkRegister = "link.register" {
        /// Its `jti`.
        1 jti: String,
        /// `jti` of the link it was derived from.
        2 parent: String,
        /// For each of its grants, the index of the parent's grant that covers it.
        3 under: Vec<u32>,
        /// Whether the child has its own listener (`bound`) or shares one (`cooperative`).
        4 bound: bool,
        /// End of its life, milliseconds since 1970.
        5 not_after_ms: u64,
        /// The link, signed by its parent's holder.
        20 link: String,
    }
    /// A link and all below it are dead.
    LinkRevoke = "link.revoke" {
        /// Its `jti`.
        1 jti: String,
    }
    /// A session's end: the one event from which teardown follows.
    SessionEnd = "session.end" {
        /// Why.
        1 reason: EndReason,
    }
    /// Teardown is done. What is dead, what lives until when, what cannot be known.
    SessionClosed = "session.closed" {
        /// Uses whose outcome never came.
        1 uses_unknown: u32,
        /// Leases proven gone.
        2 leases_gone: u32,
        /// Leases that still live.
        3 leases_live: u32,
        /// Admitted uses of effect *grant*: authority that may still stand upstream.
        4 standing: u32,
        /// Names of static credentials that were used and live on.
        5 static_used: Vec<CredentialId>,
    }
    /// A credential was added or replaced. Hosts, placement and environment are fixed here (threats C11).
    CredentialAdd = "credential.add" {
        /// Its id.
        1 id: CredentialId,
        /// Its version, from 1.
        2 version: u32,
        /// The name people use.
        3 name: String,
        /// The service it is for.
        4 service: String,
        /// The environment it belongs to.
        5 environment: String,
        /// Origins it may be sent to.
        6 origins: Vec<String>,
        /// Where in a request it goes, as the profile writes it.
        7 placement: String,
        /// SHA-256 of its sealed row; an older file of secrets is noticed by it (threats H27).
        8 row: [u8; 32],
        /// Where the value comes from: `value`, `env`, `file`, `cmd`, `vault`.
        9 source: String,
        /// Addresses that a private origin is pinned to, as `origin=address`.
        10 pins: Vec<String>,
        /// Resource patterns it is for, where one service has several accounts.
        11 resources: Vec<String>,
    }
    /// A credential was removed.
    CredentialRemove = "credential.remove" {
        /// Its id.
        1 id: CredentialId,
    }
    /// A profile, policy pack, task, registry or configuration took effect by digest (I14).
    Apply = "apply" {
        /// `profile`, `policy`, `task`, `registry` or `config`.
        1 what: String,
        /// Its name.
        2 name: String,
        /// SHA-256 of its text.
        3 digest: [u8; 32],
    }
    /// Something was registered to an environment (I8).
    EnvironmentAdd = "environment.add" {
        /// `host`, `account`, `database` or `resource`.
        1 kind: String,
        /// The service; empty for hosts.
        2 service: String,
        /// Its name or pattern.
        3 name: String,
        /// Where it belongs.
        4 environment: String,
    }
    /// An entry was taken out of the registry.
    EnvironmentRemove = "environment.remove" {
        /// `host`, `account`, `database` or `resource`.
        1 kind: String,
        /// The service; empty for hosts.
        2 service: String,
        /// Its name or pattern.
        3 name: String,
    }
    /// A use waits for a human.
    AskOpen = "ask.open" {
        /// Its id.
        1 id: AskId,
        /// The exact action.
        2 digest: [u8; 32],
        /// Who may answer.
        3 group: String,
        /// Which rule asks.
        4 rule: String,
        /// Service.
        5 service: String,
        /// Operation.
        6 operation: String,
        /// Effect.
        7 effect: Effect,
        /// When nobody's answer counts any more.
        8 expires_ms: u64,
    }
    /// A human answered.
    AskAnswer = "ask.answer" {
        /// The question.
        1 id: AskId,
        /// Yes or no.
        2 approved: bool,
        /// Who.
        3 by: SubjectId,
        /// How it was proven: `passphrase`, `passkey`.
        4 factor: String,
        /// How many uses.
        5 uses: u32,
        /// Until when they may be spent.
        6 expires_ms: u64,
    }
    /// Nobody answered, or the asker went away: not a denial.
    AskWithdraw = "ask.withdraw" {
        /// The question.
        1 id: AskId,
    }
    /// A use was admitted: durable before a credential byte leaves (I1).
    UseIntent = "use.intent" {
        /// The credential; none where the grant needs none.
        1 credential: Option<CredentialId>,
        /// Its version.
        2 version: u32,
        /// Digest of the action.
        3 digest: [u8; 32],
        /// Service.
        4 service: String,
        /// Operation.
        5 operation: String,
        /// Resource, where its name is no URL.
        6 resource: Option<String>,
        /// Effect.
        7 effect: Effect,
        /// Index of the leaf's grant that permits it; none where only observe mode lets it through.
        8 grant: Option<u32>,
        /// Bytes reserved.
        9 bytes: u64,
        /// Rows reserved.
        10 rows: u64,
        /// The approval that it spends.
        11 ask: Option<AskId>,
        /// Origin.
        12 origin: String,
        /// Codes that observe mode did not apply.
        13 would_deny: Vec<u16>,
        /// Which human's or system's use: 1 agent, 2 system (M12).
        14 principal: u8,
    }
    /// What became of a use. Its `cause` is the intent.
    UseOutcome = "use.outcome" {
        /// 1 done, 2 aborted, 3 refused by the upstream, 4 unknown.
        1 verdict: u8,
        /// The upstream's status; 0 where none came.
        2 status: u16,
        /// Bytes used.
        3 bytes: u64,
        /// Rows used.
        4 rows: u64,
        /// Times the scrubber found a credential in the answer.
        5 scrubbed: u32,
        /// SHA-256 of a body that was streamed.
        6 content: Option<[u8; 32]>,
        /// The answer passed unscrubbed because its route is marked opaque.
        7 opaque: bool,
    }
    /// A use was refused. Repetitions are counted and not each recorded (threats H18).
    UseDenied = "use.denied" {
        /// Code of the refusal.
        1 code: u16,
        /// Service or host.
        2 service: String,
        /// Operation.
        3 operation: String,
        /// How many times since the last record of the same kind.
        4 count: u32,
        /// Effect.
        5 effect: Effect,
        /// Rule that decided, where it was policy.
        6 rule: Option<String>,
    }
    /// In observe mode: a host that nobody listed was reached, without interception and without a credential.
    HostPassed = "host.passed" {
        /// `host:port`.
        1 host: String,
        /// How many connections since the last record.
        2 count: u32,
    }
    /// The session read something a stranger could have written.
    Tainted = "session.tainted" {
        /// Origin it came from.
        1 origin: String,
    }
    /// A minted or taken credential changed state.
    LeaseStep = "lease.step" {
        /// Its id.
        1 id: LeaseId,
        /// The state it enters.
        2 state: LeaseState,
        /// Provider.
        3 provider: String,
        /// Own expiry, or 0.
        4 not_after_ms: u64,
    }
    /// Openings of a subject were destroyed.
    Erased = "privacy.erased" {
        /// Whose.
        1 subject: SubjectId,
        /// How many.
        2 count: u32,
    }
    /// The state before a record was written to a file, from which a start may go on. A file that no record announces is
    /// worth nothing.
    JournalSnapshot = "journal.snapshot" {
        /// Sequence of the first record that is not in it.
        1 seq: u64,
        /// SHA-256 of the file.
        2 digest: [u8; 32],
    }
}

/// One thing to be appended, with what must hold at that moment. What must hold is judged by the single committer and
/// is not part of the record.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The session it belongs to.
    pub session: Option<SessionId>,
    /// `jti` of the leaf that it is about.
    pub leaf: Option<std::sync::Arc<str>>,
    /// Sequence of the record that caused it.
    pub cause: Option<u64>,
    /// Commitment to the reason.
    pub reason: Option<[u8; 32]>,
    /// Commitment to the program execution it came from.
    pub exec: Option<[u8; 32]>,
    /// Digest of the effect that was approved.
    pub effect_digest: Option<[u8; 32]>,
    /// The lease it is about.
    pub lease: Option<LeaseId>,
    /// Taint bits of the session.
    pub taint: u64,
    /// Commitments to fields that are not in the body, ascending by field.
    pub commitments: Vec<(u64, [u8; 32])>,
    /// The session's mode.
    pub mode: Option<Mode>,
    /// The facts epoch that the decision was made at.
    pub facts_epoch: Option<u64>,
    /// The number of uses that the decision was made at, where it may have looked at counts.
    pub facts_uses: Option<u64>,
    /// The sequence of the last change of policy that the decision knew.
    pub policy_seq: Option<u64>,
    /// What happened.
    pub event: Event,
}

impl Draft {
    /// A draft of an event that belongs to no session.
    pub fn new(event: impl Into<Event>) -> Self {
        Self {
            session: None,
            leaf: None,
            cause: None,
            reason: None,
            exec: None,
            effect_digest: None,
            lease: None,
            taint: 0,
            commitments: Vec::new(),
            mode: None,
            facts_epoch: None,
            facts_uses: None,
            policy_seq: None,
            event: event.into(),
        }
    }

    /// The same, in a session.
    #[must_use]
    pub fn in_session(mut self, session: SessionId, mode: Mode) -> Self {
        self.session = Some(session);
        self.mode = Some(mode);
        self
    }

    /// The same, about a leaf.
    #[must_use]
    pub fn by_leaf(mut self, jti: std::sync::Arc<str>) -> Self {
        self.leaf = Some(jti);
        self
    }

    /// The same, caused by a record.
    #[must_use]
    pub fn caused_by(mut self, seq: u64) -> Self {
        self.cause = Some(seq);
        self
    }

    /// Whether the record must be taken even when space is short: ends, revocations and outcomes give authority back, and
    /// what a human answered is his, so they use the reserve (I7). Of refusals see [`Draft::is_report`].
    #[must_use]
    pub const fn is_essential(&self) -> bool {
        matches!(
            self.event,
            Event::SessionEnd(_)
                | Event::SessionClosed(_)
                | Event::LinkRevoke(_)
                | Event::UseDenied(_)
                | Event::UseOutcome(_)
                | Event::AskAnswer(_)
                | Event::AskWithdraw(_)
                | Event::CredentialRemove(_)
                | Event::LeaseStep(_)
                | Event::AuthorityStart(_)
        )
    }

    /// Whether an agent can cause as many of these records as it likes: they use the reserve, and not the last of it
    /// (threats H18).
    #[must_use]
    pub const fn is_report(&self) -> bool {
        matches!(self.event, Event::UseDenied(_))
    }
}

