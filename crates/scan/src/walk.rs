//! The files of a given path: directories are walked within bounds, links are not followed into other directories.

use crate::beneath::Beneath;
use crate::collect::Collector;
use crate::judge::Judge;
use crate::limits::{DEPTH_MAX, ENTRIES_MAX};
use crate::places::{file, of_project};
use crate::readers::Reader;
use crate::Error;
use rustix::fs::{Dir, FileType};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that hold what others wrote, or what was built.
const SKIPPED: &[&str] = &[
    "node_modules", "target", "vendor", ".venv", "venv", "__pycache__", "dist", "build", ".cache", ".tox", ".mypy_cache", ".terraform",
    ".next", ".direnv", ".hg", ".svn", ".cargo", ".rustup", ".npm",
];

/// Looks at one given path.
pub(crate) fn path(judge: &Judge, given: &Path, home: Option<&Path>, into: &mut Collector<'_>) -> Result<(), Error> {
    let failed = |e: std::io::Error| Error::Path { path: given.display().to_string(), why: e.to_string() };
    let meta = std::fs::metadata(given).map_err(failed)?;
    if meta.is_dir() {
        let beneath = Beneath::new(given).map_err(failed)?;
        walk(judge, &beneath, given, home, into);
        return Ok(());
    }
    // A file that is given by name is looked at whatever it is called.
    let name = given.file_name().unwrap_or(given.as_os_str());
    let dir = given.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beneath = Beneath::new(dir).map_err(failed)?;
    let how = of_project(given).unwrap_or(("text", Reader::Text));
    file(judge, &beneath, Path::new(name), &given.display().to_string(), how, into);
    Ok(())
}

fn walk(judge: &Judge, beneath: &Beneath, given: &Path, home: Option<&Path>, into: &mut Collector<'_>) {
    // The home's own dotfiles have their table: below it only projects are looked for.
    let is_home = home.is_some_and(|h| std::fs::canonicalize(given).is_ok_and(|g| g == h));
    let mut entries = 0;
    let mut next: Vec<(PathBuf, usize)> = vec![(PathBuf::new(), 0)];
    while let Some((dir, depth)) = next.pop() {
        let shown_dir = shown(given, &dir);
        let listing = beneath.dir(&dir).and_then(Dir::new);
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                into.note(format!("`{shown_dir}` cannot be read: {error}"));
                continue;
            }
        };
        let mut found: Vec<(Vec<u8>, FileType)> = Vec::new();
        for entry in listing.flatten() {
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            entries += 1;
            if entries > ENTRIES_MAX {
                return into.note(format!("only {ENTRIES_MAX} entries below `{}` were looked at: give a narrower path", given.display()));
            }
            found.push((name.to_vec(), entry.file_type()));
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        for (name, kind) in found {
            let path = dir.join(OsStr::from_bytes(&name));
            if kind == FileType::Directory {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                let hidden = is_home && name.starts_with('.');
                if SKIPPED.contains(&name) || hidden {
                } else if name == ".git" {
                    look(judge, beneath, given, &path.join("config"), into);
                } else if depth < DEPTH_MAX {
                    next.push((path, depth + 1));
                } else {
                    into.note(format!("`{}` is too deep to be looked at", shown(given, &path)));
                }
            } else if !(is_home && depth == 0) {
                look(judge, beneath, given, &path, into);
            }
        }
    }
}

fn look(judge: &Judge, beneath: &Beneath, given: &Path, path: &Path, into: &mut Collector<'_>) {
    if let Some(how) = of_project(path) {
        file(judge, beneath, path, &shown(given, path), how, into);
    }
}

/// As people write it: relative to where they stand.
fn shown(given: &Path, path: &Path) -> String {
    match given == Path::new(".") {
        true if path.as_os_str().is_empty() => ".".into(),
        true => path.display().to_string(),
        false => given.join(path).display().to_string(),
    }
}
