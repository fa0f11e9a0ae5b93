use crate::house::{House, LONG};
use marque_testkit::canary;
use marque_testkit::encode::{find_any, needles};
use marque_testkit::proc::Child;

fn purpose(grant: &str) -> Vec<&str> {
    vec!["run", "--purpose", "read the items", "--env", "staging", "--grant", grant]
}

#[test]
fn an_agent_uses_a_credential_that_it_never_sees() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!(
        "curl -sS {origin}/echo; curl -sS -w ' %{{http_code}}' -X POST -d x {origin}/v1/items; curl -sS https://other.test/; env"
    );
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let exit = house.run_owner(&args);
    // The last command is `env`, so the run's code is its.
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 1, "once for the one allowed use");
    assert!(exit.stdout.contains("MQ-2104"), "{}", exit.stdout);
    assert!(exit.stdout.contains("read the items"), "a refusal names the purpose: {}", exit.stdout);
    for text in [&exit.stdout, &exit.stderr] {
        assert!(find_any(text.as_bytes(), &needles(secret.as_bytes())).is_none(), "{text}");
    }
    assert!(exit.stderr.contains("Contained   D"), "{}", exit.stderr);
    assert!(exit.stderr.contains("static and still live upstream: api"), "{}", exit.stderr);
}

#[test]
fn without_marque_the_same_agent_has_the_secret() {
    // The control: the same upstream and the same command, with the secret where teams put it.
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let script = format!("curl -sS -k --resolve api.test:{p}:127.0.0.1 -H \"Authorization: Bearer $API_TOKEN\" {origin}/echo; env", p = echo.port());
    let mut command = std::process::Command::new("/bin/sh");
    command.arg("-c").arg(script).env("API_TOKEN", &secret);
    let exit = Child::run(&mut command, LONG).unwrap();
    assert_eq!(echo.log().count_saw(&secret), 1);
    assert!(find_any(exit.stdout.as_bytes(), &needles(secret.as_bytes())).is_some());
}

#[test]
fn a_session_without_purpose_or_grant_is_not_opened() {
    let house = House::new();
    for args in [
        vec!["run", "--purpose", "x", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"],
        vec!["run", "--purpose", "read the items", "--env", "staging", "--", "true"],
        vec!["run", "--purpose", "read the items", "--grant", "http GET on https://a.test/**", "--", "true"],
        vec!["run", "--purpose", "read the items", "--env", "staging", "--ttl", "9h", "--grant", "http GET on https://a.test/**", "--", "true"],
    ] {
        let exit = house.run_owner(&args);
        assert_eq!(exit.status.code(), Some(125), "{args:?}: {exit:?}");
        assert!(exit.stderr.contains("help: "), "{}", exit.stderr);
    }
}

#[test]
fn production_at_grade_d_needs_a_risk_accepted_by_name() {
    let house = House::new();
    let base = ["run", "--purpose", "read the items", "--env", "production", "--grant", "http GET on https://a.test/**"];
    let exit = house.run_owner(&[&base[..], &["--", "true"]].concat());
    assert!(exit.stderr.contains("MQ-5109"), "{}", exit.stderr);
    assert_eq!(exit.status.code(), Some(3));
    let exit = house.run_owner(&[&base[..], &["--accept-risk", "uncontained", "--", "true"]].concat());
    assert!(exit.status.success(), "{exit:?}");
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let house = House::new();
    // The first act sets it.
    house.add_credential("x", &canary("x"), &["--service", "http", "--host", "https://a.test", "--place", "bearer"]);
    let wrong = house.dir.path().join("wrong");
    std::fs::write(&wrong, "not the passphrase\n").unwrap();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", "exec \"$1\" --data-dir \"$2\" --auth-fd 3 run --purpose 'a b' --env staging --grant 'http GET on https://a.test/**' -- true 3<\"$3\"", "sh"]);
    shell.arg(env!("CARGO_BIN_EXE_marque")).arg(house.data()).arg(&wrong);
    let exit = Child::run(&mut shell, LONG).unwrap();
    assert!(exit.stderr.contains("MQ-5106"), "{}", exit.stderr);
    assert_eq!(exit.status.code(), Some(4));
}

#[test]
fn the_child_s_code_is_the_run_s_code() {
    let house = House::new();
    let mut args = purpose("http GET on https://a.test/**");
    args.extend(["--", "/bin/sh", "-c", "exit 41"]);
    assert_eq!(house.run_owner(&args).status.code(), Some(41));
    let mut args = purpose("http GET on https://a.test/**");
    args.extend(["--", "/no/such/program"]);
    assert_eq!(house.run_owner(&args).status.code(), Some(127));
}

#[test]
fn a_process_of_a_session_learns_of_its_own_session_alone() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let marque = env!("CARGO_BIN_EXE_marque");
    let data = house.data();
    let script = format!(
        "curl -sS -X POST {origin}/v1/x >/dev/null; M='{marque} --data-dir {}'; $M why --last; $M credential list; $M session list; $M stop",
        data.display()
    );
    let grant = format!("http GET on {origin}/**");
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let exit = house.run_owner(&args);
    assert!(exit.stdout.contains("MQ-2104"), "why tells the code: {exit:?}");
    assert_eq!(exit.stderr.matches("MQ-5108").count(), 3, "{}", exit.stderr);
    house.ok(&["status"]);
}

#[test]
fn closing_a_session_stops_the_agent_and_admits_nothing_more() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!("while :; do curl -sS {origin}/v1/x >/dev/null; done");
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let mut run = Child::spawn(&mut house.owner(&args)).unwrap();
    echo.log().wait_for(LONG, |records| (records.len() > 3).then_some(())).unwrap();
    let list = house.ok(&["--json", "session", "list"]);
    let sessions: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    let id = sessions["items"][0]["session"].as_str().unwrap().to_owned();
    let statement = house.ok(&["--json", "session", "close", &id]);
    let statement: serde_json::Value = serde_json::from_str(&statement.stdout).unwrap();
    let seen = echo.log().count_saw(&secret);
    let exit = run.wait(LONG).unwrap();
    assert_eq!(exit.status.code(), Some(128 + 9), "{exit:?}");
    assert_eq!(statement["reason"], "stopped");
    assert_eq!(statement["unknown"], 0, "{statement}");
    assert_eq!(echo.log().count_saw(&secret), seen, "nothing after the end");
}

#[test]
fn a_killed_launcher_ends_its_session() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!("while :; do curl -sS {origin}/v1/x >/dev/null; done");
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let run = Child::spawn(&mut house.owner(&args)).unwrap();
    echo.log().wait_for(LONG, |records| (records.len() > 3).then_some(())).unwrap();
    let pid = rustix::process::Pid::from_raw(run.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let deadline = std::time::Instant::now() + LONG;
    while house.ok(&["--json", "session", "list"]).stdout.contains("\"s-") {
        assert!(std::time::Instant::now() < deadline, "the session goes on");
    }
    // The agent may live on at grade D. It can use nothing.
    let seen = echo.log().count_saw(&secret);
    let tries = format!("curl -sS -o /dev/null {origin}/v1/x");
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &tries]);
    house.run_owner(&args);
    assert_eq!(echo.log().count_saw(&secret), seen + 1, "only the new session's use");
    run.kill();
}

#[test]
fn one_data_directory_has_one_authority() {
    let house = House::new();
    let exit = Child::run(&mut house.command(&["serve", "--fast-passphrase"]), LONG).unwrap();
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("already"), "{}", exit.stderr);
    house.ok(&["status"]);
}

#[test]
fn observe_mode_records_what_it_would_have_refused() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!("curl -sS -o /dev/null -w %{{http_code}} -X POST -d x {origin}/v1/items");
    let mut args = purpose(&grant);
    args.extend(["--mode", "observe", "--", "/bin/sh", "-c", &script]);
    let events = house.dir.path().join("events.json");
    args.splice(1..1, ["--json-events", events.to_str().unwrap()]);
    let exit = house.run_owner(&args);
    assert_eq!(exit.stdout, "200", "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 1);
    let first = std::fs::read_to_string(&events).unwrap();
    let opened: serde_json::Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let lineage = house.ok(&["--json", "audit", "lineage", opened["session"].as_str().unwrap()]);
    assert!(lineage.stdout.contains("MQ-2104"), "{}", lineage.stdout);
    assert!(lineage.stdout.contains("\"purpose\": \"read the items\""), "{}", lineage.stdout);
}

#[test]
fn every_shipped_profile_holds_its_examples() {
    let house = House::new();
    let exit = house.ok(&["service", "check"]);
    assert!(exit.stdout.contains("github: "), "{}", exit.stdout);
}

#[test]
fn errors_have_pages() {
    let house = House::new();
    let exit = house.ok(&["explain", "mq-2104"]);
    assert!(exit.stdout.starts_with("# MQ-2104"), "{}", exit.stdout);
    assert!(!Child::run(&mut house.command(&["explain", "MQ-9999"]), LONG).unwrap().status.success());
}

#[test]
fn a_connection_that_does_not_show_the_sessions_secret_is_nobodys() {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    let grant = format!("http GET on {origin}/**");
    let script = format!(
        "at=${{HTTPS_PROXY##*@}}; unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy; \
         for p in http://$at http://marque:wrong@$at; do \
         curl -sS -o /dev/null -w '%{{http_connect}} ' --proxy $p {origin}/v1/x; done; true"
    );
    let mut args = purpose(&grant);
    args.extend(["--", "/bin/sh", "-c", &script]);
    let exit = house.run_owner(&args);
    assert_eq!(exit.stdout.trim(), "407 407", "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 0);
}

#[test]
fn an_agent_does_not_inherit_the_passphrase() {
    let house = House::new();
    // A file of this test's own: what else is open here belongs to tests that run beside it.
    let file = house.dir.path().join("given");
    std::fs::write(&file, "the passphrase of this test\n").unwrap();
    let look = "ls -l /proc/self/fd; cat /proc/self/fd/3";
    let mut shell = std::process::Command::new("/bin/sh");
    let run = "exec \"$1\" --data-dir \"$2\" --auth-fd 3 run --purpose 'a b' --env staging \
               --grant 'http GET on https://a.test/**' -- /bin/sh -c \"echo agent; $4\" 3<\"$3\"";
    shell.args(["-c", run, "sh", env!("CARGO_BIN_EXE_marque")]).arg(house.data()).arg(&file).arg(look);
    let exit = Child::run(&mut shell, LONG).unwrap();
    assert!(exit.status.code().is_some() && exit.stderr.contains("Session     "), "it was read: {exit:?}");
    let (_, agents) = exit.stdout.split_once("agent\n").unwrap();
    assert!(agents.contains("pipe:"), "{exit:?}");
    assert!(!agents.contains("the passphrase of this test") && !agents.contains(&*file.to_string_lossy()), "{exit:?}");
}
