//! Tokens of a GraphQL document (specification section 2.1).

use super::GraphqlError;
use crate::profile::limits::GRAPHQL_TOKENS_MAX;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Punct(char),
    Spread,
    Name(&'a str),
    Number,
    Text(String),
    Block,
}

/// Every token of `source`, within the bound. One pass.
pub(super) fn lex(source: &str) -> Result<Vec<Token<'_>>, GraphqlError> {
    let mut out = Vec::new();
    let mut rest = source;
    loop {
        rest = skip_ignored(rest);
        let Some(first) = rest.chars().next() else { return Ok(out) };
        if out.len() == GRAPHQL_TOKENS_MAX {
            return Err(GraphqlError::Bound("tokens"));
        }
        let (token, tail) = match first {
            '!' | '$' | '&' | '(' | ')' | ':' | '=' | '@' | '[' | ']' | '{' | '|' | '}' => {
                (Token::Punct(first), rest.strip_prefix(first).unwrap_or_default())
            }
            '.' => (Token::Spread, rest.strip_prefix("...").ok_or(GraphqlError::Document("has a stray dot"))?),
            'a'..='z' | 'A'..='Z' | '_' => {
                let (name, tail) = take(rest, |c| c.is_ascii_alphanumeric() || c == '_');
                (Token::Name(name), tail)
            }
            '0'..='9' | '-' => number(rest)?,
            '"' => match rest.strip_prefix("\"\"\"") {
                Some(inner) => (Token::Block, block(inner)?),
                None => text(rest.strip_prefix('"').unwrap_or_default())?,
            },
            _ => return Err(GraphqlError::Document("has a character outside of the grammar")),
        };
        out.push(token);
        rest = tail;
    }
}

fn take(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let at = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

fn skip_ignored(text: &str) -> &str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\n', '\r', ',']);
        match rest.strip_prefix('#') {
            Some(comment) => rest = take(comment, |c| c != '\n' && c != '\r').1,
            None => return rest,
        }
    }
}

/// IntValue and FloatValue (2.9.1, 2.9.2): no leading zeros, and no name right behind.
fn number(text: &str) -> Result<(Token<'_>, &str), GraphqlError> {
    let bad = GraphqlError::Document("has a malformed number");
    let digits = |t: &str| {
        let (run, tail) = take(t, |c| c.is_ascii_digit());
        (run.len(), run.starts_with('0'), t.len() - tail.len())
    };
    let skip = |t: &'_ str, n: usize| -> usize { t.len().min(n) };
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let (count, zero, used) = digits(rest);
    if count == 0 || (zero && count > 1) {
        return Err(bad);
    }
    rest = rest.get(skip(rest, used)..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix('.') {
        let (count, _, used) = digits(fraction);
        if count == 0 {
            return Err(bad);
        }
        rest = fraction.get(used..).unwrap_or_default();
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let (count, _, used) = digits(exponent);
        if count == 0 {
            return Err(bad);
        }
        rest = exponent.get(used..).unwrap_or_default();
    }
    if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        return Err(bad);
    }
    Ok((Token::Number, rest))
}

/// A block string is passed over: its value is subject to an indentation rule, and nothing of ours is compared with it.
fn block(text: &str) -> Result<&str, GraphqlError> {
    let mut rest = text;
    loop {
        let at = rest.find("\"\"\"").ok_or(GraphqlError::Document("has an open string"))?;
        let (before, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let tail = tail.strip_prefix("\"\"\"").unwrap_or_default();
        if !before.ends_with('\\') {
            return Ok(tail);
        }
        rest = tail;
    }
}

fn text(text: &str) -> Result<(Token<'_>, &str), GraphqlError> {
    let mut out = String::new();
    let mut chars = text.chars();
    let open = GraphqlError::Document("has an open string");
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok((Token::Text(out), chars.as_str())),
            '\n' | '\r' => return Err(open),
            '\\' => out.push(match chars.next() {
                Some(c @ ('"' | '\\' | '/')) => c,
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    let mut code = 0u32;
                    for _ in 0..4 {
                        let digit = chars.next().and_then(|c| c.to_digit(16));
                        code = code * 16 + digit.ok_or(GraphqlError::Document("has a malformed escape"))?;
                    }
                    // Surrogate pairs and `\u{…}` are read differently by servers of different age.
                    char::from_u32(code).ok_or(GraphqlError::Document("has a surrogate escape"))?
                }
                _ => return Err(GraphqlError::Document("has a malformed escape")),
            }),
            c if c.is_control() && c != '\t' => return Err(GraphqlError::Document("has a control character")),
            c => out.push(c),
        }
    }
    Err(open)
}
