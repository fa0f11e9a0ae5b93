//! Policies that come into force and go while agents work.

use crate::house::{House, LONG, PASSPHRASE};
use crate::load::{Seat, Upstream, grants};
use crate::local::{Local, until};
use marque_journal::record::decode;
use marque_model::Event;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FREEZE: &str = r#"@id("freeze") @deny("wait until the freeze is over") @because("nothing is read during the freeze")
forbid (principal, action == Action::"github/repo.read", resource);"#;
/// Times that the pack comes and goes under load.
const CYCLES: usize = 25;
const WRITERS: usize = 8;

fn world() -> (House, Local, Upstream) {
    let mut house = House::empty();
    house.start(&["--journal-limits", "4194304,1048576,0"]);
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    let upstream = Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    (house, local, upstream)
}

fn freeze(local: &Local) {
    let pack = json!({ "passphrase": PASSPHRASE, "name": "freeze", "files": [["freeze.cedar", FREEZE]], "tests": null });
    local.call("POST", "/v1/policies", &pack).unwrap();
}

fn thaw(local: &Local) {
    local.call("POST", "/v1/policies/freeze/remove", &json!({ "passphrase": PASSPHRASE })).unwrap();
}

#[test]
fn a_pack_that_comes_into_force_binds_the_sessions_that_are_open() {
    let (_house, local, upstream) = world();
    let seat = Seat::of(&local.open_session(&grants(None)).unwrap());
    let mut stream = None;
    let mut ask = |id: &str| seat.ask(&mut stream, "GET", &format!("{}/repos/acme/{id}", upstream.origin)).unwrap();
    assert_eq!(ask("before").0, 200);
    freeze(&local);
    let (status, text) = ask("during");
    assert!(status == 403 && text.contains("during the freeze") && text.contains("wait until"), "{status} {text}");
    thaw(&local);
    assert_eq!(ask("after").0, 200);
    assert_eq!(upstream.server.log().count_saw(&upstream.secret), 2);
}

/// Intents that stand in the journal while the pack is in force, and all intents.
fn during_the_freeze(data: &Path) -> (usize, usize) {
    let (mut frozen, mut wrong, mut all) = (false, 0, 0);
    crate::oracle::each_record(data, |raw| {
        let record = decode(raw).unwrap();
        match Event::decode(record.kind(), record.body()).unwrap() {
            Event::Apply(apply) if apply.name == "freeze" => frozen = apply.digest != [0; 32],
            Event::UseIntent(_) => {
                all += 1;
                wrong += usize::from(frozen);
            }
            _ => {}
        }
    });
    (wrong, all)
}

#[test]
fn a_use_that_was_decided_before_a_pack_is_not_admitted_after_it() {
    let (mut house, local, upstream) = world();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (stop, seat) = (stop.clone(), Seat::of(&local.open_session(&grants(None)).unwrap()));
            let url = format!("{}/repos/acme/w{n}", upstream.origin);
            std::thread::spawn(move || {
                let (mut stream, mut yes, mut no) = (None, 0, 0);
                while !stop.load(Ordering::Relaxed) {
                    match seat.ask(&mut stream, "GET", &url).unwrap().0 {
                        200 => yes += 1,
                        _ => no += 1,
                    }
                }
                (yes, no)
            })
        })
        .collect();
    for _ in 0..CYCLES {
        freeze(&local);
        thaw(&local);
    }
    stop.store(true, Ordering::Relaxed);
    let (yes, no) = writers.into_iter().map(|w| w.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    house.kill();
    let (wrong, all) = during_the_freeze(&house.data());
    println!("policies: {CYCLES} cycles, {yes} answered, {no} refused, {all} intents, {wrong} while the pack was in force");
    assert!(yes > CYCLES && no > CYCLES, "too little happened: {yes} answered, {no} refused");
    assert_eq!(wrong, 0, "of {all}");
}

fn apply(local: &Local, name: &str, text: &str) -> Result<serde_json::Value, crate::local::Failed> {
    let pack = json!({ "passphrase": PASSPHRASE, "name": name, "files": [[format!("{name}.cedar"), text]], "tests": null });
    local.call("POST", "/v1/policies", &pack)
}

#[test]
fn no_pack_can_keep_its_owner_from_taking_it_away() {
    let (_house, local, upstream) = world();
    let everything = r#"@id("all") @deny("no") @because("nothing now") forbid (principal, action, resource);"#;
    let refused = apply(&local, "all", everything);
    assert!(format!("{refused:?}").contains("MQ-1301") || format!("{refused:?}").contains("taken away"), "{refused:?}");
    // One that errs on everything denies everything, and can still be taken away.
    let errs = r#"@id("errs") @deny("no") @because("b") forbid (principal, action, resource) when { 9223372036854775807 + context.grade > 1 };"#;
    apply(&local, "errs", errs).unwrap();
    assert!(local.open_session(&grants(None)).is_err());
    local.call("POST", "/v1/policies/errs/remove", &json!({ "passphrase": PASSPHRASE })).unwrap();
    // A policy against writes forbids no session.
    let writes = r#"@id("no-writes") @deny("read") @because("reads alone") forbid (principal, action in Action::"any/write", resource);"#;
    apply(&local, "writes", writes).unwrap();
    let seat = Seat::of(&local.open_session(&grants(None)).unwrap());
    assert_eq!(seat.ask(&mut None, "GET", &format!("{}/repos/acme/x", upstream.origin)).unwrap().0, 200);
}
