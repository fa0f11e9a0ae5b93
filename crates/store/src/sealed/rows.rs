//! The secrets file's bytes.

use super::aead::bind;
use crate::limits::{ROW_ID_BYTES, SECRET_ROWS, WRAPPED_KEY_BYTES};
use marque_journal::cbor::{CborError, Reader, Writer};
use marque_journal::merkle::{Hash, sha256};
use std::collections::BTreeMap;

const VERSION: u64 = 1;

/// What a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Table {
    /// A version of a credential.
    Credential = 1,
    /// The key of a data subject's openings.
    Subject = 2,
}

/// Where a row is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub table: Table,
    pub id: Vec<u8>,
    pub version: u32,
}

/// A sealed row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Term of the key that wraps the data key.
    pub term: u64,
    /// The data key, wrapped.
    pub wrapped: Vec<u8>,
    /// Commitment, ciphertext and tag.
    pub sealed: Vec<u8>,
}

impl Place {
    /// What the ciphertext is bound to.
    pub(crate) fn aad(&self, instance: &[u8; 16]) -> Vec<u8> {
        bind(&[b"marque/row/v1", instance, &[self.table as u8], &self.id, &self.version.to_be_bytes()])
    }

    /// What the wrapped data key is bound to: the same, and the term.
    pub(crate) fn wrap_aad(&self, instance: &[u8; 16], term: u64) -> Vec<u8> {
        bind(&[b"marque/wrap/v1", &self.aad(instance), &term.to_be_bytes()])
    }

    /// What the journal remembers of a row. The wrapping is left out: it changes with each term, the content does not.
    pub(crate) fn row_hash(&self, instance: &[u8; 16], row: &Row) -> Hash {
        sha256(&bind(&[b"marque/row-hash/v1", &self.aad(instance), &row.sealed]))
    }
}

pub(crate) fn encode(instance: &[u8; 16], rows: &BTreeMap<Place, Row>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    w.array(3).uint(VERSION).bytes(instance).array(rows.len());
    for (place, row) in rows {
        w.array(6).uint(place.table as u64).bytes(&place.id).uint(u64::from(place.version));
        w.uint(row.term).bytes(&row.wrapped).bytes(&row.sealed);
    }
    out
}

/// Instance and rows.
pub(crate) fn decode(bytes: &[u8]) -> Result<([u8; 16], BTreeMap<Place, Row>), CborError> {
    let mut r = Reader::new(bytes);
    if r.array()? != 3 || r.uint()? != VERSION {
        return Err(CborError::Unexpected);
    }
    let instance = r.byte_array()?;
    let mut rows = BTreeMap::new();
    for _ in 0..r.array()? {
        if r.array()? != 6 || rows.len() >= SECRET_ROWS {
            return Err(CborError::Range);
        }
        let table = match r.uint()? {
            1 => Table::Credential,
            2 => Table::Subject,
            _ => return Err(CborError::Range),
        };
        let (id, version) = (r.bytes()?.to_vec(), u32::try_from(r.uint()?).map_err(|_| CborError::Range)?);
        let row = Row { term: r.uint()?, wrapped: r.bytes()?.to_vec(), sealed: r.bytes()?.to_vec() };
        if id.len() > ROW_ID_BYTES || row.wrapped.len() > WRAPPED_KEY_BYTES {
            return Err(CborError::Range);
        }
        let place = Place { table, id, version };
        // One encoding: rows ascend.
        if rows.last_key_value().is_some_and(|(last, _)| *last >= place) {
            return Err(CborError::KeyOrder);
        }
        rows.insert(place, row);
    }
    r.end()?;
    Ok((instance, rows))
}
