//! The one seam between the data plane and whoever decides: the gateway carries bytes, the [`Gate`] judges.
//!
//! The gateway calls, in this order and never in another: [`Gate::identify`] per connection, [`Gate::route`] before any
//! name is resolved, [`Gate::admit`] before any credential is placed, [`Gate::settle`] exactly once per admission.

use crate::ca::SessionCa;
use crate::problem::Problem;
use bytes::Bytes;
use marque_detect::Secret;
use marque_detect::oracle::Verdict;
use marque_detect::scrub::{Hits, Needles};
use marque_model::{Content, CredentialId, Target};
use marque_wire::answer::{Found, ReturnSlot};
use marque_wire::place::{Placement, Slot};
use marque_wire::profile::{Extracted, Profile};
use rustls::RootCertStore;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Names a listener to the gate that opened it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u64);

/// Names a leaf in this process. Upstream connections, TLS tickets and certificates are never shared between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeafKey(pub u64);

/// Who is at the other end of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection.
    Tcp {
        /// The client's end.
        remote: SocketAddr,
        /// Our end.
        local: SocketAddr,
    },
    /// A TCP connection from inside a sandbox: whose it is, the listener alone says.
    Inside {
        /// What the client dialled.
        dialled: SocketAddr,
    },
    /// A Unix socket connection, with what the kernel says of the client.
    Unix {
        /// User id at the time of `connect`.
        uid: u32,
        /// Process id at the time of `connect`.
        pid: Option<i32>,
    },
}

/// How to reach the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialPlan {
    /// Resolve the name once, judge every address by the SSRF floor, dial exactly one of those.
    Public,
    /// Dial exactly these: they were pinned by an act that widens authority (I13, I14). No name is resolved.
    Pinned(Vec<IpAddr>),
}

/// What is known about one target for one leaf before any request: shared by the requests that go there.
pub struct RoutePlan {
    /// The one destination.
    pub target: Target,
    /// What the profile calls this host (`api`, `git`).
    pub alias: String,
    /// How to read requests and answers; [`Profile::generic`] where nobody wrote one.
    pub profile: Arc<Profile>,
    /// Every place that a credential of this target can occupy: what the client sends there is removed.
    pub placements: Vec<Placement>,
    /// The slots of those placements, and of what returns in the head.
    pub slots: Vec<Slot>,
    /// Where the client gives back what earlier answers gave it.
    pub returns: Vec<ReturnSlot>,
    /// How to reach it.
    pub dial: DialPlan,
    /// Whose certificates are believed upstream.
    pub roots: Arc<RootCertStore>,
}

impl RoutePlan {
    /// A plan; what returns follows from the profile, and the slots from both.
    #[must_use]
    pub fn new(
        target: Target,
        alias: impl Into<String>,
        profile: Arc<Profile>,
        placements: Vec<Placement>,
        dial: DialPlan,
        roots: Arc<RootCertStore>,
    ) -> Self {
        let alias = alias.into();
        let returns = profile.returns(&alias);
        // Cookies that are no placeholders stay: clients have harmless ones too.
        let in_head = returns.iter().filter_map(|slot| match slot {
            ReturnSlot::At(Placement::Cookie { .. }) => None,
            ReturnSlot::At(placement) if !placement.needs_body() => Some(placement),
            _ => None,
        });
        let mut slots: Vec<Slot> = Vec::new();
        for slot in placements.iter().chain(in_head).flat_map(Placement::slots) {
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        Self { target, alias, profile, placements, slots, returns, dial, roots }
    }
}

/// Where a leaf may go.
pub enum Route {
    /// A credential may be attached.
    Governed(Arc<RoutePlan>),
    /// Allowed by name and without a credential: the client's own credentials and long bodies are refused (threats H15).
    Open(Arc<RoutePlan>),
    /// Observe: neither intercepted nor given a credential, and recorded. The SSRF floor stays.
    PassThrough(Arc<RoutePlan>),
    /// Nowhere.
    Refused(Problem),
}

/// What kind of use is about to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One request and its answer.
    Http,
    /// A WebSocket: one intent, many frames.
    WebSocket,
    /// Bytes that are not read (pass-through CONNECT).
    Tunnel,
}

/// Where addresses of the gateway begin, at every target whose answers led to a signed one. Nothing below it is forwarded.
pub const KEPT_PATH: &str = "/.marque/kept/";

/// A placeholder of an earlier answer, and the slot in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The slot in words (`bearer`, `cookie sid`).
    pub slot: String,
    /// The slot as a place; none for cookies of any name.
    pub placement: Option<Placement>,
    /// What the client wrote there.
    pub placeholder: String,
}

/// The signed address behind one of the gateway's.
pub struct Address {
    /// Where it leads. The same target as the request's, or one that the profile names.
    pub plan: Arc<RoutePlan>,
    /// Path and query. A credential.
    pub path_and_query: Secret,
    /// The answer that gave the address is to one that passes unsearched: so is what it leads to.
    pub opaque: bool,
}

/// One use, as far as the gateway can tell: the gate adds session, environment and credential.
#[derive(Debug, Clone)]
pub struct Intended {
    /// What kind of use.
    pub kind: Kind,
    /// What the profile says that it does: every action of it, or that it does not know.
    pub extracted: Extracted,
    /// What earlier answers gave and this request brings back. Where it goes back no credential is attached.
    pub returned: Vec<Returned>,
    /// The address of the gateway, by [`KEPT_PATH`], that the request followed.
    pub followed: Option<String>,
    /// Upper case.
    pub method: String,
    /// Canonical path without query: what `http` grants are compared with. `None` where the path has several readings.
    pub path: Option<String>,
    /// Path and query as they are forwarded.
    pub uri: String,
    /// Hash of what is forwarded ([`marque_wire::http::content_hash`]), or `Streamed`.
    pub content: Content,
    /// The held body; empty when it is streamed.
    pub body: Bytes,
    /// Headers beside `accept: */*` that the hash binds: for whoever has to say yes.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// Names of headers that go upstream and that the hash does not bind.
    pub unbound: Vec<http::HeaderName>,
}

/// A credential on its way into its declared slot.
pub struct Attachment {
    /// Where it goes.
    pub placement: Placement,
    /// What the client wrote there, where the placement is in the path.
    pub placeholder: Option<String>,
    /// What goes there. Dropped, and so wiped, as soon as it is written.
    pub secret: Secret,
}

/// Leave for one use. The intent is durable when this value exists.
pub struct Admitted<P> {
    /// Returned by [`Gate::settle`].
    pub permit: P,
    /// What to attach; empty for open and pass-through routes.
    pub attachments: Vec<Attachment>,
    /// Which credential that is: connections that carried another version are not reused.
    pub credential: Option<(CredentialId, u32)>,
    /// What to mask in the answer: every secret attached in the session.
    pub needles: Arc<Needles>,
    /// One of those secrets can be guessed: the answer is held whole, so that a hit can withhold it whole.
    pub guessable: bool,
    /// The target used up its scrub hits before: its body is not shown.
    pub withhold: bool,
    /// Bytes of request body, beyond which the use is aborted.
    pub request_bytes_max: u64,
    /// Bytes of answer body, beyond which the answer is cut.
    pub answer_bytes_max: u64,
}

/// How a use ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The answer was passed on to its end.
    Completed,
    /// The client went away first.
    Aborted,
    /// The session ended, or the service drained, first.
    Cut,
    /// The upstream failed or was too slow.
    UpstreamFailed,
    /// A limit of the permit was reached.
    Limit,
    /// The answer was withheld.
    Withheld,
    /// Nothing was sent: no connection could be made, or the credential had no place.
    NotSent,
}

/// What became of one use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub ending: Ending,
    /// The upstream's status.
    pub status: Option<u16>,
    /// Bytes of request body that were sent.
    pub request_bytes: u64,
    /// [`marque_wire::http::ContentHasher`] over a streamed request, if all of it was sent.
    pub request_sha256: Option<[u8; 32]>,
    /// Bytes of answer body that were received, before decoding.
    pub answer_bytes: u64,
    /// Scrub hits.
    pub hits: u32,
    /// The body passed unscrubbed, because the profile says that it is opaque.
    pub opaque: bool,
    /// Whether a credential byte can have left.
    pub credential_sent: bool,
}

/// Judges what the gateway carries. Implemented by the authority.
pub trait Gate: Send + Sync + 'static {
    /// One end of a chain: who is asking.
    type Leaf: Send + Sync + 'static;
    /// Leave for one use; consumed by [`Gate::settle`].
    type Permit: Send + 'static;
    /// What is remembered of a use beyond its permit: whence a credential of its answer came.
    type Source: Send + Sync + 'static;

    /// Who is behind this connection? A listener names exactly one leaf; outside a private namespace the connection must
    /// also show the per-session proxy secret, and the peer is checked. `proxy_auth` is the value of `Proxy-Authorization`.
    /// Called once per connection and header value. Status 407 makes clients show the secret.
    ///
    /// # Errors
    /// The refusal that the client sees.
    fn identify(&self, listener: ListenerId, proxy_auth: Option<&str>, peer: &Peer) -> Result<Arc<Self::Leaf>, Problem>;

    /// A name for the leaf that no other leaf of this process has or had.
    fn leaf_key(&self, leaf: &Self::Leaf) -> LeafKey;

    /// The session's certificate authority.
    fn ca(&self, leaf: &Self::Leaf) -> Arc<SessionCa>;

    /// Where may this leaf go? Answered from memory; no name is resolved before this.
    fn route(&self, leaf: &Arc<Self::Leaf>, target: &Target) -> Route;

    /// Contain, decide, ask, make the intent durable, attach. May wait for a human.
    fn admit(
        &self,
        leaf: &Arc<Self::Leaf>,
        route: &Arc<RoutePlan>,
        use_: Intended,
    ) -> impl Future<Output = Result<Admitted<Self::Permit>, Problem>> + Send;

    /// What to remember of an admitted use while its answer is read.
    fn source(&self, permit: &Self::Permit) -> Arc<Self::Source>;

    /// What became of it. Must not block.
    fn settle(&self, permit: Self::Permit, outcome: Outcome);

    /// A refusal that the gateway found by itself (framing, addresses, certificates), for the record. Must not block.
    fn refused(&self, listener: ListenerId, leaf: Option<&Arc<Self::Leaf>>, target: Option<&Target>, problem: &Problem);

    /// Resolves when the leaf's session has ended, or the leaf was revoked: every stream is cut within 100 ms.
    fn ended(&self, leaf: &Arc<Self::Leaf>) -> impl Future<Output = ()> + Send;

    /// An attached secret came back from `route`. `hits` is what one head or body held so far, `new` how many of those
    /// were not told before.
    fn scrub_hit(&self, leaf: &Arc<Self::Leaf>, route: &RoutePlan, needles: &Needles, hits: &Hits, new: u32) -> Verdict;

    /// The profile declares that an answer carries a credential: keep it, and return what the agent gets instead. `carrier`
    /// is in words (`json /token`, `cookie sid`); for `url` and `location` a URL of the gateway is returned.
    ///
    /// # Errors
    /// The refusal that takes the answer's place.
    fn keep_answer(
        &self,
        leaf: &Arc<Self::Leaf>,
        route: &RoutePlan,
        source: &Arc<Self::Source>,
        carrier: &str,
        value: Secret,
    ) -> Result<String, Problem>;

    /// What an answer carried, and what became of each: swapped, passed (exposed until it expires), withheld. Must not block.
    fn answer_carried(&self, leaf: &Arc<Self::Leaf>, route: &RoutePlan, found: &[Found]);

    /// The credential that was kept under that placeholder for this leaf's session, this target and this slot (`bearer`,
    /// `cookie sid`).
    fn restore_answer(&self, leaf: &Arc<Self::Leaf>, route: &RoutePlan, slot: &str, placeholder: &str) -> Option<Secret>;

    /// The signed address that was kept for this leaf at this target; `name` is what stands behind [`KEPT_PATH`].
    fn follow(&self, leaf: &Arc<Self::Leaf>, route: &RoutePlan, name: &str) -> Option<Address>;
}

impl fmt::Debug for RoutePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoutePlan").field("target", &self.target).field("alias", &self.alias).finish_non_exhaustive()
    }
}
