//! What this launcher was told, kept outside the data directory: the latest checkpoint of every statement. A journal that
//! does not contain it is refused later.

use crate::out::Failure;
use crate::paths::Paths;
use marque_api::control::{SessionOpened, Statement};

const FILE: &str = "last-checkpoint";

/// Whether no run has ended here before.
pub(super) fn is_first_run(paths: &Paths) -> bool {
    !paths.state.join(FILE).exists()
}

/// Keeps the statement's checkpoint.
pub(super) fn remember(paths: &Paths, _opened: &SessionOpened, statement: &Statement) -> Result<(), Failure> {
    let Some(note) = &statement.checkpoint else { return Ok(()) };
    let failed = |e: std::io::Error| Failure::new(format!("the checkpoint cannot be remembered: {e}"), "give another `--state-dir`");
    let (path, fresh) = (paths.state.join(FILE), paths.state.join(format!("{FILE}.new")));
    std::fs::write(&fresh, note).map_err(failed)?;
    std::fs::rename(&fresh, &path).map_err(failed)
}
