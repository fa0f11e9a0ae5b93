//! Which environment things belong to (I8): hosts, accounts, databases, resources of services. Each belongs to one: of
//! entries that overlap the narrower counts, and two that overlap without one being narrower may not differ.

mod host;
mod index;
mod pattern;

pub use index::{Found, Index};
pub use pattern::Pattern;

use crate::limits::{NAME_BYTES_MAX, REGISTRY_ENTRIES_MAX};
use crate::session::{UnknownWord, coded};
use host::HostPattern;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

coded! {
    /// What an entry names.
    Kind {
        /// A host: a name, `*.zone`, an address, a network.
        Host = 1 "host",
        /// Everything of one account or organisation at a service.
        Account = 2 "account",
        /// A database by name. Recorded; no profile speaks of databases yet.
        Database = 3 "database",
        /// A resource of a service and everything below it.
        Resource = 4 "resource",
    }
}

/// Why a text names nothing that can be registered, or cannot be registered beside what is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// The kind of entry is none of the known ones.
    #[error("`{0}` is none of `host`, `account`, `database`, `resource`")]
    Kind(String),
    /// The host is neither name nor zone nor address nor network.
    #[error("`{0}` names no host: write a name, `*.zone`, an address, or a network like `10.0.0.0/8`")]
    Host(String),
    /// The resource is no pattern.
    #[error("`{0}` {1}")]
    Resource(String, &'static str),
    /// A name is missing, too long, or of strange letters.
    #[error("`{0}` is no name")]
    Name(String),
    /// A host has no service, and everything else has one.
    #[error("a {0} entry {1}")]
    Service(Kind, &'static str),
    /// The same, or something that overlaps without being narrower, belongs to another environment.
    #[error("`{0}` belongs to `{1}`")]
    Taken(Selector, String),
    /// There are too many entries.
    #[error("the registry holds {REGISTRY_ENTRIES_MAX} entries and takes no more")]
    Full,
}

/// What an entry names, in the one form in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// What kind of thing.
    pub kind: Kind,
    /// The service; empty for hosts.
    pub service: String,
    /// Its name or pattern.
    pub name: String,
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Host => write!(f, "host {}", self.name),
            kind => write!(f, "{kind} {} {}", self.service, self.name),
        }
    }
}

/// A word without blanks.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether that can be the name of an environment.
#[must_use]
pub fn is_environment(text: &str) -> bool {
    is_word(text)
}

fn plain(text: &str) -> Result<(), RegistryError> {
    let fits = is_word(text) && !text.contains(['/', '@', '*']) && !matches!(text, "." | "..");
    if fits { Ok(()) } else { Err(RegistryError::Name(text.chars().take(64).collect())) }
}

impl Selector {
    /// Reads what people write: a kind, a service for all but hosts, a name. Hosts and accounts become lower case.
    ///
    /// # Errors
    /// [`RegistryError`] where it names nothing.
    pub fn parse(kind: &str, service: &str, name: &str) -> Result<Self, RegistryError> {
        let kind: Kind = kind.parse().map_err(|_| RegistryError::Kind(kind.chars().take(64).collect()))?;
        match (kind, service) {
            (Kind::Host, "") => {
                let name = name.to_ascii_lowercase();
                HostPattern::parse(&name)?;
                return Ok(Self { kind, service: String::new(), name });
            }
            (Kind::Host, _) => return Err(RegistryError::Service(kind, "has no service")),
            (_, "") => return Err(RegistryError::Service(kind, "needs a service")),
            (_, service) if !is_word(service) => return Err(RegistryError::Name(service.chars().take(64).collect())),
            _ => {}
        }
        let name = name.to_ascii_lowercase();
        match kind {
            Kind::Resource => {
                Pattern::parse(&name)?;
            }
            _ => plain(&name)?,
        }
        Ok(Self { kind, service: service.to_owned(), name })
    }
}

/// What an entry covers of its service. Profiles name an organisation itself `org/NAME`.
fn patterns_of(selector: &Selector) -> Vec<Pattern> {
    let texts = match selector.kind {
        Kind::Resource => vec![selector.name.clone()],
        Kind::Account => vec![selector.name.clone(), format!("org/{}", selector.name)],
        Kind::Host | Kind::Database => Vec::new(),
    };
    texts.iter().filter_map(|text| Pattern::parse(text).ok()).collect()
}

/// One thing and the environment that it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub selector: Selector,
    /// Where it belongs.
    pub environment: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} → {}", self.selector, self.environment)
    }
}

/// All entries.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    entries: BTreeMap<Selector, Arc<Entry>>,
    index: Option<Arc<Index>>,
}

/// What it is asked follows from the entries.
impl PartialEq for Registry {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}
impl Eq for Registry {}

impl Registry {
    /// A registry of these entries.
    pub(crate) fn of(entries: BTreeMap<Selector, String>) -> Self {
        let entry = |(selector, environment): (Selector, String)| (selector.clone(), Arc::new(Entry { selector, environment }));
        let mut this = Self { entries: entries.into_iter().map(entry).collect(), index: None };
        this.compile();
        this
    }

    /// Every entry, by kind, service and name.
    pub fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// The entry of exactly that.
    #[must_use]
    pub fn get(&self, selector: &Selector) -> Option<&Arc<Entry>> {
        self.entries.get(selector)
    }

    /// What is asked; none where nothing is registered.
    #[must_use]
    pub const fn index(&self) -> Option<&Arc<Index>> {
        self.index.as_ref()
    }

    /// Whether that may be registered beside what is there. What is there already in the same words may.
    ///
    /// # Errors
    /// [`RegistryError::Taken`] with the entry that is in the way, and [`RegistryError::Full`].
    pub fn judge(&self, selector: &Selector, environment: &str) -> Result<(), RegistryError> {
        let taken = |entry: &Arc<Entry>| Err(RegistryError::Taken(entry.selector.clone(), entry.environment.clone()));
        match self.entries.get(selector) {
            Some(same) if same.environment != environment => return taken(same),
            Some(_) => return Ok(()),
            None if self.entries.len() >= REGISTRY_ENTRIES_MAX => return Err(RegistryError::Full),
            None => {}
        }
        let mine = patterns_of(selector);
        let others = self.entries.values().filter(|e| e.selector.service == selector.service && e.environment != environment);
        for entry in others {
            // Where one covers the other alone, it is clear which of them counts.
            let unclear = |a: &Pattern, b: &Pattern| a.overlaps(b) && a.covers(b) == b.covers(a);
            if patterns_of(&entry.selector).iter().any(|theirs| mine.iter().any(|mine| unclear(mine, theirs))) {
                return taken(entry);
            }
        }
        Ok(())
    }

    pub(crate) fn add(&mut self, selector: Selector, environment: String) {
        self.entries.insert(selector.clone(), Arc::new(Entry { selector, environment }));
        self.compile();
    }

    pub(crate) fn remove(&mut self, selector: &Selector) {
        self.entries.remove(selector);
        self.compile();
    }

    fn compile(&mut self) {
        self.index = (!self.entries.is_empty()).then(|| Arc::new(Index::new(self.entries.values())));
    }
}
