//! A house of its own for each test: data, state, an authority in the foreground, upstreams with a private certificate
//! authority.

use marque_testkit::pki::Ca;
use marque_testkit::proc::{Child, Exit};
use marque_testkit::upstream::Echo;
use marque_testkit::{Options, Server};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Says where the binary is to a test of another user, who may not reach it where it was built.
pub(crate) const MARQUE: &str = "MARQUE_IT_MARQUE";

/// The ordinary binary.
fn marque() -> PathBuf {
    std::env::var_os(MARQUE).map_or_else(|| env!("CARGO_BIN_EXE_marque").into(), Into::into)
}

pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) ca: Ca,
    authority: Option<Child>,
    passphrase: PathBuf,
    /// The ordinary binary, or the second build.
    binary: PathBuf,
    /// Variables of `serve`.
    env: Vec<(String, String)>,
}

/// The second build, beside the first: fail points and guard switches.
pub(crate) fn switched() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_marque")).with_file_name("marque-switched");
    let how = "cargo build --locked --workspace --features marque-cli/switches --bin marque-switched";
    assert!(path.exists(), "`{}` is missing: ./test builds it, or run `{how}`", path.display());
    path
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn with(serve: &[&str]) -> Self {
        let mut this = Self::empty();
        this.start(serve);
        this
    }

    /// The same house with the second build, whose authority has these variables.
    pub(crate) fn of_the_second_build(mut self, env: &[(&str, &str)]) -> Self {
        self.binary = switched();
        self.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    /// The same house, whose authority has these variables alone.
    pub(crate) fn with_env(mut self, env: &[(&str, &str)]) -> Self {
        self.env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self
    }

    /// A house in which nothing runs.
    pub(crate) fn empty() -> Self {
        Self::empty_in(tempfile::tempdir().unwrap())
    }

    pub(crate) fn empty_in(dir: tempfile::TempDir) -> Self {
        let ca = Ca::new().unwrap();
        ca.write_pem(&dir.path().join("upstream-ca.pem")).unwrap();
        let path = dir.path().join("passphrase");
        writeln!(File::create(&path).unwrap(), "{PASSPHRASE}").unwrap();
        Self { dir, ca, authority: None, passphrase: path, binary: marque(), env: Vec::new() }
    }

    pub(crate) fn start(&mut self, serve: &[&str]) {
        let child = Child::spawn(&mut self.serve(serve)).unwrap();
        child.wait_for_line(LONG, |line| line == "ready").unwrap();
        self.authority = Some(child);
    }

    /// The command that runs the authority, for whoever wants to watch it start.
    pub(crate) fn serve(&self, more: &[&str]) -> Command {
        let mut command = self.command(&["serve", "--fast-passphrase"]);
        command.arg("--upstream-ca").arg(self.dir.path().join("upstream-ca.pem")).args(more);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The end of the whole process group, as a power switch would have it.
    pub(crate) fn kill(&mut self) {
        if let Some(mut authority) = self.authority.take() {
            authority.kill();
            authority.wait(LONG).unwrap();
        }
    }

    pub(crate) fn stop(&mut self) -> Exit {
        self.ok(&["stop"]);
        self.authority.take().unwrap().wait(LONG).unwrap()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("data.state")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--data-dir").arg(self.data()).args(args);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.dir.path());
        command
    }

    /// With the passphrase in reach, as scripts give it. Nothing else that a test starts inherits its descriptor. Agents run
    /// without a sandbox, in which the files of most tests are not: see [`House::contained`].
    pub(crate) fn owner(&self, args: &[&str]) -> Command {
        match args.split_first() {
            Some((&"run", rest)) => self.contained(&[&["run", "--uncontained"], rest].concat()),
            _ => self.contained(args),
        }
    }

    /// As [`House::owner`], with agents in their sandbox.
    pub(crate) fn contained(&self, args: &[&str]) -> Command {
        let plain = self.command(&["--auth-fd", "3"]);
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg("f=$1; shift; exec \"$@\" 3<\"$f\"").arg("sh").arg(&self.passphrase);
        shell.arg(plain.get_program()).args(plain.get_args()).args(args).env_clear();
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                shell.env(name, value);
            }
        }
        shell
    }

    pub(crate) fn run_owner(&self, args: &[&str]) -> Exit {
        Child::run(&mut self.owner(args), LONG).unwrap()
    }

    pub(crate) fn ok(&self, args: &[&str]) -> Exit {
        let exit = Child::run(&mut self.command(args), LONG).unwrap();
        assert!(exit.status.success(), "{args:?}: {exit:?}");
        exit
    }

    pub(crate) fn add_credential(&self, name: &str, value: &str, args: &[&str]) {
        let mut command = self.owner(&["credential", "add", name, "--env", "staging"]);
        command.args(args);
        let file = self.dir.path().join(format!("{name}.value"));
        std::fs::write(&file, value).unwrap();
        command.stdin(File::open(&file).unwrap());
        // The testkit gives its children an input of its own: a shell puts the file there.
        let exit = Child::run(&mut with_stdin(&command, &file), LONG).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(exit.status.success(), "{exit:?}");
    }

    /// An echo upstream over TLS, named `api.test`, with a credential `api` that is put in as a bearer token.
    pub(crate) fn echo(&self, secret: &str) -> (Server, String) {
        let cert = self.ca.issue(&["api.test"]).unwrap();
        let echo = Echo::start(Options::tls(cert.server_config().unwrap())).unwrap();
        let origin = format!("https://api.test:{}", echo.port());
        let pin = format!("api.test:{}=127.0.0.1", echo.port());
        self.add_credential("api", secret, &["--service", "http", "--host", &origin, "--place", "bearer", "--pin", &pin]);
        (echo, origin)
    }
}

/// The same command, reading standard input from a file.
fn with_stdin(command: &Command, file: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("f=$1; shift; exec \"$@\" < \"$f\"").arg("sh").arg(file).arg(command.get_program()).args(command.get_args());
    shell.env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    shell
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(authority) = &self.authority {
            authority.kill();
        }
    }
}
