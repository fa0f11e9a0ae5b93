//! Patterns of rules: leading words, and options that must or must not be there.
//!
//! `s3 rm|mb ** --recursive|-r !--dryrun -X|--request=DELETE`: words in their order, `**` for any number, `*` within a word for
//! anything, `␣` for a blank, `|` between alternatives; options anywhere, their value behind `=`, without regard to case.

use super::args::Parsed;
use crate::shell::expand::{DYNAMIC, Word};

/// One compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    words: Vec<Vec<String>>,
    options: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    names: Vec<String>,
    values: Option<Vec<String>>,
    absent: bool,
}

const ANY: &str = "**";

/// `␣` is a blank inside a word.
fn blanks(text: &str) -> String {
    text.replace('␣', " ")
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (mut words, mut options) = (Vec::new(), Vec::new());
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            let (absent, bare) = part.strip_prefix('!').map_or((false, part), |rest| (true, rest));
            if bare.starts_with('-') && bare.len() > 1 {
                let (names, values) = bare.split_once('=').map_or((bare, None), |(n, v)| (n, Some(v)));
                let split = |text: &str| text.split('|').map(blanks).collect();
                options.push(Condition { names: split(names), values: values.map(split), absent });
            } else if absent {
                return Err("only an option can be absent");
            } else {
                words.push(part.split('|').map(|word| blanks(word).to_lowercase()).collect());
            }
        }
        Ok(Self { words, options })
    }

    /// How many leading words it uses, if it matches.
    pub(crate) fn matches(&self, parsed: &Parsed<'_>) -> Option<usize> {
        let words: Vec<&Word> = parsed.words.iter().map(|(_, word)| *word).collect();
        let used = leading(&self.words, &words)?;
        self.options.iter().all(|condition| condition.holds(parsed)).then_some(used)
    }
}

/// Matches from the left; `**` stands for as few words as it can, which is enough as nothing behind it is anchored at the end.
fn leading(mut pattern: &[Vec<String>], words: &[&Word]) -> Option<usize> {
    let mut at = 0;
    while let Some((first, rest)) = pattern.split_first() {
        pattern = rest;
        if first.iter().any(|alternative| alternative == ANY) {
            let Some((next, rest)) = rest.split_first() else { return Some(at) };
            pattern = rest;
            at += words.get(at..)?.iter().position(|word| fits(next, word))? + 1;
        } else {
            if !fits(first, words.get(at)?) {
                return None;
            }
            at += 1;
        }
    }
    Some(at)
}

fn fits(alternatives: &[String], word: &Word) -> bool {
    alternatives.iter().any(|alternative| may(alternative, word))
}

/// Whether the word is that, or may become it: what is not known matches where its known part does not contradict. Without
/// regard to case: some programs have none.
fn may(pattern: &str, word: &Word) -> bool {
    if word.is_dynamic() {
        // A whole word that is not known is doubted where it is an operation; taking it for every rule would say nothing.
        let known = word.text.split(DYNAMIC).any(|part| !part.is_empty());
        return known && glob(pattern, &word.text.replace(DYNAMIC, "").to_lowercase()) || pattern == "*";
    }
    glob(pattern, &word.text.to_lowercase())
}

impl Condition {
    fn holds(&self, parsed: &Parsed<'_>) -> bool {
        let found = parsed.options.iter().any(|option| {
            self.names.iter().any(|name| glob(name, &option.name))
                && self.values.as_ref().is_none_or(|values| match &option.value {
                    None => false,
                    // A value that is not known may be the one.
                    Some(value) => value.is_dynamic() || values.iter().any(|v| glob(&v.to_lowercase(), &value.text.to_lowercase())),
                })
        });
        found != self.absent
    }
}

/// `*` is any text, `\*` is itself. Goes back to the last `*` alone, so that time is at most the product of the lengths.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(b'\\') if pattern.get(p + 1) == text.get(t) => (p, t) = (p + 2, t + 1),
            Some(byte) if text.get(t) == Some(byte) => (p, t) = (p + 1, t + 1),
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("*.pem", "x.pem"), ("id_*", "id_rsa"), ("a", "a"), ("*a*b", "xaab"), ("/\\*", "/*")] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "abcd"), ("id_*", "aid_rsa"), ("", "a"), ("a", ""), ("**b", "a"), ("/\\*", "/x")] {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }
}
