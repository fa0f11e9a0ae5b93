//! Who has the data directory: with the passphrase he opens what has a key; without one he guesses.

use super::unhex;
use crate::house::PASSPHRASE;
use crate::oracle::{each_record, segments};
use marque_chain::{commit, sha256};
use marque_detect::Secret;
use marque_journal::record::decode;
use marque_journal::segment::{Expect, Frame, scan};
use marque_model::action::Binding;
use marque_model::event::{UseIntent, field};
use marque_model::{Action, Event, Scheme, SubjectId, Target};
use marque_store::disk::RealDisk;
use marque_store::seal::SealFile;
use marque_store::sealed::{Keyring, SecretStore};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// What the fields are called in their commitments.
const FIELDS: [(u64, &str); 7] = [
    (field::PURPOSE, "purpose"),
    (field::REFS, "refs"),
    (field::URL, "url"),
    (field::REASON, "reason"),
    (field::HUMAN_NAME, "human"),
    (field::SUMMARY, "summary"),
    (field::DIGEST_KEY, "digest_key"),
];
/// Before the text of an opening.
const SALT_BYTES: usize = 32;

/// An opening that could be read.
pub(super) struct Opened {
    pub(super) seq: u64,
    pub(super) field: u64,
    salt: [u8; SALT_BYTES],
    pub(super) text: String,
}

/// How many openings there are, and those that the owner of the passphrase can read.
pub(super) fn opened(data: &Path) -> (usize, Vec<Opened>) {
    let no_more: fn(&mut [u8]) = |_| panic!("nothing is made here");
    let (disk, signer) = (Arc::new(RealDisk::open(data).unwrap()), RealDisk::open(&data.join("signer")).unwrap());
    let (mut count, mut found, mut expect) = (0, Vec::new(), Expect::default());
    for path in segments(data) {
        let bytes = std::fs::read(&path).unwrap();
        let scan = scan(&bytes, &expect).unwrap();
        let instance = scan.header.instance;
        let seal = SealFile::load(&signer, "seal", instance).unwrap().unwrap();
        let root = seal.open_with_passphrase(&Secret::new(PASSPHRASE.into())).unwrap();
        let mut keys = Keyring::load(&signer, "keyring", instance, &root, Box::new(no_more)).unwrap().unwrap();
        let store = SecretStore::open(disk.clone(), "secrets.db", instance, Box::new(no_more)).unwrap();
        for frame in scan.frames() {
            let Frame::Opening(opening) = frame else { continue };
            count += 1;
            let Ok(key) = store.opening_key(&mut keys, opening.subject) else { continue };
            let plain = key.open(&opening).unwrap();
            let (salt, text) = plain.expose().split_first_chunk().unwrap();
            let text = String::from_utf8(text.to_vec()).unwrap();
            found.push(Opened { seq: opening.seq, field: opening.field, salt: *salt, text });
        }
        expect = Expect {
            number: scan.header.number.checked_add(1),
            first_seq: Some(scan.next_seq),
            instance: Some(instance),
            root: None,
            previous: Some(scan.tip),
        };
    }
    (count, found)
}

/// Keys and secrets, for the owner of the passphrase.
fn unlocked(data: &Path) -> (SecretStore, Keyring) {
    let no_more: fn(&mut [u8]) = |_| panic!("nothing is made here");
    let dir = data.join("signer");
    let instance = <[u8; 16]>::try_from(std::fs::read(dir.join("instance")).unwrap().as_slice()).unwrap();
    let signer = RealDisk::open(&dir).unwrap();
    let root = SealFile::load(&signer, "seal", instance).unwrap().unwrap().open_with_passphrase(&Secret::new(PASSPHRASE.into())).unwrap();
    let keys = Keyring::load(&signer, "keyring", instance, &root, Box::new(no_more)).unwrap().unwrap();
    (SecretStore::open(Arc::new(RealDisk::open(data).unwrap()), "secrets.db", instance, Box::new(no_more)).unwrap(), keys)
}

/// How many files there are where texts of tasks are kept, and the texts that the owner of the passphrase can read.
pub(super) fn kept(data: &Path) -> (usize, Vec<String>) {
    let (store, mut keys) = unlocked(data);
    let (mut count, mut found) = (0, Vec::new());
    for human in data.join("tasks").read_dir().into_iter().flatten().flatten() {
        let subject: SubjectId = human.file_name().to_str().unwrap().parse().unwrap();
        let key = store.opening_key(&mut keys, *subject.as_bytes());
        for file in human.path().read_dir().unwrap().flatten() {
            count += 1;
            let digest = unhex(file.file_name().to_str().unwrap());
            let Ok(key) = &key else { continue };
            let text = key.open_kept(&digest, &std::fs::read(file.path()).unwrap()).unwrap();
            found.push(String::from_utf8(text.expose().to_vec()).unwrap());
        }
    }
    (count, found)
}

/// Names of the tasks in the journal.
pub(super) fn named(data: &Path) -> Vec<String> {
    let mut names = Vec::new();
    each_record(data, |raw| {
        let record = decode(raw).unwrap();
        if let Ok(Event::Apply(apply)) = Event::decode(record.kind(), record.body()) {
            names.extend((apply.what == "task").then_some(apply.name));
        }
    });
    names
}

/// What the task file at that path may be called in the journal: its hash, and what any key that is there makes of it.
pub(super) fn guessed(data: &Path, human: &str, path: &str) -> Vec<String> {
    let (store, mut keys) = unlocked(data);
    let subject: SubjectId = human.parse().unwrap();
    let key = store.opening_key(&mut keys, *subject.as_bytes()).ok();
    let named = key.map(|key| key.name_of(format!("task\0{path}").as_bytes()));
    let hashes = [path.to_owned(), format!("task\0{path}")].map(|text| sha256(text.as_bytes()).0);
    let short = |hash: [u8; 32]| hash[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    hashes.into_iter().chain(named).map(short).collect()
}

/// Rows of the secrets file.
pub(super) fn rows(data: &Path) -> Vec<u8> {
    std::fs::read(data.join("secrets.db")).unwrap()
}

/// What a journal shows without a key.
#[derive(Default)]
pub(super) struct Leaves {
    /// Every 32 bytes that follow each other in a record, and the commitments in the links, which are text there.
    values: HashSet<[u8; 32]>,
    /// Every use's digest, and what else of it the records say.
    intents: BTreeMap<u64, (UseIntent, marque_model::SessionId, String)>,
    environments: BTreeMap<String, String>,
}

impl Leaves {
    pub(super) fn of(data: &Path) -> Self {
        let mut this = Self::default();
        each_record(data, |raw| {
            this.values.extend(raw.windows(32).map(|window| <[u8; 32]>::try_from(window).unwrap()));
            let record = decode(raw).unwrap();
            let head = record.head();
            match Event::decode(record.kind(), record.body()).unwrap() {
                Event::SessionOpen(open) => {
                    let link = marque_chain::Link::read_unverified(&open.link).unwrap();
                    this.values.insert(link.claims().session.as_ref().unwrap().purpose_c.0);
                    let id = marque_model::SessionId::from_bytes(head.session.unwrap());
                    this.environments.insert(id.to_string(), open.environment);
                }
                Event::UseIntent(intent) => {
                    let id = marque_model::SessionId::from_bytes(head.session.unwrap());
                    this.intents.insert(head.seq, (intent, id, head.leaf.to_owned()));
                }
                _ => {}
            }
        });
        this
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The guesses that some value in the records confirms, hashed as they are and as commitments with these salts.
    pub(super) fn confirm<'a>(&self, guesses: impl Iterator<Item = &'a str>, salts: &[[u8; 32]]) -> Vec<String> {
        let fits = |guess: &str| {
            self.values.contains(&sha256(guess.as_bytes()).0)
                || salts.iter().any(|salt| FIELDS.iter().any(|(_, name)| self.values.contains(&commit(salt, name, guess.as_bytes()).0)))
        };
        guesses.filter(|guess| fits(guess)).map(str::to_owned).collect()
    }

    /// The same with every value of the records as a salt: what is public cannot be one.
    pub(super) fn confirm_with_what_is_public(&self, guesses: &[String]) -> Vec<String> {
        let all: Vec<[u8; 32]> = self.values.iter().copied().collect();
        self.confirm(guesses.iter().map(String::as_str), &all)
    }

    /// The openings whose text and salt stand behind a commitment of the records.
    pub(super) fn open<'a>(&self, openings: &'a [Opened]) -> Vec<&'a Opened> {
        let name = |id| FIELDS.iter().find(|(field, _)| *field == id).unwrap().1;
        let fits = |o: &&Opened| self.values.contains(&commit(&o.salt, name(o.field), o.text.as_bytes()).0);
        openings.iter().filter(fits).collect()
    }

    /// Uses whose digest is that of a GET of this address by curl, under one of these keys.
    pub(super) fn gets_of<'k>(&self, uri: &str, keys: impl Iterator<Item = &'k [u8; 32]> + Clone) -> Vec<u64> {
        let request = hyper::Request::get(uri).header("accept", "*/*").body(()).unwrap();
        let content = marque_wire::http::content_hash(&request.into_parts().0, b"");
        let path = uri.split('?').next().unwrap().to_owned();
        let fits = |(intent, session, leaf): &(UseIntent, marque_model::SessionId, String)| {
            let (host, port) = intent.origin.strip_prefix("https://").unwrap().rsplit_once(':').unwrap();
            let action = Action {
                target: Target::new(Scheme::Https, host, port.parse().unwrap()).unwrap(),
                service: intent.service.clone(),
                environment: self.environments[&session.to_string()].clone(),
                operation: "GET".into(),
                resource: path.clone(),
                effect: intent.effect,
                attributes: BTreeMap::new(),
                method: "GET".into(),
                path: path.clone(),
                content,
            };
            let credential = intent.credential.map(|id| (id, intent.version));
            let digest = |key| action.digest(&Binding { session: *session, leaf, credential, key }).0;
            keys.clone().any(|key| digest(key) == intent.digest)
        };
        self.intents.iter().filter(|(_, intent)| fits(intent)).map(|(seq, _)| *seq).collect()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &[u8; 32]> + Clone {
        self.values.iter()
    }
}
