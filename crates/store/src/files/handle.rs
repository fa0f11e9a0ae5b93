//! What the rest of the program holds of an open journal.

use super::earlier::Earlier;
use super::checkpoint::{SignError, SignedHead};
use super::core::{Ack, Core, Pending};
use super::intake::{Pace, Shared};
use super::integrate::Integrator;
use super::options::OnFatal;
use super::proofs::Hashes;
use super::reader::Records;
use super::space::Space;
use super::{AppendError, Fatal, OpenError, ReadError};
use crate::limits;
use crate::machine::Machine;
use marque_journal::merkle::{
    Hash, consistency_proof, inclusion_proof, leaf_hash, root_at, verify_consistency, verify_inclusion,
};
use marque_journal::proof::Receipt;
use marque_journal::segment::Opening;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) enum Command<M: Machine> {
    Append(Pending<M>),
    /// A snapshot is to be announced.
    Look,
    Close,
}

/// An open journal. Clones are handles of the same one. Dropping the last one closes it as [`Journal::close`] does.
pub struct Journal<M: Machine> {
    // Dropped before the threads are joined: without a sender left, the committer ends.
    sender: mpsc::Sender<Command<M>>,
    shared: Arc<Shared>,
    threads: Arc<Threads>,
}

struct Threads(Mutex<Vec<JoinHandle<()>>>);

impl Threads {
    fn join(&self) {
        let threads = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.join();
    }
}

impl<M: Machine> Clone for Journal<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), shared: self.shared.clone(), threads: self.threads.clone() }
    }
}

/// Seq, leaf hash and checkpoint of a proof of inclusion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inclusion {
    /// Index of the record, which is its seq.
    pub seq: u64,
    /// Its leaf hash.
    pub leaf_hash: Hash,
    /// Path from the leaf's sibling to the root's child.
    pub hashes: Vec<Hash>,
    /// The checkpoint the path leads to.
    pub head: Arc<SignedHead>,
}

impl<M: Machine> Journal<M> {
    /// Records a draft; the answer comes when it is durable.
    ///
    /// # Errors
    /// [`AppendError`].
    pub async fn append(&self, draft: M::Draft) -> Result<Ack, AppendError<M::Refusal>> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append(Pending { draft, reply: Some(reply) });
        self.sender.send(command).await.map_err(|_| AppendError::Closed)?;
        self.shared.linger.call();
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Records a draft whose answer nobody waits for, without waiting for a place in the queue.
    ///
    /// # Errors
    /// The draft, where the queue is full or the journal closed; nothing was recorded then.
    pub fn append_unheard(&self, draft: M::Draft) -> Result<(), M::Draft> {
        match self.sender.try_reserve() {
            Ok(place) => {
                place.send(Command::Append(Pending { draft, reply: None }));
                Ok(())
            }
            Err(_) => Err(draft),
        }
    }

    /// [`Journal::append`] for threads. It must not be called on a thread that runs tasks.
    ///
    /// # Errors
    /// [`AppendError`].
    pub fn append_blocking(&self, draft: M::Draft) -> Result<Ack, AppendError<M::Refusal>> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Append(Pending { draft, reply: Some(reply) });
        self.sender.blocking_send(command).map_err(|_| AppendError::Closed)?;
        self.shared.linger.call();
        answer.blocking_recv().unwrap_or(Err(AppendError::Closed))
    }

    /// Records what waits, writes a last checkpoint, ends the threads and releases the lock. Later calls to append are
    /// answered `Closed`; reading goes on. It blocks, and must not be called on a thread that runs tasks.
    pub fn close(&self) {
        // Fails only when the committer has ended already.
        let _ = self.sender.blocking_send(Command::Close);
        self.shared.linger.call();
        self.threads.join();
    }

    /// Number of durable records.
    #[must_use]
    pub fn size(&self) -> u64 {
        *self.shared.durable.borrow()
    }

    /// Follows the number of durable records.
    #[must_use]
    pub fn tail(&self) -> watch::Receiver<u64> {
        self.shared.durable.subscribe()
    }

    /// Bytes of a durable record.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, seq: u64) -> Result<Vec<u8>, ReadError> {
        self.shared.reader.record(seq)
    }

    /// Durable records from `from` on, in order; the iterator ends at what is durable when it gets there.
    #[must_use]
    pub fn records(&self, from: u64) -> Records<'_> {
        Records::new(&self.shared.reader, from)
    }

    /// Every opening of a record, as `read` sees it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn openings<T>(&self, seq: u64, read: impl FnMut(&Opening<'_>) -> T) -> Result<Vec<T>, ReadError> {
        self.shared.reader.openings(seq, read)
    }

    /// The last checkpoint; `None` before the first record.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<SignedHead>> {
        self.shared.head.borrow().clone()
    }

    /// Follows checkpoints.
    #[must_use]
    pub fn checkpoints(&self) -> watch::Receiver<Option<Arc<SignedHead>>> {
        self.shared.head.subscribe()
    }

    /// A checkpoint over everything that is durable now.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn checkpoint_now(&self) -> Result<Arc<SignedHead>, SignError> {
        let (reply, answer) = oneshot::channel();
        self.shared.demand(reply);
        answer.await.unwrap_or(Err(SignError::Closed))
    }

    /// [`Journal::checkpoint_now`] for threads. It must not be called on a thread that runs tasks.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn checkpoint_now_blocking(&self) -> Result<Arc<SignedHead>, SignError> {
        let (reply, answer) = oneshot::channel();
        self.shared.demand(reply);
        answer.blocking_recv().unwrap_or(Err(SignError::Closed))
    }

    /// Proof that a record is under the last checkpoint. It was checked before it is given away.
    ///
    /// # Errors
    /// [`ReadError::NotCheckpointed`] for a record that is younger; else [`ReadError`].
    pub fn inclusion(&self, seq: u64) -> Result<Inclusion, ReadError> {
        self.prove(seq).map(|(_, inclusion)| inclusion)
    }

    /// The receipt of a record, with the record in it: [`Receipt::to_text`] is a `tlog-proof@v1` file.
    ///
    /// # Errors
    /// As [`Journal::inclusion`].
    pub fn receipt(&self, seq: u64) -> Result<Receipt, ReadError> {
        let (record, inclusion) = self.prove(seq)?;
        let Inclusion { hashes, head, .. } = inclusion;
        Ok(Receipt { extra: Some(record), index: seq, hashes, checkpoint: head.note.clone() })
    }

    fn prove(&self, seq: u64) -> Result<(Vec<u8>, Inclusion), ReadError> {
        let head = self.checkpoint().filter(|head| seq < head.checkpoint.size).ok_or(ReadError::NotCheckpointed(seq))?;
        let record = self.read(seq)?;
        let snapshot = self.snapshot();
        let hashes = Hashes::new(self.shared.disk.as_ref(), &snapshot);
        let leaf_hash = leaf_hash(&record);
        let path = inclusion_proof(seq, head.checkpoint.size, &hashes.reader())?;
        verify_inclusion(&leaf_hash, seq, head.checkpoint.size, &path, &head.checkpoint.root)?;
        Ok((record, Inclusion { seq, leaf_hash, hashes: path, head }))
    }

    /// Proof that the tree of `new` records extends that of `old`; both at most the size of the last checkpoint.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        let snapshot = self.snapshot();
        if old > new || new > snapshot.size {
            return Err(ReadError::Range);
        }
        let hashes = Hashes::new(self.shared.disk.as_ref(), &snapshot);
        let reader = hashes.reader();
        let proof = consistency_proof(old, new, &reader)?;
        verify_consistency(old, new, &proof, &root_at(old, &reader)?, &root_at(new, &reader)?)?;
        Ok(proof)
    }

    /// Root of the tree over the first `size` records; `size` is at most that of the last checkpoint.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn root(&self, size: u64) -> Result<Hash, ReadError> {
        let snapshot = self.snapshot();
        if size > snapshot.size {
            return Err(ReadError::Range);
        }
        let hashes = Hashes::new(self.shared.disk.as_ref(), &snapshot);
        Ok(root_at(size, &hashes.reader())?)
    }

    fn snapshot(&self) -> Arc<super::levels::Snapshot> {
        self.shared.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What ends with a thread, however it ends.
struct Ending {
    name: &'static str,
    shared: Arc<Shared>,
    space: Arc<Space>,
    on_fatal: OnFatal,
    _lock: Arc<dyn Send + Sync>,
}

impl Ending {
    fn report(&self, result: Result<(), Fatal>) {
        if let Err(fatal) = result {
            (self.on_fatal)(&fatal);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.on_fatal)(&Fatal::bug(self.name));
        }
        // Whichever thread ends first, none of the others may wait for it.
        match self.name {
            COMMITTER => {
                self.shared.close_intake();
                self.space.close();
            }
            INTEGRATOR => self.shared.integrator_gone(),
            _ => {}
        }
    }
}

const COMMITTER: &str = "marque-commit";
const INTEGRATOR: &str = "marque-tiles";
const ALLOCATOR: &str = "marque-space";
const READER: &str = "marque-earlier";

/// Starts the threads: three, and where a snapshot was gone on from, one that reads what lies before it and ends.
pub(crate) fn start<M: Machine>(
    core: Core<M>,
    integrator: Integrator,
    earlier: Option<Earlier>,
    lock: Box<dyn Send + Sync>,
) -> Result<Journal<M>, OpenError> {
    let (sender, receiver) = mpsc::channel(core.options.queue_drafts);
    let (shared, space) = (core.shared.clone(), core.space.clone());
    let lock: Arc<dyn Send + Sync> = Arc::from(lock);
    let ending = |name| Ending {
        name,
        shared: shared.clone(),
        space: space.clone(),
        on_fatal: core.options.on_fatal.clone(),
        _lock: lock.clone(),
    };
    let pace = Pace {
        events: core.options.checkpoint_events,
        age: std::time::Duration::from_millis(core.options.checkpoint_age_ms),
        gap: std::time::Duration::from_millis(core.options.checkpoint_gap_ms),
    };
    let [committer, tiles, allocator, reader] = [COMMITTER, INTEGRATOR, ALLOCATOR, READER].map(ending);
    let work_space = space.clone();
    let mut integrator = integrator;
    let (weak, shared_to_announce) = (sender.downgrade(), shared.clone());
    integrator.announce = Box::new(move |announcement| {
        shared_to_announce.intake().announcement = Some(announcement);
        if let Some(sender) = weak.upgrade() {
            // A committer whose queue is full is awake.
            let _ = sender.try_send(Command::Look);
        }
    });
    let mut threads = vec![
        spawn(tiles, move || integrator.run(pace))?,
        spawn(allocator, move || work_space.run())?,
        spawn(committer, move || commit(core, receiver))?,
    ];
    if let Some(earlier) = earlier {
        let to_read = shared.clone();
        threads.push(spawn(reader, move || earlier.run(&to_read))?);
    }
    Ok(Journal { sender, shared, threads: Arc::new(Threads(Mutex::new(threads))) })
}

fn spawn(ending: Ending, work: impl FnOnce() -> Result<(), Fatal> + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    let named = std::thread::Builder::new().name(ending.name.to_owned());
    let body = move || {
        let result = work();
        ending.report(result);
    };
    named.spawn(body).map_err(OpenError::Thread)
}

impl<M: Machine> Command<M> {
    const fn is_heard(&self) -> bool {
        !matches!(self, Self::Append(Pending { reply: None, .. }))
    }
}

/// The committer: what waits is one batch; while one batch is synced, the next one gathers. There is no timer for what
/// somebody waits for.
fn commit<M: Machine>(mut core: Core<M>, mut receiver: mpsc::Receiver<Command<M>>) -> Result<(), Fatal> {
    let mut queue = VecDeque::new();
    let mut received = Vec::with_capacity(core.options.batch_drafts);
    let mut open = true;
    while open || !queue.is_empty() {
        if queue.is_empty() && receiver.blocking_recv_many(&mut received, core.options.batch_drafts) == 0 {
            return Ok(());
        }
        // Whoever is ready to write goes first: on a busy core the first draft would else be a batch of its own.
        std::thread::yield_now();
        let most = core.options.batch_drafts.saturating_sub(queue.len());
        let mut heard = !queue.is_empty();
        let mut looked = 0;
        let mut gather = || {
            while received.len() < most
                && let Ok(command) = receiver.try_recv()
            {
                received.push(command);
            }
            heard = heard || received.get(looked..).is_some_and(|new| new.iter().any(Command::is_heard));
            looked = received.len();
            heard || looked >= most
        };
        if !gather() {
            core.shared.linger.rest(limits::LINGER, gather);
        }
        for command in received.drain(..) {
            match command {
                Command::Append(pending) => queue.push_back(pending),
                Command::Look => {}
                Command::Close => {
                    open = false;
                    // Whoever is behind this is answered `Closed`; whoever is before it is recorded.
                    receiver.close();
                }
            }
        }
        // It has no place in the queue, so that no load keeps it out.
        let announcement = core.shared.intake().announcement.take();
        if let Some(draft) = announcement.and_then(M::announce) {
            queue.push_front(Pending { draft, reply: None });
        }
        core.run_batch(&mut queue)?;
    }
    Ok(())
}
