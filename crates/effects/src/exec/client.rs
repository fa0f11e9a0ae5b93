//! Clients of databases: statements in options, on the input, or elsewhere.

use super::statement::{Does, mongo, statements};
use crate::catalogue::args::Parsed;
use crate::catalogue::file::{Mention, Tool};
use crate::classify::{Input, Place, Walk, severe, shown, simple};
use crate::hint;
use crate::limits::PIECES_MAX;
use crate::reading::{Environment, Kind};
use crate::shell::expand::{Scope, Word};
use marque_model::Effect;

impl Walk<'_> {
    /// SQL in options and on the input of a program.
    pub(super) fn sql_options(&mut self, tool: &Tool, name: &str, parsed: &Parsed<'_>, place: &Place) {
        if tool.sql.is_empty() {
            return;
        }
        let hints = tool.hints.iter().flat_map(|option| parsed.values(option)).chain(parsed.words.iter().map(|(_, word)| *word));
        let environment = hint::strictest(hints.map(|word| word.text.as_str()));
        let mut any = false;
        for word in tool.sql.iter().flat_map(|option| parsed.values(option)) {
            any = true;
            self.sql(tool, name, word, environment, place);
        }
        if let Input::Text(text) = place.input.clone().text_if(!any) {
            self.sql(tool, name, &text, environment, place);
            any = true;
        }
        if !any {
            self.statements_elsewhere(tool, name, parsed, environment, place);
        }
    }

    /// A client whose statements are not in the command: they are typed, or in a file.
    fn statements_elsewhere(&mut self, tool: &Tool, name: &str, parsed: &Parsed<'_>, environment: Environment, place: &Place) {
        if ["--version", "-V", "--help", "-l", "--list", "--scan"].iter().any(|option| parsed.has(option)) {
            return;
        }
        let hosts = ["-h", "--host", "--server", "--url", "-d", "--dbname"].iter().flat_map(|option| parsed.values(option));
        let hosts: Vec<&str> = hosts.chain(parsed.words.iter().map(|(_, word)| *word)).map(|word| word.text.as_str()).collect();
        let named = |option: &str| parsed.values(option).next().is_some();
        let elsewhere = hosts.iter().any(|host| host.contains("://") && !hint::loopback(host))
            || ["-h", "--host", "--server"].iter().any(|option| named(option) && !parsed.values(option).all(|host| hint::loopback(&host.text)))
            || hosts.iter().any(|host| host.contains("service=") || host.contains("host="));
        let mut finding = simple(name, "statements.elsewhere", Kind::Write, "", tool.credential.as_deref());
        finding.environment = environment;
        finding.severe = elsewhere && tool.network;
        if let Some(service) = &tool.service {
            finding.service.clone_from(service);
        }
        self.find(finding, place);
    }

    fn sql(&mut self, tool: &Tool, name: &str, text: &Word, environment: Environment, place: &Place) {
        // Files that a statement loads, or that a command of the client reads.
        for piece in text.text.split(['\'', '"', '\n', ' ', ';', '(', ')', '`', ',']).filter(|piece| piece.contains('/')).take(PIECES_MAX) {
            self.paths(&Word::literal(piece), name, Mention::Reveal, place);
        }
        let meta = self.meta(name, &text.text, place);
        // A backslash may stand in a text of SQL as well: what the whole would remove counts too.
        let whole = Some(statements(&text.text)).filter(|does| *does >= Does::Removes).unwrap_or(Does::Reads);
        let does = if name.starts_with("mongo") { mongo(&text.text) } else { statements(&meta).max(whole) };
        let (kind, effect) = match does {
            Does::Reads => (Kind::Read, Effect::Read),
            Does::Writes => (Kind::Write, Effect::Write),
            Does::Removes => (Kind::Destructive, Effect::Destructive),
            Does::Grants => (Kind::RemoteExec, Effect::Grant),
            Does::Shows => (Kind::CredentialReveal, Effect::Reveal),
            Does::Unclear => {
                self.unclear("a statement is known only when it runs", place);
                (Kind::Write, Effect::Write)
            }
        };
        let mut finding = simple(name, "statement", kind, &shown(&text.text), tool.credential.as_deref());
        finding.effect = effect;
        finding.environment = environment;
        if let Some(service) = &tool.service {
            finding.service.clone_from(service);
        }
        self.find(finding, place);
    }

    /// Commands of `psql` itself: those that only look, a shell, and what is not known. The rest of the text is SQL.
    fn meta(&mut self, name: &str, text: &str, place: &Place) -> String {
        let mut sql = String::new();
        for command in text.split('`').skip(1).step_by(2).take(8).filter(|_| text.contains('\\')) {
            self.shell_text(command, &place.guess(), &mut Scope::default());
        }
        if name.starts_with("mongo") {
            self.signals(text, name, &Place { file: true, ..place.guess() });
        }
        for line in text.lines() {
            let host = ["host ", "HOST ", "!", "system ", "shell "].iter().find_map(|start| line.trim_start().strip_prefix(start)).filter(|_| !matches!(name, "psql" | "pgcli"));
            if let Some(command) = host {
                self.find(severe(name, "shell", Effect::Grant, command), place);
                self.shell_text(command, &place.inside(), &mut Scope::default());
            }
            // A command may stand behind statements. One inside quotes is taken for one too: it only raises.
            let (before, command) = line.split_once('\\').map_or((line, None), |(before, command)| (before, Some(command)));
            sql.push_str(before);
            sql.push('\n');
            let Some(command) = command else { continue };
            if let Some(variable) = command.strip_prefix("getenv ").and_then(|rest| rest.split_whitespace().nth(1)) {
                let variable = format!("${variable}");
                self.variables_in_text(&variable, name, place);
            }
            let word = command.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or_default();
            let rest = command.get(word.len()..).unwrap_or_default();
            if let Some(shell) = command.strip_prefix('!') {
                self.find(severe(name, "shell", Effect::Grant, shell), place);
                self.shell_text(shell, &place.inside(), &mut Scope::default());
            } else if word == "copy" {
                sql.push_str(&format!(";COPY {rest}\n"));
            } else if word == "password" || word == "gexec" || word == "o" || word == "g" || word == "w" || word.starts_with("lo_") {
                self.unclear("a database client runs what a line says", place);
            } else if matches!(word, "i" | "ir" | "include") {
                sql.push_str(";DO;\n");
                self.reading.unread("statements in a file");
            } else if !before.trim().is_empty() && !matches!(word, "G" | "q") {
                // Its quotes are not those of what follows.
                sql.push_str("; DO ; ");
                sql.extend(command.chars().map(|c| if matches!(c, '\'' | '"' | '`' | '$' | '/' | '*' | '-') { ' ' } else { c }));
                sql.push_str(" ;\n");
            } else if !(word.starts_with('d') || matches!(word, "l" | "l+" | "x" | "timing" | "q" | "conninfo" | "c" | "connect" | "echo" | "pset" | "set" | "z" | "a" | "t" | "?" | "h" | "s" | "sf" | "sv" | "encoding" | "G")) {
                sql.push_str(";DO;\n");
            }
        }
        sql
    }
}

impl Input {
    fn text_if(self, wanted: bool) -> Self {
        if wanted { self } else { Self::Inherited }
    }
}
