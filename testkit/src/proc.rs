//! Children that never outlive their test: own process group, captured output, killed on drop.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, killpg},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};

use crate::error::{Doing, Error, Result, unexpected};

/// A running child with everything it started, as far as that stayed in its process group.
pub struct Child {
    program: String,
    pid: i32,
    stdin: Option<std::process::ChildStdin>,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// How a child ended.
#[derive(Debug)]
pub struct Exit {
    /// Its status.
    pub status: ExitStatus,
    /// Its standard output, lossy UTF-8.
    pub stdout: String,
    /// Its standard error, lossy UTF-8.
    pub stderr: String,
}

#[derive(Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// Pipes still open.
    open: usize,
    status: Option<ExitStatus>,
    /// The owner needs the process id no more.
    released: bool,
}

/// Waits until the process has ended and leaves it unreaped. Its id is its group's too: reaped, it could be given to a
/// process of somebody else, which a later signal to the group would hit.
fn seen_ended(pid: i32) -> Option<ExitStatus> {
    loop {
        return match waitid(Id::Pid(Pid::from_raw(pid)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::Exited(_, code)) => Some(ExitStatus::from_raw((code & 0xff) << 8)),
            Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
            Ok(_) | Err(Errno::EINTR) => continue,
            Err(_) => None,
        };
    }
}

impl Child {
    /// Starts `command` in a process group of its own with captured output and a piped standard input.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().doing(format!("start `{program}`"))?;
        let pid = i32::try_from(child.id()).map_err(|_| unexpected("a process id does not fit"))?;
        let state = Arc::new((
            Mutex::new(State {
                open: 2,
                ..State::default()
            }),
            Condvar::new(),
        ));
        let stdin = child.stdin.take();
        if let Some(pipe) = child.stdout.take() {
            drain(pipe, Arc::clone(&state), |state| &mut state.stdout);
        }
        if let Some(pipe) = child.stderr.take() {
            drain(pipe, Arc::clone(&state), |state| &mut state.stderr);
        }
        let ended = Arc::clone(&state);
        thread::spawn(move || {
            let status = seen_ended(pid);
            let mut state = lock(&ended);
            state.status = status;
            ended.1.notify_all();
            while !state.released {
                state = ended.1.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            drop(state);
            // Its status is known; nobody is left to be told that it cannot be reaped.
            let _ = child.wait();
        });
        Ok(Self {
            program,
            pid,
            stdin,
            state,
        })
    }

    /// Runs `command` to its end.
    ///
    /// # Errors
    /// When it cannot be started or takes longer than `within`.
    pub fn run(command: &mut Command, within: Duration) -> Result<Exit> {
        let mut child = Self::spawn(command)?;
        child.close_stdin();
        child.wait(within)
    }

    /// Its process id, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// When the pipe is closed.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let stdin = self
            .stdin
            .as_mut()
            .ok_or_else(|| unexpected("the child's standard input is closed"))?;
        stdin
            .write_all(bytes)
            .and_then(|()| stdin.flush())
            .doing("write to the child")
    }

    /// Closes its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits until a line of its output (either stream) satisfies `wanted`, and returns that line.
    ///
    /// # Errors
    /// When it ends, or `within` passes, before such a line came.
    pub fn wait_for_line(&self, within: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        self.wait_for(within, |text| {
            text.lines()
                .find(|line| wanted(line))
                .map(ToOwned::to_owned)
        })
    }

    /// Waits until `found` finds something in the complete lines of its output (all of standard output, then all of
    /// standard error).
    ///
    /// # Errors
    /// When it ends, or `within` passes, before that.
    pub fn wait_for<T>(
        &self,
        within: Duration,
        mut found: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let until = Instant::now() + within;
        let mut state = lock(&self.state);
        loop {
            let text = [state.stdout.as_slice(), state.stderr.as_slice()]
                .map(complete_lines)
                .concat();
            if let Some(value) = found(&text) {
                return Ok(value);
            }
            let ended = state.status.is_some() && state.open == 0;
            let left = until
                .checked_duration_since(Instant::now())
                .filter(|_| !ended);
            let Some(left) = left else {
                return Err(Error::NotReady {
                    program: self.program.clone(),
                    output: text,
                });
            };
            state = self
                .state
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When `within` passes first; what it had printed is in the error.
    pub fn wait(&mut self, within: Duration) -> Result<Exit> {
        let until = Instant::now() + within;
        let mut state = lock(&self.state);
        while state.status.is_none() || state.open > 0 {
            // A grandchild may hold the pipes open; the child's own end decides once the time is over.
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                break;
            };
            state = self
                .state
                .1
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        let (stdout, stderr) = (lossy(&state.stdout), lossy(&state.stderr));
        match state.status {
            Some(status) => Ok(Exit {
                status,
                stdout,
                stderr,
            }),
            None => Err(Error::NotReady {
                program: self.program.clone(),
                output: format!("{stdout}{stderr}"),
            }),
        }
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        lossy(&lock(&self.state).stdout)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        lossy(&lock(&self.state).stderr)
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        lock(&self.state).status.is_some()
    }

    /// Sends a signal to its whole group.
    pub fn signal(&self, signal: Signal) {
        // A group that is gone is what was wanted.
        let _ = killpg(Pid::from_raw(self.pid), signal);
    }

    /// Kills its whole group.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        let state = lock(&self.state);
        let reaped = self
            .state
            .1
            .wait_timeout_while(state, Duration::from_secs(5), |state| {
                state.status.is_none()
            });
        drop(reaped);
        lock(&self.state).released = true;
        self.state.1.notify_all();
    }
}

/// The path of a program on `PATH` or in Debian's administrator folders.
///
/// # Errors
/// When it is not installed; `help` says how to get it.
pub fn program(name: &str, help: &'static str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/sbin", "/usr/bin"].map(PathBuf::from));
    let found = folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.ok_or_else(|| Error::Missing {
        program: name.into(),
        help,
    })
}

/// A process and everything below it, from `/proc`.
#[must_use]
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        let tasks = fs::read_dir(format!("/proc/{parent}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            all.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<i32>().ok()),
            );
        }
        at += 1;
    }
    all
}

/// A loopback port that was free a moment ago, for programs that cannot bind port 0 themselves. Such a program's
/// readiness check must prove that it, and nobody else, has the port.
///
/// # Errors
/// When no port can be bound.
pub fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))
        .doing("bind a loopback port")?;
    Ok(listener
        .local_addr()
        .doing("read the bound address")?
        .port())
}

/// An executable file's path, or the error that names how to install it.
///
/// # Errors
/// When there is no such file.
pub fn installed(path: &Path, help: &'static str) -> Result<PathBuf> {
    if path.exists() {
        Ok(path.to_owned())
    } else {
        Err(Error::Missing {
            program: path.to_owned(),
            help,
        })
    }
}

type Shared = Arc<(Mutex<State>, Condvar)>;

fn drain(pipe: impl Read + Send + 'static, state: Shared, pick: fn(&mut State) -> &mut Vec<u8>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        while let Ok(bytes) = reader.fill_buf() {
            let count = bytes.len();
            if count == 0 {
                break;
            }
            pick(&mut lock(&state)).extend_from_slice(bytes);
            reader.consume(count);
            state.1.notify_all();
        }
        lock(&state).open -= 1;
        state.1.notify_all();
    });
}

fn complete_lines(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    lossy(bytes.get(..end).unwrap_or_default())
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.0.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_an_ended_child_is_nobody_elses_until_it_is_dropped() {
        let mut child = Child::spawn(&mut Command::new("true")).unwrap();
        assert!(child.wait(Duration::from_secs(30)).unwrap().status.success());
        let path = PathBuf::from(format!("/proc/{}/stat", child.pid()));
        // Ended and not reaped: the kernel gives its number to nobody.
        assert!(fs::read_to_string(&path).unwrap().contains(") Z "));
        drop(child);
        let until = Instant::now() + Duration::from_secs(30);
        while path.exists() {
            assert!(Instant::now() < until, "it is never reaped");
            thread::yield_now();
        }
    }

    #[test]
    fn how_a_child_ended_is_told_as_the_kernel_says() {
        let run = |script: &str| Child::run(Command::new("sh").args(["-c", script]), Duration::from_secs(30)).unwrap().status;
        assert_eq!(run("exit 7").code(), Some(7));
        assert_eq!(run("kill -9 $$").signal(), Some(9));
    }

    #[test]
    fn a_dropped_child_takes_its_children_along() {
        let child =
            Child::spawn(Command::new("sh").args(["-c", "sleep 600 & echo pid $!; wait"])).unwrap();
        let line = child
            .wait_for_line(Duration::from_secs(10), |line| line.starts_with("pid "))
            .unwrap();
        let grandchild: i32 = line.strip_prefix("pid ").unwrap().parse().unwrap();
        assert!(descendants(child.pid()).contains(&grandchild));
        drop(child);
        // Killed is certain; reaped is up to whoever adopts it, so a zombie is as good as gone.
        let state = || fs::read_to_string(format!("/proc/{grandchild}/stat")).unwrap_or_default();
        let alive = || {
            state()
                .rsplit(") ")
                .next()
                .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
        };
        let until = Instant::now() + Duration::from_secs(5);
        while alive() && Instant::now() < until {
            thread::yield_now();
        }
        assert!(!alive());
    }

    #[test]
    fn a_child_that_ends_without_the_line_is_reported_with_its_output() {
        let child = Child::spawn(Command::new("sh").args(["-c", "echo something else"])).unwrap();
        let error = child
            .wait_for_line(Duration::from_secs(10), |line| line == "ready")
            .unwrap_err();
        assert!(error.to_string().contains("something else"));
    }
}
