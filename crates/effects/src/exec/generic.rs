//! What holds for any program: options that take a command, settings that name one, text on its input.

use crate::catalogue::file::{Mention, What};
use crate::classify::{Input, Place, Walk};
use crate::limits::PIECES_MAX;
use crate::shell::expand::{DYNAMIC, Scope, Word};

/// Options by which programs of all sorts take a command. Reading one that is none raises at most.
const COMMAND_OPTIONS: &[&str] = &[
    "--exec", "--command", "--run", "--shell", "--pager", "--preview", "--bind", "--pre", "--rsh", "--wrapper", "-wrapper", "--script-shell", "--sendmail-cmd",
    "--run_under", "--filter", "--cmd", "--execute", "--hook", "--up", "--down", "--spawn", "--editor", "--diff-program", "--prgbox", "--pipe", "--ssh", "-z", "--postrotate-command", "-exec", "--run-cmd", "--pre-exec", "--post-exec",
    "--upload-pack", "--receive-pack", "--compress-program", "--to-command", "--on-change", "--exec-command", "--ssh-command", "--run-command", "--filter-command",
];

/// Parts of names that credentials go by.
const SECRET_NAMES: &[&str] = &["credential", "secret", "id_rsa", "id_ed25519", "id_ecdsa", "netrc", "pgpass", ".env", ".pem", ".key", "token", "password", ".p12"];

impl Walk<'_> {
    /// Options of any program that take a command.
    pub(super) fn command_options(&mut self, args: &[Word], place: &Place) {
        for (index, word) in args.iter().enumerate() {
            let (name, value) = word.text.split_once('=').map_or((word.text.as_str(), None), |(name, value)| (name, Some(value)));
            if COMMAND_OPTIONS.contains(&name) || name.starts_with("--on-") {
                let value = value.or_else(|| args.get(index + 1).map(|next| next.text.as_str())).unwrap_or_default().to_owned();
                self.perhaps_command(&value, place);
            }
        }
    }

    /// Words of a program that nobody knows, which may be a launcher: the first that is a program's name, and texts that begin with
    /// one.
    pub(super) fn perhaps_commands(&mut self, args: &[Word], place: &Place) {
        let known = |walk: &Self, text: &str| {
            let name = text.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            matches!(name, "env" | "printenv" | "cat") || !walk.catalogue.programs(name).is_empty()
        };
        if let Some(at) = args.iter().take(PIECES_MAX).position(|word| !word.text.contains(' ') && known(self, &word.text)) {
            let inner = Place { file: true, ..place.guess() };
            self.exec(args.get(at..).unwrap_or_default(), &inner, &mut Scope::default());
        }
        let texts: Vec<String> = args.iter().filter(|word| word.text.contains(' ') && known(self, &word.text)).take(8).map(|word| word.text.clone()).collect();
        for text in texts {
            self.perhaps_command(&text, place);
        }
    }

    /// A text that may be a command. That it is none is no doubt: only what it would do counts.
    pub(super) fn perhaps_command(&mut self, text: &str, place: &Place) {
        let text = text.strip_prefix('!').unwrap_or(text);
        if text.trim_matches(DYNAMIC).is_empty() {
            return;
        }
        let inner = Place { file: true, ..place.guess() };
        self.shell_text(text, &inner, &mut Scope::default());
    }

    /// `git -c key=command`.
    pub(super) fn git_settings(&mut self, args: &[Word], place: &Place) {
        for word in args.iter().filter(|word| word.text.starts_with("-O") && word.text.contains(' ')) {
            self.perhaps_command(&word.text.replacen("-O", "", 1), place);
        }
        if args.iter().any(|word| word.text == "config") {
            for word in args.iter().filter(|word| word.text.contains(' ')) {
                self.perhaps_command(&word.text, place);
            }
        }
        for pair in args.windows(2) {
            if let [option, value] = pair
                && option.text == "-c"
            {
                let text = value.text.split_once('=').map_or(value.text.as_str(), |(_, text)| text).to_owned();
                if text.contains(' ') || text.starts_with('!') {
                    self.perhaps_command(&text, place);
                }
            }
        }
    }

    /// Commands of an editor: what they say of credentials and programs.
    pub(super) fn editor(&mut self, name: &str, args: &[Word], place: &Place) {
        if let Input::Text(text) = &place.input {
            let text = text.clone();
            self.paths(&text, name, Mention::Reveal, place);
            self.variables_in_text(&text.text, name, place);
            if crate::exec::starts_programs(&text.text) || text.text.contains('!') {
                self.rubble(&text.text, &place.guess());
                self.signals(&text.text, name, place);
            }
        }
        for (index, word) in args.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|at| args.get(at)).map_or("", |word| word.text.as_str());
            let given = (name == "nano" && before == "-s") || matches!(before, "-c" | "--cmd" | "--eval" | "-eval" | "-e" | "-P" | "--pager" | "-H" | "--html");
            if let Some(text) = word.text.strip_prefix('+').or_else(|| Some(word.text.as_str()).filter(|_| given)) {
                let text = text.to_owned();
                self.variables_in_text(&text, name, place);
                self.code_environment(&text, name, place);
                if let Some((_, command)) = text.strip_prefix(':').and_then(|text| text.split_once(' ')) {
                    self.perhaps_command(command, place);
                }
                if crate::exec::starts_programs(&text) || text.contains('!') || matches!(before, "-P" | "--pager" | "-s") {
                    self.rubble(&text, &place.guess());
                    self.signals(&text, name, place);
                }
            }
        }
    }

    /// Commands of `sqlite3` itself, and statements on a file.
    pub(super) fn dot_commands(&mut self, args: &[Word], place: &Place) {
        for word in args {
            if word.text.starts_with(".load ") || word.text.contains("load_extension") {
                self.unclear("a database loads code", place);
            }
            if let Some(file) = [".output ", ".once ", ".backup ", ".save "].iter().find_map(|start| word.text.strip_prefix(start)) {
                self.paths(&Word::literal(file), "sqlite3", Mention::Write, place);
            }
        }
        let given = match &place.input {
            Input::Text(text) => text.text.clone(),
            _ => String::new(),
        };
        let texts = args.iter().skip(1).map(|word| word.text.as_str()).chain([given.as_str()]);
        if texts.into_iter().any(|text| super::statement::statements(text) == super::statement::Does::Removes) {
            self.find(crate::classify::simple("sqlite3", "statement", crate::reading::Kind::Destructive, "", None), place);
        }
        for line in given.lines() {
            for start in [".shell ", ".system "] {
                if let Some(text) = line.strip_prefix(start) {
                    self.shell_text(text, &place.inside(), &mut Scope::default());
                }
            }
        }
        for word in args {
            for start in [".shell ", ".system "] {
                if let Some(text) = word.text.strip_prefix(start) {
                    self.shell_text(text, &place.inside(), &mut Scope::default());
                }
            }
        }
    }

    /// Words in which some programs hold a command: an address of `socat`, a variable of `make`, a script of `sed`.
    pub(super) fn odd_words(&mut self, name: &str, args: &[Word], place: &Place) {
        for word in args {
            let text = word.text.as_str();
            let command = match name {
                "socat" => ["EXEC:", "SYSTEM:", "exec:", "system:", "SHELL:"].iter().find_map(|start| text.split_once(start)).map(|(_, rest)| rest.split(',').next().unwrap_or(rest)),
                "make" | "gmake" => text.split_once('=').filter(|(name, _)| name.ends_with("SHELL")).map(|(_, value)| value),
                "sed" | "gsed" => text.split_once("e ").filter(|(start, _)| start.chars().all(|c| c.is_ascii_digit() || c == '$')).map(|(_, rest)| rest),
                "perl" | "ruby" => text.strip_suffix('|'),
                _ => None,
            };
            if let Some(command) = command.map(str::to_owned) {
                self.perhaps_command(&command, place);
            }
            // The parts of `s/a/b/e` have their slashes escaped.
            if matches!(name, "sed" | "gsed") && text.contains("\\/") {
                let parts: Vec<String> = text.replace("\\/", "\0").split('/').map(|part| part.replace('\0', "/")).collect();
                for part in parts {
                    self.paths(&Word::literal(part.clone()), name, Mention::Reveal, place);
                    self.perhaps_command(&part, place);
                }
            }
        }
    }

    /// Recipes on the input, or in an option.
    pub(super) fn recipes(&mut self, args: &[Word], place: &Place) {
        let given = match place.input.clone() {
            Input::Text(text) => vec![text.text],
            _ => Vec::new(),
        };
        let evaluated = args.iter().filter(|word| word.text.starts_with("--eval") || word.text.contains("$(shell")).map(|word| word.text.clone());
        let files = args.iter().flat_map(|word| word.perhaps.iter().cloned());
        for text in given.into_iter().chain(evaluated).chain(files) {
            self.rubble(&text, &place.guess());
            self.variables_in_text(&text, "make", place);
            self.paths(&Word::literal(text), "make", Mention::Reveal, place);
        }
    }

    /// A schedule on the input: five fields, then a command.
    pub(super) fn scheduled(&mut self, place: &Place) {
        if let Input::Text(text) = place.input.clone() {
            self.runs_later(&text, place);
            for line in text.text.lines().take(PIECES_MAX) {
                let skip = if line.trim_start().starts_with('@') { 1 } else { 5 };
                let command: Vec<&str> = line.split_whitespace().skip(skip).collect();
                self.perhaps_command(&command.join(" "), place);
            }
        }
    }

    /// A client that reads commands of its own, one a line.
    pub(super) fn input_lines(&mut self, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        if matches!(place.input, Input::Pipe | Input::File(_)) && args.iter().all(|word| word.text.starts_with('-') || !word.text.contains(' ')) {
            self.reading.unread("commands on the input");
            if matches!(place.input, Input::Pipe) {
                self.unclear("commands of a client on a pipe", place);
            }
        }
        let Input::Text(text) = &place.input else { return };
        let inner = place.inside().with(Input::Inherited);
        for line in text.text.clone().lines().filter(|line| !line.trim().is_empty()).take(PIECES_MAX) {
            if let Some(command) = line.trim_start().strip_prefix('!') {
                self.perhaps_command(command, place);
            }
            let mut words = vec![Word::literal(name)];
            words.extend(args.iter().cloned());
            words.extend(line.split_whitespace().map(Word::literal));
            self.exec(&words, &inner, scope);
        }
    }

    /// `jq`, `yq` and `envsubst` put variables into what they print.
    pub(super) fn filters(&mut self, name: &str, args: &[Word], place: &Place) {
        let mut texts: Vec<String> = if name == "envsubst" { Vec::new() } else { args.iter().map(|word| word.text.clone()).collect() };
        if let (Input::Text(text), "envsubst") = (&place.input, name) {
            texts.push(text.text.clone());
        }
        for text in texts {
            if matches!(text.as_str(), "env" | "$ENV" | "env." | "$ENV." | "[env]" | "$ENV|." | "env|.") {
                self.reveal(name, "variables.shown", "every variable", place);
            }
            let parts = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|_| name == "envsubst" || text.contains("ENV") || text.contains("env"));
            let secrets = |part: &&str| self.catalogue.variable(part).is_some_and(|rule| rule.what == What::Credential);
            let shown: Vec<String> = parts.filter(secrets).map(str::to_owned).take(PIECES_MAX).collect();
            for variable in shown {
                self.reveal(name, "variable.shown", &format!("variable {variable}"), place);
            }
        }
    }

    /// Searches for files: looking for a credential's name is noted.
    pub(super) fn search(&mut self, args: &[Word], place: &Place) {
        for word in args {
            if secret_name(&word.text) {
                let found = crate::classify::simple("find", "search.credential", crate::reading::Kind::Read, &word.text, Some("a search for credentials"));
                self.find(found, place);
            }
        }
    }

    /// Paths in the text that a program reads on its input.
    pub(super) fn input_mentioned(&mut self, name: &str, mention: Mention, place: &Place) {
        if let Input::Text(text) = &place.input {
            let text = text.clone();
            self.paths(&text, name, mention, place);
        }
    }

    /// A subscript that is computed when the variable is used.
    pub(crate) fn subscript(&mut self, word: &Word, place: &Place) {
        if word.text.contains('[') && word.text.contains(['$', '`']) && (word.text.contains("$(") || word.text.contains('`')) {
            self.unclear("a subscript is computed", place);
            let text = word.text.replace(DYNAMIC, "");
            self.here_text(&text, &place.inside(), &mut Scope::default());
        }
    }
}

/// Whether a pattern of names looks for credentials.
pub(super) fn secret_name(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let source = [".rs", ".py", ".js", ".ts", ".tsx", ".go", ".md", ".rb", ".java", ".c", ".h", ".html", ".css", ".snap", ".txt"];
    text.len() < 4096 && !source.iter().any(|end| text.ends_with(end)) && SECRET_NAMES.iter().take(PIECES_MAX).any(|name| text.contains(name))
}
