//! The desktop's keyring opens the seal: the real one (gnome-keyring, on a session bus of its own), through the whole binary.

use crate::house::{House, LONG, PASSPHRASE};
use marque_testkit::proc::{Child, Exit};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A desktop session with a home of its own.
struct Desktop {
    home: PathBuf,
    bus: String,
    session: Child,
}

impl Desktop {
    /// A session whose user has typed the keyring's password, or has not.
    fn start(home: &Path, unlocked: bool) -> Self {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(home.join("run")).unwrap();
        // The keyring says when it is there by going to the background; a bus starts one that is locked when it is asked for.
        let unlock = if unlocked { "gnome-keyring-daemon --unlock --components=secrets >/dev/null && " } else { "" };
        let script = format!("{unlock}echo \"bus $DBUS_SESSION_BUS_ADDRESS\"; exec sleep 600");
        let mut command = Command::new("dbus-run-session");
        command.args(["--", "/bin/sh", "-c", &script]).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", home).env("XDG_RUNTIME_DIR", home.join("run"));
        let mut session = Child::spawn(&mut command).unwrap();
        session.write(b"a throw-away password").unwrap();
        session.close_stdin();
        let line = session.wait_for_line(LONG, |line| line.starts_with("bus ")).unwrap();
        Self { home: home.to_owned(), bus: line.trim_start_matches("bus ").to_owned(), session }
    }

    fn env(&self) -> [(&str, &str); 2] {
        [("DBUS_SESSION_BUS_ADDRESS", &self.bus), ("XDG_RUNTIME_DIR", self.home.to_str().unwrap())]
    }

    fn tool(&self, args: &[&str], input: &str) -> Exit {
        let mut command = Command::new("/usr/bin/secret-tool");
        command.args(args).env_clear().envs(self.env()).env("HOME", &self.home);
        let mut child = Child::spawn(&mut command).unwrap();
        // A tool that takes no input may have ended already.
        let _ = child.write(input.as_bytes());
        child.close_stdin();
        child.wait(LONG).unwrap()
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        self.session.kill();
    }
}

/// The attributes of the one entry, and the key in it, read as any process of the user could.
fn entry(desktop: &Desktop, house: &House) -> (Vec<String>, String) {
    let instance = std::fs::read(house.data().join("signer/instance")).unwrap();
    let seal = marque_testkit::encode::hex(&instance);
    let words = ["application", "marque", "seal", &seal, "copy", "3"].map(str::to_owned).to_vec();
    let mut args = vec!["lookup"];
    args.extend(words.iter().map(String::as_str));
    let found = desktop.tool(&args, "");
    assert!(found.status.success(), "{found:?}");
    (words, found.stdout.trim().to_owned())
}

fn with<'a>(verb: &'a str, more: &[&'a str], words: &'a [String]) -> Vec<&'a str> {
    let mut args = vec![verb];
    args.extend(more);
    args.extend(words.iter().map(String::as_str));
    args
}

/// A house whose seal has a copy for the keyring; nothing runs in it.
fn added(desktop: &Desktop) -> House {
    let mut house = House::empty().with_env(&desktop.env());
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    let added = house.run_owner(&["seal", "add", "keyring"]);
    assert!(added.status.success(), "{added:?}");
    assert!(added.stdout.contains("protects at rest only: any process of the user can ask for it"), "{added:?}");
    house.stop();
    house
}

/// What `serve --unseal keyring` ends with.
fn refused(house: &House, what: &str) {
    let exit = Child::run(&mut house.serve(&["--unseal", "keyring"]), LONG).unwrap();
    assert_eq!(exit.status.code(), Some(4), "{exit:?}");
    assert!(exit.stderr.contains("MQ-5113") && exit.stderr.contains(what) && exit.stderr.contains("help: "), "{what}: {exit:?}");
}

fn is_open(house: &House) -> bool {
    let status: Value = serde_json::from_str(&house.ok(&["--json", "status"]).stdout).unwrap();
    status["sealed"] == false
}

#[test]
fn a_keyring_alone_opens_the_seal_and_its_key_is_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path(), true);
    let mut house = House::empty().with_env(&desktop.env());
    // Every program that is started, with its arguments, from the adding of the key on.
    let trace = dir.path().join("trace");
    let strace = |house: &House, more: &[&str]| {
        let serve = house.serve(more);
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-s", "4096", "-v", "-e", "trace=execve", "-A", "-o"]).arg(&trace).arg("--");
        command.arg(serve.get_program()).args(serve.get_args()).env_clear();
        command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let child = Child::spawn(&mut command).unwrap();
        child.wait_for_line(LONG, |line| line == "ready").unwrap();
        child
    };
    let mut serve = strace(&house, &[]);
    let unsealed = house.run_owner(&["unseal"]);
    assert!(unsealed.status.success(), "{unsealed:?}");
    let recovery = unsealed.stderr.split_whitespace().find(|word| word.starts_with("marque-rk-")).unwrap().to_owned();
    let added = house.run_owner(&["seal", "add", "keyring"]);
    assert!(added.status.success(), "{added:?}");
    house.ok(&["stop"]);
    let mut said = serve.wait(LONG).unwrap().stderr;

    let mut serve = strace(&house, &["--unseal", "keyring"]);
    assert!(is_open(&house), "nobody gave a passphrase");
    let status = house.ok(&["status"]).stdout;
    assert!(status.contains("keyring") && status.contains("protects at rest only: any process of the user can ask for it"), "{status}");
    house.ok(&["stop"]);
    said += &serve.wait(LONG).unwrap().stderr;
    assert!(said.contains("protects at rest only"), "said where it is chosen: {said}");

    let (words, key) = entry(&desktop, &house);
    assert_eq!(key.len(), 64, "a control: this is what is looked for");
    let trace = std::fs::read_to_string(&trace).unwrap();
    assert!(trace.contains("secret-tool") && trace.contains("\"store\""), "a control: the trace sees the tool");
    for line in trace.lines().filter(|line| line.contains("/secret-tool\"")) {
        assert!(!line.contains("MARQUE_") && !line.contains("PATH="), "its environment is cleaned: {line}");
    }
    for (place, text) in [("arguments", &trace), ("stderr", &said), ("answer", &added.stdout)] {
        assert!(!text.contains(&key), "{place}");
    }
    let found = marque_testkit::search::grep_tree(house.dir.path(), &[&key]).unwrap();
    assert!(found.hits.is_empty(), "{:?}", found.hits);

    // An entry of another seal, or one that somebody put there, opens nothing; the ways that were there before still do.
    desktop.tool(&with("store", &["--label=other"], &words), &"5a".repeat(32));
    refused(&house, "does not open this seal");
    desktop.tool(&with("clear", &[], &words), "");
    refused(&house, "has no entry");
    house.start(&[]);
    assert!(!is_open(&house));
    std::fs::write(house.dir.path().join("passphrase"), format!("{recovery}\n")).unwrap();
    assert!(house.run_owner(&["unseal"]).status.success(), "by the recovery key");
    assert!(is_open(&house));
    // And a new entry takes the place of the one that is gone.
    std::fs::write(house.dir.path().join("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    assert!(house.run_owner(&["seal", "add", "keyring"]).status.success());
    house.stop();
    house.start(&["--unseal", "keyring"]);
    assert!(is_open(&house));
    let list: Value = serde_json::from_str(&house.ok(&["--json", "seal", "list"]).stdout).unwrap();
    let ways: Vec<&str> = list["ways"].as_array().unwrap().iter().map(|way| way["way"].as_str().unwrap()).collect();
    assert_eq!(ways, ["passphrase", "recovery-key", "keyring"], "a key in place of the one before");
    let id = list["ways"][2]["id"].to_string();
    assert_eq!(house.run_owner(&["seal", "remove", "1"]).status.code(), Some(4), "a passphrase is never taken away");
    assert!(house.run_owner(&["seal", "remove", &id]).status.success());
    house.stop();
    refused(&house, "no copy that a keyring opens");
}

#[test]
fn a_copy_of_the_directory_without_its_keyring_opens_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(&dir.path().join("home"), true);
    let house = added(&desktop);
    let other = Desktop::start(&dir.path().join("elsewhere"), true);
    let stolen = House::empty().with_env(&other.env());
    let copied = Child::run(Command::new("cp").arg("-a").arg(house.data()).arg(stolen.data()), LONG).unwrap();
    assert!(copied.status.success(), "{copied:?}");
    refused(&stolen, "has no entry");
    // The control: with the keyring the same copy opens.
    let mut stolen = stolen.with_env(&desktop.env());
    stolen.start(&["--unseal", "keyring"]);
    assert!(is_open(&stolen));
}

#[test]
fn a_locked_keyring_and_none_at_all_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path(), true);
    let house = added(&desktop);
    drop(desktop);
    refused(&house, "no keyring is running");
    let locked = Desktop::start(dir.path(), false);
    let house = house.with_env(&locked.env());
    refused(&house, "is locked");
}

#[test]
fn only_the_passphrase_lets_a_keyring_open_the_seal() {
    let dir = tempfile::tempdir().unwrap();
    let desktop = Desktop::start(dir.path(), true);
    let mut house = House::empty().with_env(&desktop.env());
    house.start(&[]);
    assert!(house.run_owner(&["unseal"]).status.success());
    std::fs::write(house.dir.path().join("passphrase"), "not the passphrase\n").unwrap();
    let exit = house.run_owner(&["seal", "add", "keyring"]);
    assert_eq!(exit.status.code(), Some(4), "{exit:?}");
    assert!(exit.stderr.contains("MQ-5106"), "{exit:?}");
    house.stop();
    refused(&house, "no copy that a keyring opens");
}
