//! Credentials by reference: the value stays where it is. It is read at a session's first use of it and holds for that session;
//! where the upstream answers 401, it is read again for the next use. So what was rotated is taken up by the next session, and
//! by a running one as soon as the old value stops working.

use crate::Error;
use crate::authority::Authority;
use crate::leaf::{Candidate, Leaf};
use crate::limits::{REFERENCE_BYTES_MAX, REFERENCE_COMMAND_MAX, REFERENCE_GAP_MS};
use crate::vault;
use marque_api::problem::Retry;
use marque_api::{Code, Problem};
use marque_detect::Secret;
use marque_model::CredentialId;
use parking_lot::Mutex;
use rustix::fs::OFlags;
use std::collections::HashMap;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A variable of the authority's own environment.
    Env(String),
    /// A file that the authority can read.
    File(String),
    /// What a program prints. Words, split at spaces; no shell.
    Cmd(String),
    /// A field of a secret in the vault of the credential's environment.
    Vault(vault::Address),
}

impl Reference {
    /// # Errors
    /// A sentence that says how it is written.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let how = "write `env:NAME`, `file:/path`, `cmd:program arg` or `vault:MOUNT/PATH#FIELD`";
        match text.split_once(':') {
            Some((_, "")) | None => Err(how),
            Some(("env", name)) => Ok(Self::Env(name.into())),
            Some(("file", path)) if path.starts_with('/') => Ok(Self::File(path.into())),
            Some(("file", _)) => Err("write the whole path: `file:/path`"),
            Some(("cmd", line)) if line.split_whitespace().next().is_some() => Ok(Self::Cmd(line.into())),
            Some(("vault", rest)) => vault::Address::parse(rest).map(Self::Vault),
            _ => Err(how),
        }
    }

    /// The word that stands in the record. The rest is sealed like a value.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Env(_) => "env",
            Self::File(_) => "file",
            Self::Cmd(_) => "cmd",
            Self::Vault(_) => "vault",
        }
    }
}

/// Why a reference gives no value: a sentence that holds nothing of what was read or printed.
pub(crate) type Why = String;

type Key = (CredentialId, u32);

struct Read {
    value: Option<Arc<Secret>>,
    at_ms: u64,
    /// The upstream refused it.
    stale: bool,
}

/// What one leaf's references gave.
#[derive(Default)]
pub struct References {
    reads: Mutex<HashMap<Key, Read>>,
    /// One is read at a time: requests that arrive together read once.
    turn: tokio::sync::Mutex<()>,
}

impl References {
    fn current(&self, key: Key) -> Option<Arc<Secret>> {
        self.reads.lock().get(&key).filter(|read| !read.stale)?.value.clone()
    }

    /// What is known although it should be read again: it was read a moment ago. A flood of requests does not become a flood
    /// of programs or of requests to a vault.
    fn recent(&self, key: Key, now_ms: u64) -> Option<Option<Arc<Secret>>> {
        let reads = self.reads.lock();
        reads.get(&key).filter(|read| now_ms.saturating_sub(read.at_ms) < REFERENCE_GAP_MS).map(|read| read.value.clone())
    }

    /// The upstream answered that the value is not, or no longer, good.
    pub(crate) fn refused(&self, key: Key) {
        if let Some(read) = self.reads.lock().get_mut(&key) {
            read.stale = true;
        }
    }
}

impl Authority {
    /// The value that a credential's reference gives to that leaf, and whether it was not known before.
    pub(crate) async fn referred(&self, leaf: &Arc<Leaf>, candidate: &Candidate, cause: u64) -> Result<(Arc<Secret>, bool), Error> {
        let key = (candidate.id, candidate.version);
        if let Some(value) = leaf.references.current(key) {
            return Ok((value, false));
        }
        let _turn = leaf.references.turn.lock().await;
        if let Some(value) = leaf.references.current(key) {
            return Ok((value, false));
        }
        let (name, kind) = {
            let state = self.state.read();
            let found = state.credentials.get(&key.0);
            found.map(|c| (c.name.clone(), c.source.clone())).unwrap_or_default()
        };
        let now_ms = self.clock.now_ms();
        match leaf.references.recent(key, now_ms) {
            Some(Some(value)) => return Ok((value, false)),
            Some(None) => return Err(no_value(&name, &kind, "it gave none a moment ago")),
            None => {}
        }
        let read = self.read_reference(leaf, key, cause).await;
        let value = read.as_ref().ok().cloned();
        leaf.references.reads.lock().insert(key, Read { value, at_ms: self.clock.now_ms(), stale: false });
        read.map(|value| (value, true)).map_err(|why| no_value(&name, &kind, &why))
    }

    async fn read_reference(&self, leaf: &Arc<Leaf>, key: Key, cause: u64) -> Result<Arc<Secret>, Why> {
        let row = self.vault_get(key).await.map_err(|e| e.to_string())?;
        let text = std::str::from_utf8(row.expose()).map_err(|_| "it is not text".to_owned())?;
        let value = match Reference::parse(text).map_err(str::to_owned)? {
            Reference::Vault(address) => self.read_vault(leaf, cause, &address).await?,
            local => read_local(&local).await?,
        };
        Ok(Arc::new(value))
    }
}

fn no_value(name: &str, kind: &str, why: &str) -> Error {
    let detail = format!("the `{kind}:` reference of the credential `{name}` gives no value: {why}");
    let mut problem = Problem::new(Code::REFERENCE, detail, "tell the human of this session; nothing was sent");
    problem.retry = Retry::Later;
    Error::Refused(problem)
}

/// Reads what is on this machine. One line end at the end is cut, as shells do.
pub(crate) async fn read_local(reference: &Reference) -> Result<Secret, Why> {
    let value = match reference {
        Reference::Env(name) => std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec).ok_or("the variable is not set")?,
        Reference::File(path) => read_file(path).await?,
        Reference::Cmd(line) => match tokio::time::timeout(REFERENCE_COMMAND_MAX, run(line)).await {
            Ok(done) => done?,
            Err(_) => return Err("the program did not end in time".into()),
        },
        Reference::Vault(_) => return Err("a vault's own token cannot be in a vault".into()),
    };
    fitting(value)
}

/// The value without its line end, if it can be searched for in answers.
pub(crate) fn fitting(mut value: Vec<u8>) -> Result<Secret, Why> {
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    let value = Secret::new(value);
    match value.len() {
        n if n > REFERENCE_BYTES_MAX => Err("the value is too long".into()),
        n if n < marque_detect::limits::SECRET_MIN_BYTES => Err("the value is too short to be recognised in answers".into()),
        _ => Ok(value),
    }
}

async fn whole(from: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    // A line end and one byte more than fits, so that a longer value is seen to be one.
    from.take(REFERENCE_BYTES_MAX as u64 + 2).read_to_end(&mut out).await?;
    Ok(out)
}

async fn read_file(path: &str) -> Result<Vec<u8>, Why> {
    let unreadable = |e: std::io::Error| format!("the file cannot be read ({})", e.kind());
    let mut options = tokio::fs::OpenOptions::new();
    // A pipe without a writer would hold the request for ever.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or(0);
    let file = options.read(true).custom_flags(flags).open(path).await.map_err(unreadable)?;
    if !file.metadata().await.map_err(unreadable)?.is_file() {
        return Err("it is no file".into());
    }
    whole(file).await.map_err(unreadable)
}

/// The program's output, if it ends with success. What it prints otherwise is not looked at, and not shown.
async fn run(line: &str) -> Result<Vec<u8>, Why> {
    let mut words = line.split_whitespace();
    let mut command = tokio::process::Command::new(words.next().unwrap_or_default());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let failed = |e: std::io::Error| format!("the program cannot be run ({})", e.kind());
    let mut child = command.spawn().map_err(failed)?;
    let output = match child.stdout.take() {
        Some(stdout) => Secret::new(whole(stdout).await.map_err(failed)?),
        None => Secret::new(Vec::new()),
    };
    if output.len() > REFERENCE_BYTES_MAX + 1 {
        return Err("the value is too long".into());
    }
    match child.wait().await.map_err(failed)?.code() {
        Some(0) => Ok(output.expose().to_vec()),
        Some(code) => Err(format!("the program ended with {code}")),
        None => Err("the program was killed".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_exactly_one_place() {
        for good in ["env:TOKEN", "file:/run/token", "cmd:pass show github", "vault:secret/ci/github#token"] {
            let kind = good.split(':').next().unwrap_or_default();
            assert_eq!(Reference::parse(good).map(|r| r.kind()), Ok(kind), "{good}");
        }
        for wrong in ["", "env", "env:", "file:relative", "cmd: ", "vault:secret", "vault:secret/x", "vault:secret/x#", "vault:secret/../x#y", "vault:/x#y", "vault:secret/a b#y", "https://x"] {
            assert!(Reference::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_value_has_as_many_bytes_as_allowed_and_not_one_more() {
        let dir = std::env::temp_dir().join(format!("marque-references-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("value");
        let reference = Reference::parse(&format!("file:{}", path.display())).unwrap();
        for (bytes, fits) in [(REFERENCE_BYTES_MAX, true), (REFERENCE_BYTES_MAX + 1, false)] {
            std::fs::write(&path, [&vec![b'x'; bytes][..], b"\n"].concat()).unwrap();
            assert_eq!(read_local(&reference).await.map(|v| v.len()).ok(), fits.then_some(bytes));
            let program = Reference::parse(&format!("cmd:cat {}", path.display())).unwrap();
            assert_eq!(read_local(&program).await.map(|v| v.len()).ok(), fits.then_some(bytes));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_was_refused_is_read_again_but_not_at_every_request() {
        let references = References::default();
        let key = (CredentialId::from_bytes([1; 10]), 1);
        assert!(references.current(key).is_none() && references.recent(key, 0).is_none());
        let value = Some(Arc::new(Secret::new(b"a value".to_vec())));
        references.reads.lock().insert(key, Read { value, at_ms: 1_000, stale: false });
        assert!(references.current(key).is_some());
        references.refused(key);
        assert!(references.current(key).is_none());
        assert!(references.recent(key, 1_000 + REFERENCE_GAP_MS - 1).is_some_and(|value| value.is_some()));
        assert!(references.recent(key, 1_000 + REFERENCE_GAP_MS).is_none());
    }
}
