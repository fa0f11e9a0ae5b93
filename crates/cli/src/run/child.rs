//! The agent's process: started with the session's environment, ended with the session.

use crate::out::{Failure, say};
use super::{Told, banner};
use marque_api::control::ApprovalView;
use rustix::process::{Pid, Signal, kill_process, set_child_subreaper};
use std::process::ExitStatus;
use tokio::process::{Child, Command};

/// Cannot be executed, and is not there: as shells say it.
pub(super) const NOT_EXECUTABLE: u8 = 126;
pub(super) const NOT_FOUND: u8 = 127;

#[derive(serde::Deserialize)]
struct Event {
    event: String,
}

/// Runs the agent until it exits or the session ends; then nothing of it is left among this process's descendants.
pub(super) async fn run(command: &[String], vars: Vec<(String, String)>, session: &str, told: Told<'_>) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("there is no command", "write it behind `--`"));
    };
    // Descendants that lose their parent become ours, so that they can be found at the end.
    set_child_subreaper(Some(rustix::process::getpid())).map_err(|e| Failure::new(e.to_string(), "run on Linux"))?;
    let mut child = match Command::new(program).args(arguments).env_clear().envs(vars).spawn() {
        Ok(child) => child,
        Err(error) => {
            say(&format!("error: `{program}` cannot be started: {error}\nhelp: give the path of a program"));
            return Ok(if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE });
        }
    };
    let code = wait(&mut child, session, told).await;
    sweep();
    code
}

/// An agent that runs.
pub(super) trait Agent {
    /// Its exit code, as shells say it, once it is gone.
    async fn ended(&mut self) -> std::io::Result<u8>;
    /// Tells it what the user or the system asks of it.
    fn tell(&self, signal: Signal);
    /// Ends it.
    fn end(&self);
    /// Whether it hears by itself what the terminal sends.
    fn shares_terminal(&self) -> bool;
}

impl Agent for Child {
    async fn ended(&mut self) -> std::io::Result<u8> {
        self.wait().await.map(code_of)
    }
    fn tell(&self, signal: Signal) {
        pass_on(self, signal);
    }
    fn end(&self) {
        pass_on(self, Signal::KILL);
    }
    fn shares_terminal(&self) -> bool {
        true
    }
}

/// Waits until the agent is gone, or ends it with its session.
pub(super) async fn wait(child: &mut impl Agent, session: &str, told: Told<'_>) -> Result<u8, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let broken = |e: std::io::Error| Failure::new(e.to_string(), "try again");
    // The terminal sends the first two to the agent too, unless it was taken from it; the agent decides. A request to end is
    // passed on.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(broken)?;
    let mut quit = signal(SignalKind::quit()).map_err(broken)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(broken)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(broken)?;
    let mut resized = signal(SignalKind::window_change()).map_err(broken)?;
    let Told { held, mut questions } = told;
    let (mut watching, mut asking) = (true, true);
    loop {
        tokio::select! {
            code = child.ended() => return code.map_err(broken),
            _ = interrupt.recv() => from_terminal(child, Signal::INT),
            _ = quit.recv() => from_terminal(child, Signal::QUIT),
            _ = resized.recv() => from_terminal(child, Signal::WINCH),
            _ = terminate.recv() => child.tell(Signal::TERM),
            _ = hangup.recv() => child.tell(Signal::HUP),
            // Questions of others are theirs; a stream that broke is a comfort less.
            question = questions.next::<ApprovalView>(), if asking => match question {
                Ok(Some(view)) if view.session == session => aside(&banner::waits(&view)),
                Ok(Some(_)) => {}
                _ => asking = false,
            },
            line = held.next::<Event>(), if watching => match line {
                Ok(Some(event)) if event.event != "ended" => {}
                other => {
                    watching = false;
                    // First the end: what is said may wait for whoever reads it, and that may be the agent.
                    child.end();
                    aside(match other {
                        Ok(_) => "Session     ended by the authority; stopping the agent",
                        Err(_) => "Session     the authority is gone; stopping the agent",
                    });
                }
            },
        }
    }
}

/// Says something on a thread that may wait.
fn aside(text: &str) {
    let text = text.to_owned();
    drop(tokio::task::spawn_blocking(move || say(&text)));
}

fn from_terminal(child: &impl Agent, which: Signal) {
    if !child.shares_terminal() {
        child.tell(which);
    }
}

fn pass_on(child: &Child, which: Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // A child that is gone needs no signal.
        let _ = kill_process(pid, which);
    }
}

fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(1),
        (None, Some(number)) => u8::try_from(128 + (number & 0x7f)).unwrap_or(1),
        _ => 1,
    }
}

/// Kills what the agent left behind: every descendant of this process, until there is none. A process can leave this
/// tree only with the kernel's help (another subreaper), which grade D does not prevent.
fn sweep() {
    for _ in 0..64 {
        let left = descendants(std::process::id());
        if left.is_empty() {
            return;
        }
        for pid in left {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // Gone already is as good as killed.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Waits for one of them, which is now this process's child.
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::empty()) {}
    }
}

fn descendants(of: u32) -> Vec<u32> {
    let mut out = Vec::new();
    let mut next = vec![of];
    while let Some(pid) = next.pop() {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { continue };
        for task in tasks.flatten() {
            let children = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let ids: Vec<u32> = children.split_whitespace().filter_map(|id| id.parse().ok()).collect();
            out.extend(&ids);
            next.extend(ids);
        }
    }
    out
}
