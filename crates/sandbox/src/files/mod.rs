//! What the agent sees: a plan of mounts, made before the sandbox is, so that the child only carries it out.

mod layout;
mod lists;
mod ops;
mod placeholders;
mod system;
mod workspace;

pub use lists::{CREDENTIALS_IN_HOME, TOOLS_IN_HOME, TRUST_FILES, protected_by_default};
pub(crate) use layout::Layout;
pub(crate) use ops::{ALL_RIGHTS, ALL_SCOPES, Access, Op, Rule, Stage, What};
pub(crate) use placeholders::Placeholders;

use crate::error::{SpawnError, Step, errno_of};
use crate::plan::{Files, Network};
use std::path::{Path, PathBuf};

/// What is mounted where, and what was left in the workspace to mount on.
pub(crate) struct Shown {
    pub(crate) stage: Stage,
    pub(crate) placeholders: Placeholders,
    /// Protected paths that could not be protected: a link stands in them.
    pub(crate) unprotected: Vec<PathBuf>,
}

/// Plans the mounts of one sandbox. `limits` are whether it may nest, and its most processes. Looks at the host's files, and makes what is missing of protected paths.
pub(crate) fn plan(files: &Files, network: &Network, program: &Path, limits: (bool, u32), uid: u32) -> Result<Shown, SpawnError> {
    let mut layout = Layout::new();
    system::add(&mut layout, uid)?;
    system::etc(&mut layout)?;
    workspace::home(&mut layout, files)?;
    for path in &files.shown {
        layout.show(path, Access::Read)?;
    }
    for path in &files.writable {
        layout.show(path, Access::Write)?;
    }
    let mut placeholders = Placeholders::default();
    let unprotected = workspace::add(&mut layout, files, &mut placeholders)?;
    if !layout.shows(program) {
        layout.show(program, Access::Read)?;
    }
    workspace::hide(&mut layout, files)?;
    overlays(&mut layout, files, network)?;
    Ok(Shown { stage: layout.compile(limits.0, limits.1)?, placeholders, unprotected })
}

fn overlays(layout: &mut Layout, files: &Files, network: &Network) -> Result<(), SpawnError> {
    if network.dns {
        layout.lay_if_there(Path::new("/etc/resolv.conf"), RESOLV_CONF.as_bytes())?;
    }
    layout.lay_if_there(Path::new("/etc/hosts"), b"127.0.0.1 localhost\n::1 localhost\n")?;
    if let Some(bundle) = &files.trust {
        let known = TRUST_FILES.iter().map(Path::new).filter(|path| path.exists());
        for path in known.chain(files.trust_files.iter().map(PathBuf::as_path)) {
            layout.lay_if_there(path, bundle)?;
        }
    }
    for (path, bytes) in &files.overlays {
        layout.lay(&files.workspace.at.join(path), bytes)?;
    }
    Ok(())
}

/// Any address leads to the gateway's resolver; this one is in the range that stands for names and is never given to one.
const RESOLV_CONF: &str = "nameserver 198.18.0.1\noptions timeout:2 attempts:2\n";

pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SpawnError {
    let path = path.to_owned();
    move |error| SpawnError::at(Step::Source, errno_of(&error), path)
}
