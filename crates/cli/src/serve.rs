//! `marque serve`: the signer in this process, the authority in a child. A child that dies is started again within a
//! second and finds the seal as open as it was; a signer that dies takes the authority with it.

use crate::args::{AuthorityArgs, Global, ServeArgs};
use crate::out::{Failure, Outcome, print, say};
use crate::paths::Paths;
use marque_api::{Code, Problem};
use marque_authority::signer::{Signer, SignerClient, SignerOptions};
use marque_authority::control::{self, Control};
use marque_authority::{Authority, Options};
use marque_store::seal::Stretch;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Starts in a row that may fail before `serve` gives up.
const RESTARTS_MAX: u32 = 5;
/// A child that lived this long did not fail to start.
const LIVED: Duration = Duration::from_secs(10);
/// How long an authority without a signer may take to end its sessions.
const LAST_WORDS: Duration = Duration::from_secs(5);

fn failed(what: &str) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |e| Failure::new(format!("{what}: {e}"), "see `marque explain MQ-5104`")
}

/// No core, no ptrace, no reading of this process's memory by others of the same user (threats C15, 0.12).
pub(crate) fn harden() -> Result<(), Failure> {
    let io = |e: rustix::io::Errno| Failure::new(format!("the process cannot be protected: {e}"), "run on Linux");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(io)
}

pub(crate) fn main(global: &Global, args: &ServeArgs) -> Outcome {
    harden()?;
    let paths = Paths::of(global)?;
    paths.create()?;
    paths.closed()?;
    if UnixStream::connect(&paths.socket).is_ok() {
        let what = format!("an authority listens at `{}` already", paths.socket.display());
        return Err(Failure::Problem(Problem::new(Code::TAKEN, what, "use it, or stop it with `marque stop`")));
    }
    let _held = paths.claim()?;
    let stretch = if args.fast_passphrase { Stretch { memory_kib: 8, passes: 1, lanes: 1 } } else { Stretch::default() };
    let mut signer = Signer::load(&SignerOptions { dir: paths.signer.clone(), stretch })?;
    if args.unseal.is_some() {
        signer.unseal_by_keyring()?;
        say(&format!("Unsealed    by the desktop's keyring; it {}", marque_store::seal::Provider::OsKeyring.label()));
    }
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let (mut ours, theirs) = UnixStream::pair().map_err(failed("no socket pair"))?;
        let mut child = spawn(&paths, args, theirs)?;
        detach_stdout();
        // Returns when the child is gone, or closed its end.
        let served = signer.serve(&mut ours);
        let status = child.wait().map_err(failed("the authority cannot be waited for"))?;
        if status.success() {
            return Ok(ExitCode::SUCCESS);
        }
        failures = if began.elapsed() > LIVED { 0 } else { failures + 1 };
        let why = served.err().map_or_else(|| status.to_string(), |e| format!("{status}, {e}"));
        if failures >= RESTARTS_MAX || status.code() == Some(i32::from(crate::out::exit::USAGE)) {
            return Err(Failure::new(format!("the authority does not start: {why}"), "read the lines above"));
        }
        say(&format!("marque: the authority ended ({why}); starting it again"));
    }
}

fn spawn(paths: &Paths, args: &ServeArgs, signer: UnixStream) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe().map_err(failed("no program"))?);
    command.arg("authority-process").arg("--data-dir").arg(&paths.data).arg("--state-dir").arg(&paths.state);
    command.stdin(OwnedFd::from(signer));
    if let Some(file) = &args.upstream_ca {
        command.arg("--upstream-ca").arg(file);
    }
    if let Some(limits) = &args.journal_limits {
        command.args(["--journal-limits", limits]);
    }
    for witness in &args.witnesses {
        command.args(["--witness", witness]);
    }
    command.spawn().map_err(failed("the authority process cannot be started"))
}

/// As many descriptors as the system gives: agents' connections take them, and one that is missing to the journal ends the
/// authority.
fn raise_descriptors() {
    let now = rustix::process::getrlimit(Resource::Nofile);
    // Where it stays as it is, fewer connections are taken.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
}

/// The hidden command: the authority's own process.
pub(crate) fn authority(global: &Global, args: &AuthorityArgs) -> Outcome {
    harden()?;
    raise_descriptors();
    let paths = Paths::of(global)?;
    let stream = signer_stream()?;
    let mut journal = marque_store::Options::default();
    let mut session_journal_bytes_max = marque_model::limits::SESSION_JOURNAL_BYTES_MAX;
    if let Some(limits) = &args.serve.journal_limits {
        let numbers: Vec<u64> = limits.split(',').filter_map(|n| n.parse().ok()).collect();
        let [segment, reserve, floor, session @ ..] = numbers.as_slice() else {
            return Err(Failure::usage("three or four numbers are needed", "write `SEGMENT,RESERVE,FLOOR,SESSION`"));
        };
        (journal.segment_bytes, journal.reserve_bytes, journal.floor_bytes) = (*segment, *reserve, *floor);
        session_journal_bytes_max = session.first().copied().unwrap_or(session_journal_bytes_max);
    }
    let extra_roots_pem = match &args.serve.upstream_ca {
        None => None,
        Some(file) => Some(std::fs::read_to_string(file).map_err(failed("the certificates cannot be read"))?),
    };
    let options = Options {
        data_dir: paths.data.clone(),
        state_dir: paths.state.clone(),
        journal,
        session_journal_bytes_max,
        extra_roots_pem,
        witnesses: crate::witness::given(&args.serve.witnesses)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failed("no runtime"))?;
    runtime.block_on(run(options, stream, &paths))
}

/// The signer's end of the pair stands where standard input would.
fn signer_stream() -> Result<UnixStream, Failure> {
    let fd = std::io::stdin().as_fd().try_clone_to_owned();
    fd.map(UnixStream::from).map_err(failed("the signer's socket is not there"))
}

/// Points standard output to nowhere.
fn detach_stdout() {
    if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
        // Output that stays open keeps a waiting launcher waiting; there is nothing else to lose.
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// Ends the authority when the signer is gone: nothing that it admitted could be vouched for, and a new signer could not
/// start beside it.
fn end_with_signer(stream: UnixStream, control: Arc<Control>) -> std::io::Result<()> {
    let watch = move || {
        let mut watched = [PollFd::new(&stream, PollFlags::RDHUP)];
        // Interrupted is asked again; whatever else goes wrong, the signer cannot be watched any more.
        while matches!(poll(&mut watched, None), Ok(0) | Err(rustix::io::Errno::INTR)) {}
        say("marque: the signer is gone; the authority ends");
        control.stop();
        std::thread::sleep(LAST_WORDS);
        std::process::abort();
    };
    std::thread::Builder::new().name("marque-signer-gone".into()).spawn(watch).map(drop)
}

async fn run(options: Options, stream: UnixStream, paths: &Paths) -> Outcome {
    let watched = stream.try_clone().map_err(failed("the signer cannot be watched"))?;
    let signer = Arc::new(SignerClient::new(stream));
    let on_open: control::OnOpen = Box::new(|authority: &Arc<Authority>| {
        if authority.unremembered() {
            say("finding: nothing in the state directory remembers this journal: an older copy could not be told from the newest");
            say("help: run `marque audit verify --against FILE` with a checkpoint or receipt that somebody kept");
        }
        for why in &authority.recovery().passed_over {
            say(&format!("finding: a snapshot was not used, which costs a longer start and nothing else: {why}"));
        }
        for trouble in authority.witness_troubles() {
            say(&format!("finding: {trouble}"));
        }
        crate::gate::start(authority)
    });
    let control = Control::new(options, signer, on_open);
    end_with_signer(watched, control.clone()).map_err(failed("the signer cannot be watched"))?;
    let stopping = control.clone();
    tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else { return };
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        stopping.stop();
    });
    let ready = || {
        print("ready");
        // Whoever waits for that line waits for the end of this output too.
        detach_stdout();
    };
    control::serve(control, &paths.socket, ready).await?;
    Ok(ExitCode::SUCCESS)
}
