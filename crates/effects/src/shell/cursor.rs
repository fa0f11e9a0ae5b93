//! Where quotes, substitutions and here-documents end, in one pass over a text. Linear: each character is looked at once per
//! level, and levels are bounded.

use crate::limits::WORD_DEPTH_MAX;

/// A text that is not closed, or too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Irregular;

/// A place in a text.
#[derive(Clone)]
pub(crate) struct Cursor<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) const fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }
    pub(crate) const fn at(&self) -> usize {
        self.at
    }
    pub(crate) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }
    pub(crate) fn since(&self, start: usize) -> &'t str {
        self.text.get(start..self.at).unwrap_or_default()
    }
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }
    pub(crate) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }
    pub(crate) fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }
    /// Everything while that holds.
    pub(crate) fn take(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let start = self.at;
        while self.peek().is_some_and(&keep) {
            self.next();
        }
        self.since(start)
    }

    /// Behind the opening `'`: the text, and behind the closing one.
    pub(crate) fn single(&mut self) -> Result<&'t str, Irregular> {
        let text = self.take(|c| c != '\'');
        if self.eat("'") { Ok(text) } else { Err(Irregular) }
    }

    /// Behind the opening of `$'`: the raw text, and behind the closing quote.
    pub(crate) fn ansi(&mut self) -> Result<&'t str, Irregular> {
        let start = self.at;
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                '\'' => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                _ => {}
            }
        }
        Err(Irregular)
    }

    /// Behind an opening backquote: the raw text, and behind the closing one.
    pub(crate) fn backquoted(&mut self) -> Result<&'t str, Irregular> {
        let start = self.at;
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                '`' => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                _ => {}
            }
        }
        Err(Irregular)
    }

    /// Behind an opening `"`: the raw text, and behind the closing one.
    pub(crate) fn double(&mut self, depth: usize) -> Result<&'t str, Irregular> {
        let depth = deeper(depth)?;
        let start = self.at;
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                '"' => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                '`' => _ = self.backquoted()?,
                '$' => self.dollar(depth)?,
                _ => {}
            }
        }
        Err(Irregular)
    }

    /// Behind a `$`: over the substitution that begins there, if one does. `$'` is none inside double quotes, so that the
    /// caller looks for it.
    fn dollar(&mut self, depth: usize) -> Result<(), Irregular> {
        if self.eat("((") {
            self.arithmetic(depth).map(drop)
        } else if self.eat("(") {
            self.command(depth).map(drop)
        } else if self.eat("{") {
            self.braced(depth).map(drop)
        } else if self.eat("[") {
            self.bracketed(depth).map(drop)
        } else {
            Ok(())
        }
    }

    /// Behind `${`: the raw text, and behind the closing brace.
    pub(crate) fn braced(&mut self, depth: usize) -> Result<&'t str, Irregular> {
        let depth = deeper(depth)?;
        let start = self.at;
        while let Some(c) = self.next() {
            match c {
                '}' => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                _ => self.inside(c, depth)?,
            }
        }
        Err(Irregular)
    }

    /// Behind `$[`: the raw text, and behind the closing bracket.
    pub(crate) fn bracketed(&mut self, depth: usize) -> Result<&'t str, Irregular> {
        let depth = deeper(depth)?;
        let start = self.at;
        let mut open = 1usize;
        while let Some(c) = self.next() {
            match c {
                '[' => open += 1,
                ']' if open == 1 => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                ']' => open -= 1,
                _ => self.inside(c, depth)?,
            }
        }
        Err(Irregular)
    }

    /// Behind `$((`: the raw text, and behind the closing `))`. What closes otherwise was a command in parentheses, which is
    /// irregular here: bash itself guesses.
    pub(crate) fn arithmetic(&mut self, depth: usize) -> Result<&'t str, Irregular> {
        let depth = deeper(depth)?;
        let start = self.at;
        let mut open = 0usize;
        while let Some(c) = self.next() {
            match c {
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' if self.eat(")") => return Ok(self.text.get(start..self.at - 2).unwrap_or_default()),
                ')' => return Err(Irregular),
                _ => self.inside(c, depth)?,
            }
        }
        Err(Irregular)
    }

    /// A quote or substitution within something, whose first character was taken.
    fn inside(&mut self, c: char, depth: usize) -> Result<(), Irregular> {
        match c {
            '\\' => _ = self.next(),
            '\'' => _ = self.single()?,
            '"' => _ = self.double(depth)?,
            '`' => _ = self.backquoted()?,
            '$' if self.eat("'") => _ = self.ansi()?,
            '$' => self.dollar(depth)?,
            _ => {}
        }
        Ok(())
    }

    /// Behind `$(`: the script, and behind its closing parenthesis. Comments and here-documents are passed over.
    pub(crate) fn command(&mut self, depth: usize) -> Result<&'t str, Irregular> {
        let depth = deeper(depth)?;
        let start = self.at;
        let mut open = 1usize;
        let mut before = '\n';
        let mut here: Vec<(String, bool)> = Vec::new();
        while let Some(c) = self.next() {
            match c {
                '(' => open += 1,
                ')' if open == 1 => return Ok(self.text.get(start..self.at - 1).unwrap_or_default()),
                ')' => open -= 1,
                '#' if matches!(before, ' ' | '\t' | '\n' | ';' | '(' | '&' | '|') => _ = self.take(|c| c != '\n'),
                '<' if self.eat("<<") => {}
                '<' if self.eat("<") => here.push(self.here_tag()?),
                '\n' => {
                    for (tag, tabs) in here.drain(..) {
                        self.here_body(&tag, tabs)?;
                    }
                }
                _ => self.inside(c, depth)?,
            }
            before = c;
        }
        Err(Irregular)
    }

    /// Behind `<<`: the word that ends the document, and whether tabs before it do not count.
    fn here_tag(&mut self) -> Result<(String, bool), Irregular> {
        let tabs = self.eat("-");
        self.take(|c| matches!(c, ' ' | '\t'));
        let mut tag = String::new();
        while let Some(c) = self.peek().filter(|c| !c.is_whitespace() && !matches!(c, ';' | '&' | '|' | '<' | '>' | '(' | ')')) {
            self.next();
            match c {
                '\'' => tag.push_str(self.single()?),
                '"' => tag.push_str(self.double(0)?),
                '\\' => tag.extend(self.next()),
                _ => tag.push(c),
            }
        }
        if tag.is_empty() { Err(Irregular) } else { Ok((tag, tabs)) }
    }

    /// Over the lines up to the one that is the tag.
    fn here_body(&mut self, tag: &str, tabs: bool) -> Result<(), Irregular> {
        loop {
            let line = self.take(|c| c != '\n');
            let ended = self.next().is_none();
            let line = if tabs { line.trim_start_matches('\t') } else { line };
            if line == tag {
                return Ok(());
            }
            if ended {
                return Err(Irregular);
            }
        }
    }
}

fn deeper(depth: usize) -> Result<usize, Irregular> {
    if depth < WORD_DEPTH_MAX { Ok(depth + 1) } else { Err(Irregular) }
}
