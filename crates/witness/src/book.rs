//! What a witness remembers, and the one step in which it checks, writes and cosigns.

use crate::limits::LOGS_MAX;
use marque_journal::checkpoint::{Checkpoint, SignedCheckpoint};
use marque_journal::cosign::cosign;
use marque_journal::limits::MAX_NOTE_BYTES;
use marque_journal::merkle::sha256;
use marque_journal::note::{Ed25519Signer, Note, NoteError, SignatureLine, SignatureType, Signer, VerifierKey};
use marque_journal::witness::{AddCheckpoint, Decision, decide};
use marque_store::disk::{Disk, read_file, replace_file};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

const KEY: &str = "key";
const VKEY: &str = "witness.vkey";
const LOGS: &str = "logs";

/// Why a witness does not start or answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BookError {
    /// Another process has the directory.
    #[error("another witness has this directory open")]
    Locked,
    /// What it remembers cannot be read. A witness that forgets is none.
    #[error("`{0}` is damaged: a witness that forgets is none, so it does not start")]
    Damaged(String),
    /// The log is known under another key.
    #[error("the log `{0}` is known under another key")]
    OtherKey(String),
    /// Not a log's key.
    #[error("`{0}` is not a log's verifier key")]
    NotALog(String),
    /// Too many logs.
    #[error("more than {LOGS_MAX} logs")]
    TooMany,
    /// No randomness.
    #[error("the kernel gives no randomness")]
    Random,
    /// The key did not sign.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The system refused.
    #[error("`{path}`: {source}")]
    Io {
        /// Which file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// What is answered to `add-checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The cosignature; the checkpoint is durable as the latest one.
    Cosigned(SignatureLine),
    /// Why not.
    Refused(Decision),
}

/// The file in a witness's directory that holds the latest checkpoint of a log, with its cosignature.
#[must_use]
pub fn file_of(origin: &str) -> String {
    format!("{LOGS}/{}.checkpoint", name_of(origin))
}

/// A log's name as it stands in addresses and names of files: SHA-256 of its origin, in hex.
pub(crate) fn name_of(origin: &str) -> String {
    sha256(origin.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn io_of(path: &str) -> impl FnOnce(io::Error) -> BookError {
    let path = path.to_owned();
    move |source| BookError::Io { path, source }
}

/// A witness: its key, the logs that it knows, and the latest checkpoint that it cosigned of each.
pub struct Book {
    disk: Arc<dyn Disk>,
    key: Ed25519Signer,
    logs: Vec<VerifierKey>,
    /// By origin. Locked from the check of a request to the end of its write.
    latest: Mutex<BTreeMap<String, SignedCheckpoint>>,
    _lock: Box<dyn Send + Sync>,
}

impl Book {
    /// Opens the directory of a witness, which is made when it is empty, with these logs beside those that it knows.
    ///
    /// # Errors
    /// [`BookError`]. Whatever it remembers and cannot read keeps it from starting.
    pub fn open(disk: Arc<dyn Disk>, logs: &[VerifierKey]) -> Result<Self, BookError> {
        let lock = disk.lock("lock").map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => BookError::Locked,
            _ => io_of("lock")(source),
        })?;
        disk.create_dirs(LOGS).map_err(io_of(LOGS))?;
        disk.sync_dir("").map_err(io_of("."))?;
        let key = own_key(disk.as_ref())?;
        let mut book = Self { disk, key, logs: Vec::new(), latest: Mutex::default(), _lock: lock };
        book.read_logs()?;
        for log in logs {
            book.learn(log)?;
        }
        let vkey = format!("{}\n", book.verifier()?);
        replace_file(book.disk.as_ref(), VKEY, vkey.as_bytes()).map_err(io_of(VKEY))?;
        Ok(book)
    }

    /// The key that others verify its cosignatures with.
    ///
    /// # Errors
    /// [`BookError::Note`].
    pub fn verifier(&self) -> Result<VerifierKey, BookError> {
        Ok(self.key.verifier(SignatureType::CosignatureV1)?)
    }

    /// The logs that it knows.
    #[must_use]
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// The latest checkpoint that it cosigned of the log of that name, with its cosignature.
    #[must_use]
    pub fn latest(&self, name: &str) -> Option<Note> {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().find(|(origin, _)| name_of(origin) == name).map(|(_, signed)| signed.note.clone())
    }

    /// Answers a request at `now_s`. The check, the write and the memory change are one step: two requests at once are
    /// judged one after the other, and a cosignature leaves when the checkpoint is durable.
    ///
    /// # Errors
    /// Where it cannot be made durable; nothing is given away then.
    pub fn add(&self, body: &[u8], now_s: u64) -> Result<Reply, BookError> {
        let Some(request) = AddCheckpoint::parse(body) else { return Ok(Reply::Refused(Decision::BadRequest)) };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = |origin: &str| latest.get(origin).map(|signed| signed.checkpoint.clone());
        let next = match decide(&request, &self.logs, last) {
            Decision::Cosign(next) => next,
            refused => return Ok(Reply::Refused(refused)),
        };
        let line = cosign(request.note.text(), now_s, &self.key)?;
        let signed = self.kept(&request.note, next, line.clone())?;
        let path = file_of(&signed.checkpoint.origin);
        replace_file(self.disk.as_ref(), &path, signed.note.to_string().as_bytes()).map_err(io_of(&path))?;
        latest.insert(signed.checkpoint.origin.clone(), signed);
        Ok(Reply::Cosigned(line))
    }

    /// The log's own signature and ours, and nothing else of what came.
    fn kept(&self, note: &Note, checkpoint: Checkpoint, line: SignatureLine) -> Result<SignedCheckpoint, BookError> {
        let mut kept = Note::unsigned(note.text().to_owned())?;
        let log = self.logs.iter().find(|log| log.name() == checkpoint.origin);
        let own = |candidate: &&SignatureLine| log.is_some_and(|log| log.name() == candidate.name && log.key_id() == candidate.key_id);
        if let Some(signature) = note.signatures().iter().find(own) {
            kept.push(signature.clone());
        }
        kept.push(line);
        Ok(SignedCheckpoint { checkpoint, note: kept })
    }

    fn read_logs(&mut self) -> Result<(), BookError> {
        let mut names = self.disk.list(LOGS).map_err(io_of(LOGS))?;
        names.sort();
        for name in names.iter().filter(|name| name.ends_with(".vkey")) {
            let path = format!("{LOGS}/{name}");
            let damaged = || BookError::Damaged(path.clone());
            let bytes = read_file(self.disk.as_ref(), &path, MAX_NOTE_BYTES as u64).map_err(io_of(&path))?.ok_or_else(damaged)?;
            let text = std::str::from_utf8(&bytes).map_err(|_| damaged())?;
            let log = VerifierKey::parse(text.trim_end()).map_err(|_| damaged())?;
            if *name != format!("{}.vkey", name_of(log.name())) {
                return Err(damaged());
            }
            self.logs.push(log);
        }
        // A checkpoint without its log is a memory that nobody could use: something is missing.
        for name in names.iter().filter_map(|name| name.strip_suffix(".checkpoint")) {
            let path = format!("{LOGS}/{name}.checkpoint");
            let damaged = || BookError::Damaged(path.clone());
            let log = self.logs.iter().find(|log| name_of(log.name()) == name).ok_or_else(damaged)?;
            let bytes = read_file(self.disk.as_ref(), &path, MAX_NOTE_BYTES as u64).map_err(io_of(&path))?.ok_or_else(damaged)?;
            let signed = SignedCheckpoint::open(&bytes, log).map_err(|_| damaged())?;
            if signed.witnessed_by(&[self.key.verifier(SignatureType::CosignatureV1)?]) != Ok(1) {
                return Err(damaged());
            }
            let latest = self.latest.get_mut().unwrap_or_else(PoisonError::into_inner);
            latest.insert(log.name().to_owned(), signed);
        }
        Ok(())
    }

    fn learn(&mut self, log: &VerifierKey) -> Result<(), BookError> {
        if log.kind() != SignatureType::Ed25519 {
            return Err(BookError::NotALog(log.to_string()));
        }
        match self.logs.iter().find(|known| known.name() == log.name()) {
            Some(known) if known == log => return Ok(()),
            Some(_) => return Err(BookError::OtherKey(log.name().to_owned())),
            None if self.logs.len() >= LOGS_MAX => return Err(BookError::TooMany),
            None => {}
        }
        let path = format!("{LOGS}/{}.vkey", name_of(log.name()));
        replace_file(self.disk.as_ref(), &path, format!("{log}\n").as_bytes()).map_err(io_of(&path))?;
        self.logs.push(log.clone());
        Ok(())
    }
}

/// The witness's key, made when there is none. Its name is taken from it, so that two witnesses never share one.
fn own_key(disk: &dyn Disk) -> Result<Ed25519Signer, BookError> {
    let seed = match read_file(disk, KEY, 64).map_err(io_of(KEY))? {
        Some(bytes) => <[u8; 32]>::try_from(bytes).map_err(|_| BookError::Damaged(KEY.to_owned()))?,
        None => {
            // A memory without a key is of another witness.
            if !disk.list(LOGS).map_err(io_of(LOGS))?.is_empty() {
                return Err(BookError::Damaged(KEY.to_owned()));
            }
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| BookError::Random)?;
            replace_file(disk, KEY, &seed).map_err(io_of(KEY))?;
            seed
        }
    };
    let unnamed = Ed25519Signer::from_seed("witness", &seed)?;
    let name: String = unnamed.public_key().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(Ed25519Signer::from_seed(&format!("marque.local/witness/{name}"), &seed)?)
}
