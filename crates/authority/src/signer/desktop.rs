//! The desktop's keyring (the Secret Service), asked through `secret-tool`, so that no D-Bus is spoken here. Secrets go through
//! pipes alone; what the tool says beside them is neither shown nor kept.

use crate::limits::{KEYRING_ANSWER_BYTES_MAX, KEYRING_KEY_BYTES, KEYRING_WAIT};
use crate::signer::hex;
use marque_detect::Secret;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

/// Where distributions put the tool. Never looked for by `PATH`: whoever may set that would be given the key.
const TOOL: [&str; 2] = ["/usr/bin/secret-tool", "/usr/local/bin/secret-tool"];
/// What the tool needs to find the keyring, and to ask its user to unlock it. Nothing else of the environment reaches it.
const KEPT: [&str; 5] = ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "HOME", "DISPLAY", "WAYLAND_DISPLAY"];

/// Why the keyring does not open the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyringTrouble {
    /// The tool is not installed.
    NoTool,
    /// Nothing answers on the session's bus.
    NoKeyring,
    /// It is there and locked, or its user did not let us.
    Locked,
    /// It has no entry for this seal.
    Gone,
    /// Its entry opens no copy of this seal.
    Other,
    /// The seal has no copy that a keyring opens.
    NotChosen,
    /// The tool did not end in time, or said too much.
    Silent,
}

impl KeyringTrouble {
    /// One sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::NoTool => "`secret-tool` is not installed, so the desktop's keyring cannot be asked",
            Self::NoKeyring => "no keyring is running in this desktop session",
            Self::Locked => "the desktop's keyring is locked",
            Self::Gone => "the desktop's keyring has no entry for this seal",
            Self::Other => "the entry in the desktop's keyring does not open this seal",
            Self::NotChosen => "the seal has no copy that a keyring opens",
            Self::Silent => "the desktop's keyring gave no usable answer in time",
        }
    }

    /// The next step.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::NoTool => "install the package `libsecret-tools`; passphrase and recovery key open the seal too: `marque unseal`",
            Self::NoKeyring => "start it where you are logged in to the desktop; passphrase and recovery key open the seal too: `marque unseal`",
            Self::Locked => "unlock it and try again; passphrase and recovery key open the seal too: `marque unseal`",
            Self::Gone | Self::Other => "open it with `marque unseal` (passphrase or recovery key), then `marque seal add keyring` makes a new entry",
            Self::NotChosen => "open it with `marque unseal`, then `marque seal add keyring`",
            Self::Silent => "look at the keyring and try again; passphrase and recovery key open the seal too: `marque unseal`",
        }
    }
}

/// An entry of the keyring: the seal of one journal, and the copy in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    instance: String,
    copy: String,
}

impl Entry {
    pub(super) fn of(instance: &[u8; 16], copy: u64) -> Self {
        Self { instance: hex(instance), copy: copy.to_string() }
    }

    fn attributes(&self) -> [&str; 6] {
        ["application", "marque", "seal", &self.instance, "copy", &self.copy]
    }

    /// The key of this entry. Asks nobody to unlock anything: who starts at night has nobody to ask.
    pub(super) fn read(&self) -> Result<Secret, KeyringTrouble> {
        // `lookup` would not tell a locked entry from none.
        let said = Tool::find(&TOOL)?.run("search", &[], &self.attributes(), None)?;
        if !said.status.success() {
            return Err(KeyringTrouble::NoKeyring);
        }
        key_in(&said.output)
    }

    /// Puts a key there, in place of one that may be there, and reads it again.
    pub(super) fn write(&self, key: &Secret) -> Result<(), KeyringTrouble> {
        let tool = Tool::find(&TOOL)?;
        if let Err(trouble @ (KeyringTrouble::NoKeyring | KeyringTrouble::Silent)) = self.read() {
            return Err(trouble);
        }
        let text = Secret::new(hex(key.expose()).into_bytes());
        let label = format!("--label=marque: opens the seal of {}", self.instance);
        let stored = tool.run("store", &[&label], &self.attributes(), Some(&text))?;
        if !stored.status.success() {
            return Err(KeyringTrouble::Locked);
        }
        match self.read()?.eq_bytes(key.expose()) {
            true => Ok(()),
            false => Err(KeyringTrouble::Other),
        }
    }

    /// Takes it out. One that cannot be reached stays: alone it opens nothing.
    pub(super) fn forget(&self) {
        let _ = Tool::find(&TOOL).and_then(|tool| tool.run("clear", &[], &self.attributes(), None));
    }
}

/// The key in what `secret-tool search` printed.
fn key_in(output: &Secret) -> Result<Secret, KeyringTrouble> {
    let lines = || output.expose().split(|byte| *byte == b'\n');
    if output.expose().trim_ascii().is_empty() {
        return Err(KeyringTrouble::Gone);
    }
    let Some(text) = lines().find_map(|line| line.strip_prefix(b"secret = ")) else {
        // It is named and its value is not given.
        return Err(KeyringTrouble::Locked);
    };
    from_hex(text).ok_or(KeyringTrouble::Other)
}

fn from_hex(text: &[u8]) -> Option<Secret> {
    if text.len() != 2 * KEYRING_KEY_BYTES {
        return None;
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    };
    // At its full length from the start: a vector that grows leaves its old memory behind.
    let mut out = Vec::with_capacity(KEYRING_KEY_BYTES);
    for two in text.chunks(2) {
        match pair(two) {
            Some(byte) => out.push(byte),
            None => {
                drop(Secret::new(out));
                return None;
            }
        }
    }
    Some(Secret::new(out))
}

struct Tool(PathBuf);

struct Said {
    status: ExitStatus,
    output: Secret,
}

impl Tool {
    fn find(places: &[&str]) -> Result<Self, KeyringTrouble> {
        places.iter().map(Path::new).find(|path| path.is_file()).map(|path| Self(path.to_owned())).ok_or(KeyringTrouble::NoTool)
    }

    fn run(&self, verb: &str, options: &[&str], attributes: &[&str], input: Option<&Secret>) -> Result<Said, KeyringTrouble> {
        let mut command = Command::new(&self.0);
        command.arg(verb).args(options).args(attributes).env_clear().current_dir("/");
        command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() }).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|_| KeyringTrouble::NoTool)?;
        let deadline = Instant::now() + KEYRING_WAIT;
        let done = talk(&mut child, input, deadline);
        if done.is_err() {
            // It has ended already, or ends now.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|_| KeyringTrouble::Silent)?;
        Ok(Said { status, output: done? })
    }
}

/// Gives the input, takes the output, and looks on until the end, all within the time.
fn talk(child: &mut Child, input: Option<&Secret>, deadline: Instant) -> Result<Secret, KeyringTrouble> {
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        // Shorter than a pipe holds, so that it does not wait. A tool that ended without reading says so by its status.
        let _ = pipe.write_all(input.expose());
    }
    let mut output = zeroize::Zeroizing::new(vec![0; KEYRING_ANSWER_BYTES_MAX + 1]);
    let mut filled = 0;
    if let Some(mut pipe) = child.stdout.take() {
        loop {
            wait(&pipe, deadline)?;
            let read = pipe.read(output.get_mut(filled..).unwrap_or_default()).map_err(|_| KeyringTrouble::Silent)?;
            filled += read;
            if filled > KEYRING_ANSWER_BYTES_MAX {
                return Err(KeyringTrouble::Silent);
            }
            if read == 0 {
                break;
            }
        }
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(KeyringTrouble::Silent)?;
    let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| KeyringTrouble::Silent)?;
    wait(&process, deadline)?;
    Ok(Secret::new(output.get(..filled).unwrap_or_default().to_vec()))
}

fn wait(on: &impl AsFd, deadline: Instant) -> Result<(), KeyringTrouble> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| KeyringTrouble::Silent)?;
        match poll(&mut [PollFd::new(on, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(KeyringTrouble::Silent),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Err(KeyringTrouble::Silent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<u8>, KeyringTrouble> {
        key_in(&Secret::new(text.as_bytes().to_vec())).map(|key| key.expose().to_vec())
    }

    #[test]
    fn what_the_tool_prints_is_a_key_or_tells_why_not() {
        let key = "0a".repeat(KEYRING_KEY_BYTES);
        assert_eq!(read(&format!("[/1]\nlabel = marque\nsecret = {key}\ncreated = now\n")), Ok(vec![10; KEYRING_KEY_BYTES]));
        assert_eq!(read(""), Err(KeyringTrouble::Gone));
        assert_eq!(read("[/1]\nlabel = \ncreated = \n"), Err(KeyringTrouble::Locked));
        for other in [key[2..].to_owned(), format!("{key}0a"), key.replacen('0', "g", 1), "hunter2".into(), String::new()] {
            assert_eq!(read(&format!("[/1]\nsecret = {other}\n")), Err(KeyringTrouble::Other), "{other}");
        }
    }

    #[test]
    fn a_missing_tool_is_told_apart_and_named_by_its_package() {
        assert_eq!(Tool::find(&["/nowhere/secret-tool"]).err(), Some(KeyringTrouble::NoTool));
        assert!(KeyringTrouble::NoTool.help().contains("libsecret-tools"));
    }

    #[test]
    fn an_answer_has_as_many_bytes_as_allowed_and_not_one_more() {
        let tool = Tool("/usr/bin/head".into());
        for (bytes, fits) in [(KEYRING_ANSWER_BYTES_MAX, true), (KEYRING_ANSWER_BYTES_MAX + 1, false)] {
            let said = tool.run("-c", &[&bytes.to_string()], &["/dev/zero"], None);
            assert_eq!(said.map(|said| said.output.len()).ok(), fits.then_some(bytes));
        }
    }

    #[test]
    fn a_tool_that_does_not_end_is_ended() {
        let mut child = Command::new("/usr/bin/sleep").arg("600").stdout(Stdio::piped()).spawn().unwrap();
        let deadline = Instant::now() + std::time::Duration::from_millis(50);
        assert_eq!(talk(&mut child, None, deadline).err(), Some(KeyringTrouble::Silent));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
