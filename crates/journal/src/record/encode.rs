//! Record → bytes.

use super::{Malformed, RecordHead, VERSION, check, field};
use crate::cbor::{self, Writer};
use crate::limits::MAX_RECORD_BYTES;

/// A body that says nothing is left out.
const EMPTY_MAP: [u8; 1] = [0xa0];

/// Appends the one encoding of a record to `out`. An empty `body` (no bytes, or an empty map) is left out.
///
/// # Errors
/// When a field breaks a rule of the format or `body` is not deterministic CBOR; `out` is then as it was.
pub fn encode(head: &RecordHead<'_>, body: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    check(head)?;
    let body = if body == EMPTY_MAP { &[] } else { body };
    if !body.is_empty() {
        cbor::validate(body).map_err(Malformed::at(field::BODY))?;
    }
    let start = out.len();
    write(head, body, out);
    let len = out.len().saturating_sub(start);
    if len > MAX_RECORD_BYTES {
        out.truncate(start);
        return Err(Malformed::TooLong(len));
    }
    Ok(())
}

fn write(head: &RecordHead<'_>, body: &[u8], out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.map(field_count(head, body));
    w.uint(field::VERSION).uint(VERSION);
    w.uint(field::SEQ).uint(head.seq);
    w.uint(field::TIME_MS).uint(head.time_ms);
    w.uint(field::KIND).text(head.kind);
    if let Some(session) = head.session {
        w.uint(field::SESSION).bytes(&session);
    }
    if !head.leaf.is_empty() {
        w.uint(field::LEAF).text(head.leaf);
    }
    if !head.backlinks.is_empty() {
        w.uint(field::BACKLINKS).array(head.backlinks.len());
        for link in head.backlinks {
            w.array(4).uint(link.key_kind.number()).bytes(link.key_id).uint(link.n);
            match link.prev_seq {
                Some(prev) => w.uint(prev),
                None => w.null(),
            };
        }
    }
    if let Some(cause) = head.cause {
        w.uint(field::CAUSE).uint(cause);
    }
    for (number, digest) in [(field::REASON, head.reason), (field::EXEC, head.exec), (field::EFFECT, head.effect)] {
        if let Some(digest) = digest {
            w.uint(number).bytes(&digest);
        }
    }
    if let Some(lease) = head.lease {
        w.uint(field::LEASE).bytes(&lease);
    }
    if head.taint != 0 {
        w.uint(field::TAINT).uint(head.taint);
    }
    if !head.commitments.is_empty() {
        w.uint(field::COMMITMENTS).map(head.commitments.len());
        for (id, digest) in head.commitments {
            w.uint(*id).bytes(digest);
        }
    }
    if let Some(mode) = head.mode {
        w.uint(field::MODE).uint(mode as u64);
    }
    if !body.is_empty() {
        w.uint(field::BODY).raw(body);
    }
}

fn field_count(head: &RecordHead<'_>, body: &[u8]) -> usize {
    4 + [
        head.session.is_some(),
        !head.leaf.is_empty(),
        !head.backlinks.is_empty(),
        head.cause.is_some(),
        head.reason.is_some(),
        head.exec.is_some(),
        head.effect.is_some(),
        head.lease.is_some(),
        head.taint != 0,
        !head.commitments.is_empty(),
        head.mode.is_some(),
        !body.is_empty(),
    ]
    .iter()
    .filter(|present| **present)
    .count()
}
