use crate::house::{House, LONG};
use marque_testkit::canary;
use marque_testkit::encode::{find_any, needles};
use marque_testkit::proc::Child;
use std::process::Command;

/// `marque scan` in a home of its own with one credential in the shell and one in a file.
fn scan(args: &[&str]) -> (tempfile::TempDir, Command, [String; 2]) {
    let home = tempfile::tempdir().unwrap();
    let secrets = [canary("shell"), canary("file")];
    std::fs::write(home.path().join(".npmrc"), format!("//npm.acme.dev/:_authToken={}\n", secrets[1])).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_marque"));
    command.args(args).current_dir(home.path()).env_clear().env("HOME", home.path()).env("PLANTED_API_TOKEN", &secrets[0]);
    (home, command, secrets)
}

#[test]
fn scan_lists_what_an_agent_could_use_and_shows_no_value() {
    let (_home, mut command, secrets) = scan(&["scan", "--all"]);
    let exit = Child::run(&mut command, LONG).unwrap();
    assert!(exit.status.success(), "{exit:?}");
    let line = exit.stdout.lines().find(|l| l.contains("PLANTED_API_TOKEN") && l.contains("this shell")).unwrap();
    assert!(line.contains("token or key") && line.contains("age unknown"), "{line}");
    let line = exit.stdout.lines().find(|l| l.contains("npm npm.acme.dev")).unwrap();
    assert!(line.contains("~/.npmrc:1") && line.contains("0 days"), "{line}");
    assert!(exit.stdout.contains("Nothing was sent anywhere; no value is shown."), "{}", exit.stdout);
    for secret in &secrets {
        for text in [&exit.stdout, &exit.stderr] {
            assert!(find_any(text.as_bytes(), &needles(secret.as_bytes())).is_none(), "{text}");
        }
    }
}

#[test]
fn scan_fails_only_when_asked_to() {
    let (_home, mut command, _) = scan(&["scan", "--fail"]);
    assert_eq!(Child::run(&mut command, LONG).unwrap().status.code(), Some(8));
    let (_home, mut command, _) = scan(&["scan", "/no/such/path"]);
    let exit = Child::run(&mut command, LONG).unwrap();
    assert_eq!(exit.status.code(), Some(2), "{exit:?}");
    assert!(exit.stderr.contains("help: "), "{}", exit.stderr);
}

#[test]
fn scan_as_json_has_a_version_and_no_value() {
    let (_home, mut command, secrets) = scan(&["--json", "scan"]);
    let exit = Child::run(&mut command, LONG).unwrap();
    let report: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!(report["schema"], "marque/scan.v1");
    let found = report["findings"].as_array().unwrap();
    assert!(found.iter().any(|f| f["name"] == "PLANTED_API_TOKEN" && f["place"] == "this shell"), "{report}");
    for secret in &secrets {
        assert!(find_any(exit.stdout.as_bytes(), &needles(secret.as_bytes())).is_none(), "{}", exit.stdout);
    }
}

#[test]
fn a_running_process_is_named_as_the_holder_of_what_it_holds() {
    let (_home, mut command, secrets) = scan(&["--json", "scan"]);
    let mut holder = Command::new("sh");
    holder.env("HELD_TOKEN", &secrets[1]).args(["-c", "echo ready; read line; true"]);
    let holder = Child::spawn(&mut holder).unwrap();
    holder.wait_for_line(LONG, |line| line == "ready").unwrap();
    let exit = Child::run(&mut command, LONG).unwrap();
    let report: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    let found = report["findings"].as_array().unwrap().iter().find(|f| f["name"] == "npm npm.acme.dev").unwrap();
    assert!(found["held_by"].as_array().unwrap().iter().any(|h| h["pid"] == holder.pid()), "{found}");
}

#[test]
fn the_first_run_says_what_an_agent_could_use() {
    let house = House::new();
    let args = ["run", "--purpose", "look around here", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"];
    let first = |secret: &str| {
        let mut command = house.owner(&args);
        command.env("PLANTED_API_TOKEN", secret);
        Child::run(&mut command, LONG).unwrap()
    };
    let secret = canary("shell");
    let exit = first(&secret);
    assert!(exit.status.success(), "{exit:?}");
    let line = exit.stderr.lines().find(|l| l.starts_with("Found       An agent started here could use ")).unwrap();
    assert!(line.ends_with(": marque scan"), "{line}");
    assert!(find_any(exit.stderr.as_bytes(), &needles(secret.as_bytes())).is_none());
    assert!(!first(&secret).stderr.contains("could use"), "once is enough");
}
