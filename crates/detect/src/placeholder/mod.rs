//! Stand-ins that look like the credential they stand for.
//!
//! A tool that checks the form of its token (`ghp_` and 36 characters) must be content with the placeholder, and the
//! rule that finds such tokens must find it too. Its randomness is an argument, so that the same bytes make the same
//! placeholder.

mod reader;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use reader::Reader;

use crate::limits::{RULES_MEMORY_MAX_BYTES, SHAPE_MAX_BYTES, SHAPE_TEXT_MAX_BYTES};
use crate::pattern::Rule;

/// Random bytes used per character: 65536 is so much larger than an alphabet that taking the remainder shows no bias.
const RANDOM_BYTES_PER_CHARACTER: usize = 2;

/// A fixed-length pattern: characters, classes and counts, such as `ghp_[A-Za-z0-9]{36}`.
///
/// The syntax is the part of regex syntax in which every match has one length: printable ASCII, `\` before
/// punctuation, `[...]` of characters and ranges (not negated), and `{n}` after any of these.
#[derive(Debug, Clone)]
pub struct Shape {
    text: String,
    /// What each character is drawn from; one alternative is a literal.
    alphabets: Vec<Vec<u8>>,
    regex: Regex,
}

/// Why a shape is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Something regexes allow and shapes do not.
    #[error("a shape cannot contain `{what}` at byte {at}")]
    NotAllowed {
        /// The character.
        what: char,
        /// Offset in the shape.
        at: usize,
    },
    /// A class or count without its end.
    #[error("the `{what}` at byte {at} is not closed")]
    NotClosed {
        /// The opening character.
        what: char,
        /// Offset in the shape.
        at: usize,
    },
    /// A class without members, a range backwards, a count that is no number above zero.
    #[error("the `{what}` at byte {at} says nothing")]
    Empty {
        /// The opening character.
        what: char,
        /// Offset in the shape.
        at: usize,
    },
    /// Longer than a credential may be.
    #[error("a shape makes at most {max} bytes and is written in at most {max_text}")]
    TooLong {
        /// [`SHAPE_MAX_BYTES`].
        max: usize,
        /// [`SHAPE_TEXT_MAX_BYTES`].
        max_text: usize,
    },
    /// Nothing at all.
    #[error("the shape is empty")]
    Nothing,
    /// Too few random bytes were given.
    #[error("the shape needs {needed} random bytes, {given} were given")]
    NotEnoughRandomness {
        /// In bytes.
        needed: usize,
        /// In bytes.
        given: usize,
    },
    /// The regex engine reads the shape differently than this module does.
    #[error("the shape does not match what it makes")]
    Mismatch,
}

impl Shape {
    /// Reads a shape.
    ///
    /// # Errors
    /// When it is not one; the error says where.
    pub fn parse(text: &str) -> Result<Self, ShapeError> {
        let too_long = ShapeError::TooLong {
            max: SHAPE_MAX_BYTES,
            max_text: SHAPE_TEXT_MAX_BYTES,
        };
        if text.len() > SHAPE_TEXT_MAX_BYTES {
            return Err(too_long);
        }
        let mut reader = Reader::new(text);
        let mut alphabets = Vec::new();
        while let Some(alphabet) = reader.element()? {
            for _ in 0..reader.count()? {
                if alphabets.len() >= SHAPE_MAX_BYTES {
                    return Err(too_long);
                }
                alphabets.push(alphabet.clone());
            }
        }
        if alphabets.is_empty() {
            return Err(ShapeError::Nothing);
        }
        let regex = Regex::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(Regex::config().nfa_size_limit(Some(RULES_MEMORY_MAX_BYTES)))
            .build(text)
            .map_err(|_| ShapeError::Mismatch)?;
        Ok(Self {
            text: text.to_owned(),
            alphabets,
            regex,
        })
    }

    /// The shape as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Length of what it makes, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a shape is never empty")]
    pub fn len(&self) -> usize {
        self.alphabets.len()
    }

    /// Random bytes that [`Shape::fill`] needs.
    #[must_use]
    pub fn random_bytes(&self) -> usize {
        self.alphabets
            .iter()
            .filter(|alphabet| alphabet.len() > 1)
            .count()
            * RANDOM_BYTES_PER_CHARACTER
    }

    /// Whether these bytes, all of them, have the shape.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        let found = self.regex.find(Input::new(bytes).anchored(Anchored::Yes));
        found.is_some_and(|found| found.end() == bytes.len())
    }

    /// Makes a placeholder of the given randomness, and checks it against the shape's regex.
    ///
    /// # Errors
    /// When fewer than [`Shape::random_bytes`] are given.
    pub fn fill(&self, random: &[u8]) -> Result<String, ShapeError> {
        let short = ShapeError::NotEnoughRandomness {
            needed: self.random_bytes(),
            given: random.len(),
        };
        let mut draws = random.chunks_exact(RANDOM_BYTES_PER_CHARACTER);
        let mut made = String::with_capacity(self.alphabets.len());
        for alphabet in &self.alphabets {
            let index = match alphabet.len() {
                1 => 0,
                size => {
                    let draw = draws.next().ok_or_else(|| short.clone())?;
                    draw.iter()
                        .fold(0, |value, byte| value << 8 | usize::from(*byte))
                        % size
                }
            };
            made.push(char::from(
                *alphabet.get(index).ok_or(ShapeError::Mismatch)?,
            ));
        }
        if self.matches(made.as_bytes()) {
            Ok(made)
        } else {
            Err(ShapeError::Mismatch)
        }
    }

    /// The rule that finds credentials of this shape, not as a part of a longer word.
    #[must_use]
    pub fn rule(&self, id: &str) -> Rule {
        let is_word = |alphabet: Option<&Vec<u8>>| {
            alphabet.is_some_and(|bytes| {
                bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
            })
        };
        let before = if is_word(self.alphabets.first()) {
            r"\b"
        } else {
            ""
        };
        let after = if is_word(self.alphabets.last()) {
            r"\b"
        } else {
            ""
        };
        Rule::new(id, &format!("{before}{}{after}", self.text), self.len())
    }
}

#[cfg(test)]
mod tests;
