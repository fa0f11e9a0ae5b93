//! Files that come from the network: where they are written, and whether they are run.

use super::OUTPUTS;
use crate::catalogue::args::Parsed;
use crate::catalogue::file::Mention;
use crate::classify::{Place, Walk};
use crate::limits::KEPT_MAX;
use crate::shell::expand::{Scope, Word};

impl Walk<'_> {
    /// Files that a program of the network writes.
    pub(super) fn outputs(&mut self, name: &str, args: &[Word], parsed: &Parsed<'_>, place: &Place) {
        if !matches!(name, "curl" | "wget" | "wget2" | "aria2c" | "http" | "https" | "xh" | "axel") {
            return;
        }
        let files: Vec<Word> = OUTPUTS.iter().flat_map(|option| parsed.values(option)).cloned().collect();
        for file in files {
            self.paths(&file, name, Mention::Write, place);
            self.fetched_to(&file.text);
        }
        // By default a download has the last part of its address as its name.
        let named: Vec<String> = args.iter().filter_map(|word| word.text.split_once("://")).filter_map(|(_, rest)| rest.rsplit_once('/')).map(|(_, file)| file.to_owned()).collect();
        for file in named.iter().filter(|file| !file.is_empty()) {
            self.fetched_to(file);
        }
    }

    /// Notes a file that comes from the network.
    pub(crate) fn fetched_to(&mut self, file: &str) {
        if self.fetched.len() < KEPT_MAX && !matches!(file, "" | "-" | "/dev/null") {
            self.fetched.push(plain(file).to_owned());
        }
    }

    /// A file that the same text has written, where it is run: its text is known.
    pub(super) fn run_written(&mut self, called: &str, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        if self.written.is_empty() {
            return;
        }
        let programs = self.catalogue.programs(name);
        let (shell, code) = (programs.iter().any(|program| program.tool.shell), programs.iter().any(|program| !program.tool.code.is_empty()));
        let given = args.iter().find(|word| !word.text.starts_with('-')).map_or("", |word| plain(&word.text));
        let recipes = match name {
            "make" | "gmake" => "akefile",
            "npm" | "yarn" | "pnpm" | "bun" => "package.json",
            "just" => "ustfile",
            "task" => "askfile.yml",
            _ => "\0",
        };
        let own = |file: &str| (called.contains('/') && file == plain(called)) || ((shell || code || matches!(name, "source" | ".")) && file == given);
        let texts: Vec<(bool, Word)> =
            self.written.iter().filter(|(file, _)| own(plain(file)) || file.ends_with(recipes)).map(|(file, text)| (own(plain(file)) && !code, text.clone())).collect();
        for (script, text) in texts {
            self.paths(&text, name, Mention::Reveal, place);
            if script && !text.text.is_empty() {
                self.shell_text(&text.text, &Place { file: true, ..place.guess() }, &mut scope.clone());
            } else {
                self.commands_in_quotes(&text.text, place);
                self.variables_in_text(&text.text, name, place);
                if !code {
                    self.rubble(&text.text, &place.guess());
                }
                self.signals(&text.text, name, &Place { file: true, ..place.guess() });
            }
        }
    }

    /// Whether what is called, or what an interpreter is given, came from the network in the same text.
    pub(super) fn run_fetched(&mut self, called: &str, args: &[Word], place: &Place) {
        if self.fetched.is_empty() {
            return;
        }
        let interpreted = args.iter().find(|word| !word.text.starts_with('-')).map_or("", |word| plain(&word.text));
        let name = called.rsplit('/').next().unwrap_or_default();
        let runs = self.catalogue.programs(name).iter().any(|program| program.tool.shell || !program.tool.code.is_empty());
        // A full list may have lost the one that is run.
        let full = self.fetched.len() >= KEPT_MAX;
        let known = |file: &str| full || self.fetched.iter().any(|fetched| fetched == file);
        let system = super::SYSTEM.iter().any(|dir| called.starts_with(dir));
        if (called.contains('/') && !system && known(plain(called))) || (runs && known(interpreted)) {
            self.unclear("code is run that was fetched by the same text", place);
        }
    }
}

pub(super) fn plain(path: &str) -> &str {
    path.strip_prefix("./").unwrap_or(path)
}
