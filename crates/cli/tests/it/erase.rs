//! Erasing a human (threats H9): what could be read of him is gone, whoever has the directory and the passphrase, and however the
//! machine fails meanwhile; what is proven of his sessions stays proven.

mod attacker;

use crate::house::{House, LONG, PASSPHRASE};
use crate::journal::{mark_of, python};
use crate::local::{Failed, Local, until};
use attacker::{Leaves, guessed, kept, named, opened, rows};
use marque_model::event::field;
use marque_testkit::proc::{Child, Exit};
use marque_testkit::search::grep_tree;
use marque_testkit::{Server, canary};
use serde_json::{Value, json};
use std::path::Path;

/// Guesses of the dictionary.
const GUESSES: usize = 1_000_000;

fn told(exit: &Exit) -> Value {
    assert!(exit.status.success(), "{exit:?}");
    serde_json::from_str(&exit.stdout).unwrap()
}

fn humans(house: &House) -> Vec<Value> {
    told(&house.ok(&["--json", "human", "list"]))["items"].as_array().unwrap().clone()
}

/// What people see of a human and his session, without what was written since.
fn seen(house: &House, human: &str, session: &str) -> [Value; 4] {
    let mut records = told(&house.ok(&["--json", "audit", "search", "--human", human, "--limit", "1000"]));
    // How far the index was says nothing about the human.
    records.as_object_mut().unwrap().remove("searched");
    [
        records,
        told(&house.ok(&["--json", "audit", "lineage", session])),
        told(&house.ok(&["--json", "human", "show", human])),
        told(&house.ok(&["--json", "credential", "list"])),
    ]
}

/// The words of a session that are to be erased.
struct Words {
    mark: String,
    password: String,
}

impl Words {
    fn new() -> Self {
        Self { mark: canary("mark"), password: canary("pw") }
    }
    fn purpose(&self) -> String {
        format!("rotate the role of {}: ALTER ROLE app PASSWORD '{}'", self.mark, self.password)
    }
    fn reference(&self) -> String {
        format!("psql -c \"CREATE USER {} IDENTIFIED BY '{}'\"", self.mark, self.password)
    }
    fn uri(&self) -> String {
        format!("/private/{0}?who={0}", self.mark)
    }
    fn statement(&self) -> String {
        format!("/q?sql=ALTER%20ROLE%20{}%20PASSWORD%20%27{}%27", self.mark, self.password)
    }
    /// As they are in the journal's openings.
    fn recorded(&self) -> Vec<String> {
        let masked = |text: String| text.replace(&self.password, "-masked-");
        vec![masked(self.purpose()), masked(self.reference()), self.uri(), masked(self.statement())]
    }
    fn script(&self, origin: &str) -> String {
        let curl = "curl -sS -o /dev/null";
        format!(
            "{curl} '{origin}{}'; {curl} '{origin}{}'; {curl} --json \"{{\\\"sql\\\":\\\"ALTER ROLE app PASSWORD '{}'\\\"}}\" '{origin}/run'; \
             {curl} -X DELETE '{origin}/private/{}'",
            self.uri(),
            self.statement(),
            self.password,
            self.mark
        )
    }
}

/// A session with all of these words, held at its question.
fn begin(house: &House, origin: &str, words: &Words) -> (Child, String, String) {
    let grant = format!("http GET,POST,DELETE on {origin}/**");
    let (purpose, reference, script) = (words.purpose(), words.reference(), words.script(origin));
    let mut args = vec!["run", "--purpose", &purpose, "--ref", &reference, "--env", "staging", "--accept-risk", "uncontained"];
    args.extend(["--grant", &grant, "--", "/bin/sh", "-c", &script]);
    let run = Child::spawn(&mut house.owner(&args)).unwrap();
    let local = Local::of(house);
    let question = until("a question", LONG, || local.get("/v1/approvals").ok()?.get(0).cloned());
    (run, question["session"].as_str().unwrap().to_owned(), question["id"].as_str().unwrap().to_owned())
}

fn lived(house: &House, words: &Words) -> (Server, String, String) {
    let (echo, origin) = house.echo(&canary("api"));
    let (mut run, session, question) = begin(house, &origin, words);
    house.ok(&["approval", "deny", &question]);
    assert!(run.wait(LONG).unwrap().status.success());
    (echo, origin, session)
}

fn simple_session(house: &House, origin: &str, purpose: &str) {
    let grant = format!("http GET on {origin}/**");
    let exit = house.run_owner(&["run", "--purpose", purpose, "--env", "staging", "--grant", &grant, "--", "true"]);
    assert!(exit.status.success(), "{exit:?}");
}

#[test]
fn a_human_with_a_live_session_or_without_the_passphrase_is_not_erased() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let (mut run, session, question) = begin(&house, &origin, &Words::new());
    let human = humans(&house)[0]["human"].as_str().unwrap().to_owned();
    let refused = house.run_owner(&["human", "erase", &human]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    for part in ["error[MQ-5116]", &session, &question, "help: "] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    house.ok(&["approval", "deny", &question]);
    run.wait(LONG).unwrap();
    let local = Local::of(&house);
    let erase = |human: &str, passphrase: &str| local.call("POST", &format!("/v1/humans/{human}/erase"), &json!({ "passphrase": passphrase }));
    for (human, passphrase, code) in [(&*human, "not the passphrase", "MQ-5106"), ("h-nobody", PASSPHRASE, "MQ-1002")] {
        match erase(human, passphrase) {
            Err(Failed::Refused(problem)) => assert_eq!(problem["code"], code, "{problem}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(humans(&house)[0]["state"], "known");
    // The control: nothing is in the way now. By number, as people name users.
    let uid = humans(&house)[0]["uid"].as_u64().unwrap().to_string();
    assert!(house.run_owner(&["human", "erase", &uid]).status.success());
    assert_eq!(humans(&house)[0]["state"], "erased");
}

#[test]
fn a_policy_decides_on_erasures() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    simple_session(&house, &origin, "read the items");
    let pack = house.dir.path().join("keep.cedar");
    std::fs::write(&pack, "@id(\"keep\")\n@deny(\"ask the records office\") @because(\"records are kept\")\nforbid (principal, action == Action::\"marque/human.erase\", resource);").unwrap();
    let exit = house.run_owner(&["policy", "apply", pack.to_str().unwrap()]);
    assert!(exit.status.success(), "{exit:?}");
    let human = humans(&house)[0]["human"].as_str().unwrap().to_owned();
    let refused = house.run_owner(&["human", "erase", &human]);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(refused.stderr.contains("MQ-3107") && refused.stderr.contains("ask the records office"), "{}", refused.stderr);
    assert_eq!(humans(&house)[0]["state"], "known");
}

#[test]
fn an_erased_human_cannot_be_read_or_guessed_and_everything_still_verifies() {
    let mut house = House::new();
    let words = Words::new();
    let (_echo, origin, session) = lived(&house, &words);
    let before = humans(&house);
    assert_eq!(before.len(), 1);
    let (human, uid) = (before[0]["human"].as_str().unwrap().to_owned(), before[0]["uid"].clone());
    let records = seen(&house, &human, &session);
    let open = records[0]["records"].as_array().unwrap().iter().find(|r| r["kind"] == "session.open").unwrap()["seq"].to_string();
    let keep = |name: &str, text: &str| {
        let path = house.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let receipt = keep("receipt", &house.ok(&["audit", "receipt", &open]).stdout);
    let checkpoint = keep("checkpoint", &house.ok(&["audit", "checkpoint"]).stdout);
    house.stop();
    control(&house, &words);

    house.start(&[]);
    let exit = house.run_owner(&["human", "erase", &human]);
    assert!(exit.status.success() && exit.stderr.contains("copies of the data directory"), "{exit:?}");
    let erased = humans(&house)[0]["erased"].as_u64().unwrap().to_string();
    says_erased(&house, &human, &session, &open, &erased);
    let after = seen(&house, &human, &session);
    // Nothing but the record of the erasure came to the human's records, and only the purpose went from the lineage.
    let (list, mut longer) = (records[0]["records"].as_array().unwrap().clone(), after[0]["records"].as_array().unwrap().clone());
    assert_eq!(longer.pop().unwrap()["kind"], "privacy.erased");
    assert_eq!(longer, list);
    let mut lineage = records[1].clone();
    lineage["purpose"] = Value::Null;
    assert_eq!(after[1], lineage);
    assert_eq!(after[2]["records"].as_u64(), records[2]["records"].as_u64().map(|n| n + 1));
    house.stop();

    let report = house.ok(&["audit", "verify", "--against", &receipt, "--against", &checkpoint]);
    assert!(report.stdout.contains("records intact"), "{report:?}");
    let mark = mark_of(&house);
    let foreign = python(&house.data(), &["--lineage", "--against", mark.to_str().unwrap(), "--against", &checkpoint]);
    assert!(foreign.status.success() && foreign.stdout.contains("OK "), "{foreign:?}");
    nothing_is_left(&house, &words);

    // State and index are built again from the journal alone, and say the same.
    for name in ["index.db", "index.db-wal", "index.db-shm"] {
        let _ = std::fs::remove_file(house.data().join(name));
    }
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    assert_eq!(seen(&house, &human, &session), after);

    // The same user is somebody new.
    simple_session(&house, &origin, "read the items again");
    let now = humans(&house);
    assert_eq!(now.len(), 2);
    let other = now.iter().find(|view| view["human"] != *human).unwrap();
    assert_eq!((&other["state"], &other["uid"]), (&json!("known"), &uid));
    let old = now.iter().find(|view| view["human"] == *human).unwrap();
    assert_eq!((&old["state"], &old["uid"]), (&json!("erased"), &Value::Null));
    assert!(house.run_owner(&["human", "erase", &human]).status.success(), "again is no harm");
    assert_eq!(humans(&house), now);
    house.stop();
    assert!(house.ok(&["audit", "verify"]).stdout.contains("records intact"));
    nothing_is_left(&house, &words);
}

fn says_erased(house: &House, human: &str, session: &str, open: &str, erased: &str) {
    let lineage = house.ok(&["audit", "lineage", session]).stdout;
    assert!(lineage.contains("`(erased)`"), "{lineage}");
    let show = house.ok(&["audit", "show", open]).stdout;
    assert!(show.contains(&format!("(erased), by record {erased}")), "{show}");
    let view = house.ok(&["human", "show", human]).stdout;
    assert!(view.contains(&format!("(erased), by record {erased}")), "{view}");
}

/// A million guesses, the true texts among them.
fn dictionary(words: &Words) -> Vec<String> {
    let truth = [words.recorded(), vec![words.purpose(), words.reference(), words.statement(), words.mark.clone(), words.password.clone()]].concat();
    let other = (0..GUESSES - truth.len()).map(|n| format!("rotate the role of {n}"));
    other.chain(truth).collect()
}

/// Before the erasure the same means find everything; and a password is in no opening even then.
fn control(house: &House, words: &Words) {
    let (count, openings) = opened(&house.data());
    assert!(count >= 6 && openings.len() == count, "{count} openings, {} read", openings.len());
    let leaves = Leaves::of(&house.data());
    assert_eq!(leaves.open(&openings).len(), count, "every opening opens a commitment");
    for text in words.recorded() {
        assert!(openings.iter().any(|o| o.text == text), "`{text}` is not recorded: {:?}", openings.iter().map(|o| &o.text).collect::<Vec<_>>());
    }
    assert!(openings.iter().all(|o| !o.text.contains(&words.password)), "a password was recorded");
    let key: Vec<[u8; 32]> = openings.iter().filter(|o| o.field == field::DIGEST_KEY).map(|o| unhex(&o.text)).collect();
    let url = openings.iter().find(|o| o.text == words.uri()).unwrap();
    assert_eq!(leaves.gets_of(&words.uri(), key.iter()), [url.seq], "with its key a digest is that of the true address");
}

fn unhex(text: &str) -> [u8; 32] {
    let bytes: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

fn nothing_is_left(house: &House, words: &Words) {
    let (count, openings) = opened(&house.data());
    assert!(count >= 6, "the ciphertexts stay: {count}");
    let left: Vec<&str> = openings.iter().map(|o| o.text.as_str()).filter(|text| text.contains(&words.mark)).collect();
    assert!(left.is_empty(), "{left:?}");
    let leaves = Leaves::of(&house.data());
    assert!(leaves.len() > 1_000);
    let dictionary = dictionary(words);
    assert_eq!(dictionary.len(), GUESSES);
    let guessed = leaves.confirm(dictionary.iter().map(String::as_str), &[[0; 32]]);
    assert!(guessed.is_empty(), "{guessed:?}");
    let guessed = leaves.confirm_with_what_is_public(&words.recorded());
    assert!(guessed.is_empty(), "{guessed:?}");
    let nothing = [0; 32];
    let digests = leaves.gets_of(&words.uri(), leaves.values().chain([&nothing]));
    assert!(digests.is_empty(), "{digests:?}");
    let clear = grep_tree(&house.data(), &[&words.mark, &words.password]).unwrap();
    assert!(clear.hits.is_empty(), "{:?}", clear.hits);
}

/// A task file of that name, with that purpose.
fn task(house: &House, name: &str, origin: &str, purpose: &str) -> String {
    let file = house.dir.path().join(name);
    let text = format!("task = 1\npurpose = \"{purpose}\"\nenv = \"staging\"\n[[grant]]\nservice = \"http\"\nallow = [\"GET\"]\non = [\"{origin}\"]\npaths = [\"/**\"]\n");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn run_task(house: &House, file: &str) -> Exit {
    house.run_owner(&["run", "--task", file, "--", "true"])
}

/// One that ran, one that never did, and one that was another before.
#[test]
fn the_texts_of_tasks_and_where_they_were_cannot_be_read_or_guessed() {
    let mut house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let marks = ["ran", "applied", "first", "second"].map(canary);
    let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
    let ran = task(&house, "ran.toml", &origin, &format!("read for {}", marks[0]));
    assert!(run_task(&house, &ran).status.success());
    let applied = task(&house, "applied.toml", &origin, &format!("read for {}", marks[1]));
    let changed = task(&house, "changed.toml", &origin, &format!("read for {}", marks[2]));
    for file in [&applied, &changed] {
        assert!(house.run_owner(&["task", "apply", file]).status.success());
    }
    task(&house, "changed.toml", &origin, &format!("read for {}", marks[3]));
    let refused = run_task(&house, &changed);
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    let line = |sign: char, mark: &str| format!("{sign} purpose = \"read for {mark}\"");
    for said in [line('-', marks[2]), line('+', marks[3])] {
        assert!(refused.stderr.contains(&said), "{said}: {}", refused.stderr);
    }
    assert!(house.run_owner(&["task", "apply", &changed]).status.success());
    let clear = |house: &House| [house.data(), house.state()].map(|dir| grep_tree(&dir, &marks).unwrap().hits.len());

    // Before: for the owner of the passphrase, and for nobody else.
    let human = humans(&house)[0]["human"].as_str().unwrap().to_owned();
    let (count, texts) = kept(&house.data());
    assert!(count == 4 && marks.iter().all(|mark| texts.iter().any(|text| text.contains(mark))), "{count}: {texts:?}");
    assert_eq!(clear(&house), [0, 0]);
    let found = |house: &House| {
        let names = named(&house.data());
        let is_named = |path: &&&String| guessed(&house.data(), &human, path).iter().any(|name| names.contains(name));
        [&ran, &applied, &changed].iter().filter(is_named).count()
    };
    assert_eq!(found(&house), 3, "the control: with his key they are told");
    let dir = house.data().join("tasks").join(&human);
    let copies: Vec<_> = dir.read_dir().unwrap().flatten().map(|file| (file.path(), std::fs::read(file.path()).unwrap())).collect();

    assert!(house.run_owner(&["human", "erase", &human]).status.success());
    assert!(!dir.exists());
    assert_eq!((kept(&house.data()), clear(&house)), ((0, Vec::new()), [0, 0]));
    assert!(named(&house.data()).len() >= 4, "the records stay");
    assert_eq!(found(&house), 0);
    // Whatever the file system gives back opens for nobody, and the next start takes it away.
    std::fs::create_dir(&dir).unwrap();
    for (path, bytes) in &copies {
        std::fs::write(path, bytes).unwrap();
    }
    assert_eq!(kept(&house.data()), (4, Vec::new()));
    house.stop();
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    assert!(!dir.exists());
    // The same user is somebody new, for whom nothing is in force: a task takes effect at its first run.
    assert!(run_task(&house, &ran).status.success());
    assert_eq!(kept(&house.data()).0, 1);
    task(&house, "ran.toml", &origin, "read for somebody else");
    assert_eq!(run_task(&house, &ran).status.code(), Some(3));
}

#[test]
fn an_erasure_that_failed_is_finished_before_the_same_user_is_somebody_new() {
    let mut house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let file = task(&house, "task.toml", &origin, "read the items");
    assert!(run_task(&house, &file).status.success());
    let human = humans(&house)[0]["human"].as_str().unwrap().to_owned();
    let dir = house.data().join("tasks").join(&human);
    // Something that the texts cannot be removed for.
    let aside = house.dir.path().join("aside");
    std::fs::rename(&dir, &aside).unwrap();
    std::fs::write(&dir, "").unwrap();
    let failed = house.run_owner(&["human", "erase", &human]);
    assert!(!failed.status.success(), "{failed:?}");
    assert_eq!(humans(&house)[0]["state"], "erased", "its record is durable");
    assert!(has_row(&house.data()));
    let grant = format!("http GET on {origin}/**");
    let args = ["run", "--purpose", "something else", "--env", "staging", "--grant", &grant, "--", "true"];
    let refused = house.run_owner(&args);
    assert!(!refused.status.success() && has_row(&house.data()), "while it cannot be finished he is nobody: {refused:?}");
    std::fs::remove_file(&dir).unwrap();
    std::fs::rename(&aside, &dir).unwrap();
    assert!(kept(&house.data()).0 == 1, "the control");
    simple_session(&house, &origin, "something else");
    assert!(!dir.exists(), "with the row that would tell a start of it the texts went too");
    assert_eq!(humans(&house).len(), 2);
    house.kill();
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    assert_eq!(kept(&house.data()), (0, Vec::new()));
}

/// Dies at that point of an erasure. Whether the keys were still there then.
fn killed_at(point: &str) -> bool {
    let house = House::empty();
    let hit = house.dir.path().join("hit");
    let fail = [("MARQUE_FAIL_POINT", point), ("MARQUE_FAIL_HIT", hit.to_str().unwrap()), ("MARQUE_FAIL_SCOPE", "group")];
    let mut house = house.of_the_second_build(&fail);
    house.start(&[]);
    let words = Words::new();
    let (_echo, _, session) = lived(&house, &words);
    let human = humans(&house)[0]["human"].as_str().unwrap().to_owned();
    let exit = house.run_owner(&["human", "erase", &human]);
    assert!(!exit.status.success() && hit.exists(), "{exit:?}");
    house.kill();
    let left = has_row(&house.data());
    assert_eq!(!opened(&house.data()).1.is_empty(), left, "the row and the key go together");

    // The next start finishes what the record says, with no further act.
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    assert!(!has_row(&house.data()) && opened(&house.data()).1.is_empty());
    assert_eq!(humans(&house)[0]["state"], "erased");
    assert!(house.ok(&["audit", "lineage", &session]).stdout.contains("`(erased)`"));
    // Looking makes no key again.
    assert!(opened(&house.data()).1.is_empty());
    house.stop();
    assert!(house.ok(&["audit", "verify"]).stdout.contains("records intact"));
    nothing_is_left(&house, &words);
    left
}

fn has_row(data: &Path) -> bool {
    rows(data).windows(10).any(|window| window == b"human/uid/")
}

#[test]
fn an_erasure_that_is_cut_off_ends_with_the_keys_gone() {
    assert!(killed_at("erase.durable"));
    assert!(killed_at("erase.texts-removed"));
    assert!(killed_at("secrets.db.synced:4"), "the fourth file: its pseudonym, his key, a credential, and the one without him");
    assert!(!killed_at("erase.destroyed"));
}
