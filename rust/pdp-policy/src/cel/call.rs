//! Lowering of calls: functions that exist, with as many arguments as they take, and
//! those that are replaced by a metered or prepared form.

use std::sync::Arc;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, ListExpr, LiteralValue, operators};
use cel::common::value::Val;
use cel::parser::Expression;

use super::function::{self, Pattern};
use super::lower::{Lowering, boolean, call, ident, node, qualified};
use super::metered;
use super::net::{Cidr, Ip};
use super::parse::locate;
use super::pattern;
use crate::diagnostic::DiagnosticCode;
use crate::schema::nearest;

impl Lowering<'_> {
    pub(super) fn call(&mut self, expr: CallExpr) -> Expression {
        let CallExpr { func_name, target, args } = expr;
        match target {
            None => self.global(func_name, args),
            Some(target) => {
                let name = qualified(&target).map(|namespace| format!("{namespace}.{func_name}"));
                match name.filter(|name| function::FUNCTIONS.iter().any(|(known, _)| known == name)) {
                    Some(name) => self.global(name, args),
                    None => self.member(&func_name, *target, args),
                }
            }
        }
    }

    fn arguments(&mut self, args: Vec<Expression>) -> Vec<Expression> {
        args.into_iter().map(|arg| self.expression(arg)).collect()
    }

    fn global(&mut self, name: String, args: Vec<Expression>) -> Expression {
        match (name.as_str(), args.len()) {
            (operators::OPT_INDEX | operators::OPT_SELECT, _) => return self.optional(),
            (operators::LOGICAL_NOT, 1) => {
                // The engine builds the text of an error before it looks at the operand.
                let mut args = self.arguments(args);
                args.extend([boolean(false), boolean(true)]);
                return call(operators::CONDITIONAL, args);
            }
            (operators::ADD, 2) => {
                let args = self.arguments(args);
                return call(function::ADD, args);
            }
            _ if is_operator(&name) => {
                let args = self.arguments(args);
                return call(&name, args);
            }
            _ => {}
        }
        if !self.is_callable(&name, args.len(), function::FUNCTIONS) {
            return null();
        }
        match (name.as_str(), args.first().and_then(text_of)) {
            ("matches", _) => self.matches(args),
            ("math.greatest", _) => self.extreme("math.@max", args),
            ("math.least", _) => self.extreme("math.@min", args),
            ("cel.bind", _) => self.bind(args),
            ("ip", Some(text)) => self.parsed(&text, Ip::parse(&text), "an IP address"),
            ("timestamp", Some(text)) => self.parsed(&text, metered::timestamp_of(&text), "an RFC 3339 time"),
            ("timestamp", None) => {
                let args = self.arguments(args);
                call(function::TIMESTAMP, args)
            }
            ("cidr", Some(text)) => self.parsed(&text, Cidr::parse(&text), "a network in CIDR notation"),
            _ => {
                let args = self.arguments(args);
                call(&name, args)
            }
        }
    }

    fn member(&mut self, name: &str, target: Expression, mut args: Vec<Expression>) -> Expression {
        if !self.is_callable(name, args.len(), function::METHODS) {
            return null();
        }
        let metered = match name {
            "format" => {
                if !self.is_bounded_format(&target) {
                    return null();
                }
                None
            }
            "replace" => Some(function::REPLACE),
            "getMilliseconds" if args.is_empty() => Some(function::MILLISECONDS),
            "join" => Some(function::JOIN),
            "split" => Some(function::SPLIT),
            "matches" => {
                args.insert(0, target);
                return self.matches(args);
            }
            _ => None,
        };
        let target = self.expression(target);
        let mut args = self.arguments(args);
        if let Some(metered) = metered {
            args.insert(0, target);
            return call(metered, args);
        }
        node(Expr::Call(CallExpr { func_name: name.to_owned(), target: Some(Box::new(target)), args }))
    }

    /// Whether the function exists and takes so many arguments; a fault is noted where not.
    fn is_callable(&mut self, name: &str, arguments: usize, table: &[(&str, &[usize])]) -> bool {
        let short = name.rsplit('.').next().unwrap_or(name);
        let at = locate(self.text, short, name.contains('.') || std::ptr::eq(table, function::METHODS));
        let Some((_, arities)) = table.iter().find(|(known, _)| *known == name) else {
            let other =
                if std::ptr::eq(table, function::METHODS) { function::FUNCTIONS } else { function::METHODS };
            let hint = if other.iter().any(|(known, _)| *known == name) {
                match std::ptr::eq(other, function::METHODS) {
                    true => format!(", write `value.{name}(..)`"),
                    false => format!(", write `{name}(value)`"),
                }
            } else if let Some((_, takes)) = function::MACROS.iter().find(|(known, _)| *known == name) {
                format!(" with {arguments} arguments, the macro takes {takes}")
            } else {
                let near = nearest(table.iter().map(|(known, _)| *known), name);
                near.map(|name| format!(", did you mean `{name}`")).unwrap_or_default()
            };
            self.fault(
                at,
                DiagnosticCode::CelFunctionMissing,
                format!("there is no function `{name}`{hint}"),
            );
            return false;
        };
        if arities.contains(&arguments) {
            return true;
        }
        let takes = arities.iter().map(usize::to_string).collect::<Vec<_>>().join(" or ");
        let message = format!("`{name}` takes {takes} arguments, not {arguments}");
        self.fault(at, DiagnosticCode::CelFunctionMissing, message);
        false
    }

    /// The engine's extreme of one number, of two, or of a list of more.
    fn extreme(&mut self, function: &str, args: Vec<Expression>) -> Expression {
        if args.len() > 2 {
            let list = self.expression(node(Expr::List(ListExpr::new(args))));
            return call(function, vec![list]);
        }
        let args = self.arguments(args);
        call(function, args)
    }

    /// `cel.bind(name, value, body)`, as a loop of no passes whose result is the body.
    fn bind(&mut self, args: Vec<Expression>) -> Expression {
        let mut args = args.into_iter();
        let (Some(name), Some(value), Some(body)) = (args.next(), args.next(), args.next()) else {
            return null();
        };
        let Expr::Ident(name) = name.expr else {
            let at = locate(self.text, "bind", true);
            return self.fault(
                at,
                DiagnosticCode::CelSyntax,
                "the first argument of `cel.bind` must be a name",
            );
        };
        let accu_init = self.copied(value);
        let result = self.within(&name, |lowering| lowering.copied(body));
        node(Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: node(Expr::List(ListExpr::default())),
            iter_var: "#unused".to_owned(),
            iter_var2: None,
            loop_step: ident(name.clone()),
            accu_var: name,
            accu_init,
            loop_cond: boolean(false),
            result,
        })))
    }

    /// Whether a format is a literal whose precisions are small: the length of the text it
    /// makes is then bounded by that of its arguments.
    fn is_bounded_format(&mut self, format: &Expression) -> bool {
        let bounded = text_of(format).is_some_and(|format| {
            format.split("%.").skip(1).all(|rest| rest.chars().take_while(char::is_ascii_digit).count() <= 2)
        });
        if !bounded {
            let at = locate(self.text, "format", true);
            self.unsupported(at, "`format` needs a literal whose precisions are below 100");
        }
        bounded
    }

    /// A pattern is compiled once, here: one that came from a request could be made to be costly.
    fn matches(&mut self, args: Vec<Expression>) -> Expression {
        let mut args = args.into_iter();
        let (Some(text), Some(pattern)) = (args.next(), args.next()) else { return null() };
        let Some(pattern) = text_of(&pattern) else {
            let at = locate(self.text, "matches", self.text.contains(".matches"));
            return self.unsupported(at, "the pattern of `matches` must be a literal");
        };
        match pattern::compile(&pattern) {
            Ok(compiled) => {
                let text = self.expression(text);
                let pattern = self.constant(Box::new(Pattern(Arc::new(compiled))));
                call(function::MATCHES, vec![text, pattern])
            }
            Err(message) => {
                let at = self.text.find("matches").unwrap_or(0);
                self.unsupported(at, message)
            }
        }
    }

    fn parsed<T: Val + 'static>(&mut self, text: &str, parsed: Option<T>, what: &str) -> Expression {
        match parsed {
            Some(value) => self.constant(Box::new(value)),
            None => {
                let at = self.text.find(text).unwrap_or(0);
                self.fault(at, DiagnosticCode::CelSyntax, format!("`{text}` is not {what}"))
            }
        }
    }
}

fn null() -> Expression {
    ident("null".to_owned())
}

fn text_of(expr: &Expression) -> Option<String> {
    match &expr.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner().to_owned()),
        _ => None,
    }
}

fn is_operator(name: &str) -> bool {
    matches!(
        name,
        operators::CONDITIONAL
            | operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::SUBSTRACT
            | operators::MULTIPLY
            | operators::DIVIDE
            | operators::MODULO
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::GREATER_EQUALS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::LESS
            | operators::NEGATE
            | operators::INDEX
            | operators::IN
    )
}
