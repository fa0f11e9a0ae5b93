//! The words of a program as options and other words, by its table.

use super::file::Tool;
use crate::shell::expand::Word;

/// An option that is there.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) name: String,
    pub(crate) value: Option<Word>,
}

/// The words behind a program's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parsed<'w> {
    pub(crate) options: Vec<Given>,
    /// Words that are no options, with their places.
    pub(crate) words: Vec<(usize, &'w Word)>,
    /// Where the first `--` stands.
    pub(crate) dashes: Option<usize>,
    /// Whether an option was in neither list.
    pub(crate) guessed: bool,
}

impl<'w> Parsed<'w> {
    /// Reads the words (the program's name is not one of them). `hungry`: options that the table does not know take the next
    /// word.
    pub(crate) fn new(tool: &Tool, words: &'w [Word], hungry: bool) -> Self {
        let mut out = Self::default();
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let text = word.text.as_str();
            if out.dashes.is_some() || (tool.options_first && !out.words.is_empty()) || !is_option(text) {
                out.words.push((at, word));
            } else if text == "--" {
                out.dashes = Some(at);
            } else if text.starts_with("--") || tool.long_dash {
                at += out.long(tool, word, words.get(at + 1), hungry);
            } else {
                at += out.short(tool, word, words.get(at + 1), hungry);
            }
            at += 1;
        }
        out
    }

    fn long(&mut self, tool: &Tool, word: &Word, next: Option<&Word>, hungry: bool) -> usize {
        if let Some((name, value)) = word.text.split_once('=') {
            self.give(name, Some(Word { text: value.to_owned(), ..word.clone() }));
            return 0;
        }
        let takes = self.takes(tool, &word.text, hungry);
        let value = next.filter(|next| takes && (has(&tool.values, &word.text) || !is_option(&next.text)));
        self.give(&word.text, value.cloned());
        usize::from(value.is_some())
    }

    /// `-abc`: each letter is an option, up to one that takes a value: the rest, or the next word.
    fn short(&mut self, tool: &Tool, word: &Word, next: Option<&Word>, hungry: bool) -> usize {
        if has(&tool.values, &word.text) || has(&tool.flags, &word.text) {
            return self.long(tool, word, next, hungry);
        }
        let mut letters = word.text.char_indices().skip(1).peekable();
        while let Some((at, letter)) = letters.next() {
            let name = format!("-{letter}");
            let rest = word.text.get(at + letter.len_utf8()..).unwrap_or_default();
            let value = |text: &str| Some(Word { text: text.strip_prefix('=').unwrap_or(text).to_owned(), ..word.clone() });
            if has(&tool.attached, &name) || (has(&tool.values, &name) && !rest.is_empty()) {
                self.give(&name, if rest.is_empty() { None } else { value(rest) });
                return 0;
            }
            let last = rest.is_empty();
            let takes = last && self.takes(tool, &name, hungry);
            let taken = next.filter(|next| takes && (has(&tool.values, &name) || !is_option(&next.text)));
            self.give(&name, taken.cloned());
            if taken.is_some() {
                return 1;
            }
            if let Some((_, '=')) = letters.peek() {
                return 0;
            }
        }
        0
    }

    fn takes(&mut self, tool: &Tool, name: &str, hungry: bool) -> bool {
        if has(&tool.values, name) {
            return true;
        }
        let known = has(&tool.flags, name);
        self.guessed |= !known;
        hungry && !known
    }

    fn give(&mut self, name: &str, value: Option<Word>) {
        self.options.push(Given { name: name.to_owned(), value });
    }

    /// Values of that option.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Word> {
        self.options.iter().filter(move |option| option.name == name).filter_map(|option| option.value.as_ref())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option.name == name)
    }
}

fn is_option(text: &str) -> bool {
    text.len() > 1 && text.starts_with('-')
}

fn has(list: &[String], name: &str) -> bool {
    list.iter().any(|known| known == name)
}
