//! Walks modules, rules, queries and statements.

use regorus::unstable::{
    AssignOp, Expr, Literal, LiteralStmt, Module, NodeRef, Query, Rule, RuleHead, WithModifier,
};

use super::scope::Scope;
use super::world::static_prefix;
use super::{Checker, Root, paths};
use crate::diagnostic::DiagnosticCode;

/// Levels a query takes besides its iterations.
const LEVELS_OF_QUERY: usize = 2;

/// Statements of one query; each that iterates takes a stack frame.
const MAX_STATEMENTS: usize = 100;

impl Checker<'_, '_> {
    pub(super) fn module(&mut self, module: &NodeRef<Module>) {
        for rule in &module.policy {
            self.rule = self.package.to_vec();
            self.rule.extend(static_prefix(paths::rule_reference(rule)));
            self.dependencies.declare(&self.rule, rule.span());
            self.deepest = 0;
            self.rule(rule);
            self.dependencies.weigh(&self.rule, self.deepest);
        }
    }

    /// Does `work` the given number of levels deeper.
    pub(super) fn deeper(&mut self, levels: usize, work: impl FnOnce(&mut Self)) {
        self.level += levels;
        self.deepest = self.deepest.max(self.level);
        work(self);
        self.level -= levels;
    }

    fn rule(&mut self, rule: &Rule) {
        if self.world.is_contradictory(&self.rule) {
            let message = format!(
                "`{}` is declared in ways that exclude one another: as rule and function, or with a second or needless default",
                self.rule.join(".")
            );
            self.refuse(rule.span(), DiagnosticCode::RegoSyntax, message);
        }
        match rule {
            Rule::Default { value, args, .. } => {
                self.scopes.push(Scope::of_patterns(args.iter().map(AsRef::as_ref)));
                self.value(value);
                self.scopes.pop();
            }
            Rule::Spec { head, bodies, .. } => {
                self.head(head);
                let args: &[NodeRef<Expr>] = if let RuleHead::Func { args, .. } = head { args } else { &[] };
                self.enter(Scope::of_patterns(args.iter().map(AsRef::as_ref)), rule.span());
                self.arguments(args);
                if bodies.is_empty() {
                    self.head_values(head);
                }
                for (at, body) in bodies.iter().enumerate() {
                    self.query(&body.query, |checker| match &body.assign {
                        Some(assign) => checker.value(&assign.value),
                        None if at == 0 || !body.is_else => checker.head_values(head),
                        None => {}
                    });
                }
                self.scopes.pop();
            }
        }
    }

    fn head(&mut self, head: &RuleHead) {
        let (RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. }) = head;
        // A variable may stand only in the last place of an object rule's head.
        let computed = match (head, refr.as_ref()) {
            (RuleHead::Compr { .. }, Expr::RefBrack { refr, .. }) => refr,
            _ => refr,
        };
        if paths::components(computed).is_none() {
            self.refuse(
                paths::start(computed),
                DiagnosticCode::RegoConstructUnsupported,
                "a variable inside a rule's name is not supported: give the rule a fixed name and a variable key last",
            );
        }
    }

    fn head_values(&mut self, head: &RuleHead) {
        match head {
            RuleHead::Compr { refr, assign, .. } => {
                if let Expr::RefBrack { index, .. } = refr.as_ref() {
                    self.value(index);
                }
                assign.iter().for_each(|assign| self.value(&assign.value));
            }
            RuleHead::Func { assign, .. } => assign.iter().for_each(|assign| self.value(&assign.value)),
            RuleHead::Set { key, .. } => key.iter().for_each(|key| self.value(key)),
        }
    }

    fn enter(&mut self, scope: Scope, span: &regorus::unstable::Span) {
        for name in ["input", "data"] {
            if scope.declared.contains(name) {
                self.refuse(
                    span,
                    DiagnosticCode::RegoSyntax,
                    format!("a variable may not be named `{name}`"),
                );
            }
        }
        self.scopes.push(scope);
    }

    /// Walks a query and then `outputs` in its scope.
    pub(super) fn query(&mut self, query: &Query, outputs: impl FnOnce(&mut Self)) {
        self.enter(Scope::of_query(query), &query.span);
        if query.stmts.len() > MAX_STATEMENTS {
            let message = format!("a body holds more than {MAX_STATEMENTS} statements: split it into rules");
            self.refuse(&query.span, DiagnosticCode::TooLarge, message);
        }
        let iterations = query.stmts.iter().filter(|stmt| self.iterates(&stmt.literal)).count();
        self.deeper(iterations + LEVELS_OF_QUERY, |checker| {
            for stmt in &query.stmts {
                checker.statement(stmt);
            }
            outputs(checker);
        });
        self.scopes.pop();
    }

    fn statement(&mut self, stmt: &LiteralStmt) {
        let is_negated = matches!(stmt.literal, Literal::NotExpr { .. });
        for modifier in &stmt.with_mods {
            self.modifier(modifier, is_negated);
        }
        if !stmt.with_mods.is_empty() && self.iterates(&stmt.literal) {
            self.refuse(
                &stmt.span,
                DiagnosticCode::RegoConstructDiffers,
                "`with` on an expression that iterates also changes the expressions after it: put it into a rule of its own",
            );
        }
        match &stmt.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                self.arguments(key.iter().chain([value]));
                key.iter().for_each(|key| self.pattern(key));
                self.pattern(value);
                self.value(collection);
            }
            Literal::Expr { expr, .. } => self.expression(expr),
            Literal::NotExpr { expr, .. } => {
                self.negated(expr);
                self.value_or_membership(expr);
            }
            Literal::Every { key, value, domain, query, .. } => {
                self.value(domain);
                let names = key.iter().chain([value]).map(regorus::unstable::Span::text);
                self.scopes.push(Scope::of_names(names));
                self.query(query, |_| {});
                self.scopes.pop();
            }
        }
    }

    /// Whether a statement may hold several times, for different bindings.
    fn iterates(&self, literal: &Literal) -> bool {
        match literal {
            Literal::SomeIn { .. } => true,
            Literal::Expr { expr, .. } => has_open_index(expr),
            _ => false,
        }
    }

    /// An expression that is a statement of its own, where false and undefined are the same.
    fn expression(&mut self, expr: &Expr) {
        match expr {
            Expr::AssignExpr { op, lhs, rhs, .. } => {
                self.pattern(lhs);
                if *op == AssignOp::Eq {
                    self.pattern(rhs);
                } else {
                    self.value(rhs);
                }
            }
            _ => self.value_or_membership(expr),
        }
    }

    fn value_or_membership(&mut self, expr: &Expr) {
        if let Expr::Membership { key, value, collection, .. } = expr {
            key.iter().for_each(|key| self.value(key));
            self.value(value);
            self.value(collection);
            self.keyed_membership(expr);
        } else {
            self.value(expr);
        }
    }

    /// A side of a unification: its own variables are bound by it, the rest are values.
    fn pattern(&mut self, pattern: &Expr) {
        match pattern {
            Expr::Var { span, .. } if span.text() == "_" => {}
            Expr::Array { items, .. } => items.iter().for_each(|item| self.pattern(item)),
            Expr::Object { fields, span, .. } => {
                let mut names = std::collections::BTreeSet::new();
                super::scope::pattern_names(pattern, &mut names);
                if !names.is_empty() {
                    self.object_pattern(span);
                }
                for (_, key, value) in fields {
                    self.value(key);
                    self.pattern(value);
                }
            }
            _ => self.value(pattern),
        }
    }

    /// An object with variables unifies only with the same keys in OPA, with more of them in the engine.
    fn object_pattern(&mut self, span: &regorus::unstable::Span) {
        self.refuse(
            span,
            DiagnosticCode::RegoConstructDiffers,
            "an object pattern also matches objects with more keys here: bind the object and read its fields",
        );
    }

    /// Arguments and the patterns of `some ... in`, which are never compared as a whole.
    fn arguments<'e>(&mut self, args: impl IntoIterator<Item = &'e NodeRef<Expr>>) {
        for arg in args {
            match arg.as_ref() {
                Expr::Object { span, .. } => self.object_pattern(span),
                Expr::Array { items, .. } => self.arguments(items),
                _ => {}
            }
        }
    }

    fn modifier(&mut self, modifier: &WithModifier, is_negated: bool) {
        let Some(path) = paths::components(&modifier.refr) else { return };
        let Some((root, rest)) = path.split_first() else { return };
        let target = self.resolve(root, rest);
        let span = modifier.refr.span();
        if matches!(target, Root::Input(_))
            && self.world.has_guarantees()
            && !span.source.file().ends_with("_test.rego")
        {
            self.refuse(
                paths::start(&modifier.refr),
                DiagnosticCode::RegoConstructDiffers,
                "`with input` outside of a test takes away what the input schema guarantees: pass the value to a function",
            );
        }
        let is_document = match target {
            Root::Input(_) => true,
            Root::Data(path) => self.world.function_at(&path).is_none(),
            Root::Local => false,
        };
        if is_document {
            self.value(&modifier.r#as);
            if !self.is_certain(&modifier.r#as) {
                let text = modifier.r#as.span().text();
                let place = if is_negated { " under `not`" } else { "" };
                let message = format!(
                    "`with` takes `{text}`, which may be undefined{place}: bind it to a variable before"
                );
                self.refuse(paths::start(&modifier.r#as), DiagnosticCode::RegoConstructDiffers, message);
            }
        }
    }
}

/// Whether a reference in `expr` is indexed by a variable, which may be what binds it.
fn has_open_index(expr: &Expr) -> bool {
    let is_open = match expr {
        Expr::RefBrack { index, .. } => !super::world::is_constant(index),
        Expr::Call { fcn, .. } => paths::components(fcn).is_some_and(|path| path == ["walk"]),
        _ => false,
    };
    let mut found = is_open;
    super::walk::children(expr, &mut |child| found |= has_open_index(child));
    found
}
