//! The search index: a projection of the journal in SQLite. It can be deleted at any time and is built again; nothing is decided
//! by it, and no answer is believed that the journal does not confirm.

mod read;
mod write;

pub use read::{Candidates, IndexReader, KeyRow};
pub use write::{IndexWriter, Opened};

use crate::limits::INDEX_PAGE_CACHE_KIB;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Least version of SQLite, as it numbers itself: 3.7.0 to 3.51.2 can lose committed transactions when a checkpoint of the
/// write-ahead log races a writer (sqlite.org/wal.html, "the WAL-reset bug").
const VERSION_MIN: i32 = 3_051_003;
/// Changes with the tables: an index of another version is built again.
const SCHEMA: i64 = 1;

/// A key that a record touches, as its backlink names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyOf {
    /// Number of the key's kind.
    pub kind: u8,
    /// Its id.
    pub id: Vec<u8>,
}

/// What the index holds of one record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Row {
    /// Position in the journal.
    pub seq: u64,
    /// Milliseconds since 1970, never below the record before.
    pub time_ms: u64,
    /// Kind.
    pub kind: String,
    /// What was decided, in a word, where something was.
    pub decision: Option<String>,
    /// Service or host.
    pub service: Option<String>,
    /// Effect.
    pub effect: Option<String>,
    /// Codes of refusals.
    pub codes: Vec<u16>,
    /// Its keys.
    pub keys: Vec<KeyOf>,
}

/// Why the index does not do what it is asked. None of it is a loss: the journal has everything.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IndexError {
    /// The SQLite in this program is too old.
    #[error("SQLite {0} can lose transactions; 3.51.3 is the oldest that is used")]
    TooOld(&'static str),
    /// The file is not an index of this journal, or not whole.
    #[error("the search index is damaged: {0}")]
    Damaged(String),
    /// No space, no permission, a failing disk.
    #[error("the search index cannot be used: {0}")]
    Unavailable(String),
    /// A file could not be moved or made.
    #[error("`{path}`: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        let passing = [
            ErrorCode::DiskFull,
            ErrorCode::SystemIoFailure,
            ErrorCode::CannotOpen,
            ErrorCode::PermissionDenied,
            ErrorCode::ReadOnly,
            ErrorCode::OutOfMemory,
            ErrorCode::DatabaseBusy,
            ErrorCode::DatabaseLocked,
        ];
        match error.sqlite_error_code() {
            Some(code) if passing.contains(&code) => Self::Unavailable(error.to_string()),
            // Not a database, damaged pages, tables or columns that are not there, values of another type.
            _ => Self::Damaged(error.to_string()),
        }
    }
}

/// Fails where the SQLite in this program has the bug that loses transactions.
///
/// # Errors
/// [`IndexError::TooOld`].
pub fn check_version() -> Result<(), IndexError> {
    if rusqlite::version_number() < VERSION_MIN { Err(IndexError::TooOld(rusqlite::version())) } else { Ok(()) }
}

fn connect(path: &Path) -> Result<Connection, IndexError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -INDEX_PAGE_CACHE_KIB)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(connection)
}

/// SQLite's integers are signed; the journal's never pass 2^63.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, IndexError> {
    u64::try_from(number).map_err(|_| IndexError::Damaged(format!("{number} is no sequence")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlite_in_this_program_does_not_lose_transactions() {
        check_version().unwrap();
        assert!(rusqlite::version_number() >= VERSION_MIN);
    }
}
