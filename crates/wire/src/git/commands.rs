//! The ref commands of a push (gitprotocol-pack, "Reference Update Request").

use super::pkt::{GitError, Pkt, needed, read};
use crate::profile::limits::{COMMANDS_BYTES_MAX, REF_BYTES_MAX, REF_COMMANDS_MAX};
use std::collections::BTreeSet;

/// What a command does to its ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The old id is all zeros.
    Create,
    /// Both ids are set. A rewind looks the same.
    Update,
    /// The new id is all zeros.
    Delete,
}

impl Change {
    /// The word in matchers and attributes.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One ref command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefCommand {
    /// What it does.
    pub change: Change,
    /// Object id before, in hex.
    pub old: String,
    /// Object id after, in hex.
    pub new: String,
    /// Full name, `refs/heads/main`.
    pub name: String,
}

/// The command section of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandList {
    /// In the order written. Empty: git's probe before a large push, which changes nothing.
    pub commands: Vec<RefCommand>,
    /// As written after the NUL of the first command.
    pub capabilities: Vec<String>,
    /// Bytes of the section with its flush packets; what follows is the pack and can be streamed.
    pub end: usize,
}

/// How far a command section has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The buffer must reach this length before it is worth asking again.
    NeedMore {
        /// Bytes from the start of the body.
        at_least: usize,
    },
    /// The section ends after this many bytes; the rest of the body is the pack.
    Done {
        /// Bytes from the start of the body.
        end: usize,
    },
}

/// Finds the end of the command section in a buffer that grows. Remembers how far it came, so that many small reads
/// cost no more than one.
#[derive(Debug, Clone, Default)]
pub struct CommandScan {
    at: usize,
    first_seen: bool,
    options: bool,
    in_options: bool,
}

impl CommandScan {
    /// Looks on from where the last call stopped. `buffer` starts at the start of the body in every call.
    ///
    /// # Errors
    /// [`GitError`]; the push is then refused.
    pub fn advance(&mut self, buffer: &[u8]) -> Result<Progress, GitError> {
        loop {
            let rest = buffer.get(self.at..).unwrap_or_default();
            let Some((pkt, length)) = read(rest)? else {
                let at_least = self.at.saturating_add(needed(rest));
                return if at_least > COMMANDS_BYTES_MAX {
                    Err(GitError::TooLong)
                } else {
                    Ok(Progress::NeedMore { at_least })
                };
            };
            self.at = self.at.saturating_add(length);
            if self.at > COMMANDS_BYTES_MAX {
                return Err(GitError::TooLong);
            }
            match pkt {
                Pkt::Data(data) if !self.in_options && !self.first_seen && !data.starts_with(b"shallow ") => {
                    self.first_seen = true;
                    self.options = capabilities(data).any(|name| name == b"push-options");
                }
                Pkt::Data(_) => {}
                Pkt::Flush if self.options && !self.in_options => self.in_options = true,
                Pkt::Flush => return Ok(Progress::Done { end: self.at }),
                Pkt::Delim | Pkt::ResponseEnd => return Err(GitError::Command),
            }
        }
    }
}

/// Parses the command section that `bytes` begins with.
///
/// # Errors
/// [`GitError`]: signed pushes, push options, refs named twice, names that git would refuse, and every bound.
pub fn parse_commands(bytes: &[u8]) -> Result<CommandList, GitError> {
    let Progress::Done { end } = CommandScan::default().advance(bytes)? else { return Err(GitError::Truncated) };
    let mut list = CommandList { commands: Vec::new(), capabilities: Vec::new(), end };
    let mut names = BTreeSet::new();
    let mut rest = bytes.get(..end).unwrap_or_default();
    let mut flushed = false;
    while let Some((pkt, length)) = read(rest)? {
        rest = rest.get(length..).unwrap_or_default();
        match pkt {
            Pkt::Flush => flushed = true,
            Pkt::Data(_) if flushed => return Err(GitError::PushOptions),
            Pkt::Data(data) if is_shallow(data) => {}
            Pkt::Data(data) => {
                if list.commands.len() == REF_COMMANDS_MAX {
                    return Err(GitError::TooMany);
                }
                if list.commands.is_empty() {
                    list.capabilities =
                        capabilities(data).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
                }
                let command = command(data, list.commands.is_empty())?;
                if !names.insert(command.name.clone()) {
                    return Err(GitError::RefTwice);
                }
                list.commands.push(command);
            }
            Pkt::Delim | Pkt::ResponseEnd => return Err(GitError::Command),
        }
    }
    Ok(list)
}

fn is_shallow(data: &[u8]) -> bool {
    data.strip_prefix(b"shallow ").map(trim).is_some_and(is_id)
}

fn capabilities(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tail = data.iter().position(|b| *b == 0).and_then(|at| data.get(at + 1..)).unwrap_or_default();
    trim(tail).split(|b| *b == b' ').filter(|name| !name.is_empty())
}

fn trim(data: &[u8]) -> &[u8] {
    data.strip_suffix(b"\n").unwrap_or(data)
}

fn command(data: &[u8], first: bool) -> Result<RefCommand, GitError> {
    if data.starts_with(b"push-cert") {
        return Err(GitError::PushCert);
    }
    let mut halves = data.splitn(2, |b| *b == 0);
    let line = trim(halves.next().unwrap_or_default());
    // Capabilities stand behind the first command; a NUL elsewhere would end the name for one reader only.
    if halves.next().is_some() && !first {
        return Err(GitError::Command);
    }
    let mut words = line.splitn(3, |b| *b == b' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(GitError::Command);
    };
    if !is_id(old) || !is_id(new) || old.len() != new.len() {
        return Err(GitError::Command);
    }
    let name = std::str::from_utf8(name).map_err(|_| GitError::RefName)?;
    if !is_ref_name(name) {
        return Err(GitError::RefName);
    }
    let zero = |id: &[u8]| id.iter().all(|b| *b == b'0');
    let change = match (zero(old), zero(new)) {
        (true, true) => return Err(GitError::Command),
        (true, false) => Change::Create,
        (false, true) => Change::Delete,
        (false, false) => Change::Update,
    };
    let text = |id: &[u8]| String::from_utf8_lossy(id).to_ascii_lowercase();
    Ok(RefCommand { change, old: text(old), new: text(new), name: name.to_owned() })
}

/// SHA-1 or SHA-256, in hex.
fn is_id(id: &[u8]) -> bool {
    matches!(id.len(), 40 | 64) && id.iter().all(u8::is_ascii_hexdigit)
}

/// The rules of git-check-ref-format(1), for names below `refs/`.
fn is_ref_name(name: &str) -> bool {
    let part_ok = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let char_ok = |c: char| !c.is_control() && !matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    name.len() <= REF_BYTES_MAX
        && name.strip_prefix("refs/").is_some_and(|below| below.contains('/'))
        && name.split('/').all(part_ok)
        && name.chars().all(char_ok)
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: &str = "1111111111111111111111111111111111111111";
    const B: &str = "2222222222222222222222222222222222222222";
    const Z: &str = "0000000000000000000000000000000000000000";

    fn pkt(data: &str) -> String {
        format!("{:04x}{data}", data.len() + 4)
    }
    fn push(lines: &[String]) -> Vec<u8> {
        let mut out = String::new();
        for (n, line) in lines.iter().enumerate() {
            out += &pkt(&if n == 0 { format!("{line}\0 report-status agent=git/2.39") } else { line.clone() });
        }
        (out + "0000PACK....").into_bytes()
    }

    #[test]
    fn creates_updates_and_deletes_are_told_apart_and_the_pack_is_left() {
        let bytes = push(&[
            format!("{Z} {A} refs/heads/agent/x"),
            format!("{A} {B} refs/heads/main"),
            format!("{A} {Z} refs/tags/v1"),
        ]);
        let list = parse_commands(&bytes).unwrap();
        let seen: Vec<_> = list.commands.iter().map(|c| (c.change, c.name.as_str())).collect();
        assert_eq!(
            seen,
            [
                (Change::Create, "refs/heads/agent/x"),
                (Change::Update, "refs/heads/main"),
                (Change::Delete, "refs/tags/v1")
            ]
        );
        assert_eq!(&bytes[list.end..], b"PACK....");
        assert_eq!(list.capabilities, ["report-status", "agent=git/2.39"]);
    }

    #[test]
    fn a_scan_needs_no_byte_twice_and_names_what_it_needs() {
        let bytes = push(&[format!("{Z} {A} refs/heads/x")]);
        let mut scan = CommandScan::default();
        assert_eq!(scan.advance(&bytes[..2]), Ok(Progress::NeedMore { at_least: 4 }));
        let Ok(Progress::NeedMore { at_least }) = scan.advance(&bytes[..5]) else { panic!("unfinished") };
        assert_eq!(scan.advance(&bytes[..at_least]), Ok(Progress::NeedMore { at_least: at_least + 4 }));
        assert_eq!(scan.advance(&bytes[..at_least + 4]), Ok(Progress::Done { end: at_least + 4 }));
    }

    #[test]
    fn shallow_lines_are_passed_over_and_a_probe_has_no_commands() {
        let bytes = [pkt(&format!("shallow {A}")), pkt(&format!("{Z} {B} refs/heads/x\0 atomic\n")), "0000".into()].concat();
        assert_eq!(parse_commands(bytes.as_bytes()).unwrap().commands.len(), 1);
        assert!(parse_commands(b"0000").unwrap().commands.is_empty());
    }

    #[test]
    fn signed_pushes_and_push_options_are_refused() {
        let cert = [pkt("push-cert\0 report-status\n"), "0000".into()].concat();
        assert_eq!(parse_commands(cert.as_bytes()), Err(GitError::PushCert));
        let head = pkt(&format!("{Z} {A} refs/heads/x\0 push-options"));
        let with = [head.clone(), "0000".into(), pkt("ci.skip"), "0000".into()].concat();
        assert_eq!(parse_commands(with.as_bytes()), Err(GitError::PushOptions));
        assert!(parse_commands([head.clone(), "00000000".into()].concat().as_bytes()).is_ok());
        assert_eq!(parse_commands([head, "0000".into()].concat().as_bytes()), Err(GitError::Truncated));
    }

    #[test]
    fn what_git_would_refuse_or_read_otherwise_is_refused() {
        for name in ["main", "refs/main", "refs/heads/../x", "refs/heads/x.lock", "refs/heads/a b", "refs/heads//x", "refs/heads/x."]
        {
            assert!(parse_commands(&push(&[format!("{Z} {A} {name}")])).is_err(), "{name}");
        }
        for line in [format!("{Z} {Z} refs/heads/x"), format!("{A} refs/heads/x"), format!("{A} {}0 refs/heads/x", B)] {
            assert_eq!(parse_commands(&push(&[line])), Err(GitError::Command));
        }
        let twice = format!("{Z} {A} refs/heads/x");
        assert_eq!(parse_commands(&push(&[twice.clone(), twice])), Err(GitError::RefTwice));
        let nul = push(&[format!("{Z} {A} refs/heads/x"), format!("{Z} {A} refs/heads/y\0z")]);
        assert_eq!(parse_commands(&nul), Err(GitError::Command));
    }

    #[test]
    fn commands_are_bounded_at_n() {
        let many = |n: usize| push(&(0..n).map(|i| format!("{Z} {A} refs/heads/b{i}")).collect::<Vec<_>>());
        assert!(parse_commands(&many(REF_COMMANDS_MAX)).is_ok());
        assert_eq!(parse_commands(&many(REF_COMMANDS_MAX + 1)), Err(GitError::TooMany));
        let named = |n: usize| push(&[format!("{Z} {A} refs/heads/{}", "b".repeat(n - 11))]);
        assert!(parse_commands(&named(REF_BYTES_MAX)).is_ok());
        assert_eq!(parse_commands(&named(REF_BYTES_MAX + 1)), Err(GitError::RefName));
        // Shallow lines alone: the section is cut where its bytes are, with its flush packet.
        let line = pkt(&format!("shallow {A}"));
        let fill = |total: usize| {
            let lines = (total - 4) / line.len() - 1;
            let mut out = line.repeat(lines);
            let left = total - 4 - out.len();
            out += &pkt(&"x".repeat(left - 4));
            (out + "0000").into_bytes()
        };
        let at = |n: usize| CommandScan::default().advance(&fill(n));
        assert_eq!(at(COMMANDS_BYTES_MAX), Ok(Progress::Done { end: COMMANDS_BYTES_MAX }));
        assert_eq!(at(COMMANDS_BYTES_MAX + 1), Err(GitError::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic_and_pieces_give_the_same_end(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let whole = CommandScan::default().advance(&bytes);
            let mut scan = CommandScan::default();
            let first = scan.advance(&bytes[..cut.min(bytes.len())]);
            let parts = first.and_then(|_| scan.advance(&bytes));
            if let (Ok(Progress::Done { end }), Ok(Progress::NeedMore { .. })) = (whole, first) {
                prop_assert_eq!(parts, Ok(Progress::Done { end }));
            }
            let _ = parse_commands(&bytes);
        }
    }
}
