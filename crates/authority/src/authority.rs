//! The one writer, assembled: state, journal, signer, secrets, live leaves.

use crate::clock::SessionClock;
use crate::leaf::Leaf;
use crate::machine::{Entry, Fold};
use crate::services::Services;
use crate::signer::{Keys, SignerClient};
use crate::{Error, random, services};
use marque_detect::Secret;
use marque_model::{CredentialId, InstanceId, SessionId, State, Target};
use marque_store::disk::{RealDisk, replace_file};
use marque_store::{Ack, Journal, Mark, MarkFile};
use marque_switch::fail_point;
use parking_lot::{Mutex, RwLock};
use std::os::fd::OwnedFd;
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What an authority is started with.
#[derive(Clone)]
pub struct Options {
    /// Where journal, tiles and sealed secrets are.
    pub data_dir: PathBuf,
    /// Where the highest acknowledged sequence is remembered: outside the data directory.
    pub state_dir: PathBuf,
    /// Figures of the journal; tests lower them.
    pub journal: marque_store::Options,
    /// Bytes of journal that one session may cause; tests lower it.
    pub session_journal_bytes_max: u64,
    /// PEM of certificates believed upstream beside the system's.
    pub extra_roots_pem: Option<String>,
    /// Who cosigns the checkpoints, from now on; `None`: whoever did before.
    pub witnesses: Option<Vec<crate::WitnessAt>>,
}

/// What the gateway gives back for a new leaf.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where the leaf's proxy listens: in the sandbox's network, where the leaf has one.
    pub address: SocketAddr,
    /// Ports at which the gateway expects to be handed listeners of the sandbox; empty without one.
    pub ports: Vec<u16>,
    /// The session's root certificate.
    pub ca_pem: String,
}

/// One GET of the authority's own.
pub struct Fetch {
    /// Where to.
    pub target: Target,
    /// Addresses that it is pinned to.
    pub pins: Vec<IpAddr>,
    /// Path and query.
    pub path: String,
    /// Header fields; a credential is among them.
    pub headers: hyper::HeaderMap,
}

/// What came back.
pub struct Fetched {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Secret,
}

/// A request on its way, and the gateway's problem where none came back.
pub type Fetching = Pin<Box<dyn Future<Output = Result<Fetched, marque_api::Problem>> + Send>>;

/// The gateway, as the authority needs it: a listener for each leaf, gone when the leaf is.
pub trait Listeners: Send + Sync + 'static {
    /// Opens a listener that names exactly this leaf; or, where the leaf has a network of its own, awaits those of that one
    /// ([`Listeners::bring`]).
    ///
    /// # Errors
    /// Where no listener or certificate could be made.
    fn open(&self, leaf: &Arc<Leaf>, inside: bool) -> Result<Listener, Error>;
    /// Takes over the sockets of the leaf's sandbox. Once, and only for a leaf that was opened so.
    ///
    /// # Errors
    /// Where they are not what was expected.
    fn bring(&self, leaf: &Arc<Leaf>, sockets: Vec<OwnedFd>) -> Result<(), Error>;
    /// Closes it and cuts what runs through it.
    fn close(&self, leaf: &Arc<Leaf>);
    /// Sends a request of the authority's own: the same dialling, floor and certificates as for any other.
    fn fetch(&self, what: Fetch) -> Fetching;
}

/// The authority. Shared by the gateway and the local API.
pub struct Authority {
    pub(crate) options: Options,
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) journal: Journal<Fold>,
    pub(crate) clock: Arc<SessionClock>,
    pub(crate) signer: Arc<SignerClient>,
    pub(crate) keys: Keys,
    pub(crate) instance: InstanceId,
    pub(crate) services: RwLock<Services>,
    pub(crate) book: RwLock<crate::policies::Book>,
    pub(crate) desk: crate::asks::Desk,
    pub(crate) secrets: Arc<Mutex<crate::openings::Vault>>,
    pub(crate) subject_keys: RwLock<HashMap<[u8; 16], Arc<marque_store::sealed::OpeningKey>>>,
    pub(crate) values: RwLock<HashMap<(CredentialId, u32), Arc<Secret>>>,
    pub(crate) leaves: RwLock<BTreeMap<SessionId, Arc<Leaf>>>,
    pub(crate) listeners: RwLock<Option<Arc<dyn Listeners>>>,
    pub(crate) next_leaf: AtomicU64,
    pub(crate) statements: Mutex<BTreeMap<SessionId, marque_api::control::Statement>>,
    pub(crate) statement_ready: tokio::sync::Notify,
    /// Held from reading a credential's version to its record: the sealed row and the record are of one addition.
    pub(crate) changing_credentials: tokio::sync::Mutex<()>,
    /// Held from the record of an erasure until nothing is left.
    pub(crate) erasing: tokio::sync::Mutex<()>,
    /// Held from the record of a pack until the pack is in force.
    pub(crate) changing_policies: tokio::sync::Mutex<()>,
    pub(crate) witnesses: crate::witnesses::Witnesses,
    pub(crate) index: crate::index::Index,
    pub(crate) heads: crate::machine::Heads,
    mark: Mutex<MarkFile>,
    pub(crate) runtime: tokio::runtime::Handle,
    unremembered: bool,
    recovery: marque_store::Recovery,
}

impl Authority {
    /// Opens journal and secrets and reconciles what an earlier process left. The seal must be open.
    ///
    /// # Errors
    /// Where the journal refuses to open (it is older than what was acknowledged, altered, or locked), or the secrets do
    /// not fit it.
    pub fn start(options: Options, signer: Arc<SignerClient>, keys: Keys) -> Result<Arc<Self>, Error> {
        let state = Arc::new(RwLock::new(State::new()));
        let clock = Arc::new(SessionClock::start());
        let instance = InstanceId::from_bytes(keys.instance);
        let state_disk = RealDisk::open(&options.state_dir)
            .map_err(|source| Error::Io { path: options.state_dir.display().to_string(), source })?;
        let mark_name = format!("{instance}.mark");
        let mark = MarkFile::open(Arc::new(state_disk), &mark_name).map_err(|e| Error::Journal(e.to_string()))?;
        let acknowledged = mark.get().cloned();
        let ticks = clock.clone();
        let fold = Fold::new(state.clone());
        let heads = fold.heads();
        let opening = marque_store::Opening {
            options: options.journal.clone(),
            clock: Box::new(move || ticks.now_ms()),
            instance: *instance.as_bytes(),
            acknowledged,
            signer: Box::new(crate::signer::RemoteSigner::new(signer.clone(), &keys)),
            machine: fold,
        };
        let unmarked = opening.acknowledged.is_none();
        let (journal, recovery) =
            marque_store::FileJournal::open(&options.data_dir, opening).map_err(|e| Error::Journal(e.to_string()))?;
        clock.not_before(state.read().time_ms);
        state.write().session_journal_bytes_max = options.session_journal_bytes_max;
        // For verifiers that share no code: the key is in the first record too.
        let vkey = format!("{}\n", keys.vkey);
        let data_disk = RealDisk::open(&options.data_dir)
            .map_err(|source| Error::Io { path: options.data_dir.display().to_string(), source })?;
        replace_file(&data_disk, "journal/log.vkey", vkey.as_bytes())
            .map_err(|source| Error::Io { path: "journal/log.vkey".into(), source })?;
        let witnesses = crate::witnesses::Witnesses::open(&options.data_dir, options.witnesses.as_deref(), &keys.vkey)?;
        let secrets = crate::openings::Vault::open(&options.data_dir, signer.clone(), *instance.as_bytes())?;
        let (services, book) = services::in_force(&options.data_dir, &state.read())?;
        let runtime = tokio::runtime::Handle::current();
        let index = crate::index::Index::start(&options.data_dir, journal.clone(), *instance.as_bytes(), runtime.clone());
        let authority = Arc::new(Self {
            book: RwLock::new(book),
            desk: crate::asks::Desk::default(),
            state,
            journal,
            clock,
            signer,
            keys,
            instance,
            services: RwLock::new(services),
            secrets: Arc::new(Mutex::new(secrets)),
            subject_keys: RwLock::default(),
            values: RwLock::default(),
            leaves: RwLock::default(),
            listeners: RwLock::new(None),
            next_leaf: AtomicU64::new(1),
            statements: Mutex::default(),
            statement_ready: tokio::sync::Notify::new(),
            changing_credentials: tokio::sync::Mutex::default(),
            erasing: tokio::sync::Mutex::default(),
            changing_policies: tokio::sync::Mutex::default(),
            witnesses,
            mark: Mutex::new(mark),
            runtime,
            index,
            heads,
            unremembered: unmarked && recovery.records > 0,
            recovery,
            options,
        });
        Ok(authority)
    }

    /// Begins the journal if it is new, records this start, and ends the sessions of an earlier process: their agents'
    /// listeners and keys died with it.
    ///
    /// # Errors
    /// Where the journal takes no record.
    pub async fn reconcile(self: &Arc<Self>) -> Result<(), Error> {
        use marque_model::event::{AuthorityStart, Draft, InstanceInit};
        let (fresh, epoch, left) = {
            let state = self.state.read();
            (state.next_seq == 0, state.epoch, state.sessions.keys().copied().collect::<Vec<_>>())
        };
        if fresh {
            let init = InstanceInit {
                instance: self.instance,
                root_key: self.keys.root,
                checkpoint_vkey: self.keys.vkey.clone(),
            };
            self.append(Draft::new(init).into()).await?;
            fail_point("start.init-durable");
        }
        let start = AuthorityStart {
            boot: random::bytes()?,
            epoch: epoch.saturating_add(1),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        self.append(Draft::new(start).into()).await?;
        fail_point("start.durable");
        let applied = ("config".to_owned(), crate::witnesses::APPLIED.to_owned());
        let changed = self.witnesses.changed(self.state.read().applied.get(&applied));
        if let Some(digest) = changed {
            let (what, name) = applied;
            self.append(Draft::new(marque_model::event::Apply { what, name, digest }).into()).await?;
        }
        self.check_secrets()?;
        self.finish_erasures().await?;
        for session in left {
            self.bury(session).await?;
        }
        fail_point("start.reconciled");
        Ok(())
    }

    /// Names the gateway. Without one no session can be opened.
    pub fn set_listeners(&self, listeners: Arc<dyn Listeners>) {
        *self.listeners.write() = Some(listeners);
    }

    /// Whether there is a journal of which nothing outside the data directory remembered anything at start: it may be an
    /// older copy, and nobody could tell (threats H8, H11).
    #[must_use]
    pub const fn unremembered(&self) -> bool {
        self.unremembered
    }

    /// From where the journal was read when it was opened.
    #[must_use]
    pub const fn recovery(&self) -> &marque_store::Recovery {
        &self.recovery
    }

    /// The roots that were added to the system's, as PEM.
    #[must_use]
    pub fn extra_roots_pem(&self) -> Option<&str> {
        self.options.extra_roots_pem.as_deref()
    }

    /// A live leaf of that session.
    #[must_use]
    pub fn leaf(&self, session: SessionId) -> Option<Arc<Leaf>> {
        self.leaves.read().get(&session).cloned()
    }

    /// Session time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Records, and waits until it is durable.
    pub(crate) async fn append(&self, entry: Entry) -> Result<Ack, Error> {
        if !entry.draft.is_essential() {
            self.witnesses.admits().map_err(Error::Refused)?;
        }
        match self.journal.append(entry).await {
            Ok(ack) => Ok(ack),
            Err(marque_store::AppendError::Refused(refusal)) => {
                let problem = marque_api::Problem::new(
                    marque_api::Code::CONFLICT,
                    refusal.to_string(),
                    "look at `marque session list` and try again",
                );
                Err(Error::Refused(problem))
            }
            Err(marque_store::AppendError::NoSpace) => Err(Error::Refused(marque_api::Problem::plain(
                marque_api::Code::NO_SPACE,
                "free space on the disk of the data directory",
            ))),
            Err(error) => Err(Error::Journal(error.to_string())),
        }
    }

    /// Records without waiting. Used for what gives authority back; a refusal here is a record that came too late.
    ///
    /// The committer refuses an outcome of a session that was closed meanwhile: it was counted as unknown there.
    pub(crate) fn append_later(&self, entry: Entry) {
        let Err(entry) = self.journal.append_unheard(entry) else { return };
        // The queue is full, or the journal closed: somebody has to wait for a place.
        let journal = self.journal.clone();
        self.runtime.spawn(async move {
            let _ = journal.append(entry).await;
        });
    }

    /// Remembers outside the data directory what is durable: called once a second and after every act of a human. A
    /// journal that is shorter than this is not opened again.
    ///
    /// # Errors
    /// Where the state directory cannot be written.
    pub fn remember(&self) -> Result<(), Error> {
        let failed = |e: String| Error::Journal(e);
        let Some(seq) = self.journal.size().checked_sub(1) else { return Ok(()) };
        let record = self.journal.read(seq).map_err(|e| failed(e.to_string()))?;
        let mark = Mark {
            instance: *self.instance.as_bytes(),
            seq,
            leaf_hash: marque_journal::merkle::leaf_hash(&record),
            checkpoint: self.journal.checkpoint().map(|head| head.note.to_string()),
        };
        self.mark.lock().raise(mark).map_err(|e| failed(e.to_string()))
    }

    /// A checkpoint over everything that is durable now, as a signed note.
    ///
    /// # Errors
    /// Where the signer does not sign.
    pub async fn checkpoint_now(&self) -> Result<String, Error> {
        let head = self.journal.checkpoint_now().await.map_err(|e| Error::Journal(e.to_string()))?;
        Ok(head.note.to_string())
    }

    /// The receipt of a record: a `tlog-proof@v1` text.
    ///
    /// # Errors
    /// Where there is no such record.
    pub async fn receipt(&self, seq: u64) -> Result<String, Error> {
        self.checkpoint_now().await?;
        let receipt = self.journal.receipt(seq).map_err(|e| Error::Journal(e.to_string()))?;
        Ok(receipt.to_text())
    }

    /// Ends every session and closes the journal.
    pub async fn shut_down(self: &Arc<Self>) {
        let live: Vec<SessionId> = self.leaves.read().keys().copied().collect();
        for id in live {
            // A session that cannot be ended now is ended by the next start.
            let _ = self.end_session(id, marque_model::EndReason::Stopped).await;
        }
        let journal = self.journal.clone();
        // Nothing is left to do for a panic in the closing thread.
        let this = self.clone();
        let _ = tokio::task::spawn_blocking(move || {
            this.index.close();
            journal.close();
        })
        .await;
        // The last checkpoint is over everything: with it outside, nothing is left that only the directory vouches for.
        // A mark that cannot be written is a weaker promise, not a reason to fail.
        let _ = self.remember();
        self.last_round().await;
    }
}
