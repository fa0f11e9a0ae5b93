//! Scripts: the file that an interpreter will read, and how it is made to read what was judged.
//!
//! An interpreter opens its script by name, after the verdict. Verifying the name at that moment would not do: whoever races
//! writes into the file while it is read. Therefore the interpreter of a script that the session can change is followed, system
//! call by system call, until it opens the script, and is given a sealed copy of the judged bytes instead ([`super::watch`]).

use std::io::Read;
use std::sync::Arc;

use super::identity::{Identified, sha256};
use super::limits::SCRIPT_BYTES_MAX;
use super::memory::Strings;
use super::resolve::{Base, View, Walk};

mod arguments;
use arguments::Family;

/// A script, as it was judged.
#[derive(Debug, Clone)]
pub struct Script {
    /// Its name in the arguments of the interpreter.
    pub path: Vec<u8>,
    /// Its bytes, at most [`SCRIPT_BYTES_MAX`]. Empty where there is no such file.
    pub bytes: Arc<[u8]>,
    /// There are more bytes.
    pub truncated: bool,
    /// Digest of the bytes.
    pub sha256: [u8; 32],
    /// Whether these are the bytes that will run.
    pub held: Held,
    pub(super) hold: Option<Arc<Hold>>,
}

/// Whether the bytes that were judged are those that will run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// Yes: nobody in the session can change the file or its name.
    Fixed,
    /// Yes: its interpreter gets a copy.
    Given,
    /// The program named first (`env`) starts another one, which is judged in turn with its script.
    Again,
    /// No: the interpreter is not known, its options are not, the file is not there or too long. The verdict must not rest on the
    /// bytes.
    No,
}

/// What the gate must know to hand over a script.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) bytes: Arc<[u8]>,
    pub(super) dev: u64,
    pub(super) ino: u64,
    /// Full names that mean it.
    pub(super) names: Vec<Vec<u8>>,
    /// Names on the way to it that are no symbolic links.
    pub(super) plain: Vec<Vec<u8>>,
    /// Symbolic links on the way to it.
    pub(super) links: Vec<(Vec<u8>, Vec<u8>)>,
    /// How often the interpreter opens it.
    pub(super) opens: u32,
}

/// What is around a script.
pub(super) struct Place<'a> {
    pub(super) view: &'a View,
    pub(super) cwd: &'a [u8],
    /// The session runs as root: what belongs to root is not out of its reach.
    pub(super) as_root: bool,
}

/// Finds the script of a program that starts with `argv`. `shebang` is the argument in which the kernel put the script's name.
pub(super) fn find(place: &Place<'_>, binary: &Identified, argv: &Strings, shebang: Option<usize>) -> Option<Script> {
    let args: Vec<&[u8]> = argv.iter().collect();
    let real = super::resolve::name_of(std::os::fd::AsFd::as_fd(binary.file.name())).unwrap_or_default();
    let family = Family::of(&real, &args);
    let index = family.and_then(|family| family.script(&args));
    let path = args.get(index.or(shebang)?)?.to_vec();
    let again = shebang.is_some() && arguments::base(&real) == b"env";
    // The kernel put the name where the interpreter does not look for a script: it is an argument then, whatever it does with it.
    let known = family.filter(|_| index.is_some() && (shebang.is_none() || shebang == index) && !argv.truncated);
    let walk = place.view.walk(Base::Cwd, &path, place.cwd.to_vec());
    Some(match walk.ok().and_then(|walk| read(&walk).map(|bytes| (walk, bytes))) {
        None => Script::unheld(path, Arc::default(), false),
        Some((_, (bytes, true))) => Script::unheld(path, bytes, true),
        Some((_, (bytes, false))) if again => Script { held: Held::Again, ..Script::unheld(path, bytes, false) },
        Some((walk, (bytes, false))) => held(path, bytes, walk, known, place),
    })
}

impl Script {
    fn unheld(path: Vec<u8>, bytes: Arc<[u8]>, truncated: bool) -> Self {
        let sha256 = sha256(&bytes);
        Self { path, bytes, truncated, sha256, held: Held::No, hold: None }
    }
}

fn held(path: Vec<u8>, bytes: Arc<[u8]>, walk: Walk, family: Option<Family>, place: &Place<'_>) -> Script {
    let mut script = Script::unheld(path, bytes, false);
    let frozen = if place.as_root { false } else { walk.frozen };
    let Ok(status) = rustix::fs::fstat(&walk.file) else { return script };
    if frozen {
        script.held = Held::Fixed;
    } else if let Some(family) = family {
        script.held = Held::Given;
        let named = absolute(place.cwd, &script.path);
        script.hold = Some(Arc::new(Hold {
            bytes: Arc::clone(&script.bytes),
            dev: status.st_dev,
            ino: status.st_ino,
            names: vec![named, walk.name],
            plain: walk.plain,
            links: walk.links,
            opens: family.opens(),
        }));
    }
    script
}

fn read(walk: &Walk) -> Option<(Arc<[u8]>, bool)> {
    let status = rustix::fs::fstat(&walk.file).ok()?;
    if rustix::fs::FileType::from_raw_mode(status.st_mode) != rustix::fs::FileType::RegularFile {
        return None;
    }
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&walk.file));
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(SCRIPT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let truncated = bytes.len() > SCRIPT_BYTES_MAX;
    bytes.truncate(SCRIPT_BYTES_MAX);
    Some((bytes.into(), truncated))
}

/// `path` from the root on, by its letters: `.` and `..` are taken out without looking.
pub(super) fn absolute(cwd: &[u8], path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    let start = if path.starts_with(b"/") { &[][..] } else { cwd };
    for name in start.split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.iter().flat_map(|name| [b"/", *name].concat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_absolute_by_their_letters() {
        assert_eq!(absolute(b"/a/b", b"c/./../d//e"), b"/a/b/d/e");
        assert_eq!(absolute(b"/a", b"/x/../../y"), b"/y");
        assert_eq!(absolute(b"/", b"."), b"");
    }
}
