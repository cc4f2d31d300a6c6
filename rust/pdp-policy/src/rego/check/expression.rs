//! Walks expressions: calls, numbers, references and nested queries.

use regorus::unstable::{BoolOp, Expr, NodeRef};

use super::builtins::{self, Standing};
use super::certainty::Type;
use super::world::static_prefix;
use super::{Checker, Root, paths, pattern, walk};
use crate::diagnostic::DiagnosticCode;

/// Whole numbers up to this are held exactly.
const MAX_EXACT: u64 = i64::MAX.unsigned_abs();

/// Digits a decimal fraction may have to be held exactly enough.
const MAX_DIGITS: usize = 15;

const INEXACT: &str =
    "OPA computes with decimal fractions exactly and the engine does not: use whole numbers in smaller units";

const MIXED: &str = "the engine orders sets and objects differently from OPA: do not mix them";

impl Checker<'_, '_> {
    /// Walks an expression whose value is used.
    pub(super) fn value(&mut self, expr: &Expr) {
        self.deeper(1, |checker| checker.value_here(expr));
    }

    fn value_here(&mut self, expr: &Expr) {
        match expr {
            Expr::Number { span, .. } => self.number(expr, span.text()),
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::Call { fcn, params, .. } => self.call(expr, fcn, params),
            Expr::Membership { .. } => self.membership_value(expr),
            Expr::UnaryExpr { expr: operand, span, .. }
                if !matches!(operand.as_ref(), Expr::Number { .. }) =>
            {
                self.refuse(
                    span,
                    DiagnosticCode::RegoConstructUnsupported,
                    "a minus before anything but a number is not supported: write `0 - x`",
                );
            }
            Expr::ArithExpr { lhs, rhs, span, .. }
                if has_inexact_fraction(lhs) || has_inexact_fraction(rhs) =>
            {
                self.refuse(paths::start(lhs), DiagnosticCode::RegoConstructDiffers, INEXACT);
            }
            Expr::BoolExpr { lhs, rhs, op, .. } if !matches!(op, BoolOp::Eq | BoolOp::Ne) => {
                let (left, right) = (self.type_of(lhs), self.type_of(rhs));
                if may_mix(left, right) || may_mix(right, left) {
                    self.refuse(paths::start(lhs), DiagnosticCode::RegoConstructDiffers, MIXED);
                }
            }
            Expr::Set { items, span, .. } if self.mixes_sets_and_objects(items) => {
                self.refuse(span, DiagnosticCode::RegoConstructDiffers, MIXED);
            }
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.query(query, |checker| checker.value(term));
            }
            Expr::ObjectCompr { key, value, query, .. } => self.query(query, |checker| {
                checker.value(key);
                checker.value(value);
            }),
            _ => {}
        }
        let mut parts = Vec::new();
        if !matches!(expr, Expr::RefDot { .. } | Expr::RefBrack { .. }) {
            walk::children(expr, &mut |child| parts.push(child));
        }
        parts.into_iter().for_each(|part| self.value(part));
    }

    fn number(&mut self, expr: &Expr, text: &str) {
        let is_whole = text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        let is_exact = if is_whole {
            text.parse::<u64>().is_ok_and(|number| number <= MAX_EXACT)
        } else {
            digits <= MAX_DIGITS && !text.contains(['e', 'E'])
        };
        if !is_exact {
            let message =
                format!("number `{text}` is not held exactly: write it as text or use smaller units");
            self.refuse(paths::start(expr), DiagnosticCode::RegoConstructDiffers, message);
        }
    }

    /// Walks a chain of names and indices without recursing along it.
    fn reference(&mut self, expr: &Expr) {
        let prefix = static_prefix(expr);
        if let Some((root, rest)) = prefix.split_first() {
            match self.resolve(root, rest) {
                Root::Data(path) => {
                    if self.world.has_rules_below(&path) {
                        let message = format!(
                            "`{}` is made of rules with fixed keys, which the engine may not find all: read each by its full name or write one object",
                            path.join(".")
                        );
                        self.refuse(paths::start(expr), DiagnosticCode::RegoConstructDiffers, message);
                    }
                    self.dependencies.add(&self.rule, path);
                }
                Root::Local if root != "_" && !self.is_bound(root) => {
                    let message = format!("variable `{root}` is not bound");
                    self.refuse(paths::start(expr), DiagnosticCode::RegoSyntax, message);
                }
                Root::Local | Root::Input(_) => {}
            }
        }
        let mut at = expr;
        loop {
            match at {
                Expr::RefDot { refr, .. } => at = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.value(index);
                    at = refr;
                }
                Expr::Var { .. } => return,
                _ => return self.value(at),
            }
        }
    }

    fn call(&mut self, expr: &Expr, fcn: &Expr, params: &[NodeRef<Expr>]) {
        let Some(path) = paths::components(fcn) else {
            return self.refuse(
                paths::start(expr),
                DiagnosticCode::RegoSyntax,
                "a call needs a function's name",
            );
        };
        let name = path.join(".");
        let Some(builtin) = self.builtin_name(fcn) else {
            return self.call_of_rule(expr, &path, params.len());
        };
        self.is_pure &= !builtins::is_impure(&builtin);
        match builtins::standing(&builtin) {
            Standing::Faithful(arguments) => {
                self.arity(expr, &name, arguments, params.len());
                self.usage(expr, &builtin, params);
            }
            Standing::Missing => {
                let fix = builtins::instead_of_missing(&builtin);
                let message = format!("builtin `{name}` is not available: {fix}");
                self.refuse(paths::start(fcn), DiagnosticCode::RegoBuiltinMissing, message);
            }
            Standing::Different(fix) => {
                let message = format!("builtin `{name}` answers differently from OPA: {fix}");
                self.refuse(paths::start(fcn), DiagnosticCode::RegoConstructDiffers, message);
            }
            Standing::Deprecated => {
                let message = format!("builtin `{name}` is deprecated and refused by Rego v1");
                self.refuse(paths::start(fcn), DiagnosticCode::RegoBuiltinMissing, message);
            }
            Standing::Unknown => {
                let message = format!("function `{name}` is not defined");
                self.refuse(paths::start(fcn), DiagnosticCode::RegoBuiltinMissing, message);
            }
        }
    }

    fn call_of_rule(&mut self, expr: &Expr, path: &[String], given: usize) {
        let name = path.join(".");
        let target = path.split_first().map(|(root, rest)| self.resolve(root, rest));
        let Some(Root::Data(target)) = target else {
            let message = format!("`{name}` is not a function");
            return self.refuse(paths::start(expr), DiagnosticCode::RegoSyntax, message);
        };
        let Some(arguments) = self.world.function_at(&target) else {
            let message = format!("function `{name}` is not defined");
            return self.refuse(paths::start(expr), DiagnosticCode::RegoSyntax, message);
        };
        self.dependencies.add(&self.rule, target);
        self.arity(expr, &name, Some(arguments), given);
    }

    fn arity(&mut self, expr: &Expr, name: &str, arguments: Option<usize>, given: usize) {
        if arguments.is_some_and(|arguments| given != arguments && given != arguments + 1) {
            let message =
                format!("function `{name}` takes {} arguments, {given} given", arguments.unwrap_or_default());
            self.refuse(paths::start(expr), DiagnosticCode::RegoSyntax, message);
        }
    }

    fn mixes_sets_and_objects(&self, items: &[NodeRef<Expr>]) -> bool {
        let has = |wanted| items.iter().any(|item| self.type_of(item) == wanted);
        has(Type::Set) && has(Type::Object)
    }

    fn regex(&self, name: &str, pattern: Option<&str>) -> Option<String> {
        match pattern {
            Some(pattern) => pattern::regex_fault(pattern),
            None => Some(format!(
                "the pattern of `{name}` has to be a literal, as some patterns match differently from OPA"
            )),
        }
    }

    /// Ways to call a faithful builtin that are not.
    fn usage(&mut self, expr: &Expr, name: &str, params: &[NodeRef<Expr>]) {
        let text = |at: usize| match params.get(at).map(AsRef::as_ref) {
            Some(Expr::String { value, .. } | Expr::RawString { value, .. }) => {
                value.as_string().ok().cloned()
            }
            _ => None,
        };
        let fault = match name {
            "walk" if params.len() < 2 => {
                Some("`walk` is supported only as `walk(x, [path, value])`".to_owned())
            }
            "glob.match" => text(0).filter(|pattern| !pattern::is_plain_glob(pattern)).map(|pattern| {
                format!(
                    "glob pattern `{pattern}` is not supported: use `*`, `**` and `?` only, or `regex.match`"
                )
            }),
            "regex.split" if text(0).is_some_and(|pattern| pattern::matches_nothing(&pattern)) => Some(
                "`regex.split` by a pattern that matches the empty text answers differently from OPA"
                    .to_owned(),
            ),
            "regex.match" | "regex.find_n" | "regex.split" | "regex.find_all_string_submatch_n" => {
                self.regex(name, text(0).as_deref())
            }
            "regex.replace" => self.regex(name, text(1).as_deref()),
            "sprintf" => text(0)
                .filter(|format| !is_plain_format(format))
                .map(|_| "`sprintf` supports only `%s`, `%d`, `%v` and `%%` without width".to_owned()),
            "sort" | "max" | "min" => match params.first().map(AsRef::as_ref) {
                Some(Expr::Array { items, .. }) if self.mixes_sets_and_objects(items) => {
                    Some(MIXED.to_owned())
                }
                _ => None,
            },
            "sum" | "product" if params.iter().any(|param| has_inexact_fraction(param)) => {
                Some(INEXACT.to_owned())
            }
            _ => None,
        };
        if let Some(message) = fault {
            self.refuse(paths::start(expr), DiagnosticCode::RegoConstructDiffers, message);
        }
    }
}

fn is_plain_format(format: &str) -> bool {
    let mut parts = format.split('%').skip(1);
    while let Some(part) = parts.next() {
        if part.is_empty() {
            // `%%`: the text up to the next sign is plain.
            if parts.next().is_none() {
                return false;
            }
        } else if !part.starts_with(['s', 'd', 'v']) {
            return false;
        }
    }
    true
}

/// Whether a decimal fraction that binary floats cannot hold is computed with.
fn has_inexact_fraction(expr: &Expr) -> bool {
    if let Expr::Number { span, .. } = expr {
        const BINARY_DIGITS: f64 = 1024.0;
        return span.text().parse::<f64>().is_ok_and(|number| (number * BINARY_DIGITS).fract() != 0.0);
    }
    let mut found = false;
    if matches!(expr, Expr::Array { .. } | Expr::Set { .. } | Expr::UnaryExpr { .. }) {
        walk::children(expr, &mut |child| found |= has_inexact_fraction(child));
    }
    found
}

/// Whether a set on one side may meet an object on the other.
fn may_mix(one: Type, other: Type) -> bool {
    match one {
        Type::Set => matches!(other, Type::Object | Type::Json | Type::Unknown),
        Type::Object => matches!(other, Type::Set | Type::Unknown),
        _ => false,
    }
}
