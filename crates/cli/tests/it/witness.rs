//! A witness beside the authority: another user's process, with a memory of its own.

use crate::house::{House, LONG};
use crate::local::{Failed, Local, until};
use crate::oracle;
use crate::tamper::forger::{Book, Forger, Frame};
use marque_testkit::canary;
use marque_testkit::proc::{Child, program};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// `nobody`, whose process a witness is where the test may choose.
const NOBODY: u32 = 65_534;

/// A running witness and what is known of it.
struct Witness {
    home: tempfile::TempDir,
    child: Child,
    url: String,
}

impl Witness {
    /// A witness that knows this log, in a directory that belongs to its own user.
    fn start(log: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("log.vkey"), log).unwrap();
        Self::start_in(home, "127.0.0.1:0")
    }

    fn start_in(home: tempfile::TempDir, listen: &str) -> Self {
        let root = rustix::process::getuid().is_root();
        let dir = home.path().join("witness");
        let args = ["witness", "--listen", listen, "--dir", dir.to_str().unwrap()];
        let mut command = Command::new("/bin/sh");
        // Its user may not be able to reach the binary by its path: it is given open.
        let script = if root { "exec 3<\"$1\"; shift; exec \"$@\"" } else { "exec \"$@\"" };
        command.arg("-c").arg(script).arg("sh");
        if root {
            let owner = Some(rustix::fs::Uid::from_raw(NOBODY));
            for path in [home.path().to_owned(), home.path().join("log.vkey")] {
                rustix::fs::chown(&path, owner, None).unwrap();
            }
            command.arg(env!("CARGO_BIN_EXE_marque")).arg(program("setpriv", "apt-get install util-linux").unwrap());
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "/proc/self/fd/3"]);
        } else {
            command.arg(env!("CARGO_BIN_EXE_marque"));
        }
        command.args(args).arg("--log").arg(home.path().join("log.vkey")).env_clear().env("PATH", "/usr/bin:/bin");
        let child = Child::spawn(&mut command).unwrap();
        let line = child.wait_for_line(LONG, |line| line.starts_with("listening at ")).unwrap();
        let url = line.trim_start_matches("listening at ").to_owned();
        if root {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.pid())).unwrap();
            let uid = status.lines().find(|line| line.starts_with("Uid:")).unwrap();
            assert!(uid.split_whitespace().skip(1).all(|id| id == "65534"), "{uid}");
        }
        // What it prints is its key; whoever uses it takes it from there.
        let printed = child.stdout();
        std::fs::write(home.path().join("printed.vkey"), printed.lines().next().unwrap()).unwrap();
        Self { home, child, url }
    }

    fn given(&self) -> String {
        format!("{}={}", self.url, self.home.path().join("printed.vkey").display())
    }

    fn dir(&self) -> PathBuf {
        self.home.path().join("witness")
    }

    /// The one file of its memory.
    fn memory(&self) -> PathBuf {
        let entries = self.dir().join("logs").read_dir().unwrap().flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.extension().is_some_and(|e| e == "checkpoint")).unwrap()
    }

    fn stop(self) -> tempfile::TempDir {
        let Self { home, mut child, .. } = self;
        child.kill();
        child.wait(LONG).unwrap();
        home
    }
}

fn copy(from: &Path, to: &Path) {
    let exit = Child::run(Command::new("cp").arg("-a").arg(from).arg(to), LONG).unwrap();
    assert!(exit.status.success(), "{exit:?}");
}

/// A house that was initialised once, its log's key, and its API.
fn begun() -> (House, Local, String) {
    let mut house = House::empty();
    let local = Local::of(&house);
    house.start(&[]);
    until("it opens", LONG, || local.try_open().ok());
    house.stop();
    let vkey = std::fs::read_to_string(house.data().join("journal/log.vkey")).unwrap();
    (house, local, vkey)
}

fn seen(local: &Local) -> Option<Value> {
    let status = local.get("/v1/status").ok()?;
    let witness = status["witnesses"].get(0)?;
    (witness["behind"] == 0 && witness["trouble"].is_null()).then(|| witness.clone())
}

/// One life under that witness: something is recorded, and it has seen all of it.
fn live(house: &mut House, local: &Local, serve: &[&str]) {
    house.start(serve);
    until("it opens", LONG, || local.try_open().ok());
    until("the witness has seen everything", LONG, || seen(local));
    house.stop();
}

fn verify(house: &House, more: &[&str]) -> (Option<i32>, String) {
    let mut args = vec!["audit", "verify"];
    args.extend(more);
    let exit = Child::run(&mut house.command(&args), LONG).unwrap();
    (exit.status.code(), format!("{}{}", exit.stdout, exit.stderr))
}

#[test]
fn a_witnessed_copy_rolled_back_is_refused_at_start_even_when_the_state_directory_is_gone() {
    let (mut house, local, log) = begun();
    let witness = Witness::start(&log);
    live(&mut house, &local, &["--witness", &witness.given()]);
    let older = house.dir.path().join("older");
    copy(&house.data(), &older);
    // The list is kept: nobody has to name the witness again, least of all the `run` that starts an authority.
    live(&mut house, &local, &[]);
    std::fs::remove_dir_all(house.data()).unwrap();
    copy(&older, &house.data());
    std::fs::rename(house.state(), house.dir.path().join("forgotten")).unwrap();
    let segment = house.data().join("journal/00000000.seg");
    let before = std::fs::read(&segment).unwrap();
    let serve = Child::spawn(&mut house.serve(&[])).unwrap();
    serve.wait_for_line(LONG, |line| line == "ready").unwrap();
    let Err(Failed::Refused(problem)) = local.try_open() else { panic!("an older copy was opened: {}", serve.stderr()) };
    assert_eq!(problem["code"], "MQ-6104", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("this is an older copy"), "{problem}");
    assert!(std::fs::read(&segment).unwrap() == before, "nothing was recorded on it");
    gone(serve);
    // The verb for people says the same, with the code of a failed verification.
    let exit = house.run_owner(&["run", "--purpose", "a b", "--env", "staging", "--grant", "http GET on https://a.test/**", "--", "true"]);
    assert!(exit.stderr.contains("MQ-6104"), "{exit:?}");
    house_stop(&house);
    let (code, text) = verify(&house, &["--witness", &witness.given()]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("covers") && text.contains("Remembered"), "{text}");
    // Control: it is the witness alone that knew. Without it the same copy opens, and that is what is said.
    let serve = Child::spawn(&mut house.serve(&["--witness", "none"])).unwrap();
    until("it opens", LONG, || local.try_open().ok());
    let status = local.get("/v1/status").unwrap();
    assert_eq!(status["witnesses"], serde_json::json!([]));
    gone(serve);
}

fn gone(mut serve: Child) {
    serve.kill();
    serve.wait(LONG).unwrap();
}

/// Stops an authority that `run` started.
fn house_stop(house: &House) {
    let exit = Child::run(&mut house.command(&["stop"]), LONG).unwrap();
    assert!(exit.status.success(), "{exit:?}");
    until("it has ended", LONG, || (!house.data().join("authority.sock").exists()).then_some(()));
}

#[test]
fn tampering_below_a_witnessed_checkpoint_is_found_with_the_witnesss_memory_alone() {
    let (mut house, local, log) = begun();
    let witness = Witness::start(&log);
    live(&mut house, &local, &["--witness", &witness.given()]);
    std::fs::rename(house.state(), house.dir.path().join("forgotten")).unwrap();
    let (dir, memory) = (witness.dir(), witness.memory());
    let cosigned = house.dir.path().join("kept.cosigned");
    std::fs::copy(house.data().join("journal/checkpoint.cosigned"), &cosigned).unwrap();
    assert_eq!(std::fs::read_to_string(&cosigned).unwrap().matches('\u{2014}').count(), 2, "the log's signature and the witness's");
    let given = witness.given();
    let ways: [&[&str]; 4] = [
        &["--witness", &given],
        &["--against", dir.to_str().unwrap()],
        &["--against", memory.to_str().unwrap()],
        &["--against", cosigned.to_str().unwrap()],
    ];
    // Control: as it was, each of them vouches for all of it; an orderly end left nothing that the witness has not seen.
    for way in ways {
        let (code, text) = verify(&house, way);
        assert_eq!(code, Some(0), "{way:?}: {text}");
    }
    for file in [&memory, &cosigned] {
        let exit = oracle::python(&house.data(), std::slice::from_ref(file));
        assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    }
    // Nobody asked anybody: that nothing is remembered is the finding.
    let (code, text) = verify(&house, &[]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("no remembered checkpoint"), "{text}");
    // Whoever owns the machine writes another history with the journal's own keys.
    let forger = Forger::of(&house);
    let book = Book::read(&house.data());
    let mut frames: Vec<Frame> = book.frames.clone();
    frames[book.records()[1]].payload = book.with_another_body(1);
    forger.write(&house.data(), &frames);
    for way in ways {
        let (code, text) = verify(&house, way);
        assert_eq!(code, Some(7), "{way:?}: {text}");
    }
    for file in [&memory, &cosigned] {
        let exit = oracle::python(&house.data(), std::slice::from_ref(file));
        assert_eq!(exit.status.code(), Some(7), "{exit:?}");
    }
    // He makes his own signer believe it too. The witness does not.
    let note = std::fs::read_to_string(house.data().join("journal/checkpoint")).unwrap();
    let (text, _) = note.rsplit_once("\n\n").unwrap();
    std::fs::write(house.data().join("signer/last-checkpoint"), format!("{text}\n")).unwrap();
    std::fs::remove_dir_all(house.data().join("tile")).unwrap();
    let serve = Child::spawn(&mut house.serve(&[])).unwrap();
    serve.wait_for_line(LONG, |line| line == "ready").unwrap();
    let Err(Failed::Refused(problem)) = local.try_open() else { panic!("another history was opened: {}", serve.stderr()) };
    assert_eq!(problem["code"], "MQ-6104", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("it was changed"), "{problem}");
    gone(serve);
    // A witness that nobody can ask is no memory, and that is said.
    let gone = witness.given();
    let home = witness.stop();
    let (code, text) = verify(&house, &["--witness", &gone]);
    assert_eq!(code, Some(7), "{text}");
    assert!(text.contains("does not answer"), "{text}");
    drop(home);
}

#[test]
fn a_witness_that_is_down_delays_nothing_and_is_reported_and_catches_up() {
    const USES: u32 = 10;
    let (mut house, local, log) = begun();
    let witness = Witness::start(&log);
    let given = witness.given();
    let address = witness.url.trim_start_matches("http://").to_owned();
    let home = witness.stop();
    // Something listens there and never says a word: the worst kind of down.
    let mute = std::net::TcpListener::bind(&address).unwrap();
    house.start(&["--witness", &given]);
    until("it opens", LONG, || local.try_open().ok());
    let (echo, origin) = house.echo(&canary("api"));
    let grant = format!("http GET on {origin}/**");
    let script = format!("i=0; while [ $i -lt {USES} ]; do curl -sSf \"{origin}/slow?ms=0&n=$i\" >/dev/null || exit 9; i=$((i+1)); done");
    let args = ["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script];
    let began = Instant::now();
    let exit = house.run_owner(&args);
    let took = began.elapsed();
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(echo.log().records().len(), USES as usize);
    // Were one use to wait for the witness, it would be two seconds.
    assert!(took < Duration::from_secs(2) * USES, "{took:?}");
    let view = until("it is reported", LONG, || {
        let view = local.get("/v1/status").ok()?["witnesses"][0].clone();
        (!view["trouble"].is_null()).then_some(view)
    });
    assert!(view["trouble"].as_str().unwrap().contains("does not answer"), "{view}");
    assert!(view["behind"].as_u64().unwrap() > u64::from(USES) && view["cosigned_s"].is_null(), "{view}");
    let said = house.ok(&["status"]).stdout;
    assert!(said.contains("has cosigned nothing yet") && said.contains("in trouble"), "{said}");
    drop(mute);
    let witness = Witness::start_in(home, &address);
    let view = until("it has caught up", LONG, || seen(&local));
    assert!(view["records"].as_u64().unwrap() > u64::from(USES), "{view}");
    let said = house.ok(&["status"]).stdout;
    assert!(said.contains("s ago") && !said.contains("in trouble"), "{said}");
    house.stop();
    let (code, text) = verify(&house, &["--against", witness.dir().to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
}
