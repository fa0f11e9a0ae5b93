//! A reader of policy texts for what Cedar's own interface does not say: how deep they nest, which literals they
//! compare with, and whether they look at counters. It reads tokens, never meaning, and errs to the safe side.

use std::collections::BTreeSet;

/// One token of a policy text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A name or keyword.
    Word(&'a str),
    /// The inside of a string literal, escapes not undone.
    Text(&'a str),
    /// A number.
    Number(u64),
    /// Any other character.
    Sign(u8),
}

/// The tokens of a text, comments left out.
pub(crate) struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(crate) const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// End of the run of bytes from `at` for which `keep` holds.
    fn run(&self, at: usize, keep: impl Fn(u8) -> bool) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at.saturating_add(rest.iter().position(|b| !keep(*b)).unwrap_or(rest.len()))
    }

    fn string(&mut self) -> Token<'a> {
        let from = self.at.saturating_add(1);
        let mut to = from;
        while let Some(b) = self.byte(to) {
            match b {
                b'"' => break,
                b'\\' => to = to.saturating_add(2),
                _ => to = to.saturating_add(1),
            }
        }
        self.at = to.saturating_add(1);
        Token::Text(self.text.get(from..to).unwrap_or_default())
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        loop {
            let b = self.byte(self.at)?;
            if b == b'/' && self.byte(self.at.saturating_add(1)) == Some(b'/') {
                self.at = self.run(self.at, |b| b != b'\n');
            } else if b == b'"' {
                return Some(self.string());
            } else if word(b) {
                let end = self.run(self.at, word);
                let name = self.text.get(self.at..end).unwrap_or_default();
                self.at = end;
                return Some(name.parse().map_or(Token::Word(name), Token::Number));
            } else {
                self.at = self.at.saturating_add(1);
                if !b.is_ascii_whitespace() {
                    return Some(Token::Sign(b));
                }
            }
        }
    }
}

/// Deepest nesting of brackets.
pub(crate) fn nesting(text: &str) -> usize {
    let mut depth: usize = 0;
    let mut deepest = 0;
    for token in Tokens::of(text) {
        match token {
            Token::Sign(b'(' | b'[' | b'{') => depth = depth.saturating_add(1),
            Token::Sign(b')' | b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The most operators that any one policy (what ends in `;`) has.
pub(crate) fn operators(text: &str) -> usize {
    let mut count: usize = 0;
    let mut most = 0;
    for token in Tokens::of(text) {
        match token {
            Token::Sign(b';') => count = 0,
            Token::Sign(b'&' | b'|' | b'+' | b'-' | b'*' | b'.' | b'[' | b'!') | Token::Word("if" | "has" | "like") => {
                count = count.saturating_add(1);
            }
            _ => {}
        }
        most = most.max(count);
    }
    most
}

/// Whether the conditions of one policy may look at what a session counted: they say `session` and go on with
/// anything but `.read_untrusted`.
pub(crate) fn mentions_counters(policy: &str) -> bool {
    let mut tokens = Tokens::of(policy).skip_while(|t| *t != Token::Sign(b'{')).peekable();
    while let Some(token) = tokens.next() {
        if matches!(token, Token::Word("session") | Token::Text("session")) {
            if tokens.peek() == Some(&Token::Sign(b']')) {
                tokens.next();
            }
            let dot = tokens.next();
            if !matches!(dot, Some(Token::Sign(b'.' | b'['))) {
                return true;
            }
            if !matches!(tokens.next(), Some(Token::Word("read_untrusted") | Token::Text("read_untrusted"))) {
                return true;
            }
        }
    }
    false
}

/// What conditions and heads compare with: candidates for "what if it were that".
#[derive(Debug, Default)]
pub(crate) struct Literals {
    /// String literals; a wildcard of `like` is an `x`.
    pub(crate) texts: BTreeSet<String>,
    /// Ids of `Env::"…"`.
    pub(crate) environments: BTreeSet<String>,
    /// Numbers.
    pub(crate) numbers: BTreeSet<u64>,
}

impl Literals {
    /// Takes those of a text in. Annotations are no comparisons.
    pub(crate) fn take(&mut self, text: &str) {
        let mut before = [Token::Sign(b';'), Token::Sign(b';'), Token::Sign(b';')];
        for token in Tokens::of(text) {
            match (&before, &token) {
                (_, Token::Number(number)) => {
                    self.numbers.insert(*number);
                }
                (_, Token::Text(text)) if text.contains('\\') => {}
                ([Token::Word("Env"), Token::Sign(b':'), Token::Sign(b':')], Token::Text(id)) => {
                    self.environments.insert((*id).to_owned());
                }
                // Ids of other entities, and what an annotation says.
                (
                    [_, Token::Sign(b':'), Token::Sign(b':')] | [Token::Sign(b'@'), Token::Word(_), Token::Sign(b'(')],
                    _,
                ) => {}
                (_, Token::Text(text)) => {
                    self.texts.insert(text.replace('*', "x"));
                }
                _ => {}
            }
            let [_, second, third] = before;
            before = [second, third, token];
        }
    }
}
