//! What this launcher was told, kept outside the data directory: the latest checkpoint of every statement. A journal that
//! does not contain it is refused later.

use crate::out::Failure;
use crate::paths::{Paths, closed};
use marque_api::control::Statement;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat, unlinkat};
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};

const FILE: &str = "last-checkpoint";
/// Longest checkpoint that is compared, in bytes.
const NOTE_BYTES_MAX: u64 = 64 << 10;

/// Whether no run has ended here before.
pub(super) fn is_first_run(paths: &Paths) -> bool {
    !paths.state.join(FILE).exists()
}

/// Keeps the statement's checkpoint, unless a later one of the same journal is kept: runs end in any order.
pub(super) fn remember(paths: &Paths, statement: &Statement) -> Result<(), Failure> {
    let Some(note) = &statement.checkpoint else { return Ok(()) };
    let dir = closed(&paths.state)?;
    keep(&dir, note).map_err(|e| Failure::new(format!("the checkpoint cannot be remembered: {e}"), "give another `--state-dir`"))
}

fn keep(dir: &File, note: &str) -> std::io::Result<()> {
    // Between reading the old one and putting the new one there, nobody else does. It is let go with the handle.
    dir.lock()?;
    if kept(dir).is_some_and(|old| is_later(&old, note)) {
        return Ok(());
    }
    // A name of its own, made by nobody else: a file or link that is there already is not written to.
    let fresh = format!("{FILE}.{}.{:016x}", std::process::id(), RandomState::new().hash_one(()));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(dir, &fresh, flags, Mode::RUSR | Mode::WUSR)?);
    let put = file.write_all(note.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| Ok(renameat(dir, &fresh, dir, FILE)?));
    if put.is_err() {
        // It would be in nobody's way; the first failure is the one to tell.
        let _ = unlinkat(dir, &fresh, AtFlags::empty());
    }
    put.and_then(|()| dir.sync_all())
}

fn kept(dir: &File) -> Option<String> {
    let file = openat(dir, FILE, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut text = String::new();
    File::from(file).take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Whether both are of one journal and the first is of more records. What cannot be read is later than nothing.
fn is_later(old: &str, new: &str) -> bool {
    let head = |note: &str| {
        let mut lines = note.lines();
        Some((lines.next()?.to_owned(), lines.next()?.parse::<u64>().ok()?))
    };
    match (head(old), head(new)) {
        (Some((old_log, old_size)), Some((new_log, new_size))) => old_log == new_log && old_size > new_size,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{FILE, keep};
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    fn note(log: &str, size: u64) -> String {
        format!("{log}\n{size}\nAAAA\n\n— {log} BBBB\n")
    }

    #[test]
    fn runs_that_end_together_all_remember_and_the_latest_stays() {
        let dir = tempfile::tempdir().unwrap();
        let keep_in = |size| keep(&File::open(dir.path()).unwrap(), &note("log", size)).unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                scope.spawn(move || (0..25).for_each(|m| keep_in(1 + m * 8 + n)));
            }
        });
        let path = dir.path().join(FILE);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), note("log", 200));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.path().read_dir().unwrap().count(), 1, "nothing is left beside it");
        keep_in(199);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), note("log", 200), "an older one does not replace it");
        keep(&File::open(dir.path()).unwrap(), &note("another", 3)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), note("another", 3));
    }

    #[test]
    fn a_link_in_its_place_is_replaced_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, dir.path().join(FILE)).unwrap();
        keep(&File::open(dir.path()).unwrap(), &note("log", 1)).unwrap();
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "precious");
        assert!(dir.path().join(FILE).symlink_metadata().unwrap().is_file());
    }
}
