//! What is true now: a fold over the journal, small enough to live in memory, and nothing else.

use crate::budget::{Budget, Charge};
use crate::ids::{AskId, CredentialId, InstanceId, LeaseId, SessionId, SubjectId};
use crate::lease::Lease;
use crate::session::Session;
use crate::limits::CHAIN_LINKS_MAX;
use marque_chain::{Grant, PublicKey};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One link of a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Its name.
    pub jti: Arc<str>,
    /// The session it belongs to.
    pub session: SessionId,
    /// Index of its parent among the links, for all but link 0.
    pub parent: Option<u32>,
    /// The signed text: what a child is verified under.
    pub text: Arc<str>,
    /// Its grants.
    pub grants: Arc<[Grant]>,
    /// For each grant, the index of the parent's grant that covers it.
    pub under: Box<[u32]>,
    /// For each grant, what was used of it.
    pub budgets: Box<[Budget]>,
    /// What was used of the link's own limits.
    pub whole: Budget,
    /// Whether it was revoked itself; ancestors are asked separately.
    pub revoked: bool,
    /// End of its life.
    pub not_after_ms: u64,
}

/// A credential, without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Its version.
    pub version: u32,
    /// The name people use.
    pub name: String,
    /// The service.
    pub service: String,
    /// The environment.
    pub environment: String,
    /// Origins it may be sent to.
    pub origins: Vec<String>,
    /// Placement, as the profile writes it.
    pub placement: String,
    /// SHA-256 of the sealed row.
    pub row: [u8; 32],
    /// Where the value comes from.
    pub source: String,
    /// `origin=address` pins.
    pub pins: Vec<String>,
    /// Resource patterns it is for; empty means all.
    pub resources: Vec<String>,
}

/// Where a question is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskPhase {
    /// Waits.
    Open,
    /// A human said no.
    Denied,
    /// A human said yes: so many uses are left, until then.
    Approved {
        /// Uses left.
        uses_left: u32,
        /// When they are void.
        expires_ms: u64,
    },
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Its id.
    pub id: AskId,
    /// The session that asks.
    pub session: SessionId,
    /// The leaf that asked: nobody else may spend the answer (threats H20).
    pub leaf: Arc<str>,
    /// The exact action.
    pub digest: [u8; 32],
    /// Who may answer.
    pub group: String,
    /// Which rules ask: an answer counts for no other.
    pub rule: String,
    /// When the question is void.
    pub expires_ms: u64,
    /// Where it is.
    pub phase: AskPhase,
}

/// The grants that one use spends, from the leaf's to the root's: (link, grant) indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    steps: [(u32, u32); CHAIN_LINKS_MAX],
    len: u8,
}

impl Path {
    pub(crate) const EMPTY: Self = Self { steps: [(0, 0); CHAIN_LINKS_MAX], len: 0 };

    pub(crate) fn push(&mut self, link: u32, grant: u32) -> bool {
        match self.steps.get_mut(usize::from(self.len)) {
            Some(slot) => {
                *slot = (link, grant);
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// The steps, leaf first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.steps.iter().copied().take(usize::from(self.len))
    }
}

/// A use that was admitted and has no outcome yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenUse {
    /// Its session.
    pub session: SessionId,
    /// What it spends from.
    pub path: Path,
    /// What it reserved.
    pub reserved: Charge,
    /// The credential in use.
    pub credential: Option<CredentialId>,
}

/// The whole state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Bytes of journal that one session may cause. Judged by, never replayed.
    pub session_journal_bytes_max: u64,
    /// This journal's identity, once it began.
    pub instance: Option<InstanceId>,
    /// Who signs link 0.
    pub root_key: Option<PublicKey>,
    /// Verifier key of the checkpoints.
    pub checkpoint_vkey: Option<String>,
    /// Number of starts.
    pub epoch: u64,
    /// Sequence of the record by which a policy pack last came into force or went.
    pub policy_seq: u64,
    /// Sequence of the next record.
    pub next_seq: u64,
    /// Time of the last record: session time never goes back.
    pub time_ms: u64,
    /// Sessions that are not closed.
    pub sessions: BTreeMap<SessionId, Session>,
    /// Credentials that were added and not removed.
    pub credentials: BTreeMap<CredentialId, Credential>,
    /// Questions of sessions that are not closed.
    pub asks: BTreeMap<AskId, Ask>,
    /// Uses without an outcome, by sequence of their intent.
    pub open_uses: BTreeMap<u64, OpenUse>,
    /// Leases that are not gone.
    pub leases: BTreeMap<LeaseId, Lease>,
    /// Digests in force, by kind and name.
    pub applied: BTreeMap<(String, String), [u8; 32]>,
    /// Which environment things belong to.
    pub registry: crate::registry::Registry,
    /// Humans who answered for a session or an approval, to tell that a pseudonym is known.
    pub humans: BTreeMap<SubjectId, u64>,
    /// Pseudonyms whose text was destroyed, by sequence of the record that says so. They answer for nothing any more.
    pub erased: BTreeMap<SubjectId, u64>,
    pub(crate) links: BTreeMap<u32, LinkState>,
    pub(crate) next_link: u32,
    pub(crate) by_jti: BTreeMap<Arc<str>, u32>,
    /// Static credentials each live session used, and its admitted uses of effect *grant*.
    pub(crate) used: BTreeMap<SessionId, Used>,
}

/// What a session leaves behind, for its teardown statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Used {
    /// Credentials it used.
    pub credentials: std::collections::BTreeSet<CredentialId>,
    /// Admitted uses of effect *grant*.
    pub standing: u32,
}

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self {
            session_journal_bytes_max: crate::limits::SESSION_JOURNAL_BYTES_MAX,
            instance: None,
            root_key: None,
            checkpoint_vkey: None,
            epoch: 0,
            policy_seq: 0,
            next_seq: 0,
            time_ms: 0,
            sessions: BTreeMap::new(),
            credentials: BTreeMap::new(),
            asks: BTreeMap::new(),
            open_uses: BTreeMap::new(),
            leases: BTreeMap::new(),
            applied: BTreeMap::new(),
            registry: crate::registry::Registry::default(),
            humans: BTreeMap::new(),
            erased: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 0,
            by_jti: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }

    /// Whether a session has caused as much of the journal as one may.
    #[must_use]
    pub fn is_over_quota(&self, session: &Session) -> bool {
        session.journal_bytes >= self.session_journal_bytes_max
    }

    /// The link with that name, where its session is not closed.
    #[must_use]
    pub fn link(&self, jti: &str) -> Option<&LinkState> {
        self.links.get(self.by_jti.get(jti)?)
    }

    /// Every link of a session, in order of registration.
    pub fn links_of(&self, session: SessionId) -> impl Iterator<Item = &LinkState> {
        self.links.values().filter(move |link| link.session == session)
    }

    /// A link and its ancestors, the link first.
    #[must_use]
    pub fn lineage(&self, jti: &str) -> Vec<&LinkState> {
        let mut out = Vec::new();
        let mut next = self.by_jti.get(jti).copied();
        while let Some(link) = next.and_then(|index| self.links.get(&index)) {
            out.push(link);
            next = link.parent;
            if out.len() > CHAIN_LINKS_MAX {
                break;
            }
        }
        out
    }

    /// What a session leaves behind.
    #[must_use]
    pub fn used(&self, session: SessionId) -> Option<&Used> {
        self.used.get(&session)
    }

    /// Bytes that a use of that grant may still reserve: the least over the leaf and every ancestor; `None` where no
    /// limit is set anywhere.
    #[must_use]
    pub fn bytes_left(&self, jti: &str, grant: u32) -> Option<u64> {
        let start = *self.by_jti.get(jti)?;
        let path = self.path(start, grant)?;
        path.iter()
            .filter_map(|(link, grant)| {
                let link = self.links.get(&link)?;
                let own = link.budgets.get(grant as usize).and_then(Budget::bytes_left);
                match (own, link.whole.bytes_left()) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                }
            })
            .min()
    }

    pub(crate) fn path(&self, link: u32, grant: u32) -> Option<Path> {
        let mut path = Path::EMPTY;
        let (mut link, mut grant) = (link, grant);
        loop {
            let state = self.links.get(&link)?;
            state.budgets.get(grant as usize)?;
            if !path.push(link, grant) {
                return None;
            }
            match state.parent {
                None => return Some(path),
                Some(parent) => {
                    grant = *state.under.get(grant as usize)?;
                    link = parent;
                }
            }
        }
    }
}
