//! A session of one command, with a judge of the test.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread::JoinHandle;

use marque_sandbox::exec::{
    Baseline, Digests, Ended, Exec, Gates, Judge, Judged, Listener, Outcome, Received, Settings, Verdict, deny_list,
    notifying, prepare, receive, surrender,
};

/// The program that attacks and measures from inside, beside the tests'.
pub static PROBE: LazyLock<String> = LazyLock::new(|| crate::world::beside("probe").to_str().unwrap().to_owned());
pub const ALLOW: Verdict = Verdict::Allow { remember: false };

type Decide = dyn Fn(&Arc<Exec>) -> Verdict + Send + Sync;

/// Decides by a closure and writes down what happens.
pub struct Book {
    decide: Box<Decide>,
    pub seen: Mutex<Vec<Arc<Exec>>>,
    pub became: Mutex<Vec<Outcome>>,
    pub withdrawn: Mutex<Vec<u64>>,
    pub refused: Mutex<Vec<&'static str>>,
    pub event: Mutex<Option<std::sync::mpsc::Sender<&'static str>>>,
}

impl Book {
    pub fn new(decide: impl Fn(&Arc<Exec>) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            decide: Box::new(decide),
            seen: Mutex::default(),
            became: Mutex::default(),
            withdrawn: Mutex::default(),
            refused: Mutex::default(),
            event: Mutex::default(),
        })
    }

    pub fn allowing() -> Arc<Self> {
        Self::new(|_| ALLOW)
    }

    pub fn tampered(&self) -> usize {
        self.became.lock().unwrap().iter().filter(|outcome| matches!(outcome, Outcome::Tampered(_))).count()
    }

    pub fn seen(&self) -> Vec<Arc<Exec>> {
        self.seen.lock().unwrap().clone()
    }

    /// The one exec whose path ends so.
    pub fn of(&self, name: &str) -> Arc<Exec> {
        let seen = self.seen();
        let mut found = seen.iter().filter(|exec| exec.path.ends_with(name.as_bytes()));
        let first = found.next().unwrap_or_else(|| panic!("no exec of `{name}`")).clone();
        assert!(found.next().is_none(), "more than one exec of `{name}`");
        first
    }

    fn tell(&self, event: &'static str) {
        if let Some(to) = self.event.lock().unwrap().as_ref() {
            let _nobody = to.send(event);
        }
    }
}

impl Judge for Book {
    fn judge(&self, exec: &Arc<Exec>) -> Verdict {
        self.seen.lock().unwrap().push(Arc::clone(exec));
        self.tell("judged");
        (self.decide)(exec)
    }

    fn became(&self, _: &Arc<Exec>, outcome: &Outcome) {
        self.became.lock().unwrap().push(outcome.clone());
        self.tell("became");
    }

    fn withdrawn(&self, exec: &Arc<Exec>) {
        self.withdrawn.lock().unwrap().push(exec.id);
        self.tell("withdrawn");
    }

    fn refused(&self, _: i32, why: &'static str) {
        self.refused.lock().unwrap().push(why);
    }
}

/// A session that runs.
pub struct Session {
    pub judged: Judged,
}

/// Gives `command` the filters of a session and a way to hand its listener over.
pub fn confine(command: &mut Command) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    prepare(&ours).unwrap();
    let notify = notifying(Gates::Exec).unwrap();
    let denied = deny_list().unwrap();
    // SAFETY: both calls are made for this place.
    unsafe {
        command.pre_exec(move || {
            surrender(&notify, theirs.as_fd())?;
            Ok(denied.install()?)
        })
    };
    ours
}

/// Starts a command and judges what it starts.
pub fn start(command: Command, book: &Arc<Book>, settings: Settings) -> std::io::Result<Session> {
    let judge = Arc::clone(book);
    marque_sandbox::exec::start(command, settings, judge).map(|judged| Session { judged })
}

impl Session {
    /// Waits for the end of the command and of everything it started.
    pub fn finish(mut self) -> Output {
        let child = self.judged.child();
        drop(child.stdin.take());
        let [stdout, stderr] = [reader(child.stdout.take()), reader(child.stderr.take())];
        let (status, ended) = self.judged.finish().unwrap();
        assert_eq!(ended, Ended::Over);
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    }
}

/// Reads a pipe to its end, if there is one.
fn reader(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            from.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// As `Child::wait_with_output`, but it looks at the process only once that is gone: its stops are for its tracer.
pub fn output_of(child: Child) -> Output {
    let pid = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    let pidfd: OwnedFd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    let waiter = std::thread::spawn(move || {
        let mut ended = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
        while rustix::event::poll(&mut ended, None).is_err() {}
    });
    let mut child = child;
    drop(child.stdin.take());
    let [stdout, stderr] = [reader(child.stdout.take()), reader(child.stderr.take())];
    waiter.join().unwrap();
    let status = child.wait().unwrap();
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

pub fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn probe(args: &[&str]) -> Command {
    command(&PROBE, args)
}

/// Runs `command` in a session of its own.
pub fn run(book: &Arc<Book>, command: Command) -> Output {
    start(command, book, settings()).unwrap().finish()
}

pub fn settings() -> Settings {
    Settings::default()
}

/// The control of the races: reads and judges as the gate does, and then lets the kernel go on without looking again.
pub fn run_unverified(mut command: Command, allowed: impl Fn(&Exec) -> bool + Send + Sync + 'static) -> Output {
    let ours = confine(&mut command);
    let gate = std::thread::spawn(move || {
        let listener = receive(&ours).unwrap();
        unverified(&listener, &allowed);
    });
    let output = output_of(command.spawn().unwrap());
    gate.join().unwrap();
    output
}

fn unverified(listener: &Listener, allowed: &impl Fn(&Exec) -> bool) {
    let (digests, baseline) = (Digests::default(), Baseline::default());
    let stop = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    while let Received::Call(call) = listener.receive(stop.as_fd()).unwrap() {
        let _gone = match Exec::read(&call, &baseline, &digests) {
            Ok(exec) if allowed(&exec) => listener.allow(call.id),
            Ok(_) | Err(marque_sandbox::exec::Refusal::Denied(_)) => listener.fail(call.id, libc::EPERM),
            Err(marque_sandbox::exec::Refusal::Fails(errno)) => listener.fail(call.id, errno),
            Err(marque_sandbox::exec::Refusal::Gone) => false,
        };
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
