//! # Service profiles
//!
//! *Purpose*: one data file per upstream says what its requests mean: operation, resource, effect, where the credential
//! stands and where answers carry credentials.
//!
//! *Not its job*: to decide, to place, to scrub. A profile cannot widen a credential: hosts and placement are fixed in
//! the credential's own record, and a profile may only narrow them (threats C11).
//!
//! *Invariants*: what no line knows is [`Extracted::Unknown`]; two operations that claim one request are an error when
//! the profile is checked and unknown when it is used; no mutation of a request lowers its effect. No regex but `looks`.
//!
//! *Entry points*: [`Profile::parse`], [`Profile::check`], [`Profile::need`], [`Profile::extract`], [`Profile::generic`],
//! [`Egress::parse`].
//!
//! *How to test*: `cargo test -p marque-wire profile::`; `services/*.toml` carry their own examples.

mod body;
mod check;
mod decode;
mod egress;
mod error;
mod extract;
mod generic;
pub(crate) mod json;
pub mod limits;
mod matcher;
mod protocol;
mod reader;
mod returns;
#[cfg(test)]
mod shipped;
mod template;
#[cfg(test)]
mod tests;
mod view;

pub use check::{CheckProblem, Checked};
pub use egress::Egress;
pub use error::ProfileError;
pub use view::{BodyNeed, Extracted, Meaning, RequestView, Resolve, decoded_path};

use crate::answer::{AnswerField, ReturnSlot};
use crate::graphql::Fields;
use crate::place::Placement;
use marque_model::{Effect, Target};
use matcher::Matcher;
use reader::At;
use std::collections::{BTreeMap, BTreeSet};
use template::{NameTemplate, spell};

/// One upstream, as data.
#[derive(Debug, Clone)]
pub struct Profile {
    service: String,
    digest: [u8; 32],
    hosts: BTreeMap<String, Target>,
    credential: Credential,
    base: BTreeMap<String, String>,
    signed: Vec<LeadsTo>,
    variables: BTreeMap<String, VariableRule>,
    resources: BTreeMap<String, ResourceRule>,
    graphql: Option<GraphqlRule>,
    ops: Vec<Op>,
    generic: bool,
}

/// How a credential of this service is held and shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credential {
    /// Kinds that `upstream` knows, best first.
    pub kinds: Vec<String>,
    /// Variables that the session sets to the placeholder.
    pub env: Vec<String>,
    /// A regular expression of linear time: the rule that finds one.
    pub looks: Option<String>,
    /// What a placeholder looks like, so that it passes the tools' own checks: literals, classes and counts.
    pub placeholder: Option<String>,
    /// By alias: placements that are allowed, the usual one first.
    pub place: BTreeMap<String, Vec<Placement>>,
    /// Prefixes of git URLs that the session rewrites to https.
    pub rewrite: Vec<String>,
    /// By alias: slots in which a client gives back what an answer of this service gave it, where that is said.
    pub returns: BTreeMap<String, Vec<ReturnSlot>>,
}

/// A host that signed addresses in answers may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LeadsTo {
    /// That host and port.
    Host(Target),
    /// Every host below that name, on port 443.
    Below(String),
}

/// How a captured value becomes canonical.
#[derive(Debug, Clone, Default)]
struct VariableRule {
    fold: bool,
    strip: Option<String>,
    alphabet: Option<BTreeSet<char>>,
    starts: Vec<String>,
    secret: bool,
}

impl VariableRule {
    /// The value in the spelling of resources.
    fn canonical(&self, name: &str, value: &str) -> Result<String, String> {
        let refuse = |why: &str| Err(format!("`{name}` {why}"));
        // Folding beyond ASCII is not the same for any two systems.
        if self.fold && !value.is_ascii() {
            return refuse("is not ASCII, so that its case cannot be folded");
        }
        let folded = if self.fold { value.to_ascii_lowercase() } else { value.to_owned() };
        let mut value = folded.as_str();
        if let Some(suffix) = &self.strip {
            value = value.strip_suffix(suffix.as_str()).unwrap_or(value);
            let tail = value.len().checked_sub(suffix.len()).and_then(|at| value.get(at..));
            if tail.is_some_and(|tail| tail.eq_ignore_ascii_case(suffix)) {
                return refuse("has its suffix twice, or in other case");
            }
        }
        if value.is_empty() || value.split('/').any(|piece| matches!(piece, "" | "." | "..")) {
            return refuse("is empty or has an empty or dot segment");
        }
        if !self.starts.is_empty() && !self.starts.iter().any(|start| value.starts_with(start)) {
            return refuse("does not begin as such a name does");
        }
        if let Some(alphabet) = &self.alphabet
            && !value.chars().all(|c| c == '/' || alphabet.contains(&c))
        {
            return refuse("has a character that such a name has not");
        }
        Ok(spell(value))
    }
}

#[derive(Debug, Clone)]
enum ResourceRule {
    Name(NameTemplate),
    Ask { query: String, is: String },
}

#[derive(Debug, Clone)]
struct GraphqlRule {
    alias: String,
    path: String,
    fields: Fields,
}

#[derive(Debug, Clone)]
struct Op {
    /// Several tables may describe parts of one operation, where their answers differ.
    name: String,
    effect: Effect,
    /// Of the table: what tells two of one name apart.
    line: usize,
    matches: Vec<OpMatch>,
    over: Vec<At<String>>,
    attributes: BTreeMap<String, Source>,
    needs: Vec<String>,
    answers: Vec<AnswerField>,
    opaque: bool,
    multipart: bool,
    hold: Option<usize>,
    yes: Vec<At<String>>,
    no: Vec<At<String>>,
}

#[derive(Debug, Clone)]
struct OpMatch {
    matcher: Matcher,
    /// The resource template that its variables fill.
    resource: String,
    line: usize,
}

/// Where an attribute is read.
#[derive(Debug, Clone)]
enum Source {
    Body(Vec<String>),
    Query(String),
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`] with the line, for what is no profile. Examples are run by [`Profile::check`].
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        decode::profile(text)
    }

    /// Name of the service.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }
    /// SHA-256 of the text: profiles take effect by digest.
    #[must_use]
    pub const fn digest(&self) -> [u8; 32] {
        self.digest
    }
    /// Every alias with the host it has by default. The record of a credential may map an alias elsewhere.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, &Target)> {
        self.hosts.iter().map(|(alias, target)| (alias.as_str(), target))
    }
    /// The alias whose default host is that target.
    #[must_use]
    pub fn alias_of(&self, target: &Target) -> Option<&str> {
        self.aliases().find(|(_, host)| *host == target).map(|(alias, _)| alias)
    }
    /// How its credential is held and shown.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }
    /// Whether a credential record's placement is one that this profile allows at that host. Without a profile every
    /// placement is, also a segment of the path (Slack's webhooks): the record alone decides.
    #[must_use]
    pub fn allows_place(&self, alias: &str, placement: &Placement) -> bool {
        self.generic || self.credential.place.get(alias).is_some_and(|list| list.contains(placement))
    }
    /// Variables that carry a base URL, with `{alias}` where the authority of that host stands.
    #[must_use]
    pub const fn base(&self) -> &BTreeMap<String, String> {
        &self.base
    }
    /// Every operation with its effect and the permissions that it needs; one of several tables comes several times.
    pub fn operations(&self) -> impl Iterator<Item = (&str, Effect, &[String])> {
        self.ops.iter().map(|op| (op.name.as_str(), op.effect, op.needs.as_slice()))
    }
    /// Whether this is [`Profile::generic`]: no operations, effects by method.
    #[must_use]
    pub const fn is_generic(&self) -> bool {
        self.generic
    }
}
