//! What is left of a condition after folding, in a form that reads a use's values where they stand. Whatever is not among
//! the few common shapes stays Cedar's, and is evaluated by Cedar.

use crate::facts::branch_of;
use crate::fold::bool_of;
use crate::leaf::Use;
use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, UnaryOp, Var};
use cedar_policy_core::evaluator::Evaluator;
use std::collections::HashMap;

/// A condition. `None` from [`Condition::holds`] is an evaluation error.
#[derive(Debug)]
pub(crate) enum Condition {
    Known(bool),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    /// `resource.name like …`
    NameLike(Pattern),
    /// `resource.name == …`
    NameIs(String),
    /// `resource.branch == …`; only where every resource is a branch.
    BranchIs(String),
    /// `context.streamed`
    Streamed,
    /// `context.ask_able`
    AskAble,
    /// `context.session.read_untrusted`
    ReadUntrusted,
    /// `context.session.uses < 5` and its like: the left operand, then the right one.
    Less(Number, Number),
    LessEq(Number, Number),
    Cedar(Expr),
}

/// A number of a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Known(i64),
    Uses,
    Destructive,
    Grants,
}

impl Number {
    fn of(expr: &Expr) -> Option<Self> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Long(value)) => Some(Self::Known(*value)),
            _ => match session_field(expr)? {
                "uses" => Some(Self::Uses),
                "destructive" => Some(Self::Destructive),
                "grants" => Some(Self::Grants),
                _ => None,
            },
        }
    }

    fn value(self, of: &Use<'_>) -> i64 {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match self {
            Self::Known(value) => value,
            Self::Uses => count(of.session.uses),
            Self::Destructive => count(of.session.destructive),
            Self::Grants => count(of.session.grants),
        }
    }
}

/// `name` of an attribute of that variable.
fn field(expr: &Expr, var: Var) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } => match expr.expr_kind() {
            ExprKind::Var(of) if *of == var => Some(attr.as_str()),
            _ => None,
        },
        _ => None,
    }
}

fn session_field(expr: &Expr) -> Option<&str> {
    match expr.expr_kind() {
        ExprKind::GetAttr { expr, attr } => (field(expr, Var::Context)? == "session").then_some(attr.as_str()),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

impl Condition {
    /// Compiles one. `is_ref`: every resource is a branch, so that it has the attribute.
    pub(crate) fn of(expr: &Expr, is_ref: bool) -> Self {
        Self::common(expr, is_ref).unwrap_or_else(|| Self::Cedar(expr.clone()))
    }

    fn common(expr: &Expr, is_ref: bool) -> Option<Self> {
        let inner = |expr: &Expr| Box::new(Self::of(expr, is_ref));
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(value)) => Some(Self::Known(*value)),
            ExprKind::And { left, right } => Some(Self::And(inner(left), inner(right))),
            ExprKind::Or { left, right } => Some(Self::Or(inner(left), inner(right))),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Some(Self::Not(inner(arg))),
            ExprKind::Like { expr, pattern } if field(expr, Var::Resource)? == "name" => Some(Self::NameLike(pattern.clone())),
            ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => match field(arg1, Var::Resource)? {
                "name" => literal(arg2).map(Self::NameIs),
                "branch" if is_ref => literal(arg2).map(Self::BranchIs),
                _ => None,
            },
            ExprKind::BinaryApp { op: BinaryOp::Less, arg1, arg2 } => Some(Self::Less(Number::of(arg1)?, Number::of(arg2)?)),
            ExprKind::BinaryApp { op: BinaryOp::LessEq, arg1, arg2 } => {
                Some(Self::LessEq(Number::of(arg1)?, Number::of(arg2)?))
            }
            ExprKind::GetAttr { .. } => match (field(expr, Var::Context), session_field(expr)) {
                (Some("streamed"), _) => Some(Self::Streamed),
                (Some("ask_able"), _) => Some(Self::AskAble),
                (_, Some("read_untrusted")) => Some(Self::ReadUntrusted),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether any part of it is Cedar's.
    pub(crate) fn needs_cedar(&self) -> bool {
        match self {
            Self::Cedar(_) => true,
            Self::And(left, right) | Self::Or(left, right) => left.needs_cedar() || right.needs_cedar(),
            Self::Not(inner) => inner.needs_cedar(),
            _ => false,
        }
    }

    /// Whether it holds for that use; `None` where its evaluation errs, or where it needs Cedar and there is none.
    pub(crate) fn holds(&self, of: &Use<'_>, cedar: Option<&Evaluator<'_>>) -> Option<bool> {
        match self {
            Self::Known(value) => Some(*value),
            Self::And(left, right) => if left.holds(of, cedar)? { right.holds(of, cedar) } else { Some(false) },
            Self::Or(left, right) => if left.holds(of, cedar)? { Some(true) } else { right.holds(of, cedar) },
            Self::Not(inner) => inner.holds(of, cedar).map(|held| !held),
            Self::NameLike(pattern) => Some(pattern.wildcard_match(of.resource)),
            Self::NameIs(name) => Some(of.resource == name),
            Self::BranchIs(name) => branch_of(of.resource).map(|(_, branch)| branch == name),
            Self::Streamed => Some(of.streamed),
            Self::AskAble => Some(!of.streamed),
            Self::ReadUntrusted => Some(of.session.read_untrusted),
            Self::Less(left, right) => Some(left.value(of) < right.value(of)),
            Self::LessEq(left, right) => Some(left.value(of) <= right.value(of)),
            Self::Cedar(expr) => {
                let value = cedar?.interpret(expr, &HashMap::new()).ok()?;
                bool_of(&value.value)
            }
        }
    }
}
