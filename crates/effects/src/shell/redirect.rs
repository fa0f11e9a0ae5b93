//! Redirections: files read and written, text given, sockets opened by the shell itself.

use super::expand::{Scope, Word};
use super::walk::Output;
use crate::catalogue::file::Mention;
use crate::classify::{Input, Place, Walk, severe};
use brush_parser::ast::{IoFileRedirectKind, IoFileRedirectTarget, IoRedirect};
use marque_model::Effect;

impl Walk<'_> {
    /// What redirections do, and what the command then reads on its input.
    pub(crate) fn redirects<'r>(&mut self, list: impl IntoIterator<Item = &'r IoRedirect>, place: &Place, scope: &mut Scope) -> Option<Input> {
        let mut input = None;
        for redirect in list {
            input = self.redirect(redirect, place, scope).or(input);
        }
        input
    }

    fn redirect(&mut self, redirect: &IoRedirect, place: &Place, scope: &mut Scope) -> Option<Input> {
        match redirect {
            IoRedirect::File(descriptor, kind, target) => self.file(*descriptor, kind, target, place, scope),
            IoRedirect::OutputAndError(word, _) => {
                let path = self.one_word(&word.value, place, scope);
                self.writes(&path, place);
                None
            }
            IoRedirect::HereDocument(descriptor, document) => {
                let body = &document.doc.value;
                let text = if document.requires_expansion { self.here_text(body, place, scope) } else { Word::literal(body) };
                self.variables_shown(&text, "shell", place);
                descriptor.is_none_or(|fd| fd == 0).then_some(Input::Text(text))
            }
            IoRedirect::HereString(descriptor, word) => {
                let text = self.one_word(&word.value, place, scope);
                self.paths(&text, "shell", Mention::Touch, place);
                self.variables_shown(&text, "shell", place);
                descriptor.is_none_or(|fd| fd == 0).then_some(Input::Text(text))
            }
        }
    }

    fn file(
        &mut self,
        descriptor: Option<i32>,
        kind: &IoFileRedirectKind,
        target: &IoFileRedirectTarget,
        place: &Place,
        scope: &mut Scope,
    ) -> Option<Input> {
        use IoFileRedirectKind as K;
        let word = match target {
            IoFileRedirectTarget::Filename(word) => self.one_word(&word.value, place, scope),
            IoFileRedirectTarget::ProcessSubstitution(_, shell) => {
                let output = self.substituted(&shell.list, place, scope);
                return matches!(kind, K::Read).then(|| output.map_or(Input::Pipe, Input::Text));
            }
            IoFileRedirectTarget::Fd(_) => return None,
            IoFileRedirectTarget::Duplicate(word) => {
                let word = self.one_word(&word.value, place, scope);
                // `>&file` is a file, `>&2` and `>&-` are not.
                if !word.text.chars().all(|c| c.is_ascii_digit() || c == '-') {
                    self.writes(&word, place);
                }
                return None;
            }
        };
        match kind {
            K::Read => self.reads(&word, place),
            K::ReadAndWrite => {
                self.reads(&word, place);
                self.writes(&word, place);
            }
            K::Write | K::Append | K::Clobber => self.writes(&word, place),
            K::DuplicateInput | K::DuplicateOutput => {}
        }
        let is_input = matches!(kind, K::Read | K::ReadAndWrite) && descriptor.is_none_or(|fd| fd == 0);
        is_input.then_some(Input::File(word))
    }

    fn substituted(&mut self, list: &brush_parser::ast::CompoundList, place: &Place, scope: &mut Scope) -> Output {
        self.visit_list(list, &place.inside(), &mut scope.clone())
    }

    fn reads(&mut self, path: &Word, place: &Place) {
        if !self.network(path, place) {
            self.paths(path, "shell", Mention::Reveal, place);
        }
    }

    pub(crate) fn writes(&mut self, path: &Word, place: &Place) {
        if path.variables.iter().any(|name| matches!(name.as_str(), "GITHUB_ENV" | "GITHUB_PATH")) {
            self.find(severe("shell", "persistence", Effect::Grant, "the environment of later steps"), place);
        }
        if !self.network(path, place) {
            self.paths(path, "shell", Mention::Write, place);
        }
    }

    /// `/dev/tcp/HOST/PORT` is a connection that no program makes.
    fn network(&mut self, path: &Word, place: &Place) -> bool {
        let found = path.text.contains("/dev/tcp/") || path.text.contains("/dev/udp/");
        if found {
            self.senders += 1;
            self.find(severe("shell", "redirect.network", Effect::Write, &path.text), place);
            self.unclear("the shell itself opens a connection", place);
        }
        found
    }
}
