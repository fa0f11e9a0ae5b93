//! Openings: the encrypted text behind a record's commitment.

use crate::cbor::{CborError, Reader, Writer};
use crate::limits::MAX_OPENING_BYTES;
use thiserror::Error;

/// Text that a commitment of record `seq` stands for, encrypted under a key of its subject. Not in the tree: destroying the key,
/// or the bytes, erases it and every proof still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening<'a> {
    /// Record it belongs to.
    pub seq: u64,
    /// Field: a key of the record's commitments.
    pub field: u64,
    /// Data subject whose key encrypts it.
    pub subject: [u8; 16],
    /// AEAD nonce.
    pub nonce: [u8; 12],
    /// AEAD ciphertext with its tag.
    pub ciphertext: &'a [u8],
}

/// Why bytes are not an opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpeningFault {
    /// Not the one encoding.
    #[error("not an opening: {0}")]
    Cbor(#[from] CborError),
    /// Longer than the limit.
    #[error("an opening of {0} bytes is too long")]
    TooLong(usize),
}

impl<'a> Opening<'a> {
    /// Appends the one encoding: `[seq, field, subject, nonce, ciphertext]` in deterministic CBOR.
    ///
    /// # Errors
    /// [`OpeningFault::TooLong`]; `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), OpeningFault> {
        let start = out.len();
        let mut w = Writer::new(out);
        w.array(5).uint(self.seq).uint(self.field).bytes(&self.subject).bytes(&self.nonce).bytes(self.ciphertext);
        let len = out.len().saturating_sub(start);
        if len > MAX_OPENING_BYTES {
            out.truncate(start);
            return Err(OpeningFault::TooLong(len));
        }
        Ok(())
    }

    /// Decodes an opening.
    ///
    /// # Errors
    /// For whatever [`Opening::encode`] does not write.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, OpeningFault> {
        if bytes.len() > MAX_OPENING_BYTES {
            return Err(OpeningFault::TooLong(bytes.len()));
        }
        let mut r = Reader::new(bytes);
        if r.array()? != 5 {
            return Err(CborError::Unexpected.into());
        }
        let opening = Self {
            seq: r.uint()?,
            field: r.uint()?,
            subject: r.byte_array()?,
            nonce: r.byte_array()?,
            ciphertext: r.bytes()?,
        };
        r.end()?;
        Ok(opening)
    }
}
