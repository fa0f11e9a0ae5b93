//! The fault campaign: every write, sync, rename, open, preallocation and removal fails once, with EIO and with ENOSPC, by
//! `strace --inject` on the real processes. Afterwards nothing acknowledged is lost, the journal opens and verifies, and a
//! failed sync has ended its process.
//!
//! Here a share; `./test --campaign faults` sweeps every call. The counter of an injection is each thread's own, so one run
//! fails the n-th call of every thread of authority and signer, and of their successors.

use crate::house::{House, LONG};
use crate::kills::{Dice, amount, seed};
use crate::load::{Acks, Load, Seat, Upstream, grants, note_open, open_sessions};
use crate::local::{Local, opened, until};
use crate::oracle;
use marque_testkit::proc::{Child, program};
use serde_json::Value;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMITS: [&str; 2] = ["--journal-limits", "524288,524288,0"];
/// Runs in `./test`.
const SHARE: u64 = 18;
/// The store writes with `pwrite64`, and beside it only the search index. Not every machine has every spelling.
const CALLS: [&str; 7] =
    ["pwrite64", "fdatasync", "fsync", "?rename,?renameat,?renameat2", "openat", "fallocate,ftruncate", "?unlink,?unlinkat"];
const ERRORS: [&str; 2] = ["EIO", "ENOSPC"];
/// Runs without an injection after which a sweep of one call is over.
const QUIET: u64 = 3;

/// What a run showed.
struct Ran {
    injected: usize,
    /// Of these, in the thread of the search index, which is derived: it may not end the process.
    in_index: usize,
    aborted: bool,
}

/// The same command under strace, which fails the n-th of these calls.
fn under_strace(serve: &Command, log: &std::path::Path, call: &str, error: &str, nth: u64) -> Command {
    let strace = program("strace", "apt-get install strace").unwrap();
    let mut command = Command::new(strace);
    command.args(["-f", "--seccomp-bpf", "-q", "--decode-pids=comm", "-o"]).arg(log);
    command.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:error={error}:when={nth}"), "--"]);
    command.arg(serve.get_program()).args(serve.get_args()).env_clear();
    for (name, value) in serve.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

fn run(call: &str, error: &str, nth: u64) -> Ran {
    let house = House::empty();
    let upstream = Upstream::start();
    let acks: Arc<Mutex<Acks>> = Arc::default();
    let mut limited = Vec::new();
    let log = house.dir.path().join("strace");
    let local = Local::of(&house);
    let mut serve = Child::spawn(&mut under_strace(&house.serve(&LIMITS), &log, call, error, nth)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(6);
    let open = loop {
        if local.try_open().is_ok() {
            break true;
        }
        if serve.has_ended() || Instant::now() > deadline {
            break false;
        }
        std::thread::park_timeout(Duration::from_millis(4));
    };
    if open {
        live(&local, &upstream, &acks, &mut limited, &serve);
    }
    serve.kill();
    serve.wait(LONG).unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.is_empty() || !open, "strace saw nothing of `{call}`: {}", serve.stderr());
    recovers(&house, &local, &upstream, &acks);
    oracle::judge(&house, &upstream, &acks.lock().unwrap(), &limited);
    oracle::verifies(&house, &acks.lock().unwrap().checkpoints);
    let injected = || text.lines().filter(|line| line.contains("(INJECTED)"));
    let in_index = injected().filter(|line| line.contains("<index>")).count();
    Ran { injected: injected().count(), in_index, aborted: text.contains("killed by SIGABRT") }
}

/// Some of everything. Whatever fails is no acknowledgement, and nothing else is asked of it.
fn live(local: &Local, upstream: &Upstream, acks: &Arc<Mutex<Acks>>, limited: &mut Vec<String>, serve: &Child) {
    for _ in 0..2 {
        if let Ok(view) = local.add_credential("gh", "github", &upstream.origin, &upstream.secret) {
            acks.lock().unwrap().credentials.push(("gh".to_owned(), view["version"].as_u64().unwrap()));
            break;
        }
    }
    if let Some(seats) = open_sessions(local, acks) {
        limited.push(seats[1].session.clone());
        let load = Load::start(local, upstream, acks, seats, 8, "f");
        std::thread::park_timeout(Duration::from_millis(250));
        load.stop();
    }
    let _ = local.call("POST", "/v1/stop", &Value::Null);
    let deadline = Instant::now() + Duration::from_secs(6);
    while !serve.has_ended() && Instant::now() < deadline && local.pid().is_some() {
        std::thread::park_timeout(Duration::from_millis(4));
    }
}

/// What the signer says of an authority that ended, which it learns a moment after whoever was connected to it.
pub(crate) fn last_words(serve: &Child) -> String {
    // Where it says nothing, its whole output is what there is to read.
    let said = serve.wait_for(Duration::from_secs(5), |text| text.contains("starting it again").then_some(()));
    format!("{said:?} {}", serve.stderr())
}

/// Without faults it opens again, and admits a use.
fn recovers(house: &House, local: &Local, upstream: &Upstream, acks: &Mutex<Acks>) {
    // An authority whose signer was killed ends by itself, a moment later: what answers from here on is the new one.
    until("the old one is gone", LONG, || local.pid().is_none().then_some(()));
    let mut serve = Child::spawn(&mut house.serve(&LIMITS)).unwrap();
    opened(local, &serve);
    let pid = local.pid();
    let said = |failed| panic!("after the recovery: {failed:?}: {}", last_words(&serve));
    let have = local.get("/v1/credentials").unwrap_or_else(said);
    if !have.as_array().unwrap().iter().any(|c| c["name"] == "gh") {
        local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    }
    let opened = local.open_session(&grants(None)).unwrap_or_else(said);
    note_open(acks, &opened);
    let seat = Seat::of(&opened);
    let (status, text) = seat.ask(&mut None, "GET", &format!("{}/repos/acme/again", upstream.origin)).unwrap();
    assert_eq!(status, 200, "{text}");
    acks.lock().unwrap().uses.push((seat.session, "again".to_owned()));
    let note = until("a checkpoint", LONG, || local.call("POST", "/v1/checkpoint", &Value::Null).ok());
    acks.lock().unwrap().checkpoints.push(note["checkpoint"].as_str().unwrap().to_owned());
    assert_eq!(local.pid(), pid, "the recovered authority died: {}", last_words(&serve));
    serve.kill();
    serve.wait(LONG).unwrap();
}

#[test]
fn every_call_of_the_store_may_fail_once_and_nothing_acknowledged_is_lost() {
    let (seed, most) = (seed(), amount("MARQUE_FAULTS", SHARE));
    let mut dice = Dice(seed);
    let began = Instant::now();
    let (mut runs, mut injected, mut aborts) = (0, 0, 0);
    let mut strike = |call: &str, error: &str, nth: u64| {
        let ran = run(call, error, nth);
        runs += 1;
        injected += ran.injected;
        aborts += u64::from(ran.aborted);
        if call.contains("sync") && ran.injected > ran.in_index {
            assert!(ran.aborted, "{call} failed with {error} at {nth}, and the process lived");
        }
        println!("faults: {call} {error} at {nth}: {} injected, aborted={} after {:?}", ran.injected, ran.aborted, began.elapsed());
        ran.injected > 0
    };
    if most <= 100 {
        for turn in 0..most {
            let pair = usize::try_from(turn).unwrap();
            let call = CALLS[pair % CALLS.len()];
            // Files are preallocated and removed a few times only.
            let often = !call.contains("fallocate") && !call.contains("unlink");
            strike(call, ERRORS[pair / CALLS.len() % 2], 1 + dice.below(if often { 14 } else { 2 }));
        }
    } else {
        for (call, error) in CALLS.iter().flat_map(|call| ERRORS.map(|error| (*call, error))) {
            let (mut nth, mut quiet) = (1, 0);
            while quiet < QUIET && nth <= most {
                quiet = if strike(call, error, nth) { 0 } else { quiet + 1 };
                // Every one of the first calls, and then fewer and fewer of those that are like each other.
                nth += 1 + nth / 12;
            }
        }
    }
    println!("faults: seed {seed}: {runs} runs, {injected} failed calls, {aborts} runs with an abort, all recovered, {:?}", began.elapsed());
    assert!(injected > 0, "strace injected nothing");
}
