//! From text to a syntax tree, with what the parser cannot bear refused before it sees it.
//!
//! `brush-parser` recurses into `$(` while it makes tokens, tries what begins with `((` and the last item of a `case` twice,
//! and tries every `[` of an assignment twice, so that time doubles with each level (threats C1). All of these are counted here,
//! without trusting any quote or closing that somebody could have placed to lower a count.

use crate::limits::{
    CASE_DEPTH_MAX, COMPOUND_DEPTH_MAX, PAREN_DEPTH_MAX, SHELL_BYTES_MAX, SHELL_OPENINGS_MAX, SHELL_TOKENS_MAX, SUBSCRIPTS_MAX, TEST_WORDS_MAX,
};
use brush_parser::ast::Program;
use brush_parser::{ParserOptions, Token};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a text has no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) why: &'static str,
}

const fn refused(why: &'static str) -> Refused {
    Refused { why }
}

/// A text as tokens, checked, so that the tree can be made.
pub(crate) struct Tokens(Vec<Token>);

/// The tokens of a text.
pub(crate) fn tokens(text: &str) -> Result<Tokens, Refused> {
    before(text)?;
    let options = ParserOptions::default().tokenizer_options();
    // The tokenizer has assertions of its own. A broken one is a text that we cannot read, not the end of the process.
    let tokens = catch_unwind(AssertUnwindSafe(|| brush_parser::uncached_tokenize_str(text, &options)))
        .map_err(|_| refused("the shell parser failed"))?
        .map_err(|_| refused("the shell text has no end of a quote, a substitution or a here-document"))?;
    if tokens.len() > SHELL_TOKENS_MAX {
        return Err(refused("the shell text has too many words"));
    }
    for token in &tokens {
        word(token.to_str())?;
    }
    depth(&tokens)?;
    tests(&tokens)?;
    Ok(Tokens(tokens))
}

impl Tokens {
    /// The tree.
    pub(crate) fn tree(&self) -> Result<Program, Refused> {
        catch_unwind(AssertUnwindSafe(|| brush_parser::parse_tokens(&self.0, &ParserOptions::default())))
            .map_err(|_| refused("the shell parser failed"))?
            .map_err(|_| refused("the shell text is not understood"))
    }

    /// The words between operators, for what can be said of a text without a tree.
    pub(crate) fn runs(&self) -> Vec<Vec<&str>> {
        let mut out = vec![Vec::new()];
        for token in &self.0 {
            match (token, out.last_mut()) {
                (Token::Word(word, _), Some(run)) => run.push(word.as_str()),
                _ => out.push(Vec::new()),
            }
        }
        out.retain(|run| !run.is_empty());
        out
    }
}

/// What is seen without tokens.
fn before(text: &str) -> Result<(), Refused> {
    if text.len() > SHELL_BYTES_MAX {
        return Err(refused("the shell text is too long"));
    }
    if text.chars().any(hidden) {
        return Err(refused("the shell text has control characters"));
    }
    let openings = text.as_bytes().windows(2).filter(|pair| matches!(pair, [b'$', b'(' | b'{' | b'['])).count();
    if openings > SHELL_OPENINGS_MAX {
        return Err(refused("the shell text has too many substitutions"));
    }
    // A number before `<` or `>` that is no descriptor makes the parser fail.
    let mut digits = 0usize;
    for byte in text.bytes() {
        if digits > 4 && matches!(byte, b'<' | b'>') {
            return Err(refused("a redirection has a number that is no descriptor"));
        }
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
    }
    Ok(())
}

/// Characters that a terminal does not show as they are read: some shells take a carriage return for the end of a word.
fn hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{fffd}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A word that begins like `name[` is tried as an assignment.
fn word(word: &str) -> Result<(), Refused> {
    let name = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
    let rest = word.get(name..).unwrap_or_default();
    if name == 0 || !rest.starts_with('[') {
        return Ok(());
    }
    let index = rest.split("]=").next().unwrap_or_default();
    let many = rest.bytes().filter(|b| *b == b'[').count() > SUBSCRIPTS_MAX;
    if many || rest.len() > SHELL_BYTES_MAX / 64 || index.contains(['(', '`', '{', '$']) && rest.contains(['(', '`', '{']) {
        return Err(refused("a subscript is computed"));
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Paren,
    Brace,
    If,
    Loop,
    Case,
}

/// How deep compound commands lie within each other. A reserved word opens where the grammar could take it for one, and closes
/// only what is open and only where nothing else is possible, so that the count is never too small.
fn depth(tokens: &[Token]) -> Result<(), Refused> {
    let mut stack: Vec<Open> = Vec::new();
    let (mut begins, mut separated, mut named) = (true, true, 0u8);
    for token in tokens {
        match token {
            Token::Operator(operator, _) => {
                match operator.as_str() {
                    "(" => open(&mut stack, Open::Paren)?,
                    ")" => close(&mut stack, Open::Paren),
                    _ => {}
                }
                (begins, separated, named) = (true, true, 0);
            }
            Token::Word(word, _) => {
                let head = begins || named > 0;
                match word.as_str() {
                    "{" if head => open(&mut stack, Open::Brace)?,
                    "if" if head => open(&mut stack, Open::If)?,
                    "for" | "while" | "until" | "select" if head => open(&mut stack, Open::Loop)?,
                    "case" if head => open(&mut stack, Open::Case)?,
                    "}" if separated => close(&mut stack, Open::Brace),
                    "fi" if separated => close(&mut stack, Open::If),
                    "done" if separated => close(&mut stack, Open::Loop),
                    "esac" if separated => close(&mut stack, Open::Case),
                    "coproc" => return Err(refused("a coprocess is not followed")),
                    _ => {}
                }
                // `esac` and the like may stand behind each other; what opens may stand behind these.
                let reserved = matches!(word.as_str(), "then" | "do" | "else" | "elif" | "{" | "!" | "time" | "-p" | "if" | "while" | "until" | "in");
                let closed = separated && matches!(word.as_str(), "}" | "fi" | "done" | "esac");
                begins = reserved;
                named = if word == "function" { 2 } else { named.saturating_sub(1) };
                separated = closed || (separated && matches!(word.as_str(), "in"));
                begins |= closed;
            }
        }
    }
    Ok(())
}

/// Words behind each `[[`. Which `]]` ends it is not asked: the next one that is a word does, or none.
fn tests(tokens: &[Token]) -> Result<(), Refused> {
    let mut inside = None;
    for token in tokens {
        match (token.to_str(), inside.as_mut()) {
            ("]]", Some(_)) => inside = None,
            ("[[", None) => inside = Some(0usize),
            (_, Some(count)) => {
                *count += 1;
                if *count > TEST_WORDS_MAX {
                    return Err(refused("a test has too many words"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn open(stack: &mut Vec<Open>, what: Open) -> Result<(), Refused> {
    stack.push(what);
    let count = |kind: Open| stack.iter().filter(|open| **open == kind).count();
    let deep = stack.len() > COMPOUND_DEPTH_MAX || count(Open::Paren) > PAREN_DEPTH_MAX || count(Open::Case) > CASE_DEPTH_MAX;
    if deep { Err(refused("the shell text is nested too deeply")) } else { Ok(()) }
}

fn close(stack: &mut Vec<Open>, what: Open) {
    if stack.last() == Some(&what) {
        stack.pop();
    }
}
