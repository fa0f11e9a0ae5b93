//! Commands that stand in the words of another: launchers, remote shells, options that hold a command.

use super::environment;
use crate::catalogue::Program;
use crate::catalogue::args::Parsed;
use crate::catalogue::file::{Rule, Run, Touch};
use crate::classify::{Input, Place, Remote, Walk};
use crate::shell::expand::{DYNAMIC, Scope, Word};

impl Walk<'_> {
    /// What the rule says is a command.
    #[expect(clippy::too_many_arguments, reason = "a rule, what it matched and where it stands")]
    pub(super) fn run(
        &mut self,
        program: &Program,
        rule: &Rule,
        used: usize,
        args: &[Word],
        parsed: &Parsed<'_>,
        place: &Place,
        scope: &mut Scope,
    ) {
        let Some(run) = rule.run else { return };
        let mut inner = place.inside();
        if rule.remote {
            let credential = match &rule.credential {
                Some(Touch::What(what)) => Some(what.clone()),
                Some(Touch::Whether(false)) => None,
                _ => program.tool.credential.clone(),
            };
            inner.remote = Some(Remote { credential, environment: environment(&program.tool, parsed, place) });
        }
        match run {
            Run::Option => {
                let values: Vec<Word> = rule.run_options.iter().flat_map(|name| parsed.values(name)).cloned().collect();
                // What stands behind the text of `env -S` are words of its command.
                let more = if program.tool.names.iter().any(|name| name == "env") { rest(rule, used, args, parsed) } else { &[] };
                for mut value in values {
                    for word in more {
                        value.text.push(' ');
                        value.text.push_str(&word.text);
                    }
                    self.option_text(rule, &value, &inner);
                }
            }
            Run::Argv => {
                let rest = rest(rule, used, args, parsed);
                self.argv(rule, rest, inner, scope);
            }
            Run::Words => {
                let rest = rest(rule, used, args, parsed);
                let (rest, each) = listed(rest);
                for word in each {
                    self.with_each(rule, rest, word, &inner);
                }
                let text = rest.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
                if !text.is_empty() {
                    self.text(rule, &text, &inner);
                    // Some join their words with blanks, others hand them on as they are: both are read.
                    if rest.len() > 1 {
                        self.argv(rule, rest, inner.inside(), scope);
                    }
                } else if rule.remote {
                    self.input_script(&inner, scope);
                }
            }
        }
    }

    /// A command for one of the words behind `:::`.
    fn with_each(&mut self, rule: &Rule, rest: &[Word], word: &Word, place: &Place) {
        let text = rest.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let text = if text.contains("{}") { text.replace("{}", &word.text) } else { format!("{text} {}", word.text) };
        self.text(rule, &text, place);
    }

    fn option_text(&mut self, rule: &Rule, value: &Word, place: &Place) {
        // `env -S` has an escape of its own for a blank.
        let text = value.text.replace("\\_", " ");
        let text = text.as_str();
        if rule.run_prefix.is_empty() {
            return self.text(rule, text, place);
        }
        for prefix in &rule.run_prefix {
            if let Some(rest) = text.strip_prefix(prefix.as_str()) {
                self.text(rule, rest, place);
            }
        }
    }

    /// Shell text of another process, which knows none of our variables.
    fn text(&mut self, rule: &Rule, text: &str, place: &Place) {
        if rule.extends {
            self.shell_text(&format!("{text} \"$_\""), place, &mut Scope::default());
            return;
        }
        self.shell_text(text, place, &mut Scope::default());
    }

    /// The words of a command, behind assignments for it.
    fn argv(&mut self, rule: &Rule, rest: &[Word], mut place: Place, scope: &mut Scope) {
        let mut rest = rest;
        while let Some((first, more)) = rest.split_first() {
            let Some((name, value)) = assignment(first) else { break };
            let value = Word { text: value, ..first.clone() };
            self.set_variable(&name, &value, &place);
            place.env.push((name, value));
            rest = more;
        }
        if rest.is_empty() {
            return;
        }
        let mut words: Vec<Word> = rest.to_vec();
        if let (true, Input::Text(text)) = (rule.extends, &place.input) {
            let perhaps = text.perhaps.clone();
            let text = text.text.clone();
            for word in &mut words {
                word.text = word.text.replace("{}", text.trim());
            }
            let mut whole = words.clone();
            whole.push(Word::literal(text.trim()));
            self.exec(&whole, &Place { input: Input::Inherited, ..place.clone() }, scope);
            words.extend(text.split([' ', '\n', '\t', ':', '"', '\'']).filter(|part| !part.is_empty()).take(crate::limits::FIELDS_MAX).map(Word::literal));
            if !perhaps.is_empty() {
                words.push(Word { perhaps, ..Word::dynamic() });
            }
            place.input = Input::Inherited;
        } else if rule.extends {
            for word in &mut words {
                word.text = word.text.replace("{}", &DYNAMIC.to_string());
            }
            // Without any input it runs all the same.
            self.exec(&words, &Place { input: Input::Inherited, ..place.clone() }, scope);
            words.push(Word::dynamic());
            place.input = Input::Inherited;
        }
        self.exec(&words, &place, scope);
    }

    /// A remote shell without a command reads its input.
    fn input_script(&mut self, place: &Place, scope: &mut Scope) {
        match place.input.clone() {
            Input::Text(text) => _ = self.shell_text(&text.text, place, scope),
            Input::Pipe | Input::File(_) => self.unclear("a script on a pipe", place),
            Input::Inherited => {}
        }
    }
}

/// The words of a command, and those behind `:::` that it runs for.
fn listed(words: &[Word]) -> (&[Word], &[Word]) {
    let at = words.iter().position(|word| matches!(word.text.as_str(), ":::" | ":::+" | "::::"));
    let (rest, each) = words.split_at(at.unwrap_or(words.len()));
    (rest, each.get(1..).unwrap_or_default())
}

/// The words behind the pattern, what is skipped, and `--`.
fn rest<'w>(rule: &Rule, used: usize, args: &'w [Word], parsed: &Parsed<'_>) -> &'w [Word] {
    let at = parsed.words.get(used + rule.skip).map(|(at, _)| *at);
    // Behind `--` everything is the command, however many words stand before it.
    let behind = parsed.dashes.map(|dashes| dashes + 1).filter(|behind| at.is_none_or(|at| at >= *behind));
    match behind.or(at) {
        Some(at) => args.get(at..).unwrap_or_default(),
        None => &[],
    }
}

/// `NAME=value` before a command.
fn assignment(word: &Word) -> Option<(String, String)> {
    let (name, value) = word.text.split_once('=')?;
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    (plain && !name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}
