//! The fold as bytes: the state, and the newest record of each backlink's key.

use crate::machine::Key;
use marque_journal::cbor::{CborError, Reader, Writer};
use marque_model::State;
use std::collections::{BTreeMap, HashMap};

/// What these bytes are: another number is another program's.
const VERSION: u64 = 1;

/// One encoding for one fold.
pub(crate) fn encode(state: &State, heads: &HashMap<Key, (u64, u64)>) -> Vec<u8> {
    let ordered: BTreeMap<&Key, &(u64, u64)> = heads.iter().collect();
    let state = state.encode();
    let mut out = Vec::with_capacity(state.len() + 32 * ordered.len());
    let mut w = Writer::new(&mut out);
    w.array(3).uint(VERSION).bytes(&state).array(ordered.len());
    for (key, (n, seq)) in ordered {
        w.array(4).uint(key.kind().into()).bytes(key.id()).uint(*n).uint(*seq);
    }
    out
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// What is wrong with it, in words for the log.
pub(crate) fn decode(bytes: &[u8]) -> Result<(State, HashMap<Key, (u64, u64)>), String> {
    let (state, heads) = parts(bytes).map_err(|error| format!("the fold is not encoded as it should be: {error}"))?;
    Ok((State::decode(state).map_err(|error| error.to_string())?, heads))
}

/// The state's bytes, and the newest records.
type Parts<'a> = (&'a [u8], HashMap<Key, (u64, u64)>);

fn parts(bytes: &[u8]) -> Result<Parts<'_>, CborError> {
    let mut r = Reader::new(bytes);
    if r.array()? != 3 || r.uint()? != VERSION {
        return Err(CborError::Unexpected);
    }
    let state = r.bytes()?;
    let (mut heads, mut before) = (HashMap::new(), None);
    for _ in 0..r.array()? {
        if r.array()? != 4 {
            return Err(CborError::Unexpected);
        }
        let kind = u8::try_from(r.uint()?).map_err(|_| CborError::Range)?;
        let id = r.bytes()?;
        let key = Key::new(kind, id);
        if key.id() != id {
            return Err(CborError::Range);
        }
        if before.replace(key).is_some_and(|before| before >= key) {
            return Err(CborError::KeyOrder);
        }
        heads.insert(key, (r.uint()?, r.uint()?));
    }
    r.end()?;
    Ok((state, heads))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Entry, Fold};
    use marque_model::event::{CredentialAdd, Erased, InstanceInit};
    use marque_model::{CredentialId, Draft, InstanceId, SubjectId};
    use marque_store::disk::sim::SimDisk;
    use marque_store::disk::{Disk, replace_file};
    use marque_store::{FileJournal, Journal, KeySigner, Opening, Options, Recovery};
    use parking_lot::RwLock;
    use std::sync::Arc;

    type Heads = HashMap<Key, (u64, u64)>;

    fn open(disk: &SimDisk) -> (Journal<Fold>, Recovery, State, Heads) {
        let state = Arc::new(RwLock::new(State::new()));
        let machine = Fold::new(state.clone());
        let heads = machine.heads();
        let key = marque_journal::note::Ed25519Signer::from_seed("test.example/log", &[5; 32]).unwrap();
        let small = Options { segment_bytes: 128 * 1024, reserve_bytes: 128 * 1024, floor_bytes: 0, draft_opening_bytes: 1024, ..Options::default() };
        let opening = Opening {
            options: small,
            clock: Box::new(|| 1_700_000_000_000),
            instance: [4; 16],
            acknowledged: None,
            signer: Box::new(KeySigner::new(key, None, Box::new(|_| Ok(())))),
            machine,
        };
        let (journal, recovery) = FileJournal::open_on(Arc::new(disk.clone()), opening).unwrap();
        let (state, heads) = (state.read().clone(), heads.read().clone());
        (journal, recovery, state, heads)
    }

    fn credential(n: u32) -> Entry {
        let add = CredentialAdd {
            id: CredentialId::from_bytes([(n % 40) as u8; 10]),
            version: 1 + n / 40,
            name: format!("c{}", n % 40),
            service: "github".into(),
            environment: "staging".into(),
            origins: vec!["https://api.github.com:443".repeat(20); 8],
            placement: "bearer".into(),
            row: [0; 32],
            source: "value".into(),
            pins: vec![],
            resources: vec![],
        };
        Draft::new(add).into()
    }

    #[test]
    fn a_start_from_a_snapshot_knows_the_state_and_the_newest_record_of_every_key() {
        let disk = SimDisk::new(1);
        let (journal, ..) = open(&disk);
        let root = marque_chain::SigningKey::from_seed(&[1; 32]).unwrap();
        let init = InstanceInit { instance: InstanceId::from_bytes([4; 16]), root_key: *root.public().as_bytes(), checkpoint_vkey: "k".into() };
        journal.append_blocking(Draft::new(init).into()).unwrap();
        for n in 0..200 {
            journal.append_blocking(credential(n)).unwrap();
            if n < 7 {
                let erased = Erased { subject: SubjectId::from_bytes([n as u8; 16]), count: n };
                journal.append_blocking(Draft::new(erased).into()).unwrap();
            }
        }
        // The snapshot is written in the step of the first, which is over when the second is answered.
        for n in 200..202 {
            journal.checkpoint_now_blocking().unwrap();
            journal.append_blocking(credential(n)).unwrap();
        }
        journal.close();
        drop(journal);
        let (journal, recovery, state, heads) = open(&disk);
        assert!(recovery.snapshot.is_some_and(|seq| seq > 100), "{recovery:?}");
        journal.close();
        drop(journal);
        let mut names = disk.list("journal").unwrap();
        names.retain(|name| name.ends_with(".snap"));
        for name in &names {
            replace_file(&disk, &format!("journal/{name}"), b"").unwrap();
        }
        let (journal, recovery, every_state, every_head) = open(&disk);
        assert_eq!((recovery.snapshot, recovery.passed_over.len()), (None, names.len()));
        assert_eq!((heads.len(), state.credentials.len()), (47, 40));
        assert!(state == every_state && heads == every_head);
        journal.close();
    }

    #[test]
    fn a_fold_has_one_encoding_and_nothing_else_is_one() {
        let heads: Heads = (0..9u8).map(|n| (Key::new(n % 3, &[n; 10]), (u64::from(n), 7))).collect();
        let bytes = encode(&State::new(), &heads);
        let (state, read) = decode(&bytes).unwrap();
        assert!(read == heads && state == State::new() && encode(&state, &read) == bytes);
        for at in 0..bytes.len() {
            assert!(decode(&bytes[..at]).is_err(), "{at}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                if let Ok((state, read)) = decode(&changed) {
                    assert_eq!(encode(&state, &read), changed, "byte {at}");
                }
            }
        }
    }
}
