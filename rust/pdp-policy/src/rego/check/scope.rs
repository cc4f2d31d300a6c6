//! Which names are local where, and which of them a positive expression binds.

use std::collections::BTreeSet;

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Query};

/// The names one query or one rule's arguments bring in.
#[derive(Default)]
pub(super) struct Scope {
    /// Declared by `:=`, `some`, `every` or as an argument; hides rules and imports.
    pub(super) declared: BTreeSet<String>,
    /// Given a value by something other than a negated expression.
    pub(super) bound: BTreeSet<String>,
}

impl Scope {
    /// A scope of patterns that have values, such as arguments.
    pub(super) fn of_patterns<'a>(patterns: impl IntoIterator<Item = &'a Expr>) -> Self {
        let mut scope = Self::default();
        for pattern in patterns {
            pattern_names(pattern, &mut scope.declared);
        }
        scope.bound.clone_from(&scope.declared);
        scope
    }

    /// A scope of names that have values, such as the key and value of `every`.
    pub(super) fn of_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let declared: BTreeSet<String> = names.into_iter().map(str::to_owned).collect();
        Self { bound: declared.clone(), declared }
    }

    /// The scope of a query's own statements, without nested queries.
    pub(super) fn of_query(query: &Query) -> Self {
        let mut scope = Self::default();
        for stmt in &query.stmts {
            scope.add(stmt);
        }
        scope
    }

    fn add(&mut self, stmt: &LiteralStmt) {
        match &stmt.literal {
            Literal::SomeVars { vars, .. } => {
                self.declared.extend(vars.iter().map(|var| var.text().to_owned()));
            }
            Literal::SomeIn { key, value, collection, .. } => {
                for pattern in key.iter().chain([value]) {
                    pattern_names(pattern, &mut self.declared);
                    pattern_names(pattern, &mut self.bound);
                }
                self.add_indices(collection);
            }
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref() {
                    pattern_names(lhs, &mut self.declared);
                }
                self.add_indices(expr);
            }
            Literal::Every { domain, .. } => self.add_indices(domain),
            Literal::NotExpr { .. } => {}
        }
    }

    /// Names that unification or iteration in `expr` binds.
    fn add_indices(&mut self, expr: &Expr) {
        match expr {
            Expr::AssignExpr { lhs, rhs, .. } => {
                pattern_names(lhs, &mut self.bound);
                pattern_names(rhs, &mut self.bound);
            }
            Expr::RefBrack { index, .. } => pattern_names(index, &mut self.bound),
            // The last argument may take the call's answer.
            Expr::Call { params, .. } => {
                if let Some(last) = params.last() {
                    pattern_names(last, &mut self.bound);
                }
            }
            _ => {}
        }
        super::walk::children(expr, &mut |child| self.add_indices(child));
    }
}

/// The variables of a pattern of arrays, objects and names.
pub(super) fn pattern_names(pattern: &Expr, names: &mut BTreeSet<String>) {
    match pattern {
        Expr::Var { span, .. } if span.text() != "_" => {
            names.insert(span.text().to_owned());
        }
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().for_each(|item| pattern_names(item, names));
        }
        Expr::Object { fields, .. } => fields.iter().for_each(|(_, _, value)| pattern_names(value, names)),
        _ => {}
    }
}
