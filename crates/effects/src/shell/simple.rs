//! Simple commands: assignments, redirections, words, and the command that they make.

use super::expand::{DYNAMIC, Scope, Value, Word};
use super::values::known;
use super::walk::Output;
use crate::catalogue::file::Mention;
use crate::classify::{Input, Place, Walk};
use super::written::After;
use brush_parser::ast::{Assignment, AssignmentName, AssignmentValue, CommandPrefixOrSuffixItem, SimpleCommand};

/// What a command is made of.
#[derive(Default)]
struct Parts {
    assigned: Vec<(String, Word)>,
    words: Vec<Word>,
    input: Option<Input>,
}

impl Walk<'_> {
    pub(super) fn simple_command(&mut self, command: &SimpleCommand, place: &Place, scope: &mut Scope) -> Output {
        let mut place = place.clone();
        let Parts { assigned, words, input } = self.parts(command, &place, scope);
        if let Some(input) = input {
            place.input = input;
        }
        for (name, value) in &assigned {
            self.set_variable(name, value, &place);
        }
        if words.is_empty() {
            for (name, value) in assigned {
                self.subscript(&value, &place);
                scope.derive(&name, &value.variables);
                scope.perhaps(&name, value.perhaps.iter().cloned());
                scope.assign(&name, value.known().map_or(Value::Unknown, known));
            }
            return None;
        }
        place.env.extend(assigned);
        let senders = self.senders;
        let output = self.exec(&words, &place, scope);
        let after = After { fetched: self.senders > senders, output: output.as_ref(), words: &words };
        self.after(command, &after, &place, scope);
        output
    }

    /// The parts of a command, expanded.
    fn parts(&mut self, command: &SimpleCommand, place: &Place, scope: &mut Scope) -> Parts {
        let mut parts = Parts::default();
        for item in command.prefix.iter().flat_map(|list| &list.0) {
            match item {
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, _) => parts.assigned.extend(self.assignment(assignment, place, scope)),
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => parts.input = self.redirects([redirect], place, scope).or(parts.input),
                CommandPrefixOrSuffixItem::Word(word) => parts.words.extend(self.fields(&word.value, place, scope)),
                CommandPrefixOrSuffixItem::ProcessSubstitution(_, shell) => _ = self.visit_list(&shell.list, &place.inside(), &mut scope.clone()),
            }
        }
        if let Some(word) = &command.word_or_name {
            parts.words.extend(self.fields(&word.value, place, scope));
        }
        for item in command.suffix.iter().flat_map(|list| &list.0) {
            match item {
                CommandPrefixOrSuffixItem::AssignmentWord(assignment, word) => match &assignment.value {
                    AssignmentValue::Scalar(_) => parts.words.extend(self.fields(&word.value, place, scope)),
                    AssignmentValue::Array(_) => {
                        self.assignment(assignment, place, scope);
                        parts.words.push(Word::literal(format!("{}=", assignment.name)));
                    }
                },
                CommandPrefixOrSuffixItem::IoRedirect(redirect) => parts.input = self.redirects([redirect], place, scope).or(parts.input),
                CommandPrefixOrSuffixItem::Word(word) => parts.words.extend(self.fields(&word.value, place, scope)),
                CommandPrefixOrSuffixItem::ProcessSubstitution(_, shell) => {
                    let printed = self.visit_list(&shell.list, &place.inside(), &mut scope.clone());
                    let perhaps = printed.map(|word| word.text).into_iter().collect();
                    parts.words.push(Word { text: format!("/dev/fd/{DYNAMIC}"), perhaps, ..Word::default() });
                }
            }
        }
        parts
    }

    /// An assignment: its name and value.
    fn assignment(&mut self, assignment: &Assignment, place: &Place, scope: &mut Scope) -> Option<(String, Word)> {
        let name = match &assignment.name {
            AssignmentName::VariableName(name) => name.clone(),
            AssignmentName::ArrayElementName(name, index) => {
                if index.contains(['$', '`', '(']) {
                    self.unclear("a subscript is computed", place);
                    self.arithmetic(index, place, scope);
                }
                scope.forget(name);
                name.clone()
            }
        };
        match &assignment.value {
            AssignmentValue::Scalar(word) => {
                let value = self.one_word(&word.value, place, scope);
                if assignment.append || matches!(assignment.name, AssignmentName::ArrayElementName(..)) {
                    scope.forget(&name);
                    scope.perhaps(&name, value.perhaps.iter().chain([&value.text]).cloned());
                    return Some((name, Word { text: format!("{}{}", DYNAMIC, value.text), ..value }));
                }
                Some((name, value))
            }
            AssignmentValue::Array(elements) => {
                for (key, value) in elements {
                    for word in key.iter().chain([value]) {
                        for field in self.fields(&word.value, place, scope) {
                            self.paths(&field, "shell", Mention::Touch, place);
                            let texts = field.perhaps.iter().chain([&field.text]).cloned();
                            scope.perhaps(&name, texts);
                        }
                    }
                }
                scope.forget(&name);
                None
            }
        }
    }
}
