//! The answer: everything that a command would do, as far as it can be read. Parts are joined; nothing lowers anything.

use crate::limits::{FINDINGS_MAX, REASONS_MAX, TEXT_BYTES_MAX};
use marque_model::Effect;

/// What one part of a command does to the world, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum Kind {
    /// Looks.
    Read = 1,
    /// Changes something that can be changed back.
    Write = 2,
    /// Removes or overwrites.
    Destructive = 3,
    /// Makes something public, or hands it to others to run.
    Publish = 4,
    /// Runs something on another machine, or with the rights of another machine.
    RemoteExec = 5,
    /// Shows a credential.
    CredentialReveal = 6,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Destructive, Self::Publish, Self::RemoteExec, Self::CredentialReveal];

    /// The word used in the catalogue and in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Destructive => "destructive",
            Self::Publish => "publish",
            Self::RemoteExec => "remote-exec",
            Self::CredentialReveal => "credential-reveal",
        }
    }

    /// The house's effect that this kind has where a rule does not say another.
    #[must_use]
    pub const fn effect(self) -> Effect {
        match self {
            Self::Read => Effect::Read,
            Self::Write | Self::Publish => Effect::Write,
            Self::Destructive => Effect::Destructive,
            // Code that runs with another machine's own credentials.
            Self::RemoteExec => Effect::Grant,
            Self::CredentialReveal => Effect::Reveal,
        }
    }
}

/// Which environment the words of a command hint at. A hint informs; the registry of the authority is stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Environment {
    /// No hint.
    #[default]
    Unknown = 0,
    /// Development, tests, sandboxes.
    Development = 1,
    /// Staging and acceptance.
    Staging = 2,
    /// Production. Wins over any other hint.
    Production = 3,
}

impl Environment {
    /// Every environment, in order.
    pub const ALL: [Self; 4] = [Self::Unknown, Self::Development, Self::Staging, Self::Production];

    /// The word used in records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

/// One thing that a command would do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The program: `aws`.
    pub tool: String,
    /// The service that it speaks to, or `local`.
    pub service: String,
    /// What it does there: the name of the rule.
    pub operation: String,
    /// The house's word for it.
    pub effect: Effect,
    /// What it does to the world.
    pub kind: Kind,
    /// What it is done to, without credentials, where that is known.
    pub target: Option<String>,
    /// Which environment that hints at.
    pub environment: Environment,
    /// The credential that is touched and how.
    pub credential: Option<String>,
    /// Whether it is asked about without a credential too: the whole disk, the raw network.
    pub severe: bool,
}

impl Finding {
    /// Whether this is a question for a human where policy says nothing else.
    #[must_use]
    pub fn asks(&self) -> bool {
        match self.kind {
            Kind::Read => self.severe,
            Kind::Write => self.severe || self.effect == Effect::Grant || (self.credential.is_some() && self.environment == Environment::Production),
            Kind::Destructive => self.severe || self.credential.is_some(),
            Kind::Publish | Kind::RemoteExec | Kind::CredentialReveal => true,
        }
    }
}

/// Everything that a command would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reading {
    /// What it does, in order and each once.
    pub findings: Vec<Finding>,
    /// Why it cannot be known: never better than a question.
    pub unknown: Vec<String>,
    /// Code that is run and not read: bounded by files, network and the judgment of each command that it starts.
    pub opaque: Vec<String>,
    /// Sensitive variables that differ from the session's baseline, or that the command sets.
    pub env_changed: Vec<String>,
}

impl Reading {
    /// The strictest kind found.
    #[must_use]
    pub fn worst(&self) -> Option<Kind> {
        self.findings.iter().map(|finding| finding.kind).max()
    }

    /// Whether any part touches a credential.
    #[must_use]
    pub fn touches_credential(&self) -> bool {
        self.findings.iter().any(|finding| finding.credential.is_some() || finding.kind == Kind::CredentialReveal)
    }

    /// Whether this is a question for a human where policy says nothing else.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.unknown.is_empty() || self.findings.iter().any(Finding::asks)
    }

    /// How much care it asks for, to compare two readings: no part that is added makes any of these smaller.
    #[must_use]
    pub fn weight(&self) -> (bool, bool, Option<Kind>, bool, bool) {
        (self.asks(), !self.unknown.is_empty(), self.worst(), self.touches_credential(), !self.opaque.is_empty())
    }

    /// Whether `other` asks for as much care in every respect.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let (mine, its) = (self.weight(), other.weight());
        mine.0 >= its.0 && mine.1 >= its.1 && mine.2 >= its.2 && mine.3 >= its.3 && mine.4 >= its.4
    }

    pub(crate) fn find(&mut self, mut finding: Finding) {
        for text in [&mut finding.tool, &mut finding.service, &mut finding.operation] {
            cut(text);
        }
        for text in [&mut finding.target, &mut finding.credential].into_iter().flatten() {
            cut(text);
        }
        if let Err(at) = self.findings.binary_search(&finding) {
            if self.findings.len() < FINDINGS_MAX {
                self.findings.insert(at, finding);
            } else {
                self.doubt("more is done than can be listed");
                self.replace_least(finding);
            }
        }
    }

    /// A full list keeps what asks for the most care, so that much that is harmless cannot push out what is not.
    fn replace_least(&mut self, finding: Finding) {
        let care = |finding: &Finding| (finding.asks(), finding.kind, finding.credential.is_some());
        let least = self.findings.iter().enumerate().min_by_key(|(_, finding)| care(finding)).map(|(at, least)| (at, care(least)));
        if let Some((at, least)) = least
            && care(&finding) > least
        {
            self.findings.remove(at);
            if let Err(at) = self.findings.binary_search(&finding) {
                self.findings.insert(at, finding);
            }
        }
    }

    pub(crate) fn doubt(&mut self, why: impl Into<String>) {
        note(&mut self.unknown, why.into());
    }

    pub(crate) fn unread(&mut self, why: impl Into<String>) {
        note(&mut self.opaque, why.into());
    }

    pub(crate) fn variable(&mut self, name: &str) {
        note(&mut self.env_changed, name.to_owned());
    }
}

/// Adds a text once. A full list stays as it is: one reason is enough.
fn note(list: &mut Vec<String>, mut text: String) {
    cut(&mut text);
    if let Err(at) = list.binary_search(&text)
        && list.len() < REASONS_MAX
    {
        list.insert(at, text);
    }
}

/// Texts of a reading are short and printable: they are recorded and shown to humans.
fn cut(text: &mut String) {
    if text.chars().any(char::is_control) {
        *text = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    }
    let mut end = TEXT_BYTES_MAX;
    if text.len() > end {
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
