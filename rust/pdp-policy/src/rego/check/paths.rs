//! References as paths.

use regorus::unstable::{Expr, Rule, RuleHead, Span};

/// The components of a reference made of names and strings only, such as `a.b["c"]`.
pub(in crate::rego) fn components(mut expr: &Expr) -> Option<Vec<String>> {
    let mut path = Vec::new();
    loop {
        match expr {
            Expr::Var { span, .. } => {
                path.push(span.text().to_owned());
                path.reverse();
                return Some(path);
            }
            Expr::RefDot { refr, field, .. } => {
                path.push(field.0.text().to_owned());
                expr = refr;
            }
            Expr::RefBrack { refr, index, .. } => {
                let (Expr::String { value, .. } | Expr::RawString { value, .. }) = index.as_ref() else {
                    return None;
                };
                path.push(value.as_string().ok()?.to_string());
                expr = refr;
            }
            _ => return None,
        }
    }
}

/// The reference a rule is declared by.
pub(in crate::rego) fn rule_reference(rule: &Rule) -> &Expr {
    match rule {
        Rule::Default { refr, .. } => refr,
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. } => refr,
        },
    }
}

/// The name of a rule that is declared by one name, with or without a key.
pub(in crate::rego) fn rule_name(rule: &Rule) -> Option<String> {
    match rule_reference(rule) {
        Expr::Var { span, .. } => Some(span.text().to_owned()),
        Expr::RefBrack { refr, index, .. } if !matches!(index.as_ref(), Expr::String { .. }) => {
            match refr.as_ref() {
                Expr::Var { span, .. } => Some(span.text().to_owned()),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Where an expression begins: the engine places references and infix expressions at their last part.
pub(super) fn start(mut expr: &Expr) -> &Span {
    loop {
        expr = match expr {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => refr,
            Expr::BinExpr { lhs, .. }
            | Expr::BoolExpr { lhs, .. }
            | Expr::ArithExpr { lhs, .. }
            | Expr::AssignExpr { lhs, .. } => lhs,
            Expr::Membership { key: Some(first), .. } | Expr::Membership { value: first, .. } => first,
            Expr::Call { fcn, .. } => fcn,
            other => return other.span(),
        };
    }
}
