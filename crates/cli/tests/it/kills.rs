//! The kill campaign: `kill -9` at every fail point between two durable steps and at random instants, under 64 writers over
//! the real gateway. The oracle stands outside: the clients' log of answers and the upstream's log of credentials.
//!
//! Here about 30 kills; `./test --campaign kills [N]` runs N (500), each fail point at least five times.

use crate::house::{House, LONG};
use crate::load::{Acks, Load, Seat, Upstream, grants, open_sessions};
use crate::local::{Local, opened, until};
use crate::oracle;
use marque_testkit::proc::Child;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const WRITERS: usize = 64;
/// Small segments, so that a load crosses many.
const LIMITS: [&str; 2] = ["--journal-limits", "524288,524288,0"];
/// How long a load runs that nothing kills.
const LOAD: Duration = Duration::from_millis(800);
/// Kills in `./test`.
const SHARE: u64 = 30;
/// Rounds that one data directory lives through.
const LIVES: u32 = 6;

/// A deterministic stream of choices (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n.max(1)
    }
}

/// How much of a campaign is run: its share here, or all of it on request.
pub(crate) fn amount(variable: &str, share: u64) -> u64 {
    std::env::var(variable).ok().and_then(|n| n.parse().ok()).unwrap_or(share)
}

pub(crate) fn seed() -> u64 {
    amount("MARQUE_CAMPAIGN_SEED", 1)
}

/// One data directory, its upstream and everything that clients were told of it.
struct World {
    house: House,
    upstream: Upstream,
    acks: Arc<Mutex<Acks>>,
    limited: Vec<String>,
    rounds: u32,
}

/// What kills.
#[derive(Debug, Clone)]
enum Killer {
    /// The process itself, at this point.
    Point(String, u64),
    /// The authority, so long after the load began.
    Authority(Duration),
    /// The signer, which takes the authority with it.
    Signer(Duration),
    /// Both at once.
    Both(Duration),
}

impl World {
    fn new() -> Self {
        let house = House::empty().of_the_second_build(&[]);
        Self { house, upstream: Upstream::start(), acks: Arc::default(), limited: Vec::new(), rounds: 0 }
    }

    fn hit(&self) -> PathBuf {
        self.house.dir.path().join("hit")
    }

    fn spawn(&self, env: &[(&str, &str)]) -> Child {
        let mut command = self.house.serve(&LIMITS);
        command.envs(env.iter().copied());
        Child::spawn(&mut command).unwrap()
    }

    /// Opens whatever serves here; where the fail point ended it, a new one without.
    fn reopen(&self, serve: &mut Child, local: &Local) {
        let deadline = Instant::now() + LONG;
        until("the authority opens again", 2 * LONG, || {
            let failed = match local.try_open() {
                Ok(_) => return Some(()),
                Err(failed) => failed,
            };
            assert!(Instant::now() < deadline, "it does not open: {failed:?}; {}", serve.stderr());
            if serve.has_ended() {
                let ended = serve.wait(LONG).unwrap();
                let by_us = std::os::unix::process::ExitStatusExt::signal(&ended.status) == Some(9);
                // An authority whose signer was killed may not have seen it yet.
                let too_early = ended.stderr.contains("MQ-5114") || ended.stderr.contains("has the journal open");
                assert!(by_us || too_early || ended.status.success(), "serve gave up: {ended:?}");
                *serve = self.spawn(&[]);
            }
            None
        });
    }

    /// The rest of a life: credential, sessions, load, until killed or long enough; then an orderly stop.
    fn live(&mut self, serve: &mut Child, local: &Local, killer: &Killer, load_for: Duration) {
        let name = format!("r{}", self.rounds);
        let have = local.get("/v1/credentials").ok().and_then(|all| all.as_array().map(|all| all.iter().any(|c| c["name"] == "gh")));
        if have == Some(false)
            && let Ok(view) = local.add_credential("gh", "github", &self.upstream.origin, &self.upstream.secret)
        {
            let added = ("gh".to_owned(), view["version"].as_u64().unwrap());
            self.acks.lock().unwrap().credentials.push(added);
        }
        let Some(seats) = open_sessions(local, &self.acks) else { return };
        self.limited.push(seats[1].session.clone());
        let pid = local.pid();
        let load = Load::start(local, &self.upstream, &self.acks, seats, WRITERS, &name);
        let began = Instant::now();
        while began.elapsed() < load_for && !self.hit().exists() && !serve.has_ended() {
            std::thread::park_timeout(Duration::from_millis(3));
            if let Killer::Authority(at) | Killer::Signer(at) | Killer::Both(at) = killer
                && began.elapsed() >= *at
            {
                match (killer, pid) {
                    (Killer::Authority(_), Some(pid)) => kill(pid),
                    (Killer::Signer(_), _) => kill(serve.pid()),
                    _ => serve.kill(),
                }
                std::fs::write(self.hit(), "").unwrap();
            }
        }
        load.stop();
        if let Killer::Point(name, _) = killer
            && (name.is_empty() || name.starts_with("erase."))
            && !self.hit().exists()
        {
            erase(local);
        }
        if !self.hit().exists() {
            // What is only passed at an orderly end.
            let _ = local.call("POST", "/v1/stop", &Value::Null);
            until("the orderly end, or the kill in it", LONG, || (serve.has_ended() || self.hit().exists()).then_some(()));
        }
    }

    /// One life, one death, one recovery; the oracle judges what is on the disk. Whether the killer struck.
    fn round(&mut self, killer: &Killer, load_for: Duration, dice: &mut Dice) -> (bool, oracle::Shown) {
        self.rounds += 1;
        let hit = self.hit();
        let _ = std::fs::remove_file(&hit);
        let path = hit.to_str().unwrap().to_owned();
        let mut serve = match killer {
            Killer::Point(name, nth) => {
                // One in four takes the whole group with it.
                let scope = if dice.below(4) == 0 { "group" } else { "process" };
                let point = format!("{name}:{nth}");
                self.spawn(&[("MARQUE_FAIL_POINT", &point), ("MARQUE_FAIL_HIT", &path), ("MARQUE_FAIL_SCOPE", scope)])
            }
            _ => self.spawn(&[]),
        };
        let local = Local::of(&self.house);
        self.reopen(&mut serve, &local);
        if !hit.exists() {
            self.live(&mut serve, &local, killer, load_for);
        }
        let struck = hit.exists();
        // Recovery: every session of the dead process is over, and work goes on.
        self.reopen(&mut serve, &local);
        let pid = until("its process is known", LONG, || local.pid());
        let sessions = until("the sessions are listed", LONG, || local.get("/v1/sessions").ok());
        assert_eq!(sessions, serde_json::json!([]), "a session outlived its authority");
        self.works_again(&mut serve, &local);
        let note = until("a checkpoint", LONG, || local.call("POST", "/v1/checkpoint", &Value::Null).ok());
        self.acks.lock().unwrap().checkpoints.push(note["checkpoint"].as_str().unwrap().to_owned());
        let restarted = matches!(killer, Killer::Point(..)) && !struck && hit.exists();
        assert!(restarted || local.pid() == Some(pid), "the recovered authority died: {}", crate::faults::last_words(&serve));
        // The power goes; what is on the disk is judged.
        serve.kill();
        serve.wait(LONG).unwrap();
        let shown = oracle::judge(&self.house, &self.upstream, &self.acks.lock().unwrap(), &self.limited);
        oracle::verifies(&self.house, &self.acks.lock().unwrap().checkpoints);
        (struck, shown)
    }

    /// A recovered authority admits a use, and a session is left open for the next start to bury.
    fn works_again(&self, serve: &mut Child, local: &Local) {
        let have = until("the credentials are listed", LONG, || local.get("/v1/credentials").ok());
        if !have.as_array().unwrap().iter().any(|c| c["name"] == "gh") {
            return;
        }
        let seat = until("a session opens", LONG, || {
            self.reopen(serve, local);
            let opened = local.open_session(&grants(None)).ok()?;
            crate::load::note_open(&self.acks, &opened);
            Some(Seat::of(&opened))
        });
        let id = format!("r{}-again", self.rounds);
        let status = seat.ask(&mut None, "GET", &format!("{}/repos/acme/{id}", self.upstream.origin));
        let (status, text) = status.unwrap();
        assert_eq!(status, 200, "after the recovery: {text}");
        self.acks.lock().unwrap().uses.push((seat.session, id));
    }

    /// What an interrupted write leaves where the disk lost pages that were never synced: the batch that nobody was told of
    /// is there in part.
    fn tear(&self) {
        let last = oracle::segments(&self.house.data()).pop().unwrap();
        let mut bytes = std::fs::read(&last).unwrap();
        let end = bytes.iter().rposition(|b| *b != 0).unwrap();
        bytes[end - 20..=end].fill(0);
        std::fs::write(&last, bytes).unwrap();
    }
}

/// Ends every session and erases whoever answered for them. Where the kill comes in between, so much of it.
fn erase(local: &Local) {
    let sessions = local.get("/v1/sessions").unwrap_or_default();
    for session in sessions.as_array().into_iter().flatten() {
        let _ = local.end_session(session["session"].as_str().unwrap());
    }
    let humans = local.get("/v1/humans").unwrap_or_default();
    for human in humans.as_array().into_iter().flatten().filter(|human| human["state"] == "known") {
        let path = format!("/v1/humans/{}/erase", human["human"].as_str().unwrap());
        let _ = local.call("POST", &path, &serde_json::json!({ "passphrase": crate::house::PASSPHRASE }));
    }
}

fn kill(pid: i32) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid) {
        // Gone already is dead enough.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Every literal name in the sources. Names of files' steps are made at run time, and found by the trace.
fn written_points() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = BTreeSet::new();
    let mut dirs: Vec<PathBuf> = crates.read_dir().unwrap().flatten().map(|entry| entry.path().join("src")).collect();
    while let Some(dir) = dirs.pop() {
        for path in dir.read_dir().into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let names = text.split("fail_point(\"").skip(1).filter_map(|rest| rest.split('"').next());
                found.extend(names.map(str::to_owned));
            }
        }
    }
    found
}

/// The generated list: every point that a whole life passes, in a first run and in a later one.
fn points() -> (BTreeSet<String>, BTreeSet<String>) {
    let mut world = World::new();
    let trace = |n: u32, world: &World| world.house.dir.path().join(format!("trace-{n}"));
    for life in 1..=2 {
        world.rounds += 1;
        let path = trace(life, &world);
        let mut serve = world.spawn(&[("MARQUE_FAIL_TRACE", path.to_str().unwrap())]);
        let local = Local::of(&world.house);
        opened(&local, &serve);
        if life == 1 {
            // Only the first run.
            serve.kill();
            serve.wait(LONG).unwrap();
            continue;
        }
        let nobody = Killer::Point(String::new(), 0);
        world.live(&mut serve, &local, &nobody, Duration::from_millis(1500));
        // A later start that finds open sessions, and one that finds a torn end.
        let mut serve = world.spawn(&[("MARQUE_FAIL_TRACE", path.to_str().unwrap())]);
        opened(&local, &serve);
        let start = local.get("/v1/status").unwrap()["start"].clone();
        assert!(start["snapshot"].is_u64(), "a start after a load goes on from a snapshot: {start}");
        assert!(start["replayed"].as_u64() < start["records"].as_u64(), "{start}");
        assert!(open_sessions(&local, &world.acks).is_some());
        serve.kill();
        serve.wait(LONG).unwrap();
        let env = [("MARQUE_FAIL_POINT", "batch.written:2"), ("MARQUE_FAIL_SCOPE", "group"), ("MARQUE_FAIL_TRACE", path.to_str().unwrap())];
        let serve = world.spawn(&env);
        until("the power goes", LONG, || {
            let _ = local.try_open();
            serve.has_ended().then_some(())
        });
        world.tear();
        let mut serve = world.spawn(&[("MARQUE_FAIL_TRACE", path.to_str().unwrap())]);
        opened(&local, &serve);
        serve.kill();
        serve.wait(LONG).unwrap();
    }
    let read = |n: u32| -> BTreeSet<String> {
        std::fs::read_to_string(trace(n, &world)).unwrap().lines().map(str::to_owned).collect()
    };
    let (first, later) = (read(1), read(2));
    let first_only = first.difference(&later).cloned().collect();
    (first_only, later)
}

/// How often a point is passed before it kills: often where a load passes it all the time, once where only a first run does.
fn nth(name: &str, first: &BTreeSet<String>, dice: &mut Dice) -> u64 {
    let hot = ["batch.", "use.", "tile."].iter().any(|prefix| name.starts_with(prefix));
    if first.contains(name) || name.starts_with("recovery.") { 1 } else { 1 + dice.below(if hot { 150 } else { 8 }) }
}

#[test]
fn nothing_acknowledged_is_lost_and_no_credential_leaves_without_its_intent_however_it_is_killed() {
    let (seed, kills) = (seed(), amount("MARQUE_KILLS", SHARE));
    let mut dice = Dice(seed);
    let (first, later) = points();
    let all: BTreeSet<String> = first.union(&later).cloned().collect();
    let unpassed: Vec<String> = written_points().difference(&all).cloned().collect();
    assert!(unpassed.is_empty(), "no life passes these fail points: {unpassed:?}");
    // Each point at least five times where there is room, else a share of them; a third of the kills at random instants.
    let by_point = (kills * 2 / 3).max(if kills >= 100 { 5 * all.len() as u64 } else { 0 });
    let names: Vec<String> = all.into_iter().collect();
    let offset = dice.below(names.len() as u64);
    println!("kills: seed {seed}, {} fail points, {by_point} kills at them, {} at random instants", names.len(), kills.saturating_sub(by_point).max(kills / 5));
    let mut plan: Vec<Killer> = (0..by_point)
        .map(|n| {
            let step = if kills >= 100 { 1 } else { 7 };
            let name = names[usize::try_from((offset + n * step) % names.len() as u64).unwrap()].clone();
            let nth = nth(&name, &first, &mut dice);
            Killer::Point(name, nth)
        })
        .collect();
    for _ in 0..kills.saturating_sub(by_point).max(kills / 5) {
        let at = Duration::from_micros(dice.below(500_000));
        plan.push(match dice.below(4) {
            0 => Killer::Signer(at),
            1 => Killer::Both(at),
            _ => Killer::Authority(at),
        });
    }
    run(plan, &first, &mut dice);
}

fn run(plan: Vec<Killer>, first: &BTreeSet<String>, dice: &mut Dice) {
    let began = Instant::now();
    let mut world = World::new();
    let (mut struck, mut missed) = (0_u64, Vec::new());
    let mut sum = oracle::Shown::default();
    let total = plan.len();
    let verbose = total >= 100;
    for (index, mut killer) in plan.into_iter().enumerate() {
        let fresh = matches!(&killer, Killer::Point(name, _) if first.contains(name));
        if fresh || world.rounds >= LIVES {
            add(&mut sum, &world);
            world = World::new();
        }
        if world.rounds == 0 && matches!(&killer, Killer::Point(name, _) if name.starts_with("bury.")) {
            // There must be a session to bury.
            world.round(&Killer::Point(String::new(), 0), LOAD, dice);
        }
        if verbose || std::env::var_os("MARQUE_CAMPAIGN_TALK").is_some() {
            println!("kills: {}/{total} {killer:?} after {:?}", index + 1, began.elapsed());
        }
        // Where nobody came by so often in this life: the first time, then, and under a longer load.
        let mut hit = false;
        for load_for in [LOAD, LOAD, 6 * LOAD] {
            if matches!(&killer, Killer::Point(name, _) if name == "recovery.tail-zeroed") {
                let prepare = Killer::Point("batch.written".into(), 20);
                struck += u64::from(world.torn_round(&prepare, dice));
            }
            hit = world.round(&killer, load_for, dice).0;
            match &mut killer {
                Killer::Point(_, nth) if !hit => *nth = 1,
                _ => break,
            }
        }
        struck += u64::from(hit);
        if !hit {
            missed.push(format!("{killer:?}"));
        }
    }
    add(&mut sum, &world);
    println!("kills: {struck} in {:?}; {sum:?}; 0 violations", began.elapsed());
    assert!(missed.is_empty(), "these killers never struck: {missed:?}");
}

fn add(sum: &mut oracle::Shown, world: &World) {
    if world.rounds == 0 {
        return;
    }
    let shown = oracle::judge(&world.house, &world.upstream, &world.acks.lock().unwrap(), &world.limited);
    sum.acknowledged += shown.acknowledged;
    sum.seen_upstream += shown.seen_upstream;
    sum.records += shown.records;
    sum.at_the_limit += shown.at_the_limit;
    sum.approved += shown.approved;
    sum.approvals_spent += shown.approvals_spent;
}

impl World {
    /// A kill between write and sync, and the write found torn: leaves the directory for the next start.
    fn torn_round(&mut self, killer: &Killer, dice: &mut Dice) -> bool {
        let Killer::Point(name, nth) = killer else { return false };
        self.rounds += 1;
        let hit = self.hit();
        let _ = std::fs::remove_file(&hit);
        let path = hit.to_str().unwrap().to_owned();
        // An authority that was started again would make the batch firm: nothing of the group may live to do so.
        let point = format!("{name}:{nth}");
        let mut serve = self.spawn(&[("MARQUE_FAIL_POINT", &point), ("MARQUE_FAIL_HIT", &path), ("MARQUE_FAIL_SCOPE", "group")]);
        let local = Local::of(&self.house);
        opened(&local, &serve);
        self.live(&mut serve, &local, killer, Duration::from_millis(2_000 + dice.below(100)));
        until("the power goes", LONG, || serve.has_ended().then_some(()));
        self.tear();
        hit.exists()
    }
}
