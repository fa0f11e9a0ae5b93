use crate::house::{House, LONG};
use marque_testkit::encode::{find_any, needles};
use marque_testkit::proc::Child;
use marque_testkit::upstream::GithubShape;
use marque_testkit::{Options, canary};
use serde_json::Value;

fn github(house: &House) -> (GithubShape, String) {
    let token = GithubShape::fresh_token();
    let cert = house.ca.issue(&["api.github.test"]).unwrap();
    let api = GithubShape::start(Options::tls(cert.server_config().unwrap()), &token).unwrap();
    let host = format!("api=https://api.github.test:{}", api.port());
    let pin = format!("api.github.test:{}=127.0.0.1", api.port());
    house.add_credential("github", &token, &["--service", "github", "--host", &host, "--pin", &pin]);
    let base = format!("https://api.github.test:{}", api.port());
    (api, base)
}

/// Asks for each and prints the status of each.
fn script(requests: &[String]) -> String {
    requests.iter().map(|r| format!("curl -sS -o /dev/null -w '%{{http_code}} ' {r}; ")).collect()
}

fn session_of(house: &House, events: &str) -> String {
    let text = std::fs::read_to_string(house.dir.path().join(events)).unwrap();
    let opened: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    opened["session"].as_str().unwrap().to_owned()
}

#[test]
fn what_observe_mode_saw_becomes_a_task_that_enforces_exactly_that() {
    let house = House::new();
    let (api, base) = github(&house);
    let read = vec![
        format!("{base}/repos/acme/web/pulls"),
        format!("'{base}/repos/acme/web/issues?state=open'"),
        format!("-X POST -d '{{\"title\":\"x\"}}' {base}/repos/acme/web/issues"),
    ];
    let unlisted = format!("{base}/user");
    let events = house.dir.path().join("observed");
    let all = script(&[read.clone(), vec![unlisted.clone()]].concat());
    let exit = house.run_owner(&[
        "run", "--purpose", "look after the issues", "--env", "staging", "--mode", "observe", "--agent", "carer", "--grant",
        "github repo.read,issue.* on acme/*", "--json-events", events.to_str().unwrap(), "--", "/bin/sh", "-c", &all,
    ]);
    assert_eq!(exit.stdout.trim(), "200 200 201 200", "{exit:?}");
    let id = session_of(&house, "observed");
    let tightened = house.ok(&["session", "tighten", &id]);
    assert!(tightened.stderr.contains("Replays     3 of 4 recorded uses"), "{}", tightened.stderr);
    assert!(tightened.stderr.contains("MQ-2104"), "{}", tightened.stderr);
    assert!(tightened.stdout.contains("on      = [\"acme/web\"]") && !tightened.stdout.contains("acme/*"), "{}", tightened.stdout);
    assert!(find_any(tightened.stdout.as_bytes(), &needles(api.token().as_bytes())).is_none());

    let task = house.dir.path().join("task.toml");
    std::fs::write(&task, &tightened.stdout).unwrap();
    let before = api.acts().len();
    let elsewhere = format!("{base}/repos/acme/other/pulls");
    let all = script(&[read, vec![unlisted, elsewhere]].concat());
    let exit = house.run_owner(&["run", "--task", task.to_str().unwrap(), "--agent", "carer", "--", "/bin/sh", "-c", &all]);
    assert_eq!(exit.stdout.trim(), "200 200 201 403 403", "{exit:?}");
    assert_eq!(api.acts().len(), before + 1);
    // Under another agent's name the task opens nothing.
    let exit = house.run_owner(&["run", "--task", task.to_str().unwrap(), "--", "/bin/sh", "-c", "true"]);
    assert!(!exit.status.success(), "{exit:?}");
}

#[test]
fn a_service_without_a_profile_is_tightened_to_methods_and_paths_after_a_restart() {
    let mut house = House::new();
    let (echo, origin) = house.echo(&canary("api"));
    let events = house.dir.path().join("observed");
    let requests: Vec<String> = ["1", "2", "3"].iter().map(|n| format!("'{origin}/v1/items/{n}?token=in-a-query'")).collect();
    let grant = format!("http GET,POST on {origin}/**");
    let exit = house.run_owner(&[
        "run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--json-events", events.to_str().unwrap(), "--", "/bin/sh", "-c",
        &script(&requests),
    ]);
    assert!(exit.status.success(), "{exit:?}");
    let id = session_of(&house, "observed");
    house.stop();
    house.start(&[]);
    // The restarted authority is sealed until its owner comes back.
    house.run_owner(&["run", "--purpose", "open the seal", "--env", "staging", "--grant", &grant, "--", "true"]);
    let tightened = house.ok(&["--json", "session", "tighten", &id]);
    let report: Value = serde_json::from_str(&tightened.stdout).unwrap();
    assert_eq!((report["recorded"].as_u64(), report["replayed"].as_u64()), (Some(3), Some(3)), "{report}");
    let task = report["task"].as_str().unwrap();
    assert!(task.contains("allow   = [\"GET\"]") && task.contains("paths   = [\"/v1/items/*\"]"), "{task}");
    assert!(!tightened.stdout.contains("in-a-query"), "a query is not told: {}", tightened.stdout);
    assert!(echo.log().records().len() >= 3);
}

#[test]
fn uses_are_told_page_by_page_and_only_to_the_owner() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let events = house.dir.path().join("events");
    let grant = format!("http GET on {origin}/**");
    let marque = env!("CARGO_BIN_EXE_marque");
    let requests: Vec<String> = (0..5).map(|n| format!("{origin}/v1/x{n}")).collect();
    let inside = format!("{} {marque} --data-dir {} session tighten $MARQUE_SESSION; true", script(&requests), house.data().display());
    let exit = house.run_owner(&[
        "run", "--purpose", "read five items", "--env", "staging", "--grant", &grant, "--json-events", events.to_str().unwrap(), "--", "/bin/sh",
        "-c", &inside,
    ]);
    assert!(exit.stderr.contains("MQ-5108"), "a process of the session is not told: {}", exit.stderr);
    let id = session_of(&house, "events");
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--unix-socket"]).arg(house.data().join("authority.sock"));
        curl.arg(format!("http://marque/v1/sessions/{id}/uses?after={after}&max=2"));
        let exit = Child::run(&mut curl, LONG).unwrap();
        let page: Value = serde_json::from_str(&exit.stdout).unwrap();
        let uses = page["uses"].as_array().unwrap();
        assert!(uses.len() <= 2, "{page}");
        assert_eq!(page["opened"].is_null(), after != 0, "{page}");
        seen.extend(uses.iter().map(|u| u["path"].as_str().unwrap().to_owned()));
        match page["next"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, ["/v1/x0", "/v1/x1", "/v1/x2", "/v1/x3", "/v1/x4"]);
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--unix-socket"]).arg(house.data().join("authority.sock"));
    curl.arg(format!("http://marque/v1/sessions/{id}/uses?after=x"));
    assert!(Child::run(&mut curl, LONG).unwrap().stdout.contains("MQ-1001"));
}
