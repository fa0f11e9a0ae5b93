//! Witnesses: who outside is shown every checkpoint, how far they are, and what they have seen that this directory has not.
//!
//! They are asked beside the work, never on the way of a use: one that is down delays nothing and is reported. One that has
//! seen a longer journal, or another one, proves that this directory is an older copy or was changed: nothing is admitted.

use crate::Error;
use crate::authority::Authority;
use crate::machine::Fold;
use marque_api::control::WitnessView;
use marque_api::{Code, Problem};
use marque_journal::checkpoint::SignedCheckpoint;
use marque_journal::cosign;
use marque_journal::note::{Note, SignatureLine, SignatureType, VerifierKey};
use marque_journal::witness::{AddCheckpoint, Answer};
use marque_store::disk::{Disk, RealDisk, read_file, replace_file};
use marque_store::{Journal, SignedHead};
use marque_witness::Endpoint;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The witnesses of this journal, a line each: address and verifier key.
const FILE: &str = "witnesses";
/// The newest checkpoint that a witness cosigned, with its cosignatures, beside the one that only the log signed.
const COSIGNED: &str = "journal/checkpoint.cosigned";
/// What a change of the list is recorded as.
pub(crate) const APPLIED: &str = "witnesses";
/// Most witnesses.
const WITNESSES_MAX: usize = 8;
/// Longest list, in bytes.
const LIST_BYTES_MAX: u64 = 64 * 1024;
/// Least time between two rounds.
const ROUND_GAP: Duration = Duration::from_secs(2);
/// Pause after a round in which a witness failed, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(30));
/// A cosignature whose time is further from ours than this was not made now, seconds.
const SKEW_S: u64 = 300;
/// How long an orderly end waits for its last checkpoint to be cosigned.
const LAST_ROUND: Duration = Duration::from_secs(1);

/// One witness, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessAt {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its key.
    pub key: VerifierKey,
}

impl WitnessAt {
    /// A witness from its address and the text of its verifier key.
    ///
    /// # Errors
    /// What is wrong with either.
    pub fn new(url: &str, vkey: &str) -> Result<Self, String> {
        let endpoint = Endpoint::from_url(url).ok_or_else(|| format!("`{url}` is not `http://host:port`"))?;
        let key = VerifierKey::parse(vkey.trim()).map_err(|e| e.to_string())?;
        match key.kind() {
            SignatureType::CosignatureV1 => Ok(Self { endpoint, key }),
            SignatureType::Ed25519 => Err(format!("`{}` is a log's key and not a witness's", key.name())),
        }
    }

    /// The latest checkpoint of that log which this witness cosigned: signed by both.
    ///
    /// # Errors
    /// Where it does not answer, or what it says is not signed by both.
    pub async fn latest(&self, log: &VerifierKey) -> Result<Option<SignedCheckpoint>, String> {
        let Some(note) = self.endpoint.latest(log.name()).await.map_err(|e| e.to_string())? else { return Ok(None) };
        let signed = SignedCheckpoint::open(note.to_string().as_bytes(), log).map_err(|e| e.to_string())?;
        match signed.witnessed_by(std::slice::from_ref(&self.key)) {
            Ok(1) => Ok(Some(signed)),
            Ok(_) => Err("its checkpoint is not cosigned by it".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// How far a witness is.
#[derive(Default)]
struct Reached {
    /// Size that it cosigned last, as far as is known.
    size: u64,
    /// Its time of that cosignature, seconds since 1970.
    time_s: Option<u64>,
    /// What went wrong when it was asked last.
    trouble: Option<String>,
}

struct Watched {
    at: WitnessAt,
    reached: Mutex<Reached>,
}

/// All witnesses of a journal.
pub(crate) struct Witnesses {
    disk: RealDisk,
    list: Vec<Arc<Watched>>,
    log: VerifierKey,
    digest: [u8; 32],
    /// What a witness proved that this directory does not hold. It stays until another process starts on another directory.
    overtaken: Mutex<Option<Problem>>,
    /// One round at a time.
    round: tokio::sync::Mutex<()>,
}

/// What a witness showed.
enum Shown {
    Cosigned(SignatureLine),
    /// It holds a history that ours does not contain.
    Overtaken(String),
    Trouble(String),
}

impl Witnesses {
    /// The witnesses that are given now, or those that were given before.
    pub(crate) fn open(data_dir: &Path, given: Option<&[WitnessAt]>, vkey: &str) -> Result<Self, Error> {
        let io = |source| Error::Io { path: FILE.into(), source };
        let disk = RealDisk::open(data_dir).map_err(io)?;
        let log = VerifierKey::parse(vkey).map_err(|e| Error::Journal(e.to_string()))?;
        let refuse = |why: String| Error::Refused(Problem::new(Code::INPUT, why, "write `--witness http://host:port=FILE`"));
        let before = read_file(&disk, FILE, LIST_BYTES_MAX).map_err(io)?;
        let before = before.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let text = match given {
            Some(given) => given.iter().map(|at| format!("{} {}\n", at.endpoint, at.key)).collect(),
            None => before.clone(),
        };
        let mut list = Vec::new();
        for line in text.lines() {
            let (url, key) = line.split_once(' ').ok_or_else(|| refuse(format!("`{FILE}` of the data directory is damaged")))?;
            let at = WitnessAt::new(url, key).map_err(refuse)?;
            list.push(Arc::new(Watched { at, reached: Mutex::default() }));
        }
        if list.len() > WITNESSES_MAX {
            return Err(refuse(format!("more than {WITNESSES_MAX} witnesses")));
        }
        if text != before {
            replace_file(&disk, FILE, text.as_bytes()).map_err(io)?;
        }
        let digest = marque_journal::merkle::sha256(text.as_bytes());
        let this = Self { disk, list, log, digest, overtaken: Mutex::default(), round: tokio::sync::Mutex::default() };
        this.recall();
        Ok(this)
    }

    /// What the stored checkpoint says of each: a start of the next proof, and nothing that is believed.
    fn recall(&self) {
        let Ok(Some(bytes)) = read_file(&self.disk, COSIGNED, LIST_BYTES_MAX) else { return };
        let Ok(signed) = SignedCheckpoint::open(&bytes, &self.log) else { return };
        for watched in &self.list {
            let time = signed.note.signatures().iter().find_map(|line| time_of(&signed.note, line, &watched.at.key));
            if let Some(time_s) = time {
                *watched.reached.lock() = Reached { size: signed.checkpoint.size, time_s: Some(time_s), trouble: None };
            }
        }
    }

    /// Digest of the list, where it is not what the journal says is in force.
    pub(crate) fn changed(&self, applied: Option<&[u8; 32]>) -> Option<[u8; 32]> {
        match applied {
            Some(applied) if *applied == self.digest => None,
            None if self.list.is_empty() => None,
            _ => Some(self.digest),
        }
    }

    /// Whether something may still be recorded that is not essential.
    pub(crate) fn admits(&self) -> Result<(), Problem> {
        match self.list.is_empty() {
            true => Ok(()),
            false => self.overtaken.lock().clone().map_or(Ok(()), Err),
        }
    }

    /// How far each is, for people.
    pub(crate) fn views(&self, records: u64) -> Vec<WitnessView> {
        let view = |watched: &Arc<Watched>| {
            let reached = watched.reached.lock();
            WitnessView {
                url: watched.at.endpoint.to_string(),
                name: watched.at.key.name().to_owned(),
                records: reached.size,
                behind: records.saturating_sub(reached.size),
                cosigned_s: reached.time_s,
                trouble: reached.trouble.clone(),
            }
        };
        self.list.iter().map(view).collect()
    }

    fn troubled(&self) -> bool {
        self.list.iter().any(|watched| watched.reached.lock().trouble.is_some())
    }

    fn behind(&self, size: u64) -> bool {
        self.list.iter().any(|watched| watched.reached.lock().size < size)
    }

    /// Shows the head to every witness at once, and stores what they cosigned.
    async fn round(&self, journal: &Journal<Fold>, head: &SignedHead) {
        let _one = self.round.lock().await;
        let mut asking = tokio::task::JoinSet::new();
        for watched in &self.list {
            let (watched, journal, head, log) = (watched.clone(), journal.clone(), head.clone(), self.log.clone());
            asking.spawn(async move {
                let shown = show(&watched, &journal, &head, &log).await;
                (watched, shown)
            });
        }
        let mut lines = Vec::new();
        while let Some(done) = asking.join_next().await {
            // A task that panicked was reported; its witness is as far as it was.
            let Ok((watched, shown)) = done else { continue };
            let mut reached = watched.reached.lock();
            match shown {
                Shown::Cosigned(line) => {
                    let time_s = time_of(&head.note, &line, &watched.at.key);
                    *reached = Reached { size: head.checkpoint.size, time_s, trouble: None };
                    lines.push(line);
                }
                Shown::Trouble(why) => reached.trouble = Some(why),
                Shown::Overtaken(why) => {
                    reached.trouble = Some(why.clone());
                    let detail = format!("the witness {} {why}", watched.at.endpoint);
                    let help = "put the newest data directory back in place, or find out who changed this one";
                    *self.overtaken.lock() = Some(Problem::new(Code::WITNESSED_OTHERWISE, detail, help));
                }
            }
        }
        if !lines.is_empty() {
            let mut note = head.note.clone();
            lines.into_iter().for_each(|line| note.push(line));
            // A convenience for whoever verifies: the witness holds it too.
            let _ = replace_file(&self.disk as &dyn Disk, COSIGNED, note.to_string().as_bytes());
        }
    }
}

/// The time of a cosignature that verifies.
fn time_of(note: &Note, line: &SignatureLine, key: &VerifierKey) -> Option<u64> {
    if line.name != key.name() || line.key_id != key.key_id() {
        return None;
    }
    cosign::verify(key.public_key(), note.text().as_bytes(), &line.signature).ok()
}

/// Shows a checkpoint to one witness. Sizes that it claims cost one more question, and count when they are proven.
async fn show(watched: &Watched, journal: &Journal<Fold>, head: &SignedHead, log: &VerifierKey) -> Shown {
    let mut old_size = watched.reached.lock().size.min(head.checkpoint.size);
    for _ in 0..3 {
        let Ok(proof) = journal.consistency(old_size, head.checkpoint.size) else {
            return Shown::Trouble("a consistency proof cannot be made".into());
        };
        let request = AddCheckpoint { old_size, proof, note: head.note.clone() };
        match watched.at.endpoint.add_checkpoint(&request).await {
            Err(error) => return Shown::Trouble(error.to_string()),
            Ok(Answer::Cosigned(lines)) => return cosigned(watched, head, lines),
            Ok(Answer::Conflict { size }) if size < head.checkpoint.size && size != old_size => old_size = size,
            Ok(Answer::Conflict { .. } | Answer::Refused { status: 422 }) => return otherwise(watched, journal, head, log).await,
            Ok(Answer::Refused { status: 404 }) => return Shown::Trouble("it does not know this log: start it with `--log`".into()),
            Ok(Answer::Refused { status }) => return Shown::Trouble(format!("it refuses with status {status}")),
        }
    }
    Shown::Trouble("its size changes faster than it can be asked".into())
}

fn cosigned(watched: &Watched, head: &SignedHead, lines: Vec<SignatureLine>) -> Shown {
    let key = &watched.at.key;
    let Some((line, time_s)) = lines.into_iter().find_map(|line| time_of(&head.note, &line, key).map(|time| (line, time))) else {
        return Shown::Trouble("its cosignature does not verify with its key".into());
    };
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match now_s.abs_diff(time_s) > SKEW_S {
        // An old answer, played back: whoever stands between could hide a larger tree with it.
        true => Shown::Trouble(format!("its cosignature is {} s from our time: not made now, or a clock is wrong", now_s.abs_diff(time_s))),
        false => Shown::Cosigned(line),
    }
}

/// The witness holds something else than we expected: is it more than we have, or not what we have? Only what both keys
/// signed says so.
async fn otherwise(watched: &Watched, journal: &Journal<Fold>, head: &SignedHead, log: &VerifierKey) -> Shown {
    let latest = match watched.at.latest(log).await {
        Ok(Some(latest)) => latest.checkpoint,
        Ok(None) => return Shown::Trouble("it refuses our checkpoint and shows none of its own".into()),
        Err(why) => return Shown::Trouble(format!("it refuses our checkpoint, and {why}")),
    };
    let ours = head.checkpoint.size;
    if latest.size > ours {
        let why = format!("has seen {} records of this journal, which has {ours}: this is an older copy", latest.size);
        return Shown::Overtaken(why);
    }
    match journal.root(latest.size) {
        Ok(root) if root != latest.root => {
            Shown::Overtaken(format!("has seen other {} records than the first ones of this journal: it was changed", latest.size))
        }
        Ok(_) => {
            watched.reached.lock().size = latest.size;
            Shown::Trouble("it refused our checkpoint, although it extends its own".into())
        }
        Err(error) => Shown::Trouble(error.to_string()),
    }
}

impl Authority {
    /// Asks every witness before anything is recorded. One that proves a longer journal, or another one, keeps the authority
    /// from starting; one that does not answer is reported by [`Authority::witness_troubles`].
    ///
    /// # Errors
    /// [`Code::WITNESSED_OTHERWISE`].
    pub(crate) async fn ask_witnesses(&self) -> Result<(), Error> {
        let witnesses = &self.witnesses;
        let Some(head) = self.journal.checkpoint().filter(|_| !witnesses.list.is_empty()) else { return Ok(()) };
        if marque_switch::guard_off("I10") {
            return Ok(());
        }
        witnesses.round(&self.journal, &head).await;
        witnesses.admits().map_err(Error::Refused)
    }

    /// Shows new checkpoints to the witnesses, for as long as the process lives.
    pub(crate) fn follow_with_witnesses(self: &Arc<Self>) {
        if self.witnesses.list.is_empty() {
            return;
        }
        let (this, mut heads) = (self.clone(), self.journal.checkpoints());
        tokio::spawn(async move {
            let mut retry = RETRY.0;
            loop {
                let head = heads.borrow_and_update().clone();
                let head = head.filter(|head| this.witnesses.behind(head.checkpoint.size) || this.witnesses.troubled());
                if let Some(head) = head {
                    this.witnesses.round(&this.journal, &head).await;
                }
                let pause = if this.witnesses.troubled() { retry } else { ROUND_GAP };
                retry = if this.witnesses.troubled() { (retry * 2).min(RETRY.1) } else { RETRY.0 };
                tokio::time::sleep(pause).await;
                if !this.witnesses.troubled() && heads.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// The last checkpoint, for the witnesses that answered before: an orderly end leaves nothing unwitnessed, and waits for
    /// nobody who is down.
    pub(crate) async fn last_round(&self) {
        let witnesses = &self.witnesses;
        let Some(head) = self.journal.checkpoint() else { return };
        if witnesses.behind(head.checkpoint.size) && !witnesses.troubled() {
            // What takes longer is shown by the next start.
            let _ = tokio::time::timeout(LAST_ROUND, witnesses.round(&self.journal, &head)).await;
        }
    }

    /// What is wrong with witnesses, a sentence each.
    #[must_use]
    pub fn witness_troubles(&self) -> Vec<String> {
        let views = self.witnesses.views(self.journal.size());
        views.into_iter().filter_map(|view| view.trouble.map(|why| format!("the witness {}: {why}", view.url))).collect()
    }
}
