//! Policy and people in the decision path, through the whole binary.

use crate::house::{House, LONG};
use marque_testkit::proc::Child;
use marque_testkit::{Server, canary};
use std::path::Path;

/// A session that may delete, which the shipped pack asks about.
fn session(house: &House, grant: &str, script: &str) -> Child {
    let args = [
        "run", "--purpose", "tidy the items", "--env", "staging", "--accept-risk", "uncontained", "--grant", grant, "--",
        "/bin/sh", "-c", script,
    ];
    Child::spawn(&mut house.owner(&args)).unwrap()
}

/// Waits for the next question and returns its id.
fn next_question(watch: &Child, known: &[String]) -> String {
    let id = |line: &str| {
        let view: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(view["id"].as_str()?.to_owned())
    };
    let line = watch.wait_for_line(LONG, |line| id(line).is_some_and(|id| !known.contains(&id))).unwrap();
    id(&line).unwrap()
}

fn watch(house: &House) -> Child {
    Child::spawn(&mut house.command(&["--json", "approval", "watch"])).unwrap()
}

fn setup() -> (House, Server, String, String) {
    let house = House::new();
    let secret = canary("api");
    let (echo, origin) = house.echo(&secret);
    (house, echo, origin, secret)
}

const CODE: &str = "curl -sS -o /dev/null -w '%{http_code} '";

#[test]
fn a_held_request_goes_out_after_yes_once_and_never_after_no() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http GET,DELETE on {origin}/**");
    let watch = watch(&house);
    let script = format!("{CODE} '{origin}/slow?ms=0'; {CODE} -X DELETE '{origin}/slow?ms=0'; curl -sS -X DELETE '{origin}/slow?ms=0'");
    let mut run = session(&house, &grant, &script);
    let first = next_question(&watch, &[]);
    let before = echo.log().count_saw(&secret);
    assert_eq!(before, 1, "the read alone: what is asked about is held");
    let card = house.ok(&["approval", "show", &first]).stdout;
    for part in ["http DELETE on /slow", "destructive", "cannot be undone", "tidy the items", "1 use(s) of exactly this"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    // No passphrase, no yes.
    let wrong = house.dir.path().join("wrong");
    std::fs::write(&wrong, "not the passphrase\n").unwrap();
    let script = format!("exec 3<{}; exec \"$@\"", wrong.display());
    let mut shell = std::process::Command::new("/bin/sh");
    let data = house.data();
    shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_marque"), "--data-dir", data.to_str().unwrap()]);
    shell.args(["--auth-fd", "3", "approval", "approve", &first]);
    let exit = Child::run(&mut shell, LONG).unwrap();
    assert_eq!(exit.status.code(), Some(4), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), before);
    let exit = house.run_owner(&["approval", "approve", &first]);
    assert!(exit.stdout.contains("approved") || exit.stdout.contains("spent"), "{exit:?}");
    // The very same request again is another question: the approval was good for one use.
    let second = next_question(&watch, &[first]);
    house.ok(&["approval", "deny", &second]);
    let exit = run.wait(LONG).unwrap();
    assert!(exit.stdout.starts_with("200 200 "), "{exit:?}");
    assert!(exit.stdout.contains("MQ-3202"), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 2);
}

#[test]
fn many_equal_requests_ask_once_and_one_approval_admits_one() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http DELETE on {origin}/**");
    let watch = watch(&house);
    let script = format!("for i in $(seq 24); do {CODE} -X DELETE '{origin}/slow?ms=0' & done; wait");
    let mut run = session(&house, &grant, &script);
    let first = next_question(&watch, &[]);
    let list = house.ok(&["--json", "approval", "list"]);
    let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "equal requests are one question: {list}");
    assert!(house.run_owner(&["approval", "approve", &first]).status.success());
    // Requests that arrived after the approval was spent ask anew, once; they are told no.
    let mut known = vec![first];
    while !run.has_ended() {
        let list = house.ok(&["--json", "approval", "list"]);
        let list: serde_json::Value = serde_json::from_str(&list.stdout).unwrap();
        let open = list["items"].as_array().unwrap().iter().find(|v| v["state"] == "open").map(|v| v["id"].as_str().unwrap().to_owned());
        if let Some(id) = open {
            // It may have been withdrawn in this moment.
            let _ = Child::run(&mut house.command(&["approval", "deny", &id]), LONG).unwrap();
            known.push(id);
        }
    }
    let exit = run.wait(LONG).unwrap();
    assert_eq!(exit.stdout.matches("200").count(), 1, "{exit:?}");
    assert_eq!(exit.stdout.matches("403").count(), 23, "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 1);
}

#[test]
fn a_yes_is_for_the_headers_and_the_body_that_the_human_saw() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http DELETE on {origin}/**");
    let watch = watch(&house);
    let one = |account: &str, ids: &str| format!("{CODE} -X DELETE -H 'X-Account: {account}' --json '{{\"ids\":[\"{ids}\"]}}' '{origin}/slow?ms=0' & ");
    let script = format!("{}{}{}wait", one("sandbox", "one"), one("LIVE", "one"), one("sandbox", "everything"));
    let mut run = session(&house, &grant, &script);
    let mut known: Vec<String> = Vec::new();
    let mut approved = 0;
    for _ in 0..3 {
        let id = next_question(&watch, &known);
        let card = house.ok(&["approval", "show", &id]).stdout;
        assert!(card.contains("content-type: application/json"), "{card}");
        if card.contains("x-account: sandbox") && card.contains("| {\"ids\":[\"one\"]}") {
            assert!(house.run_owner(&["approval", "approve", &id]).status.success());
            approved += 1;
        } else {
            assert!(card.contains("LIVE") || card.contains("everything"), "{card}");
            house.ok(&["approval", "deny", &id]);
        }
        known.push(id);
    }
    let exit = run.wait(LONG).unwrap();
    assert_eq!((approved, exit.stdout.matches("200").count(), exit.stdout.matches("403").count()), (1, 1, 2), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 1);
    let sent = echo.log().records();
    assert!(sent.iter().all(|record| record.header("x-account") == Some("sandbox")), "{sent:?}");
}

#[test]
fn an_unanswered_question_is_pending_and_a_late_yes_admits_the_retry() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http DELETE on {origin}/**");
    let watch = watch(&house);
    let go = house.dir.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let script = format!("curl -sS -X DELETE '{origin}/slow?ms=0'; echo; echo asked; cat {go}; {CODE} -X DELETE '{origin}/slow?ms=0'", go = go.display());
    let mut run = session(&house, &grant, &script);
    let id = next_question(&watch, &[]);
    run.wait_for_line(LONG, |line| line == "asked").unwrap();
    let answer = run.stdout();
    assert!(answer.contains("MQ-3201") && answer.contains(&format!("urn:marque:approval:{id}")), "{answer}");
    assert!(answer.contains("retry_after_s"), "a program sees that a retry makes sense: {answer}");
    assert_eq!(echo.log().count_saw(&secret), 0);
    assert!(house.run_owner(&["approval", "approve", &id]).status.success());
    std::fs::write(&go, "").unwrap();
    let exit = run.wait(LONG).unwrap();
    assert!(exit.stdout.ends_with("200 "), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 1);
}

#[test]
fn a_process_of_a_session_can_neither_see_nor_answer_a_question() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http DELETE on {origin}/**");
    let watch = watch(&house);
    let marque = env!("CARGO_BIN_EXE_marque");
    // Even with the passphrase in its hands.
    let go = house.dir.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let script = format!(
        "{CODE} -X DELETE '{origin}/slow?ms=0' & id=$(cat {go}); M='{marque} --data-dir {data}'; $M approval list; $M approval show $id; \
         $M approval deny $id; exec 3<{pass}; $M --auth-fd 3 approval approve $id; $M policy list; wait",
        go = go.display(),
        data = house.data().display(),
        pass = house.dir.path().join("passphrase").display(),
    );
    let mut run = session(&house, &grant, &script);
    let id = next_question(&watch, &[]);
    std::fs::write(&go, &id).unwrap();
    run.wait_for(LONG, |text| (text.matches("MQ-5108").count() == 5).then_some(())).unwrap();
    let state = house.ok(&["approval", "show", &id]).stdout;
    assert!(state.contains("state      open"), "{state}");
    house.ok(&["approval", "deny", &id]);
    let exit = run.wait(LONG).unwrap();
    assert!(exit.stdout.contains("403"), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 0);
}

fn pack(house: &House, name: &str, text: &str, tests: &str) -> String {
    let file = house.dir.path().join(format!("{name}.cedar"));
    std::fs::write(&file, text).unwrap();
    std::fs::write(house.dir.path().join(format!("{name}.test.toml")), tests).unwrap();
    file.to_str().unwrap().to_owned()
}

const THIRD_USE: &str = r#"
@id("two-are-enough")
@deny("start a new session")
@because("the session had its two uses")
forbid (principal, action in Action::"http/any", resource)
when { context.session.uses >= 2 };
"#;
const THIRD_USE_TESTS: &str = r#"
[[case]]
action = "http/GET"
resource = { name = "/v1/x", environment = "staging" }
context = { uses = 2 }
expect = "deny"
rule = "two-are-enough"
"#;

#[test]
fn the_same_request_is_allowed_before_and_denied_after_a_declared_fact() {
    let (house, echo, origin, secret) = setup();
    let file = pack(&house, "acme", THIRD_USE, THIRD_USE_TESTS);
    // It begins with a permit of the shipped pack; alone, as its assertions are judged, it permits nothing else.
    let exit = house.run_owner(&["policy", "apply", &file]);
    assert!(exit.status.success(), "{exit:?}");
    assert!(house.ok(&["policy", "list"]).stdout.contains("acme"));
    let grant = format!("http GET on {origin}/**");
    let go = house.dir.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let marque = env!("CARGO_BIN_EXE_marque");
    let data = house.data();
    // Four at once do not slip past the count either.
    let script = format!(
        "for i in 1 2 3 4; do {CODE} '{origin}/slow?ms=0' & done; wait; echo; {CODE} '{origin}/slow?ms=0'; {marque} --data-dir {} why --last; echo done; cat {}",
        data.display(),
        go.display()
    );
    let mut run = session(&house, &grant, &script);
    run.wait_for_line(LONG, |line| line == "done").unwrap();
    let inside = run.stdout();
    let first = inside.lines().next().unwrap();
    assert_eq!(first.matches("200").count(), 2, "{inside}");
    assert_eq!(first.matches("403").count(), 2, "{inside}");
    assert!(inside.contains("MQ-3107") && !inside.contains("acme.cedar"), "inside a session no rule is named: {inside}");
    let list: serde_json::Value = serde_json::from_str(&house.ok(&["--json", "session", "list"]).stdout).unwrap();
    let why = house.ok(&["why", "--last", "--session", list["items"][0]["session"].as_str().unwrap()]).stdout;
    assert!(why.contains("two-are-enough (acme.cedar:2): the session had its two uses"), "{why}");
    assert!(why.contains("it would be otherwise if the session had 1 uses before"), "{why}");
    std::fs::write(&go, "").unwrap();
    run.wait(LONG).unwrap();
    assert_eq!(echo.log().count_saw(&secret), 2);
}

#[test]
fn an_approval_does_not_answer_another_rule() {
    let (house, echo, origin, secret) = setup();
    let grant = format!("http DELETE on {origin}/**");
    let watch = watch(&house);
    let go = house.dir.path().join("go");
    rustix::fs::mknodat(rustix::fs::CWD, &go, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let delete = format!("curl -sS -m 2 -o /dev/null -X DELETE '{origin}/slow?ms=0'");
    let script = format!("{delete}; echo asked; cat {go}; {CODE} -X DELETE '{origin}/slow?ms=0'", go = go.display());
    let mut run = session(&house, &grant, &script);
    let first = next_question(&watch, &[]);
    run.wait_for_line(LONG, |line| line == "asked").unwrap();
    assert!(house.run_owner(&["approval", "approve", &first]).status.success());
    // Before the retry somebody else's yes is needed too.
    let text = r#"@id("second") @ask("owners") @because("two people") forbid (principal, action in Action::"any/destructive", resource);"#;
    let file = pack(&house, "second", text, "case = []");
    assert!(house.run_owner(&["policy", "apply", &file]).status.success());
    std::fs::write(&go, "").unwrap();
    let again = next_question(&watch, &[first]);
    assert!(house.ok(&["approval", "show", &again]).stdout.contains("initiator, owners"));
    assert_eq!(echo.log().count_saw(&secret), 0, "the old answer is not spent on the new question");
    house.ok(&["approval", "deny", &again]);
    assert!(run.wait(LONG).unwrap().stdout.ends_with("403 "));
}

#[test]
fn a_pack_that_fails_its_own_assertions_never_loads() {
    let (house, _echo, _origin, _secret) = setup();
    let wrong = THIRD_USE_TESTS.replace("\"deny\"", "\"allow\"");
    let file = pack(&house, "acme", THIRD_USE, &wrong);
    for verb in ["check", "test", "apply"] {
        let exit = house.run_owner(&["policy", verb, &file]);
        assert_eq!(exit.status.code(), Some(8), "{verb}: {exit:?}");
        assert!(exit.stderr.contains("acme.test.toml:2"), "{exit:?}");
    }
    let silent = pack(&house, "silent", "@id(\"x\") @because(\"y\") forbid (principal, action, resource);", "case = []");
    let exit = house.run_owner(&["policy", "check", &silent]);
    assert!(exit.stderr.contains("says neither `@deny` nor `@ask`"), "{exit:?}");
    assert!(!house.ok(&["policy", "list"]).stdout.contains("acme"));
}

#[test]
fn a_forbid_that_errors_denies() {
    let (house, echo, origin, secret) = setup();
    let text = r#"
@id("overflows")
@deny("x")
@because("y")
forbid (principal, action in Action::"http/any", resource)
when { 9223372036854775807 + context.grade < 0 };
"#;
    let file = pack(&house, "broken", text, "case = []");
    assert!(house.run_owner(&["policy", "apply", &file]).status.success());
    let grant = format!("http GET on {origin}/**");
    let mut run = session(&house, &grant, &format!("curl -sS '{origin}/slow?ms=0'"));
    let exit = run.wait(LONG).unwrap();
    assert!(exit.stdout.contains("MQ-3108"), "{exit:?}");
    assert_eq!(echo.log().count_saw(&secret), 0);
}

#[test]
fn a_pack_changed_on_disk_permits_nothing_until_it_is_applied_again() {
    let (mut house, _echo, origin, _secret) = setup();
    let file = pack(&house, "acme", THIRD_USE, THIRD_USE_TESTS);
    assert!(house.run_owner(&["policy", "apply", &file]).status.success());
    house.stop();
    let kept = house.data().join("policy-acme.json");
    let text = std::fs::read_to_string(&kept).unwrap();
    let changed = text.replace(">= 2", ">= 9");
    assert_ne!(changed, text);
    std::fs::write(&kept, changed).unwrap();
    house.start(&[]);
    let grant = format!("http GET on {origin}/**");
    let open = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "true"];
    let exit = house.run_owner(&open);
    assert!(exit.stderr.contains("MQ-1401"), "{exit:?}");
    assert!(house.run_owner(&["policy", "apply", &file]).status.success());
    let exit = house.run_owner(&open);
    assert!(exit.status.success(), "{exit:?}");
}

#[test]
fn an_explanation_names_rule_and_line_and_its_counterfactual_flips_the_answer() {
    let house = House::new();
    let ask = |resource: &str| {
        let exit = house.ok(&["--json", "policy", "explain", "--action", "github/git.push", "--resource", resource, "--env", "staging"]);
        serde_json::from_str::<serde_json::Value>(&exit.stdout).unwrap()
    };
    let told = ask("acme/web@main");
    assert_eq!(told["verdict"], "deny");
    let rule = told["rules"][0].as_str().unwrap();
    let line: usize = rule.split("default.cedar:").nth(1).unwrap().split(')').next().unwrap().parse().unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/default.cedar")).unwrap();
    assert_eq!(text.lines().nth(line - 1).unwrap().trim(), "@id(\"main-is-protected\")");
    let flip = told["counterfactual"].as_str().unwrap();
    let branch = flip.strip_prefix("the branch were `").unwrap().trim_end_matches('`');
    assert_eq!(ask(&format!("acme/web@{branch}"))["verdict"], "allow");
}
