//! The pieces of one word: what is literal, what is known only when it runs, which commands stand inside.

use super::cursor::{Cursor, Irregular};

/// One piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it stands. Unquoted text can still match files and expand braces.
    Text { text: String, quoted: bool },
    /// A variable's value, and whether it stays one field.
    Variable { name: String, quoted: bool },
    /// What a command prints.
    Command { script: String, quoted: bool },
    /// The result of arithmetic; its text can hold commands.
    Arithmetic(String),
    /// Part of a parameter expansion: words that may become the value.
    Default(Vec<Piece>),
    /// A variable that gets a value here.
    Assigns(String),
    /// Known only when it runs, in a way that can run code.
    Doubt(&'static str),
}

/// Which variable is known only when it runs: any may be shown.
pub(crate) const INDIRECT: &str = "a variable names the variable whose value is meant";
const PROMPT: &str = "a value is expanded a second time";
const SUBSCRIPT: &str = "a subscript is computed";

/// The pieces of a word as the parser's tokens have it, quotes and all.
pub(crate) fn pieces(word: &str) -> Result<Vec<Piece>, Irregular> {
    read(word, Place::Word, 0)
}

/// The pieces of a here-document's body: quotes are text there.
pub(crate) fn here_pieces(body: &str) -> Result<Vec<Piece>, Irregular> {
    read(body, Place::Here, 0)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Word,
    Double,
    Here,
    /// The word inside `${x:-word}`: blanks are text.
    Braced,
}

fn read(text: &str, place: Place, depth: usize) -> Result<Vec<Piece>, Irregular> {
    if depth > crate::limits::WORD_DEPTH_MAX {
        return Err(Irregular);
    }
    let mut cursor = Cursor::new(text);
    let mut out = Vec::new();
    let quoted = matches!(place, Place::Double | Place::Here);
    if !quoted && cursor.peek() == Some('~') {
        cursor.next();
        literal(&mut out, "~", true);
    }
    while let Some(c) = cursor.next() {
        match c {
            '\\' => escape(&mut cursor, place, &mut out),
            '\'' if !quoted => {
                let text = cursor.single()?;
                literal(&mut out, text, true);
            }
            '"' if !quoted => {
                let inner = cursor.double(depth)?;
                literal(&mut out, "", true);
                out.extend(read(inner, Place::Double, depth + 1)?);
            }
            '`' => {
                let raw = cursor.backquoted()?;
                out.push(Piece::Command { script: unescape_backquoted(raw, place == Place::Double), quoted });
            }
            '$' => dollar(&mut cursor, place, depth, &mut out)?,
            // The parser ends a word before these: where one is left, the two of us do not agree on the quotes.
            ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' if place == Place::Word => return Err(Irregular),
            c => literal(&mut out, c.encode_utf8(&mut [0; 4]), quoted),
        }
    }
    Ok(out)
}

fn literal(out: &mut Vec<Piece>, more: &str, is_quoted: bool) {
    if let Some(Piece::Text { text, quoted }) = out.last_mut()
        && *quoted == is_quoted
    {
        text.push_str(more);
    } else {
        out.push(Piece::Text { text: more.to_owned(), quoted: is_quoted });
    }
}

fn escape(cursor: &mut Cursor<'_>, place: Place, out: &mut Vec<Piece>) {
    let Some(c) = cursor.next() else { return literal(out, "\\", true) };
    if c == '\n' {
        return;
    }
    let special = match place {
        Place::Word | Place::Braced => true,
        Place::Double => matches!(c, '$' | '`' | '"' | '\\'),
        Place::Here => matches!(c, '$' | '`' | '\\'),
    };
    if !special {
        literal(out, "\\", true);
    }
    literal(out, c.encode_utf8(&mut [0; 4]), true);
}

fn unescape_backquoted(raw: &str, in_double: bool) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some(next @ ('$' | '`' | '\\'))) => {
                chars.next();
                out.push(next);
            }
            ('\\', Some('"')) if in_double => {
                chars.next();
                out.push('"');
            }
            _ => out.push(c),
        }
    }
    out
}

fn dollar(cursor: &mut Cursor<'_>, place: Place, depth: usize, out: &mut Vec<Piece>) -> Result<(), Irregular> {
    let quoted = matches!(place, Place::Double | Place::Here);
    if !quoted && cursor.eat("'") {
        let raw = cursor.ansi()?;
        literal(out, &ansi(raw), true);
    } else if !quoted && cursor.eat("\"") {
        // A translated text is what a catalogue of messages says.
        let inner = cursor.double(depth)?;
        out.extend(read(inner, Place::Double, depth + 1)?);
    } else if cursor.rest().starts_with("((") {
        let mut tried = cursor.clone();
        tried.eat("((");
        if let Ok(text) = tried.arithmetic(depth) {
            out.push(Piece::Arithmetic(text.to_owned()));
            *cursor = tried;
        } else {
            cursor.eat("(");
            out.push(Piece::Command { script: cursor.command(depth)?.to_owned(), quoted });
        }
    } else if cursor.eat("(") {
        out.push(Piece::Command { script: cursor.command(depth)?.to_owned(), quoted });
    } else if cursor.eat("[") {
        out.push(Piece::Arithmetic(cursor.bracketed(depth)?.to_owned()));
    } else if cursor.eat("{") {
        let inner = cursor.braced(depth)?;
        parameter(inner, quoted, depth, out)?;
    } else {
        let name = if cursor.peek().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') {
            cursor.take(|c| c.is_ascii_alphanumeric() || c == '_')
        } else {
            let start = cursor.at();
            if cursor.peek().is_some_and(special) {
                cursor.next();
            }
            cursor.since(start)
        };
        if name.is_empty() {
            literal(out, "$", true);
        } else {
            out.push(Piece::Variable { name: name.to_owned(), quoted });
        }
    }
    Ok(())
}

const fn special(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!')
}

/// What stands between `${` and `}`.
fn parameter(inner: &str, quoted: bool, depth: usize, out: &mut Vec<Piece>) -> Result<(), Irregular> {
    let mut cursor = Cursor::new(inner);
    if cursor.peek() == Some('!') && inner.len() > 1 {
        // `${!array[@]}` and `${!prefix*}` are names.
        if inner.ends_with("[@]") || inner.ends_with("[*]") || inner.ends_with(['*', '@']) {
            out.push(Piece::Variable { name: "!".to_owned(), quoted });
        } else {
            out.push(Piece::Doubt(INDIRECT));
        }
        return nested(inner, depth, out);
    }
    if cursor.peek() == Some('#') && inner.len() > 1 {
        out.push(Piece::Variable { name: "#".to_owned(), quoted });
        return nested(inner, depth, out);
    }
    let mut name = cursor.take(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() && cursor.peek().is_some_and(special) {
        cursor.next();
        name = cursor.since(0);
    }
    if name.is_empty() {
        return Err(Irregular);
    }
    let whole = Piece::Variable { name: name.to_owned(), quoted };
    // What is not the bare value is no longer the value that is known.
    let part = Piece::Variable { name: format!("{name}\0"), quoted };
    if cursor.eat("[") {
        let index = cursor.take(|c| c != ']');
        if index.contains(['$', '`', '(', '[']) {
            out.push(Piece::Doubt(SUBSCRIPT));
            nested(cursor.rest(), depth, out)?;
            nested(index, depth, out)?;
        }
        cursor.eat("]");
        out.push(part.clone());
        return nested(cursor.rest(), depth, out);
    }
    let rest = cursor.rest();
    let colon = rest.strip_prefix(':').unwrap_or(rest);
    match colon.chars().next() {
        None if rest.is_empty() => out.push(whole),
        Some('-' | '+' | '?') => {
            out.push(part);
            out.push(Piece::Default(read(colon.get(1..).unwrap_or_default(), Place::Braced, depth + 1)?));
        }
        Some('=') => {
            out.push(part);
            out.push(Piece::Assigns(name.to_owned()));
            out.push(Piece::Default(read(colon.get(1..).unwrap_or_default(), Place::Braced, depth + 1)?));
        }
        Some('@') if rest.starts_with('@') => {
            out.push(part);
            if rest != "@Q" && rest != "@U" && rest != "@L" && rest != "@u" && rest != "@a" {
                out.push(Piece::Doubt(PROMPT));
            }
        }
        _ => {
            out.push(part);
            nested(rest, depth, out)?;
        }
    }
    Ok(())
}

/// Substitutions inside a pattern, an offset or a replacement: their values do not matter, what they run does.
fn nested(text: &str, depth: usize, out: &mut Vec<Piece>) -> Result<(), Irregular> {
    if text.contains(['$', '`']) {
        out.push(Piece::Default(read(text, Place::Braced, depth + 1)?));
    }
    Ok(())
}

/// The text of `$'…'`.
fn ansi(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            None => out.push('\\'),
            Some('n') => out.push('\n'),
            Some('t') => out.push('\t'),
            Some('r') => out.push('\r'),
            Some('a') => out.push('\u{7}'),
            Some('b') => out.push('\u{8}'),
            Some('e' | 'E') => out.push('\u{1b}'),
            Some('f') => out.push('\u{c}'),
            Some('v') => out.push('\u{b}'),
            Some('x') => out.push(number(&mut chars, 0, 16, 2)),
            Some('u') => out.push(number(&mut chars, 0, 16, 4)),
            Some('U') => out.push(number(&mut chars, 0, 16, 8)),
            Some('c') => out.extend(chars.next().map(|c| char::from_u32(u32::from(c) & 0x1f).unwrap_or(c))),
            Some(d) if d.is_digit(8) => out.push(number(&mut chars, d.to_digit(8).unwrap_or(0), 8, 2)),
            Some(other @ ('\\' | '\'' | '"' | '?')) => out.push(other),
            Some(other) => out.extend(['\\', other]),
        }
    }
    out.replace('\0', "\u{fffd}")
}

/// Up to so many digits more, as a character.
fn number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, first: u32, radix: u32, most: usize) -> char {
    let mut value = first;
    for _ in 0..most {
        let Some(digit) = chars.peek().and_then(|c| c.to_digit(radix)) else { break };
        chars.next();
        value = value.saturating_mul(radix).saturating_add(digit);
    }
    char::from_u32(value).unwrap_or('\u{fffd}')
}
