//! Promises of the sealed secrets.

use marque_detect::Secret;
use marque_journal::segment::Opening;
use marque_store::disk::{Disk, RealDisk};
use marque_store::seal::{Provider, SealError, SealFile, Stretch, read_service_credential};
use marque_store::sealed::{KeyWrap, Keyring, Random, SealedError, SecretStore, WrapError};
use std::path::Path;
use std::sync::Arc;

const INSTANCE: [u8; 16] = [7; 16];
const CHEAP: Stretch = Stretch { memory_kib: 64, passes: 1, lanes: 1 };
const CANARY: &[u8] = b"canary-4f1d2c90-never-in-a-file";

fn random(seed: u64) -> Random {
    let mut state = seed;
    Box::new(move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *byte = (state >> 40) as u8;
        }
    })
}

fn secret(bytes: &[u8]) -> Secret {
    Secret::new(bytes.to_vec())
}

fn disk(path: &Path) -> Arc<dyn Disk> {
    Arc::new(RealDisk::open(path).unwrap())
}

fn store(path: &Path, seed: u64) -> SecretStore {
    SecretStore::open(disk(path), "secrets.db", INSTANCE, random(seed)).unwrap()
}

#[test]
fn a_secret_comes_back_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let one = secrets.put(&mut keys, "github", 1, &secret(CANARY)).unwrap();
    let two = secrets.put(&mut keys, "github", 2, &secret(b"rotated")).unwrap();
    assert!(matches!(secrets.put(&mut keys, "github", 1, &secret(b"other")), Err(SealedError::Exists { .. })));
    let again = store(dir.path(), 3);
    assert!(again.get(&mut keys, "github", 1, &one).unwrap().eq_bytes(CANARY));
    assert!(again.get(&mut keys, "github", 2, &two).unwrap().eq_bytes(b"rotated"));
    assert_eq!(again.list().collect::<Vec<_>>(), [("github".to_owned(), 1), ("github".to_owned(), 2)]);
    assert!(secrets.remove("github", 1).unwrap());
    assert!(matches!(store(dir.path(), 4).get(&mut keys, "github", 1, &one), Err(SealedError::NotFound { .. })));
}

#[test]
fn an_older_secrets_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets.db");
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let one = secrets.put(&mut keys, "github", 1, &secret(CANARY)).unwrap();
    let old = std::fs::read(&path).unwrap();
    let two = secrets.put(&mut keys, "github", 2, &secret(b"rotated")).unwrap();
    store(dir.path(), 3).check([("github", 1, one), ("github", 2, two)]).unwrap();
    std::fs::write(&path, &old).unwrap();
    assert!(matches!(
        store(dir.path(), 3).check([("github", 1, one), ("github", 2, two)]),
        Err(SealedError::NotFound { version: 2, .. })
    ));
    // The same version with another value, which its keys would decrypt: the hash tells.
    std::fs::remove_file(&path).unwrap();
    let mut other = store(dir.path(), 9);
    other.put(&mut keys, "github", 2, &secret(b"rolled back")).unwrap();
    assert!(matches!(other.check([("github", 2, two)]), Err(SealedError::Stale { version: 2, .. })));
    assert!(matches!(other.get(&mut keys, "github", 2, &two), Err(SealedError::Stale { .. })));
}

#[test]
fn a_sealed_row_cannot_be_moved_or_changed() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let a = secrets.put(&mut keys, "aaaa", 1, &secret(b"secret of a")).unwrap();
    let b = secrets.put(&mut keys, "bbbb", 1, &secret(b"secret of b")).unwrap();
    let path = dir.path().join("secrets.db");
    let bytes = std::fs::read(&path).unwrap();
    // The ids change places.
    let swapped: Vec<u8> = {
        let text = bytes.clone();
        let at = |id: &[u8]| text.windows(4).position(|w| w == id).unwrap();
        let (x, y) = (at(b"aaaa"), at(b"bbbb"));
        let mut out = text.clone();
        // Rows end where the next begins: exchange everything after the ids.
        let row = y - x;
        let tail_x = text[x + 4..x + row - 3].to_vec();
        let tail_y = text[y + 4..y + row - 3].to_vec();
        out[x + 4..x + row - 3].copy_from_slice(&tail_y);
        out[y + 4..y + row - 3].copy_from_slice(&tail_x);
        out
    };
    std::fs::write(&path, &swapped).unwrap();
    let moved = store(dir.path(), 3);
    let hash = moved.row_hash("aaaa", 1).unwrap();
    assert!(hash != a && hash != b);
    assert!(matches!(moved.get(&mut keys, "aaaa", 1, &hash), Err(SealedError::Wrap(WrapError::NotOurs))));
    // Every single byte of the file counts.
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        let opened = SecretStore::open(disk(dir.path()), "secrets.db", INSTANCE, random(5));
        let noticed = match opened {
            Err(_) => true,
            Ok(store) => store.get(&mut keys, "aaaa", 1, &a).is_err() || store.get(&mut keys, "bbbb", 1, &b).is_err(),
        };
        assert!(noticed, "byte {index}");
    }
}

#[test]
fn a_new_term_wraps_everything_again_and_row_hashes_stay() {
    let dir = tempfile::tempdir().unwrap();
    let root = secret(&[8; 32]);
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let hash = secrets.put(&mut keys, "github", 1, &secret(CANARY)).unwrap();
    assert_eq!(keys.rotate().unwrap(), 2);
    keys.save(disk(dir.path()).as_ref(), "keyring", &root).unwrap();
    assert_eq!(secrets.rewrap(&mut keys).unwrap(), 1);
    assert_eq!(secrets.rewrap(&mut keys).unwrap(), 0);
    let mut loaded = Keyring::load(disk(dir.path()).as_ref(), "keyring", INSTANCE, &root, random(4)).unwrap().unwrap();
    assert_eq!(loaded.term().unwrap(), 2);
    assert!(store(dir.path(), 3).get(&mut loaded, "github", 1, &hash).unwrap().eq_bytes(CANARY));
    let wrong = Keyring::load(disk(dir.path()).as_ref(), "keyring", INSTANCE, &secret(&[9; 32]), random(4));
    assert!(matches!(wrong, Err(SealedError::NotOurs(_))));
}

#[test]
fn a_copy_of_the_directory_yields_no_secret_without_the_passphrase() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = random(11);
    let (mut seal, root) = SealFile::create(INSTANCE, &mut rng);
    seal.add_passphrase(&root, &secret(b"open sesame 42"), CHEAP, &mut rng).unwrap();
    seal.save(disk(dir.path()).as_ref(), "seal").unwrap();
    let mut keys = Keyring::create(INSTANCE, random(12));
    keys.save(disk(dir.path()).as_ref(), "keyring", &root).unwrap();
    let mut secrets = store(dir.path(), 13);
    let hash = secrets.put(&mut keys, "github", 1, &secret(CANARY)).unwrap();
    drop((seal, secrets, keys));

    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY));
        assert!(!bytes.windows(32).any(|window| window == root.expose()));
        std::fs::write(copy.path().join(entry.file_name()), bytes).unwrap();
    }
    drop(root);
    let seal = SealFile::load(disk(copy.path()).as_ref(), "seal", INSTANCE).unwrap().unwrap();
    assert!(matches!(seal.open_with_passphrase(&secret(b"open sesame 43")), Err(SealError::WrongKey)));
    // The control: with the passphrase, the same copy does.
    let root = seal.open_with_passphrase(&secret(b"open sesame 42")).unwrap();
    let mut keys = Keyring::load(disk(copy.path()).as_ref(), "keyring", INSTANCE, &root, random(1)).unwrap().unwrap();
    assert!(store(copy.path(), 1).get(&mut keys, "github", 1, &hash).unwrap().eq_bytes(CANARY));
}

#[test]
fn every_provider_opens_the_same_root_key_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = random(21);
    let (mut seal, root) = SealFile::create(INSTANCE, &mut rng);
    assert!(matches!(seal.save(disk(dir.path()).as_ref(), "seal"), Err(SealError::LastCopy)));
    let first = seal.add_passphrase(&root, &secret(b"first"), CHEAP, &mut rng).unwrap();
    seal.add_passphrase(&root, &secret(b"second"), CHEAP, &mut rng).unwrap();
    let (_, recovery) = seal.add_recovery_key(&root, &mut rng).unwrap();
    std::fs::write(dir.path().join("marque-root"), [3; 40]).unwrap();
    let credential = read_service_credential(dir.path(), "marque-root").unwrap();
    seal.add_service_credential(&root, &credential, &mut rng).unwrap();
    assert!(matches!(seal.add_service_credential(&root, &secret(&[1; 31]), &mut rng), Err(SealError::Bounds(_))));
    assert!(matches!(seal.add_passphrase(&secret(&[0; 32]), &secret(b"x"), CHEAP, &mut rng), Err(SealError::WrongRoot)));
    assert!(matches!(read_service_credential(dir.path(), "../x"), Err(SealError::Bounds(_))));
    seal.save(disk(dir.path()).as_ref(), "seal").unwrap();

    let mut seal = SealFile::load(disk(dir.path()).as_ref(), "seal", INSTANCE).unwrap().unwrap();
    let opened = [
        seal.open_with_passphrase(&secret(b"first")),
        seal.open_with_passphrase(&secret(b"second")),
        seal.open_with_recovery_key(&recovery),
        seal.open_with_service_credential(&credential),
    ];
    for key in opened {
        assert!(key.unwrap().eq_bytes(root.expose()));
    }
    assert!(seal.verify_passphrase(&secret(b"first")));
    assert!(!seal.verify_passphrase(&secret(b"third")));
    assert!(!seal.verify_passphrase(&secret(b"")));
    assert!(seal.remove(first).unwrap());
    assert!(!seal.verify_passphrase(&secret(b"first")));
    assert_eq!(
        seal.copies().map(|(_, provider)| provider).collect::<Vec<_>>(),
        [Provider::Passphrase, Provider::RecoveryKey, Provider::ServiceCredential]
    );
    assert!(Provider::OsKeyring.label().contains("protects at rest only"));
}

#[test]
fn a_keyrings_key_opens_its_seal_and_no_other_key_does() {
    let mut rng = random(33);
    let (mut seal, root) = SealFile::create(INSTANCE, &mut rng);
    let (recovery, _) = seal.add_recovery_key(&root, &mut rng).unwrap();
    let (id, key) = seal.add_os_keyring(&root, &mut rng).unwrap();
    assert!(seal.open_with_os_keyring(&key).unwrap().eq_bytes(root.expose()));
    let mut other = key.expose().to_vec();
    other[0] ^= 1;
    assert!(matches!(seal.open_with_os_keyring(&Secret::new(other)), Err(SealError::WrongKey)));
    // A key opens by the way it was made for, and by no other.
    assert!(matches!(seal.open_with_service_credential(&key), Err(SealError::WrongKey)));
    assert!(seal.remove(id).unwrap() && id != recovery);
    assert!(matches!(seal.open_with_os_keyring(&key), Err(SealError::WrongKey)));
}

#[test]
fn a_seal_has_a_limit_of_copies_and_of_stored_work() {
    let mut rng = random(31);
    let (mut seal, root) = SealFile::create(INSTANCE, &mut rng);
    for _ in 0..16 {
        seal.add_recovery_key(&root, &mut rng).unwrap();
    }
    assert!(matches!(seal.add_recovery_key(&root, &mut rng), Err(SealError::Bounds("copies"))));
    let (mut seal, root) = SealFile::create(INSTANCE, &mut rng);
    let huge = Stretch { memory_kib: 2 * 1024 * 1024 + 1, passes: 1, lanes: 1 };
    assert!(matches!(seal.add_passphrase(&root, &secret(b"x"), huge, &mut rng), Err(SealError::Bounds(_))));
    let slow = Stretch { passes: 17, ..CHEAP };
    assert!(matches!(seal.add_passphrase(&root, &secret(b"x"), slow, &mut rng), Err(SealError::Bounds(_))));
    assert!(seal.add_passphrase(&root, &secret(&[b'x'; 1024]), Stretch { passes: 16, ..CHEAP }, &mut rng).is_ok());
    assert!(matches!(seal.add_passphrase(&root, &secret(&[b'x'; 1025]), CHEAP, &mut rng), Err(SealError::Bounds(_))));
    assert_eq!(Stretch::default(), Stretch { memory_kib: 256 * 1024, passes: 3, lanes: 1 });
}

#[test]
fn an_erased_subject_has_no_text_left() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let (alice, bob) = ([1; 16], [2; 16]);
    assert!(secrets.make_opening_key(&mut keys, alice).unwrap());
    assert!(!secrets.make_opening_key(&mut keys, alice).unwrap());
    let key = secrets.opening_key(&mut keys, alice).unwrap();
    let ciphertext = key.seal(40, 2, [5; 12], b"rm -rf /srv/alice").unwrap();
    let opening = |seq, field, subject| Opening { seq, field, subject, nonce: [5; 12], ciphertext: &ciphertext };
    assert!(key.open(&opening(40, 2, alice)).unwrap().eq_bytes(b"rm -rf /srv/alice"));
    for elsewhere in [opening(41, 2, alice), opening(40, 3, alice), opening(40, 2, bob)] {
        assert!(key.open(&elsewhere).is_err());
    }
    // The key is the same after a restart, and gone after the erasure.
    let again = store(dir.path(), 3).opening_key(&mut keys, alice).unwrap();
    assert!(again.open(&opening(40, 2, alice)).is_ok());
    assert!(secrets.erase_subject(alice, &[]).unwrap());
    assert!(!secrets.erase_subject(alice, &[]).unwrap());
    // To look for it makes no other.
    assert!(matches!(secrets.opening_key(&mut keys, alice), Err(SealedError::NotFound { .. })));
    let mut later = store(dir.path(), 4);
    assert!(!later.has_subject(alice));
    assert!(later.make_opening_key(&mut keys, alice).unwrap());
    assert!(later.opening_key(&mut keys, alice).unwrap().open(&opening(40, 2, alice)).is_err());
}

#[test]
fn what_is_kept_and_named_under_a_subjects_key_is_of_no_use_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let (alice, bob) = ([1; 16], [2; 16]);
    for subject in [alice, bob] {
        secrets.make_opening_key(&mut keys, subject).unwrap();
    }
    let [hers, his] = [alice, bob].map(|subject| secrets.opening_key(&mut keys, subject).unwrap());
    let kept = hers.seal_kept(b"a", [5; 12], b"rotate the role").unwrap();
    assert!(!kept.windows(6).any(|w| w == b"rotate"));
    assert!(hers.open_kept(b"a", &kept).unwrap().eq_bytes(b"rotate the role"));
    assert!(hers.open_kept(b"b", &kept).is_err() && his.open_kept(b"a", &kept).is_err());
    for at in 0..kept.len() {
        let mut changed = kept.clone();
        changed[at] ^= 1;
        assert!(hers.open_kept(b"a", &changed).is_err(), "byte {at}");
        assert!(hers.open_kept(b"a", &kept[..at]).is_err(), "cut at {at}");
    }
    let again = store(dir.path(), 3).opening_key(&mut keys, alice).unwrap();
    let name = hers.name_of(b"/home/alice/task.toml");
    assert_eq!(again.name_of(b"/home/alice/task.toml"), name);
    assert_ne!(hers.name_of(b"/home/alice/task"), name);
    assert_ne!(his.name_of(b"/home/alice/task.toml"), name);
    // Erased, and known again: another key, which opens and names nothing of before.
    assert!(secrets.erase_subject(alice, &[]).unwrap());
    assert!(secrets.make_opening_key(&mut keys, alice).unwrap());
    let later = secrets.opening_key(&mut keys, alice).unwrap();
    assert!(later.open_kept(b"a", &kept).is_err());
    assert_ne!(later.name_of(b"/home/alice/task.toml"), name);
}

#[test]
fn what_is_erased_leaves_no_byte_of_its_rows_in_the_file_and_takes_no_other_row_along() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets.db");
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    let (alice, bob) = ([0xa1; 16], [0xb0; 16]);
    secrets.make_opening_key(&mut keys, bob).unwrap();
    let kept = [("human/uid/1001", bob.to_vec()), ("human/uid/10000", b"a longer name".to_vec()), ("credential/x", CANARY.to_vec())];
    let kept = kept.map(|(id, value)| (id, secrets.put(&mut keys, id, 1, &secret(&value)).unwrap(), value));
    let before = std::fs::read(&path).unwrap();
    secrets.make_opening_key(&mut keys, alice).unwrap();
    secrets.put(&mut keys, "human/uid/1000", 1, &secret(&alice)).unwrap();
    let with = std::fs::read(&path).unwrap();
    // The control: a copy that was made before has both.
    assert!(with.len() > before.len() && with.windows(16).any(|w| w == alice));
    // What an interrupted replacement left behind goes too.
    std::fs::write(dir.path().join("secrets.db.tmp"), &with).unwrap();
    assert!(secrets.erase_subject(alice, &["human/uid/1000".to_owned()]).unwrap());
    assert_eq!(std::fs::read(&path).unwrap(), before, "exactly what was there without the two rows");
    let files: Vec<_> = dir.path().read_dir().unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(files, ["secrets.db"]);
    let again = store(dir.path(), 3);
    assert!(again.has_subject(bob) && !again.has_subject(alice));
    for (id, hash, value) in kept {
        assert!(again.get(&mut keys, id, 1, &hash).unwrap().eq_bytes(&value));
    }
}

#[test]
fn a_secret_has_a_longest_length() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Keyring::create(INSTANCE, random(1));
    let mut secrets = store(dir.path(), 2);
    assert!(secrets.put(&mut keys, "a", 1, &secret(&vec![1; 65_536])).is_ok());
    assert!(matches!(secrets.put(&mut keys, "b", 1, &secret(&vec![1; 65_537])), Err(SealedError::TooMany("secret length"))));
    assert!(secrets.put(&mut keys, &"i".repeat(128), 1, &secret(b"x")).is_ok());
    assert!(matches!(secrets.put(&mut keys, &"i".repeat(129), 1, &secret(b"x")), Err(SealedError::TooMany("id length"))));
}
