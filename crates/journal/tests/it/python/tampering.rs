//! What is done to a journal, and the finding that must name it.

use super::sample::*;
use super::{run, with_events};
use crate::support::Owned;
use marque_journal::checkpoint::Checkpoint;
use marque_journal::note::Ed25519Signer;
use std::fs;
use std::path::Path;

/// Runs on a directory and demands exit 7 with this finding.
fn found(name: &str, directory: &Path, arguments: &[&str], finding: &str) {
    let (code, text) = run(directory, arguments);
    assert_eq!(code, Some(7), "{name}: {text}");
    assert!(text.lines().any(|line| line.starts_with("FINDING ") && line.contains(finding)), "{name}: no `{finding}` in\n{text}");
    assert!(!text.contains("OK "), "{name}: {text}");
}

#[test]
fn whatever_is_done_to_the_files_is_found() {
    let seg = |d: &Path, n: u32| d.join(format!("journal/{n:08}.seg"));
    let edit = |path: &Path, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    };
    let files = Sample::good().segments();
    let batch_ends = |file: &[u8]| {
        let mut ends = vec![128];
        let mut at = 128;
        while file[at..].starts_with(b"MQB1") {
            at += 56 + u32::from_be_bytes(file[at + 16..at + 20].try_into().unwrap()) as usize;
            ends.push(at);
        }
        ends
    };
    let (ends, ends1) = (batch_ends(&files[0]), batch_ends(&files[1]));
    let tail = |keep: usize| move |b: &mut Vec<u8>| b[keep..].fill(0);
    type Change<'a> = Box<dyn Fn(&Path) + 'a>;
    let cases: Vec<(&str, &str, Change<'_>)> = vec![
        ("bit in the segment header", "segment header checksum", Box::new(|d| edit(&seg(d, 0), &|b| b[30] ^= 1))),
        ("bit in a batch header", "no intact batch header", Box::new(|d| edit(&seg(d, 0), &|b| b[ends[1] + 9] ^= 1))),
        ("bit in a frame header", "frame", Box::new(|d| edit(&seg(d, 0), &|b| b[ends[1] + 57] ^= 1))),
        ("bit in a record", "frame checksum", Box::new(|d| edit(&seg(d, 0), &|b| b[ends[1] + 90] ^= 1))),
        ("bit in the last record", "frame checksum", Box::new(|d| edit(&seg(d, 1), &|b| b[ends1[2] - 1] ^= 1))),
        ("torn last batch", "frame checksum", Box::new(|d| edit(&seg(d, 1), &tail(ends1[2] - 20)))),
        ("whole last batch cut", "covers 17 records, the journal has 15", Box::new(|d| edit(&seg(d, 1), &tail(ends1[1])))),
        ("file cut short", "batch bounds", Box::new(|d| edit(&seg(d, 1), &|b| b.truncate(ends1[2] - 20)))),
        ("garbage in the tail", "no intact batch header", Box::new(|d| edit(&seg(d, 1), &|b| *b.last_mut().unwrap() = 1))),
        ("batches exchanged", "does not follow", Box::new(|d| edit(&seg(d, 0), &|b| b[ends[1]..ends[3]].rotate_left(ends[2] - ends[1])))),
        ("batch removed", "does not follow", Box::new(|d| edit(&seg(d, 0), &|b| drop(b.drain(ends[1]..ends[2]))))),
        ("batch repeated", "does not follow", Box::new(|d| edit(&seg(d, 0), &|b| { let copy = b[ends[1]..ends[2]].to_vec(); b.splice(ends[2]..ends[2], copy); }))),
        ("last segment deleted", "covers 17 records, the journal has 12", Box::new(|d| fs::remove_file(seg(d, 1)).unwrap())),
        ("first segment deleted", "expected segment 0", Box::new(|d| fs::remove_file(seg(d, 0)).unwrap())),
        ("segments exchanged", "segment version, number or instance", Box::new(|d| { fs::write(seg(d, 0), &files[1]).unwrap(); fs::write(seg(d, 1), &files[0]).unwrap() })),
        ("segment emptied", "no segment header", Box::new(|d| fs::write(seg(d, 1), b"").unwrap())),
        ("checkpoint deleted", "No such file", Box::new(|d| fs::remove_file(d.join("journal/checkpoint")).unwrap())),
        ("checkpoint altered", "signature on the checkpoint is wrong", Box::new(|d| edit(&d.join("journal/checkpoint"), &|b| { let s = String::from_utf8(b.clone()).unwrap(); *b = s.replace("\n17\n", "\n16\n").into_bytes() }))),
        ("checkpoint unsigned", "not signed by the log", Box::new(|d| edit(&d.join("journal/checkpoint"), &|b| { let s = String::from_utf8(b.clone()).unwrap(); *b = s.replace("\u{2014} marque", "\u{2014} another").into_bytes() }))),
        ("verifier key replaced", "not signed by the log", Box::new(|d| fs::write(d.join("journal/log.vkey"), marque_journal::note::VerifierKey::new(ORIGIN, marque_journal::note::SignatureType::Ed25519, public_key(3)).unwrap().to_string()).unwrap())),
        ("checkpoint of another log", "not a checkpoint of this log", Box::new(|d| {
            let other = Ed25519Signer::from_seed("other.example", &[LOG; 32]).unwrap();
            let note = Checkpoint { origin: "other.example".to_owned(), size: 0, root: marque_journal::merkle::empty_root(), extensions: vec![] }.sign(&other).unwrap();
            fs::write(d.join("journal/checkpoint"), note.to_string()).unwrap();
        })),
    ];
    for (name, finding, change) in cases {
        let directory = Sample::good().write();
        change(directory.path());
        found(name, directory.path(), &[], finding);
    }
}

#[test]
fn somebody_with_the_log_key_is_found_by_a_remembered_checkpoint() {
    let remembered = Sample::good().checkpoint();
    let cases: Vec<(&str, &str, Sample)> = vec![
        ("altered and signed again", "the first 17 records are not those", with_events(|e| e[4].time_s = Some(1_790_000_013))),
        ("cut and signed again", "covers 17 records, the journal has 15", with_events(|e| e.truncate(15))),
        ("left out and written again", "covers 17 records, the journal has 15", with_events(|e| drop(e.drain(15..)))),
        ("exchanged and written again", "the first 17 records are not those", with_events(|e| e.swap(2, 6))),
    ];
    for (name, finding, sample) in cases {
        let directory = sample.write();
        let path = directory.path().join("remembered");
        fs::write(&path, &remembered).unwrap();
        found(name, directory.path(), &["--against", path.to_str().unwrap()], finding);
    }
}

#[test]
fn records_that_contradict_each_other_are_found_though_all_is_signed_again() {
    let records = |change: &dyn Fn(&mut Vec<Owned>)| {
        let mut records = records(&events());
        change(&mut records);
        Sample::of(&records.iter().map(Owned::encode).collect::<Vec<_>>())
    };
    let raw = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut raw: Vec<_> = self::records(&events()).iter().map(Owned::encode).collect();
        change(&mut raw[5]);
        Sample::of(&raw)
    };
    let frames = |change: &dyn Fn(&mut Sample)| {
        let mut sample = Sample::good();
        change(&mut sample);
        sample
    };
    let cases: Vec<(&str, &str, Sample)> = vec![
        ("record removed", "says it is record 6", records(&|r| drop(r.remove(5)))),
        ("records exchanged", "says it is record 9", records(&|r| r.swap(8, 9))),
        ("record repeated", "says it is record 5", records(&|r| { let copy = r[5].clone(); r.insert(6, copy) })),
        ("time backwards", "time runs backwards", records(&|r| r[9].time_ms = 1)),
        ("count skips", "number 9 after", records(&|r| r[9].backlinks[0].2 = 9)),
        ("predecessor wrong", "number 4 after 4, expected 5 after 5", records(&|r| { let n = r[9].backlinks[0].2; r[9].backlinks[0].3 = Some(4); assert_eq!(n, 5); r[9].backlinks[0].2 = 4 })),
        ("key begins again", "number 0 after None", records(&|r| { r[9].backlinks[0].2 = 0; r[9].backlinks[0].3 = None })),
        ("longer integer", "not the shortest form", raw(&|b| { b[4] = 0x18; b.insert(5, 5) })),
        ("trailing byte", "bytes after the record", raw(&|b| b.push(0))),
        ("another version", "out of bounds", raw(&|b| b[2] = 2)),
        ("indefinite length", "indefinite", raw(&|b| { b[0] = 0xbf; b.push(0xff) })),
        ("unknown field", "unknown, empty", raw(&|b| { b[0] += 1; b.extend([16, 1]) })),
        ("empty body", "unknown, empty", raw(&|b| { b[0] += 1; b.extend([15, 0xa0]) })),
        ("body keys out of order", "do not ascend", raw(&|b| { b[0] += 1; b.extend([15, 0xa2, 2, 0, 1, 0]) })),
        ("float in a body", "cut, reserved or indefinite length", raw(&|b| { b[0] += 1; b.extend([15, 0xa1, 1, 0xfe]) })),
        ("double in a body", "not the shortest form", raw(&|b| { b[0] += 1; b.extend([15, 0xa1, 1, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0]) })),
        ("tag in a body", "tag", raw(&|b| { b[0] += 1; b.extend([15, 0xa1, 1, 0xc0, 0]) })),
        ("body too deep", "too deep", raw(&|b| { b[0] += 1; b.extend([15, 0xa1, 1]); b.extend([0x81; 8]); b.push(0) })),
        ("field twice", "out of order", raw(&|b| { b[0] += 1; b.extend([14, 1]) })),
        ("opening of nothing", "opens no commitment", frames(&|s| s.batches[2].push((1, opening(4, 2))))),
        ("opening malformed", "an opening is malformed", frames(&|s| s.batches[2].push((1, vec![0x80])))),
        ("frame of no kind", "frame kind", frames(&|s| s.batches[2].push((2, vec![])))),
        ("segment names another root", "are not those it vouches for", frames(&|s| s.second_root = Some([1; 32]))),
    ];
    for (name, finding, sample) in cases {
        found(name, sample.write().path(), &[], finding);
    }
}

#[test]
fn uses_and_links_that_break_a_rule_are_found_though_all_is_signed_again() {
    let grants = |from: &str, to: &str| {
        assert!(GRANTS.contains(from));
        GRANTS.replacen(from, to, 1)
    };
    let child = |change: &dyn Fn(Link) -> Link| with_events(|e| {
        e.truncate(3);
        e[2] = Event::register(1, &change(b()));
    });
    let granted = |from: &str, to: &str| child(&|l| l.set("authorization_details", &grants(from, to)));
    let cases: Vec<(&str, &str, Sample)> = vec![
        ("outcome of nothing", "its cause is no use.intent", with_events(|e| e[5].cause = None)),
        ("outcome of another outcome", "its cause is no use.intent", with_events(|e| e[8].cause = Some(5))),
        ("use after the end", "the session is not open", with_events(|e| e.push(Event::intent(1, "link-a-0000000000")))),
        ("use before the session", "the session is not open", with_events(|e| e.insert(1, Event::intent(1, "link-a-0000000000")))),
        ("use by nobody", "leaf is not registered", with_events(|e| e[4].leaf = "")),
        ("use by a stranger", "leaf is not registered", with_events(|e| e[4].leaf = "link-z-0000000000")),
        ("use by another session's leaf", "leaf is not registered", with_events(|e| e[4].leaf = "link-d-0000000000")),
        ("use by a revoked leaf", "is revoked", with_events(|e| e[12].leaf = "link-b-0000000000")),
        ("use by a leaf below a revoked one", "is revoked", with_events(|e| e[12].leaf = "link-c-0000000000")),
        ("use of an expired leaf", "has expired", with_events(|e| { e[15].time_s = Some(1_790_003_601); e[16].time_s = Some(1_790_003_601) })),
        ("session opened twice", "a second time", with_events(|e| e[6] = Event::open(1, &Link::root("d", 104)))),
        ("session ended twice", "not open", with_events(|e| e.push(Event::new("session.end", 1, Body::None)))),
        ("revoked what is not", "no such link", with_events(|e| e[11].body = Body::Text(1, "link-z-0000000000".to_owned()))),
        ("revoked from another session", "no such link", with_events(|e| e[11].session = Some(2))),
        ("a second root", "instance.init", with_events(|e| e.push(e[0].clone()))),
        ("no root at all", "no root key", with_events(|e| e[0].kind = "something.else")),
        ("link 0 by a stranger", "wrong signature", with_events(|e| e[1] = Event::open(1, &Link { signer: 66, ..a() }))),
        ("link 0 in another environment", "link 0: environment", with_events(|e| e[1] = Event::open(1, &a().set("authorization_details", &GRANTS.replace("staging", "production"))))),
        ("child signed by a stranger", "wrong signature", child(&|l| Link { signer: 66, ..l })),
        ("child signed by the root", "wrong signature", child(&|l| Link { signer: ROOT, ..l })),
        ("child of no parent", "parent is not registered", child(&|l| l.set("par_hash", "\"47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\""))),
        ("child of another session", "parent is not registered", with_events(|e| e[7] = Event::register(2, &a().child(101, "x", 120, 1)))),
        ("wrong issuer", "thumbprint", child(&|l| l.set("iss", "\"someone\""))),
        ("outlives its parent", "outlives", child(&|l| l.set("exp", "1790003601"))),
        ("skips a depth", "depth", child(&|l| l.set("del_depth", "2"))),
        ("allows more depth", "depth", child(&|l| l.set("del_max_depth", "5"))),
        ("brings a session", "session or audience", child(&|l| { let s = a().claims["session"].clone(); l.set("session", &s) })),
        ("widens the audience", "session or audience", child(&|l| l.set("aud", "[\"https://evil.example\"]"))),
        ("reuses the parent's key", "occurs twice", child(&|l| l.set("cnf", &jwk(101)))),
        ("reuses the root's key", "occurs twice", child(&|l| l.set("cnf", &jwk(ROOT)))),
        ("reuses a jti", "occurs twice", child(&|l| l.set("jti", "\"link-a-0000000000\""))),
        ("widens a limit", "limits wider", child(&|l| l.set("limits", "{\"uses\":101}"))),
        ("widens a rate", "limits wider", child(&|l| l.set("limits", "{\"rate\":{\"uses\":10,\"per_s\":59}}"))),
        ("unknown claim", "unknown claim", child(&|l| l.set("admin", "true"))),
        ("member twice", "occurs twice", child(&|l| l.set("agent", "{\"id\":\"a\",\"id\":\"b\"}"))),
        ("float", "JSON number", child(&|l| l.set("exp", "1790003600.0"))),
        ("adds a method", "grant is wider", granted("[\"GET\",\"POST\"]", "[\"GET\",\"DELETE\"]")),
        ("any method", "grant is wider", granted("[\"GET\",\"POST\"]", "[\"*\"]")),
        ("adds an origin", "grant is wider", granted("https://api.example:443", "https://evil.example:443")),
        ("widens a path", "grant is wider", granted("/v1/**", "/**")),
        ("widens an action", "grant is wider", granted("pr.*", "*")),
        ("widens a resource", "grant is wider", granted("acme/*", "acme/**")),
        ("leaves its environment", "grant is wider", granted("staging", "production")),
        ("raises a grant's limit", "grant is wider", granted("\"bytes\":1000", "\"bytes\":1001")),
        ("another service", "grant is wider", granted("\"github\"", "\"gitlab\"")),
        ("another type", "grant is wider", granted("\"type\":\"service\"", "\"type\":\"http\"")),
        ("a limit dropped in between comes back", "limits wider", with_events(|e| {
            let b = b().set("limits", "{}");
            e.truncate(4);
            e[2] = Event::register(1, &b);
            e[3] = Event::register(1, &b.child(102, "c", 103, 2).set("limits", "{\"uses\":101}"));
        })),
    ];
    for (name, finding, sample) in cases {
        found(name, sample.write().path(), &[], finding);
    }
    let directory = Sample::good().write();
    let other = directory.path().join("root");
    fs::write(&other, public_key(66)).unwrap();
    found("another root key", directory.path(), &["--root-key", other.to_str().unwrap()], "not the root key given");
}

#[test]
fn narrower_links_are_accepted() {
    for (from, to) in [
        ("/v1/**", "/v1/a/*"), ("/v1/**", "/v1"), ("[\"GET\",\"POST\"]", "[\"GET\"]"), ("pr.*", "pr.review.*"), ("pr.*", "pr.create"), ("acme/*", "acme/web"), ("\"bytes\":1000", "\"bytes\":999"), (",\"limits\":{\"bytes\":1000}", ""),
    ] {
        let sample = with_events(|e| {
            e.truncate(3);
            e[2] = Event::register(1, &b().set("authorization_details", &GRANTS.replacen(from, to, 1)).set("limits", "{\"rate\":{\"uses\":5,\"per_s\":30}}"));
        });
        let (code, text) = run(sample.write().path(), &[]);
        // Nothing is wrong, and nobody remembers a checkpoint of it.
        assert!(code == Some(8) && text.starts_with("UNWITNESSED records 0 to 2"), "{to}: {text}");
    }
}
