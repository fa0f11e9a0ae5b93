//! The walk over a command and everything inside it. One reading is filled; nothing is ever taken out of it.

use crate::catalogue::Catalogue;
use crate::command::{Command, ScriptSource};
use crate::limits::{ARGV_WORDS_MAX, COMMAND_BYTES_MAX, COMMANDS_MAX, ENV_CHANGES_MAX, NESTING_MAX};
use crate::reading::{Environment, Finding, Kind, Reading};
use crate::shell::expand::{Scope, Word};
use marque_model::Effect;
use std::collections::BTreeSet;

/// Says what a command would do.
///
/// Everything in it is visited, the parts are joined and the strictest counts: no part ends the visit, and none lowers what
/// another one found. What cannot be known is in [`Reading::unknown`], with everything that was found beside it.
#[must_use]
pub fn classify(command: &Command, catalogue: &Catalogue) -> Reading {
    let mut walk = Walk::new(catalogue);
    walk.command(command);
    walk.reading
}

/// What a line of shell would do.
pub(crate) fn reading_of(line: &str, catalogue: &Catalogue) -> Reading {
    line_of(line, catalogue).reading
}

/// The rules that a line of shell met, also those that mean nothing by themselves.
pub(crate) fn rules_of(line: &str, catalogue: &Catalogue) -> BTreeSet<String> {
    line_of(line, catalogue).met
}

fn line_of<'c>(line: &str, catalogue: &'c Catalogue) -> Walk<'c> {
    let mut walk = Walk::new(catalogue);
    walk.shell_text(line, &Place::default(), &mut Scope::default());
    walk.written_is_run();
    walk
}

/// Beginnings of variables that name a server to which a client logs in.
const LOGS_IN: &[&str] = &[
    "DOCKER_", "AWS_ENDPOINT", "AWS_METADATA", "AWS_CONTAINER", "VAULT_", "GH_", "GITLAB_", "GL_", "CONSUL_", "NOMAD_", "PGHOST", "MYSQL_", "REDIS_", "KUBERNETES_", "DATABRICKS_",
    "ARGOCD_", "ETCDCTL_", "GCE_", "IDENTITY_", "SSLKEYLOGFILE",
];

/// Variables that list directories of code: those of the workspace are its own code.
const PATHS: &[&str] = &["PYTHONPATH", "NODE_PATH", "PERL5LIB", "RUBYLIB", "CLASSPATH"];

/// What a command reads on its input.
#[derive(Debug, Clone, Default)]
pub(crate) enum Input {
    /// What its parent reads.
    #[default]
    Inherited,
    /// The output of something that is known only when it runs.
    Pipe,
    /// A file.
    File(Word),
    /// This text.
    Text(Word),
}

/// Where a command stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// Scripts and launchers around it.
    pub(crate) nesting: usize,
    /// Whether it stands in a file that is run: code that can also be left unread.
    pub(crate) file: bool,
    /// The other machine that it runs on.
    pub(crate) remote: Option<Remote>,
    pub(crate) input: Input,
    /// Variables set for it.
    pub(crate) env: Vec<(String, Word)>,
    /// Whether it is a guess that this is a command: then a name that nobody knows says nothing.
    pub(crate) guess: bool,
}

/// Another machine.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) credential: Option<String>,
    pub(crate) environment: Environment,
}

impl Place {
    pub(crate) fn inside(&self) -> Self {
        Self { nesting: self.nesting + 1, ..self.clone() }
    }
    pub(crate) fn guess(&self) -> Self {
        Self { guess: true, ..self.inside() }
    }
    pub(crate) fn with(&self, input: Input) -> Self {
        Self { input, ..self.clone() }
    }
}

pub(crate) struct Walk<'c> {
    pub(crate) catalogue: &'c Catalogue,
    pub(crate) reading: Reading,
    pub(crate) met: BTreeSet<String>,
    pub(crate) functions: BTreeSet<String>,
    /// Programs that got another path: where, and which they were.
    pub(crate) renamed: Vec<(String, String)>,
    /// Variables that children see.
    pub(crate) exported: Vec<(String, Word)>,
    /// Directories with credentials that were entered.
    pub(crate) dirs: Vec<String>,
    /// Files that come from the network.
    pub(crate) fetched: Vec<String>,
    /// Texts that were written to files.
    pub(crate) written: Vec<(String, Word)>,
    /// The script that somebody else has read for the outermost command.
    pub(crate) script: Option<crate::command::Script>,
    /// Programs so far that send what they read elsewhere.
    pub(crate) senders: usize,
    pub(crate) commands: usize,
    pub(crate) parsed_bytes: usize,
}

impl<'c> Walk<'c> {
    fn new(catalogue: &'c Catalogue) -> Self {
        Self {
            catalogue,
            reading: Reading::default(),
            met: BTreeSet::new(),
            functions: BTreeSet::new(),
            renamed: Vec::new(),
            exported: Vec::new(),
            dirs: Vec::new(),
            fetched: Vec::new(),
            written: Vec::new(),
            script: None,
            senders: 0,
            commands: 0,
            parsed_bytes: 0,
        }
    }

    fn command(&mut self, command: &Command) {
        if command.argv.len() > ARGV_WORDS_MAX || command.bytes() > COMMAND_BYTES_MAX || command.env.len() > ENV_CHANGES_MAX {
            self.reading.doubt("the command is too long");
        }
        let mut left = COMMAND_BYTES_MAX;
        let mut words: Vec<Word> = Vec::new();
        for bytes in command.argv.iter().take(ARGV_WORDS_MAX) {
            let Some(rest) = left.checked_sub(bytes.len()) else { break };
            left = rest;
            if bytes.iter().any(|byte| (*byte < b' ' && !matches!(byte, b'\n' | b'\t')) || *byte == 0x7f) {
                self.reading.doubt("a word has control characters");
            }
            // Names of files may be any bytes.
            words.push(Word::literal(String::from_utf8_lossy(bytes)));
        }
        let mut place = Place::default();
        for change in command.env.iter().take(ENV_CHANGES_MAX) {
            let name = String::from_utf8_lossy(&change.name).into_owned();
            let value = Word::literal(String::from_utf8_lossy(change.value.as_deref().unwrap_or_default()));
            if change.value.is_some() {
                self.set_variable(&name, &value, &place);
                place.env.push((name, value));
            } else if self.catalogue.variable(&name).is_some() {
                self.reading.variable(&name);
            }
        }
        self.enters(&String::from_utf8_lossy(&command.cwd));
        self.script.clone_from(&command.script);
        self.executable(command, &words, &place);
        let mut scope = Scope::default();
        self.exec(&words, &place, &mut scope);
        self.left_script(&mut scope);
        self.written_is_run();
    }

    /// Texts that were written, where something is run afterwards that nobody reads: they may be what is run.
    fn written_is_run(&mut self) {
        if self.reading.opaque.is_empty() {
            return;
        }
        for (_, text) in std::mem::take(&mut self.written) {
            let place = Place { nesting: 1, guess: true, ..Place::default() };
            self.paths(&text, "shell", crate::catalogue::file::Mention::Reveal, &place);
            if crate::exec::starts_programs(&text.text) {
                self.rubble(&text.text, &place);
            }
        }
    }

    /// Facts about the file that would be executed, and the name that it has there.
    fn executable(&mut self, command: &Command, words: &[Word], place: &Place) {
        let path = String::from_utf8_lossy(&command.executable.path).into_owned();
        if command.executable.workspace_writable {
            self.reading.unread("a program that the agent could have written");
        }
        let Some(first) = words.first() else { return self.reading.doubt("a command without words") };
        let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let (called, opened) = (name(&first.text), name(&path));
        // A program of many names goes by what it is called; others are what was opened, whatever they call themselves.
        let many = matches!(opened.as_str(), "busybox" | "toybox" | "coreutils");
        if !opened.is_empty() && opened != called && !many && !self.catalogue.programs(&opened).is_empty() {
            let mut real = words.to_vec();
            if let Some(first) = real.first_mut() {
                *first = Word::literal(path);
            }
            let mut scope = Scope::default();
            self.exec(&real, &place.inside(), &mut scope);
        }
    }

    /// The script that was read, where no shell among the words has taken it.
    fn left_script(&mut self, scope: &mut Scope) {
        if let Some(script) = self.script.take() {
            let file = script.source == ScriptSource::File;
            let place = Place { nesting: 1, file, ..Place::default() };
            if file && !script.text.starts_with(b"#!") && std::str::from_utf8(&script.text).is_err() {
                self.reading.unread("a program");
            } else {
                self.given(&script, &place, scope);
            }
        }
    }

    /// A script that somebody else has read.
    pub(crate) fn given(&mut self, script: &crate::command::Script, place: &Place, scope: &mut Scope) {
        let text = String::from_utf8_lossy(&script.text).into_owned();
        let line = text.lines().next().unwrap_or_default();
        let shell = !line.starts_with("#!") || ["sh", "bash", "dash", "ksh", "ash"].iter().any(|name| line.split([' ', '/']).any(|part| part == *name));
        if !shell {
            self.reading.unread("a script of another language");
            return self.signals(&text, line.trim_start_matches("#!"), place);
        }
        if !script.complete {
            self.unclear("a script is longer than what was read of it", place);
        }
        self.shell_text(&text, place, scope);
    }

    /// What cannot be known. In a file that is run, it is code that is not read.
    pub(crate) fn unclear(&mut self, why: &str, place: &Place) {
        if place.file {
            self.reading.unread(format!("a script: {why}"));
        } else {
            self.reading.doubt(why);
        }
    }

    /// Whether one more command may be looked at.
    pub(crate) fn enter(&mut self, place: &Place) -> bool {
        self.commands += 1;
        if place.nesting > NESTING_MAX {
            self.unclear("commands are nested too deeply", place);
            return false;
        }
        if self.commands > COMMANDS_MAX {
            self.unclear("there are too many commands", place);
            return false;
        }
        true
    }

    /// Adds a finding, with what the place makes of it.
    pub(crate) fn find(&mut self, mut finding: Finding, place: &Place) {
        if let Some(remote) = &place.remote {
            finding.environment = finding.environment.max(remote.environment);
            if finding.credential.is_none() {
                finding.credential.clone_from(&remote.credential);
            }
        }
        self.reading.find(finding);
    }

    /// A credential that is shown, outside the rules of a program.
    pub(crate) fn reveal(&mut self, tool: &str, operation: &str, target: &str, place: &Place) {
        self.find(simple(tool, operation, Kind::CredentialReveal, target, Some(target)), place);
    }

    /// A variable that is set.
    pub(crate) fn set_variable(&mut self, name: &str, value: &Word, place: &Place) {
        use crate::catalogue::file::What;
        let Some(rule) = self.catalogue.variable(name) else {
            return self.mention(value, "shell", crate::catalogue::file::Mention::Touch, place);
        };
        // `PATH=x:$PATH` is judged by what it adds.
        let text = value.text.replace(":\0", "").replace("\0:", "");
        let known = !text.contains(crate::shell::expand::DYNAMIC);
        let quiet = known && rule.quiet.iter().any(|quiet| crate::catalogue::pattern::glob(quiet, &text));
        let what = rule.what;
        self.reading.variable(name);
        match what {
            What::Credential => {
                self.find(simple("shell", "variable.credential", Kind::Read, name, Some(&format!("variable {name}"))), place);
            }
            _ if quiet => {}
            What::Code if PATHS.contains(&name) && known && text.split(':').all(|part| !part.starts_with(['/', '~']) && !part.contains("..")) => {}
            What::Code => {
                self.unclear(&format!("`{name}` decides which code is loaded"), place);
                self.here_text(&value.text.replace(crate::shell::expand::DYNAMIC, ""), &place.inside(), &mut Scope::default());
            }
            What::Command => {
                self.unclear(&format!("`{name}` decides which command is run"), place);
                if let Some(text) = value.known() {
                    let text = text.trim_start_matches('!').to_owned();
                    self.shell_text(&text, &place.inside(), &mut Scope::default());
                }
            }
            What::Settings => {
                if value.text.starts_with(['/', '~']) || value.text.starts_with("../") || value.is_dynamic() {
                    self.unclear(&format!("`{name}` decides where settings are read"), place);
                }
                self.find(simple("shell", "variable.settings", Kind::Read, &format!("{name}={}", value.text), Some("settings that can name credentials")), place);
            }
            What::Road if LOGS_IN.iter().any(|start| name.starts_with(start)) => {
                self.unclear(&format!("`{name}` decides to whom a credential is sent"), place);
                self.find(simple("shell", "variable.server", Kind::Read, name, Some("what is sent to another server")), place);
            }
            What::Road => self.unclear(&format!("`{name}` decides where connections go or whom they trust"), place),
        }
        if what != What::Credential {
            self.mention(value, "shell", crate::catalogue::file::Mention::Touch, place);
        }
    }
}

/// A finding of this machine.
pub(crate) fn simple(tool: &str, operation: &str, kind: Kind, target: &str, credential: Option<&str>) -> Finding {
    Finding {
        tool: tool.to_owned(),
        service: "local".to_owned(),
        operation: operation.to_owned(),
        effect: kind.effect(),
        kind,
        target: (!target.is_empty()).then(|| shown(target)),
        environment: Environment::Unknown,
        credential: credential.map(shown),
        severe: false,
    }
}

/// Something that will run by itself, or that leads around every other boundary.
pub(crate) fn severe(tool: &str, operation: &str, effect: Effect, target: &str) -> Finding {
    Finding { effect, severe: true, ..simple(tool, operation, Kind::Write, target, None) }
}

/// A text for a reading: what is not known is a sign, and passwords in addresses are taken out.
pub(crate) fn shown(text: &str) -> String {
    let text = text.replace(crate::shell::expand::DYNAMIC, "…");
    let Some((scheme, rest)) = text.split_once("://") else { return text };
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((user, host)) => {
            let behind = rest.get(authority.len()..).unwrap_or_default();
            let name = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{name}@{host}{behind}")
        }
        None => text,
    }
}
