//! Searching, through the whole binary: the index never says less, more or anything else than the journal.

use crate::house::{House, LONG};
use crate::kills::{Dice, seed};
use crate::load::{Acks, Load, Upstream, open_sessions};
use crate::local::{Failed, Local, until};
use crate::oracle::segments;
use marque_journal::record::{KeyKind, decode};
use marque_journal::segment::{Expect, scan};
use marque_model::{CredentialId, Event, SessionId, SubjectId};
use marque_testkit::canary;
use marque_testkit::proc::Child;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A record, read from the files by this test alone.
#[derive(Debug, Clone, Default)]
struct Seen {
    seq: u64,
    time_ms: u64,
    kind: String,
    session: Option<String>,
    human: Option<String>,
    credential: Option<String>,
    service: Option<String>,
    operation: Option<String>,
    effect: Option<String>,
    decision: Option<String>,
    codes: Vec<String>,
}

fn scan_all(data: &Path) -> Vec<Seen> {
    let (mut all, mut expect) = (Vec::new(), Expect::default());
    for path in segments(data) {
        let bytes = std::fs::read(&path).unwrap();
        let found = scan(&bytes, &expect).unwrap();
        all.extend(found.records().map(seen));
        expect = Expect {
            number: found.header.number.checked_add(1),
            first_seq: Some(found.next_seq),
            instance: Some(found.header.instance),
            root: None,
            previous: Some(found.tip),
        };
    }
    all
}

fn seen(raw: &[u8]) -> Seen {
    let record = decode(raw).unwrap();
    let head = record.head();
    let key = |kind| head.backlinks.iter().find(|link| link.key_kind == kind).map(|link| link.key_id.to_vec());
    let base = Seen {
        seq: head.seq,
        time_ms: head.time_ms,
        kind: head.kind.into(),
        session: head.session.map(|id| SessionId::from_bytes(id).to_string()),
        human: key(KeyKind::Human).map(|id| SubjectId::from_bytes(id.try_into().unwrap()).to_string()),
        credential: key(KeyKind::Credential).map(|id| CredentialId::from_bytes(id.try_into().unwrap()).to_string()),
        ..Seen::default()
    };
    let decided = |decision: &str, service: String, operation: Option<String>, effect: Option<String>, codes: Vec<u16>| Seen {
        decision: Some(decision.into()),
        service: Some(service),
        operation,
        effect,
        codes: codes.iter().map(|code| format!("MQ-{code}")).collect(),
        ..base.clone()
    };
    match Event::decode(record.kind(), record.body()).unwrap() {
        Event::UseIntent(e) => {
            let decision = if e.ask.is_some() { "approved" } else { "allowed" };
            decided(decision, e.service, Some(e.operation), Some(e.effect.to_string()), e.would_deny)
        }
        Event::UseDenied(e) => decided("denied", e.service, Some(e.operation), Some(e.effect.to_string()), vec![e.code]),
        Event::AskOpen(e) => decided("asked", e.service, Some(e.operation), Some(e.effect.to_string()), Vec::new()),
        Event::HostPassed(e) => decided("passed", e.host, None, None, Vec::new()),
        Event::CredentialAdd(e) => Seen { service: Some(e.service), ..base },
        _ => base,
    }
}

/// A house with two runs, one of them for a ticket, refusals, a load of many sessions, and a removed credential.
struct Scene {
    house: House,
    local: Local,
}

fn run(house: &House, origin: &str, more: &[&str]) {
    let grant = format!("http GET on {origin}/**");
    let script = format!("for n in 1 2 3; do curl -sS {origin}/v1/$n; done; curl -sS -X DELETE {origin}/v1/a; true");
    let mut args = vec!["run", "--purpose", "find the lost parcels", "--env", "staging", "--grant", &grant];
    args.extend(more);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let exit = house.run_owner(&args);
    assert!(exit.status.success(), "{exit:?}");
}

impl Scene {
    fn new() -> Self {
        let house = House::new();
        let (_echo, origin) = house.echo(&canary("api"));
        run(&house, &origin, &["--ref", "OPS-7", "--ref", "OPS-8"]);
        run(&house, &origin, &["--ref", "OPS-77"]);
        run(&house, &origin, &["--mode", "observe"]);
        let local = Local::of(&house);
        let scene = Self { house, local };
        scene.load();
        scene
    }

    fn load(&self) {
        let (upstream, acks): (_, Arc<Mutex<Acks>>) = (Upstream::start(), Arc::default());
        self.local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
        let seats = open_sessions(&self.local, &acks).unwrap();
        let load = Load::start(&self.local, &upstream, &acks, seats, 3, "s");
        until("some uses", LONG, || (upstream.server.log().records().len() > 40).then_some(()));
        load.stop();
        until("the load's sessions are over", LONG, || {
            let list = self.local.get("/v1/sessions").ok()?;
            for view in list.as_array()? {
                let _ = self.local.end_session(view["session"].as_str()?);
            }
            list.as_array()?.is_empty().then_some(())
        });
    }

    fn search(&self, asked: &Value) -> Result<Value, Failed> {
        self.local.call("POST", "/v1/search", asked)
    }

    /// Every page of a search, and how it was checked.
    fn all(&self, asked: &Value, limit: u64) -> (Vec<Value>, String) {
        let (mut out, mut asked) = (Vec::new(), asked.clone());
        asked["limit"] = json!(limit);
        loop {
            let page = self.search(&asked).unwrap();
            let records = page["records"].as_array().unwrap();
            assert!(records.len() as u64 <= limit, "{page}");
            out.extend(records.iter().cloned());
            match page["next"].as_u64() {
                Some(next) => asked["after"] = json!(next),
                None => return (out, page["checked"].as_str().unwrap().to_owned()),
            }
        }
    }
}

fn seqs(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["seq"].as_u64().unwrap()).collect()
}

/// What a question is about: a value that some record has.
fn question(all: &[Seen], dice: &mut Dice) -> Value {
    let mut asked = json!({});
    let model = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
    let fields = [
        ("session", model.session.clone()),
        ("human", model.human.clone()),
        ("credential", model.credential.clone()),
        ("service", model.service.clone()),
        ("operation", model.operation.clone()),
        ("effect", model.effect.clone()),
        ("decision", model.decision.clone()),
        ("code", model.codes.first().cloned()),
        ("kind", Some(model.kind.clone())),
    ];
    for (name, value) in fields {
        if let (Some(value), 0) = (value, dice.below(3)) {
            asked[name] = json!(value);
        }
    }
    let moment = |dice: &mut Dice| json!(all[usize::try_from(dice.below(all.len() as u64)).unwrap()].time_ms);
    if dice.below(4) == 0 {
        asked["since_ms"] = moment(dice);
    }
    if dice.below(4) == 0 {
        asked["until_ms"] = moment(dice);
    }
    asked
}

fn fits(seen: &Seen, asked: &Value) -> bool {
    let same = |name: &str, have: &Option<String>| asked[name].as_str().is_none_or(|wanted| have.as_deref() == Some(wanted));
    same("session", &seen.session)
        && same("human", &seen.human)
        && same("credential", &seen.credential)
        && same("service", &seen.service)
        && same("operation", &seen.operation)
        && same("effect", &seen.effect)
        && same("decision", &seen.decision)
        && same("kind", &Some(seen.kind.clone()))
        && asked["code"].as_str().is_none_or(|code| seen.codes.iter().any(|have| have == code))
        && asked["since_ms"].as_u64().is_none_or(|since| seen.time_ms >= since)
        && asked["until_ms"].as_u64().is_none_or(|until| seen.time_ms <= until)
}

/// That many questions, each answered as a scan of the files answers it.
fn agrees(scene: &Scene, questions: u64) {
    let mut dice = Dice(seed());
    let all = scan_all(&scene.house.data());
    let mut hits = 0;
    for _ in 0..questions {
        let asked = question(&all, &mut dice);
        let wanted: Vec<u64> = all.iter().filter(|seen| fits(seen, &asked)).map(|seen| seen.seq).collect();
        let (found, checked) = scene.all(&asked, 1 + dice.below(60));
        assert_eq!(seqs(&found), wanted, "{asked}");
        let keyed = ["session", "human", "credential"].iter().any(|name| !asked[*name].is_null());
        assert_eq!(checked, if keyed { "backlinks" } else { "rows" }, "{asked}");
        hits += u64::from(!wanted.is_empty());
    }
    assert!(hits > questions / 2, "the questions were too narrow: {hits}");
}

#[test]
fn a_search_finds_what_a_full_scan_of_the_journal_finds_and_references_stay_out_of_the_index() {
    let scene = Scene::new();
    agrees(&scene, 150);
    // A reference is matched whole, and finds the session that has it.
    let (found, checked) = scene.all(&json!({ "reference": "OPS-7" }), 5);
    let sessions: std::collections::BTreeSet<&str> = found.iter().map(|record| record["session"].as_str().unwrap()).collect();
    assert_eq!((sessions.len(), checked.as_str()), (1, "backlinks"), "{found:?}");
    let only = *sessions.first().unwrap();
    assert_eq!(seqs(&found), seqs(&scene.all(&json!({ "session": only }), 50).0));
    assert!(scene.all(&json!({ "reference": "OPS-9" }), 5).0.is_empty());
    // Erasable text is in no file of the index.
    for name in ["index.db", "index.db-wal"] {
        let bytes = std::fs::read(scene.house.data().join(name)).unwrap();
        for text in ["OPS-7", "lost parcels"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text.as_bytes()), "`{text}` in {name}");
        }
    }
    // As people ask for it.
    let text = scene.house.ok(&["audit", "search", "--session", only, "--decision", "denied", "--code", "MQ-2104", "--since", "1h"]);
    assert!(text.stdout.lines().count() == 1 && text.stdout.contains("MQ-2104"), "{text:?}");
    assert!(text.stderr.contains("that is all in ") && text.stderr.contains("backlinks"), "{text:?}");
    let tail = scene.house.ok(&["audit", "tail", "--limit", "3"]);
    let newest = scan_all(&scene.house.data()).len() as u64 - 1;
    assert!(tail.stdout.lines().count() >= 3 && tail.stdout.contains(&newest.to_string()), "{tail:?}");
    let exit = Child::run(&mut scene.house.command(&["audit", "search", "--credential", "nobody"]), LONG).unwrap();
    assert!(!exit.status.success() && exit.stderr.contains("MQ-1002"), "{exit:?}");
    let exit = Child::run(&mut scene.house.command(&["audit", "search", "--since", "yesterday"]), LONG).unwrap();
    assert_eq!(exit.status.code(), Some(2), "{exit:?}");
}

#[test]
fn a_page_stays_what_it_is_while_the_journal_grows() {
    let scene = Scene::new();
    let (upstream, acks): (_, Arc<Mutex<Acks>>) = (Upstream::start(), Arc::default());
    scene.local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    let seats = open_sessions(&scene.local, &acks).unwrap();
    let human = scan_all(&scene.house.data()).iter().find_map(|seen| seen.human.clone()).unwrap();
    let load = Load::start(&scene.local, &upstream, &acks, seats, 3, "p");
    let mut pages = Vec::new();
    for asked in [json!({ "human": human }), json!({ "kind": "use.intent" })] {
        let mut after = 0;
        for _ in 0..12 {
            let mut asked = asked.clone();
            (asked["after"], asked["limit"]) = (json!(after), json!(9));
            let page = scene.search(&asked).unwrap();
            let Some(next) = page["next"].as_u64() else { break };
            pages.push((asked, page["records"].clone()));
            after = next;
        }
    }
    let before = scan_all(&scene.house.data()).len();
    until("the journal grows", LONG, || (scene.local.get("/v1/status").ok()?["records"].as_u64()? > before as u64 + 50).then_some(()));
    assert!(pages.len() > 8, "{} pages", pages.len());
    for (asked, records) in &pages {
        assert_eq!(&scene.search(asked).unwrap()["records"], records, "{asked}");
    }
    load.stop();
}

#[test]
fn an_index_that_is_deleted_or_destroyed_is_built_again_and_nothing_is_lost() {
    let mut scene = Scene::new();
    let file = scene.house.data().join("index.db");
    type Harm = fn(&Path);
    let harms: [(&str, Harm, bool); 3] = [
        ("deleted", |file| std::fs::remove_file(file).unwrap(), false),
        ("overwritten", |file| std::fs::write(file, b"this is no index".repeat(1000)).unwrap(), true),
        ("cut", |file| {
            let len = std::fs::metadata(file).unwrap().len();
            std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(len / 3).unwrap();
        }, true),
    ];
    for (what, harm, said) in harms {
        scene.house.stop();
        harm(&file);
        let serve = Child::spawn(&mut scene.house.serve(&[])).unwrap();
        serve.wait_for_line(LONG, |line| line == "ready").unwrap();
        until("it opens", LONG, || scene.local.try_open().ok());
        agrees(&scene, 30);
        let text = serve.stderr();
        assert_eq!(text.contains("built again from the journal; nothing is lost"), said, "{what}: {text}");
        assert_eq!(scene.house.data().join("index.db.damaged").exists(), said, "{what}");
        // Over the socket: the house does not know of this child.
        let _ = scene.local.call("POST", "/v1/stop", &Value::Null);
        let mut serve = serve;
        assert!(serve.wait(LONG).unwrap().status.success());
        scene.house.start(&[]);
        until("it opens", LONG, || scene.local.try_open().ok());
    }
}

/// Changes the index of a running authority, as whoever owns the directory can.
fn by_hand(house: &House, sql: &str) {
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=30)\nn = c.execute(sys.argv[2]).rowcount\nc.commit()\nassert n > 0, n\n";
    let python = marque_testkit::tools::Tools::find().python().unwrap();
    let mut command = Command::new(python);
    command.args(["-c", script]).arg(house.data().join("index.db")).arg(sql);
    let exit = Child::run(&mut command, LONG).unwrap();
    assert!(exit.status.success(), "{sql}: {exit:?}");
}

#[test]
fn rows_that_are_taken_out_of_the_index_by_hand_are_noticed() {
    let scene = Scene::new();
    let all = scan_all(&scene.house.data());
    let session = all.iter().filter(|seen| seen.kind == "use.denied").find_map(|seen| seen.session.clone()).unwrap();
    let of_it: Vec<u64> = all.iter().filter(|seen| seen.session.as_ref() == Some(&session)).map(|seen| seen.seq).collect();
    let by_session = json!({ "session": session });
    let denied = json!({ "decision": "denied" });
    let (first, middle, newest) = (of_it[0], of_it[of_it.len() / 2], of_it[of_it.len() - 1]);
    let a_denied = all.iter().find(|seen| seen.decision.as_deref() == Some("denied")).unwrap().seq;
    let another = all.iter().find(|seen| seen.decision.is_none()).unwrap().seq;
    for (sql, asked) in [
        (format!("DELETE FROM touch WHERE seq = {first}"), &by_session),
        (format!("DELETE FROM touch WHERE seq = {middle}"), &by_session),
        (format!("DELETE FROM touch WHERE seq = {newest}"), &by_session),
        (format!("DELETE FROM touch WHERE seq >= {middle}"), &by_session),
        ("DELETE FROM touch".to_owned(), &by_session),
        (format!("UPDATE touch SET id = x'00' WHERE seq = {middle} AND kind = 2"), &by_session),
        (format!("INSERT INTO touch SELECT kind, id, {another} FROM touch WHERE seq = {middle} AND kind = 2"), &by_session),
        (format!("DELETE FROM rec WHERE seq = {a_denied}"), &denied),
        (format!("UPDATE rec SET decision = 'denied' WHERE seq = {another}"), &denied),
        ("DROP TABLE rec".to_owned(), &denied),
    ] {
        let before = scene.all(asked, 1_000).0;
        if sql.starts_with("DROP") {
            by_hand_unchecked(&scene.house, &sql);
        } else {
            by_hand(&scene.house, &sql);
        }
        match scene.search(asked) {
            Err(Failed::Refused(problem)) => assert_eq!(problem["code"], "MQ-5112", "{sql}: {problem}"),
            other => panic!("{sql}: {other:?}"),
        }
        // Built again from the journal, it has everything.
        let again = until("it is built again", LONG, || scene.search(asked).ok());
        let len = before.len().min(100);
        assert_eq!(again["records"].as_array().unwrap()[..len], before[..len], "{sql}");
        assert!(scene.house.data().join("index.db.damaged").exists(), "{sql}");
    }
}

/// A statement that changes no rows.
fn by_hand_unchecked(house: &House, sql: &str) {
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1], timeout=30)\nc.execute(sys.argv[2])\nc.commit()\n";
    let python = marque_testkit::tools::Tools::find().python().unwrap();
    let exit = Child::run(Command::new(python).args(["-c", script]).arg(house.data().join("index.db")).arg(sql), LONG).unwrap();
    assert!(exit.status.success(), "{sql}: {exit:?}");
}

#[test]
fn an_agent_inside_a_session_cannot_search() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let grant = format!("http GET on {origin}/**");
    let marque = env!("CARGO_BIN_EXE_marque");
    let data = house.data();
    let data = data.display();
    let script = format!("{marque} --data-dir {data} audit search; echo search $?; {marque} --data-dir {data} audit tail; echo tail $?");
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script];
    let exit = house.run_owner(&args);
    assert!(exit.stdout.contains("search 3") && exit.stdout.contains("tail 3"), "{exit:?}");
    assert_eq!(exit.stderr.matches("MQ-5108").count(), 2, "{exit:?}");
    // Control: outside, the same verb answers.
    assert!(house.ok(&["audit", "search"]).stdout.contains("session.open"));
}
