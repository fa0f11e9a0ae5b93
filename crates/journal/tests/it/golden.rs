//! Golden files: the bytes of format version 1, for this and every later reader. `MARQUE_BLESS=1` writes them.

use crate::support::{FullTree, Owned, typical};
use marque_journal::checkpoint::Checkpoint;
use marque_journal::cosign::cosign;
use marque_journal::merkle::{inclusion_proof, leaf_hash, sha256};
use marque_journal::note::{Ed25519Signer, SignatureType};
use marque_journal::proof::Receipt;
use marque_journal::record::decode;
use marque_journal::segment::{BatchWriter, Expect, Opening, SegmentHeader, Tail, scan};
use std::path::PathBuf;

pub fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../conformance/journal")
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    digits.as_bytes().chunks(64).map(|line| format!("{}\n", str::from_utf8(line).unwrap())).collect()
}

fn check(name: &str, content: &str) {
    let path = directory().join(name);
    if std::env::var_os("MARQUE_BLESS").is_some() {
        std::fs::write(&path, content).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(content, golden, "{name} changed: format version 1 is frozen");
}

fn smallest() -> Owned {
    Owned {
        time_ms: 0,
        kind: "instance.init".to_owned(),
        session: None,
        leaf: String::new(),
        backlinks: vec![],
        cause: None,
        digests: [None; 3],
        lease: None,
        taint: 0,
        commitments: vec![],
        mode: None,
        body: vec![],
        ..typical(0)
    }
}

#[test]
fn record_version_1_is_frozen() {
    for (name, owned) in [("record-smallest.hex", smallest()), ("record-every-field.hex", typical(700))] {
        let bytes = owned.encode();
        decode(&bytes).unwrap();
        check(name, &hex(&bytes));
    }
    let hashes: String = [smallest(), typical(700)].iter().map(|owned| hex(&leaf_hash(&owned.encode()))).collect();
    check("leaf-hashes.hex", &hashes);
}

#[test]
fn segment_version_1_is_frozen() {
    let header = SegmentHeader { number: 0, first_seq: 0, instance: *b"golden instance.", root: sha256(b""), previous: [0; 32] };
    let mut file = header.to_bytes().to_vec();
    let mut writer = BatchWriter::new(0, header.hash());
    for batch in [0..1, 1..3] {
        for seq in batch {
            let owned = if seq == 0 { smallest() } else { typical(seq) };
            owned.with(|head, body| writer.push_record(head, body)).unwrap();
        }
        if writer.next_seq() > 1 {
            writer.push_opening(&Opening { seq: 1, field: 1, subject: [2; 16], nonce: [3; 12], ciphertext: b"sealed" }).unwrap();
        }
        file.extend_from_slice(writer.finish().unwrap());
        writer.begin_next();
    }
    file.resize(file.len() + 32, 0);
    let scanned = scan(&file, &Expect::default()).unwrap();
    assert_eq!((scanned.next_seq, scanned.tail), (3, Tail::Clean));
    check("segment.hex", &hex(&file));
}

#[test]
fn checkpoint_and_receipt_are_frozen() {
    let log = Ed25519Signer::from_seed("marque.example/golden", &[1; 32]).unwrap();
    let witness = Ed25519Signer::from_seed("witness.example/golden", &[2; 32]).unwrap();
    let records: Vec<_> = (0..5).map(|seq| typical(seq).encode()).collect();
    let tree = FullTree::of(records.iter().map(|record| leaf_hash(record)));
    let checkpoint = Checkpoint { origin: "marque.example/golden".to_owned(), size: 5, root: tree.tree.root(), extensions: vec![] };
    let mut note = checkpoint.sign(&log).unwrap();
    note.push(cosign(note.text(), 1_790_000_000, &witness).unwrap());
    check("checkpoint", &note.to_string());
    check("log.vkey", &format!("{}\n", log.verifier(SignatureType::Ed25519).unwrap()));
    check("witness.vkey", &format!("{}\n", witness.verifier(SignatureType::CosignatureV1).unwrap()));
    let hashes = inclusion_proof(3, 5, &tree).unwrap();
    let receipt = Receipt { extra: Some(records[3].clone()), index: 3, hashes, checkpoint: note };
    check("receipt.tlog-proof", &receipt.to_text());
}
