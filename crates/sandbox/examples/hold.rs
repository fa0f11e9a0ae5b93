//! Runs a program in a sandbox and stays with it: `hold [--gated] HOME WORKSPACE PROGRAM [ARGUMENT…]`. With `--gated` every exec
//! is judged, and allowed. The tests kill it.

use marque_sandbox::exec::{Exec, Judge, Settings, Verdict, hook};
use marque_sandbox::{Exit, Files, Network, Plan, Workspace, spawn};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

struct All;

impl Judge for All {
    fn judge(&self, _: &Arc<Exec>) -> Verdict {
        Verdict::Allow { remember: false }
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1).peekable();
    let gated = words.next_if(|word| word == "--gated").is_some();
    let mut next = || words.next().ok_or("usage: hold [--gated] HOME WORKSPACE PROGRAM [ARGUMENT…]");
    let (home, workspace, program) = (PathBuf::from(next()?), PathBuf::from(next()?), next()?);
    let arguments: Vec<OsString> = std::iter::once(program.clone()).chain(words).collect();
    let plan = Plan {
        program: program.into(),
        arguments,
        environment: vec![("PATH".into(), "/usr/bin:/bin".into()), ("HOME".into(), home.clone().into())],
        directory: workspace.clone(),
        descriptors: vec![(1, std::io::stdout().as_fd().try_clone_to_owned()?), (2, std::io::stderr().as_fd().try_clone_to_owned()?)],
        network: Network { ports: vec![80, 443], dns: true },
        files: Files { home, workspace: Workspace::shared(workspace), ..Files::default() },
        hook: if gated { Some(hook(Settings::default(), Arc::new(All))?.0) } else { None },
        ..Plan::default()
    };
    let (supervisor, _inside) = spawn(plan)?;
    supervisor.running()?;
    Ok(match supervisor.wait() {
        Exit::Code(code) => ExitCode::from(code),
        Exit::Signal(_) | Exit::Ended => ExitCode::FAILURE,
    })
}
