//! Visits every simple command of a shell text.

use super::expand::{Found, Scope, Word, text as one_text};
use super::parse::{Refused, tokens};
use super::word::pieces;
use crate::classify::{Input, Place, Walk};
use crate::limits::PARSED_BYTES_MAX;
use crate::reading::Kind;
use brush_parser::ast::{AndOr, AndOrList, Command, CompoundList, Pipeline};

/// Bytes at each end of a text that is not understood, and pieces of it, that are looked at all the same.
const RUBBLE_BYTES: usize = 2048;
const RUBBLE_PIECES: usize = 64;

/// What a command prints, where that is known.
pub(crate) type Output = Option<Word>;

impl Walk<'_> {
    /// A shell text, and what it prints, where that is known.
    pub(crate) fn shell_text(&mut self, text: &str, place: &Place, scope: &mut Scope) -> Output {
        self.parsed_bytes += text.len();
        if self.parsed_bytes > PARSED_BYTES_MAX {
            self.unclear("there is too much shell text", place);
            return None;
        }
        if !self.enter(place) {
            return None;
        }
        // What is known only when it runs can hold anything, also the end of a quote.
        if text.contains(super::expand::DYNAMIC) {
            self.unclear("part of a shell text is known only when it runs", place);
        }
        let text = text.replace(super::expand::DYNAMIC, "$_");
        let read = match tokens(&text) {
            Ok(read) => read,
            Err(refused) => {
                self.refused(refused, place);
                self.rubble(&text, &place.guess());
                return None;
            }
        };
        let mut output = None;
        match read.tree() {
            Ok(program) => {
                for list in &program.complete_commands {
                    output = self.visit_list(list, place, scope);
                }
            }
            Err(refused) => {
                self.refused(refused, place);
                for run in read.runs() {
                    self.words_alone(&run, place, scope);
                }
            }
        }
        output
    }

    fn refused(&mut self, refused: Refused, place: &Place) {
        self.unclear(refused.why, place);
    }

    /// A text that cannot even be cut into words: what its pieces would do if they were commands. Only raises.
    pub(crate) fn rubble(&mut self, text: &str, place: &Place) {
        let ends = text.len() > 2 * RUBBLE_BYTES;
        let cut = |at: usize| (at..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        let (head, tail) = if ends { (text.get(..cut(RUBBLE_BYTES)), text.get(cut(text.len() - RUBBLE_BYTES)..)) } else { (Some(text), None) };
        let pieces = [head, tail].into_iter().flatten().flat_map(|part| part.split(|c: char| c.is_control() || "$;|&(){}`<>'\"!".contains(c)));
        let place = place.inside();
        for piece in pieces.filter(|piece| !piece.trim().is_empty()).take(RUBBLE_PIECES) {
            let start = piece.trim_start_matches([':', '%', ' ', '@', '-', '+']);
            let words: Vec<Word> = start.split_whitespace().skip_while(|word| matches!(*word, "shell" | "spawn" | "system" | "run" | "call" | "exec")).map(Word::literal).collect();
            self.exec(&words, &place, &mut Scope::default());
        }
    }

    /// Words between operators of a text that has no tree: what they would do if they were a command.
    fn words_alone(&mut self, run: &[&str], place: &Place, scope: &mut Scope) {
        let skip = |word: &&&str| matches!(**word, "if" | "then" | "else" | "elif" | "do" | "while" | "until" | "{" | "!" | "time" | "}");
        let start = run.iter().take_while(skip).count();
        let mut words = Vec::new();
        for word in run.iter().skip(start) {
            words.extend(self.fields(word, place, scope));
        }
        self.exec(&words, place, scope);
    }

    pub(crate) fn visit_list(&mut self, list: &CompoundList, place: &Place, scope: &mut Scope) -> Output {
        let mut output = None;
        for item in &list.0 {
            output = self.and_or(&item.0, place, scope);
        }
        // What several commands print is not followed.
        output.filter(|_| list.0.len() == 1)
    }

    fn and_or(&mut self, list: &AndOrList, place: &Place, scope: &mut Scope) -> Output {
        let output = self.pipeline(&list.first, place, scope);
        for more in &list.additional {
            let (AndOr::And(pipeline) | AndOr::Or(pipeline)) = more;
            self.pipeline(pipeline, place, scope);
        }
        output.filter(|_| list.additional.is_empty())
    }

    fn pipeline(&mut self, pipeline: &Pipeline, place: &Place, scope: &mut Scope) -> Output {
        let mut output: Output = None;
        let mut shown = false;
        for (index, command) in pipeline.seq.iter().enumerate() {
            let input = match (index, output.take()) {
                (0, _) => place.input.clone(),
                (_, Some(text)) => Input::Text(text),
                (_, None) => Input::Pipe,
            };
            let (reveals, senders) = (self.reveals(), self.senders);
            output = self.one(command, &place.with(input), scope);
            if shown && self.senders > senders {
                let mut sent = crate::classify::simple("shell", "pipe.credential", Kind::CredentialReveal, "network", Some("what the pipe carries"));
                sent.severe = true;
                self.find(sent, place);
            }
            shown |= self.reveals() > reveals;
        }
        output
    }

    fn reveals(&self) -> usize {
        self.reading.findings.iter().filter(|finding| finding.kind == Kind::CredentialReveal).count()
    }

    fn one(&mut self, command: &Command, place: &Place, scope: &mut Scope) -> Output {
        match command {
            Command::Simple(simple) => return self.simple_command(simple, place, scope),
            Command::Compound(compound, redirects) => {
                let input = self.redirects(redirects.iter().flat_map(|list| &list.0), place, scope);
                let place = input.map_or_else(|| place.clone(), |input| place.with(input));
                self.compound(compound, &place, scope);
            }
            Command::Function(function) => {
                if let Ok(name) = pieces(&function.fname.value) {
                    let name = one_text(&name, scope, &mut Found::default());
                    self.functions.insert(name.text);
                }
                self.redirects(function.body.1.iter().flat_map(|list| &list.0), place, scope);
                // Its words are given by whoever calls it.
                let mut own = scope.clone();
                own.positional = None;
                self.compound(&function.body.0, place, &mut own);
            }
            Command::ExtendedTest(test, redirects) => {
                self.redirects(redirects.iter().flat_map(|list| &list.0), place, scope);
                self.test(&test.expr, place, scope);
            }
        }
        None
    }

}
