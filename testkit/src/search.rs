//! Looks for secrets where they must not be: file trees, and the memory, environment and files of processes.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
};

use aho_corasick::AhoCorasick;

use crate::{
    encode::needles,
    error::{Error, Result, unexpected},
};

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// A place where a secret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// File, mapping or environment.
    pub place: String,
    /// Where in it.
    pub offset: u64,
    /// Which secret, by its position in the list.
    pub secret: usize,
}

/// What was searched, so that a test can check that the search was not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Places with a secret; one hit per place, secret and chunk is enough to fail a test.
    pub hits: Vec<Hit>,
    /// Bytes looked at.
    pub searched_bytes: u64,
    /// Places that could not be read, with the reason.
    pub unread: Vec<String>,
}

/// A search for secrets in every form that [`needles`] knows.
pub struct Search {
    automaton: AhoCorasick,
    owners: Vec<usize>,
    overlap: usize,
}

impl Search {
    /// A search for these secrets.
    ///
    /// # Errors
    /// When there is nothing to search for.
    pub fn new(secrets: &[&str]) -> Result<Self> {
        let mut all = Vec::new();
        let mut owners = Vec::new();
        for (at, secret) in secrets.iter().enumerate() {
            let forms = needles(secret.as_bytes());
            owners.extend(forms.iter().map(|_| at));
            all.extend(forms);
        }
        let longest = all
            .iter()
            .map(Vec::len)
            .max()
            .ok_or_else(|| unexpected("no secret to search for"))?;
        let automaton = AhoCorasick::new(&all).map_err(|error| unexpected(error.to_string()))?;
        Ok(Self {
            automaton,
            owners,
            overlap: longest,
        })
    }

    /// Searches bytes at hand.
    #[must_use]
    pub fn bytes(&self, place: &str, bytes: &[u8]) -> Findings {
        let mut findings = Findings::default();
        self.look(place, 0, bytes, &mut findings);
        findings
    }

    /// Searches file names and contents below `folder`, following no links.
    ///
    /// # Errors
    /// When `folder` itself cannot be read.
    pub fn tree(&self, folder: &Path) -> Result<Findings> {
        let mut findings = Findings::default();
        let mut folders = vec![folder.to_owned()];
        fs::read_dir(folder).map_err(|source| Error::Io {
            doing: format!("read `{}`", folder.display()),
            source,
        })?;
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else {
                findings.unread.push(folder.display().to_string());
                continue;
            };
            for entry in entries.flatten() {
                let (path, kind) = (entry.path(), entry.file_type());
                self.look(
                    &path.display().to_string(),
                    0,
                    path.as_os_str().as_encoded_bytes(),
                    &mut findings,
                );
                match kind {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => self.file(&path, &mut findings),
                    Ok(kind) if kind.is_symlink() => {
                        if let Ok(to) = fs::read_link(&path) {
                            self.look(
                                &path.display().to_string(),
                                0,
                                to.as_os_str().as_encoded_bytes(),
                                &mut findings,
                            );
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(findings)
    }

    /// Searches a process: memory, environment, command line and the regular files it has open. The caller needs the
    /// right to trace it.
    ///
    /// # Errors
    /// When the process is gone or may not be read.
    pub fn process(&self, pid: i32) -> Result<Findings> {
        let mut findings = Findings::default();
        let at = |name: &str| format!("/proc/{pid}/{name}");
        let io = |name: &str| {
            let doing = format!("read `{}`", at(name));
            move |source| Error::Io { doing, source }
        };
        let maps = fs::read_to_string(at("maps")).map_err(io("maps"))?;
        let memory = File::open(at("mem")).map_err(io("mem"))?;
        for line in maps.lines() {
            self.mapping(pid, line, &memory, &mut findings);
        }
        for name in ["environ", "cmdline"] {
            let bytes = fs::read(at(name)).map_err(io(name))?;
            self.look(&at(name), 0, &bytes, &mut findings);
        }
        for entry in fs::read_dir(at("fd")).into_iter().flatten().flatten() {
            if fs::metadata(entry.path()).is_ok_and(|meta| meta.is_file()) {
                self.file(&entry.path(), &mut findings);
            }
        }
        Ok(findings)
    }

    /// Searches a process and all its descendants. One that ends meanwhile is left out and listed as unread.
    #[must_use]
    pub fn process_tree(&self, pid: i32) -> Findings {
        let mut all = Findings::default();
        for pid in crate::proc::descendants(pid) {
            match self.process(pid) {
                Ok(findings) => all.add(findings),
                Err(error) => all.unread.push(error.to_string()),
            }
        }
        all
    }

    fn mapping(&self, pid: i32, line: &str, memory: &File, findings: &mut Findings) {
        let mut fields = line.split_whitespace();
        let (range, rights) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        let name = fields.nth(3).unwrap_or("anonymous");
        // The kernel's own pages cannot be read this way and hold nothing of the process.
        if !rights.starts_with('r') || ["[vvar]", "[vvar_vclock]", "[vsyscall]"].contains(&name) {
            return;
        }
        let bounds = range.split_once('-').and_then(|(from, to)| {
            Some((
                u64::from_str_radix(from, 16).ok()?,
                u64::from_str_radix(to, 16).ok()?,
            ))
        });
        if let Some((from, to)) = bounds {
            self.read(
                &format!("/proc/{pid}/mem {range} {name}"),
                memory,
                from,
                to,
                findings,
            );
        }
    }

    fn file(&self, path: &Path, findings: &mut Findings) {
        let place = path.display().to_string();
        match File::open(path) {
            Ok(file) => self.read(&place, &file, 0, u64::MAX, findings),
            Err(error) => findings.unread.push(format!("{place}: {error}")),
        }
    }

    fn read(&self, place: &str, file: &File, from: u64, to: u64, findings: &mut Findings) {
        let mut buffer = vec![0_u8; CHUNK_BYTES];
        let mut kept = Vec::new();
        let mut at = from;
        while at < to {
            let want = usize::try_from(to - at)
                .unwrap_or(usize::MAX)
                .min(CHUNK_BYTES);
            let Some(space) = buffer.get_mut(..want) else {
                return;
            };
            let count = match file.read_at(space, at) {
                Ok(0) => return,
                Ok(count) => count,
                // A hole (guard page, truncated mapping): go on behind it, without what was before it.
                Err(_) if to != u64::MAX => {
                    kept.clear();
                    at += 4096;
                    continue;
                }
                Err(error) => return findings.unread.push(format!("{place}: {error}")),
            };
            let start = at - u64::try_from(kept.len()).unwrap_or(0);
            kept.extend_from_slice(buffer.get(..count).unwrap_or_default());
            self.look(place, start, &kept, findings);
            let cut = kept.len().saturating_sub(self.overlap);
            kept.drain(..cut);
            at += u64::try_from(count).unwrap_or(0);
        }
    }

    fn look(&self, place: &str, start: u64, bytes: &[u8], findings: &mut Findings) {
        findings.searched_bytes += u64::try_from(bytes.len()).unwrap_or(0);
        for found in self.automaton.find_iter(bytes) {
            let secret = self
                .owners
                .get(found.pattern().as_usize())
                .copied()
                .unwrap_or_default();
            let offset = start + u64::try_from(found.start()).unwrap_or(0);
            let hit = Hit {
                place: place.to_owned(),
                offset,
                secret,
            };
            if !findings.hits.contains(&hit) {
                findings.hits.push(hit);
            }
        }
    }
}

impl Findings {
    /// Adds what another search found.
    pub fn add(&mut self, other: Self) {
        self.hits.extend(other.hits);
        self.searched_bytes += other.searched_bytes;
        self.unread.extend(other.unread);
    }
}

/// Searches a folder for secrets in every form.
///
/// # Errors
/// When the folder cannot be read.
pub fn grep_tree(folder: &Path, secrets: &[&str]) -> Result<Findings> {
    Search::new(secrets)?.tree(folder)
}

/// Searches a process's memory, environment, command line and open files for secrets in every form.
///
/// # Errors
/// When the process cannot be read.
pub fn grep_memory(pid: i32, secrets: &[&str]) -> Result<Findings> {
    Search::new(secrets)?.process(pid)
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;
    use crate::{canary, encode::Form, proc::Child};

    #[test]
    fn a_canary_is_found_in_names_contents_and_across_chunks() {
        let (secret, folder) = (canary("tree"), tempfile::tempdir().unwrap());
        let mut big = vec![b'.'; CHUNK_BYTES - 7];
        big.extend_from_slice(&Form::Base64.encode(format!("x{secret}y").as_bytes()));
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("below/big"), big).unwrap();
        fs::write(folder.path().join(format!("name-{secret}")), "nothing").unwrap();
        let findings = grep_tree(folder.path(), &["absent-from-everything", &secret]).unwrap();
        assert_eq!(
            findings.hits.iter().filter(|hit| hit.secret == 1).count(),
            2,
            "{findings:?}"
        );
        assert_eq!(findings.hits.len(), 2);
    }

    #[test]
    fn a_canary_is_found_in_memory_and_environment_of_a_child_and_not_in_another() {
        let secret = canary("memory");
        let start = |value: &str| {
            let mut command = Command::new("sh");
            command
                .env("PLANTED", value)
                .args(["-c", "echo ready; read line; true"]);
            let child = Child::spawn(&mut command).unwrap();
            child
                .wait_for_line(Duration::from_secs(10), |line| line == "ready")
                .unwrap();
            child
        };
        let (with, without) = (start(&secret), start("harmless"));
        let found = grep_memory(with.pid(), &[&secret]).unwrap();
        assert!(found.hits.iter().any(|hit| hit.place.ends_with("environ")));
        assert!(found.hits.iter().any(|hit| hit.place.contains("/mem ")));
        let clean = grep_memory(without.pid(), &[&secret]).unwrap();
        assert_eq!(clean.hits, []);
        assert!(clean.searched_bytes > 100_000);
    }
}
