//! `conformance/verify.py` accepts what we write and finds what is done to it. Python and its package `cryptography` are needed:
//! without them these tests fail.

mod sample;
mod tampering;

use sample::{Event, FIRST_SEGMENT_BATCHES, Sample};
use std::path::Path;
use std::process::Command;

/// Exit code and output.
pub fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/verify.py");
    let output = Command::new("python3").arg("-B").arg(script).arg(directory).args(arguments).output().expect("python3 is needed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

#[test]
fn a_good_journal_is_accepted_and_its_lineage_printed() {
    let sample = Sample::good();
    let directory = sample.write();
    let path = directory.path();
    let (code, text) = run(path, &[]);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.starts_with("UNWITNESSED records 0 to 16"), "{text}");
    assert!(!text.contains("OK"), "{text}");

    let own = path.join("journal/checkpoint");
    let root = path.join("root");
    std::fs::write(&root, sample::public_key(sample::ROOT)).unwrap();
    let arguments = ["--against", own.to_str().unwrap(), "--root-key", root.to_str().unwrap(), "--lineage"];
    let (code, text) = run(path, &arguments);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.ends_with("OK 17 records\n"), "{text}");
    for line in [
        "session 01010101010101010101 (ended) human h-7f3a (asserted), enforce in staging",
        " link-a-0000000000 agent:a, uses 1",
        "\n   link-b-0000000000 agent:b, uses 1, revoked",
        "\n     link-c-0000000000 agent:c, uses 1",
        "session 02020202020202020202 (open)",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
}

#[test]
fn a_checkpoint_remembered_earlier_vouches_for_what_lies_below() {
    let full = Sample::good();
    let directory = full.write();
    let old = Sample { batches: full.batches[..3].to_vec(), ..Sample::good() };
    let remembered = directory.path().join("remembered");
    std::fs::write(&remembered, old.checkpoint()).unwrap();
    let (code, text) = run(directory.path(), &["--against", remembered.to_str().unwrap()]);
    assert_eq!(code, Some(8), "{text}");
    assert!(text.contains("UNWITNESSED records 9 to 16"), "{text}");
    assert!(!text.contains("OK"), "{text}");
}

#[test]
fn the_sample_is_what_the_batch_writer_writes() {
    use marque_journal::segment::{BatchWriter, Opening};
    let sample = Sample::good();
    let files = sample.segments();
    let mut writer = BatchWriter::new(0, marque_journal::merkle::sha256(&files[0][..128]));
    let mut written = files[0][..128].to_vec();
    let records = sample::records(&sample::events());
    for batch in &sample.batches[..FIRST_SEGMENT_BATCHES] {
        for (kind, payload) in batch {
            if *kind == 0 {
                let owned = &records[writer.next_seq() as usize];
                owned.with(|head, body| writer.push_record(head, body)).unwrap();
            } else {
                writer.push_opening(&Opening::decode(payload).unwrap()).unwrap();
            }
        }
        written.extend_from_slice(writer.finish().unwrap());
        writer.begin_next();
    }
    assert_eq!(files[0].strip_suffix(&[0; 64]), Some(&written[..]));
}

#[test]
fn our_verifier_and_scanner_accept_the_sample_too() {
    use marque_journal::segment::{Expect, scan};
    use marque_journal::verify::*;
    let sample = Sample::good();
    let checkpoint = marque_journal::checkpoint::SignedCheckpoint::open(sample.checkpoint().as_bytes(), &sample::log_key()).unwrap();
    let mut verifier = Verifier::new(vec![Anchor::new(&checkpoint.checkpoint, Source::Remembered)]);
    let (mut previous, mut next) = ([0; 32], 0);
    for (number, file) in sample.segments().iter().enumerate() {
        let expect = Expect { number: Some(number as u32), first_seq: Some(next), previous: Some(previous), ..Expect::default() };
        let scanned = scan(file, &expect).unwrap();
        scanned.records().for_each(|record| verifier.push(record));
        (previous, next) = (scanned.tip, scanned.next_seq);
    }
    assert_eq!(verifier.finish().verdict(), Verdict::Intact { records: 17, unwitnessed: None });
}

#[test]
fn chains_are_judged_as_the_vectors_of_the_chain_format_say() {
    let conformance = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance");
    let harness = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/vectors.py");
    let arguments = [harness, conformance.join("verify.py"), conformance.join("chain")];
    let output = Command::new("python3").arg("-B").args(arguments).output().expect("python3 is needed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let compared: usize = text.trim().strip_prefix("compared ").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{text}"));
    assert!(compared >= 150, "{compared}");
}

/// Everything below the changed event is written and signed again by somebody with the log's key.
pub fn with_events(change: impl FnOnce(&mut Vec<Event>)) -> Sample {
    let mut events = sample::events();
    change(&mut events);
    Sample::of(&sample::records(&events).iter().map(crate::support::Owned::encode).collect::<Vec<_>>())
}
