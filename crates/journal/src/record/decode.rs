//! Bytes → record, refusing whatever [`super::encode`] would not write.

use super::{Backlink, Digest, KeyKind, Malformed, Mode, Record, VERSION, check, field};
use crate::cbor::{self, CborError, Kind, Reader};
use crate::limits::{MAX_BACKLINKS, MAX_BODY_DEPTH, MAX_COMMITMENTS, MAX_RECORD_BYTES};

/// The number used for faults of the record as a whole.
const WHOLE: u64 = 16;

/// Decodes one record.
///
/// # Errors
/// For every sequence of bytes that [`super::encode`] cannot produce.
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(Malformed::TooLong(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    let fields = reader.map().map_err(Malformed::at(WHOLE))?;
    let mut record = Record {
        seq: 0,
        time_ms: 0,
        kind: "",
        session: None,
        leaf: "",
        backlinks: Vec::new(),
        cause: None,
        reason: None,
        exec: None,
        effect: None,
        lease: None,
        taint: 0,
        commitments: Vec::new(),
        mode: None,
        body: &[],
    };
    let mut before = None;
    for index in 0..fields {
        let number = reader.key_above(&mut before).map_err(Malformed::at(WHOLE))?;
        // Fields 0 to 3 are in every record, so the first four keys are exactly these.
        if index <= field::KIND && number != index {
            return Err(Malformed::Missing(index));
        }
        read_field(&mut record, number, &mut reader)?;
    }
    if fields <= field::KIND {
        return Err(Malformed::Missing(fields));
    }
    reader.end().map_err(Malformed::at(WHOLE))?;
    check(&record.head())?;
    Ok(record)
}

fn read_field<'a>(record: &mut Record<'a>, number: u64, reader: &mut Reader<'a>) -> Result<(), Malformed> {
    let at = Malformed::at(number);
    match number {
        field::VERSION => match reader.uint().map_err(at)? {
            VERSION => {}
            other => return Err(Malformed::Version(other)),
        },
        field::SEQ => record.seq = reader.uint().map_err(at)?,
        field::TIME_MS => record.time_ms = reader.uint().map_err(at)?,
        field::KIND => record.kind = reader.text().map_err(at)?,
        field::SESSION => record.session = Some(reader.byte_array().map_err(at)?),
        field::LEAF => {
            record.leaf = reader.text().map_err(at)?;
            present(!record.leaf.is_empty(), number)?;
        }
        field::BACKLINKS => record.backlinks = backlinks(reader)?,
        field::CAUSE => record.cause = Some(reader.uint().map_err(at)?),
        field::REASON => record.reason = Some(reader.byte_array().map_err(at)?),
        field::EXEC => record.exec = Some(reader.byte_array().map_err(at)?),
        field::EFFECT => record.effect = Some(reader.byte_array().map_err(at)?),
        field::LEASE => record.lease = Some(reader.byte_array().map_err(at)?),
        field::TAINT => {
            record.taint = reader.uint().map_err(at)?;
            present(record.taint != 0, number)?;
        }
        field::COMMITMENTS => record.commitments = commitments(reader)?,
        field::MODE => {
            let mode = reader.uint().map_err(at)?;
            record.mode = Some(Mode::from_number(mode).ok_or(Malformed::Bounds(number))?);
        }
        field::BODY => record.body = body(reader)?,
        other => return Err(Malformed::UnknownField(other)),
    }
    Ok(())
}

fn present(is: bool, number: u64) -> Result<(), Malformed> {
    if is { Ok(()) } else { Err(Malformed::Empty(number)) }
}

fn backlinks<'a>(reader: &mut Reader<'a>) -> Result<Vec<Backlink<'a>>, Malformed> {
    let at = Malformed::at(field::BACKLINKS);
    let count = bounded(reader.array().map_err(&at)?, MAX_BACKLINKS, field::BACKLINKS)?;
    let mut links = Vec::with_capacity(count);
    for _ in 0..count {
        if reader.array().map_err(&at)? != 4 {
            return Err(Malformed::Bounds(field::BACKLINKS));
        }
        let key_kind = KeyKind::from_number(reader.uint().map_err(&at)?).ok_or(Malformed::Bounds(field::BACKLINKS))?;
        let key_id = reader.bytes().map_err(&at)?;
        let n = reader.uint().map_err(&at)?;
        let prev_seq = match reader.peek().map_err(&at)? {
            Kind::Null => reader.null().map(|()| None).map_err(&at)?,
            _ => Some(reader.uint().map_err(&at)?),
        };
        links.push(Backlink { key_kind, key_id, n, prev_seq });
    }
    Ok(links)
}

fn commitments(reader: &mut Reader<'_>) -> Result<Vec<(u64, Digest)>, Malformed> {
    let at = Malformed::at(field::COMMITMENTS);
    let count = bounded(reader.map().map_err(&at)?, MAX_COMMITMENTS, field::COMMITMENTS)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push((reader.uint().map_err(&at)?, reader.byte_array().map_err(&at)?));
    }
    Ok(entries)
}

fn body<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let at = Malformed::at(field::BODY);
    if reader.peek().map_err(&at)? != Kind::Map {
        return Err(at(CborError::Unexpected));
    }
    let body = reader.item(MAX_BODY_DEPTH).map_err(&at)?;
    cbor::validate(body).map_err(&at)?;
    present(body.len() > 1, field::BODY)?;
    Ok(body)
}

fn bounded(count: u64, most: usize, number: u64) -> Result<usize, Malformed> {
    let count = usize::try_from(count).map_err(|_| Malformed::Bounds(number))?;
    present(count > 0, number)?;
    if count > most { Err(Malformed::Bounds(number)) } else { Ok(count) }
}
