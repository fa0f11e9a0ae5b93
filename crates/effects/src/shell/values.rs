//! Words to values, with a visit to what stands inside them.

use super::expand::{DYNAMIC, Found, Scope, Value, Word, fields, text as one_text};
use super::word::{INDIRECT, Piece, here_pieces, pieces};
use crate::classify::{Input, Place, Walk};

impl Walk<'_> {
    /// The fields of a word; what is inside it is visited.
    pub(crate) fn fields(&mut self, word: &str, place: &Place, scope: &mut Scope) -> Vec<Word> {
        let Ok(parts) = pieces(word) else {
            self.unclear("a word is not understood", place);
            return vec![Word::dynamic()];
        };
        let mut found = Found::default();
        let mut out = fields(&parts, scope, &mut found);
        let printed = self.found(found, place, scope);
        if let Some(word) = out.iter_mut().find(|word| word.is_dynamic()) {
            word.perhaps.extend(printed);
        }
        out
    }

    /// The one text of a word.
    pub(crate) fn one_word(&mut self, word: &str, place: &Place, scope: &mut Scope) -> Word {
        let Ok(parts) = pieces(word) else {
            self.unclear("a word is not understood", place);
            return Word::dynamic();
        };
        self.expanded(&parts, place, scope)
    }

    /// The text of a here-document.
    pub(crate) fn here_text(&mut self, body: &str, place: &Place, scope: &mut Scope) -> Word {
        let Ok(parts) = here_pieces(body) else {
            self.unclear("a here-document is not understood", place);
            return Word::dynamic();
        };
        self.expanded(&parts, place, scope)
    }

    pub(super) fn expanded(&mut self, parts: &[Piece], place: &Place, scope: &mut Scope) -> Word {
        let mut found = Found::default();
        let mut out = one_text(parts, scope, &mut found);
        out.perhaps.extend(self.found(found, place, scope));
        out
    }

    /// Visits what was found in a word; what its commands print, where that is known, may become part of it.
    fn found(&mut self, found: Found, place: &Place, scope: &mut Scope) -> Vec<String> {
        let mut printed = Vec::new();
        let Found { scripts, arithmetic, doubts, assigned } = found;
        for script in scripts {
            let place = Place { env: place.env.clone(), input: Input::Inherited, ..place.inside() };
            printed.extend(self.shell_text(&script, &place, &mut scope.clone()).into_iter().flat_map(|word| word.perhaps.into_iter().chain([word.text])));
        }
        for text in arithmetic {
            self.arithmetic(&text, place, scope);
        }
        for why in doubts {
            if why == INDIRECT {
                self.reveal("shell", "variable.indirect", "a variable that is chosen when it runs", place);
            }
            self.unclear(why, place);
        }
        for (name, texts) in assigned {
            scope.forget(&name);
            scope.perhaps(&name, texts);
            if self.catalogue.variable(&name).is_some() {
                self.set_variable(&name, &Word::dynamic(), place);
            }
        }
        printed
    }

    /// Arithmetic: it can run what stands in it, and assign.
    pub(super) fn arithmetic(&mut self, text: &str, place: &Place, scope: &mut Scope) {
        if !text.contains(['$', '`']) {
            return;
        }
        if !self.enter(place) {
            return;
        }
        match here_pieces(text) {
            Ok(parts) => _ = self.expanded(&parts, &place.inside(), scope),
            Err(_) => self.unclear("arithmetic is not understood", place),
        }
    }
}

/// The value of a word that is known.
pub(super) fn known(text: &str) -> Value {
    if text.contains(DYNAMIC) { Value::Unknown } else { Value::Known(text.to_owned()) }
}
