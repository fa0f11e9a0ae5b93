//! Task files. A file in a workspace is a proposal: it takes effect by digest through a journalled act, so that whoever edits
//! it between two runs widens nothing (threats C11).

use crate::authority::Authority;
use crate::openings::Vault;
use crate::{Error, random};
use marque_api::control::{TaskApplied, TaskApply, TaskFile};
use marque_api::{Code, Problem};
use marque_model::SubjectId;
use marque_model::event::{Apply, Draft};
use marque_store::disk::{Disk as _, RealDisk, replace_file};
use marque_store::sealed::OpeningKey;
use std::path::Path;
use std::sync::Arc;

/// What the journal calls a task that took effect.
const WHAT: &str = "task";
/// Where the texts are, in the data directory: one directory for each human, in it a file for each digest. For the difference
/// that a human is shown.
const DIR: &str = "tasks";

/// A task's name in the journal: where the file is stays out of it, and cannot be found by trying either.
fn name_of(key: &OpeningKey, path: &str) -> String {
    let hashed = key.name_of(format!("task\0{path}").as_bytes());
    crate::hex(&hashed).chars().take(32).collect()
}

fn digest_of(file: &TaskFile) -> [u8; 32] {
    marque_chain::sha256(file.text.as_bytes()).0
}

impl Authority {
    /// Makes a task file take effect as it is now, for the human who asks. An act that widens authority.
    ///
    /// # Errors
    /// Where the passphrase is wrong, a policy forbids it, or the journal takes no record.
    pub async fn task_apply(self: &Arc<Self>, mut asked: TaskApply, uid: u32) -> Result<TaskApplied, Error> {
        self.check_passphrase(&mut asked.passphrase).await?;
        let human = self.subject_of(uid).await?;
        let names = self.task_names(&asked.file, human).await?;
        self.put_task_in_force(&asked.file, &names, human).await?;
        self.task_show(asked.file, uid).await
    }

    /// A task as it took effect for that user, under the name by which the file differs from it, where it does.
    ///
    /// # Errors
    /// Where none of either name did.
    pub async fn task_show(&self, file: TaskFile, uid: u32) -> Result<TaskApplied, Error> {
        let none = || Problem::new(Code::NOT_FOUND, format!("no task took effect from `{}`", file.path), "run it, or `marque task apply FILE`");
        let human = self.with_vault(move |vault| vault.known(uid)).await?.ok_or_else(|| Error::Refused(none()))?;
        let names = self.task_names(&file, human).await?;
        let mut known: Vec<[u8; 32]> = names.iter().filter_map(|name| self.task_in_force(name)).collect();
        let now = digest_of(&file);
        known.sort_by_key(|digest| *digest == now);
        let digest = known.first().copied().ok_or_else(|| Error::Refused(none()))?;
        let data_dir = self.options.data_dir.clone();
        let text = self.with_vault(move |vault| Ok(kept_text(&data_dir, &*vault.key_of(human)?, human, &digest))).await?;
        Ok(TaskApplied { digest: crate::hex(&digest), text })
    }

    /// The digest of a task that may open a session: the one that took effect for this human, or, for a path that never did,
    /// this one, which takes effect by the same act.
    ///
    /// # Errors
    /// Where the file is not the one that took effect.
    pub(crate) async fn judge_task(self: &Arc<Self>, file: &TaskFile, human: SubjectId) -> Result<[u8; 32], Error> {
        let digest = digest_of(file);
        let names = self.task_names(file, human).await?;
        // By either name: a file that became a link, and a link that leads elsewhere, are changes of the file.
        let known = [self.task_in_force(&names[0]), self.task_in_force(&names[1])];
        if known.iter().flatten().any(|known| *known != digest) {
            return Err(Error::Refused(Problem::new(
                Code::DIGEST,
                format!("the task file `{}` changed since it took effect", file.path),
                format!("read what changed, then `marque task apply {}`", file.path),
            )));
        }
        if known != [Some(digest); 2] {
            self.put_task_in_force(file, &names, human).await?;
        }
        Ok(digest)
    }

    /// The names of a task in the journal: by the path that was given, and by the one it leads to. They are one human's, under
    /// the key that goes when he is erased: what he put in force is in force for him.
    async fn task_names(&self, file: &TaskFile, human: SubjectId) -> Result<[String; 2], Error> {
        let paths = [file.path.clone(), file.real.clone()];
        let names = move |vault: &mut Vault| {
            let key = vault.key_of(human)?;
            Ok(paths.map(|path| name_of(&key, &path)))
        };
        self.with_vault(names).await
    }

    fn task_in_force(&self, name: &str) -> Option<[u8; 32]> {
        self.state.read().applied.get(&(WHAT.to_owned(), name.to_owned())).copied()
    }

    async fn put_task_in_force(self: &Arc<Self>, file: &TaskFile, names: &[String; 2], human: SubjectId) -> Result<(), Error> {
        let digest = digest_of(file);
        self.judge_act("task.apply", &names[0], "", human)?;
        for name in names {
            if self.task_in_force(name) != Some(digest) {
                self.append(Draft::new(Apply { what: WHAT.into(), name: name.clone(), digest }).into()).await?;
            }
        }
        // Not before: what did not take effect leaves no text. One that a crash took with it is not shown, and no more.
        let (data_dir, text, nonce) = (self.options.data_dir.clone(), file.text.clone(), random::bytes()?);
        let keep = move |vault: &mut Vault| {
            let sealed = vault.key_of(human)?.seal_kept(&digest, nonce, text.as_bytes()).map_err(|e| Error::Secrets(e.to_string()))?;
            let disk = RealDisk::open(&data_dir).map_err(io)?;
            disk.create_dirs(&dir_of(human)).map_err(io)?;
            disk.sync_dir(DIR).map_err(io)?;
            replace_file(&disk, &path_of(human, &digest), &sealed).map_err(io)
        };
        self.with_vault(keep).await?;
        self.remember()
    }
}

/// A text that is not the one that took effect shows nobody what changed.
fn kept_text(data_dir: &Path, key: &OpeningKey, human: SubjectId, digest: &[u8; 32]) -> Option<String> {
    let kept = std::fs::read(data_dir.join(path_of(human, digest))).ok()?;
    let text = String::from_utf8(key.open_kept(digest, &kept).ok()?.expose().to_vec()).ok()?;
    (marque_chain::sha256(text.as_bytes()).0 == *digest).then_some(text)
}

/// Removes the kept texts of a human's tasks. They can be read with his key alone; what counts is the digest.
pub(crate) fn forget_texts(data_dir: &Path, human: SubjectId) -> Result<(), Error> {
    match std::fs::remove_dir_all(data_dir.join(dir_of(human))) {
        Ok(()) => RealDisk::open(data_dir).and_then(|disk| disk.sync_dir(DIR)).map_err(io),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io(error)),
    }
}

/// Whether anything is where the texts of a human's tasks are kept.
pub(crate) fn has_texts(data_dir: &Path, human: SubjectId) -> bool {
    std::fs::symlink_metadata(data_dir.join(dir_of(human))).is_ok()
}

fn dir_of(human: SubjectId) -> String {
    format!("{DIR}/{human}")
}

fn path_of(human: SubjectId, digest: &[u8; 32]) -> String {
    format!("{}/{}", dir_of(human), crate::hex(digest))
}

fn io(source: std::io::Error) -> Error {
    Error::Io { path: DIR.into(), source }
}
