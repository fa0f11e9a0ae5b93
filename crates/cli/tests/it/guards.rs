//! Each invariant's guard, seen to be what keeps it: the product holds, and the second build with this one guard taken away is
//! observed to violate it, by the same steps and the same outside eyes. All of it at grade D: nothing here is contained, and
//! what is shown holds for what passes through the gateway.

use crate::house::{House, LONG, PASSPHRASE};
use crate::load::{Seat, Upstream, grants, grants_to_delete};
use crate::local::{Failed, Local, until};
use crate::oracle::told;
use marque_testkit::proc::Child;
use marque_testkit::serve::handler;
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, Server, canary};
use serde_json::json;
use std::process::Command;

/// Small files: what is shown here needs no room.
const LIMITS: [&str; 2] = ["--journal-limits", "524288,524288,0"];

/// The product, or the second build without the guard of one invariant; open for calls.
fn house(guard_off: Option<&str>) -> (House, Local) {
    let mut house = unstarted(House::empty(), guard_off);
    house.start(&LIMITS);
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    (house, local)
}

fn unstarted(house: House, guard_off: Option<&str>) -> House {
    match guard_off {
        None => house,
        Some(invariant) => house.of_the_second_build(&[("MARQUE_GUARD_OFF", invariant)]),
    }
}

fn seat_at(local: &Local, upstream: &Upstream, limit: Option<u64>) -> Seat {
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    Seat::of(&local.open_session(&grants(limit)).unwrap())
}

fn status(seat: &Seat, upstream: &Upstream, id: &str) -> Option<u16> {
    seat.ask(&mut None, "GET", &format!("{}/repos/acme/{id}", upstream.origin)).ok().map(|(status, _)| status)
}

fn http_grant(origin: &str) -> serde_json::Value {
    json!([{ "type": "http", "environment": "staging", "locations": [origin], "actions": ["GET"], "paths": ["/**"] }])
}

/// Whether the intent is in the journal when the machine dies while the upstream, which has seen the credential, still thinks.
fn intent_is_there_when_the_credential_is_out(guard_off: Option<&str>) -> bool {
    let (mut house, local) = house(guard_off);
    let server = Server::start(Options::plain(), handler(|_| std::future::pending())).unwrap();
    let upstream = Upstream { origin: format!("http://api.test:{}", server.port()), server, secret: canary("i1") };
    let seat = seat_at(&local, &upstream, None);
    let log = upstream.server.log().clone();
    let secret = upstream.secret.clone();
    let asking = std::thread::spawn(move || status(&seat, &upstream, "waits"));
    log.wait_for(LONG, |records| records.iter().any(|r| r.saw(&secret)).then_some(())).unwrap();
    house.kill();
    assert_eq!(asking.join().unwrap(), None, "nobody can have answered");
    told(&house.data()).intents.contains_key("waits")
}

#[test]
fn i1_no_credential_leaves_before_its_intent_is_durable() {
    assert!(intent_is_there_when_the_credential_is_out(None));
    assert!(!intent_is_there_when_the_credential_is_out(Some("I1")), "without its guard I1 must be seen to break");
}

/// What an agent reads when the upstream gives the credential back.
fn answer_of_an_echo(guard_off: Option<&str>) -> (String, String) {
    let (_house, local) = house(guard_off);
    let echo = Echo::start(Options::plain()).unwrap();
    let (origin, secret) = (format!("http://api.test:{}", echo.port()), canary("i2"));
    local.add_credential("api", "http", &origin, &secret).unwrap();
    let seat = Seat::of(&local.open_session(&http_grant(&origin)).unwrap());
    let (status, text) = seat.ask(&mut None, "GET", &format!("{origin}/echo")).unwrap();
    assert_eq!((status, echo.log().count_saw(&secret)), (200, 1), "{text}");
    (text, secret)
}

#[test]
fn i2_an_echoed_credential_does_not_reach_the_agent() {
    let (text, secret) = answer_of_an_echo(None);
    assert!(!text.contains(&secret), "{text}");
    let (text, secret) = answer_of_an_echo(Some("I2"));
    assert!(text.contains(&secret), "without its guard I2 must be seen to break: {text}");
}

/// How often the upstream saw a credential that may be used twice.
fn uses_of_a_grant_for_two(guard_off: Option<&str>) -> usize {
    let (_house, local) = house(guard_off);
    let upstream = Upstream::start();
    let seat = seat_at(&local, &upstream, Some(2));
    for turn in 0..5 {
        status(&seat, &upstream, &format!("use-{turn}")).unwrap();
    }
    upstream.server.log().count_saw(&upstream.secret)
}

#[test]
fn i4_a_limit_on_uses_is_not_passed() {
    assert_eq!(uses_of_a_grant_for_two(None), 2);
    assert_eq!(uses_of_a_grant_for_two(Some("I4")), 5, "without its guard I4 must be seen to break");
}

/// What the upstream saw after the end of a session was confirmed, and what the journal says of it.
fn uses_after_the_end(guard_off: Option<&str>) -> (usize, Vec<String>) {
    let (mut house, local) = house(guard_off);
    let upstream = Upstream::start();
    let seat = seat_at(&local, &upstream, None);
    assert_eq!(status(&seat, &upstream, "before"), Some(200));
    local.end_session(&seat.session).unwrap();
    status(&seat, &upstream, "after");
    let seen = upstream.server.log().count_saw(&upstream.secret) - 1;
    house.kill();
    (seen, told(&house.data()).violations)
}

#[test]
fn i6_nothing_is_admitted_after_the_end() {
    assert_eq!(uses_after_the_end(None), (0, Vec::new()));
    let (seen, violations) = uses_after_the_end(Some("I6"));
    assert_eq!((seen, violations.len()), (1, 1), "without its guard I6 must be seen to break: {violations:?}");
}

/// A file system that fills up under a live session: status of the next use, times the upstream saw the credential, intents.
fn use_on_a_full_disk(guard_off: Option<&str>) -> (Option<u16>, usize, usize) {
    const MARGIN: u64 = 16 << 20;
    let memory = std::path::Path::new("/dev/shm");
    assert!(memory.is_dir(), "`/dev/shm` is needed: a file system that nobody else writes to");
    let mut house = unstarted(House::empty_in(tempfile::tempdir_in(memory).unwrap()), guard_off);
    let stat = rustix::fs::statvfs(memory).unwrap();
    let floor = (stat.f_bavail * stat.f_frsize).checked_sub(MARGIN).expect("`/dev/shm` is too small");
    house.start(&["--journal-limits", &format!("524288,524288,{floor}")]);
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    let upstream = Upstream::start();
    let seat = seat_at(&local, &upstream, None);
    assert_eq!(status(&seat, &upstream, "before"), Some(200));
    std::fs::write(house.dir.path().join("filler"), vec![1; 2 * MARGIN as usize]).unwrap();
    let after = status(&seat, &upstream, "after");
    // What ends authority is recorded all the same, from the reserve.
    let statement = local.end_session(&seat.session).unwrap();
    house.kill();
    let told = told(&house.data());
    assert_eq!(told.ends.get(&seat.session), statement["end_seq"].as_u64().as_ref());
    (after, upstream.server.log().count_saw(&upstream.secret), told.intents.values().map(Vec::len).sum())
}

#[test]
fn i7_what_cannot_be_recorded_is_not_done() {
    assert_eq!(use_on_a_full_disk(None), (Some(503), 1, 1));
    assert_eq!(use_on_a_full_disk(Some("I7")), (Some(200), 2, 1), "without its guard I7 must be seen to break");
}

/// A repository that is registered to production, asked for by a staging session whose token opens it: the status, and how often
/// the upstream saw the token.
fn use_across_environments(guard_off: Option<&str>) -> (Option<u16>, usize) {
    let (_house, local) = house(guard_off);
    let upstream = Upstream::start();
    let seat = seat_at(&local, &upstream, None);
    let entry = json!({ "passphrase": PASSPHRASE, "kind": "resource", "service": "github", "name": "acme/pay-*", "environment": "production" });
    local.call("POST", "/v1/environments", &entry).unwrap();
    (status(&seat, &upstream, "pay-api"), upstream.server.log().count_saw(&upstream.secret))
}

#[test]
fn i8_no_credential_goes_to_another_environment() {
    assert_eq!(use_across_environments(None), (Some(403), 0));
    assert_eq!(use_across_environments(Some("I8")), (Some(200), 1), "without its guard I8 must be seen to break");
}

/// Many equal requests wait for one question; a human says yes for one use. How often the upstream saw the credential, and what
/// the journal says of it.
fn uses_of_one_approval(guard_off: Option<&str>) -> (usize, Vec<String>) {
    let (mut house, local) = house(guard_off);
    let upstream = Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    let seat = Seat::of(&local.open_session(&grants_to_delete()).unwrap());
    let url = format!("{}/repos/acme/one", upstream.origin);
    let asking: Vec<_> = (0..24)
        .map(|_| {
            let (seat, url) = (seat.clone(), url.clone());
            std::thread::spawn(move || seat.ask(&mut None, "DELETE", &url).map(|(status, _)| status).ok())
        })
        .collect();
    let ask = until("somebody asks", LONG, || {
        let open = local.get("/v1/approvals").ok()?;
        Some(open.as_array()?.first()?["id"].as_str()?.to_owned())
    });
    let yes = json!({ "passphrase": PASSPHRASE, "approve": true, "uses": 1, "ttl_s": 0 });
    local.call("POST", &format!("/v1/approvals/{ask}"), &yes).unwrap();
    upstream.server.log().wait_for(LONG, |records| records.iter().any(|r| r.saw(&upstream.secret)).then_some(())).unwrap();
    local.end_session(&seat.session).unwrap();
    let answered = asking.into_iter().map(|thread| thread.join().unwrap()).filter(|status| *status == Some(200)).count();
    let seen = upstream.server.log().count_saw(&upstream.secret);
    assert!(answered <= seen, "{answered} answered, {seen} seen");
    house.kill();
    (seen, told(&house.data()).violations)
}

#[test]
fn i9_an_approval_of_one_use_admits_one() {
    assert_eq!(uses_of_one_approval(None), (1, Vec::new()));
    // Whether two of the waiting spend it in the same moment is their race; in a few turns they do.
    let broken = (0..8).map(|_| uses_of_one_approval(Some("I9"))).find(|(seen, violations)| *seen > 1 && !violations.is_empty());
    assert!(broken.is_some(), "without its guard I9 must be seen to break");
}

/// Whether an authority opens on an older consistent copy of its data directory while the mark outside it remembers more.
fn older_copy_opens(guard_off: Option<&str>) -> bool {
    let (mut house, local) = house(guard_off);
    local.open_session(&http_grant("https://a.test:443")).unwrap();
    house.kill();
    let older = house.dir.path().join("older");
    let copied = Child::run(Command::new("cp").arg("-a").arg(house.data()).arg(&older), LONG).unwrap();
    assert!(copied.status.success(), "{copied:?}");
    house.start(&LIMITS);
    until("it opens", LONG, || local.try_open().ok());
    local.open_session(&http_grant("https://a.test:443")).unwrap();
    house.kill();
    std::fs::rename(house.data(), house.dir.path().join("newer")).unwrap();
    std::fs::rename(&older, house.data()).unwrap();
    let serve = Child::spawn(&mut house.serve(&LIMITS)).unwrap();
    serve.wait_for_line(LONG, |line| line == "ready").unwrap();
    match local.try_open() {
        Ok(_) => true,
        Err(Failed::Refused(problem)) => {
            let why = problem["detail"].as_str().unwrap();
            assert!(why.contains("records are missing") || why.contains("was acknowledged"), "{problem}");
            false
        }
        Err(Failed::Broken) => panic!("it neither opened nor said why: {}", serve.stderr()),
    }
}

#[test]
fn i10_an_older_copy_is_not_gone_on_with() {
    assert!(!older_copy_opens(None));
    assert!(older_copy_opens(Some("I10")), "without its guard I10 must be seen to break");
}

/// Two accounts at one host, and a request that fits both: the status, and how often either was used.
fn ambiguous_use(guard_off: Option<&str>) -> (u16, usize) {
    let (_house, local) = house(guard_off);
    let upstream = Upstream::start();
    let other = canary("i13");
    local.add_credential("one", "github", &upstream.origin, &upstream.secret).unwrap();
    local.add_credential("two", "github", &upstream.origin, &other).unwrap();
    let seat = Seat::of(&local.open_session(&grants(None)).unwrap());
    let status = status(&seat, &upstream, "whose").unwrap();
    let log = upstream.server.log();
    (status, log.count_saw(&upstream.secret) + log.count_saw(&other))
}

#[test]
fn i13_no_account_is_chosen_for_the_agent() {
    let (status, seen) = ambiguous_use(None);
    assert_eq!((status / 100, seen), (4, 0));
    assert_eq!(ambiguous_use(Some("I13")), (200, 1), "without its guard I13 must be seen to break");
}

/// Whether a session opens for somebody who does not know the passphrase.
fn opens_without_the_passphrase(guard_off: Option<&str>) -> bool {
    let (_house, local) = house(guard_off);
    match local.open_session_with("not the passphrase", &http_grant("https://a.test:443")) {
        Ok(_) => true,
        Err(Failed::Refused(problem)) => {
            assert_eq!(problem["code"], "MQ-5106", "{problem}");
            false
        }
        Err(Failed::Broken) => panic!("the authority is gone"),
    }
}

#[test]
fn i14_no_session_opens_without_the_passphrase() {
    assert!(!opens_without_the_passphrase(None));
    assert!(opens_without_the_passphrase(Some("I14")), "without its guard I14 must be seen to break");
}
