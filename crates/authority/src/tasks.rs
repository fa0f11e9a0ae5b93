//! Task files. A file in a workspace is a proposal: it takes effect by digest through a journalled act, so that whoever edits
//! it between two runs widens nothing (threats C11).

use crate::Error;
use crate::authority::Authority;
use marque_api::control::{TaskApplied, TaskApply, TaskFile};
use marque_api::{Code, Problem};
use marque_model::SubjectId;
use marque_model::event::{Apply, Draft};
use marque_store::disk::{Disk as _, RealDisk, replace_file};
use std::sync::Arc;

/// What the journal calls a task that took effect.
const WHAT: &str = "task";
/// Where the texts are, in the data directory, by digest: for the difference that a human is shown.
const DIR: &str = "tasks";

/// A task's name in the journal: where the file is stays out of it.
fn name_of(path: &str) -> String {
    crate::hex(&marque_chain::sha256(path.as_bytes()).0).chars().take(32).collect()
}

fn digest_of(file: &TaskFile) -> [u8; 32] {
    marque_chain::sha256(file.text.as_bytes()).0
}

impl Authority {
    /// Makes a task file take effect as it is now. An act that widens authority.
    ///
    /// # Errors
    /// Where the passphrase is wrong, a policy forbids it, or the journal takes no record.
    pub async fn task_apply(self: &Arc<Self>, mut asked: TaskApply, uid: u32) -> Result<TaskApplied, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        self.put_task_in_force(&asked.file, self.subject_of(uid).await?).await?;
        self.task_show(&asked.file)
    }

    /// A task as it took effect, under the name by which the file differs from it, where it does.
    ///
    /// # Errors
    /// Where none of either name did.
    pub fn task_show(&self, file: &TaskFile) -> Result<TaskApplied, Error> {
        let none = || Problem::new(Code::NOT_FOUND, format!("no task took effect from `{}`", file.path), "run it, or `marque task apply FILE`");
        let mut known: Vec<[u8; 32]> = [&file.path, &file.real].iter().filter_map(|path| self.task_in_force(path)).collect();
        let now = digest_of(file);
        known.sort_by_key(|digest| *digest == now);
        let digest = known.first().copied().ok_or_else(|| Error::Refused(none()))?;
        let text = std::fs::read_to_string(self.options.data_dir.join(DIR).join(file_name(&digest))).ok();
        // A text that is not the one that took effect shows nobody what changed.
        let text = text.filter(|text| marque_chain::sha256(text.as_bytes()).0 == digest);
        Ok(TaskApplied { digest: crate::hex(&digest), text })
    }

    /// The digest of a task that may open a session: the one that took effect, or, for a path that never did, this one, which
    /// takes effect by the same act.
    ///
    /// # Errors
    /// Where the file is not the one that took effect.
    pub(crate) async fn judge_task(self: &Arc<Self>, file: &TaskFile, human: SubjectId) -> Result<[u8; 32], Error> {
        let digest = digest_of(file);
        // By either name: a file that became a link, and a link that leads elsewhere, are changes of the file.
        let known = [&file.path, &file.real].map(|path| self.task_in_force(path));
        if known.iter().flatten().any(|known| *known != digest) {
            return Err(Error::Refused(Problem::new(
                Code::DIGEST,
                format!("the task file `{}` changed since it took effect", file.path),
                format!("read what changed, then `marque task apply {}`", file.path),
            )));
        }
        if known != [Some(digest); 2] {
            self.put_task_in_force(file, human).await?;
        }
        Ok(digest)
    }

    fn task_in_force(&self, path: &str) -> Option<[u8; 32]> {
        self.state.read().applied.get(&(WHAT.to_owned(), name_of(path))).copied()
    }

    async fn put_task_in_force(self: &Arc<Self>, file: &TaskFile, human: SubjectId) -> Result<(), Error> {
        let digest = digest_of(file);
        self.judge_act("task.apply", &name_of(&file.path), "", human)?;
        let io = |source| Error::Io { path: DIR.into(), source };
        std::fs::create_dir_all(self.options.data_dir.join(DIR)).map_err(io)?;
        let disk = RealDisk::open(&self.options.data_dir).map_err(io)?;
        // The text first: a journal that names it must find it.
        replace_file(&disk, &format!("{DIR}/{}", file_name(&digest)), file.text.as_bytes()).map_err(io)?;
        for path in [&file.path, &file.real] {
            if self.task_in_force(path) != Some(digest) {
                self.append(Draft::new(Apply { what: WHAT.into(), name: name_of(path), digest }).into()).await?;
            }
        }
        self.remember()
    }
}

/// Removes kept texts of tasks: a purpose is in them. Who applied such a task again is shown no difference, and nothing else
/// changes: what counts is the digest.
pub(crate) fn forget_texts(data_dir: &std::path::Path, digests: &std::collections::BTreeSet<[u8; 32]>) -> Result<(), Error> {
    if digests.is_empty() {
        return Ok(());
    }
    let io = |source| Error::Io { path: DIR.into(), source };
    let disk = RealDisk::open(data_dir).map_err(io)?;
    for digest in digests {
        match disk.remove(&format!("{DIR}/{}", file_name(digest))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    match disk.sync_dir(DIR) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => Ok(()),
    }
}

fn file_name(digest: &[u8; 32]) -> String {
    format!("{}.toml", crate::hex(digest))
}
