use crate::house::{House, LONG};
use marque_testkit::canary;
use marque_testkit::proc::Child;
use marque_testkit::search::grep_tree;
use std::path::Path;
use std::process::Command;

fn used(house: &House) -> String {
    let secret = canary("api");
    let (_echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!("curl -sS {origin}/v1/a; curl -sS -X DELETE {origin}/v1/a");
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script];
    let exit = house.run_owner(&args);
    assert!(exit.status.success(), "{exit:?}");
    secret
}

pub(crate) fn python(data: &Path, more: &[&str]) -> marque_testkit::proc::Exit {
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/verify.py");
    let tools = marque_testkit::tools::Tools::find();
    let mut command = Command::new(tools.python().unwrap());
    command.arg(verifier).arg(data).args(more);
    Child::run(&mut command, LONG).unwrap()
}

#[test]
fn what_happened_is_printed_and_verifies_with_foreign_code() {
    let mut house = House::new();
    let secret = used(&house);
    let list = house.ok(&["audit", "checkpoint"]);
    assert!(list.stdout.contains("marque.local/log/"), "{}", list.stdout);
    let receipt = house.ok(&["audit", "receipt", "1"]);
    assert!(receipt.stdout.starts_with("c2sp.org/tlog-proof@v1"), "{}", receipt.stdout);
    house.stop();
    let verified = house.ok(&["audit", "verify"]);
    assert!(verified.stdout.contains("records intact"), "{verified:?}");
    // What the authority remembered outside its data directory covers everything after an orderly end.
    let mark = mark_of(&house);
    let foreign = python(&house.data(), &["--lineage", "--against", mark.to_str().unwrap()]);
    assert!(foreign.status.success(), "{foreign:?}");
    assert!(foreign.stdout.contains("OK "), "{foreign:?}");
    // The credential is in no file of the authority, in no form.
    let findings = grep_tree(&house.data(), &[&secret]).unwrap();
    assert!(findings.hits.is_empty(), "{:?}", findings.hits);
}

pub(crate) fn mark_of(house: &House) -> std::path::PathBuf {
    let entries = house.state().read_dir().unwrap().flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "mark")).unwrap()
}

#[test]
fn a_byte_changed_below_the_remembered_checkpoint_is_found_by_both_verifiers() {
    let mut house = House::new();
    used(&house);
    house.stop();
    let segment = house.data().join("journal").read_dir().unwrap().flatten().find(|e| e.path().extension().is_some_and(|x| x == "seg")).unwrap();
    let mut bytes = std::fs::read(segment.path()).unwrap();
    let at = bytes.windows(12).position(|w| w == b"session.open").unwrap();
    bytes[at + 8] ^= 1;
    std::fs::write(segment.path(), &bytes).unwrap();
    let verified = Child::run(&mut house.command(&["audit", "verify"]), LONG).unwrap();
    assert_eq!(verified.status.code(), Some(7), "{verified:?}");
    assert_eq!(python(&house.data(), &[]).status.code(), Some(7));
    // And nothing starts on it.
    let mut serve = house.command(&["serve", "--fast-passphrase"]);
    let child = Child::spawn(&mut serve).unwrap();
    child.wait_for_line(LONG, |line| line == "ready").unwrap();
    let exit = house.run_owner(&["run", "--purpose", "a b", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"]);
    assert_ne!(exit.status.code(), Some(0), "{exit:?}");
    child.kill();
}

#[test]
fn an_older_copy_of_the_data_directory_is_refused() {
    let mut house = House::new();
    used(&house);
    house.stop();
    let copy = house.dir.path().join("older");
    let cp = |from: &Path, to: &Path| {
        let exit = Child::run(Command::new("cp").arg("-a").arg(from).arg(to), LONG).unwrap();
        assert!(exit.status.success(), "{exit:?}");
    };
    cp(&house.data(), &copy);
    house.start(&[]);
    let exit = house.run_owner(&["run", "--purpose", "a b", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"]);
    assert!(exit.status.success(), "{exit:?}");
    house.stop();
    std::fs::rename(house.data(), house.dir.path().join("newer")).unwrap();
    cp(&copy, &house.data());
    assert!(house.state().exists(), "the mark is outside the data directory");
    house.start(&[]);
    let exit = house.run_owner(&["run", "--purpose", "a b", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"]);
    assert!(!exit.status.success(), "{exit:?}");
    assert!(exit.stderr.contains("MQ-5104") || exit.stderr.contains("MQ-6103"), "{}", exit.stderr);
}

#[test]
fn a_killed_authority_comes_back_and_ends_what_ran() {
    let house = House::new();
    let (echo, origin) = house.echo(&canary("api"));
    let grant = format!("http GET on {origin}/**");
    let script = format!("while :; do curl -sS {origin}/v1/x >/dev/null; done");
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script];
    let mut run = Child::spawn(&mut house.owner(&args)).unwrap();
    echo.log().wait_for(LONG, |records| (records.len() > 3).then_some(())).unwrap();
    let status: serde_json::Value = serde_json::from_str(&house.ok(&["--json", "status"]).stdout).unwrap();
    let pid = i32::try_from(status["pid"].as_i64().unwrap()).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(pid).unwrap(), rustix::process::Signal::KILL).unwrap();
    let exit = run.wait(LONG).unwrap();
    assert!(exit.stderr.contains("stopping the agent"), "{exit:?}");
    // The signer kept the seal open: the next act finds an open authority with no session left.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let list = loop {
        let exit = Child::run(&mut house.command(&["--json", "session", "list"]), LONG).unwrap();
        if exit.status.success() || std::time::Instant::now() > deadline {
            break exit;
        }
    };
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list["items"], serde_json::json!([]), "{list:?}");
}
