//! The agent in a sandbox: its network leads to the gateway alone, it sees what is listed, and nothing of it outlives the run.

use super::child::{Agent, NOT_EXECUTABLE, NOT_FOUND, wait};
use super::terminal::Terminal;
use super::workdir::WorkDir;
use super::{Session, Told, banner};
use crate::args::{RunArgs, WorkspaceMode};
use crate::out::{Failure, plain, say};
use crate::paths::Paths;
use marque_api::control::{Handover, SessionOpened};
use marque_model::Grade;
use marque_sandbox::exec;
use marque_sandbox::files::protected_by_default;
use marque_sandbox::workspace::{Copied, HostFiles};
use marque_sandbox::{Exit, Files, Inside, Network, Plan, Published, Report, SpawnError, Step, Supervisor, Workspace};
use rustix::process::Signal;
use rustix::termios::isatty;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// What is between the agent and its user.
pub(super) enum Containment {
    /// A sandbox.
    Sandbox,
    /// Nothing, because the user wants it so.
    Declined,
    /// Nothing, because this machine refuses.
    Refused(Report),
}

impl Containment {
    /// Found by trying.
    pub(super) fn measure(args: &RunArgs) -> Self {
        if args.uncontained {
            return Self::Declined;
        }
        let facts = marque_sandbox::facts();
        if facts.confines() { Self::Sandbox } else { Self::Refused(facts.report()) }
    }

    /// As it is recorded. A sandbox in which programs are not judged is not more than C.
    pub(super) const fn grade(&self) -> Grade {
        match self {
            Self::Sandbox => Grade::C,
            Self::Declined | Self::Refused(_) => Grade::D,
        }
    }

    pub(super) const fn is_sandbox(&self) -> bool {
        matches!(self, Self::Sandbox)
    }

    /// Why there is no sandbox although one was wanted.
    pub(super) const fn lacks(&self) -> Option<&Report> {
        match self {
            Self::Refused(report) => Some(report),
            _ => None,
        }
    }

    /// The next step of somebody who requires more.
    pub(super) fn fix(&self) -> String {
        match self {
            Self::Sandbox => "leave out `--require`: programs are not judged one by one yet, so that C is the most there is".to_owned(),
            Self::Declined => "leave out `--uncontained`".to_owned(),
            Self::Refused(report) => match report.fixes.first() {
                Some(fix) => fix.clone(),
                None => "run on Linux 6.12 or newer, where user namespaces are allowed".to_owned(),
            },
        }
    }
}

/// What is looked at when the agent is gone.
enum Watched {
    Shared(Option<HostFiles>),
    Copy(Copied, PathBuf),
}

/// Runs the agent until it exits or the session ends.
pub(super) async fn run(session: &Session<'_>, vars: Vec<(String, String)>, dir: &WorkDir, told: Told<'_>) -> Result<u8, Failure> {
    let (files, watched) = files(session, dir)?;
    let Some(program) = program(session.args, &vars, &files.workspace.at) else {
        let name = session.args.command.first().map(String::as_str).unwrap_or_default();
        say(&format!("error: `{name}` is not found\nhelp: give the path of a program"));
        return Ok(NOT_FOUND);
    };
    let (terminal, theirs) = Terminal::open()?.unzip();
    let mut plan = plan(session, program, vars, files, theirs)?;
    plan.hook = Some(exec::denying().map_err(|e| Failure::new(format!("the kernel's calls cannot be narrowed: {e}"), "report this"))?);
    let (supervisor, inside) = match marque_sandbox::spawn(plan) {
        Ok(started) => started,
        // The agent's own program is the agent's business; the rest is ours.
        Err(error) if error.step == Step::Execute => return Ok(not_started(&error)),
        Err(error) => return Err(failed(&error)),
    };
    let supervisor = Arc::new(supervisor);
    hand_over(session, inside).await?;
    let published = publish(session.args, &supervisor)?;
    let mut agent = Running::new(&supervisor, terminal);
    let started = Arc::clone(&supervisor);
    let execution = tokio::task::spawn_blocking(move || started.running()).await;
    if let Ok(Err(error)) = execution {
        return Ok(not_started(&error));
    }
    for path in supervisor.unprotected() {
        say(&format!("warning: `{}` is behind a link, and is not protected from the agent", plain(&path.to_string_lossy())));
    }
    let code = wait(&mut agent, &session.opened.session, told).await;
    drop(published);
    supervisor.kill();
    supervisor.wait();
    // After the last that the agent wrote, and before what is said of it.
    drop(agent);
    left(&watched);
    code
}

fn failed(error: &SpawnError) -> Failure {
    Failure::new(format!("the agent cannot be contained: {error}"), error.help())
}

fn not_started(error: &SpawnError) -> u8 {
    say(&format!("error: {error}\nhelp: {}", error.help()));
    if error.is_missing_program() { NOT_FOUND } else { NOT_EXECUTABLE }
}

fn program(args: &RunArgs, vars: &[(String, String)], directory: &Path) -> Option<PathBuf> {
    let path = vars.iter().find(|(name, _)| name == "PATH").map(|(_, value)| OsString::from(value)).unwrap_or_default();
    marque_sandbox::find_program(&args.command.first()?.into(), &path, directory)
}

/// What the agent sees, and what is to be looked at afterwards.
fn files(session: &Session<'_>, dir: &WorkDir) -> Result<(Files, Watched), Failure> {
    let unusable = |e: std::io::Error| Failure::new(format!("the current directory cannot be used: {e}"), "change to another one");
    let here = std::env::current_dir().and_then(std::fs::canonicalize).map_err(unusable)?;
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.ok_or_else(|| Failure::usage("there is no home directory to hide", "set HOME, or give `--uncontained`"))?;
    if std::fs::canonicalize(&home).is_ok_and(|home| home.starts_with(&here)) {
        let what = format!("the current directory, `{}`, has your home in it, which would be the agent's to read and write", here.display());
        return Err(Failure::usage(what, "change to a project's directory, or give `--uncontained`"));
    }
    let (workspace, watched) = match session.args.workspace {
        Some(WorkspaceMode::Copy) => copied(session, here)?,
        Some(WorkspaceMode::Shared) | None => {
            // A directory too large to look through is one that nobody hears about.
            let watched = Watched::Shared(HostFiles::look(&here).ok());
            (Workspace::shared(here), watched)
        }
    };
    let bundle = std::fs::read(&dir.bundle).map_err(|e| Failure::new(format!("the certificates cannot be read: {e}"), "try again"))?;
    let Paths { data, state, signer, .. } = session.paths;
    let files = Files {
        home,
        workspace,
        shown: session.args.show.iter().map(absolute).chain([dir.bundle.clone(), dir.root.clone()]).collect(),
        writable: session.args.writable.iter().map(absolute).collect(),
        hidden: vec![data.clone(), state.clone(), signer.clone()],
        trust: Some(bundle),
        protected: protected_by_default(),
        ..Files::default()
    };
    Ok((files, watched))
}

fn absolute(path: &PathBuf) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.clone())
}

/// A copy of the current directory, kept for its reader.
fn copied(session: &Session<'_>, here: PathBuf) -> Result<(Workspace, Watched), Failure> {
    let failed = |e: std::io::Error| Failure::new(format!("the workspace cannot be copied: {e}"), "give `--workspace shared`, or free some space");
    let copies = session.paths.state.join("workspaces");
    std::fs::create_dir_all(&copies).map_err(failed)?;
    let to = copies.join(&session.opened.session);
    let copied = marque_sandbox::workspace::copy(&here, &to).map_err(failed)?;
    for path in &copied.left_out {
        say(&format!("warning: `{}` is not in the copy", plain(&path.to_string_lossy())));
    }
    Ok((Workspace { at: here, from: to.clone() }, Watched::Copy(copied, to)))
}

fn plan(session: &Session<'_>, program: PathBuf, vars: Vec<(String, String)>, files: Files, terminal: Option<OwnedFd>) -> Result<Plan, Failure> {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|e| Failure::new(e.to_string(), "free some descriptors"));
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    // What of the three is the user's terminal becomes the agent's own.
    let of = |fd: BorrowedFd<'_>| own(terminal.as_ref().filter(|_| isatty(fd)).map_or(fd, AsFd::as_fd));
    Ok(Plan {
        program,
        arguments: session.args.command.iter().map(OsString::from).collect(),
        environment: vars.into_iter().filter(|(name, _)| !OF_THE_HOST.contains(&name.as_str())).map(|(n, v)| (n.into(), v.into())).collect(),
        directory: files.workspace.at.clone(),
        descriptors: vec![(0, of(stdin.as_fd())?), (1, of(stdout.as_fd())?), (2, of(stderr.as_fd())?)],
        terminal: [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].iter().position(|fd| terminal.is_some() && isatty(fd)).and_then(|at| at.try_into().ok()),
        network: Network { ports: session.opened.ports.clone(), dns: true },
        files,
        ..Plan::default()
    })
}

/// Variables that name what the sandbox does not have.
const OF_THE_HOST: &[&str] = &["XDG_RUNTIME_DIR", "DISPLAY", "WAYLAND_DISPLAY", "TMPDIR", "TMP", "TEMP"];

async fn hand_over(session: &Session<'_>, inside: Inside) -> Result<(), Failure> {
    let SessionOpened { session: id, proxy_secret, .. } = session.opened;
    let what = Handover { session: id.clone(), proxy_secret: proxy_secret.clone() };
    let sockets = inside.into_sockets();
    let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
    Ok(session.client.hand_over(&what, &sockets).await?)
}

fn publish(args: &RunArgs, supervisor: &Arc<Supervisor>) -> Result<Vec<Published>, Failure> {
    let mut out = Vec::new();
    for text in &args.publish {
        let wrong = || Failure::usage(format!("`{text}` is no port"), "write it like `3000` or `3000:8080`");
        let (inside, outside) = text.split_once(':').unwrap_or((text, text));
        let (inside, outside) = (inside.parse().map_err(|_| wrong())?, outside.parse().map_err(|_| wrong())?);
        let taken = |e: std::io::Error| Failure::new(format!("port {outside} cannot be published: {e}"), "give another: `--publish 3000:8080`");
        let one = marque_sandbox::publish(supervisor, inside, outside).map_err(taken)?;
        say(&format!("Published   port {inside} of the agent at http://{}", one.address()));
        out.push(one);
    }
    Ok(out)
}

fn left(watched: &Watched) {
    let (changes, copy) = match watched {
        Watched::Shared(None) => return say("Workspace   too large to look for changes that run on this machine"),
        Watched::Shared(Some(files)) => (files.changes(), None),
        Watched::Copy(copied, path) => (copied.changes(), Some(path.as_path())),
    };
    match changes {
        Ok(changes) => banner::left(&changes, copy),
        Err(error) => say(&format!("Workspace   its changes cannot be listed: {error}")),
    }
}

/// The agent in its sandbox.
struct Running {
    supervisor: Arc<Supervisor>,
    end: JoinHandle<Exit>,
    terminal: Option<Terminal>,
}

impl Running {
    fn new(supervisor: &Arc<Supervisor>, terminal: Option<Terminal>) -> Self {
        let waiting = Arc::clone(supervisor);
        Self { supervisor: Arc::clone(supervisor), end: tokio::task::spawn_blocking(move || waiting.wait()), terminal }
    }
}

impl Agent for Running {
    async fn ended(&mut self) -> std::io::Result<u8> {
        let exit = (&mut self.end).await.map_err(std::io::Error::other)?;
        Ok(match exit {
            Exit::Code(code) => code,
            Exit::Signal(number) => u8::try_from(128 + (number & 0x7f)).unwrap_or(1),
            Exit::Ended => 137,
        })
    }
    fn tell(&self, signal: Signal) {
        match &self.terminal {
            Some(terminal) if signal == Signal::WINCH => terminal.resize(),
            _ => self.supervisor.signal(signal),
        }
    }
    fn end(&self) {
        self.supervisor.kill();
    }
    fn shares_terminal(&self) -> bool {
        false
    }
}
