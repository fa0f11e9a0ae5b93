//! Builtins of shells: they change what later commands mean, and never become a program that a gate could see.

use crate::catalogue::file::{Mention, What};
use crate::classify::{Input, Place, Walk};
use crate::shell::expand::{DYNAMIC, Scope, Value, Word};
use crate::shell::walk::Output;

const DUMP: &str = "every variable";

impl Walk<'_> {
    /// A builtin, or none of that name.
    pub(super) fn builtin(&mut self, name: &str, called: &str, args: &[Word], place: &Place, scope: &mut Scope) -> Option<Output> {
        match name {
            "echo" | "printf" | "cat" => return self.printed(name, args, place, scope),
            "env" | "printenv" => {
                self.dumper(name, args, place);
                return None;
            }
            _ => {}
        }
        if called.contains('/') {
            return None;
        }
        if matches!(name, "test" | "[" | "unset" | "read" | "declare" | "typeset" | "local" | "export" | "readonly" | "printf" | "let" | "mapfile") {
            for word in args {
                self.subscript(word, place);
            }
        }
        match name {
            "eval" => self.eval(args, place, scope),
            "source" | "." => self.source(args, place, scope),
            "command" | "type" if args.first().is_some_and(|word| word.text == "-v" || (name == "type" && matches!(word.text.as_str(), "-p" | "-P"))) => {
                return Some(args.get(1).map(|word| Word::literal(word.text.clone())));
            }
            "exec" | "command" | "builtin" => self.passed(name, args, place, scope),
            "export" | "declare" | "typeset" | "readonly" | "local" => self.declared(name, args, place, scope),
            "set" => {
                if args.is_empty() {
                    self.reveal(name, "variables.shown", DUMP, place);
                } else {
                    positional(args, scope);
                }
            }
            "trap" => self.script_word(args.iter().find(|word| word.text != "--"), place, scope),
            "alias" => {
                if args.iter().any(|word| matches!(word.text.as_str(), "-s" | "-g")) {
                    self.unclear("an alias changes what a name means", place);
                }
                for word in args {
                    let body = word.text.split_once('=').map(|(_, body)| Word { text: body.to_owned(), ..word.clone() });
                    self.script_word(body.as_ref(), place, scope);
                }
            }
            "read" | "mapfile" | "readarray" | "getopts" | "unset" => self.forgotten(name, args, place, scope),
            "history" | "fc" => self.history(name, args, place),
            "enable" | "hash" | "bind" | "complete" | "compgen" => {
                for word in args {
                    self.paths(word, name, Mention::Reveal, place);
                }
                for word in args.iter().filter(|word| word.text.contains(' ')) {
                    self.perhaps_command(word.text.rsplit_once("\":").map_or(word.text.as_str(), |(_, command)| command), place);
                }
                if name != "complete" && name != "compgen" && args.iter().any(|word| matches!(word.text.as_str(), "-f" | "-p" | "-x")) {
                    self.unclear("a builtin changes what a name means", place);
                }
            }
            "test" | "[" | "cd" | "pushd" => {
                if let ("cd" | "pushd", Some(dir)) = (name, args.iter().find(|word| !word.text.starts_with('-'))) {
                    self.enters(&dir.text);
                }
                for word in args {
                    self.mention(word, "test", Mention::None, place);
                }
            }
            ":" | "true" | "false" | "pwd" | "popd" | "dirs" | "shift" | "wait" | "return" | "exit" | "break" | "continue" | "let" | "umask" | "ulimit"
            | "type" | "times" | "jobs" | "fg" | "bg" | "disown" | "shopt" | "suspend" | "logout" | "caller" => {}
            _ => return None,
        }
        Some(None)
    }

    /// Variables that are taken away, or get a value that is known only when it runs.
    fn forgotten(&mut self, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        if args.iter().any(|word| word.text == "-C") {
            self.unclear("a builtin runs a command for each line", place);
        }
        let given = match &place.input {
            Input::Text(text) => text.perhaps.iter().chain([&text.text]).cloned().collect(),
            _ => Vec::new(),
        };
        for word in args.iter().filter(|word| !word.text.starts_with('-')) {
            if name == "unset" {
                self.unset(&word.text, place);
            }
            scope.forget(&word.text);
            scope.perhaps(&word.text, given.iter().cloned());
        }
    }

    fn history(&mut self, name: &str, args: &[Word], place: &Place) {
        let removes = args.iter().any(|word| matches!(word.text.as_str(), "-c" | "-d" | "-cw"));
        if removes {
            self.find(crate::classify::simple(name, "history.removed", crate::reading::Kind::Destructive, "", None), place);
        } else if !args.iter().any(|word| matches!(word.text.as_str(), "-a" | "-w" | "-r" | "-n")) {
            self.reveal(name, "history.shown", "shell history", place);
        }
    }

    /// What `echo`, `printf` and `cat` print where that is known. Other programs of these names are in the catalogue too, so
    /// that the words are looked at there.
    fn printed(&mut self, name: &str, args: &[Word], place: &Place, scope: &mut Scope) -> Option<Output> {
        if let (true, Some(variable)) = (name == "printf" && args.first().is_some_and(|word| word.text == "-v"), args.get(1)) {
            scope.forget(&variable.text);
        }
        for program in self.catalogue.programs(name) {
            self.program(program, name, args, place, scope);
        }
        let plain = args.iter().filter(|word| !(word.text.starts_with('-') && word.text.len() < 4));
        let text = match name {
            "cat" if args.is_empty() => match &place.input {
                Input::Text(text) => text.clone(),
                _ => return Some(None),
            },
            "cat" => return Some(None),
            "printf" => {
                let text = plain.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                Word { text: text.replace("\\n", "\n").replace("\\t", "\t").replace("%s", " ").replace("\\0", " "), ..Word::default() }
            }
            _ => Word { text: plain.map(|word| word.text.as_str()).collect::<Vec<_>>().join(" "), ..Word::default() },
        };
        // A format of `printf` makes other text of its words, `echo -e` of its escapes.
        let odd = name != "cat" && (text.text.contains('\\') || (name == "printf" && text.text.contains('%')));
        let end = if odd { DYNAMIC.to_string() } else { String::new() };
        Some(Some(Word { text: text.text + &end, perhaps: text.perhaps, ..Word::default() }))
    }

    fn dumper(&mut self, name: &str, args: &[Word], place: &Place) {
        let words: Vec<&Word> = args.iter().filter(|word| !word.text.starts_with('-')).collect();
        for pair in args.windows(2).filter(|_| name == "env") {
            if let [option, variable] = pair
                && matches!(option.text.as_str(), "-u" | "--unset")
            {
                self.unset(&variable.text, place);
            }
        }
        if name == "printenv" {
            let secret = |word: &&&Word| self.catalogue.variable(&word.text).is_some_and(|rule| rule.what == What::Credential);
            let shown: Vec<String> = words.iter().filter(secret).map(|word| format!("variable {}", word.text)).collect();
            for variable in shown {
                self.reveal(name, "variable.shown", &variable, place);
            }
            if words.is_empty() || words.iter().any(|word| word.is_dynamic()) {
                self.reveal(name, "variables.shown", DUMP, place);
            }
        } else if words.iter().all(|word| word.text.contains('=')) && !args.iter().any(|word| word.text.starts_with("-S") || word.text.starts_with("--split")) {
            self.reveal(name, "variables.shown", DUMP, place);
        }
    }

    fn eval(&mut self, args: &[Word], place: &Place, scope: &mut Scope) {
        // `eval eval x` is `eval x`: each would read the whole text again.
        let more = args.iter().take_while(|word| word.text == "eval").count();
        let args = args.get(more..).unwrap_or_default();
        if args.iter().any(|word| word.known().is_none()) {
            self.unclear("`eval` runs what is known only when it runs", place);
        }
        let perhaps: Vec<String> = args.iter().flat_map(|word| word.perhaps.iter()).filter(|text| !text.contains(DYNAMIC)).take(4).cloned().collect();
        for text in perhaps {
            self.shell_text(&text, &place.guess(), scope);
        }
        let text = args.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        if !text.trim_matches(crate::shell::expand::DYNAMIC).is_empty() {
            self.shell_text(&text, &place.inside(), scope);
        }
    }

    fn source(&mut self, args: &[Word], place: &Place, scope: &mut Scope) {
        self.run_written("source", "source", args, place, scope);
        for text in file_texts(args) {
            self.shell_text(&text, &place.inside(), scope);
        }
        let Some(file) = args.first() else { return };
        if let (true, Input::Text(text)) = (matches!(file.text.as_str(), "/dev/stdin" | "/dev/fd/0"), &place.input) {
            let text = text.text.clone();
            self.shell_text(&text, &place.inside(), scope);
        }
        if file.known().is_none() || file.text.starts_with("/dev/") || file.text.starts_with("/proc/") {
            self.unclear("a script is read that is known only when it runs", place);
        }
        self.paths(file, "source", Mention::Reveal, place);
        self.reading.unread("a script that a shell reads into itself");
        // It may set any variable.
        let positional = scope.positional.take();
        *scope = Scope::of(positional);
    }

    /// `exec`, `command`, `builtin`: their own options, then a command.
    fn passed(&mut self, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        let mut rest = args;
        while let Some((first, more)) = rest.split_first() {
            match first.text.as_str() {
                "-v" | "-V" if name == "command" => return,
                "-a" if name == "exec" => rest = more.get(1..).unwrap_or_default(),
                "--" => {
                    rest = more;
                    break;
                }
                option if option.starts_with('-') && option.len() > 1 => rest = more,
                _ => break,
            }
        }
        self.exec(rest, &place.inside(), scope);
    }

    fn declared(&mut self, name: &str, args: &[Word], place: &Place, scope: &mut Scope) {
        let options: Vec<&str> = args.iter().map(|word| word.text.as_str()).filter(|text| text.starts_with(['-', '+'])).collect();
        let names: Vec<&Word> = args.iter().filter(|word| !word.text.starts_with(['-', '+'])).collect();
        if names.is_empty() && !options.iter().any(|option| option.contains(['f', 'F'])) {
            return self.reveal(name, "variables.shown", DUMP, place);
        }
        if name == "export" && options.iter().any(|option| option.contains('f')) {
            self.unclear("a function becomes part of the environment", place);
        }
        let printed = options.iter().any(|option| option.contains('p'));
        let by_name = options.iter().any(|option| option.contains('n')) && name != "export";
        for word in names {
            let (variable, value) = word.text.split_once('=').map_or((word.text.as_str(), None), |(n, v)| (n, Some(v)));
            let variable = variable.trim_end_matches('+');
            if printed && self.catalogue.variable(variable).is_some_and(|rule| rule.what == What::Credential) {
                self.reveal(name, "variable.shown", &format!("variable {variable}"), place);
            }
            if by_name || variable.contains(crate::shell::expand::DYNAMIC) {
                self.unclear("a variable names the variable whose value is meant", place);
            }
            let Some(value) = value else { continue };
            let value = Word { text: value.to_owned(), ..word.clone() };
            scope.derive(variable, &value.variables);
            if (name == "export" || options.iter().any(|option| option.contains('x'))) && self.exported.len() < crate::limits::KEPT_MAX {
                self.exported.push((variable.to_owned(), value.clone()));
            }
            scope.assign(variable, value.known().map_or(Value::Unknown, |text| Value::Known(text.to_owned())));
            self.set_variable(variable, &value, place);
            self.mention(&value, name, Mention::Touch, place);
        }
    }

    /// A variable that decides where connections go, taken away: the road is another one then.
    pub(super) fn unset(&mut self, name: &str, place: &Place) {
        if self.catalogue.variable(name).is_some_and(|rule| rule.what == What::Road) {
            self.reading.variable(name);
            self.find(crate::classify::severe("shell", "variable.unset", marque_model::Effect::Write, name), place);
        }
    }

    fn script_word(&mut self, word: Option<&Word>, place: &Place, scope: &mut Scope) {
        if let Some(word) = word.filter(|word| !matches!(word.text.as_str(), "" | "-" | "-l" | "-p")) {
            self.shell_text(&word.text, &place.inside(), &mut scope.clone());
        }
    }
}

/// What a process prints that is read in place of a file.
fn file_texts(args: &[Word]) -> Vec<String> {
    args.first().map(|file| file.perhaps.iter().filter(|text| !text.contains(DYNAMIC)).take(4).cloned().collect()).unwrap_or_default()
}

/// `set -- a b` and `set a b` give the words that `$1` and `$@` stand for.
fn positional(args: &[Word], scope: &mut Scope) {
    let words = match args.split_first() {
        Some((first, rest)) if first.text == "--" => rest,
        Some((first, _)) if !first.text.starts_with(['-', '+']) => args,
        _ => return,
    };
    let mut list = vec![Word::literal("sh")];
    list.extend(words.iter().cloned());
    scope.positional = Some(list);
}
