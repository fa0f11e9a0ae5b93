//! The files of the catalogue as people write them.

use crate::reading::Kind;
use marque_model::Effect;
use serde::Deserialize;

/// One file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub(super) tool: Vec<Tool>,
    #[serde(default)]
    pub(super) rule: Vec<Rule>,
    #[serde(default)]
    pub(super) path: Vec<Path>,
    #[serde(default)]
    pub(super) variable: Vec<Variable>,
}

/// A program and how its words are read.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tool {
    /// What it is called; `*` stands for anything. Rules name the first.
    pub(crate) names: Vec<String>,
    /// What it speaks to; `local` where nothing is said.
    #[serde(default)]
    pub(crate) service: Option<String>,
    /// The credential that each use attaches by itself.
    #[serde(default)]
    pub(crate) credential: Option<String>,
    /// Options that take the next word.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// Options that take none. What is in neither list is read both ways.
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    /// Short options that take only what is attached to them (`-pSECRET`).
    #[serde(default)]
    pub(crate) attached: Vec<String>,
    /// `-name` is one option and not four.
    #[serde(default)]
    pub(crate) long_dash: bool,
    /// Options end at the first word that is none.
    #[serde(default)]
    pub(crate) options_first: bool,
    /// How many leading words say what is done.
    #[serde(default)]
    pub(crate) verbs: usize,
    /// What it does where no rule says.
    #[serde(default)]
    pub(crate) unlisted: Option<Kind>,
    /// Options, `env:NAME` and `args` whose values hint at an environment.
    #[serde(default)]
    pub(crate) hints: Vec<String>,
    /// What becomes of credential files that its words name.
    #[serde(default)]
    pub(crate) paths: Option<Mention>,
    /// Its last word is where it writes.
    #[serde(default)]
    pub(crate) writes_last: bool,
    /// It sends what it reads elsewhere.
    #[serde(default)]
    pub(crate) network: bool,
    /// It runs code that is not read: which.
    #[serde(default)]
    pub(crate) opaque: Option<String>,
    /// It is a shell.
    #[serde(default)]
    pub(crate) shell: bool,
    /// It interprets code: options whose value is code.
    #[serde(default)]
    pub(crate) code: Vec<String>,
    /// It is an editor or a pager: its commands can start programs.
    #[serde(default)]
    pub(crate) editor: bool,
    /// Options whose value is SQL; its input is SQL too.
    #[serde(default)]
    pub(crate) sql: Vec<String>,
}

/// What a program does with a credential file that is named to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mention {
    /// Nothing: the words are not paths, or only names are shown.
    None,
    /// It uses the credential.
    Touch,
    /// It shows the credential, or copies it.
    Reveal,
    /// It changes the file.
    Write,
    /// It removes the file.
    Remove,
}

/// One rule: patterns, what they mean, examples.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// The tool's first name, or several.
    pub(super) tool: Names,
    /// The operation; unique within the tool.
    pub(crate) name: String,
    /// Any of these.
    #[serde(rename = "match")]
    pub(super) patterns: Vec<String>,
    /// What it does; nothing to speak of where none is said.
    #[serde(default)]
    pub(crate) kind: Option<Kind>,
    /// The house's effect, where it is not the kind's.
    #[serde(default)]
    pub(crate) effect: Option<Effect>,
    /// The credential that is touched: `false` for none, a text for another than the tool's.
    #[serde(default)]
    pub(crate) credential: Option<Touch>,
    /// Asked about without a credential too.
    #[serde(default)]
    pub(crate) severe: bool,
    /// Which of its words are a command.
    #[serde(default)]
    pub(crate) run: Option<Run>,
    /// Words between the pattern and the command.
    #[serde(default)]
    pub(crate) skip: usize,
    /// Options whose value is a command.
    #[serde(default)]
    pub(crate) run_options: Vec<String>,
    /// What a value must begin with to be a command; taken off.
    #[serde(default)]
    pub(crate) run_prefix: Vec<String>,
    /// The command gets more words when it runs.
    #[serde(default)]
    pub(crate) extends: bool,
    /// The command runs on another machine.
    #[serde(default)]
    pub(crate) remote: bool,
    /// Code is run that is not read: which.
    #[serde(default)]
    pub(crate) opaque: Option<String>,
    /// It cannot be known: why.
    #[serde(default)]
    pub(crate) unknown: Option<String>,
    /// What becomes of credential files among the words, where it is more than the tool's.
    #[serde(default)]
    pub(crate) paths: Option<Mention>,
    /// Shell lines that are this.
    pub(crate) yes: Vec<String>,
    /// Shell lines that are not.
    #[serde(default)]
    pub(crate) no: Vec<String>,
}

/// One name or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Names {
    One(String),
    Many(Vec<String>),
}

/// See [`Rule::credential`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Touch {
    Whether(bool),
    What(String),
}

/// How a command stands in the words of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Run {
    /// The rest is a command's words.
    Argv,
    /// The rest, with blanks between, is shell text.
    Words,
    /// The value of an option is shell text.
    Option,
}

/// Files of one sort.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    /// What it holds.
    pub(crate) name: String,
    /// What sort.
    pub(crate) sort: Sort,
    /// Patterns of path segments, matched at the end of a path; `**` at the end is anything below.
    #[serde(rename = "match")]
    pub(super) patterns: Vec<String>,
    /// Not these.
    #[serde(default)]
    pub(super) except: Vec<String>,
    /// Paths that are this.
    pub(crate) yes: Vec<String>,
    /// Paths that are not.
    #[serde(default)]
    pub(crate) no: Vec<String>,
}

/// What a file is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sort {
    /// Holds a credential.
    Credential,
    /// Runs later, by itself.
    Persistence,
    /// A road to another program's authority.
    Socket,
    /// A road around every file: disks, memory.
    Device,
}

/// Variables of one sort.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// Names, with `*`.
    pub(crate) names: Vec<String>,
    /// What it decides.
    pub(crate) what: What,
    /// Values that mean no harm, with `*`.
    #[serde(default)]
    pub(crate) quiet: Vec<String>,
    /// Assignments that are this.
    pub(crate) yes: Vec<String>,
    /// Assignments that are not.
    #[serde(default)]
    pub(crate) no: Vec<String>,
}

/// What a variable decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// Code that other programs load.
    Code,
    /// A command that other programs run.
    Command,
    /// Where settings are read that can name commands or credentials.
    Settings,
    /// Where connections go and whom they trust.
    Road,
    /// It is a credential.
    Credential,
}
