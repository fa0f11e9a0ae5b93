//! One leaf as the gateway's requests see it: everything that can be known per session is made once, when it opens.

use crate::needles::NeedleBox;
use marque_chain::Grant;
use marque_detect::oracle::HitLedger;
use marque_model::{CredentialId, Grade, Mode, SessionId, SubjectId, Target};
use marque_wire::place::Placement;
use marque_wire::profile::Profile;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// A credential that can be chosen for a destination.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Its id.
    pub id: CredentialId,
    /// Its version when the session opened; a later one needs a new session.
    pub version: u32,
    /// Where in a request it goes.
    pub placement: Placement,
    /// Resource patterns it is for; empty means every resource.
    pub resources: Vec<String>,
    /// Its value is elsewhere, and read for each session.
    pub by_reference: bool,
}

/// What is known of one destination.
#[derive(Clone)]
pub struct Road {
    /// The destination.
    pub target: Target,
    /// Name of the profile, or `http`.
    pub service: Arc<str>,
    /// What the profile calls this host.
    pub alias: Arc<str>,
    /// How requests are read.
    pub profile: Option<Arc<Profile>>,
    /// Credentials of the session's environment that may go there.
    pub candidates: Vec<Candidate>,
    /// Addresses it is pinned to; empty where the name is resolved.
    pub pins: Vec<IpAddr>,
    /// An `http` grant names it, so it is reachable without a credential.
    pub open: bool,
}

/// One end of a chain.
pub struct Leaf {
    /// Its session.
    pub session: SessionId,
    /// Key of its actions' digests; an opening of the session's first record holds it.
    pub(crate) digest_key: [u8; 32],
    /// Number of this leaf in this process.
    pub key: u64,
    /// Name of its link.
    pub jti: Arc<str>,
    /// Who answers for it.
    pub human: SubjectId,
    /// The agent's name.
    pub agent: Arc<str>,
    /// The session's mode.
    pub mode: Mode,
    /// The session's containment.
    pub grade: Grade,
    /// The session's environment.
    pub environment: Arc<str>,
    /// The session's purpose, for sentences to people.
    pub purpose: Arc<str>,
    /// Risks that the human accepted by name.
    pub accepted: Arc<[String]>,
    /// Held while a question is opened: equal requests that arrive together ask once.
    pub asking: tokio::sync::Mutex<()>,
    /// Held from decision to intent where policies look at counts.
    pub turn: tokio::sync::Mutex<()>,
    /// What policy says about its uses.
    pub(crate) bound: crate::bound::BoundBox,
    /// What its link grants.
    pub grants: Arc<[Grant]>,
    /// Whether any limit on bytes stands in its chain.
    pub has_byte_limit: bool,
    /// Hard end.
    pub not_after_ms: u64,
    /// Number of links above.
    pub depth: u32,
    /// SHA-256 of the secret that a connection to the proxy shows.
    pub proxy_secret: [u8; 32],
    /// Destinations by origin.
    pub roads: HashMap<Target, Arc<Road>>,
    /// Every secret attached in the session, as needles.
    pub needles: NeedleBox,
    /// What references to credentials gave.
    pub references: crate::references::References,
    /// Scrub hits by origin.
    pub hits: Mutex<HashMap<Target, HitLedger>>,
    /// Credentials kept from answers, by placeholder.
    pub kept: Mutex<crate::kept::KeptBox>,
    /// Credentials of answers that a profile let through.
    pub exposed: Mutex<std::collections::BTreeSet<String>>,
    /// Admitted uses by service and effect, for the statement at the end.
    pub uses: Mutex<BTreeMap<(String, marque_model::Effect), u64>>,
    /// Those of them that never left, by the same.
    pub unsent: Mutex<BTreeMap<(String, marque_model::Effect), u64>>,
    /// Uses by the credential that they are recorded under, without those that never left.
    pub carried: Mutex<BTreeMap<CredentialId, u64>>,
    /// What observe mode let pass, by code and action, for the statement at the end.
    pub would: Mutex<BTreeMap<(u16, String), u64>>,
    /// Refusals since the last record, and the last one for `why`.
    pub refusals: Mutex<crate::refusals::Refusals>,
    /// Turns true when the session's end is decided, before it is durable: refuse early, never late.
    pub ended: watch::Sender<bool>,
}

impl Leaf {
    /// Whether the end has been decided.
    #[must_use]
    pub fn is_over(&self) -> bool {
        *self.ended.borrow()
    }

    /// Counts what enforce mode would have refused or asked about.
    pub(crate) fn note_would_refuse(&self, service: &str, meanings: &[crate::intended::Meaning], codes: &[u16]) {
        let mut would = self.would.lock();
        for meaning in meanings {
            for code in codes {
                let key = (*code, format!("{service} {}", meaning.operation));
                let full = would.len() >= crate::refusals::KINDS_MAX && !would.contains_key(&key);
                *would.entry(if full { (*code, "…".to_owned()) } else { key }).or_default() += 1;
            }
        }
    }

    /// Resolves when the end has been decided.
    pub async fn over(&self) {
        let mut ended = self.ended.subscribe();
        // The sender lives in `self`, so waiting cannot fail before the value turns true.
        let _ = ended.wait_for(|over| *over).await;
    }
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leaf").field("session", &self.session).field("jti", &self.jti).finish_non_exhaustive()
    }
}
