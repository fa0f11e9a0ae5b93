//! Opening, checking, setting aside, and adding.

use super::{IndexError, Row, SCHEMA, check_version, connect, signed, unsigned};
use rusqlite::{Connection, OptionalExtension, params};
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const TABLES: &str = "
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE rec (
    seq INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, decision TEXT, service TEXT, effect TEXT
);
CREATE INDEX rec_time ON rec (time_ms);
CREATE INDEX rec_kind ON rec (kind);
CREATE INDEX rec_decision ON rec (decision) WHERE decision IS NOT NULL;
CREATE INDEX rec_service ON rec (service) WHERE service IS NOT NULL;
CREATE INDEX rec_effect ON rec (effect) WHERE effect IS NOT NULL;
CREATE TABLE code (code INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (code, seq)) WITHOUT ROWID;
CREATE TABLE touch (kind INTEGER NOT NULL, id BLOB NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (kind, id, seq)) WITHOUT ROWID;
";

/// The one writer of the index.
pub struct IndexWriter {
    connection: Connection,
    applied: u64,
    last_leaf: Option<[u8; 32]>,
}

/// An index that is open, and what was found in its place.
pub struct Opened {
    /// The index.
    pub writer: IndexWriter,
    /// Why what was there before was set aside, where it was.
    pub set_aside: Option<String>,
}

impl IndexWriter {
    /// Opens the index at `path`, or makes one. One that is damaged or of another journal is set aside as `….damaged`, and a
    /// new one is begun.
    ///
    /// # Errors
    /// [`IndexError`], never [`IndexError::Damaged`] for what is there.
    pub fn open(path: &Path, instance: [u8; 16]) -> Result<Opened, IndexError> {
        check_version()?;
        let set_aside = match Self::existing(path, instance) {
            Ok(Some(writer)) => return Ok(Opened { writer, set_aside: None }),
            Ok(None) => None,
            Err(IndexError::Damaged(why)) => {
                Self::set_aside(path)?;
                Some(why)
            }
            Err(other) => return Err(other),
        };
        Ok(Opened { writer: Self::create(path, instance)?, set_aside })
    }

    fn existing(path: &Path, instance: [u8; 16]) -> Result<Option<Self>, IndexError> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IndexError::Io { path: path.to_owned(), source }),
            Ok(found) if found.len() == 0 => {
                // The beginning of one that was interrupted.
                Self::remove(path)?;
                return Ok(None);
            }
            Ok(_) => {}
        }
        let connection = connect(path)?;
        let sound: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if sound != "ok" {
            return Err(IndexError::Damaged(sound));
        }
        let meta = |name: &str| -> Result<Option<Vec<u8>>, IndexError> {
            Ok(connection.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()?)
        };
        if meta("schema")?.as_deref() != Some(&SCHEMA.to_be_bytes()) {
            return Err(IndexError::Damaged("it is of another version".into()));
        }
        if meta("instance")?.as_deref() != Some(&instance) {
            return Err(IndexError::Damaged("it is of another journal".into()));
        }
        let number = |bytes: Vec<u8>| <[u8; 8]>::try_from(bytes).map(u64::from_be_bytes).ok();
        let applied = meta("applied")?.and_then(number).ok_or_else(|| IndexError::Damaged("it does not say how far it is".into()))?;
        let last_leaf = meta("last_leaf")?.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let (rows, newest): (i64, Option<i64>) = connection.query_row("SELECT count(*), max(seq) FROM rec", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let newest = newest.map(unsigned).transpose()?;
        if unsigned(rows)? != applied || newest.map_or(0, |newest| newest + 1) != applied {
            return Err(IndexError::Damaged(format!("it has {rows} rows of {applied} records")));
        }
        Ok(Some(Self { connection, applied, last_leaf }))
    }

    fn create(path: &Path, instance: [u8; 16]) -> Result<Self, IndexError> {
        Self::remove(path)?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        made.map_err(|source| IndexError::Io { path: path.to_owned(), source })?;
        let mut connection = connect(path)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        for (name, value) in [("schema", &SCHEMA.to_be_bytes()[..]), ("instance", &instance[..]), ("applied", &0_u64.to_be_bytes()[..])] {
            transaction.execute("INSERT INTO meta (name, value) VALUES (?1, ?2)", params![name, value])?;
        }
        transaction.commit()?;
        Ok(Self { connection, applied: 0, last_leaf: None })
    }

    /// Moves what is there out of the way, over what was moved before.
    ///
    /// # Errors
    /// Where the files cannot be moved.
    pub fn set_aside(path: &Path) -> Result<(), IndexError> {
        for suffix in ["", "-wal", "-shm"] {
            let from = with_suffix(path, suffix);
            let to = with_suffix(path, &format!(".damaged{suffix}"));
            move_or_skip(&from, || std::fs::rename(&from, &to))?;
        }
        Ok(())
    }

    fn remove(path: &Path) -> Result<(), IndexError> {
        for suffix in ["", "-wal", "-shm"] {
            let file = with_suffix(path, suffix);
            move_or_skip(&file, || std::fs::remove_file(&file))?;
        }
        Ok(())
    }

    /// Number of records that are in it.
    #[must_use]
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Leaf hash of the newest record that is in it.
    #[must_use]
    pub fn last_leaf(&self) -> Option<[u8; 32]> {
        self.last_leaf
    }

    /// Adds records in one transaction: the next ones, in order. `last_leaf` is the leaf hash of the last of them.
    ///
    /// # Errors
    /// [`IndexError`]; nothing of them is in it then.
    pub fn apply(&mut self, rows: &[Row], last_leaf: [u8; 32]) -> Result<(), IndexError> {
        let transaction = self.connection.transaction()?;
        let mut next = self.applied;
        {
            let mut rec = transaction.prepare("INSERT INTO rec VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
            let mut code = transaction.prepare("INSERT OR IGNORE INTO code VALUES (?1, ?2)")?;
            let mut touch = transaction.prepare("INSERT INTO touch VALUES (?1, ?2, ?3)")?;
            for row in rows {
                if row.seq != next {
                    return Err(IndexError::Damaged(format!("record {} does not follow {next} records", row.seq)));
                }
                next += 1;
                let seq = signed(row.seq);
                rec.execute(params![seq, signed(row.time_ms), row.kind, row.decision, row.service, row.effect])?;
                for one in &row.codes {
                    code.execute(params![one, seq])?;
                }
                for key in &row.keys {
                    touch.execute(params![key.kind, key.id, seq])?;
                }
            }
            let mut meta = transaction.prepare("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)")?;
            meta.execute(params!["applied", &next.to_be_bytes()[..]])?;
            meta.execute(params!["last_leaf", &last_leaf[..]])?;
        }
        transaction.commit()?;
        self.applied = next;
        self.last_leaf = Some(last_leaf);
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn move_or_skip(path: &Path, act: impl FnOnce() -> io::Result<()>) -> Result<(), IndexError> {
    match act() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(IndexError::Io { path: path.to_owned(), source: error }),
        _ => Ok(()),
    }
}
