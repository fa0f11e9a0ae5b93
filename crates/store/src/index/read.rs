//! Asking. Answers are positions in ascending order; what stands at them is read from the journal.

use super::{IndexError, KeyOf, connect, signed, unsigned};
use rusqlite::types::Value;
use rusqlite::{Connection, params, params_from_iter};
use std::path::Path;

/// Columns that have to be equal. None set: every record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidates {
    /// Kind.
    pub kind: Option<String>,
    /// Decision.
    pub decision: Option<String>,
    /// Service.
    pub service: Option<String>,
    /// Effect.
    pub effect: Option<String>,
    /// Code.
    pub code: Option<u16>,
}

/// A record that touches a key.
pub type KeyRow = u64;

/// A reader of the index.
pub struct IndexReader {
    connection: Connection,
}

impl IndexReader {
    /// Opens the index that the writer made.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let connection = connect(path)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection })
    }

    /// Records from `from` on that touch the key, at most `most`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn touching(&self, key: &KeyOf, from: u64, most: usize) -> Result<Vec<KeyRow>, IndexError> {
        let sql = "SELECT seq FROM touch WHERE kind = ?1 AND id = ?2 AND seq >= ?3 ORDER BY seq LIMIT ?4";
        let mut statement = self.connection.prepare(sql)?;
        let rows = statement.query_map(params![key.kind, key.id, signed(from), signed(most as u64)], |row| row.get::<_, i64>(0))?;
        rows.map(|row| unsigned(row?)).collect()
    }

    /// Records in `from..to` with these columns, at most `most`.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn candidates(&self, wanted: &Candidates, from: u64, to: u64, most: usize) -> Result<Vec<u64>, IndexError> {
        let mut sql = String::from("SELECT rec.seq FROM rec WHERE rec.seq >= ?1 AND rec.seq < ?2");
        let mut values = vec![Value::from(signed(from)), Value::from(signed(to))];
        let columns = [("kind", &wanted.kind), ("decision", &wanted.decision), ("service", &wanted.service), ("effect", &wanted.effect)];
        for (column, value) in columns {
            if let Some(value) = value {
                values.push(Value::from(value.clone()));
                sql.push_str(&format!(" AND rec.{column} = ?{}", values.len()));
            }
        }
        if let Some(code) = wanted.code {
            values.push(Value::from(i64::from(code)));
            sql.push_str(&format!(" AND EXISTS (SELECT 1 FROM code WHERE code.code = ?{} AND code.seq = rec.seq)", values.len()));
        }
        values.push(Value::from(signed(most as u64)));
        sql.push_str(&format!(" ORDER BY rec.seq LIMIT ?{}", values.len()));
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, i64>(0))?;
        rows.map(|row| unsigned(row?)).collect()
    }

    /// How many records of `from..to` are in it: all of them, or it was tampered with.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn count(&self, from: u64, to: u64) -> Result<u64, IndexError> {
        let mut statement = self.connection.prepare("SELECT count(*) FROM rec WHERE seq >= ?1 AND seq < ?2")?;
        unsigned(statement.query_row(params![signed(from), signed(to)], |row| row.get(0))?)
    }

    /// The first record at or after a moment; `None` where all are before it.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn first_at(&self, time_ms: u64) -> Result<Option<u64>, IndexError> {
        let mut statement = self.connection.prepare("SELECT min(seq) FROM rec WHERE time_ms >= ?1")?;
        let found: Option<i64> = statement.query_row(params![signed(time_ms)], |row| row.get(0))?;
        found.map(unsigned).transpose()
    }
}
