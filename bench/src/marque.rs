//! The product under test: the real binary, `marque serve` on a core of its own with its journal on disk, and a session
//! held by `marque run`.

use crate::Result;
use crate::cpu;
use crate::load::Road;
use crate::world::{World, config_of};
use base64::Engine as _;
use marque_testkit::proc::{Child, Exit};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

const PASSPHRASE: &str = "correct horse battery staple";
/// How long a command of the product may take.
const LONG: Duration = Duration::from_secs(120);

/// An authority with one session. Dropping it ends both.
pub(crate) struct Marque {
    binary: PathBuf,
    at: PathBuf,
    session: Option<Child>,
    authority: Child,
    proxy: String,
    root: PathBuf,
    host: String,
}

impl Marque {
    /// Starts one named `name` in the world, with a GitHub-shaped upstream, and puts a pack of so many policies in force.
    pub(crate) fn start(world: &World, binary: &std::path::Path, name: &str, tls: bool, policies: usize) -> Result<Self> {
        let at = world.path().join(name);
        std::fs::create_dir_all(&at)?;
        std::fs::write(at.join("passphrase"), format!("{PASSPHRASE}\n"))?;
        std::fs::write(at.join("value"), &world.credential)?;
        let mut serve = Command::new(binary);
        serve.arg("--data-dir").arg(at.join("data")).args(["serve", "--fast-passphrase", "--upstream-ca"]);
        serve.arg(world.path().join("ca.pem")).env_clear().env("HOME", &at);
        let authority = cpu::on(cpu::TESTED, || Ok(Child::spawn(&mut serve)?))?;
        authority.wait_for_line(LONG, |line| line == "ready")?;
        let mut this = Self {
            binary: binary.to_owned(),
            at,
            session: None,
            authority,
            proxy: String::new(),
            root: PathBuf::new(),
            host: world.authority(tls),
        };
        let scheme = if tls { "https" } else { "http" };
        let place = format!("api={scheme}://{}", this.host);
        let pin = format!("{}=127.0.0.1", this.host);
        let exit = this.owner(&["credential", "add", "bench", "--service", "github", "--env", "staging", "--host", &place, "--pin", &pin], "value")?;
        if !exit.status.success() {
            return Err(format!("the credential was not taken: {}", exit.stderr).into());
        }
        std::fs::write(this.at.join("bench.cedar"), crate::cedar::forbids(policies))?;
        let exit = this.owner(&["policy", "apply", "bench.cedar"], "-")?;
        if !exit.status.success() {
            return Err(format!("the policies were not taken: {}{}", exit.stdout, exit.stderr).into());
        }
        this.open()?;
        Ok(this)
    }

    /// A command of the owner's, as a script gives the passphrase: by descriptor.
    fn owner_command(&self, args: &[&str], stdin: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "cd \"$1\"; shift; input=$1; shift; [ \"$input\" = - ] || exec <\"$input\"; exec \"$@\" 3<passphrase", "sh"]);
        command.arg(&self.at).arg(stdin).arg(&self.binary).arg("--data-dir").arg(self.at.join("data")).args(["--auth-fd", "3"]).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.at);
        command
    }

    fn owner(&self, args: &[&str], stdin: &str) -> Result<Exit> {
        Ok(Child::run(&mut self.owner_command(args, stdin), LONG)?)
    }

    /// Opens the session. Its agent says where its proxy is, and waits; the load is the agent's.
    fn open(&mut self) -> Result<()> {
        let agent = "echo \"proxy $HTTP_PROXY\"; echo \"root $NODE_EXTRA_CA_CERTS\"; echo held; read -r end";
        // The load comes from outside of any sandbox.
        let args = ["run", "--uncontained", "--purpose", "measure the gateway", "--env", "staging", "--ttl", "2h", "--grant", "github repo.read on acme/*"];
        let mut command = self.owner_command(&[&args[..], &["--", "/bin/sh", "-c", agent]].concat(), "-");
        let session = cpu::on(cpu::LOAD, || Ok(Child::spawn(&mut command)?))?;
        session.wait_for_line(LONG, |line| line == "held")?;
        let said = session.stdout();
        let told = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        self.proxy = told("proxy http://").ok_or("the session has no proxy")?;
        self.root = told("root ").ok_or("the session has no certificate")?.into();
        self.session = Some(session);
        Ok(())
    }

    /// The way through its proxy to the upstream.
    pub(crate) fn road(&self, tls: bool, resume: bool) -> Result<Road> {
        let (secret, address) = self.proxy.split_once('@').ok_or("the proxy has no secret")?;
        let config = match tls {
            false => None,
            true => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_file_iter(&self.root)? {
                    roots.add(certificate?)?;
                }
                Some(config_of(roots, resume)?)
            }
        };
        let basic = base64::engine::general_purpose::STANDARD.encode(secret);
        Ok(Road {
            address: address.trim_end_matches('/').parse()?,
            host: self.host.clone(),
            absolute: !tls,
            proxy_authorization: Some(format!("Basic {basic}")),
            tunnel: tls,
            tls: config,
        })
    }

    /// The signer; the authority is its child.
    pub(crate) fn pid(&self) -> i32 {
        self.authority.pid()
    }

    /// Ends session and authority, and has the journal verified: what was measured was recorded.
    pub(crate) fn finish(mut self) -> Result<u64> {
        if let Some(mut session) = self.session.take() {
            session.close_stdin();
            session.wait(LONG)?;
        }
        let exit = self.owner(&["status"], "-")?;
        let records = exit.stdout.lines().find_map(|line| line.strip_prefix("records ")?.split(' ').next()?.parse().ok());
        self.owner(&["stop"], "-")?;
        self.authority.wait(LONG)?;
        records.ok_or_else(|| format!("no count of records: {}{}", exit.stdout, exit.stderr).into())
    }

    /// Version of the binary.
    pub(crate) fn version(&self) -> Result<String> {
        let exit = Child::run(Command::new(&self.binary).arg("--version"), LONG)?;
        Ok(exit.stdout.trim().to_owned())
    }
}
