//! Compound commands: every branch, every turn, every condition.

use super::expand::{Scope, Word};
use super::values::known;
use super::word::{here_pieces, pieces};
use crate::catalogue::file::Mention;
use crate::classify::{Place, Walk};
use brush_parser::ast::{CompoundCommand, ExtendedTestExpr};

impl Walk<'_> {
    pub(super) fn compound(&mut self, compound: &CompoundCommand, place: &Place, scope: &mut Scope) {
        match compound {
            CompoundCommand::Arithmetic(arithmetic) => self.arithmetic(&arithmetic.expr.value, place, scope),
            CompoundCommand::ArithmeticForClause(clause) => {
                for part in [&clause.initializer, &clause.condition, &clause.updater].into_iter().flatten() {
                    self.arithmetic(&part.value, place, scope);
                }
                self.visit_list(&clause.body.list, place, scope);
            }
            CompoundCommand::BraceGroup(group) => _ = self.visit_list(&group.list, place, scope),
            CompoundCommand::Subshell(shell) => _ = self.visit_list(&shell.list, place, &mut scope.clone()),
            CompoundCommand::ForClause(clause) => {
                let mut values = Vec::new();
                for word in clause.values.iter().flatten() {
                    values.extend(self.fields(&word.value, place, scope));
                }
                match (clause.values.is_some(), values.as_slice()) {
                    (true, [Word { text, pattern: false, .. }]) => scope.assign(&clause.variable_name, known(text)),
                    _ => scope.forget(&clause.variable_name),
                }
                for value in &values {
                    let texts = value.perhaps.iter().chain([&value.text]).cloned();
                    scope.perhaps(&clause.variable_name, texts);
                    self.paths(value, "shell", Mention::Touch, place);
                }
                self.visit_list(&clause.body.list, place, scope);
            }
            CompoundCommand::CaseClause(clause) => {
                self.fields(&clause.value.value, place, scope);
                for case in &clause.cases {
                    for pattern in &case.patterns {
                        self.fields(&pattern.value, place, scope);
                    }
                    if let Some(list) = &case.cmd {
                        self.visit_list(list, place, scope);
                    }
                }
            }
            CompoundCommand::IfClause(clause) => {
                self.visit_list(&clause.condition, place, scope);
                self.visit_list(&clause.then, place, scope);
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.visit_list(condition, place, scope);
                    }
                    self.visit_list(&other.body, place, scope);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.visit_list(&clause.0, place, scope);
                self.visit_list(&clause.1.list, place, scope);
            }
            CompoundCommand::Coprocess(_) => self.unclear("a coprocess is not followed", place),
        }
    }

    pub(super) fn test(&mut self, expr: &ExtendedTestExpr, place: &Place, scope: &mut Scope) {
        match expr {
            ExtendedTestExpr::And(left, right) | ExtendedTestExpr::Or(left, right) => {
                self.test(left, place, scope);
                self.test(right, place, scope);
            }
            ExtendedTestExpr::Not(inner) | ExtendedTestExpr::Parenthesized(inner) => self.test(inner, place, scope),
            ExtendedTestExpr::UnaryTest(_, word) => self.lenient(&word.value, place, scope),
            ExtendedTestExpr::BinaryTest(_, left, right) => {
                self.lenient(&left.value, place, scope);
                self.lenient(&right.value, place, scope);
            }
        }
    }

    /// A word of a test: the right side of `=~` has characters that no other word has.
    fn lenient(&mut self, word: &str, place: &Place, scope: &mut Scope) {
        if word.contains(['$', '`', '<', '>']) {
            if let Ok(parts) = pieces(word).or_else(|_| here_pieces(word)) {
                self.expanded(&parts, place, scope);
            } else {
                self.unclear("a word is not understood", place);
            }
        }
    }
}
