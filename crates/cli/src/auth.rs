//! The passphrase: from a descriptor, or from the terminal before the agent gets it. Never from argv or a variable.

use crate::args::Global;
use crate::out::Failure;
use rustix::fd::AsFd;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::io::{BufRead, BufReader, Read, Write};

/// Longest passphrase.
const BYTES_MAX: u64 = 1024;

/// Reads the passphrase once.
pub(crate) fn passphrase(global: &Global, prompt: &str) -> Result<String, Failure> {
    match global.auth_fd {
        Some(fd) => from_descriptor(fd),
        None => from_terminal(prompt),
    }
}

/// A passphrase that is being set: asked twice on a terminal.
pub(crate) fn new_passphrase(global: &Global) -> Result<String, Failure> {
    if let Some(fd) = global.auth_fd {
        return from_descriptor(fd);
    }
    let first = from_terminal("New passphrase for marque (at least 8 characters): ")?;
    let second = from_terminal("Once more: ")?;
    if first == second { Ok(first) } else { Err(Failure::usage("the two passphrases differ", "try again")) }
}

fn from_descriptor(fd: i32) -> Result<String, Failure> {
    let unreadable = |e: std::io::Error| Failure::usage(format!("descriptor {fd} cannot be read: {e}"), "give an open one with `--auth-fd`");
    // The descriptor's file is opened anew, so that no raw descriptor has to be trusted.
    let file = std::fs::File::open(format!("/proc/self/fd/{fd}")).map_err(unreadable)?;
    let mut line = String::new();
    BufReader::new(file.take(BYTES_MAX)).read_line(&mut line).map_err(unreadable)?;
    // What this program starts inherits descriptors: an agent must not find the passphrase in one of its own.
    if fd > 2 {
        nix::unistd::close(fd).map_err(|e| unreadable(e.into()))?;
    }
    let text = line.trim_end_matches(['\r', '\n']).to_owned();
    if text.is_empty() {
        return Err(Failure::usage(format!("descriptor {fd} holds no passphrase"), "write one line to it"));
    }
    Ok(text)
}

fn from_terminal(prompt: &str) -> Result<String, Failure> {
    let help = "run this in a terminal, or give the passphrase with `--auth-fd N`";
    let tty = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut tty = tty.map_err(|_| Failure::usage("a passphrase is needed and there is no terminal", help))?;
    let broken = |e: std::io::Error| Failure::usage(format!("the terminal cannot be used: {e}"), help);
    let before = tcgetattr(tty.as_fd()).map_err(|e| broken(e.into()))?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    write!(tty, "{prompt}").map_err(broken)?;
    tcsetattr(tty.as_fd(), OptionalActions::Flush, &hidden).map_err(|e| broken(e.into()))?;
    let mut line = String::new();
    let clone = tty.try_clone().map_err(broken)?;
    let read = BufReader::new(clone.take(BYTES_MAX)).read_line(&mut line);
    // Whatever was read: the terminal shows again what is typed.
    let restored = tcsetattr(tty.as_fd(), OptionalActions::Flush, &before);
    writeln!(tty).map_err(broken)?;
    read.map_err(broken)?;
    restored.map_err(|e| broken(e.into()))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
