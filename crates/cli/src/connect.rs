//! Finding the authority, and starting one where there is none.

use crate::args::Global;
use crate::auth;
use crate::out::{Failure, say};
use crate::paths::{Paths, own_uid};
use hyper::Method;
use marque_api::control::{Init, InitDone, Status, Unseal};
use marque_client::Client;
use rustix::fs::{Mode, OFlags, openat};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// A runtime for the client: one thread, one call.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| Failure::new(e.to_string(), "free some descriptors"))?.block_on(work)
}

/// A client of the running authority.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    client_at(&Paths::of(global)?)
}

/// The same, where the paths are known. Whoever owns the directory may have put the socket there: that is asked first.
pub(crate) fn client_at(paths: &Paths) -> Result<Client, Failure> {
    paths.data_closed_if_there()?;
    Ok(Client::new(&paths.socket, own_uid()))
}

pub(crate) async fn status(client: &Client) -> Result<Status, marque_client::Error> {
    client.call(Method::GET, "/v1/status", None::<&()>).await
}

/// Finds or starts the authority, sets or asks for the passphrase, opens the seal. Returns the passphrase, because the
/// act that follows needs it too: people are asked once.
pub(crate) async fn open(global: &Global, paths: &Paths) -> Result<(Client, String), Failure> {
    let client = client_at(paths)?;
    paths.closed_where_there()?;
    let status = match status(&client).await {
        Ok(status) => status,
        Err(marque_client::Error::Unreachable { .. }) => {
            start(paths)?;
            say(&format!("Started     a local authority, data in {}", paths.data.display()));
            status(&client).await?
        }
        Err(error) => return Err(error.into()),
    };
    if !status.initialised {
        let passphrase = auth::new_passphrase(global)?;
        let init = Init { passphrase: passphrase.clone() };
        let done: InitDone = client.call(Method::POST, "/v1/init", Some(&init)).await?;
        say(&format!("Recovery    key, shown once, the only way back if the passphrase is lost: {}", done.recovery_key));
        return Ok((client, passphrase));
    }
    let passphrase = auth::passphrase(global, "marque passphrase: ")?;
    if status.sealed {
        let unseal = Unseal { passphrase: passphrase.clone() };
        let _: Status = client.call(Method::POST, "/v1/unseal", Some(&unseal)).await?;
    }
    Ok((client, passphrase))
}

/// Starts `marque serve` in its own process group and waits for its word that the API answers.
fn start(paths: &Paths) -> Result<(), Failure> {
    paths.create()?;
    let dir = paths.closed()?;
    let failed = |e: std::io::Error| Failure::new(format!("an authority cannot be started: {e}"), "run `marque serve` to see why");
    let log = log_in(&dir).map_err(failed)?;
    let before = log.metadata().map_err(failed)?.len();
    let mut child = Command::new(std::env::current_exe().map_err(failed)?)
        .arg("serve")
        .arg("--data-dir")
        .arg(&paths.data)
        .arg("--state-dir")
        .arg(&paths.state)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.try_clone().map_err(failed)?)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(failed)?;
    }
    if line.is_empty() {
        let status = child.wait().map_err(failed)?;
        let log = since(&log, before).unwrap_or_default();
        // Its own error says more than that it ended.
        let last = log.lines().rev().find(|line| line.starts_with("error")).or(log.lines().last()).unwrap_or("it said nothing");
        let help = log.lines().rev().find_map(|line| line.strip_prefix("help: ")).unwrap_or("run `marque serve` to see why");
        return Err(Failure::new(format!("the authority ended with {status}: {last}"), help));
    }
    Ok(())
}

/// What the authority says goes behind what earlier ones said. Never through a link: whatever it led to would be written to.
fn log_in(dir: &File) -> std::io::Result<File> {
    let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, "authority.log", flags, Mode::RUSR | Mode::WUSR)?))
}

/// Most of the log that is read for an error message, in bytes.
const LOG_READ_MAX: u64 = 64 << 10;

fn since(log: &File, before: u64) -> std::io::Result<String> {
    let end = log.metadata()?.len();
    let from = before.max(end.saturating_sub(LOG_READ_MAX));
    let mut bytes = vec![0; usize::try_from(end.saturating_sub(from)).unwrap_or(0)];
    log.read_exact_at(&mut bytes, from)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
