//! A resource belongs to one environment (I8): the registry, through the whole binary. What is shown holds for what passes
//! through the gateway; all of it is at grade D.

use crate::house::{House, LONG, PASSPHRASE};
use crate::load::{Seat, Upstream};
use crate::local::{Failed, Local, until};
use crate::oracle::verifies;
use marque_testkit::canary;
use marque_testkit::proc::{Child, Exit};
use serde_json::{Value, json};

struct World {
    house: House,
    local: Local,
    upstream: Upstream,
}

/// A house with one token of GitHub's shape, for staging. The upstream answers to every repository.
fn world() -> World {
    let house = House::new();
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    let upstream = Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    World { house, local, upstream }
}

fn reads() -> Value {
    json!([{ "type": "service", "service": "github", "environment": "staging", "actions": ["repo.read"], "resources": ["acme/*", "acme/*@*"] }])
}

impl World {
    fn register(&self, words: &[&str]) -> Exit {
        let exit = self.house.run_owner(&[&["environment", "add"], words].concat());
        assert!(exit.status.success(), "{words:?}: {exit:?}");
        exit
    }

    fn session(&self, mode: &str, egress: &[&str]) -> Seat {
        let body = json!({
            "passphrase": PASSPHRASE, "purpose": "read the repositories", "refs": [], "agent": "reader", "environment": "staging",
            "mode": mode, "grants": reads(), "ttl_s": 600, "grade": "D", "accept": [], "egress": egress, "task": null,
            "pins": egress.iter().map(|o| format!("{}=127.0.0.1", o.trim_start_matches("http://"))).collect::<Vec<_>>(),
        });
        Seat::of(&self.local.call("POST", "/v1/sessions", &body).unwrap())
    }

    fn get(&self, seat: &Seat, path: &str) -> (u16, String) {
        seat.ask(&mut None, "GET", &format!("{}{path}", self.upstream.origin)).unwrap()
    }

    /// How often the upstream saw the token.
    fn seen(&self) -> usize {
        self.upstream.server.log().count_saw(&self.upstream.secret)
    }

    /// Asks for it on a thread of its own, and gives the id of the question that it waits for.
    fn asked(&self, seat: &Seat, path: &str) -> (String, std::thread::JoinHandle<(u16, String)>) {
        let (waiting, url) = (seat.clone(), format!("{}{path}", self.upstream.origin));
        let thread = std::thread::spawn(move || waiting.ask(&mut None, "GET", &url).unwrap());
        let id = until("somebody asks", LONG, || {
            let list = self.local.get("/v1/approvals").ok()?;
            let open = list.as_array()?.iter().find(|v| v["state"] == "open")?;
            Some(open["id"].as_str()?.to_owned())
        });
        (id, thread)
    }

    fn answer(&self, id: &str, yes: bool) {
        let body = json!({ "passphrase": PASSPHRASE, "approve": yes, "uses": 0, "ttl_s": 0 });
        self.local.call("POST", &format!("/v1/approvals/{id}"), &body).unwrap();
    }

    /// The session's lineage, once all of these stand in it: refusals are recorded behind the answer.
    fn lineage(&self, seat: &Seat, parts: &[&str]) -> Value {
        until("the refusal is on record", LONG, || {
            let text = self.house.ok(&["--json", "audit", "lineage", &seat.session]).stdout;
            parts.iter().all(|part| text.contains(part)).then(|| serde_json::from_str(&text).unwrap())
        })
    }
}

#[test]
fn a_staging_session_is_refused_a_production_repository_that_its_token_opens() {
    let world = world();
    let seat = world.session("enforce", &[]);
    // The control: before anything is registered the one token opens both, in this very session.
    assert_eq!(world.get(&seat, "/repos/acme/payments-api/pulls").0, 200);
    assert_eq!((world.get(&seat, "/repos/acme/web/pulls").0, world.seen()), (200, 2));
    world.register(&["production", "resource", "github", "acme/payments-*"]);
    world.register(&["staging", "resource", "github", "acme/*"]);
    assert_eq!((world.get(&seat, "/repos/acme/web/pulls").0, world.seen()), (200, 3));
    for other in [
        "/repos/acme/payments-api/pulls", "/repos/ACME/Payments-API/pulls", "/repos/acme/payments-api/branches/main",
        "/repos/acme/payments-/issues/7", "/repos/acme/p%61yments-api/pulls", "/api/v3/repos/acme/payments-api/pulls",
        "/repos/acme/web/../payments-api/pulls", "/repos/acme//payments-api/pulls",
    ] {
        let (status, text) = world.get(&seat, other);
        assert!(status == 403 || status == 400, "{other}: {status} {text}");
    }
    let (status, text) = world.get(&seat, "/repos/acme/payments-api/pulls");
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("MQ-2107") && text.contains("`production`") && text.contains("--env production"), "{text}");
    assert!(!text.contains("payments-*"), "which entry it was is for humans: {text}");
    assert_eq!(world.seen(), 3, "no credential went across");
    let why = world.house.ok(&["why", "--last", "--session", &seat.session]).stdout;
    assert!(why.contains("registry: resource github acme/payments-* → production"), "{why}");
    world.lineage(&seat, &["MQ-2107", "registry: resource github acme/payments-* → production"]);
}

#[test]
fn what_nobody_registered_asks_and_a_yes_lets_it_pass_once() {
    let world = world();
    world.register(&["staging", "resource", "github", "acme/web"]);
    let seat = world.session("enforce", &[]);
    assert_eq!((world.get(&seat, "/repos/acme/web/pulls").0, world.seen()), (200, 1));
    let (id, waiting) = world.asked(&seat, "/repos/acme/other/pulls");
    let card = world.house.ok(&["approval", "show", &id]).stdout;
    for part in ["owners", "environment-unknown", "nobody registered which environment `acme/other` of `github` belongs to"] {
        assert!(card.contains(part), "{part}: {card}");
    }
    assert_eq!(world.seen(), 1, "it is held");
    world.answer(&id, true);
    let (status, text) = waiting.join().unwrap();
    assert_eq!((status, world.seen()), (200, 2), "{text}");
    let (id, waiting) = world.asked(&seat, "/repos/acme/other/pulls");
    world.answer(&id, false);
    let (status, text) = waiting.join().unwrap();
    assert!(status == 403 && text.contains("MQ-3202"), "{status} {text}");
    assert_eq!(world.seen(), 2);
}

#[test]
fn what_is_registered_elsewhere_while_its_question_waits_is_refused_after_a_yes() {
    let world = world();
    world.register(&["staging", "resource", "github", "acme/web"]);
    let seat = world.session("enforce", &[]);
    let (id, waiting) = world.asked(&seat, "/repos/acme/other/pulls");
    world.register(&["production", "resource", "github", "acme/other"]);
    world.answer(&id, true);
    let (status, text) = waiting.join().unwrap();
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    assert_eq!(world.seen(), 0);
}

#[test]
fn observe_records_the_unknown_and_still_refuses_production() {
    let world = world();
    world.register(&["staging", "resource", "github", "acme/web"]);
    world.register(&["production", "account", "github", "acme-prod"]);
    world.register(&["production", "host", "*.prod.example"]);
    let seat = world.session("observe", &[]);
    assert_eq!(world.get(&seat, "/repos/acme/web/pulls").0, 200);
    assert_eq!((world.get(&seat, "/repos/acme/other/pulls").0, world.seen()), (200, 2));
    let (status, text) = world.get(&seat, "/repos/acme-prod/api/pulls");
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    // A host that nobody listed passes in observe mode; one that is registered to production does not, before its name is
    // even resolved.
    let (status, text) = seat.ask(&mut None, "GET", "http://db.prod.example/").unwrap();
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    let (status, text) = seat.ask(&mut None, "GET", "http://db.other.invalid/").unwrap();
    assert!(status == 502 && !text.contains("MQ-2107"), "{status} {text}");
    assert_eq!(world.seen(), 2);
    let lineage = world.lineage(&seat, &["account github acme-prod → production", "host *.prod.example → production"]);
    let uses = lineage["uses"].as_array().unwrap();
    let of = |resource: &str| uses.iter().find(|u| u["resource"] == resource).map(|u| u["would_deny"].to_string()).unwrap();
    assert!(of("acme/other").contains("MQ-2111"), "{lineage}");
    assert!(!of("acme/web").contains("MQ-2111"), "{lineage}");
    let refused = |rule: &str| uses.iter().any(|u| u["what"] == "denied" && u["rule"].as_str().is_some_and(|r| r.contains(rule)));
    assert!(refused("account github acme-prod → production") && refused("host *.prod.example → production"), "{lineage}");
}

#[test]
fn there_is_no_way_to_a_host_of_another_environment_without_a_credential_either() {
    let world = world();
    let open = marque_testkit::upstream::Echo::start(marque_testkit::Options::plain()).unwrap();
    let origin = format!("http://open.test:{}", open.port());
    let seat = world.session("enforce", &[&origin]);
    assert_eq!(seat.ask(&mut None, "GET", &format!("{origin}/echo")).unwrap().0, 200, "the control");
    world.register(&["production", "host", "open.test"]);
    let (status, text) = seat.ask(&mut None, "GET", &format!("{origin}/echo")).unwrap();
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    let before = open.log().records().len();
    assert_eq!(before, 1, "the refused one was not sent");
    // By the address that it is pinned to as well.
    assert!(world.house.run_owner(&["environment", "remove", "host", "open.test"]).status.success());
    assert_eq!(seat.ask(&mut None, "GET", &format!("{origin}/echo")).unwrap().0, 200);
    world.register(&["production", "host", "127.0.0.0/8"]);
    assert_eq!(seat.ask(&mut None, "GET", &format!("{origin}/echo")).unwrap().0, 403);
    assert_eq!(open.log().records().len(), 2);
}

#[test]
fn an_agent_inside_a_session_can_neither_see_nor_change_the_registry() {
    let world = world();
    world.register(&["production", "resource", "github", "acme/payments-*"]);
    let marque = env!("CARGO_BIN_EXE_marque");
    // Even with the passphrase in its hands.
    let script = format!(
        "M='{marque} --data-dir {}'; exec 3<{pass}; $M environment list; $M environment check resource github acme/x; \
         $M --auth-fd 3 environment add staging resource github acme/x; exec 3<{pass}; \
         $M --auth-fd 3 environment remove resource github 'acme/payments-*'; echo done",
        world.house.data().display(),
        pass = world.house.dir.path().join("passphrase").display(),
    );
    let args = ["run", "--purpose", "read the repositories", "--env", "staging", "--grant", "github repo.read on acme/*", "--", "/bin/sh", "-c", &script];
    let exit = world.house.run_owner(&args);
    assert_eq!(exit.stderr.matches("MQ-5108").count() + exit.stdout.matches("MQ-5108").count(), 4, "{exit:?}");
    // Outside a session the passphrase is what counts.
    let wrong = json!({ "passphrase": "not it", "kind": "resource", "service": "github", "name": "acme/x", "environment": "staging" });
    for path in ["/v1/environments", "/v1/environments/remove"] {
        match world.local.call("POST", path, &wrong) {
            Err(Failed::Refused(problem)) => assert_eq!(problem["code"], "MQ-5106"),
            other => panic!("{other:?}"),
        }
    }
    let list = world.house.ok(&["environment", "list"]).stdout;
    assert!(list.contains("acme/payments-*") && !list.contains("acme/x"), "{list}");
}

#[test]
fn two_equal_entries_are_refused_and_the_registry_survives_a_restart() {
    let mut world = world();
    world.register(&["production", "resource", "github", "acme/payments-*"]);
    world.register(&["staging", "resource", "github", "acme/*"]);
    world.register(&["production", "database", "postgres", "orders"]);
    let again = world.register(&["staging", "resource", "github", "acme/*"]);
    assert!(again.stdout.contains("staging"), "{again:?}");
    for other in [["staging", "resource", "github", "ACME/payments-*"], ["production", "resource", "github", "*/web"], ["staging", "database", "postgres", "orders"]] {
        let exit = world.house.run_owner(&[&["environment", "add"], &other[..]].concat());
        assert!(!exit.status.success() && exit.stderr.contains("MQ-2107") && exit.stderr.contains("two environments"), "{exit:?}");
    }
    for wrong in [["staging", "resource", "github", "acme/*x"], ["staging", "resource", "nobody", "acme"], ["staging", "planet", "github", "x"], ["sta ging", "resource", "github", "x"]] {
        let exit = world.house.run_owner(&[&["environment", "add"], &wrong[..]].concat());
        assert!(!exit.status.success() && exit.stderr.contains("MQ-100"), "{exit:?}");
    }
    let before = world.house.ok(&["--json", "environment", "list"]).stdout;
    assert_eq!(serde_json::from_str::<Value>(&before).unwrap()["items"].as_array().unwrap().len(), 3, "{before}");
    world.house.kill();
    world.house.start(&[]);
    until("it opens", LONG, || world.local.try_open().ok());
    assert_eq!(world.house.ok(&["--json", "environment", "list"]).stdout, before);
    let check = world.house.ok(&["environment", "check", "resource", "github", "acme/payments-api@main"]).stdout;
    assert!(check.contains("production, by `resource github acme/payments-*`"), "{check}");
    assert!(world.house.ok(&["environment", "show", "production"]).stdout.contains("orders"));
    let seat = world.session("enforce", &[]);
    let (status, text) = world.get(&seat, "/repos/acme/payments-api/pulls");
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    assert_eq!((world.get(&seat, "/repos/acme/web/pulls").0, world.seen()), (200, 1));
    world.local.end_session(&seat.session).unwrap();
    world.house.stop();
    verifies(&world.house, &[]);
}

#[test]
fn a_credential_whose_host_belongs_elsewhere_is_refused() {
    let world = world();
    let exit = world.register(&["production", "host", "api.test"]);
    assert!(exit.stderr.contains("`gh` is for another environment than its hosts"), "{exit:?}");
    let refused = |done: Result<Value, Failed>| match done {
        Err(Failed::Refused(problem)) => {
            assert_eq!(problem["code"], "MQ-2107", "{problem}");
            assert!(problem["detail"].as_str().unwrap().contains("host api.test"), "{problem}");
        }
        other => panic!("{other:?}"),
    };
    refused(world.local.add_credential("two", "github", &world.upstream.origin, &canary("two")));
    assert!(world.local.add_credential("three", "github", "http://other.test:80", &canary("three")).is_ok());
    // What was there before is refused at its use.
    let seat = world.session("enforce", &[]);
    let (status, text) = world.get(&seat, "/repos/acme/web/pulls");
    assert!(status == 403 && text.contains("MQ-2107"), "{status} {text}");
    assert_eq!(world.seen(), 0);
}

#[test]
fn a_policy_that_forbids_the_act_keeps_the_registry_as_it_is() {
    let world = world();
    let file = world.house.dir.path().join("frozen.cedar");
    let text = r#"@id("frozen") @deny("ask whoever keeps the registry") @because("the registry is kept elsewhere")
forbid (principal, action == Action::"marque/environment.apply", resource in Env::"production");"#;
    std::fs::write(&file, text).unwrap();
    let applied = Child::run(&mut world.house.owner(&["policy", "apply", file.to_str().unwrap()]), LONG).unwrap();
    assert!(applied.status.success(), "{applied:?}");
    let exit = world.house.run_owner(&["environment", "add", "production", "resource", "github", "acme/x"]);
    assert!(exit.stderr.contains("MQ-3107"), "{exit:?}");
    world.register(&["staging", "resource", "github", "acme/x"]);
}
