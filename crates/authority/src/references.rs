//! Credentials by reference: the value stays where it is and is read at its first use.

use crate::Error;
use marque_detect::Secret;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Longest value that a reference may give, in bytes.
const VALUE_BYTES_MAX: u64 = 64 << 10;
/// How long a command may take.
const COMMAND_MAX: Duration = Duration::from_secs(20);

fn failed(what: &str) -> Error {
    // Never the value, and never what a command printed.
    Error::Secrets(format!("the reference `{what}` gives no value"))
}

/// Reads the value that the reference names. One trailing line end is cut, as shells do.
///
/// # Errors
/// Where there is none.
pub(crate) async fn resolve(reference: Secret) -> Result<Secret, Error> {
    let text = std::str::from_utf8(reference.expose()).map_err(|_| failed("?"))?.to_owned();
    let value = match text.split_once(':') {
        Some(("env", name)) => std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec),
        Some(("file", path)) => {
            let file = tokio::fs::File::open(path).await.map_err(|_| failed(&text))?;
            let mut out = Vec::new();
            file.take(VALUE_BYTES_MAX).read_to_end(&mut out).await.map_err(|_| failed(&text))?;
            Some(out)
        }
        Some(("cmd", line)) => Some(run(line).await.ok_or_else(|| failed("cmd:…"))?),
        _ => None,
    };
    let mut value = value.ok_or_else(|| failed(&text))?;
    if value.last() == Some(&b'\n') {
        value.pop();
    }
    if value.len() < marque_detect::limits::SECRET_MIN_BYTES {
        return Err(failed(&text));
    }
    Ok(Secret::new(value))
}

/// Words split at spaces; no shell.
async fn run(line: &str) -> Option<Vec<u8>> {
    let mut words = line.split_whitespace();
    let mut command = tokio::process::Command::new(words.next()?);
    command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_MAX, command.output()).await.ok()?.ok()?;
    (output.status.success() && output.stdout.len() as u64 <= VALUE_BYTES_MAX).then_some(output.stdout)
}
