//! A home, a workspace, a sandbox around them, and a gateway that says what it was dialled as.

use marque_sandbox::dns::Server;
use marque_sandbox::{Exit, Files, Inside, Network, Plan, Supervisor, Workspace, spawn};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

/// An ordinary user that the machine does not have.
pub const ORDINARY: u32 = 54_321;
pub const OTHER: u32 = 54_322;
const AS_ORDINARY: &str = "MARQUE_SANDBOX_IT_ORDINARY";
pub const PYTHON: &str = "/usr/bin/python3";

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that is built with the tests and lies beside them.
pub fn beside(name: &str) -> PathBuf {
    let me = std::env::current_exe().unwrap();
    let path = me.parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is built with the tests", path.display());
    path
}

/// The tests and the programs beside them where any user reaches them: what they are built in may be closed to others, as root's
/// home is.
fn staged() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let me = std::env::current_exe().unwrap();
    for (from, to) in [(me, "deps/it"), (beside("hold"), "examples/hold"), (beside("probe"), "examples/probe")] {
        let to = dir.path().join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // Two names for one file, unless they would lie on two filesystems.
        fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(drop)).unwrap();
    }
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Runs a promise as the user that runs the tests and, where that is root, once more as an ordinary one.
pub fn as_both(name: &str, promise: impl FnOnce()) {
    promise();
    if !is_root() || std::env::var_os(AS_ORDINARY).is_some() {
        return;
    }
    let staged = staged();
    let mut again = Command::new(staged.path().join("deps/it"));
    again.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(AS_ORDINARY, "1").uid(ORDINARY).gid(ORDINARY);
    let out = again.current_dir(staged.path()).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && text.contains("1 passed"), "as an ordinary user: {text}\n{errors}");
}

/// A promise: a test that runs as root and as an ordinary user.
macro_rules! promise {
    ($name:ident, $body:expr) => {
        #[test]
        fn $name() {
            let path = concat!(module_path!(), "::", stringify!($name));
            crate::world::as_both(path.split_once("::").unwrap().1, $body);
        }
    };
}
pub(crate) use promise;

pub struct World {
    _dir: tempfile::TempDir,
    pub home: PathBuf,
    pub workspace: PathBuf,
}

/// A sandbox whose agent runs.
pub struct Running {
    pub supervisor: Arc<Supervisor>,
    pub names: Arc<Server>,
    pub output: fs::File,
}

pub struct Done {
    pub text: String,
    pub exit: Exit,
    pub names: Vec<String>,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        let (home, workspace) = (base.join("home"), base.join("home/work"));
        fs::create_dir_all(&workspace).unwrap();
        Self { _dir: dir, home, workspace }
    }

    pub fn write(&self, path: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    pub fn files(&self) -> Files {
        Files { home: self.home.clone(), workspace: Workspace::shared(&self.workspace), ..Files::default() }
    }

    /// A plan for a program in Python.
    pub fn plan(&self, script: &str) -> Plan {
        Plan {
            program: PYTHON.into(),
            arguments: ["python3", "-c", script].map(Into::into).into(),
            environment: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), self.home.clone().into())],
            directory: self.workspace.clone(),
            network: Network { ports: vec![22, 80, 443, 5432], dns: true },
            files: self.files(),
            ..Plan::default()
        }
    }

    /// Runs a program inside to its end.
    pub fn inside(&self, script: &str) -> Done {
        start(self.plan(script)).done()
    }

    /// Runs the same program outside: the control.
    pub fn outside(&self, script: &str) -> String {
        let out = Command::new(PYTHON).args(["-c", script]).env("HOME", &self.home).current_dir(&self.workspace).stderr(Stdio::inherit()).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    }
}

/// Starts a plan with its output on a pipe, a gateway, and names.
pub fn start(mut plan: Plan) -> Running {
    let (output, input) = std::io::pipe().unwrap();
    let errors = input.try_clone().unwrap();
    plan.descriptors.extend([(1, input.into()), (2, errors.into())]);
    let (supervisor, inside) = spawn(plan).unwrap_or_else(|error| panic!("{error}\nhelp: {}", error.help()));
    let Inside { tcp, dns_tcp, dns_udp, ipv6, .. } = inside;
    let names = Arc::new(Server::start(dns_udp, dns_tcp, ipv6).unwrap());
    for (_, listener) in tcp {
        let names = Arc::clone(&names);
        // Ends with the process: a listener of a sandbox that is gone accepts nobody.
        std::thread::spawn(move || gateway(&listener, &names));
    }
    Running { supervisor: Arc::new(supervisor), names, output: fs::File::from(std::os::fd::OwnedFd::from(output)) }
}

/// Says to each connection what it was dialled as, and which name that means.
fn gateway(listener: &TcpListener, names: &Server) {
    while let Ok((mut stream, _)) = listener.accept() {
        let local = stream.local_addr().unwrap();
        let name = names.names().name_of(local.ip()).unwrap_or("-").to_owned();
        // A client that is gone hears nothing.
        let _ = stream.write_all(format!("gateway {local} {name}\n").as_bytes());
    }
}

impl Running {
    pub fn done(mut self) -> Done {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        let exit = self.supervisor.wait();
        let names = self.names.names().asked().map(str::to_owned).collect();
        Done { text, exit, names }
    }

    /// Reads one line of what the agent writes.
    pub fn line(&mut self) -> String {
        let mut out = Vec::new();
        let mut byte = [0];
        while self.output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
            out.push(byte[0]);
        }
        String::from_utf8(out).unwrap()
    }
}

/// Python that every script may use: `attempt(f)` prints what `f` returns, or the name of the error.
pub const PRELUDE: &str = r#"
import os, socket, sys, errno, ctypes, struct, time
socket.setdefaulttimeout(10)
libc = ctypes.CDLL(None, use_errno=True)
def attempt(f):
    try:
        print(f(), flush=True)
    except OSError as e:
        print(errno.errorcode.get(e.errno, type(e).__name__), flush=True)
def dial(host, port, family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_STREAM)
    s.connect((host, port))
    return s.makefile().readline().strip()
def call(result):
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]
"#;

pub fn script(text: &str) -> String {
    format!("{PRELUDE}\n{text}")
}
