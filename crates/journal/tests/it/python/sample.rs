//! A small journal with two sessions and a chain of three links, written with no help from `segment`.

use crate::support::Owned;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use marque_journal::cbor::Writer;
use marque_journal::checkpoint::Checkpoint;
use marque_journal::merkle::{Hash, Tree, leaf_hash, sha256};
use marque_journal::note::{Ed25519Signer, SignatureType, Signer, VerifierKey};
use marque_journal::record::KeyKind;
use std::collections::{BTreeMap, HashMap};

pub const ROOT: u8 = 100;
pub const LOG: u8 = 50;
pub const ORIGIN: &str = "marque.example/test";
/// Batches in the first segment; the rest lie in the second.
pub const FIRST_SEGMENT_BATCHES: usize = 4;
const RECORDS_IN_BATCH: usize = 3;
const START_S: u64 = 1_790_000_000;

pub fn key(seed: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed("k", &[seed; 32]).unwrap()
}

pub fn public_key(seed: u8) -> [u8; 32] {
    key(seed).public_key()
}

pub fn log_key() -> VerifierKey {
    VerifierKey::new(ORIGIN, SignatureType::Ed25519, public_key(LOG)).unwrap()
}

/// A link: its signer and its claims as JSON.
#[derive(Debug, Clone)]
pub struct Link {
    pub signer: u8,
    pub claims: BTreeMap<&'static str, String>,
}

impl Link {
    pub fn input(&self) -> String {
        let claims: Vec<String> = self.claims.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{}.{}", B64.encode(r#"{"alg":"EdDSA","typ":"agent-link+jwt"}"#), B64.encode(format!("{{{}}}", claims.join(","))))
    }

    pub fn compact(&self) -> String {
        let input = self.input();
        let signature = key(self.signer).sign(input.as_bytes()).unwrap();
        format!("{input}.{}", B64.encode(signature))
    }

    pub fn set(mut self, name: &'static str, json: &str) -> Self {
        self.claims.insert(name, json.to_owned());
        self
    }

    fn common(signer: u8, name: &str, holder: u8) -> Self {
        let json = |text: &str| text.to_owned();
        let claims = BTreeMap::from([
            ("iss", format!("\"{}\"", thumbprint(signer))),
            ("jti", format!("\"link-{name}-0000000000\"")),
            ("iat", START_S.to_string()),
            ("exp", (START_S + 3600).to_string()),
            ("cnf", jwk(holder)),
            ("agent", format!("{{\"id\":\"agent:{name}\"}}")),
            ("aud", json("[\"https://gateway.example\",\"https://other.example\"]")),
            ("authorization_details", json(GRANTS)),
            ("limits", json("{\"uses\":100,\"rate\":{\"uses\":10,\"per_s\":60}}")),
        ]);
        Self { signer, claims }
    }

    pub fn root(name: &str, holder: u8) -> Self {
        let session = r#"{"id":"s","human":"h-7f3a","human_proof":"asserted","purpose_c":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU","mode":"enforce","environment":"staging"}"#;
        let policy = r#"{"id":"p","sha256":"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"}"#;
        Self::common(ROOT, name, holder)
            .set("iss", "\"https://authority.example\"")
            .set("del_depth", "0")
            .set("del_max_depth", "4")
            .set("session", session)
            .set("policy", policy)
    }

    pub fn child(&self, signer: u8, name: &str, holder: u8, depth: u8) -> Self {
        Self::common(signer, name, holder)
            .set("del_depth", &depth.to_string())
            .set("del_max_depth", "4")
            .set("par_hash", &format!("\"{}\"", B64.encode(sha256(self.input().as_bytes()))))
    }
}

pub const GRANTS: &str = concat!(
    r#"[{"type":"http","environment":"staging","locations":["https://api.example:443"],"actions":["GET","POST"],"paths":["/v1/**"],"limits":{"bytes":1000}},"#,
    r#"{"type":"service","service":"github","environment":"staging","actions":["pr.*"],"resources":["acme/*"]}]"#
);

pub fn jwk(holder: u8) -> String {
    format!("{{\"jwk\":{{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"{}\"}}}}", B64.encode(public_key(holder)))
}

fn thumbprint(seed: u8) -> String {
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, B64.encode(public_key(seed)));
    format!("urn:ietf:params:oauth:jwk-thumbprint:sha-256:{}", B64.encode(sha256(jwk.as_bytes())))
}

pub fn a() -> Link {
    Link::root("a", 101)
}

pub fn b() -> Link {
    a().child(101, "b", 102, 1)
}

pub fn c() -> Link {
    b().child(102, "c", 103, 2)
}

#[derive(Debug, Clone)]
pub enum Body {
    None,
    Bytes(u64, Vec<u8>),
    Text(u64, String),
}

#[derive(Debug, Clone)]
pub struct Event {
    pub kind: &'static str,
    pub session: Option<u8>,
    pub leaf: &'static str,
    pub cause: Option<u64>,
    pub body: Body,
    pub time_s: Option<u64>,
}

impl Event {
    pub fn new(kind: &'static str, session: u8, body: Body) -> Self {
        Self { kind, session: (session > 0).then_some(session), leaf: "", cause: None, body, time_s: None }
    }

    pub fn open(session: u8, link: &Link) -> Self {
        Self::new("session.open", session, Body::Text(20, link.compact()))
    }

    pub fn register(session: u8, link: &Link) -> Self {
        Self::new("link.register", session, Body::Text(20, link.compact()))
    }

    pub fn intent(session: u8, leaf: &'static str) -> Self {
        Self { leaf, ..Self::new("use.intent", session, Body::None) }
    }

    pub fn outcome(session: u8, cause: u64) -> Self {
        Self { cause: Some(cause), ..Self::new("use.outcome", session, Body::None) }
    }
}

pub fn events() -> Vec<Event> {
    vec![
        Event::new("instance.init", 0, Body::Bytes(20, public_key(ROOT).to_vec())),
        Event::open(1, &a()),
        Event::register(1, &b()),
        Event::register(1, &c()),
        Event::intent(1, "link-b-0000000000"),
        Event::outcome(1, 4),
        Event::open(2, &Link::root("d", 104)),
        Event::intent(2, "link-d-0000000000"),
        Event::outcome(2, 7),
        Event::intent(1, "link-c-0000000000"),
        Event::outcome(1, 9),
        Event::new("link.revoke", 1, Body::Text(1, "link-b-0000000000".to_owned())),
        Event::intent(1, "link-a-0000000000"),
        Event::outcome(1, 12),
        Event::new("session.end", 1, Body::None),
        Event::intent(2, "link-d-0000000000"),
        Event::outcome(2, 15),
    ]
}

/// Records with sequence numbers, times and backlinks of session and resource.
pub fn records(events: &[Event]) -> Vec<Owned> {
    let mut keys: HashMap<(KeyKind, Vec<u8>), (u64, u64)> = HashMap::new();
    let mut record = |(seq, event): (usize, &Event)| {
        let seq = seq as u64;
        let mut touched: Vec<_> = event.session.map(|id| (KeyKind::Session, vec![id; 10])).into_iter().collect();
        if event.kind.starts_with("use.") {
            touched.push((KeyKind::Resource, b"api.example".to_vec()));
        }
        let backlinks = touched.into_iter().map(|key| {
            let before = keys.get(&key).copied();
            let n = before.map_or(0, |(n, _)| n);
            keys.insert(key.clone(), (n + 1, seq));
            (key.0, key.1, n, before.map(|(_, last)| last))
        });
        let mut body = Vec::new();
        match &event.body {
            Body::None => {}
            Body::Bytes(key, value) => drop(Writer::new(&mut body).map(1).uint(*key).bytes(value)),
            Body::Text(key, value) => drop(Writer::new(&mut body).map(1).uint(*key).text(value)),
        }
        Owned {
            seq,
            time_ms: event.time_s.unwrap_or(START_S + 10 + seq) * 1000,
            kind: event.kind.to_owned(),
            session: event.session.map(|id| [id; 10]),
            leaf: event.leaf.to_owned(),
            backlinks: backlinks.collect(),
            cause: event.cause,
            digests: [None; 3],
            lease: None,
            taint: 0,
            commitments: if event.kind == "use.intent" { vec![(1, [9; 32])] } else { vec![] },
            mode: event.session.map(|_| marque_journal::record::Mode::Enforce),
            body,
        }
    };
    events.iter().enumerate().map(&mut record).collect()
}

pub type Batch = Vec<(u8, Vec<u8>)>;

/// Batches of frames, and how they are put into files.
#[derive(Debug, Clone)]
pub struct Sample {
    pub batches: Vec<Batch>,
    /// Replaces the root in the second segment's header.
    pub second_root: Option<Hash>,
}

impl Sample {
    pub fn good() -> Self {
        super::with_events(|_| {})
    }

    /// Three records to a batch; an opening after record 4.
    pub fn of(records: &[Vec<u8>]) -> Self {
        let mut batches: Vec<Batch> =
            records.chunks(RECORDS_IN_BATCH).map(|chunk| chunk.iter().map(|record| (0, record.clone())).collect()).collect();
        if let Some(batch) = batches.get_mut(1) {
            batch.push((1, opening(4, 1)));
        }
        Self { batches, second_root: None }
    }

    fn tree(batches: &[Batch]) -> Tree {
        let mut tree = Tree::new();
        for (_, record) in batches.iter().flatten().filter(|(kind, _)| *kind == 0) {
            tree.push(leaf_hash(record), |_, _, _| {}).unwrap();
        }
        tree
    }

    pub fn checkpoint(&self) -> String {
        let tree = Self::tree(&self.batches);
        let log = Ed25519Signer::from_seed(ORIGIN, &[LOG; 32]).unwrap();
        Checkpoint { origin: ORIGIN.to_owned(), size: tree.size(), root: tree.root(), extensions: vec![] }.sign(&log).unwrap().to_string()
    }

    pub fn segments(&self) -> Vec<Vec<u8>> {
        let (first, second) = self.batches.split_at(FIRST_SEGMENT_BATCHES.min(self.batches.len()));
        let mut tip = [0; 32];
        let mut size = 0;
        [(0u32, first, Tree::new().root()), (1, second, self.second_root.unwrap_or(Self::tree(first).root()))]
            .map(|(number, batches, root)| segment(number, batches, root, &mut size, &mut tip))
            .to_vec()
    }

    pub fn write(&self) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("journal");
        std::fs::create_dir(&journal).unwrap();
        for (number, file) in self.segments().iter().enumerate() {
            std::fs::write(journal.join(format!("{number:08}.seg")), file).unwrap();
        }
        std::fs::write(journal.join("checkpoint"), self.checkpoint()).unwrap();
        std::fs::write(journal.join("log.vkey"), format!("{}\n", log_key())).unwrap();
        directory
    }
}

pub fn opening(seq: u64, field: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out).array(5).uint(seq).uint(field).bytes(&[1; 16]).bytes(&[2; 12]).bytes(b"sealed");
    out
}

fn segment(number: u32, batches: &[Batch], root: Hash, size: &mut u64, tip: &mut Hash) -> Vec<u8> {
    let mut file = b"MARQUEJ1".to_vec();
    file.extend([&1u32.to_be_bytes()[..], &number.to_be_bytes(), &size.to_be_bytes(), &[7; 16], &root, &size.to_be_bytes(), tip, &[0; 12]].concat());
    file.extend(crc32c::crc32c(&file).to_be_bytes());
    *tip = sha256(&file);
    for batch in batches {
        let mut frames = Vec::new();
        for (kind, payload) in batch {
            let start = [&(payload.len() as u32).to_be_bytes()[..], &[*kind]].concat();
            let crc = crc32c::crc32c(&[&start[..], payload].concat());
            frames.extend([&start[..], &crc.to_be_bytes(), payload].concat());
        }
        let mut header = b"MQB1".to_vec();
        header.extend((batch.len() as u32).to_be_bytes());
        header.extend(size.to_be_bytes());
        header.extend((frames.len() as u32).to_be_bytes());
        header.extend(*tip);
        header.extend(crc32c::crc32c(&header).to_be_bytes());
        *size += batch.iter().filter(|(kind, _)| *kind == 0).count() as u64;
        *tip = sha256(&header);
        file.extend([header, frames].concat());
    }
    file.extend([0; 64]);
    file
}
