//! Shells as programs: `-c TEXT`, a script file, a script on the input.

use crate::catalogue::file::Mention;
use crate::classify::{Input, Place, Walk};
use crate::shell::expand::{Scope, Value, Word};

/// Shells whose text the parser reads as they do.
const LIKE_BASH: &[&str] = &["sh", "bash", "dash", "ash", "ksh", "mksh", "rbash"];

struct Called<'w> {
    text: bool,
    input: bool,
    rest: &'w [Word],
}

fn called(args: &[Word]) -> Called<'_> {
    let mut out = Called { text: false, input: false, rest: args };
    while let Some((first, more)) = out.rest.split_first() {
        let option = first.text.as_str();
        match option {
            "--" | "-" => {
                out.rest = more;
                break;
            }
            "-o" | "+o" | "-O" | "+O" | "--rcfile" | "--init-file" => out.rest = more.get(1..).unwrap_or_default(),
            _ if option.starts_with("--") => out.rest = more,
            _ if option.len() > 1 && option.starts_with(['-', '+']) => {
                out.text |= option.starts_with('-') && option.contains('c');
                out.input |= option.starts_with('-') && option.contains('s');
                // `-eo pipefail`: the letter takes the next word.
                let takes = option.ends_with(['o', 'O']);
                out.rest = if takes { more.get(1..).unwrap_or_default() } else { more };
            }
            _ => break,
        }
    }
    out
}

impl Walk<'_> {
    /// A shell: a process of its own, which sees none of our variables but exported ones, and those are not followed.
    pub(super) fn shell(&mut self, name: &str, args: &[Word], place: &Place) {
        if args.iter().any(|word| matches!(word.text.as_str(), "--rcfile" | "--init-file")) {
            self.unclear("a shell reads settings from a file", place);
        }
        if matches!(name, "at" | "batch") {
            return self.script_input("sh", &[], place);
        }
        if matches!(name, "pwsh" | "powershell" | "nu" | "xonsh" | "elvish") {
            let text = args.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
            self.signals(&text, name, place);
            if args.iter().any(|word| word.text.len() > 2 && "-encodedcommand".starts_with(&word.text.to_lowercase()) && word.text.starts_with('-')) {
                self.unclear("a shell text is encoded", place);
            }
            self.paths(&Word { text, ..Word::default() }, name, Mention::Reveal, place);
        }
        let called = called(args);
        if called.text {
            let Some((text, positional)) = called.rest.split_first() else {
                return self.unclear("a shell without its text", place);
            };
            for perhaps in text.perhaps.iter().filter(|text| !text.contains(crate::shell::expand::DYNAMIC)).take(4) {
                self.shell_text(perhaps, &place.guess(), &mut Scope::default());
            }
            if text.known().is_none() && text.text.trim_matches(crate::shell::expand::DYNAMIC).is_empty() {
                return self.unclear("a shell text is known only when it runs", place);
            }
            for word in positional {
                self.paths(word, name, Mention::Reveal, place);
            }
            self.dialect(name, &text.text, place);
            let text = Word { text: plain(name, &text.text), ..text.clone() };
            let mut own = Scope::of(Some(positional.to_vec()));
            // `$0` is the first word behind the text, or the shell's name.
            if positional.is_empty() {
                own.positional = Some(vec![Word::literal(name)]);
            }
            self.inherited(place, &mut own);
            let inner = Place { file: false, ..place.inside() };
            self.shell_text(&text.text, &inner, &mut own);
            return;
        }
        for word in called.rest.iter().skip(usize::from(!called.input)) {
            self.paths(word, name, Mention::Reveal, place);
        }
        match called.rest.first().filter(|_| !called.input) {
            Some(file) => self.script_file(file, place),
            None => self.script_input(name, called.rest, place),
        }
    }

    /// Variables that a child sees: those set for it, and those that were exported.
    fn inherited(&self, place: &Place, scope: &mut Scope) {
        let set = place.env.iter().map(|(name, value)| (name, value));
        for (name, value) in self.exported.iter().map(|(name, value)| (name, value)).chain(set) {
            scope.assign(name, value.known().map_or(Value::Unknown, |text| Value::Known(text.to_owned())));
            scope.derive(name, &value.variables);
        }
    }

    fn script_file(&mut self, file: &Word, place: &Place) {
        for text in file.perhaps.iter().filter(|text| !text.contains(crate::shell::expand::DYNAMIC)).take(4) {
            self.shell_text(text, &place.inside(), &mut Scope::default());
        }
        if let (true, Input::Text(text)) = (matches!(file.text.as_str(), "/dev/stdin" | "/dev/fd/0" | "/proc/self/fd/0"), &place.input) {
            self.shell_text(&text.text.clone(), &place.inside().with(Input::Inherited), &mut Scope::default());
            return;
        }
        if file.text.starts_with("/dev/") || file.text.starts_with("/proc/") {
            return self.unclear("a script on a pipe", place);
        }
        match self.own_script(place) {
            Some(script) => {
                let inner = Place { file: true, ..place.inside() };
                self.given(&script, &inner, &mut Scope::default());
            }
            None => self.reading.unread("a shell script"),
        }
    }

    /// The script that somebody has read is the outermost command's.
    fn own_script(&mut self, place: &Place) -> Option<crate::command::Script> {
        if place.nesting == 0 { self.script.take() } else { None }
    }

    fn script_input(&mut self, name: &str, positional: &[Word], place: &Place) {
        match &place.input {
            Input::Text(text) => {
                let text = text.text.clone();
                self.dialect(name, &text, place);
                let own = [Word::literal(name)].into_iter().chain(positional.iter().cloned()).collect();
                self.shell_text(&text, &place.inside().with(Input::Inherited), &mut Scope::of(Some(own)));
            }
            Input::Pipe => self.unclear("a script on a pipe", place),
            Input::File(file) => {
                let file = file.clone();
                self.script_file(&file, place);
            }
            Input::Inherited => match self.own_script(place) {
                Some(script) => self.given(&script, &place.inside(), &mut Scope::default()),
                None => self.reading.unread("a shell that reads its commands elsewhere"),
            },
        }
    }

    /// Other shells take some text for something else: only what all of them take alike is read.
    pub(crate) fn dialect(&mut self, name: &str, text: &str, place: &Place) {
        if LIKE_BASH.contains(&name) {
            return;
        }
        let odd = match name {
            // Qualifiers of patterns run code; `=name` is a path.
            "zsh" => plain(name, text).contains("${(") || text.contains("=(") || text.contains("(e") || text.contains("(+") || text.split_whitespace().any(|word| word.starts_with('=') && word.len() > 1),
            _ => !text.chars().all(|c| c.is_ascii_alphanumeric() || " -_./:,@+%'\"&|;=\n\t".contains(c)),
        };
        if odd {
            self.unclear("a shell reads this text in its own way", place);
        }
    }
}

/// Text of zsh without qualifiers and flags that run nothing, which the parser does not know.
fn plain(name: &str, text: &str) -> String {
    let mut text = text.to_owned();
    if name == "zsh" {
        for odd in ["(N)", "(.)", "(/)", "(N.)", "(N/)", "(D)", "(.N)"] {
            text = text.replace(odd, "");
        }
        for flag in ["u", "U", "L", "f", "F", "k", "v", "o", "O", "q", "w"] {
            text = text.replace(&format!("${{({flag})"), "${");
        }
    }
    text
}
