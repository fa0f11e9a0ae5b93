//! Credentials by reference, through the whole binary. The rule: a value is read at a session's first use of it and holds for that
//! session; the next session reads it anew; where the upstream answers 401, the session's next use reads it again.

use crate::house::{House, LONG, PASSPHRASE};
use crate::load::Seat;
use crate::local::{Local, until};
use crate::oracle::verifies;
use marque_testkit::http::Route;
use marque_testkit::openbao::OpenBao;
use marque_testkit::pki::Ca;
use marque_testkit::proc::Exit;
use marque_testkit::search::grep_tree;
use marque_testkit::serve::{handler, reply};
use marque_testkit::tools::Tools;
use marque_testkit::{Options, Server, canary};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

struct World {
    house: House,
    local: Local,
    upstream: Server,
    origin: String,
    /// The one token that the upstream takes now.
    current: Arc<Mutex<String>>,
}

impl World {
    fn new() -> Self {
        let mut house = House::empty();
        house.start(&[]);
        Self::in_house(house)
    }

    fn in_house(house: House) -> Self {
        let local = Local::of(&house);
        until("it opens", LONG, || local.try_open().ok());
        let current = Arc::new(Mutex::new(canary("current")));
        let good = current.clone();
        let upstream = Server::start(
            Options::plain(),
            handler(move |call| {
                let taken = call.credentials.iter().any(|seen| seen.value == *good.lock().unwrap());
                async move { if taken { reply(200, "text/plain", "welcome") } else { reply(401, "text/plain", "who are you") } }
            }),
        );
        let upstream = upstream.unwrap();
        let origin = format!("http://api.test:{}", upstream.port());
        Self { house, local, upstream, origin, current }
    }

    fn secret(&self) -> String {
        self.current.lock().unwrap().clone()
    }

    fn try_add(&self, name: &str, reference: &str) -> Exit {
        let host = self.origin.trim_start_matches("http://");
        let pin = format!("{host}=127.0.0.1");
        self.house.run_owner(&[
            "credential", "add", name, "--service", "http", "--env", "staging", "--host", &self.origin, "--place", "bearer", "--pin", &pin,
            "--from", reference,
        ])
    }

    fn add(&self, name: &str, reference: &str) {
        let exit = self.try_add(name, reference);
        assert!(exit.status.success(), "{reference}: {exit:?}");
    }

    fn session(&self) -> Seat {
        let grants = json!([{ "type": "http", "environment": "staging", "locations": [self.origin], "actions": ["GET"], "paths": ["/**"] }]);
        Seat::of(&self.local.open_session(&grants).unwrap())
    }

    fn get(&self, seat: &Seat) -> (u16, String) {
        seat.ask(&mut None, "GET", &format!("{}/items", self.origin)).unwrap()
    }

    /// One use in a session of its own, which has to be refused for want of a value. Returns what the agent and its human read.
    fn refused(&self, name: &str, reference: &str) -> String {
        self.add(name, reference);
        let seat = self.session();
        let before = self.upstream.log().records().len();
        let (status, text) = self.get(&seat);
        assert!(status == 503 && text.contains("MQ-5111"), "{reference}: {status} {text}");
        assert!(text.contains(&format!("credential `{name}`")), "it says which: {text}");
        let why = self.house.ok(&["why", "--last", "--session", &seat.session]).stdout;
        // Refusals and outcomes are recorded behind the answer.
        let lineage = until("the refusal is on record", LONG, || {
            let lineage = self.house.ok(&["audit", "lineage", &seat.session]).stdout;
            (lineage.contains("MQ-5111") && lineage.contains("aborted")).then_some(lineage)
        });
        self.local.end_session(&seat.session).unwrap();
        assert_eq!(self.upstream.log().records().len(), before, "nothing was sent");
        self.house.ok(&["credential", "remove", name]);
        text + &why + &lineage
    }

    /// None of these is in the authority's files, nor in any command line of this machine.
    fn nowhere(&self, secrets: &[&str]) {
        for folder in [self.house.data(), self.house.state()] {
            let found = grep_tree(&folder, secrets).unwrap();
            assert!(found.hits.is_empty() && found.searched_bytes > 0, "{found:?}");
        }
        let mut seen = 0;
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            // A process may end while it is looked at.
            let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
            seen += line.len();
            let line = String::from_utf8_lossy(&line).into_owned();
            assert!(!secrets.iter().any(|secret| line.contains(secret)), "{line}");
        }
        assert!(seen > 0);
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.house.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name, &format!("#!/bin/sh\n{text}\n"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        path
    }
}

#[test]
fn a_variable_of_the_authority_is_used_and_shown_nowhere() {
    let secret = canary("variable");
    let mut house = House::empty().with_env(&[("SHOP_TOKEN", secret.as_str())]);
    house.start(&[]);
    let mut world = World::in_house(house);
    *world.current.lock().unwrap() = secret.clone();
    world.add("shop", "env:SHOP_TOKEN");
    let (status, text) = world.get(&world.session());
    assert_eq!((status, world.upstream.log().count_saw(&secret)), (200, 1), "{text}");
    // Under `marque run` the agent's own environment has it as little as what it can ask.
    let grant = format!("http GET on {}/**", world.origin);
    let script = format!("env; curl -sS {}/items; cat /proc/[0-9]*/cmdline | tr '\\0' ' '", world.origin);
    let exit = world.house.run_owner(&["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant, "--", "/bin/sh", "-c", &script]);
    assert!(exit.stdout.contains("welcome") && !exit.stdout.contains(&secret) && !exit.stderr.contains(&secret), "{exit:?}");
    assert!(!world.house.ok(&["--json", "credential", "list"]).stdout.contains(&secret));
    world.nowhere(&[&secret]);
    world.house.ok(&["credential", "remove", "shop"]);
    let told = world.refused("unset", "env:SHOP_TOKEN_THAT_NOBODY_SET");
    assert!(told.contains("the variable is not set"), "{told}");
    world.house.stop();
    verifies(&world.house, &[]);
}

#[test]
fn a_file_is_read_once_a_session_anew_by_the_next_and_again_after_a_401() {
    let world = World::new();
    let first = world.secret();
    let path = world.file("token", &format!("{first}\n"));
    world.add("shop", &format!("file:{}", path.display()));
    let old = world.session();
    assert_eq!(world.get(&old).0, 200);
    // The value holds for the session: a changed file does nothing to it while the upstream takes the old one.
    let second = canary("second");
    std::fs::write(&path, &second).unwrap();
    assert_eq!((world.get(&old).0, world.upstream.log().count_saw(&second)), (200, 0));
    // The next session reads it anew, here before the upstream knows it: once it is refused, it is read again.
    let new = world.session();
    assert_eq!((world.get(&new).0, world.upstream.log().count_saw(&second)), (401, 1));
    *world.current.lock().unwrap() = second.clone();
    assert_eq!(world.get(&new).0, 200);
    // The old session is told no with the old value, and takes up the new one by that.
    let seen = world.upstream.log().count_saw(&first);
    assert_eq!((world.get(&old).0, world.upstream.log().count_saw(&first)), (401, seen + 1));
    until("the new value is taken up", LONG, || (world.get(&old).0 == 200).then_some(()));
    // Both values are searched for in what the session is answered from then on.
    let (status, text) = world.get(&old);
    assert!(status == 200 && !text.contains(&second), "{text}");
    world.nowhere(&[&first, &second]);
}

#[test]
fn what_a_program_prints_is_used_and_a_failing_one_is_a_coded_denial_without_its_output() {
    let world = World::new();
    let secret = world.secret();
    let kept = world.file("kept", &secret);
    let good = world.program("good", &format!("echo once >> {}.runs; cat {}", kept.display(), kept.display()));
    world.add("shop", &format!("cmd:{}", good.display()));
    let seat = world.session();
    let asking: Vec<_> = (0..8)
        .map(|_| {
            let (seat, url) = (seat.clone(), format!("{}/items", world.origin));
            std::thread::spawn(move || seat.ask(&mut None, "GET", &url).unwrap().0)
        })
        .collect();
    assert!(asking.into_iter().all(|thread| thread.join().unwrap() == 200));
    assert_eq!(std::fs::read_to_string(format!("{}.runs", kept.display())).unwrap().lines().count(), 1, "requests that arrive together run it once");
    assert_eq!(world.upstream.log().count_saw(&secret), 8);
    world.house.ok(&["credential", "remove", "shop"]);
    let printed = canary("printed");
    let shout = format!("echo {printed}; echo {printed} >&2");
    for (name, script, why) in [
        ("fails", format!("{shout}; exit 7"), "the program ended with 7"),
        ("killed", format!("{shout}; kill -9 $$"), "the program was killed"),
        ("short", format!("echo {printed} >&2; echo x"), "too short"),
    ] {
        let program = world.program(name, &script);
        let told = world.refused(name, &format!("cmd:{}", program.display()));
        assert!(told.contains(why) && !told.contains(&printed), "{told}");
    }
    let told = world.refused("absent", "cmd:/nonexistent/program");
    assert!(told.contains("the program cannot be run"), "{told}");
    let told = world.refused("gone", "file:/nonexistent/token");
    assert!(told.contains("the file cannot be read") && !told.contains("/nonexistent"), "{told}");
    let pipe = world.house.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0).unwrap();
    let told = world.refused("pipe", &format!("file:{}", pipe.display()));
    assert!(told.contains("it is no file"), "{told}");
    world.nowhere(&[&secret, &printed]);
    for wrong in ["https://x", "file:relative", "env:", "vault:x"] {
        assert_eq!(world.try_add("wrong", wrong).status.code(), Some(2), "{wrong}");
    }
}

/// The real OpenBao over TLS, and a token that may read one path.
struct Bao {
    server: Option<OpenBao>,
    token: String,
    origin: String,
}

impl Bao {
    fn start(ca: &Ca) -> Self {
        let cert = ca.issue(&["vault.test", "127.0.0.1"]).unwrap();
        let route = Route { tls: Some(ca.client_config(&["http/1.1"]).unwrap()), ..Route::default() };
        let server = OpenBao::start_tls(&Tools::find(), &cert, route).unwrap();
        let rules = json!({ "policy": "path \"secret/data/ci/*\" { capabilities = [\"read\"] }" });
        server.call("PUT", "/v1/sys/policies/acl/reader", &rules).unwrap();
        let token = server.child_token(&["reader"], 3600).unwrap();
        let origin = format!("https://vault.test:{}", server.port());
        Self { token, origin, server: Some(server) }
    }

    fn server(&self) -> &OpenBao {
        self.server.as_ref().unwrap()
    }

    fn put(&self, path: &str, field: &str, value: &str) {
        self.server().put_secret(path, &json!({ field: value, "other": canary("other") })).unwrap();
    }

    /// Reads of that path that the vault's own audit device has recorded.
    fn reads(&self, path: &str) -> usize {
        let path = format!("secret/data/{path}");
        let is = |line: &&Value| line["type"] == "response" && line["request"]["operation"] == "read" && line["request"]["path"] == path.as_str();
        self.server().audit_log().iter().filter(is).count()
    }
}

fn add_vault(world: &World, origin: &str, token: &str, pin: bool) -> Exit {
    let host = origin.split("://").nth(1).unwrap();
    let pins = if pin { vec![format!("{host}=127.0.0.1")] } else { Vec::new() };
    let body = json!({
        "passphrase": PASSPHRASE, "name": "vault", "service": "vault", "environment": "staging", "value": token, "reference": null,
        "hosts": [origin], "placement": null, "pins": pins, "resources": [],
    });
    world.local.call("POST", "/v1/credentials", &body).unwrap();
    world.house.ok(&["credential", "list"])
}

#[test]
fn a_value_in_a_vault_is_used_rotated_and_refused_with_the_vault() {
    let mut world = World::new();
    let mut bao = Bao::start(&world.house.ca);
    let first = world.secret();
    bao.put("ci/shop", "token", &first);
    // Without a vault in the environment there is nothing to refer to.
    assert!(world.try_add("shop", "vault:secret/ci/shop#token").stderr.contains("has no vault"));
    let list = add_vault(&world, &bao.origin, &bao.token, true).stdout;
    assert!(list.contains("vault") && !list.contains(&bao.token), "{list}");
    world.add("shop", "vault:secret/ci/shop#token");
    assert_eq!(bao.reads("ci/shop"), 0, "nothing is read before it is used");

    let seat = world.session();
    let (status, text) = world.get(&seat);
    assert_eq!((status, world.upstream.log().count_saw(&first), bao.reads("ci/shop")), (200, 1, 1), "{text}");
    assert_eq!((world.get(&seat).0, bao.reads("ci/shop")), (200, 1), "once a session");
    assert_eq!(world.upstream.log().count_saw(&bao.token), 0);
    // Marque's own use is on record, before the one that it was for was answered, and names what it was for.
    let lineage: Value = until("every outcome is on record", LONG, || {
        let text = world.house.ok(&["--json", "audit", "lineage", &seat.session]).stdout;
        (!text.contains("no outcome yet")).then(|| serde_json::from_str(&text).unwrap())
    });
    let uses = lineage["uses"].as_array().unwrap();
    let own = uses.iter().find(|u| u["what"] == "own").unwrap();
    assert_eq!((&own["service"], &own["resource"], &own["effect"], &own["credential"], &own["result"]), (&json!("vault"), &json!("secret/ci/shop"), &json!("reveal"), &json!("vault"), &json!("200")), "{lineage}");
    assert_eq!(own["from"], uses[0]["seq"], "{lineage}");

    // Rotated: the running session takes it up when the old value stops working.
    let second = canary("second");
    bao.put("ci/shop", "token", &second);
    *world.current.lock().unwrap() = second.clone();
    assert_eq!(world.get(&seat).0, 401);
    until("the rotated value is taken up", LONG, || (world.get(&seat).0 == 200).then_some(()));
    assert!(world.upstream.log().count_saw(&second) >= 1);

    // What the token may not read, and what is not there.
    for (name, reference, why) in [
        ("forbidden", "vault:secret/other/thing#token", "refuses its token"),
        ("absent", "vault:secret/ci/absent#token", "no such secret"),
        ("field", "vault:secret/ci/shop#absent", "no such field"),
    ] {
        world.house.ok(&["credential", "remove", "shop"]);
        let told = world.refused(name, reference);
        assert!(told.contains(why), "{told}");
        world.add("shop", "vault:secret/ci/shop#token");
    }
    // No session has a road to the vault with its token, whatever its mode.
    let grants = json!([{ "type": "http", "environment": "staging", "locations": [bao.origin.clone()], "actions": ["GET"], "paths": ["/**"] }]);
    let body = json!({
        "passphrase": PASSPHRASE, "purpose": "look at the vault", "refs": [], "agent": "reader", "environment": "staging", "mode": "observe",
        "grants": grants, "ttl_s": 600, "grade": "D", "accept": [], "egress": [], "task": null, "pins": [],
    });
    let opened = world.local.call("POST", "/v1/sessions", &body).unwrap();
    assert!(!opened["brokered"].to_string().contains("vault"), "{opened}");
    let before = bao.server().audit_log().len();
    let _ = Seat::of(&opened).ask(&mut None, "GET", &format!("{}/v1/secret/data/ci/shop", bao.origin));
    assert_eq!(bao.server().audit_log().len(), before, "the vault heard nothing of it");

    // Sealed, then gone.
    bao.server().call("PUT", "/v1/sys/seal", &json!({})).unwrap();
    world.house.ok(&["credential", "remove", "shop"]);
    let told = world.refused("sealed", "vault:secret/ci/shop#token");
    assert!(told.contains("sealed or not ready"), "{told}");
    bao.server = None;
    let told = world.refused("stopped", "vault:secret/ci/shop#token");
    assert!(told.contains("its vault:"), "{told}");
    world.nowhere(&[&first, &second, &bao.token]);
    world.house.stop();
    verifies(&world.house, &[]);
}

#[test]
fn a_vault_that_does_not_prove_who_it_is_gets_no_token() {
    let world = World::new();
    // A certificate of somebody else's authority.
    let bao = Bao::start(&Ca::new().unwrap());
    bao.put("ci/shop", "token", &world.secret());
    add_vault(&world, &bao.origin, &bao.token, true);
    let told = world.refused("shop", "vault:secret/ci/shop#token");
    assert!(told.contains("certificate"), "{told}");
    // An address on this machine is reached only where it was pinned: nothing lifts the floor for marque itself.
    let loopback = bao.origin.replace("vault.test", "127.0.0.1");
    add_vault(&world, &loopback, &bao.token, false);
    let told = world.refused("shop", "vault:secret/ci/shop#token");
    assert!(told.contains("address"), "{told}");
    assert_eq!(bao.reads("ci/shop"), 0);
    // Nor does a token go in cleartext to another machine.
    let exit = world.house.run_owner(&["credential", "add", "other", "--service", "vault", "--env", "staging", "--host", "http://vault.test:8200", "--from", "env:HOME"]);
    assert!(!exit.status.success() && exit.stderr.contains("over TLS"), "{exit:?}");
}
