//! A home of its own for each test.

use marque_scan::{Finding, Options, Report, Service, scan};
use std::path::{Path, PathBuf};

pub(crate) struct Home {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) options: Options,
}

impl Home {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let github = Service {
            name: "github".into(),
            env: vec!["GH_TOKEN".into(), "GITHUB_TOKEN".into()],
            looks: Some("gh[pousr]_[A-Za-z0-9]{36}".into()),
        };
        let options = Options {
            env: Vec::new(),
            home: Some(home),
            paths: Vec::new(),
            proc: None,
            uid: rustix::process::getuid().as_raw(),
            own_pid: 0,
            now_s: 2_000_000_000,
            services: vec![github],
        };
        Self { dir, options }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join("home").join(below)
    }

    /// Writes a file below home, an even number of days old.
    pub(crate) fn write(&self, below: &str, text: &str, days: u64) -> PathBuf {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(self.options.now_s - days * 86_400);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        path
    }

    pub(crate) fn env(&mut self, name: &str, value: &str) {
        self.options.env.push((name.to_owned(), value.to_owned()));
    }

    /// A process as `/proc` shows it.
    pub(crate) fn process(&mut self, pid: u32, name: &str, environ: &str) {
        let proc = self.dir.path().join("proc");
        let dir = proc.join(pid.to_string());
        std::fs::create_dir_all(&dir).unwrap();
        if !name.is_empty() {
            std::fs::write(dir.join("comm"), format!("{name}\n")).unwrap();
        }
        std::fs::write(dir.join("environ"), environ).unwrap();
        self.options.proc = Some(proc);
    }

    pub(crate) fn look_at(&mut self, path: &Path) {
        self.options.paths.push(path.to_owned());
    }

    pub(crate) fn scan(&self) -> Report {
        scan(&self.options).unwrap()
    }
}

/// The one finding of that name.
pub(crate) fn one<'a>(report: &'a Report, name: &str) -> &'a Finding {
    let found: Vec<_> = report.findings.iter().filter(|f| f.name == name).collect();
    assert_eq!(found.len(), 1, "{name}: {:#?}", report.findings);
    found[0]
}
