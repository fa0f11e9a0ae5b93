//! Recursive descent over the tokens, with a depth bound.

use super::GraphqlError;
use super::ast::{Document, Field, Kind, Operation, Selection, Value};
use super::lexer::{Token, lex};
use crate::profile::limits::GRAPHQL_DEPTH_MAX;
use std::collections::BTreeMap;

const SYNTAX: GraphqlError = GraphqlError::Document("is not in the grammar of requests");

pub(super) fn document(source: &str) -> Result<Document, GraphqlError> {
    let tokens = lex(source)?;
    let mut parser = Parser { tokens: &tokens };
    let mut out = Document::default();
    while parser.peek().is_some() {
        parser.definition(&mut out)?;
    }
    if out.operations.is_empty() { Err(GraphqlError::Document("has no operation")) } else { Ok(out) }
}

struct Parser<'t, 'a> {
    tokens: &'t [Token<'a>],
}

impl<'t, 'a> Parser<'t, 'a> {
    fn peek(&self) -> Option<&'t Token<'a>> {
        self.tokens.first()
    }
    fn next(&mut self) -> Result<&'t Token<'a>, GraphqlError> {
        let (first, rest) = self.tokens.split_first().ok_or(SYNTAX)?;
        self.tokens = rest;
        Ok(first)
    }
    fn accept(&mut self, punct: char) -> bool {
        let found = self.peek() == Some(&Token::Punct(punct));
        if found {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        found
    }
    fn expect(&mut self, punct: char) -> Result<(), GraphqlError> {
        if self.accept(punct) { Ok(()) } else { Err(SYNTAX) }
    }
    fn name(&mut self) -> Result<&'a str, GraphqlError> {
        match self.next()? {
            Token::Name(name) => Ok(name),
            _ => Err(SYNTAX),
        }
    }

    fn definition(&mut self, out: &mut Document) -> Result<(), GraphqlError> {
        if self.peek() == Some(&Token::Punct('{')) {
            let selection = self.selection(GRAPHQL_DEPTH_MAX)?;
            let variables = BTreeMap::new();
            out.operations.push(Operation { kind: Kind::Query, name: None, variables, selection });
            return Ok(());
        }
        let kind = match self.name()? {
            "query" => Kind::Query,
            "mutation" => Kind::Mutation,
            "fragment" => return self.fragment(out),
            "subscription" => return Err(GraphqlError::Document("is a subscription")),
            _ => return Err(SYNTAX),
        };
        let name = match self.peek() {
            Some(Token::Name(name)) => {
                self.next()?;
                Some((*name).to_owned())
            }
            _ => None,
        };
        let variables = self.variables()?;
        self.directives()?;
        let selection = self.selection(GRAPHQL_DEPTH_MAX)?;
        if out.operations.iter().any(|other| other.name == name) {
            return Err(GraphqlError::Document("has two operations of one name"));
        }
        out.operations.push(Operation { kind, name, variables, selection });
        Ok(())
    }

    fn fragment(&mut self, out: &mut Document) -> Result<(), GraphqlError> {
        let name = self.name()?;
        if name == "on" || self.name()? != "on" {
            return Err(SYNTAX);
        }
        self.name()?;
        self.directives()?;
        let selection = self.selection(GRAPHQL_DEPTH_MAX)?;
        match out.fragments.insert(name.to_owned(), selection) {
            None => Ok(()),
            Some(_) => Err(GraphqlError::Document("has two fragments of one name")),
        }
    }

    fn variables(&mut self) -> Result<BTreeMap<String, Option<Value>>, GraphqlError> {
        let mut out = BTreeMap::new();
        if !self.accept('(') {
            return Ok(out);
        }
        loop {
            self.expect('$')?;
            let name = self.name()?.to_owned();
            self.expect(':')?;
            self.type_ref(GRAPHQL_DEPTH_MAX)?;
            let default = if self.accept('=') { Some(self.value(GRAPHQL_DEPTH_MAX, false)?) } else { None };
            self.directives()?;
            if out.insert(name, default).is_some() {
                return Err(GraphqlError::Document("declares a variable twice"));
            }
            if self.accept(')') {
                return Ok(out);
            }
        }
    }

    fn type_ref(&mut self, depth: usize) -> Result<(), GraphqlError> {
        let depth = deeper(depth)?;
        if self.accept('[') {
            self.type_ref(depth)?;
            self.expect(']')?;
        } else {
            self.name()?;
        }
        self.accept('!');
        Ok(())
    }

    /// Only the two directives of the specification; both are ignored, so that what they leave out counts as run.
    fn directives(&mut self) -> Result<(), GraphqlError> {
        while self.accept('@') {
            if !matches!(self.name()?, "include" | "skip") {
                return Err(GraphqlError::Document("has a directive that is not known here"));
            }
            self.arguments(GRAPHQL_DEPTH_MAX)?;
        }
        Ok(())
    }

    fn arguments(&mut self, depth: usize) -> Result<Vec<(String, Value)>, GraphqlError> {
        if !self.accept('(') {
            return Ok(Vec::new());
        }
        self.members(depth, ')', true)
    }

    /// `name: value` up to `close`; at least one for arguments, which the caller's bracket decides.
    fn members(&mut self, depth: usize, close: char, constants: bool) -> Result<Vec<(String, Value)>, GraphqlError> {
        let mut out = Vec::new();
        let mut names = std::collections::BTreeSet::new();
        if close == ')' && self.peek() == Some(&Token::Punct(')')) {
            return Err(SYNTAX);
        }
        while !self.accept(close) {
            let name = self.name()?;
            if !names.insert(name) {
                return Err(GraphqlError::Document("gives an argument twice"));
            }
            self.expect(':')?;
            out.push((name.to_owned(), self.value(depth, constants)?));
        }
        Ok(out)
    }

    fn value(&mut self, depth: usize, variables: bool) -> Result<Value, GraphqlError> {
        let depth = deeper(depth)?;
        Ok(match self.next()? {
            Token::Punct('$') if variables => Value::Variable(self.name()?.to_owned()),
            Token::Punct('[') => {
                while !self.accept(']') {
                    self.value(depth, variables)?;
                }
                Value::Other
            }
            Token::Punct('{') => Value::Object(self.members(depth, '}', variables)?),
            Token::Text(text) => Value::Text(text.clone()),
            Token::Number | Token::Name(_) | Token::Block => Value::Other,
            _ => return Err(SYNTAX),
        })
    }

    fn selection(&mut self, depth: usize) -> Result<Vec<Selection>, GraphqlError> {
        let depth = deeper(depth)?;
        self.expect('{')?;
        let mut out = Vec::new();
        loop {
            out.push(self.selected(depth)?);
            if self.accept('}') {
                return Ok(out);
            }
        }
    }

    fn selected(&mut self, depth: usize) -> Result<Selection, GraphqlError> {
        if self.peek() != Some(&Token::Spread) {
            return Ok(Selection::Field(self.field(depth)?));
        }
        self.next()?;
        match self.peek() {
            Some(Token::Name(name)) if *name != "on" => {
                self.next()?;
                self.directives()?;
                return Ok(Selection::Spread((*name).to_owned()));
            }
            Some(Token::Name(_)) => {
                self.next()?;
                self.name()?;
            }
            _ => {}
        }
        self.directives()?;
        Ok(Selection::Inline(self.selection(depth)?))
    }

    fn field(&mut self, depth: usize) -> Result<Field, GraphqlError> {
        let mut name = self.name()?;
        if self.accept(':') {
            name = self.name()?;
        }
        let args = self.arguments(depth)?;
        self.directives()?;
        let deeper = self.peek() == Some(&Token::Punct('{'));
        let selection = if deeper { self.selection(depth)? } else { Vec::new() };
        Ok(Field { name: name.to_owned(), args, selection })
    }
}

fn deeper(depth: usize) -> Result<usize, GraphqlError> {
    depth.checked_sub(1).ok_or(GraphqlError::Bound("depth"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::limits::GRAPHQL_TOKENS_MAX;
    use proptest::prelude::*;

    #[test]
    fn depth_and_tokens_are_bounded_at_n() {
        // Each level is one selection; the innermost has a field without one.
        let nested = |n: usize| format!("{}a{}", "{a".repeat(n - 1) + "{", "}".repeat(n));
        assert!(document(&nested(GRAPHQL_DEPTH_MAX)).is_ok());
        assert_eq!(document(&nested(GRAPHQL_DEPTH_MAX + 1)).unwrap_err(), GraphqlError::Bound("depth"));
        let wide = |n: usize| format!("{{{}}}", "a ".repeat(n - 2));
        assert!(document(&wide(GRAPHQL_TOKENS_MAX)).is_ok());
        assert_eq!(document(&wide(GRAPHQL_TOKENS_MAX + 1)).unwrap_err(), GraphqlError::Bound("tokens"));
    }

    proptest! {
        /// Stricter than an established parser, never more lenient.
        #[test]
        fn what_is_accepted_here_is_graphql(source in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "(", ")", "a", "on", "query", "mutation", "fragment", "...", ":", "$", "v", "1", "-1.5e3", "\"s\"", "\"\"\"b\"\"\"",
            "[", "]", "@include(if:true)", "!", "=", "A", "true", "null", ",", "#c\n", "{a}", "a(x:$v)", "query Q($v:ID!=\"d\"){", "\\", ".",
        ]), 0..14)) {
            let source = source.join(" ");
            if document(&source).is_ok() {
                let errors: Vec<_> = apollo_parser::Parser::new(&source).parse().errors().map(ToString::to_string).collect();
                prop_assert!(errors.is_empty(), "{} {:?}", source, errors);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(source in "\\PC{0,80}") {
            let _ = document(&source);
        }
    }
}
