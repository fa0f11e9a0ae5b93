//! One command of known words: builtins of the shell, then every entry of the catalogue for its name.

mod builtin;
mod client;
mod fetched;
mod find;
mod generic;
mod interpreter;
mod mention;
mod renamed;
mod run;
mod shells;
pub(crate) mod statement;

pub(crate) use interpreter::starts_programs;

use crate::catalogue::Program;
use crate::catalogue::args::Parsed;
use crate::catalogue::file::{Mention, Rule, Run, Touch};
use crate::classify::{Input, Place, Walk, shown, simple};
use crate::hint;
use crate::reading::{Environment, Finding, Kind};
use crate::shell::expand::{DYNAMIC, Scope, Word};
use crate::shell::walk::Output;

/// Texts that are tried for a command word that is not known.
const CANDIDATES: usize = 4;

/// The tool of the catalogue that stands for every program that is not in it.
const STRANGER: &str = "stranger";

/// Programs whose words are text: what stands in it is not run.
const SPEAKS: &[&str] = &[
    "echo", "printf", "git", "grep", "egrep", "fgrep", "rg", "ag", "ack", "ast-grep", "jq", "yq", "say", "notify-send", "logger", "wall", "figlet", "cowsay", "sg", "semgrep",
    "commitizen", "cz", "commitlint", "npm", "yarn", "sqlite3", "tr", "cut", "column", "look", "fzf", "sd", "rename", "vale", "codespell", "typos", "cat", "diff", "test", "expr",
];

/// Programs that show what another program reads and sends.
const TRACERS: &[&str] = &["strace", "ltrace", "gdb", "lldb", "perf", "valgrind", "dtrace", "truss", "rr", "uftrace"];

/// Names that only files with credentials have.
const FILES_OF_CREDENTIALS: &[&str] = &["netrc", "id_rsa", "id_ed25519", "id_ecdsa", ".pem", "pgpass", ".aws/", ".kube/", "git-credentials", "vault-token"];

/// Options that name a file that is written.
const OUTPUTS: &[&str] = &["-o", "-O", "--output", "--output-document", "--out", "--output-file", "-D", "--dump-header", "-c", "--cookie-jar", "--log-file", "-P", "--trace", "--trace-ascii", "--stderr", "--save-cookies", "--output-dir"];

/// Directories that programs of the system lie in.
const SYSTEM: &[&str] = &["/usr/", "/bin/", "/sbin/", "/opt/", "/snap/", "/nix/", "/lib/", "/lib64/"];

impl Walk<'_> {
    /// A command.
    pub(crate) fn exec(&mut self, words: &[Word], place: &Place, scope: &mut Scope) -> Output {
        let (first, args) = words.split_first()?;
        if !self.enter(place) {
            return None;
        }
        let Some(called) = first.known().filter(|name| !name.is_empty()) else {
            self.unclear("which command is run is known only when it runs", place);
            for text in first.perhaps.iter().filter(|text| !text.contains(DYNAMIC)).take(CANDIDATES) {
                let mut words: Vec<Word> = text.split_whitespace().map(Word::literal).collect();
                words.extend(args.iter().cloned());
                self.exec(&words, &place.guess(), scope);
            }
            for word in args {
                self.mention(word, "unknown", Mention::Reveal, place);
            }
            return None;
        };
        if called.starts_with("/proc/") || called.starts_with("/dev/") {
            self.unclear("a program is named by a road around its path", place);
        }
        let name = called.rsplit('/').next().unwrap_or_default();
        let name = name.strip_suffix(".exe").unwrap_or(name);
        if let Some(output) = self.builtin(name, called, args, place, scope) {
            return output;
        }
        let programs = self.catalogue.programs(name);
        if called.contains('/') && !SYSTEM.iter().any(|dir| called.starts_with(dir)) {
            self.reading.unread("a program outside of the system's directories");
        }
        if programs.is_empty() && !self.functions.contains(name) {
            self.stranger(called, name, words, place);
        }
        if self.functions.contains(name) {
            // Its body was read with words that were not known: these.
            for word in args {
                self.mention(word, name, Mention::Reveal, place);
            }
            self.perhaps_commands(args, place);
        }
        self.renamed(called, name, args, place, scope);
        self.run_fetched(called, args, place);
        self.run_written(called, name, args, place, scope);
        let touched = self.credentials();
        for program in programs {
            self.program(program, name, args, place, scope);
        }
        if TRACERS.contains(&name) && self.credentials() > touched {
            self.reveal(name, "traced", "what the traced program reads and sends", place);
        }
        match name {
            "find" | "gfind" | "bfs" => Some(find::found(args)),
            "fd" | "fdfind" | "locate" | "plocate" => args.iter().rfind(|word| !word.text.starts_with('-')).map(|word| find::of_search(&word.text, &word.text)),
            "which" => args.last().map(|word| Word::literal(word.text.clone())),
            "ls" | "exa" | "eza" | "lsd" => args.iter().rfind(|word| !word.text.starts_with('-')).map(|word| Word { text: format!("{}{}", word.text, DYNAMIC), ..word.clone() }),
            // What a search has found stays that behind filters of lines.
            "head" | "tail" | "sort" | "uniq" | "grep" | "egrep" | "rg" | "tee" | "shuf" | "tac" | "nl" | "awk" | "sed" | "tr" | "cut" => {
                let perhaps = match &place.input {
                    Input::Text(text) => text.perhaps.clone(),
                    _ => Vec::new(),
                };
                let named = args.iter().any(|word| FILES_OF_CREDENTIALS.iter().any(|file| word.text.contains(file)));
                let found = named.then(|| crate::shell::expand::SEARCHED.to_owned());
                let perhaps: Vec<String> = perhaps.into_iter().filter(|text| text == crate::shell::expand::SEARCHED).chain(found).collect();
                (!perhaps.is_empty()).then(|| Word { perhaps, ..Word::dynamic() })
            }
            _ => None,
        }
    }

    /// A program that the catalogue does not know. What lies in the workspace is code that is not read; any other may find a
    /// credential by itself, as the clients of services do.
    fn stranger(&mut self, called: &str, name: &str, words: &[Word], place: &Place) {
        let installed = !called.contains('/') || called.starts_with('~') || SYSTEM.iter().any(|dir| called.starts_with(dir));
        self.input_mentioned(name, Mention::Reveal, place);
        for (index, word) in words.iter().enumerate() {
            self.secret_option(word, words.get(index + 1), name, place);
            // A text that is given to a program of the workspace names things; it is no path.
            let text = !installed && word.text.contains(' ');
            self.mention(word, name, if text { Mention::Touch } else { Mention::Reveal }, place);
            self.variables_shown(word, name, place);
        }
        let args = words.get(1..).unwrap_or_default();
        self.command_options(args, place);
        if installed {
            self.perhaps_commands(args, place);
        }
        if installed && !place.guess {
            for program in self.catalogue.programs(STRANGER) {
                let parsed = Parsed::new(&program.tool, args, false);
                self.parsed(program, name, args, &parsed, place, &mut Scope::default());
            }
        }
    }

    fn credentials(&self) -> usize {
        self.reading.findings.iter().filter(|finding| finding.credential.is_some()).count()
    }

    fn program(&mut self, program: &Program, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        let tool = &program.tool;
        if tool.network {
            self.senders += 1;
        }
        if let Some(what) = &tool.opaque {
            self.reading.unread(what.clone());
        }
        if tool.shell {
            self.shell(name, args, place);
        }
        if !tool.code.is_empty() {
            self.interpreter(tool, name, args, place, scope);
        }
        match name {
            "find" | "gfind" | "bfs" => self.find_program(args, place, scope),
            "fd" | "fdfind" | "locate" | "plocate" => {
                self.search(args, place);
                self.search_command(args, place, scope);
            }
            "jq" | "yq" | "gojq" | "jaq" | "envsubst" => self.filters(name, args, place),
            "su" | "runuser" | "sg" | "newgrp" | "script" | "chroot" | "unshare" | "nsenter" | "sudo" | "doas" if args.iter().all(|word| word.text != "-c") => {
                if let Input::Text(text) = &place.input {
                    self.shell_text(&text.text.clone(), &place.guess().with(Input::Inherited), &mut Scope::default());
                }
            }
            "nix" | "guix" | "wsl" | "wsl.exe" | "flatpak" | "snap" | "distrobox" | "toolbox" => self.perhaps_commands(args, place),
            "crontab" => self.scheduled(place),
            "git" => self.git_settings(args, place),
            "sqlite3" | "duckdb" | "litecli" => self.dot_commands(args, place),
            "make" | "gmake" | "ninja" | "just" | "task" | "cmake" | "meson" | "bazel" => self.recipes(args, place),
            _ if tool.editor => self.editor(name, args, place),
            "redis-cli" | "valkey-cli" | "sftp" | "lftp" | "ftp" | "tnftp" => self.input_lines(name, args, place, scope),
            _ => {}
        }
        let plain = Parsed::new(tool, args, false);
        for dir in ["-C", "--chdir", "--directory", "--working-directory", "--cwd"].iter().flat_map(|option| plain.values(option)) {
            self.enters(&dir.text);
        }
        self.parsed(program, name, args, &plain, place, scope);
        if plain.guessed {
            // An option of unknown arity before the operation: both ways are read, and both count.
            let hungry = Parsed::new(tool, args, true);
            self.parsed(program, name, args, &hungry, place, scope);
        }
        for option in ["-o", "--output", "--out", "--output-file", "--result-file", "-f", "--file", "-E", "-fls"] {
            let files: Vec<Word> = plain.values(option).filter(|file| self.runs_by_itself(&file.text)).cloned().collect();
            for file in files {
                self.paths(&file, name, Mention::Write, place);
            }
        }
        if tool.network {
            self.outputs(name, args, &plain, place);
        }
        self.sql_options(tool, name, &plain, place);
        self.command_options(args, place);
        self.odd_words(name, args, place);
        for command in args.iter().filter(|_| tool.sql.is_empty()).filter_map(|word| word.text.strip_prefix('!')).filter(|command| command.len() > 1) {
            self.perhaps_command(command, place);
        }
        // Shells, interpreters and launchers have read their words as what they are.
        let read = tool.shell || !tool.code.is_empty() || program.rules.iter().any(|compiled| matches!(compiled.rule.run, Some(Run::Argv | Run::Words)));
        if tool.credential.is_none() && !read && !SPEAKS.contains(&name) {
            for word in args.iter().filter(|word| word.text.contains([' ', '"'])) {
                self.commands_in_quotes(&word.text.replace(['=', '%'], "\""), place);
            }
            if let Some(behind) = plain.dashes.filter(|_| tool.opaque.is_some()).and_then(|at| args.get(at + 1..)) {
                self.perhaps_commands(behind, place);
            }
        }
        self.mentions(tool, name, args, place);
    }

    fn parsed(&mut self, program: &Program, name: &str, args: &[Word], parsed: &Parsed<'_>, place: &Place, scope: &mut Scope) {
        let tool = &program.tool;
        let mut known = false;
        let own = tool.names.first().map_or("", String::as_str);
        for compiled in &program.rules {
            let mut met = false;
            for used in compiled.patterns.iter().filter_map(|pattern| pattern.matches(parsed)) {
                met = true;
                self.run(program, &compiled.rule, used, args, parsed, place, scope);
            }
            if met {
                if let Some(mention) = compiled.rule.paths {
                    for word in args {
                        self.paths(word, name, mention, place);
                    }
                }
                // A rule that says nothing but what becomes of files leaves open what is done.
                let rule = &compiled.rule;
                let silent = rule.paths.is_some() || rule.unknown.is_some() || rule.opaque.is_some();
                known |= rule.kind.is_some() || rule.run.is_some() || rule.credential.is_some() || !silent;
                self.met.insert(format!("{own}/{}", compiled.rule.name));
                self.rule(program, &compiled.rule, name, parsed, place);
            }
        }
        if parsed.words.iter().take(tool.verbs).any(|(_, word)| word.known().is_none()) {
            self.unclear("what a command does is known only when it runs", place);
        }
        let named = tool.verbs == 0 || !parsed.words.is_empty();
        if let Some(kind) = tool.unlisted.filter(|_| !known && named) {
            let finding = self.finding(program, name, "unlisted", kind, parsed, place);
            self.find(finding, place);
        }
    }

    /// What a rule says of itself.
    fn rule(&mut self, program: &Program, rule: &Rule, name: &str, parsed: &Parsed<'_>, place: &Place) {
        if let Some(what) = &rule.opaque {
            self.reading.unread(what.clone());
        }
        if let Some(why) = &rule.unknown {
            self.unclear(why, place);
        }
        let Some(kind) = rule.kind else { return };
        let mut finding = self.finding(program, name, &rule.name, kind, parsed, place);
        finding.effect = rule.effect.unwrap_or_else(|| kind.effect());
        finding.severe = rule.severe;
        match &rule.credential {
            None | Some(Touch::Whether(true)) => {}
            Some(Touch::Whether(false)) => finding.credential = None,
            Some(Touch::What(what)) => finding.credential = Some(what.clone()),
        }
        self.find(finding, place);
    }

    fn finding(&self, program: &Program, name: &str, operation: &str, kind: Kind, parsed: &Parsed<'_>, place: &Place) -> Finding {
        let tool = &program.tool;
        let target = parsed.words.iter().skip(tool.verbs).map(|(_, word)| shown(&word.text)).collect::<Vec<_>>().join(" ");
        let mut finding = simple(name, operation, kind, &target, tool.credential.as_deref());
        if let Some(service) = &tool.service {
            finding.service.clone_from(service);
        }
        finding.environment = environment(tool, parsed, place);
        finding
    }
}

/// The hint of what the tool's table calls hints.
fn environment(tool: &crate::catalogue::file::Tool, parsed: &Parsed<'_>, place: &Place) -> Environment {
    let mut texts: Vec<&str> = Vec::new();
    for hint in &tool.hints {
        if let Some(variable) = hint.strip_prefix("env:") {
            texts.extend(place.env.iter().filter(|(name, _)| name == variable).map(|(_, value)| value.text.as_str()));
        } else if hint == "args" {
            texts.extend(parsed.words.iter().map(|(_, word)| word.text.as_str()));
        } else {
            texts.extend(parsed.values(hint).map(|word| word.text.as_str()));
        }
    }
    hint::strictest(texts)
}
