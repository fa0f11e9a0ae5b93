//! The tamper campaign: a program that owns the data directory and the journal's own keys changes what happened. Below a
//! checkpoint that somebody remembers it is found, by both verifiers; above, it is reported as the unwitnessed window, and
//! never as plain OK.
//!
//! Here about 100 tamperings; `./test --campaign tamper [N]` runs N (2,000). Tiles are not among them: they are derived, and
//! neither verifier believes them.

pub(crate) mod forger;

use crate::house::{House, LONG};
use crate::kills::{Dice, amount, seed};
use crate::load::{Acks, Load, Upstream, grants, open_sessions};
use crate::local::{Failed, Local, until};
use crate::oracle;
use forger::{Book, Forger, Frame};
use marque_testkit::proc::Child;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

const LIMITS: [&str; 2] = ["--journal-limits", "524288,524288,0"];
const SHARE: u64 = 100;

/// A journal that the product wrote, its checkpoints, an older copy, and the forger who owns it all.
struct Scene {
    house: House,
    /// Size and file of checkpoints that somebody took away while it was written, ascending.
    held: Vec<(u64, PathBuf)>,
    /// Data directory as it was at some earlier time, and its size.
    older: (PathBuf, u64),
    book: Book,
    forger: Forger,
}

fn copy(from: &Path, to: &Path) {
    let exit = Child::run(Command::new("cp").arg("-a").arg(from).arg(to), LONG).unwrap();
    assert!(exit.status.success(), "{exit:?}");
}

impl Scene {
    fn new() -> Self {
        let mut house = House::empty();
        let upstream = Upstream::start();
        let acks: Arc<Mutex<Acks>> = Arc::default();
        let older = house.dir.path().join("older");
        for life in 0..2 {
            house.start(&LIMITS);
            let local = Local::of(&house);
            until("it opens", LONG, || local.try_open().ok());
            if life == 0 {
                local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
            }
            for burst in 0..4 {
                let seats = open_sessions(&local, &acks).unwrap();
                let load = Load::start(&local, &upstream, &acks, seats, 2, &format!("l{life}-{burst}"));
                until("some uses", LONG, || (upstream.server.log().records().len() > 12 * (life * 4 + burst + 1)).then_some(()));
                load.stop();
                let note = local.call("POST", "/v1/checkpoint", &Value::Null).unwrap();
                acks.lock().unwrap().checkpoints.push(note["checkpoint"].as_str().unwrap().to_owned());
            }
            house.stop();
            if life == 0 {
                copy(&house.data(), &older);
            }
        }
        let book = Book::read(&house.data());
        let mut held: Vec<(u64, String)> = acks.lock().unwrap().checkpoints.iter().map(|note| (size_of(note), note.clone())).collect();
        held.push((size_of_file(&house.data()), std::fs::read_to_string(house.data().join("journal/checkpoint")).unwrap()));
        held.sort();
        held.dedup_by_key(|(size, _)| *size);
        let dir = house.dir.path().to_owned();
        let held = held.into_iter().map(|(size, note)| {
            let path = dir.join(format!("held-{size}"));
            std::fs::write(&path, note).unwrap();
            (size, path)
        });
        let held: Vec<_> = held.collect();
        let older_size = Book::read(&older).records().len() as u64;
        let forger = Forger::of(&house);
        Self { held, older: (older, older_size), book, forger, house }
    }
}

fn size_of(note: &str) -> u64 {
    note.lines().nth(1).unwrap().parse().unwrap()
}

fn size_of_file(data: &Path) -> u64 {
    size_of(&std::fs::read_to_string(data.join("journal/checkpoint")).unwrap())
}

/// What a tampering did: its kind, and the first record that is not what it was.
struct Done {
    what: &'static str,
    at: u64,
}

/// Changes a copy of the journal in one of the ways that there are.
fn tamper(scene: &Scene, copy_dir: &Path, dice: &mut Dice) -> Done {
    let book = &scene.book;
    let records = book.records();
    let n = records.len() as u64;
    let pick = |dice: &mut Dice, less: u64| dice.below(n - less);
    let index = |seq: u64| usize::try_from(seq).unwrap();
    let rewrite = |frames: Vec<Frame>| scene.forger.write(copy_dir, &frames);
    match dice.below(13) {
        0 => {
            // One bit of a segment, nothing signed again.
            let (path, at, seq) = book.byte(copy_dir, dice);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 1 << dice.below(8);
            std::fs::write(path, bytes).unwrap();
            Done { what: "bit flipped in a segment", at: seq }
        }
        1 => {
            let seq = pick(dice, 0);
            let mut frames = book.frames.clone();
            let payload = &mut frames[records[index(seq)]].payload;
            let at = usize::try_from(dice.below(payload.len() as u64)).unwrap();
            payload[at] ^= 1 << dice.below(8);
            rewrite(frames);
            Done { what: "bit flipped in a record, all signed again", at: seq }
        }
        2 => {
            let seq = pick(dice, 0);
            rewrite(book.without(seq));
            Done { what: "record deleted, all signed again", at: seq }
        }
        3 => {
            let seq = pick(dice, 0);
            let mut frames = book.frames.clone();
            let at = records[index(seq)];
            frames.insert(at, frames[at].clone());
            rewrite(frames);
            Done { what: "record repeated, all signed again", at: seq + 1 }
        }
        4 => {
            let seq = pick(dice, 1);
            let mut frames = book.frames.clone();
            let (one, two) = (records[index(seq)], records[index(seq + 1)]);
            let first = frames[one].payload.clone();
            frames[one].payload = std::mem::replace(&mut frames[two].payload, first);
            rewrite(frames);
            Done { what: "two records exchanged, all signed again", at: seq }
        }
        5 => {
            let seq = 1 + pick(dice, 1);
            rewrite(book.frames[..records[index(seq)]].to_vec());
            Done { what: "end cut off, signed again", at: seq }
        }
        6 => {
            // A forgery that only somebody's memory can tell: another time, in canonical form.
            let seq = pick(dice, 0);
            let mut frames = book.frames.clone();
            frames[records[index(seq)]].payload = book.with_another_body(seq);
            rewrite(frames);
            Done { what: "record rewritten in canonical form, all signed again", at: seq }
        }
        7 => {
            let seq = 1 + pick(dice, 1);
            rewrite(book.forked(seq));
            Done { what: "another history from here on, signed", at: seq }
        }
        8 => {
            let (seq, frames) = scene.forger.with_wider_link(book, dice);
            rewrite(frames);
            Done { what: "link replaced by a wider one, signed by the root key", at: seq }
        }
        9 => {
            scene.forger.lie(copy_dir, n, dice);
            Done { what: "checkpoint over another tree, signed", at: 0 }
        }
        10 => {
            std::fs::remove_dir_all(copy_dir).unwrap();
            copy(&scene.older.0, copy_dir);
            Done { what: "whole directory rolled back", at: scene.older.1 }
        }
        11 => {
            scene.forger.write_with_another_key(copy_dir, &book.frames);
            Done { what: "all signed again by another log key", at: 0 }
        }
        _ => {
            let seq = pick(dice, 0);
            rewrite(book.reencrypted(seq));
            Done { what: "commitment changed, all signed again", at: seq }
        }
    }
}

/// Exit code of a verifier and how many records it called intact.
fn verdict(code: Option<i32>, text: &str, done: &Done, who: &str) -> (i32, Option<u64>) {
    let code = code.unwrap_or_else(|| panic!("{who} died on `{}`", done.what));
    assert!(matches!(code, 0 | 7 | 8), "{who} on `{}` at {}: exit {code}: {text}", done.what, done.at);
    let claimed = text.split_whitespace().find_map(|word| word.parse().ok());
    assert_eq!(code == 8, text.to_lowercase().contains("unwitnessed"), "{who}: {text}");
    (code, claimed.filter(|_| code == 0))
}

#[test]
fn what_is_done_below_a_remembered_checkpoint_is_found_and_what_is_done_above_is_never_called_ok() {
    let (seed, tamperings) = (seed(), amount("MARQUE_TAMPERINGS", SHARE));
    let mut dice = Dice(seed);
    let scene = Scene::new();
    let n = scene.book.records().len() as u64;
    println!("tamper: seed {seed}, {tamperings} tamperings of {n} records, {} remembered checkpoints", scene.held.len());
    control(&scene, n);
    // By kind: below and found, above and found by structure, above and said to be unwitnessed, cut at the very checkpoint.
    let mut sums: BTreeMap<&str, [u64; 4]> = BTreeMap::new();
    for _ in 0..tamperings {
        let dir = tempfile::tempdir_in(scene.house.dir.path()).unwrap();
        let victim = dir.path().join("data");
        copy(&scene.house.data(), &victim);
        let done = tamper(&scene, &victim, &mut dice);
        let (size, held) = &scene.held[usize::try_from(dice.below(scene.held.len() as u64)).unwrap()];
        let rust = rust(&scene.house, &victim, held);
        let python = oracle::python(&victim, std::slice::from_ref(held));
        let codes = [
            verdict(rust.status.code(), &format!("{}{}", rust.stdout, rust.stderr), &done, "marque audit verify"),
            verdict(python.status.code(), &python.stdout, &done, "verify.py"),
        ];
        let sum = sums.entry(done.what).or_default();
        for (code, claimed) in codes {
            if done.at < *size {
                assert_eq!(code, 7, "`{}` at {} below the remembered {size}: {rust:?} {python:?}", done.what, done.at);
            } else if code == 0 {
                // Cut at the very checkpoint: what is vouched for is what is there, and no more is claimed.
                assert!(claimed.is_some_and(|claimed| claimed <= *size), "`{}` at {}, remembered {size}: {rust:?} {python:?}", done.what, done.at);
            }
        }
        let place = match (done.at < *size, codes[0].0) {
            (true, _) => 0,
            (false, 7) => 1,
            (false, 8) => 2,
            _ => 3,
        };
        sum[place] += 1;
    }
    let total = sums.values().fold([0; 4], |all, one| std::array::from_fn(|i| all[i] + one[i]));
    for (what, [below, structure, window, at]) in &sums {
        println!("tamper: {what}: {below} below and found; above: {structure} found, {window} unwitnessed, {at} cut at the checkpoint");
    }
    println!("tamper: {} below a remembered checkpoint, all found; above {} found, {} unwitnessed; {} cut at it", total[0], total[1], total[2], total[3]);
    assert!(total[0] > tamperings / 4 && total[2] > 0, "the choice was too narrow: {total:?}");
}

/// Untouched, it is accepted; with an older memory the rest is said to be unwitnessed; with none, that is a finding.
fn control(scene: &Scene, n: u64) {
    let (size, newest) = scene.held.last().unwrap();
    assert_eq!(*size, n, "the last checkpoint covers everything");
    let exit = rust(&scene.house, &scene.house.data(), newest);
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    assert!(exit.stdout.starts_with(&format!("{n} records intact, by what ")), "{exit:?}");
    let exit = oracle::python(&scene.house.data(), std::slice::from_ref(newest));
    assert_eq!((exit.status.code(), exit.stdout.trim()), (Some(0), &*format!("OK {n} records")), "{exit:?}");
    let (_, oldest) = &scene.held[0];
    let alone = scene.house.dir.path().join("alone");
    copy(&scene.house.data(), &alone);
    assert_eq!(rust(&scene.house, &alone, oldest).status.code(), Some(8));
    assert_eq!(oracle::python(&alone, std::slice::from_ref(oldest)).status.code(), Some(8));
    let nobody = scene.house.command(&["audit", "verify"]);
    let exit = Child::run(&mut without_own_directory(&nobody, &alone), LONG).unwrap();
    assert_eq!(exit.status.code(), Some(7), "{exit:?}");
    assert!(exit.stderr.contains("no remembered checkpoint"), "{exit:?}");
}

fn rust(house: &House, data: &Path, held: &Path) -> marque_testkit::proc::Exit {
    let mut command = without_own_directory(&house.command(&["audit", "verify"]), data);
    command.arg("--against").arg(held);
    Child::run(&mut command, LONG).unwrap()
}

/// The same binary on another data directory, whose state directory is empty.
fn without_own_directory(command: &Command, data: &Path) -> Command {
    let mut other = Command::new(command.get_program());
    other.arg("--data-dir").arg(data).args(["audit", "verify"]).env_clear();
    for (name, value) in command.get_envs() {
        other.env(name, value.unwrap_or_default());
    }
    other
}

/// A whole older copy in place of the directory, and whoever may still remember.
#[test]
fn an_older_copy_is_refused_by_the_mark_found_by_a_receipt_and_a_finding_without_both() {
    let mut house = House::empty();
    let local = Local::of(&house);
    house.start(&LIMITS);
    until("it opens", LONG, || local.try_open().ok());
    house.stop();
    let older = house.dir.path().join("older");
    copy(&house.data(), &older);
    house.start(&LIMITS);
    until("it opens", LONG, || local.try_open().ok());
    let opened = local.open_session(&grants(None));
    assert!(matches!(opened, Err(Failed::Refused(_)) | Ok(_)), "{opened:?}");
    let newest = until("a record", LONG, || local.get("/v1/status").ok())["records"].as_u64().unwrap() - 1;
    let receipt = local.get(&format!("/v1/receipts/{newest}")).unwrap();
    let kept = house.dir.path().join("receipt");
    std::fs::write(&kept, receipt["receipt"].as_str().unwrap()).unwrap();
    house.stop();
    // The receipt vouches for the journal that it came from.
    let exit = rust(&house, &house.data(), &kept);
    assert!(matches!(exit.status.code(), Some(0 | 8)) && !exit.stderr.contains("finding"), "{exit:?}");
    std::fs::rename(house.data(), house.dir.path().join("newer")).unwrap();
    copy(&older, &house.data());
    // With the state directory it does not open, and both verifiers know.
    let serve = Child::spawn(&mut house.serve(&LIMITS)).unwrap();
    serve.wait_for_line(LONG, |line| line == "ready").unwrap();
    match local.try_open() {
        Err(Failed::Refused(problem)) => {
            let why = problem["detail"].as_str().unwrap();
            assert!(why.contains("records are missing") || why.contains("was acknowledged"), "{problem}");
        }
        other => panic!("an older copy was opened: {other:?}"),
    }
    drop(serve);
    let mark = house.state().read_dir().unwrap().flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "mark")).unwrap();
    assert_eq!(oracle::rust(&house, &[]).status.code(), Some(7));
    assert_eq!(oracle::python(&house.data(), std::slice::from_ref(&mark)).status.code(), Some(7));
    // Without it, a receipt still tells.
    std::fs::rename(house.state(), house.dir.path().join("forgotten")).unwrap();
    let exit = rust(&house, &house.data(), &kept);
    assert_eq!(exit.status.code(), Some(7), "{exit:?}");
    assert!(exit.stderr.contains("which is missing"), "{exit:?}");
    assert_eq!(oracle::python(&house.data(), std::slice::from_ref(&kept)).status.code(), Some(7));
    // Without anything, that nobody remembers is the finding: of the verifier, and of the authority that starts on it.
    let exit = oracle::rust(&house, &[]);
    assert_eq!(exit.status.code(), Some(7), "{exit:?}");
    assert!(exit.stderr.contains("no remembered checkpoint"), "{exit:?}");
    let serve = Child::spawn(&mut house.serve(&LIMITS)).unwrap();
    until("it opens, and says so", LONG, || local.try_open().ok());
    serve.wait_for(LONG, |text| text.contains("finding: nothing in the state directory remembers").then_some(())).unwrap();
}
