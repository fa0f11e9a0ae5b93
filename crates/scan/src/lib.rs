//! Credentials that lie around.
//!
//! **Purpose.** Say what an agent started here could use: what stands in this shell's environment, in dotfiles, in agents'
//! configs and in the environments of running processes. Kind, place, age, sharing, who holds it now.
//!
//! **Not its job.** Following what a found credential opens, importing it, judging agents. It speaks to nobody: there is no
//! network here.
//!
//! **Invariants.** A value is never part of a [`Report`]: values are compared by a keyed hash whose key is made for one
//! scan, and are not kept. Files are opened beneath a given directory and nowhere else, so no link leads out; what is no
//! regular text file is not read; what cannot be read is said. Work is bounded by [`limits`].
//!
//! **Entry points.** [`Options`], [`scan`], [`Texts`], [`Report`].
//!
//! **How to test.** `cargo test -p marque-scan`.

mod beneath;
mod collect;
mod judge;
pub mod limits;
mod places;
mod processes;
mod readers;
mod report;
mod walk;

pub use report::{Finding, Holder, Looked, Report};

use collect::Collector;
use judge::Judge;
use std::path::{Path, PathBuf};

/// A service as the scan needs to know it; profiles have this.
#[derive(Debug, Clone, Default)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Variables that hold its credential.
    pub env: Vec<String>,
    /// Regular expression of a credential's shape, of linear time.
    pub looks: Option<String>,
}

/// What to look at. Nothing is taken from the process itself, so that a test says it all.
#[derive(Debug, Clone)]
pub struct Options {
    /// Variables of this shell.
    pub env: Vec<(String, String)>,
    /// Home directory; without one, dotfiles are not looked at.
    pub home: Option<PathBuf>,
    /// Directories and files to look at beside it.
    pub paths: Vec<PathBuf>,
    /// Where processes are shown, usually `/proc`; without it, they are not looked at.
    pub proc: Option<PathBuf>,
    /// Whose processes.
    pub uid: u32,
    /// A process that is not looked at: this one.
    pub own_pid: u32,
    /// Now, in seconds since 1970.
    pub now_s: u64,
    /// Services that are known.
    pub services: Vec<Service>,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rules do not compile.
    #[error("the detection rules do not compile: {0}")]
    Rules(#[from] marque_detect::pattern::RuleError),
    /// No random key.
    #[error("the system gives no random key")]
    Random,
    /// More paths than one scan takes.
    #[error("more than {max} paths were given")]
    Paths {
        /// [`limits::PATHS_MAX`].
        max: usize,
    },
    /// A given path does not exist or cannot be opened.
    #[error("`{path}` cannot be looked at: {why}")]
    Path {
        /// As it was given.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// What a text holds, without any file.
pub struct Texts {
    judge: Judge,
}

impl Texts {
    /// With the built-in rules and those of these services.
    ///
    /// # Errors
    /// [`Error::Rules`].
    pub fn new(services: &[Service]) -> Result<Self, Error> {
        Ok(Self { judge: Judge::new(services)? })
    }

    /// Reads a text as the file of that name would be read.
    ///
    /// # Errors
    /// [`Error::Random`].
    pub fn read(&self, name: &Path, text: &str) -> Result<Report, Error> {
        let mut into = Collector::new(&self.judge, 0)?;
        let (label, reader) = places::of_name(name);
        let found = readers::read(&self.judge, reader, label, name, text);
        found.notes.into_iter().for_each(|note| into.note(note));
        into.add(&collect::Place { shown: &name.display().to_string(), written_s: None }, found.raw);
        Ok(into.finish())
    }
}

/// Looks at everything that `options` names.
///
/// # Errors
/// [`Error`]; what cannot be read on the way is a note of the report.
pub fn scan(options: &Options) -> Result<Report, Error> {
    if options.paths.len() > limits::PATHS_MAX {
        return Err(Error::Paths { max: limits::PATHS_MAX });
    }
    let judge = Judge::new(&options.services)?;
    let mut into = Collector::new(&judge, options.now_s)?;
    places::shell(&judge, options, &mut into);
    if let Some(home) = &options.home {
        places::home(&judge, home, &options.env, &mut into);
    }
    places::named(&judge, &options.env, &mut into);
    for path in &options.paths {
        walk::path(&judge, path, options.home.as_deref(), &mut into)?;
    }
    if let Some(proc) = &options.proc {
        processes::look(&judge, proc, options, &mut into);
    }
    Ok(into.finish())
}
