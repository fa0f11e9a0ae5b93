//! A hostile session that floods (threats H18): it ends itself, not the service; the others hardly notice; and on a file
//! system that it has filled, what gives authority back is recorded all the same.

use crate::house::{House, LONG, PASSPHRASE};
use crate::kills::amount;
use crate::load::{Seat, Upstream, grants, grants_to_delete};
use crate::local::{Local, until};
use crate::oracle::told;
use marque_testkit::proc::Child;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seconds of flood in `./test`; `./test --campaign flood` takes 60.
const SHARE_S: u64 = 6;
/// Connections of the hostile session.
const HOSTILE: usize = 64;
/// Uses of the other session in one sample.
const SAMPLE: usize = 150;

fn open(limits: &str) -> (House, Local, Upstream) {
    let mut house = House::empty();
    house.start(&["--journal-limits", limits]);
    let local = Local::of(&house);
    until("it opens", LONG, || local.try_open().ok());
    let upstream = Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    (house, local, upstream)
}

fn seat(local: &Local) -> Seat {
    Seat::of(&local.open_session(&grants(None)).unwrap())
}

fn is_listed(local: &Local, seat: &Seat) -> bool {
    let all = local.get("/v1/sessions").unwrap();
    all.as_array().unwrap().iter().any(|s| s["session"] == json!(seat.session))
}

fn reason_of_the_end(house: &House, seat: &Seat) -> String {
    let exit = house.ok(&["audit", "lineage", &seat.session]);
    exit.stdout + &exit.stderr
}

#[test]
fn a_session_that_uses_up_its_share_of_the_journal_is_ended_and_the_others_go_on() {
    let (house, local, upstream) = open("4194304,1048576,0,65536");
    let (user, refused, other) = (seat(&local), seat(&local), seat(&local));
    let mut stream = None;
    let mut answered = 0;
    let last = loop {
        match user.ask(&mut stream, "GET", &format!("{}/repos/acme/u{answered}", upstream.origin)) {
            Ok((200, _)) => answered += 1,
            Ok((status, text)) => break (status, text),
            Err(error) => panic!("{error} after {answered}"),
        }
        assert!(answered < 10_000, "it never ends");
    };
    assert_eq!(last.0, 429, "{}", last.1);
    assert!(last.1.contains("MQ-5103") && last.1.contains("SESSION_JOURNAL_BYTES_MAX"), "{}", last.1);
    assert!(answered > 20, "{answered}");
    until("the session ends", LONG, || (!is_listed(&local, &user)).then_some(()));
    assert!(reason_of_the_end(&house, &user).contains("quota"), "{}", reason_of_the_end(&house, &user));
    // So does one that is only ever refused.
    let mut stream = None;
    for n in 0.. {
        // A broken connection is its end.
        if refused.ask(&mut stream, "GET", &format!("http://h{}.test/", n % 300)).is_err() || !is_listed(&local, &refused) {
            break;
        }
        assert!(n < 100_000, "it never ends");
    }
    until("the refused session ends", LONG, || (!is_listed(&local, &refused)).then_some(()));
    assert_eq!(other.ask(&mut None, "GET", &format!("{}/repos/acme/other", upstream.origin)).unwrap().0, 200);
    assert!(is_listed(&local, &other));
}

/// Requests that are refused, from many connections at once, while `on` says so.
struct Flood {
    stop: Arc<AtomicBool>,
    on: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn start(seat: &Seat, origin: &str) -> Self {
        let (stop, on, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let one = |n: usize| {
            let (stop, on, sent) = (stop.clone(), on.clone(), sent.clone());
            let (seat, url) = (seat.clone(), format!("{origin}/repos/acme/f{n}"));
            std::thread::spawn(move || {
                let mut stream = None;
                while !stop.load(Ordering::Relaxed) {
                    if !on.load(Ordering::Relaxed) {
                        std::thread::park_timeout(Duration::from_millis(5));
                    } else if seat.ask(&mut stream, "POST", &url).is_ok() {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        };
        let threads = (0..HOSTILE).map(one).collect();
        Self { stop, on, sent, threads }
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.sent.load(Ordering::Relaxed)
    }
}

/// The 99th of a hundred, of one connection that asks one thing after the other.
fn p99(seat: &Seat, origin: &str) -> Duration {
    let mut stream = None;
    let mut times: Vec<Duration> = (0..SAMPLE)
        .map(|n| {
            let began = Instant::now();
            assert_eq!(seat.ask(&mut stream, "GET", &format!("{origin}/repos/acme/v{n}")).unwrap().0, 200);
            began.elapsed()
        })
        .collect();
    times.sort();
    times[SAMPLE * 99 / 100]
}

#[test]
fn a_flood_of_refused_requests_hardly_slows_another_session() {
    let (_house, local, upstream) = open("4194304,1048576,0");
    let (hostile, other) = (seat(&local), seat(&local));
    let flood = Flood::start(&hostile, &upstream.origin);
    p99(&other, &upstream.origin);
    // What else the machine does may fall on one side; a flood that slows the other session does so each time.
    let slowed = (0..3).all(|_| {
        let (calm, flooded) = compare(&flood, &other, &upstream.origin);
        flooded > calm * 2
    });
    let sent = flood.end();
    assert!(sent > 500, "no flood: {sent}");
    assert!(!slowed, "three times in a row, under {sent} refused requests");
}

/// The other session's p99 without and with the flood, turn by turn, so that whatever else the machine does is in both.
fn compare(flood: &Flood, other: &Seat, origin: &str) -> (Duration, Duration) {
    let until = Instant::now() + Duration::from_secs(amount("MARQUE_FLOOD", SHARE_S));
    let (mut calm, mut flooded) = (Vec::new(), Vec::new());
    while Instant::now() < until || calm.len() < 5 {
        flood.on.store(false, Ordering::Relaxed);
        calm.push(p99(other, origin));
        flood.on.store(true, Ordering::Relaxed);
        flooded.push(p99(other, origin));
    }
    calm.sort();
    flooded.sort();
    let (calm_mid, flooded_mid) = (calm[calm.len() / 2], flooded[flooded.len() / 2]);
    println!("flood: p99 of the other session {calm_mid:?} without, {flooded_mid:?} with, {} rounds", calm.len());
    (calm_mid, flooded_mid)
}

/// A small file system of our own: mounted in a mount namespace that a waiting shell holds.
struct Small {
    _holder: Child,
    pid: i32,
}

impl Small {
    fn mount_at(dir: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if !rustix::process::getuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let script = "mount -t tmpfs -o size=64m,mode=700 tmpfs \"$1\" && echo mounted && read -r _";
        command.args(["--", "sh", "-c", script, "sh"]).arg(dir);
        let holder = Child::spawn(&mut command).unwrap();
        holder.wait_for_line(LONG, |line| line == "mounted").unwrap();
        Self { pid: holder.pid(), _holder: holder }
    }

    /// The same command, inside.
    fn within(&self, command: &Command) -> Command {
        let mut out = Command::new("nsenter");
        out.args(["--target", &self.pid.to_string(), "--mount"]);
        if !rustix::process::getuid().is_root() {
            out.args(["--user", "--preserve-credentials"]);
        }
        out.arg("--").arg(command.get_program()).args(command.get_args()).env_clear();
        out.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        out
    }

    /// A path inside, as it is reached from outside.
    fn path(&self, inside: &Path) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.pid, inside.display()))
    }
}

/// Writes until there is no byte left.
fn fill(path: &Path) -> u64 {
    let mut file = std::fs::File::create(path).unwrap();
    let mut written = 0;
    for size in [1 << 20, 4096, 1] {
        let chunk = vec![1; size];
        while file.write_all(&chunk).is_ok() {
            written += size as u64;
        }
    }
    written
}

#[test]
fn on_a_file_system_that_a_session_filled_end_and_answer_become_durable_and_nothing_is_used() {
    let house = House::empty();
    std::fs::create_dir(house.data()).unwrap();
    let small = Small::mount_at(&house.data());
    let serve = house.serve(&["--journal-limits", "4194304,4194304,4194304"]);
    let authority = Child::spawn(&mut small.within(&serve)).unwrap();
    authority.wait_for_line(LONG, |line| line == "ready").unwrap();
    let data = small.path(&house.data());
    let local = Local::at(data.join("authority.sock"));
    until("it opens", LONG, || local.try_open().ok());
    let upstream = Upstream::start();
    local.add_credential("gh", "github", &upstream.origin, &upstream.secret).unwrap();
    let (hostile, other) = (seat(&local), seat(&local));
    let asking = Seat::of(&local.open_session(&grants_to_delete()).unwrap());
    assert_eq!(other.ask(&mut None, "GET", &format!("{}/repos/acme/before", upstream.origin)).unwrap().0, 200);
    let (question, url) = (asking.clone(), format!("{}/repos/acme/asked", upstream.origin));
    let waits = std::thread::spawn(move || question.ask(&mut None, "DELETE", &url).map(|(status, _)| status));
    let ask = until("somebody asks", LONG, || {
        let open = local.get("/v1/approvals").ok()?;
        Some(open.as_array()?.first()?["id"].as_str()?.to_owned())
    });
    // The workspace of the hostile session is on the same file system.
    let written = fill(&data.join("workspace"));
    assert!(written > 16 << 20, "{written}");
    let flood = Flood::start(&hostile, &upstream.origin);
    flood.on.store(true, Ordering::Relaxed);
    let flooded = Instant::now();
    let seconds = amount("MARQUE_FLOOD", SHARE_S / 2);
    let mut refused = 0;
    while flooded.elapsed() < Duration::from_secs(seconds) || refused < 5 {
        let (status, text) = other.ask(&mut None, "GET", &format!("{}/repos/acme/during", upstream.origin)).unwrap();
        assert_eq!(status, 503, "{text}");
        assert!(text.contains("MQ-"), "{text}");
        refused += 1;
    }
    let yes = json!({ "passphrase": PASSPHRASE, "approve": true, "uses": 1, "ttl_s": 0 });
    local.call("POST", &format!("/v1/approvals/{ask}"), &yes).unwrap();
    let statement = local.end_session(&hostile.session).unwrap();
    flood.end();
    // Approved, and still not done: there is no room for its intent.
    assert_eq!(waits.join().unwrap().ok(), Some(503));
    let others_end = local.end_session(&other.session).unwrap();
    assert_eq!(upstream.server.log().count_saw(&upstream.secret), 1);
    authority.kill();
    let told = told(&data);
    assert_eq!(told.ends.get(&hostile.session), statement["end_seq"].as_u64().as_ref());
    assert_eq!(told.ends.get(&other.session), others_end["end_seq"].as_u64().as_ref());
    assert!(told.approved.contains_key(&ask), "the answer is not recorded");
    assert!(told.violations.is_empty(), "{:?}", told.violations);
}
