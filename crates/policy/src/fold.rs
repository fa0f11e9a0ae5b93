//! What of a policy is settled before a use is known: sub-expressions over nothing but who asks, what kind of action it is
//! and where, are evaluated once, by Cedar's own evaluator. What is left stands as it stood, in its order, so that it errs
//! where it would have erred.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Var};
use cedar_policy_core::evaluator::Evaluator;
use std::collections::HashMap;

/// Fields of the context that are one leaf's for good.
const CONTEXT: [&str; 4] = ["accepted", "grade", "mode", "purpose"];
/// Fields of the resource that are one class's for good.
const RESOURCE: [&str; 2] = ["environment", "service"];

/// A condition, as far as it is settled.
#[derive(Debug, Clone)]
pub(crate) enum Folded {
    Known(bool),
    Open(Expr),
}

impl Folded {
    fn expr(self) -> Expr {
        match self {
            Self::Known(value) => Expr::val(value),
            Self::Open(expr) => expr,
        }
    }
}

/// Folds a condition. `fixed` answers for everything that is settled: its principal, action and environment are the real
/// ones, its resource has the fields in [`RESOURCE`] and its context those in [`CONTEXT`].
pub(crate) fn fold(expr: &Expr, fixed: &Evaluator<'_>) -> Folded {
    match expr.expr_kind() {
        ExprKind::And { left, right } => match fold(left, fixed) {
            Folded::Known(false) => Folded::Known(false),
            Folded::Known(true) => fold(right, fixed),
            Folded::Open(left) => match fold(right, fixed) {
                Folded::Known(true) => Folded::Open(left),
                // Not `false`: what stands on the left may err.
                right => Folded::Open(Expr::and(left, right.expr())),
            },
        },
        ExprKind::Or { left, right } => match fold(left, fixed) {
            Folded::Known(true) => Folded::Known(true),
            Folded::Known(false) => fold(right, fixed),
            Folded::Open(left) => match fold(right, fixed) {
                Folded::Known(false) => Folded::Open(left),
                right => Folded::Open(Expr::or(left, right.expr())),
            },
        },
        ExprKind::If { test_expr, then_expr, else_expr } => match fold(test_expr, fixed) {
            Folded::Known(true) => fold(then_expr, fixed),
            Folded::Known(false) => fold(else_expr, fixed),
            Folded::Open(test) => {
                let (yes, no) = (fold(then_expr, fixed).expr(), fold(else_expr, fixed).expr());
                Folded::Open(Expr::ite(test, yes, no))
            }
        },
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => match fold(arg, fixed) {
            Folded::Known(value) => Folded::Known(!value),
            Folded::Open(arg) => Folded::Open(Expr::not(arg)),
        },
        _ if is_fixed(expr) => match fixed.interpret(expr, &HashMap::new()).map(|value| bool_of(&value.value)) {
            Ok(Some(value)) => Folded::Known(value),
            // No truth value, or an error: it is for the decision to meet.
            _ => Folded::Open(expr.clone()),
        },
        _ => Folded::Open(expr.clone()),
    }
}

pub(crate) const fn bool_of(value: &cedar_policy_core::ast::ValueKind) -> Option<bool> {
    match value {
        cedar_policy_core::ast::ValueKind::Lit(Literal::Bool(value)) => Some(*value),
        _ => None,
    }
}

/// Whether it says the same for every use of a class.
fn is_fixed(expr: &Expr) -> bool {
    let field = |of: &Expr, name: &str| match of.expr_kind() {
        ExprKind::Var(Var::Context) => CONTEXT.contains(&name),
        ExprKind::Var(Var::Resource) => RESOURCE.contains(&name),
        _ => is_fixed(of),
    };
    match expr.expr_kind() {
        ExprKind::Lit(_) | ExprKind::Var(Var::Principal | Var::Action) => true,
        ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => field(expr, attr),
        // Every resource of a class is of one type.
        ExprKind::Is { expr, .. } => is_fixed(expr) || matches!(expr.expr_kind(), ExprKind::Var(Var::Resource)),
        ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } if is_environment(arg2) => {
            is_fixed(arg1) || matches!(arg1.expr_kind(), ExprKind::Var(Var::Resource))
        }
        ExprKind::BinaryApp { arg1, arg2, .. } => is_fixed(arg1) && is_fixed(arg2),
        ExprKind::UnaryApp { arg, .. } => is_fixed(arg),
        ExprKind::And { left, right } | ExprKind::Or { left, right } => is_fixed(left) && is_fixed(right),
        ExprKind::If { test_expr, then_expr, else_expr } => [test_expr, then_expr, else_expr].into_iter().all(|e| is_fixed(e)),
        ExprKind::Like { expr, .. } => is_fixed(expr),
        ExprKind::Set(items) => items.iter().all(is_fixed),
        _ => false,
    }
}

/// A literal environment: what a resource is in besides never changes that.
fn is_environment(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::EntityUID(uid)) => uid.entity_type().to_string() == "Env",
        _ => false,
    }
}

/// Whether the expression looks at what happened in the session before.
pub(crate) fn mentions_session(expr: &Expr) -> bool {
    expr.subexpressions().any(|part| match part.expr_kind() {
        ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } => {
            matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) && attr == "session"
        }
        ExprKind::ExtHasAttr { .. } => true,
        _ => false,
    })
}
