//! Negation of and membership in what may be undefined.
//!
//! OPA evaluates the operands of a negated expression before negating, so that an undefined operand makes the
//! whole body undefined; the engine negates the undefined expression to true. A membership test with an
//! undefined operand is undefined in OPA and false in the engine, which shows wherever it is used as a value.

use regorus::unstable::{Expr, NodeRef};

use super::certainty::Type;
use super::{Checker, paths};
use crate::diagnostic::DiagnosticCode;

impl Checker<'_, '_> {
    /// Checks the expression under a `not`.
    pub(super) fn negated(&mut self, expr: &Expr) {
        match expr {
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.negated_reference(expr),
            Expr::Call { fcn, .. } if self.builtin_name(fcn).is_some_and(|name| name == "print") => self
                .refuse(
                    paths::start(expr),
                    DiagnosticCode::RegoConstructDiffers,
                    "`print` under `not` is erased by OPA and not here: remove it",
                ),
            Expr::Call { params, .. } => self.operands(params.iter()),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.operands(items.iter()),
            Expr::Object { fields, .. } => {
                self.operands(fields.iter().flat_map(|(_, key, value)| [key, value]));
            }
            Expr::BoolExpr { lhs, rhs, .. }
            | Expr::BinExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. } => {
                self.operands([lhs, rhs]);
            }
            Expr::Membership { key, value, collection, .. } => {
                self.operands(key.iter().chain([value, collection]));
            }
            Expr::UnaryExpr { expr, .. } => self.operands([expr]),
            Expr::AssignExpr { lhs, .. } => self.refuse(
                paths::start(lhs),
                DiagnosticCode::RegoConstructDiffers,
                "an assignment or unification under `not` is not supported: compare with `==`",
            ),
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. } => {}
        }
    }

    /// A reference alone may be undefined under `not`; what it is indexed by may not.
    fn negated_reference(&mut self, mut expr: &Expr) {
        loop {
            match expr {
                Expr::RefDot { refr, .. } => expr = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.operands([index]);
                    expr = refr;
                }
                Expr::Var { span, .. } => {
                    let name = span.text().to_owned();
                    if matches!(self.resolve(&name, &[]), super::Root::Local) && !self.is_bound(&name) {
                        self.unbound(expr);
                    }
                    return;
                }
                _ => return self.operand(expr),
            }
        }
    }

    fn operands<'e>(&mut self, operands: impl IntoIterator<Item = &'e NodeRef<Expr>>) {
        operands.into_iter().for_each(|operand| self.operand(operand));
    }

    fn operand(&mut self, operand: &Expr) {
        if self.is_certain(operand) {
            return;
        }
        let text = shown(operand);
        let is_unbound = matches!(operand, Expr::Var { span, .. }
            if matches!(self.resolve(span.text(), &[]), super::Root::Local) && !self.is_bound(span.text()));
        if is_unbound {
            return self.unbound(operand);
        }
        let fix = match paths::components(operand) {
            Some(path) if path.first().is_some_and(|root| root == "input") => {
                format!("bind it first (`x := {text}`) or have the input schema guarantee it")
            }
            _ => format!("bind it first (`x := {text}`)"),
        };
        let message =
            format!("`{text}` under `not` may be undefined, which OPA never turns into true: {fix}");
        self.refuse(paths::start(operand), DiagnosticCode::RegoConstructDiffers, message);
    }

    fn unbound(&mut self, expr: &Expr) {
        let message =
            format!("`{}` under `not` is not bound by any other expression of the body", shown(expr));
        self.refuse(paths::start(expr), DiagnosticCode::RegoConstructDiffers, message);
    }

    /// A membership test whose answer is used as a value.
    pub(super) fn membership_value(&mut self, expr: &Expr) {
        let Expr::Membership { key, value, collection, .. } = expr else { return };
        for operand in key.iter().chain([value, collection]) {
            if !self.is_certain(operand) {
                let text = shown(operand);
                let message = format!(
                    "`{text}` may be undefined, where OPA answers undefined and the engine false: bind it first (`x := {text}`)"
                );
                self.refuse(paths::start(operand), DiagnosticCode::RegoConstructDiffers, message);
            }
        }
        self.keyed_membership(expr);
    }

    /// `key, value in collection` is always false for sets in the engine.
    pub(super) fn keyed_membership(&mut self, expr: &Expr) {
        let Expr::Membership { key: Some(key), collection, .. } = expr else { return };
        if !matches!(self.type_of(collection), Type::Json | Type::List | Type::Object) {
            self.refuse(
                paths::start(key),
                DiagnosticCode::RegoConstructDiffers,
                "a membership test with a key may be on a set, where the engine answers differently: compare `collection[key] == value`",
            );
        }
    }
}

/// The text of an expression, shortened.
fn shown(expr: &Expr) -> String {
    const LONGEST: usize = 60;
    let text = expr.span().text();
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
