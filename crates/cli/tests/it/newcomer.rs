//! What somebody sees who uses the binary for the first time, and what somebody tries who looks for its weak places.

use crate::house::{House, LONG};
use crate::local::Local;
use marque_testkit::canary;
use marque_testkit::proc::{Child, Exit};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

fn run(house: &House, grant: &str, script: &str) -> Exit {
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", grant, "--", "/bin/sh", "-c", script];
    house.run_owner(&args)
}

/// A house in which one session used, was refused and ended.
fn used() -> (House, marque_testkit::Server, String) {
    let house = House::new();
    let (echo, origin) = house.echo(&canary("api"));
    let exit = run(&house, &format!("http GET on {origin}/v1/**"), &format!("curl -sS {origin}/v1/a; curl -sS {origin}/v2/b; true"));
    assert!(exit.status.success(), "{exit:?}");
    (house, echo, origin)
}

fn json(house: &House, args: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(args);
    let exit = Child::run(&mut house.command(&all), LONG).unwrap();
    let document: Value = serde_json::from_str(&exit.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {exit:?}"));
    assert!(document["schema"].as_str().is_some_and(|schema| schema.starts_with("marque/") && schema.contains(".v")), "{args:?}: {document}");
    document
}

/// The one session that there ever was.
fn only_session(house: &House) -> String {
    let all = json(house, &["session", "list", "--all"]);
    assert_eq!(all["items"].as_array().unwrap().len(), 1, "{all}");
    all["items"][0]["session"].as_str().unwrap().to_owned()
}

/// Verbs that act, stream or run until they are told to end: everything else reads.
const ACTS: &[&str] = &[
    "run", "serve", "witness", "unseal", "stop", "seal add", "seal remove", "session close", "credential add", "credential remove",
    "audit tail", "service apply", "task apply", "environment add", "environment remove", "approval approve", "approval deny",
    "approval watch", "policy apply", "policy remove", "approval show", "human erase", "help",
];

fn verbs(house: &House, noun: &[&str]) -> Vec<String> {
    let mut args = noun.to_vec();
    args.push("--help");
    let text = house.ok(&args).stdout;
    let lines = text.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn every_verb_that_reads_answers_one_versioned_json_document() {
    let (house, _echo, origin) = used();
    let session = only_session(&house);
    let task = house.dir.path().join("task.toml");
    let grant = format!("task = 1\npurpose = \"read the items\"\nenv = \"staging\"\n[[grant]]\nservice = \"http\"\nallow = [\"GET\"]\non = [\"{origin}\"]\n");
    std::fs::write(&task, grant).unwrap();
    let pack = house.dir.path().join("acme.cedar");
    std::fs::write(&pack, "@id(\"a\") @deny(\"no\") @because(\"no\") forbid (principal, action, resource in Env::\"nowhere\");\n").unwrap();
    std::fs::write(pack.with_extension("test.toml"), "").unwrap();
    let human = json(&house, &["human", "list"])["items"][0]["human"].as_str().unwrap().to_owned();
    let (task, pack) = (task.to_str().unwrap(), pack.to_str().unwrap());
    let reads: &[&[&str]] = &[
        &["scan", house.dir.path().to_str().unwrap()], &["status"], &["seal", "list"], &["session", "list"], &["session", "list", "--all"],
        &["session", "tighten", &session], &["credential", "list"], &["audit", "lineage", &session], &["audit", "search"],
        &["audit", "verify"], &["audit", "show", "0"], &["audit", "receipt", "0"], &["audit", "checkpoint"], &["service", "list"],
        &["service", "show", "github"], &["service", "check"], &["task", "check", task], &["environment", "list"],
        &["environment", "show", "production"], &["environment", "check", "host", "a.test"], &["approval", "list"], &["policy", "list"],
        &["policy", "check", pack], &["policy", "test", pack], &["policy", "schema"],
        &["policy", "explain", "--action", "github/git.push", "--resource", "acme/web@main", "--env", "staging"],
        &["human", "list"], &["human", "show", &human], &["why", "--last", "--session", &session], &["explain"], &["explain", "MQ-2104"],
    ];
    for args in reads {
        json(&house, args);
    }
    // `session show` needs one that lives; it shows itself to no process of its own.
    let grant = format!("http GET on {origin}/v1/**");
    let go = house.dir.path().join("go");
    let script = format!("echo up; while [ ! -e {} ]; do :; done", go.display());
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script];
    let mut live = Child::spawn(&mut house.owner(&args)).unwrap();
    live.wait_for_line(LONG, |line| line == "up").unwrap();
    let id = json(&house, &["session", "list"])["items"][0]["session"].as_str().unwrap().to_owned();
    json(&house, &["session", "show", &id]);
    std::fs::write(&go, "").unwrap();
    live.wait(LONG).unwrap();
    // And none was left out: every verb of the help is one of these, or says that it acts.
    for noun in verbs(&house, &[]).into_iter().filter(|noun| noun != "help") {
        let below = verbs(&house, &[&noun]);
        let whole = if below.is_empty() { vec![noun.clone()] } else { below.iter().map(|verb| format!("{noun} {verb}")).collect() };
        for verb in whole.iter().filter(|verb| !verb.ends_with(" help")) {
            let words: Vec<&str> = verb.split(' ').collect();
            let read = verb == "session show" || reads.iter().any(|args| args.starts_with(&words));
            assert!(read || ACTS.contains(&verb.as_str()), "`{verb}` is in no list of this test");
        }
    }
}

#[test]
fn a_record_is_shown_in_words_and_in_json_by_the_same_names() {
    let (house, _echo, _origin) = used();
    let opened = json(&house, &["audit", "search", "--kind", "session.open"]);
    let seq = opened["records"][0]["seq"].to_string();
    let document = json(&house, &["audit", "show", &seq]);
    assert_eq!(document["schema"], "marque/record.v1");
    assert_eq!(document["kind"], "session.open");
    assert_eq!(document["event"]["environment"], "staging");
    assert_eq!(document["event"]["grade"], "D");
    let people = house.ok(&["audit", "show", &seq]).stdout;
    assert!(people.contains("session.open") && people.contains("environment        staging"), "{people}");
    assert!(!people.contains("SessionOpen {") && !people.contains("Some("), "no debug text: {people}");
}

#[test]
fn a_session_that_is_over_is_listed_and_its_last_refusal_explained() {
    let (house, _echo, _origin) = used();
    assert_eq!(json(&house, &["session", "list"])["items"], serde_json::json!([]), "none lives");
    let session = only_session(&house);
    let list = house.ok(&["session", "list", "--all", "--limit", "1"]).stdout;
    assert!(list.contains(&session) && list.contains("over"), "{list}");
    let why = json(&house, &["why", "--last", "--session", &session]);
    assert_eq!(why["code"], "MQ-2104", "{why}");
    assert!(house.ok(&["why", "--last", "--session", &session]).stdout.contains("MQ-2104"));
    // Pages follow one another without a gap.
    let (_first, second) = (session, run(&house, "http GET on https://a.test/**", "true"));
    assert!(second.status.success(), "{second:?}");
    let page = json(&house, &["session", "list", "--all", "--limit", "1"]);
    let next = page["next"].to_string();
    let rest = json(&house, &["session", "list", "--all", "--after", &next]);
    assert_eq!(rest["items"].as_array().unwrap().len(), 1, "{rest}");
    assert_ne!(rest["items"][0]["session"], page["items"][0]["session"]);
}

#[test]
fn a_grant_without_a_credential_is_said_before_the_agent_starts() {
    let house = House::new();
    let exit = run(&house, "github repo.read on acme/web", "true");
    assert!(exit.stderr.contains("warning: no stored credential matches the grant for `github` in `staging`"), "{exit:?}");
    assert!(exit.stderr.contains("help: marque credential add github --service github --env staging"), "{exit:?}");
    // The control: one that has its credential is not named.
    house.add_credential("gh", &canary("gh"), &["--service", "github"]);
    let exit = run(&house, "github repo.read on acme/web", "true");
    assert!(!exit.stderr.contains("no stored credential"), "{exit:?}");
}

#[test]
fn a_question_that_waits_is_told_in_a_line_without_a_word_of_the_agents() {
    let house = House::new();
    let (_echo, origin) = house.echo(&canary("api"));
    let grant = format!("http DELETE on {origin}/**");
    let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let headers = format!(
        "-H 'X-Token: {token}' -H 'X-Note: plain words' -H 'X-Fake: dry-run (github-token, 40 bytes)' -H 'X-Key: -----BEGIN PRIVATE KEY----- \
         all-tenants -----END' -H 'Idempotency-Key: 42' -H 'Baggage: tenant=all' -H 'X-Datadog-Scope: all' -H 'X-Forwarded-User: root' \
         -H 'Accept: all/tenants' -H 'Traceparent: 00-1'"
    );
    let odd = "{\"a\":\"\u{9b}31mred\u{202e}evil\u{200b}\u{feff}\u{e0041}\"}";
    let script = format!("curl -sS -X DELETE {headers} --data '{odd}' '{origin}/Waits%20MQ'; true");
    let args = [
        "run", "--purpose", "tidy the items", "--env", "staging", "--accept-risk", "uncontained", "--grant", &grant, "--", "/bin/sh", "-c", &script,
    ];
    let mut run = Child::spawn(&mut house.owner(&args)).unwrap();
    let watch = Child::spawn(&mut house.command(&["--json", "approval", "watch"])).unwrap();
    let line = watch.wait_for_line(LONG, |line| line.starts_with('{')).unwrap();
    let view: Value = serde_json::from_str(&line).unwrap();
    let id = view["id"].as_str().unwrap();
    let card = house.ok(&["approval", "show", id]).stdout;
    let document = json(&house, &["approval", "show", id]);
    assert!(document["body"] == odd && view["body"] == odd, "escapes mean what they stand for: {document}");
    let raw = house.ok(&["--json", "approval", "show", id]).stdout;
    for text in [&card, &line, &raw] {
        assert!(!text.contains(&token), "a token stays off the card: {text}");
        assert!(text.contains("plain words") && text.contains("all-tenants"), "{text}");
        let hidden = |c: char| "\u{9b}\u{202e}\u{200b}\u{feff}\u{e0041}".contains(c);
        assert!(!text.contains(hidden), "{text:?}");
    }
    let begins = |start: &str| card.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(begins("masked"), ["masked     x-token: (github-token, 40 bytes)"], "{card}");
    let unbound = begins("unbound");
    assert!(unbound.len() == 1 && unbound[0].starts_with("unbound    ") && unbound[0].contains("traceparent"), "{card}");
    for shown in [
        "x-fake: dry-run (github-token, 40 bytes)", "x-key: -----BEGIN PRIVATE KEY----- all-tenants -----END", "idempotency-key: 42",
        "baggage: tenant=all", "x-datadog-scope: all", "accept: all/tenants",
    ] {
        assert!(begins("header").contains(&format!("header     {shown}")), "{shown}: {card}");
    }
    assert!(!card.contains("x-forwarded-user"), "it is not sent: {card}");
    house.ok(&["approval", "deny", id]);
    let exit = run.wait(LONG).unwrap();
    let told: Vec<&str> = exit.stderr.lines().filter(|line| line.starts_with("Waits ")).collect();
    assert_eq!(told, [format!("Waits       a question of this session: marque approval show {id}")], "{exit:?}");
}

#[test]
fn a_second_authority_is_refused_at_start_whatever_became_of_the_socket() {
    let house = House::new();
    let socket = house.data().join("authority.sock");
    std::fs::rename(&socket, house.data().join("elsewhere.sock")).unwrap();
    let exit = Child::run(&mut house.serve(&[]), LONG).unwrap();
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("error[MQ-5114]: another authority has the data directory") && exit.stderr.contains("help: "), "{exit:?}");
    std::fs::rename(house.data().join("elsewhere.sock"), &socket).unwrap();
    house.ok(&["status"]);
}

#[test]
fn a_data_directory_that_others_may_enter_is_refused() {
    let mut house = House::new();
    house.ok(&["stop"]);
    let (signer, state) = (house.data().join("signer"), house.state());
    for (dir, mode) in [(house.data(), 0o750), (house.data(), 0o701), (signer, 0o770), (state.clone(), 0o777), (state, 0o755)] {
        let set = |mode| std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).unwrap();
        set(mode);
        let exit = Child::run(&mut house.serve(&[]), LONG).unwrap();
        assert_eq!(exit.status.code(), Some(1), "{mode:o}: {exit:?}");
        assert!(exit.stderr.contains("error[MQ-5115]") && exit.stderr.contains(&format!("help: chmod 700 {}", dir.display())), "{exit:?}");
        set(0o700);
    }
    house.start(&[]);
    house.ok(&["status"]);
}

#[test]
fn a_link_in_a_data_directory_truncates_no_file() {
    let house = House::empty();
    let precious = house.dir.path().join("precious");
    std::fs::write(&precious, "precious").unwrap();
    std::fs::create_dir(house.data()).unwrap();
    std::os::unix::fs::symlink(&precious, house.data().join("authority.log")).unwrap();
    for (mode, why) in [(0o755, "error[MQ-5115]"), (0o700, "an authority cannot be started")] {
        std::fs::set_permissions(house.data(), std::fs::Permissions::from_mode(mode)).unwrap();
        let exit = house.run_owner(&["unseal"]);
        assert!(!exit.status.success() && exit.stderr.contains(why), "{mode:o}: {exit:?}");
        assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious", "{mode:o}");
    }
    assert!(!house.data().join("signer").join("keys").exists());
}

#[test]
fn nothing_is_said_to_a_socket_in_a_directory_that_others_may_enter() {
    let house = House::empty();
    std::fs::create_dir(house.data()).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(house.data().join("authority.sock")).unwrap();
    let (heard, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut bytes = [0; 64];
            // Who connects and says nothing has said nothing.
            let n = stream.and_then(|mut stream| stream.read(&mut bytes)).unwrap_or(0);
            let _ = heard.send(n);
        }
    });
    let run = &["run", "--purpose", "say true now", "--env", "dev", "--grant", "http GET on https://a.test/**", "--", "true"];
    for verb in [&["unseal"][..], &["status"], &["approval", "approve", "x"], run] {
        std::fs::set_permissions(house.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let exit = house.run_owner(verb);
        assert!(exit.stderr.contains("error[MQ-5115]"), "{verb:?}: {exit:?}");
        assert!(hears.try_recv().is_err(), "{verb:?}: nobody connected");
    }
    // The control: where nobody else may enter, it is spoken to.
    std::fs::set_permissions(house.data(), std::fs::Permissions::from_mode(0o700)).unwrap();
    house.run_owner(&["status"]);
    assert!(hears.recv_timeout(LONG).unwrap() > 0);
}

#[test]
fn a_statement_counts_a_request_that_was_cut_once_and_names_no_credential_that_never_left() {
    let house = House::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // The head is read, so that it has left; then the connection is cut.
            let _ = stream.and_then(|mut stream| stream.read(&mut [0; 4096]));
        }
    });
    let nobody = marque_testkit::proc::free_port().unwrap();
    for (name, port) in [("cuts", port), ("dead", nobody)] {
        let (origin, pin) = (format!("http://{name}.test:{port}"), format!("{name}.test:{port}=127.0.0.1"));
        house.add_credential(name, &canary(name), &["--service", "http", "--host", &origin, "--place", "bearer", "--pin", &pin]);
    }
    let (cuts, dead) = (format!("http://cuts.test:{port}"), format!("http://dead.test:{nobody}"));
    let exit = run(&house, &format!("http GET on {cuts}/**"), &format!("curl -s --noproxy '' {cuts}/x"));
    let lines = |exit: &Exit, start: &str| exit.stderr.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&exit, "Used "), ["Used        http 1 read"], "{exit:?}");
    assert_eq!(lines(&exit, "Refused "), Vec::<String>::new(), "{exit:?}");
    assert_eq!(lines(&exit, "No answer "), ["No answer   cuts.test connect ×1  MQ-4110"], "{exit:?}");
    assert_eq!(lines(&exit, "Left "), ["Left        static and still live upstream: cuts"], "{exit:?}");
    let exit = run(&house, &format!("http GET on {dead}/**"), &format!("curl -s --noproxy '' {dead}/x"));
    assert_eq!(lines(&exit, "Used "), ["Used        nothing"], "{exit:?}");
    assert_eq!(lines(&exit, "Not sent "), ["Not sent    1 uses that were admitted and never left"], "{exit:?}");
    assert_eq!(lines(&exit, "Refused "), Vec::<String>::new(), "{exit:?}");
    assert_eq!(lines(&exit, "Left "), ["Left        nothing was minted"], "{exit:?}");
}

/// Exit code and text of both verifiers.
fn verdicts(house: &House) -> [(Option<i32>, String); 2] {
    let verifier = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conformance/verify.py");
    let python = marque_testkit::tools::Tools::find().python().unwrap();
    let foreign = Child::run(Command::new(python).arg(verifier).arg(house.data()), LONG).unwrap();
    let ours = Child::run(&mut house.command(&["audit", "verify"]), LONG).unwrap();
    [ours, foreign].map(|exit| (exit.status.code(), exit.stdout + &exit.stderr))
}

#[test]
fn a_missing_checkpoint_or_log_key_is_a_finding_of_both_verifiers() {
    let (mut house, _echo, _origin) = used();
    house.stop();
    for (code, text) in verdicts(&house) {
        assert!(matches!(code, Some(0 | 8)), "the control: {text}");
    }
    for name in ["checkpoint", "log.vkey"] {
        let (path, kept) = (house.data().join("journal").join(name), house.dir.path().join(name));
        std::fs::rename(&path, &kept).unwrap();
        for (code, text) in verdicts(&house) {
            assert_eq!(code, Some(7), "{name}: {text}");
            assert!(text.contains(&format!("journal/{name}")), "{name}: {text}");
        }
        std::fs::rename(&kept, &path).unwrap();
    }
}

/// The status line that the gateway answers to a request with these fields.
fn asked(proxy: &str, url: &str, fields: &str) -> String {
    let host = url.split('/').nth(2).unwrap();
    let mut stream = std::net::TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET {url} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A connection that is cut after the answer has given it.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn two_proxy_secrets_are_refused_even_when_the_first_is_right() {
    use base64::Engine as _;
    let house = House::new();
    house.run_owner(&["unseal"]);
    let local = Local::of(&house);
    let upstream = crate::load::Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    let grants = serde_json::json!([{
        "type": "service", "service": "github", "environment": "staging", "actions": ["repo.read"], "resources": ["acme/*"],
    }]);
    let opened = local.open_session(&grants).unwrap();
    let (proxy, secret) = (opened["proxy"].as_str().unwrap(), opened["proxy_secret"].as_str().unwrap());
    let right = base64::engine::general_purpose::STANDARD.encode(format!("marque:{secret}"));
    let wrong = base64::engine::general_purpose::STANDARD.encode("marque:other");
    let field = |value: &str| format!("Proxy-Authorization: Basic {value}\r\n");
    let url = format!("{}/repos/acme/web", upstream.origin);
    assert!(asked(proxy, &url, &field(&right)).contains(" 200 "), "the control: one right secret");
    for fields in [[&right, &wrong], [&wrong, &right], [&right, &right]] {
        let status = asked(proxy, &url, &fields.map(|value| field(value)).concat());
        assert!(status.contains(" 400 ") || status.contains(" 407 "), "{status}");
    }
    assert_eq!(upstream.server.log().count_saw(&upstream.secret), 1);
}

#[test]
fn a_use_that_never_left_is_not_called_used() {
    let house = House::new();
    // Nobody listens there.
    let port = marque_testkit::proc::free_port().unwrap();
    let origin = format!("http://api.test:{port}");
    let pin = format!("api.test:{port}=127.0.0.1");
    house.add_credential("api", &canary("api"), &["--service", "http", "--host", &origin, "--place", "bearer", "--pin", &pin]);
    let exit = run(&house, &format!("http GET on {origin}/**"), &format!("curl -sS {origin}/a; curl -sS {origin}/b; true"));
    assert!(exit.stderr.contains("Used        nothing"), "{exit:?}");
    assert!(exit.stderr.contains("Not sent    2 uses that were admitted and never left"), "{exit:?}");
}

#[test]
fn an_explanation_knows_what_is_in_force_where_an_authority_runs() {
    let mut house = House::new();
    let pack = house.dir.path().join("acme.cedar");
    std::fs::write(&pack, "@id(\"no-reads\") @deny(\"no\") @because(\"acme says no\") forbid (principal, action == Action::\"github/repo.read\", resource);\n").unwrap();
    let explain = ["policy", "explain", "--action", "github/repo.read", "--resource", "acme/web", "--env", "staging"];
    assert_eq!(json(&house, &explain)["verdict"], "allow", "the control");
    let applied = house.run_owner(&["policy", "apply", pack.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    let told = json(&house, &explain);
    assert_eq!(told["verdict"], "deny", "{told}");
    assert_eq!(told["packs"], serde_json::json!(["default", "acme"]));
    house.stop();
    assert!(house.ok(&explain).stdout.contains("no authority was asked what else is in force"));
}

#[test]
fn a_profile_of_ones_own_is_listed_as_such() {
    let house = House::new();
    let own = house.dir.path().join("acme.toml");
    let text = house.ok(&["service", "show", "slack"]).stdout.replace("service = \"slack\"", "service = \"acme\"");
    std::fs::write(&own, text).unwrap();
    let applied = house.run_owner(&["service", "apply", own.to_str().unwrap()]);
    assert!(applied.status.success(), "{applied:?}");
    let list = json(&house, &["service", "list"]);
    let items = list["items"].as_array().unwrap();
    assert!(items.contains(&serde_json::json!({"service": "acme", "from": "applied"})), "{list}");
    assert!(items.contains(&serde_json::json!({"service": "slack", "from": "shipped"})), "{list}");
}
