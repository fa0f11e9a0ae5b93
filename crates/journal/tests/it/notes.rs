use crate::support::FullTree;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use marque_journal::checkpoint::*;
use marque_journal::cosign::cosign;
use marque_journal::limits::*;
use marque_journal::merkle::*;
use marque_journal::note::*;
use marque_journal::proof::*;
use marque_journal::witness::*;
use proptest::prelude::*;

const LOG: &str = "example.com/log";

fn log() -> Ed25519Signer {
    Ed25519Signer::from_seed(LOG, &[1; 32]).unwrap()
}

fn log_key() -> VerifierKey {
    log().verifier(SignatureType::Ed25519).unwrap()
}

fn witness(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&format!("witness.example/{seed}"), &[seed; 32]).unwrap()
}

fn tree() -> FullTree {
    FullTree::of((0..50u8).map(|i| leaf_hash(&[i])))
}

fn checkpoint(tree: &FullTree, size: u64) -> Checkpoint {
    Checkpoint { origin: LOG.to_owned(), size, root: tree.roots[size as usize], extensions: vec![] }
}

#[test]
fn the_specification_s_note_and_key_are_accepted() {
    let key = VerifierKey::parse("example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k").unwrap();
    let text = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
    let note = Note::parse(text.as_bytes()).unwrap();
    assert_eq!(note.verified_by(&[key]), Ok(vec![0]));
    assert_eq!(note.to_string(), text);
}

#[test]
fn another_implementation_accepts_our_notes() {
    let note = checkpoint(&tree(), 9).sign(&log()).unwrap();
    let theirs = signed_note::Note::from_bytes(note.to_string().as_bytes()).unwrap();
    let verifier = signed_note::StandardVerifier::new(&log_key().to_string()).unwrap();
    let (verified, unverified) = theirs.verify(&signed_note::VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!((verified.len(), unverified.len()), (1, 0));
    let parsed = tlog_tiles::Checkpoint::from_bytes(theirs.text()).unwrap();
    assert_eq!((parsed.origin(), parsed.size(), parsed.hash().0), (LOG, 9, tree().roots[9]));
}

#[test]
fn a_note_is_refused_when_a_known_signature_is_wrong_or_none_is_known() {
    let signed = checkpoint(&tree(), 9).sign(&log()).unwrap();
    let altered = signed.to_string().replacen("\n9\n", "\n8\n", 1);
    assert_eq!(Note::parse(altered.as_bytes()).unwrap().verified_by(&[log_key()]), Err(NoteError::BadSignature));
    let stranger = witness(9).verifier(SignatureType::Ed25519).unwrap();
    assert_eq!(signed.verified_by(&[stranger]), Err(NoteError::Unsigned));
    // The same key under the other type is another key.
    assert_eq!(signed.verified_by(&[log().verifier(SignatureType::CosignatureV1).unwrap()]), Err(NoteError::Unsigned));
}

#[test]
fn malformed_notes_keys_and_checkpoints_are_refused() {
    let good = checkpoint(&tree(), 9).sign(&log()).unwrap().to_string();
    for bad in [
        good.replace("\n\n", "\n"),
        good.trim_end().to_owned(),
        good.replace('\u{2014}', "-"),
        good.replace("9\n", "9\r\n"),
        format!("{good}trailing\n"),
        format!("{good}\n"),
        good.replace("example.com/log ", "example.com/l+g "),
        good.replace("= \n", " \n").replace("==", "="),
    ] {
        if bad != good {
            assert!(Note::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
    let root = BASE64.encode([0; 32]);
    for bad in [
        format!("o\n01\n{root}\n"), format!("o\n+1\n{root}\n"), format!("o\n\n{root}\n"), format!("\n1\n{root}\n"), format!("o\n1\n{root}"), format!("o\n1\n{}\n", &root[1..]),
        format!("o\n1\n{root}\n\n"), "o\n1\n".to_owned(), format!("o\n18446744073709551616\n{root}\n"), format!("o\n{}\n{root}\n", MAX_TREE_SIZE + 1),
    ] {
        assert_eq!(Checkpoint::parse(&bad), Err(CheckpointError::Malformed), "{bad}");
    }
    assert!(Checkpoint::parse(&format!("o\n{MAX_TREE_SIZE}\n{root}\nextension\n")).is_ok());
    let vkey = log_key().to_string();
    for bad in [vkey.replacen('+', "+0", 1), vkey.to_uppercase(), format!("{vkey}="), vkey.replacen('/', " ", 1)] {
        assert!(VerifierKey::parse(&bad).is_err(), "{bad}");
    }
    assert_eq!(VerifierKey::parse(&vkey), Ok(log_key()));
}

#[test]
fn notes_and_names_are_bounded_at_n() {
    let mut note = checkpoint(&tree(), 1).sign(&log()).unwrap();
    while note.signatures().len() < MAX_NOTE_SIGNATURES {
        note.push(note.signatures()[0].clone());
    }
    assert!(Note::parse(note.to_string().as_bytes()).is_ok());
    note.push(note.signatures()[0].clone());
    assert_eq!(Note::parse(note.to_string().as_bytes()), Err(NoteError::TooLong));
    let line = note.signatures()[0].to_line();
    let text = |extra: usize| format!("{}\n\n{line}", "x".repeat(MAX_NOTE_BYTES - line.len() - 2 + extra));
    assert!(Note::parse(text(0).as_bytes()).is_ok());
    assert_eq!(Note::parse(text(1).as_bytes()), Err(NoteError::TooLong));
    assert!(VerifierKey::new(&"n".repeat(MAX_NAME_BYTES), SignatureType::Ed25519, [0; 32]).is_ok());
    assert_eq!(VerifierKey::new(&"n".repeat(MAX_NAME_BYTES + 1), SignatureType::Ed25519, [0; 32]), Err(NoteError::Name));
    let origin = |n| Checkpoint { origin: "o".repeat(n), size: 0, root: [0; 32], extensions: vec![] };
    assert!(Checkpoint::parse(&origin(MAX_NAME_BYTES).text()).is_ok());
    assert!(Checkpoint::parse(&origin(MAX_NAME_BYTES + 1).text()).is_err());
}

#[test]
fn a_log_key_signs_only_extensions() {
    let tree = tree();
    let (old, new) = (checkpoint(&tree, 20), checkpoint(&tree, 31));
    let proof = consistency_proof(20, 31, &tree).unwrap();
    assert_eq!(may_sign(&old, &new, &proof), Ok(()));
    assert_eq!(may_sign(&old, &old, &[]), Ok(()));
    assert_eq!(may_sign(&checkpoint(&tree, 0), &new, &[]), Ok(()));
    assert_eq!(may_sign(&new, &old, &[]), Err(Refusal::Shrinks));
    assert_eq!(may_sign(&old, &Checkpoint { root: [1; 32], ..old.clone() }, &[]), Err(Refusal::Forks));
    assert_eq!(may_sign(&old, &Checkpoint { root: [1; 32], ..new.clone() }, &proof), Err(Refusal::NotProven(ProofError::Mismatch)));
    assert!(may_sign(&old, &new, &proof[1..]).is_err());
    assert_eq!(may_sign(&old, &Checkpoint { origin: "other".to_owned(), ..new.clone() }, &proof), Err(Refusal::Origin));
    assert_eq!(may_sign(&old, &Checkpoint { extensions: vec!["x".to_owned()], ..new }, &proof), Err(Refusal::Extensions));
}

#[test]
fn cosignatures_count_keys_and_bind_text_and_time() {
    let mut note = checkpoint(&tree(), 9).sign(&log()).unwrap();
    let keys: Vec<_> = [1, 2].map(|seed| witness(seed).verifier(SignatureType::CosignatureV1).unwrap()).into();
    note.push(cosign(note.text(), 1_679_315_147, &witness(1)).unwrap());
    note.push(cosign(note.text(), 1_679_315_148, &witness(1)).unwrap());
    let open = |note: &Note| SignedCheckpoint::open(note.to_string().as_bytes(), &log_key()).unwrap();
    assert_eq!(open(&note).witnessed_by(&keys), Ok(1));
    assert_eq!(open(&note).witnessed_by(&keys[1..]), Ok(0));
    let mut line = note.signatures()[1].clone();
    line.signature[7] ^= 1;
    note.push(line);
    assert_eq!(open(&note).witnessed_by(&keys), Err(NoteError::BadSignature));
    assert_eq!(cosign("x\n", 1 << 63, &witness(1)), Err(NoteError::Malformed));
    assert!(cosign("x\n", (1 << 63) - 1, &witness(1)).is_ok());
}

fn request(tree: &FullTree, old: u64, new: u64) -> AddCheckpoint {
    AddCheckpoint { old_size: old, proof: consistency_proof(old, new, tree).unwrap(), note: checkpoint(tree, new).sign(&log()).unwrap() }
}

#[test]
fn a_witness_answers_as_the_specification_says() {
    let tree = tree();
    let latest = |size: u64| move |_: &str| (size > 0).then(|| checkpoint(&self::tree(), size));
    let keys = [log_key()];
    let answer = |request: &AddCheckpoint, at: u64| decide(request, &keys, latest(at)).status();
    assert_eq!(answer(&request(&tree, 20, 31), 20), 200);
    assert_eq!(answer(&request(&tree, 0, 31), 0), 200);
    assert_eq!(answer(&request(&tree, 20, 20), 20), 200);
    assert_eq!(decide(&request(&tree, 19, 31), &keys, latest(20)), Decision::Conflict { size: 20 });
    assert_eq!(answer(&AddCheckpoint { old_size: 40, ..request(&tree, 20, 31) }, 40), 400);
    assert_eq!(answer(&AddCheckpoint { proof: vec![], ..request(&tree, 20, 31) }, 20), 422);
    let fork = Checkpoint { root: [1; 32], ..checkpoint(&tree, 20) }.sign(&log()).unwrap();
    assert_eq!(answer(&AddCheckpoint { old_size: 20, proof: vec![], note: fork }, 20), 409);
    assert_eq!(decide(&request(&tree, 20, 31), &[], latest(20)), Decision::UnknownLog);
    let impostor = Ed25519Signer::from_seed(LOG, &[66; 32]).unwrap();
    let forged = AddCheckpoint { note: checkpoint(&tree, 31).sign(&impostor).unwrap(), ..request(&tree, 20, 31) };
    assert_eq!(answer(&forged, 20), 403);
}

#[test]
fn a_request_holds_63_proof_lines_and_not_64() {
    let mut request = request(&tree(), 20, 31);
    assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()), Some(request.clone()));
    request.proof = vec![[3; 32]; MAX_PROOF_HASHES];
    assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()), Some(request.clone()));
    request.proof.push([3; 32]);
    assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()), None);
    for bad in ["old 01\n\n", "old\n\n", "OLD 1\n\n", "old 1\n\n\n", ""] {
        assert_eq!(AddCheckpoint::parse(bad.as_bytes()), None);
    }
}

#[test]
fn a_receipt_proves_its_record_offline_and_nothing_else() {
    let tree = tree();
    let mut note = checkpoint(&tree, 31).sign(&log()).unwrap();
    note.push(cosign(note.text(), 5, &witness(1)).unwrap());
    let receipt = Receipt { extra: Some(vec![7]), index: 7, hashes: inclusion_proof(7, 31, &tree).unwrap(), checkpoint: note };
    let text = receipt.to_text();
    assert_eq!(Receipt::parse(text.as_bytes()), Ok(receipt.clone()));
    let witnesses = [witness(1).verifier(SignatureType::CosignatureV1).unwrap()];
    let (record, proven) = receipt.verify_carried(&log_key(), &witnesses).unwrap();
    assert_eq!((record, proven.index, proven.witnesses, proven.checkpoint.checkpoint.size), (&[7u8][..], 7, 1, 31));
    assert_eq!(receipt.verify(&[8], &log_key(), &[]), Err(ReceiptError::Proof(ProofError::Mismatch)));
    assert!(Receipt { index: 8, ..receipt.clone() }.verify(&[7], &log_key(), &[]).is_err());
    assert_eq!(Receipt { extra: None, ..receipt.clone() }.verify_carried(&log_key(), &[]), Err(ReceiptError::NoRecord));
    let stranger = Ed25519Signer::from_seed(LOG, &[66; 32]).unwrap().verifier(SignatureType::Ed25519).unwrap();
    assert!(receipt.verify(&[7], &stranger, &[]).is_err());
    for bad in [
        text.replacen("@v1", "@v2", 1), text.replacen("index 7", "index 07", 1), text.replacen("extra ", "Extra ", 1), text.replacen("index 7\n", "", 1),
        text.replacen("\n\n", "\n", 1), text.replacen("extra Bw==", "extra Bw=", 1), text.replacen("index", "extra Bw==\nindex", 1),
    ] {
        assert_eq!(Receipt::parse(bad.as_bytes()), Err(ReceiptError::Malformed), "{bad}");
    }
    for (n, ok) in [(MAX_EXTRA_BYTES, true), (MAX_EXTRA_BYTES + 1, false)] {
        let big = Receipt { extra: Some(vec![0; n]), ..receipt.clone() };
        assert_eq!(Receipt::parse(big.to_text().as_bytes()).is_ok(), ok);
    }
    for (n, ok) in [(MAX_PROOF_HASHES, true), (MAX_PROOF_HASHES + 1, false)] {
        let long = Receipt { hashes: vec![[0; 32]; n], ..receipt.clone() };
        assert_eq!(Receipt::parse(long.to_text().as_bytes()).is_ok(), ok);
    }
    assert!(Receipt::parse(&vec![b'x'; MAX_RECEIPT_BYTES + 1]).is_err());
}

proptest! {
    #[test]
    fn any_edit_of_a_receipt_is_noticed(at in any::<prop::sample::Index>(), byte in 0u8..128) {
        let tree = tree();
        let receipt = Receipt { extra: None, index: 7, hashes: inclusion_proof(7, 31, &tree).unwrap(), checkpoint: checkpoint(&tree, 31).sign(&log()).unwrap() };
        let mut text = receipt.to_text().into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != byte);
        text[at] = byte;
        let verified = Receipt::parse(&text).and_then(|receipt| receipt.verify(&[7], &log_key(), &[]));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        prop_assert!(Receipt::parse(text.as_bytes()).is_err());
        prop_assert_eq!(AddCheckpoint::parse(text.as_bytes()), None);
        prop_assert!(Note::parse(text.as_bytes()).is_err());
        prop_assert!(VerifierKey::parse(&text).is_err());
    }
}
