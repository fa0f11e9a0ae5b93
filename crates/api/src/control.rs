//! Requests and answers of the authority's local API: JSON over HTTP on a unix socket. Version 1.

use serde::{Deserialize, Serialize};

/// Answer to `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// `marque/status.v1`.
    pub schema: String,
    /// The journal's identity, once it has one.
    pub instance: Option<String>,
    /// Version of the authority.
    pub version: String,
    /// Process id of the authority.
    pub pid: u32,
    /// Whether it needs the passphrase before it can do anything.
    pub sealed: bool,
    /// Whether a passphrase was ever set.
    pub initialised: bool,
    /// Records in the journal.
    pub records: u64,
    /// Live sessions.
    pub sessions: u32,
    /// Latest checkpoint, as a signed note.
    pub checkpoint: Option<String>,
    /// Records that can be searched; the rest follows in a moment.
    #[serde(default)]
    pub indexed: u64,
    /// Ways to open the seal; not told to a process of a session.
    #[serde(default)]
    pub seal: Vec<SealCopy>,
    /// Who outside was shown the journal, and how far. Empty: nobody.
    #[serde(default)]
    pub witnesses: Vec<WitnessView>,
    /// From where the journal was read when this authority started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartView>,
}

/// From where a journal was read when it was opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartView {
    /// Records that it had.
    pub records: u64,
    /// Records that were read and applied.
    pub replayed: u64,
    /// The first record that was not in the snapshot that it went on from; none where it began with the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<u64>,
    /// Snapshots that it did not go on from, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<String>,
}

/// One way to open the seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealCopy {
    /// Its id.
    pub id: u64,
    /// `passphrase`, `recovery-key`, `service-credential`, `keyring`.
    pub way: String,
    /// What it protects, and what not.
    pub protects: String,
}

/// `POST /v1/seal`. An act that widens authority: from then on another thing opens the seal.
#[derive(Serialize, Deserialize)]
pub struct SealAdd {
    /// The passphrase, or the recovery key.
    pub passphrase: String,
    /// `keyring`.
    pub way: String,
}

/// `POST /v1/seal/{id}/remove`.
#[derive(Serialize, Deserialize)]
pub struct SealRemove {
    /// The passphrase, or the recovery key.
    pub passphrase: String,
}

/// The ways to open the seal: answer to both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seal {
    /// `marque/seal.v1`.
    pub schema: String,
    /// Every way.
    pub ways: Vec<SealCopy>,
}

/// How far a witness is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WitnessView {
    /// Where it is asked.
    pub url: String,
    /// Name of its key.
    pub name: String,
    /// Records that it cosigned.
    pub records: u64,
    /// Records that it has not seen.
    pub behind: u64,
    /// Its time of the last cosignature, seconds since 1970.
    pub cosigned_s: Option<u64>,
    /// What went wrong when it was asked last.
    pub trouble: Option<String>,
}

/// `POST /v1/init`: the first run.
#[derive(Serialize, Deserialize)]
pub struct Init {
    /// The passphrase to set.
    pub passphrase: String,
}

/// Answer to `POST /v1/init`.
#[derive(Serialize, Deserialize)]
pub struct InitDone {
    /// Shown once: the only way back if the passphrase is lost.
    pub recovery_key: String,
}

/// `POST /v1/unseal`.
#[derive(Serialize, Deserialize)]
pub struct Unseal {
    /// The passphrase, or the recovery key.
    pub passphrase: String,
}

/// `POST /v1/credentials`. An act that widens authority.
#[derive(Serialize, Deserialize)]
pub struct CredentialAdd {
    /// The passphrase.
    pub passphrase: String,
    /// Name for people.
    pub name: String,
    /// Service profile, or `http`.
    pub service: String,
    /// Environment.
    pub environment: String,
    /// The value, or none where `reference` names it.
    pub value: Option<String>,
    /// `env:NAME`, `file:PATH`, `cmd:…`, `vault:MOUNT/PATH#FIELD`.
    pub reference: Option<String>,
    /// Origins by alias of the profile: `api=https://api.github.com`. Empty: the profile's own hosts.
    pub hosts: Vec<String>,
    /// Placement; needed for `http`, else the profile's.
    pub placement: Option<String>,
    /// `host:port=address` for origins on private addresses.
    pub pins: Vec<String>,
    /// Resource patterns this account is for.
    pub resources: Vec<String>,
}

/// `POST /v1/environments` and `POST /v1/environments/remove`. Acts that widen authority.
#[derive(Serialize, Deserialize)]
pub struct EnvironmentChange {
    /// The passphrase.
    pub passphrase: String,
    /// `host`, `account`, `database` or `resource`.
    pub kind: String,
    /// The service; empty for hosts.
    pub service: String,
    /// Its name or pattern.
    pub name: String,
    /// Where it belongs; not looked at when it is removed.
    pub environment: String,
}

/// `POST /v1/environments/check`.
#[derive(Serialize, Deserialize)]
pub struct EnvironmentAsked {
    /// `host`, `account`, `database` or `resource`.
    pub kind: String,
    /// The service; empty for hosts.
    pub service: String,
    /// Its name.
    pub name: String,
}

/// Answer to `POST /v1/environments/check`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvironmentFound {
    /// `registered`; `unknown`, where its service is registered by resource and no entry names it; `not registered`.
    pub state: String,
    /// Where it belongs.
    pub environment: Option<String>,
    /// The entry that says so.
    pub entry: Option<String>,
}

/// One entry of the environment registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnvironmentView {
    /// Where it belongs.
    pub environment: String,
    /// `host`, `account`, `database` or `resource`.
    pub kind: String,
    /// The service; empty for hosts.
    pub service: String,
    /// Its name or pattern.
    pub name: String,
    /// After a change: credentials that are for another environment than their hosts, so that their uses are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refuses: Vec<String>,
}

/// `POST /v1/services`. An act that widens authority.
#[derive(Serialize, Deserialize)]
pub struct ServiceApply {
    /// The passphrase.
    pub passphrase: String,
    /// The profile.
    pub text: String,
}

/// One item of the answer to `GET /v1/services`: a profile in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub service: String,
    /// `shipped`, or `applied`.
    pub from: String,
}

/// Answer to `POST /v1/services`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServiceApplied {
    /// Its name.
    pub service: String,
    /// SHA-256 of its text, in hex.
    pub digest: String,
    /// How many operations it knows.
    pub operations: usize,
    /// Its hosts by alias, with their origins.
    pub hosts: Vec<String>,
}

/// A task file as its launcher read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFile {
    /// Where it is named: absolute, without dots, links as they stand.
    pub path: String,
    /// Where that leads.
    pub real: String,
    /// All of it.
    pub text: String,
}

/// `POST /v1/tasks`. An act that widens authority.
#[derive(Serialize, Deserialize)]
pub struct TaskApply {
    /// The passphrase.
    pub passphrase: String,
    /// The file.
    pub file: TaskFile,
}

/// Answer to `POST /v1/tasks` and, for a [`TaskFile`], `POST /v1/tasks/show`: a task as it took effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TaskApplied {
    /// SHA-256 of its text, in hex.
    pub digest: String,
    /// Its text, where it is still to be had.
    pub text: Option<String>,
}

/// One credential, without its value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialView {
    /// Its id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Service.
    pub service: String,
    /// Environment.
    pub environment: String,
    /// Version.
    pub version: u32,
    /// Origins.
    pub origins: Vec<String>,
    /// Placement.
    pub placement: String,
    /// Where its value comes from.
    pub source: String,
    /// Stored credentials are called static wherever they appear.
    pub kind: String,
}

/// `POST /v1/sessions`. An act that widens authority.
#[derive(Serialize, Deserialize)]
pub struct SessionOpen {
    /// The passphrase.
    pub passphrase: String,
    /// Why.
    pub purpose: String,
    /// Ticket, change, pull request.
    pub refs: Vec<String>,
    /// Name of the agent.
    pub agent: String,
    /// Environment.
    pub environment: String,
    /// `enforce` or `observe`.
    pub mode: String,
    /// Grants in RFC 9396 form.
    pub grants: serde_json::Value,
    /// Seconds until the hard end.
    pub ttl_s: u64,
    /// Containment grade as the launcher measured it.
    pub grade: String,
    /// Named risks the human accepts.
    pub accept: Vec<String>,
    /// Hosts reachable without a credential: `host:port`, or a named set.
    pub egress: Vec<String>,
    /// The task file that this came from: it has to be the one that took effect.
    pub task: Option<TaskFile>,
    /// Pins of open hosts: `host:port=address`.
    pub pins: Vec<String>,
    /// Whether the agent has a network of its own, whose listeners the launcher hands over ([`Handover`]).
    #[serde(default)]
    pub inside: bool,
}

/// Answer to `POST /v1/sessions`: what the launcher gives to the agent. None of it is a credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionOpened {
    /// `marque/session.v1`.
    pub schema: String,
    /// Its id.
    pub session: String,
    /// Address of the proxy: in the sandbox's network, where the session has one.
    pub proxy: String,
    /// TCP ports at which the gateway answers in the sandbox's network, the proxy's among them; empty without one.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// Secret that a connection to the proxy shows.
    pub proxy_secret: String,
    /// Root certificate of this session, PEM.
    pub ca_pem: String,
    /// Variables to set: placeholders and settings of tools.
    pub env: Vec<(String, String)>,
    /// Variables to take away.
    pub unset: Vec<String>,
    /// `git` rewrites: from prefix to https prefix.
    pub git_rewrites: Vec<(String, String)>,
    /// Hard end, milliseconds since 1970.
    pub not_after_ms: u64,
    /// Sequence of the record.
    pub seq: u64,
    /// Hash of the record's leaf, hex.
    pub leaf_hash: String,
    /// Credentials brokered, for the banner.
    pub brokered: Vec<String>,
}

/// First byte of a handover on the local socket: no HTTP request begins with it.
pub const HANDOVER: u8 = 0;

/// Most descriptors of a handover.
pub const HANDOVER_FDS_MAX: usize = 128;

/// The sockets of a session's sandbox, for the gateway. One message: [`HANDOVER`], this as JSON, a line feed, and the
/// descriptors beside it (`SCM_RIGHTS`). The answer is a [`crate::Problem`] as JSON, or nothing, and the end of the stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handover {
    /// The session.
    pub session: String,
    /// What the session's connections would show: whoever has it may be the session.
    pub proxy_secret: String,
}

/// One session, as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionView {
    /// Its id.
    pub session: String,
    /// Who answers for it.
    pub human: String,
    /// Agent.
    pub agent: String,
    /// Purpose, where it was not erased.
    pub purpose: Option<String>,
    /// Environment.
    pub environment: String,
    /// Mode.
    pub mode: String,
    /// Grade.
    pub grade: String,
    /// State.
    pub state: String,
    /// Opened, milliseconds since 1970.
    pub opened_ms: u64,
    /// Hard end.
    pub not_after_ms: u64,
    /// Uses admitted.
    pub uses: u64,
    /// Grants, as people read them.
    pub grants: Vec<String>,
}

/// `POST /v1/sessions/{id}/end`, and what it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionEnd {
    /// `exited` or `stopped`.
    pub reason: String,
}

/// The teardown statement: what is provably dead, what lives until when, what cannot be known.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Statement {
    /// `marque/statement.v1`.
    pub schema: String,
    /// The session.
    pub session: String,
    /// Why it ended.
    pub reason: String,
    /// Sequence of the end.
    pub end_seq: u64,
    /// Milliseconds from the end to the closing.
    pub closed_after_ms: u64,
    /// Uses admitted.
    pub uses: u64,
    /// Uses by service and effect.
    pub by_service: Vec<UseCount>,
    /// Refusals by code.
    pub refused: Vec<RefusedCount>,
    /// Admitted requests that had no answer of the upstream's, by code. They are no refusals: what left is counted as sent.
    #[serde(default)]
    pub unanswered: Vec<RefusedCount>,
    /// What observe mode let pass and enforce mode would have refused or asked about.
    #[serde(default)]
    pub would_refuse: Vec<RefusedCount>,
    /// Uses whose outcome is not known.
    pub unknown: u32,
    /// Static credentials of uses that left, or may have, and that live on.
    pub static_used: Vec<String>,
    /// Admitted uses that may have created authority upstream.
    pub standing: Vec<String>,
    /// Sentences about what cannot be known.
    pub not_known: Vec<String>,
    /// Latest checkpoint.
    pub checkpoint: Option<String>,
}

/// Uses of one service and effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UseCount {
    /// Service.
    pub service: String,
    /// Effect.
    pub effect: String,
    /// How many were admitted.
    pub uses: u64,
    /// How many of them were sent, or may have been.
    #[serde(default)]
    pub sent: u64,
}

/// Refusals with one code.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusedCount {
    /// Code.
    pub code: String,
    /// What was refused.
    pub what: String,
    /// How many.
    pub count: u64,
}

/// One question, as lists show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalView {
    /// Its id.
    pub id: String,
    /// The session.
    pub session: String,
    /// Purpose of the session.
    pub purpose: Option<String>,
    /// Who asks: human, agent.
    pub lineage: Vec<String>,
    /// Service.
    pub service: String,
    /// Operation.
    pub operation: String,
    /// Resource.
    pub resource: String,
    /// Effect.
    pub effect: String,
    /// Environment.
    pub environment: String,
    /// Method, destination, path and query, as the agent sent them.
    pub request: String,
    /// What else the profile found in the request.
    pub attributes: std::collections::BTreeMap<String, String>,
    /// Headers that the approval is for, `accept: */*` left out, as the agent sent them.
    pub headers: Vec<HeaderView>,
    /// Names of headers that are sent and that the approval is not for: dates, traces, versions of the client.
    pub unbound: Vec<String>,
    /// The beginning of the body as text, where there is one.
    pub body: Option<String>,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// Who may answer.
    pub group: String,
    /// Why it asks.
    pub because: String,
    /// Which rules ask.
    pub rule: String,
    /// Uses that an approval is good for, at most.
    pub uses: u32,
    /// Seconds that an approval lives, at most.
    pub ttl_s: u64,
    /// `open`, `approved`, `denied`, `spent`, `expired`.
    pub state: String,
    /// Digest of the action, hex.
    pub digest: String,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: u64,
    /// When it is void.
    pub expires_ms: u64,
}

/// A header on a card. What is masked is apart from the text, so that no text can pass for a mask.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeaderView {
    /// Its name.
    pub name: String,
    /// Its value, piece by piece.
    pub value: Vec<HeaderPiece>,
}

/// A piece of a header's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderPiece {
    /// As the agent sent it.
    Text(String),
    /// Has the exact form of a token, and stays off the card.
    Masked {
        /// Which form.
        rule: String,
        /// How long it is.
        bytes: u64,
    },
}

/// `POST /v1/approvals/{id}`.
#[derive(Serialize, Deserialize)]
pub struct ApprovalAnswer {
    /// The passphrase; not needed to deny.
    pub passphrase: Option<String>,
    /// Yes or no.
    pub approve: bool,
    /// How many uses; 0 for as many as the rule allows.
    pub uses: u32,
    /// For how many seconds; 0 for as many as the rule allows.
    pub ttl_s: u64,
}

/// One human, as the journal knows him.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HumanView {
    /// Pseudonym.
    pub human: String,
    /// `known` or `erased`.
    pub state: String,
    /// Number of the operating system's user, where it is one and he was not erased.
    pub uid: Option<u32>,
    /// Records that are his.
    pub records: u64,
    /// The newest of them.
    pub newest: Option<u64>,
    /// His sessions that are not closed.
    pub sessions: Vec<String>,
    /// Questions of these sessions that nobody answered.
    pub questions: Vec<String>,
    /// The record of his erasure.
    pub erased: Option<u64>,
}

/// `POST /v1/humans/{pseudonym}/erase`. Cannot be undone.
#[derive(Serialize, Deserialize)]
pub struct HumanErase {
    /// The passphrase.
    pub passphrase: String,
}

/// `POST /v1/policies`. An act that widens authority: a pack may replace a stricter one.
#[derive(Serialize, Deserialize)]
pub struct PolicyApply {
    /// The passphrase.
    pub passphrase: String,
    /// Name of the pack.
    pub name: String,
    /// Policy texts, each with its file name.
    pub files: Vec<(String, String)>,
    /// Assertions, with their file name.
    pub tests: Option<(String, String)>,
}

/// `POST /v1/policies/{name}/remove`. An act that widens authority.
#[derive(Serialize, Deserialize)]
pub struct PolicyRemove {
    /// The passphrase.
    pub passphrase: String,
}

/// One policy pack in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// SHA-256 over names and texts, hex.
    pub digest: String,
    /// Ids of its rules, in the order of the texts.
    pub rules: Vec<String>,
    /// Whether it ships with the program.
    pub shipped: bool,
}

/// Answer to `GET /v1/policies/{name}`: the texts of an applied pack, as they are in force.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PolicyTexts {
    /// Its files: name and text.
    pub files: Vec<(String, String)>,
    /// Its assertions.
    pub tests: Option<(String, String)>,
}

/// One step of a lineage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Lineage {
    /// `marque/lineage.v1`.
    pub schema: String,
    /// The session.
    pub session: String,
    /// The human and how he is known.
    pub human: String,
    /// `asserted` or `proven`.
    pub proof: String,
    /// Purpose, where it was not erased.
    pub purpose: Option<String>,
    /// Links, root first.
    pub hops: Vec<Hop>,
    /// Uses, refusals and the end, in order. An `outcome` is that of a use on a page before, which `from` names.
    pub uses: Vec<UseView>,
    /// Sequence of the next page, where there is more.
    pub next: Option<u64>,
}

/// One link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hop {
    /// `jti`.
    pub jti: String,
    /// Agent.
    pub agent: String,
    /// Grants, as people read them.
    pub grants: Vec<String>,
    /// Digest of the policies in force.
    pub policy: Option<String>,
}

/// One use or refusal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UseView {
    /// Sequence.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// `allowed`, `denied`, `asked`, `approved`; `own` for what marque did itself.
    pub what: String,
    /// Service.
    pub service: String,
    /// Operation.
    pub operation: String,
    /// Resource.
    pub resource: Option<String>,
    /// Effect.
    pub effect: String,
    /// Credential's name.
    pub credential: Option<String>,
    /// Status or code.
    pub result: String,
    /// Leaf.
    pub leaf: Option<String>,
    /// The use whose answer gave what this one carried: a token, a cookie, an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Codes that observe mode recorded and did not apply.
    pub would_deny: Vec<String>,
    /// What refused it: rules of policies, or an entry of the environment registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// Why the last request of a session was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Why {
    /// `marque/why.v1`.
    pub schema: String,
    /// What was asked for.
    pub request: String,
    /// The code.
    pub code: String,
    /// The sentence.
    pub detail: String,
    /// The next step.
    pub help: String,
    /// For humans only: which rules.
    pub rule: Option<String>,
    /// For humans only: each rule with file, line and reason.
    #[serde(default)]
    pub rules: Vec<String>,
    /// For humans only: the nearest single change that another answer would follow from.
    #[serde(default)]
    pub counterfactual: Option<String>,
}

/// Answer to `GET /v1/sessions/{id}/uses?after=SEQ&max=N`: what a session was opened with, and a page of what it used. For
/// live and ended sessions alike.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uses {
    /// `marque/uses.v1`.
    pub schema: String,
    /// The session.
    pub session: String,
    /// What it was opened with; on the page that holds its opening.
    pub opened: Option<OpenedWith>,
    /// Admitted uses, in order.
    pub uses: Vec<UsedOnce>,
    /// Hosts that observe mode let pass, in order.
    pub passed: Vec<PassedHost>,
    /// Refusals, in order.
    pub refused: Vec<RefusedCount>,
    /// What to give as `after` for the next page, where there is more.
    pub next: Option<u64>,
}

/// What a session was opened with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenedWith {
    /// The agent's name.
    pub agent: String,
    /// Purpose, where it was not erased.
    pub purpose: Option<String>,
    /// Environment.
    pub environment: String,
    /// Mode.
    pub mode: String,
    /// Seconds from its opening to its hard end.
    pub ttl_s: u64,
    /// Grants in RFC 9396 form, as link 0 has them.
    pub grants: serde_json::Value,
}

/// One admitted use, as a grant sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UsedOnce {
    /// Sequence of its intent.
    pub seq: u64,
    /// Service.
    pub service: String,
    /// Operation; the method where the service has no profile.
    pub operation: String,
    /// Resource, where the service has a profile.
    pub resource: Option<String>,
    /// Origin.
    pub origin: String,
    /// Canonical path without its query, where the service has no profile and the text was not erased.
    pub path: Option<String>,
    /// Effect.
    pub effect: String,
    /// Index of the grant that permitted it; none where only observe mode let it through.
    pub grant: Option<u32>,
    /// Codes that observe mode recorded and did not apply.
    pub would_deny: Vec<String>,
}

/// A host that observe mode let pass without a credential.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PassedHost {
    /// `host:port`.
    pub host: String,
    /// How many connections.
    pub count: u64,
}

/// `POST /v1/search`: which records. Everything that is given has to hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// A session, live or ended.
    pub session: Option<String>,
    /// `jti` of a link.
    pub leaf: Option<String>,
    /// A credential's name; of a removed one, its id.
    pub credential: Option<String>,
    /// A human's pseudonym.
    pub human: Option<String>,
    /// Service, or the host that observe mode let pass.
    pub service: Option<String>,
    /// Operation, or its beginning and `*`.
    pub operation: Option<String>,
    /// Resource, or its beginning and `*`.
    pub resource: Option<String>,
    /// Effect.
    pub effect: Option<String>,
    /// `allowed`, `approved`, `denied`, `asked`, `passed`.
    pub decision: Option<String>,
    /// Code of a refusal, also of one that observe mode did not apply.
    pub code: Option<String>,
    /// Kind of the record: `use.intent`.
    pub kind: Option<String>,
    /// Reference of the session: ticket, change, pull request.
    pub reference: Option<String>,
    /// Not before, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Not after, milliseconds since 1970.
    pub until_ms: Option<u64>,
    /// Not before this record: `next` of the page before.
    pub after: Option<u64>,
    /// Most records of the page.
    pub limit: Option<u64>,
}

/// Answer to `POST /v1/search`, in the order of the journal. A page stays what it is while the journal grows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SearchPage {
    /// `marque/search.v1`.
    pub schema: String,
    /// What was found.
    pub records: Vec<Found>,
    /// What to give as `after` for the next page, where there may be more.
    pub next: Option<u64>,
    /// How it was checked that none was left out: `backlinks` of the journal's records, or the number of `rows`.
    pub checked: String,
    /// Records of the journal that were searched.
    pub searched: u64,
}

/// One record, as a search tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Position in the journal.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// Kind.
    pub kind: String,
    /// Session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who answers for it, by pseudonym.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human: Option<String>,
    /// Leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The record that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<u64>,
    /// Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
    /// Service or host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Resource.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Name of the credential, or its id where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// Codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<String>,
    /// The upstream's status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// Whatever else tells it apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
