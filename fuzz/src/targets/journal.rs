//! Records, segments, notes, proofs.

use super::text;
use marque_journal::cbor::{self, Reader};
use marque_journal::checkpoint::Checkpoint;
use marque_journal::note::{Note, VerifierKey};
use marque_journal::proof::Receipt;
use marque_journal::record;
use marque_journal::segment::{Expect, HEADER_BYTES, Opening, SegmentHeader, recover, scan};
use marque_journal::tile::{Tile, parse_bundle, parse_hashes, push_entry};
use marque_journal::witness::{AddCheckpoint, Answer};

/// What is valid is read by every method without end.
pub(crate) fn cbor(input: &[u8]) {
    let valid = cbor::validate(input).is_ok();
    let mut reader = Reader::new(input);
    let item = reader.item(16);
    if valid {
        assert!(item.is_ok_and(|item| item == input), "what is valid is one item");
        assert!(reader.end().is_ok());
    }
    let mut before = None;
    let mut reader = Reader::new(input);
    while reader.key_above(&mut before).is_ok() {}
}

/// A record that is read is the same bytes when it is written.
pub(crate) fn record(input: &[u8]) {
    let Ok(record) = record::decode(input) else { return };
    let mut again = Vec::new();
    assert_eq!(record::encode(&record.head(), record.body(), &mut again).ok(), Some(()));
    assert_eq!(again, input);
}

/// Whatever the bytes: a scan ends, its records are those of good batches, and recovery decides.
pub(crate) fn segment(input: &[u8]) {
    let Ok(found) = scan(input, &Expect::default()) else { return };
    assert!(found.records().all(|bytes| record::decode(bytes).is_ok()), "a good batch holds good records");
    assert!(found.end <= input.len().max(HEADER_BYTES));
    // Recovery decides, whatever the tail is.
    let _ = recover(&found, None);
    assert_eq!(found.record(found.next_seq), None, "nothing is behind the end");
}

pub(crate) fn segment_header(input: &[u8]) {
    if let Ok(header) = SegmentHeader::parse(input) {
        assert_eq!(input.get(..HEADER_BYTES), Some(&header.to_bytes()[..]));
    }
}

pub(crate) fn opening(input: &[u8]) {
    if let Ok(opening) = Opening::decode(input) {
        let mut again = Vec::new();
        assert!(opening.encode(&mut again).is_ok());
        assert_eq!(again, input);
    }
}

/// A note that is read is the same text when it is written.
pub(crate) fn note(input: &[u8]) {
    if let Ok(note) = Note::parse(input) {
        assert_eq!(note.to_string().as_bytes(), input);
    }
}

pub(crate) fn checkpoint(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(Checkpoint::parse(&checkpoint.text()).ok(), Some(checkpoint));
    }
}

pub(crate) fn verifier_key(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(key) = VerifierKey::parse(text) {
        assert_eq!(VerifierKey::parse(&key.to_string()).ok(), Some(key));
    }
}

pub(crate) fn receipt(input: &[u8]) {
    if let Ok(receipt) = Receipt::parse(input) {
        let written = receipt.to_text();
        assert_eq!(Receipt::parse(written.as_bytes()).ok().map(|r| r.to_text()), Some(written));
    }
}

pub(crate) fn add_checkpoint(input: &[u8]) {
    if let Some(request) = AddCheckpoint::parse(input) {
        let body = request.to_body();
        assert_eq!(AddCheckpoint::parse(body.as_bytes()).map(|r| r.to_body()), Some(body));
    }
}

pub(crate) fn tile_path(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Ok(tile) = Tile::parse(text) {
        assert_eq!(tile.path(), text);
    }
}

/// A bundle that is read is the same bytes when it is written.
pub(crate) fn tile_bundle(input: &[u8]) {
    for width in [1u16, 2, 255, 256] {
        let _ = parse_hashes(input, width);
        if let Ok(records) = parse_bundle(input, width) {
            let mut again = Vec::new();
            assert!(records.iter().all(|record| push_entry(record, &mut again).is_ok()));
            assert_eq!(again, input);
        }
    }
}

/// The first byte chooses the status.
pub(crate) fn witness_answer(input: &[u8]) {
    let Some((first, body)) = input.split_first() else { return };
    let status = match first % 3 {
        0 => 200,
        1 => 409,
        _ => 422,
    };
    if let Some(answer) = Answer::parse(status, body) {
        let again = Answer::parse(status, answer.to_body().as_bytes());
        assert!(status == 422 || again.as_ref() == Some(&answer), "it reads back");
    }
}
