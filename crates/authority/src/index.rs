//! The thread `index`: a projection of the durable journal for searching. Never on the way of an act, and never asked about one.

use crate::found;
use crate::machine::Fold;
use marque_journal::merkle::leaf_hash;
use marque_journal::record;
use marque_store::index::{IndexError, IndexReader, IndexWriter, Opened, Row};
use marque_store::Journal;
use parking_lot::Mutex;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Its file in the data directory.
const FILE: &str = "index.db";
/// Most records of one transaction.
const BATCH: usize = 1_000;
/// What comes within this time is one transaction, unless somebody searches or a batch is full.
const PACE: Duration = Duration::from_millis(100);
/// Pause after a disk that is full or failing.
const RETRY: Duration = Duration::from_secs(5);

/// How far the projection is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Records that are in it.
    pub(crate) applied: u64,
    /// Why it does not go on.
    pub(crate) trouble: Option<String>,
}

/// The rest of the program's hold on the thread.
pub(crate) struct Index {
    path: PathBuf,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    progress: watch::Sender<Progress>,
    /// Closed before a file is moved: SQLite removes the log of what it closes by its name, and that is the new file's then.
    reader: Mutex<Option<IndexReader>>,
    /// Somebody searches, found damage, or wants an end.
    poked: Notify,
    damaged: Mutex<Option<String>>,
    stop: watch::Sender<bool>,
}

impl Index {
    /// Starts the thread. Whatever it meets, it says and goes on: without it nothing but searching stops.
    pub(crate) fn start(data_dir: &std::path::Path, journal: Journal<Fold>, instance: [u8; 16], runtime: tokio::runtime::Handle) -> Self {
        let path = data_dir.join(FILE);
        let shared = Arc::new(Shared {
            progress: watch::Sender::default(),
            reader: Mutex::default(),
            poked: Notify::new(),
            damaged: Mutex::default(),
            stop: watch::Sender::new(false),
        });
        let projector = Projector { path: path.clone(), journal, instance, shared: shared.clone(), runtime };
        let thread = std::thread::Builder::new().name("index".into()).spawn(move || projector.run());
        if let Err(error) = &thread {
            shared.progress.send_modify(|progress| progress.trouble = Some(format!("its thread could not be started: {error}")));
        }
        Self { path, shared, thread: Mutex::new(thread.ok()) }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.shared.progress.borrow().clone()
    }

    /// Waits until `size` records are in it; how far it is when the time is over.
    pub(crate) async fn caught_up(&self, size: u64, within: Duration) -> Progress {
        let mut progress = self.shared.progress.subscribe();
        self.shared.poked.notify_one();
        let there = progress.wait_for(|progress| progress.applied >= size);
        // Late is answered by how far it is.
        let _ = tokio::time::timeout(within, there).await;
        self.progress()
    }

    /// Something that was searched for is not as the journal has it: it is built again.
    pub(crate) fn report(&self, why: &str) {
        *self.shared.damaged.lock() = Some(why.to_owned());
        self.shared.poked.notify_one();
    }

    /// Reads from it. Blocks: not for tasks.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&IndexReader) -> Result<T, IndexError>) -> Result<T, IndexError> {
        let mut slot = self.shared.reader.lock();
        match slot.as_ref() {
            Some(reader) => ask(reader),
            None => ask(slot.insert(IndexReader::open(&self.path)?)),
        }
    }

    /// Ends the thread. Blocks.
    pub(crate) fn close(&self) {
        self.shared.stop.send_replace(true);
        if let Some(thread) = self.thread.lock().take() {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
        *self.shared.reader.lock() = None;
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

struct Projector {
    path: PathBuf,
    journal: Journal<Fold>,
    instance: [u8; 16],
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
}

enum Trouble {
    Index(IndexError),
    Journal(String),
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

impl Projector {
    fn run(self) {
        let mut writer = None;
        while !*self.shared.stop.borrow() {
            let pause = match self.step(&mut writer) {
                Ok(()) => PACE,
                Err(trouble) => {
                    writer = None;
                    match trouble {
                        Trouble::Index(IndexError::Damaged(why)) => {
                            self.start_again(&why);
                            Duration::ZERO
                        }
                        Trouble::Index(other) => self.stuck(&other.to_string()),
                        Trouble::Journal(why) => self.stuck(&why),
                    }
                }
            };
            self.wait(pause);
        }
    }

    fn stuck(&self, why: &str) -> Duration {
        let changed = self.shared.progress.send_if_modified(|progress| {
            let news = progress.trouble.as_deref() != Some(why);
            progress.trouble = Some(why.to_owned());
            news
        });
        if changed {
            say(&format!("finding: {why}; searching waits, nothing else does"));
        }
        RETRY
    }

    fn start_again(&self, why: &str) {
        let moved = {
            let mut reader = self.shared.reader.lock();
            *reader = None;
            IndexWriter::set_aside(&self.path)
        };
        match moved {
            Ok(()) => self.begun_again(why),
            Err(error) => {
                self.stuck(&error.to_string());
            }
        }
    }

    fn begun_again(&self, why: &str) {
        say(&format!("finding: the search index was damaged ({why}): it is kept as `{FILE}.damaged` and built again from the journal; nothing is lost"));
        self.shared.progress.send_modify(|progress| *progress = Progress::default());
    }

    /// Brings the index to what is durable now.
    fn step(&self, writer: &mut Option<IndexWriter>) -> Result<(), Trouble> {
        if let Some(why) = self.shared.damaged.lock().take() {
            return Err(IndexError::Damaged(why).into());
        }
        let writer = match writer {
            Some(writer) => writer,
            None => writer.insert(self.open()?),
        };
        while writer.applied() < self.journal.size() && !*self.shared.stop.borrow() {
            let mut rows = Vec::with_capacity(BATCH);
            let mut last = None;
            for item in self.journal.records(writer.applied()).take(BATCH) {
                let (_, bytes) = item.map_err(|e| Trouble::Journal(format!("the journal cannot be read for the search index: {e}")))?;
                rows.push(row(&bytes).map_err(Trouble::Journal)?);
                last = Some(leaf_hash(&bytes));
            }
            let Some(last) = last else { break };
            writer.apply(&rows, last)?;
            self.shared.progress.send_modify(|progress| {
                progress.applied = writer.applied();
                progress.trouble = None;
            });
        }
        Ok(())
    }

    fn open(&self) -> Result<IndexWriter, Trouble> {
        let Opened { writer, set_aside } = {
            let mut reader = self.shared.reader.lock();
            *reader = None;
            IndexWriter::open(&self.path, self.instance)?
        };
        if let Some(why) = set_aside {
            self.begun_again(&why);
        }
        // It may be ahead of the journal, or of another one: a copy that was put in place.
        if let Some(newest) = writer.applied().checked_sub(1) {
            let bytes = self.journal.read(newest).map_err(|_| IndexError::Damaged("it knows records that the journal has not".into()))?;
            if writer.last_leaf() != Some(leaf_hash(&bytes)) {
                return Err(IndexError::Damaged("its newest record is not the journal's".into()).into());
            }
        }
        self.shared.progress.send_modify(|progress| {
            progress.applied = writer.applied();
            progress.trouble = None;
        });
        Ok(writer)
    }

    /// Until something is new; then a moment longer, so that what comes together is written together.
    fn wait(&self, pause: Duration) {
        let applied = self.shared.progress.borrow().applied;
        let (mut tail, mut stop) = (self.journal.tail(), self.shared.stop.subscribe());
        self.runtime.block_on(async {
            if pause == PACE {
                tokio::select! {
                    // A journal that is closed has nothing new.
                    _ = tail.wait_for(|size| *size > applied) => {}
                    () = self.shared.poked.notified() => return,
                    _ = stop.wait_for(|stop| *stop) => return,
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = tail.wait_for(|size| *size >= applied + BATCH as u64), if pause == PACE => {}
                () = self.shared.poked.notified() => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }
}

/// A line on stderr. A closed stderr has nobody to be told.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What the index holds of a record.
fn row(bytes: &[u8]) -> Result<Row, String> {
    let record = record::decode(bytes).map_err(|e| e.to_string())?;
    found::row(&record).map_err(|e| e.to_string())
}
