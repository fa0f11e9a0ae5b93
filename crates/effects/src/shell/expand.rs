//! From the pieces of a word to the fields that a command gets. What is known only when it runs is a marker in the text.

use super::word::Piece;
use crate::limits::{FIELDS_MAX, KEPT_MAX};
use std::collections::BTreeMap;

/// Stands in a [`Word`] for what is known only when it runs. No argument of a program can hold it.
pub(crate) const DYNAMIC: char = '\0';

/// Stands for a path that was found by a search for credentials. No argument of a program can be this.
pub(crate) const SEARCHED: &str = "\0credential";

/// One argument.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its text, with [`DYNAMIC`] for what is not known.
    pub(crate) text: String,
    /// Whether it may become other words: a pattern of file names that is not quoted.
    pub(crate) pattern: bool,
    /// Variables whose values are in it.
    pub(crate) variables: Vec<String>,
    /// Texts that may become part of it.
    pub(crate) perhaps: Vec<String>,
}

impl Word {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self { text: text.into().replace(DYNAMIC, "\u{fffd}"), ..Self::default() }
    }
    pub(crate) fn dynamic() -> Self {
        Self { text: DYNAMIC.to_string(), ..Self::default() }
    }
    pub(crate) fn is_dynamic(&self) -> bool {
        self.text.contains(DYNAMIC)
    }
    /// The text, where all of it is known and stands for itself.
    pub(crate) fn known(&self) -> Option<&str> {
        (!self.pattern && !self.is_dynamic()).then_some(self.text.as_str())
    }
}

/// What is known of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Known(String),
    Unknown,
}

/// What is known of the variables of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    values: BTreeMap<String, Value>,
    /// Texts that may be the value of a variable that is not known.
    perhaps: BTreeMap<String, Vec<String>>,
    /// Variables whose values went into that of another.
    derived: BTreeMap<String, Vec<String>>,
    /// `$0`, `$1` …, where the command line gives them.
    pub(crate) positional: Option<Vec<Word>>,
}

impl Scope {
    /// Nothing known but these words.
    pub(crate) fn of(positional: Option<Vec<Word>>) -> Self {
        Self { positional, ..Self::default() }
    }
    /// A variable that gets a value. Two different values, on whatever ways, are none.
    pub(crate) fn assign(&mut self, name: &str, value: Value) {
        let same = self.values.get(name).is_none_or(|before| *before == value);
        if let Value::Known(text) = &value {
            self.perhaps(name, [text.clone()]);
        }
        self.values.insert(name.to_owned(), if same { value } else { Value::Unknown });
    }
    pub(crate) fn forget(&mut self, name: &str) {
        self.values.insert(name.to_owned(), Value::Unknown);
    }
    /// A variable whose value is made from others.
    pub(crate) fn derive(&mut self, name: &str, from: &[String]) {
        let known = self.derived.entry(name.to_owned()).or_default();
        known.extend(from.iter().take(KEPT_MAX.saturating_sub(known.len())).cloned());
    }
    /// Texts that a variable may have as its value.
    pub(crate) fn perhaps(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        let known = self.perhaps.entry(name.to_owned()).or_default();
        for text in texts {
            if known.len() < KEPT_MAX && !known.contains(&text) {
                known.push(text);
            }
        }
    }
    fn get(&self, name: &str) -> Option<&str> {
        match self.values.get(name) {
            Some(Value::Known(text)) => Some(text),
            Some(Value::Unknown) => None,
            None if name == "HOME" => Some("~"),
            None if name == "IFS" => Some(" "),
            None => None,
        }
    }
}

/// Commands, doubts and assignments that the pieces of a word hold.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) scripts: Vec<String>,
    pub(crate) arithmetic: Vec<String>,
    pub(crate) doubts: Vec<&'static str>,
    pub(crate) assigned: Vec<(String, Vec<String>)>,
}

/// The fields of a word, and what was found on the way.
pub(crate) fn fields(pieces: &[Piece], scope: &Scope, found: &mut Found) -> Vec<Word> {
    let mut build = Build { out: Vec::new(), word: None };
    for piece in pieces {
        build.piece(piece, scope, found);
    }
    build.out.extend(build.word.take());
    let mut out = Vec::new();
    for word in build.out {
        braces(word, &mut out, BRACES_MAX);
    }
    out.truncate(FIELDS_MAX);
    out
}

/// The one text of a word where no field splitting takes place: an assignment, a here-document, a redirection.
pub(crate) fn text(pieces: &[Piece], scope: &Scope, found: &mut Found) -> Word {
    let mut out = Word::default();
    let mut build = Build { out: Vec::new(), word: None };
    for piece in pieces {
        build.piece(piece, scope, found);
    }
    build.out.extend(build.word.take());
    for (index, word) in build.out.into_iter().enumerate() {
        if index > 0 {
            out.text.push(' ');
        }
        out.text.push_str(&word.text);
        out.pattern |= word.pattern;
        out.variables.extend(word.variables);
        out.perhaps.extend(word.perhaps);
    }
    out
}

/// Whether unquoted text may become names of files.
fn matches_files(text: &str) -> bool {
    text.contains(['*', '?']) || ["+(", "@(", "!("].iter().any(|group| text.contains(group)) || text.split_once('[').is_some_and(|(_, rest)| rest.contains(']'))
}

/// Braces in one word that become words.
const BRACES_MAX: usize = 3;

struct Build {
    out: Vec<Word>,
    word: Option<Word>,
}

impl Build {
    fn word(&mut self) -> &mut Word {
        self.word.get_or_insert_with(Word::default)
    }

    fn dynamic(&mut self) {
        let word = self.word();
        if !word.text.ends_with(DYNAMIC) {
            word.text.push(DYNAMIC);
        }
    }

    fn piece(&mut self, piece: &Piece, scope: &Scope, found: &mut Found) {
        match piece {
            Piece::Text { text, quoted } => {
                // An escape that became a control character of ours would look like something that is not known.
                let word = self.word();
                word.text.push_str(&text.replace(DYNAMIC, "\u{fffd}"));
                word.pattern |= !quoted && matches_files(text);
                // `{}` is nobody's pattern.
                word.pattern |= !quoted && text.replace("{}", "").contains('{');
            }
            Piece::Variable { name, quoted } => self.variable(name, *quoted, scope),
            Piece::Command { script, .. } => {
                found.scripts.push(script.clone());
                self.dynamic();
            }
            Piece::Arithmetic(text) => {
                found.arithmetic.push(text.clone());
                self.dynamic();
            }
            Piece::Default(pieces) => {
                let perhaps = text(pieces, scope, found);
                if let Some((_, texts)) = found.assigned.last_mut().filter(|(_, texts)| texts.is_empty()) {
                    texts.push(perhaps.text.clone());
                }
                let word = self.word();
                word.perhaps.push(perhaps.text);
                word.perhaps.extend(perhaps.perhaps);
                word.variables.extend(perhaps.variables);
            }
            Piece::Assigns(name) => found.assigned.push((name.clone(), Vec::new())),
            Piece::Doubt(why) => {
                found.doubts.push(why);
                self.dynamic();
            }
        }
    }

    fn variable(&mut self, name: &str, quoted: bool, scope: &Scope) {
        let bare = name.trim_end_matches(DYNAMIC);
        let derived = scope.derived.get(bare).cloned().unwrap_or_default();
        self.word().variables.push(bare.to_owned());
        self.word().variables.extend(derived);
        if let Some(list) = scope.positional.as_ref().filter(|_| bare == name) {
            if let Some(number) = name.parse::<usize>().ok().filter(|_| name.len() < 4) {
                return self.value(list.get(number).map_or("", |word| word.text.as_str()), quoted);
            }
            if name == "@" || name == "*" {
                for (index, word) in list.iter().skip(1).enumerate() {
                    if index > 0 && self.out.len() < FIELDS_MAX {
                        self.out.extend(self.word.take());
                    }
                    self.value(&word.text, quoted);
                }
                return;
            }
        }
        match scope.get(name) {
            Some(value) => self.value(value, quoted),
            None => {
                self.dynamic();
                let perhaps = scope.perhaps.get(bare).cloned().unwrap_or_default();
                self.word().perhaps.extend(perhaps);
            }
        }
    }

    /// Adds a value: one field in quotes, as many as it has words without.
    fn value(&mut self, value: &str, quoted: bool) {
        if quoted || !value.contains([' ', '\t', '\n']) {
            let word = self.word();
            word.text.push_str(value);
            word.pattern |= !quoted && matches_files(value);
            return;
        }
        if value.starts_with([' ', '\t', '\n']) && self.word.as_ref().is_some_and(|word| !word.text.is_empty()) {
            self.out.extend(self.word.take());
        }
        for (index, part) in value.split_whitespace().enumerate() {
            if index > 0 && self.out.len() < FIELDS_MAX {
                self.out.extend(self.word.take());
            }
            let word = self.word();
            word.text.push_str(part);
            word.pattern |= matches_files(part);
        }
        if value.ends_with([' ', '\t', '\n']) && self.out.len() < FIELDS_MAX {
            self.out.extend(self.word.take().filter(|word| !word.text.is_empty()));
        }
    }
}

/// `a{b,c}d` is two words. What has several braces, or ranges, stays a pattern: it may become anything.
fn braces(word: Word, out: &mut Vec<Word>, left: usize) {
    if out.len() > FIELDS_MAX {
        return;
    }
    let parts = (word.pattern && left > 0).then(|| split_braces(&word.text)).flatten();
    let Some((before, list, after)) = parts else { return out.push(word) };
    let more = before.contains(['*', '?', '[', '{']) || after.contains(['*', '?', '[', '{']);
    for part in list.into_iter().take(FIELDS_MAX) {
        let text = format!("{before}{part}{after}");
        let pattern = more || matches_files(&text);
        let word = Word { text, pattern, variables: word.variables.clone(), perhaps: word.perhaps.clone() };
        braces(word, out, left - 1);
    }
}

fn split_braces(text: &str) -> Option<(&str, Vec<&str>, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (inner, after) = rest.split_once('}')?;
    (inner.contains(',') && !inner.contains('{')).then(|| (before, inner.split(',').collect(), after))
}
