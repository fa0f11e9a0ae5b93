//! The command line.

use crate::Result;
use std::path::PathBuf;
use std::time::Duration;

const USAGE: &str = "usage: marque-bench requests|tls|connections|chain|journal [--seconds S] [--rounds N] [--slack F] \
                     [--marque FILE] [--dir DIR] [--save DIR] [--only NAME,…]\n       marque-bench tables [--check]";

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bench {
    Requests,
    Tls,
    Connections,
    Chain,
    Journal,
    Tables,
}

impl Bench {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tls => "tls",
            Self::Connections => "connections",
            Self::Chain => "chain",
            Self::Journal => "journal",
            Self::Tables => "tables",
        }
    }
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Args {
    pub(crate) bench: Bench,
    /// Length of one sample.
    pub(crate) time: Duration,
    /// Samples of each subject.
    pub(crate) rounds: usize,
    /// A target may be missed by this factor: 1 in the long form.
    pub(crate) slack: f64,
    /// The binary that is measured.
    pub(crate) marque: PathBuf,
    /// Where data directories are made, and left: the disk that the journal is on.
    pub(crate) dir: PathBuf,
    /// Where the samples are written.
    pub(crate) save: Option<PathBuf>,
    /// Measure these subjects alone: for profiling, never for a result.
    pub(crate) only: Option<Vec<String>>,
    /// Tables: only say whether they are up to date.
    pub(crate) check: bool,
}

impl Args {
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let all = [Bench::Requests, Bench::Tls, Bench::Connections, Bench::Chain, Bench::Journal, Bench::Tables];
        let first = args.next().unwrap_or_default();
        let bench = all.into_iter().find(|b| b.name() == first).ok_or(USAGE)?;
        let beside = std::env::current_exe()?.with_file_name("marque");
        let mut this = Self {
            bench,
            time: Duration::from_secs(3),
            rounds: 7,
            slack: 1.0,
            marque: beside,
            dir: std::env::temp_dir(),
            save: None,
            only: None,
            check: false,
        };
        while let Some(name) = args.next() {
            if name == "--check" {
                this.check = true;
                continue;
            }
            let value = args.next().ok_or(USAGE)?;
            match name.as_str() {
                "--seconds" => this.time = Duration::try_from_secs_f64(value.parse()?)?,
                "--rounds" => this.rounds = value.parse()?,
                "--slack" => this.slack = value.parse()?,
                "--marque" => this.marque = value.into(),
                "--dir" => this.dir = value.into(),
                "--save" => this.save = Some(value.into()),
                "--only" => this.only = Some(value.split(',').map(str::to_owned).collect()),
                _ => return Err(USAGE.into()),
            }
        }
        if this.rounds == 0 || this.slack < 1.0 {
            return Err(USAGE.into());
        }
        Ok(this)
    }

    /// Whether a subject is measured in this run.
    pub(crate) fn wants(&self, subject: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.iter().any(|name| name == subject))
    }
}
