//! What can be told of an expression's types before it is evaluated: operations that
//! would fail, or compare what can never be equal, on every request are refused.
//!
//! Only what is certain is refused. A value below an open map may be anything.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;

use super::lower::qualified;
use super::parse::{Fault, locate};
use crate::diagnostic::DiagnosticCode;
use crate::schema::{Schema, Shape};

/// Deepest tree that is looked at; deeper ones are refused elsewhere.
const MAX_DEPTH: usize = 64;

/// A type as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    Ip,
    Cidr,
    Type,
    List(Box<Kind>),
    Map,
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "dyn",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::Text => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::Ip => "net.IP",
            Self::Cidr => "net.CIDR",
            Self::Type => "type",
            Self::List(_) => "list",
            Self::Map => "map",
        }
    }

    /// The name with its article.
    pub(super) fn with_article(&self) -> String {
        format!("{} {}", if *self == Self::Int { "an" } else { "a" }, self.name())
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// Whether a value of this type can equal one of `other`.
    fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => true,
            (Self::List(_), Self::List(_)) => true,
            _ => self == other || self.is_number() && other.is_number(),
        }
    }

    /// Whether a value of this type may be one of `other`.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        self.is_unknown() || self == other
    }
}

/// The type of `tree`, which was parsed from `text`, and the faults found on the way.
pub(super) fn infer(
    text: &str,
    tree: &Expression,
    schema: Schema,
    variables: &dyn Fn(&str) -> Kind,
) -> (Kind, Vec<Fault>) {
    let mut inference =
        Inference { text, schema, variables, bound: Vec::new(), faults: Vec::new(), level: 0 };
    let kind = inference.kind(tree);
    (kind, inference.faults)
}

struct Inference<'a> {
    text: &'a str,
    schema: Schema,
    variables: &'a dyn Fn(&str) -> Kind,
    bound: Vec<(String, Kind)>,
    faults: Vec<Fault>,
    level: usize,
}

impl Inference<'_> {
    fn kind(&mut self, tree: &Expression) -> Kind {
        if self.level >= MAX_DEPTH {
            return Kind::Unknown;
        }
        self.level += 1;
        let kind = match &tree.expr {
            Expr::Literal(literal) => literal_kind(literal),
            Expr::List(list) => {
                let mut kinds = list.elements.iter().map(|element| self.kind(element)).collect::<Vec<_>>();
                kinds.dedup();
                Kind::List(Box::new(match kinds.as_slice() {
                    [one] => one.clone(),
                    _ => Kind::Unknown,
                }))
            }
            Expr::Map(_) => Kind::Map,
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) if select.test => Kind::Bool,
            Expr::Select(_) => self.path(tree),
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(loops) => self.comprehension(loops),
            Expr::Struct(_) | Expr::Unspecified => Kind::Unknown,
        };
        self.level -= 1;
        kind
    }

    fn name(&self, name: &str) -> Kind {
        if let Some((_, kind)) = self.bound.iter().rev().find(|(bound, _)| bound == name) {
            return kind.clone();
        }
        self.schema.shape(&[self.schema.cel_field(name)]).map_or(Kind::Unknown, shape_kind)
    }

    fn path(&self, tree: &Expression) -> Kind {
        let Some(path) = qualified(tree) else { return Kind::Unknown };
        let mut steps: Vec<&str> = path.split('.').collect();
        let first = steps.first().copied().unwrap_or_default();
        if self.bound.iter().any(|(bound, _)| bound == first) {
            return Kind::Unknown;
        }
        if let Some(root) = steps.first_mut() {
            *root = self.schema.cel_field(first);
        }
        match steps.as_slice() {
            ["variables", name] => (self.variables)(name),
            ["variables", ..] => Kind::Unknown,
            _ => self.schema.shape(&steps).map_or(Kind::Unknown, shape_kind),
        }
    }

    fn comprehension(&mut self, loops: &ComprehensionExpr) -> Kind {
        let item = match self.kind(&loops.iter_range) {
            Kind::List(item) => *item,
            // The document's maps have text for keys, those of an expression may have others.
            Kind::Map if matches!(loops.iter_range.expr, Expr::Select(_) | Expr::Ident(_)) => Kind::Text,
            Kind::Map | Kind::Unknown => Kind::Unknown,
            other => {
                self.fault(&loops.iter_range, format!("{} cannot be looped over", other.with_article()));
                Kind::Unknown
            }
        };
        let accumulator = match &loops.accu_init.expr {
            Expr::Literal(literal) => literal_kind(literal),
            Expr::List(_) => Kind::List(Box::new(Kind::Unknown)),
            _ => Kind::Unknown,
        };
        let depth = self.bound.len();
        self.bound.push((loops.iter_var.clone(), item));
        self.bound.push((loops.accu_var.clone(), accumulator.clone()));
        self.kind(&loops.loop_step);
        let result = self.kind(&loops.result);
        self.bound.truncate(depth);
        if matches!(loops.result.expr, Expr::Ident(_)) { accumulator } else { result }
    }

    fn fault(&mut self, operand: &Expression, message: String) {
        let at = first_name(operand).map_or(0, |(name, field)| locate(self.text, &name, field));
        self.faults.push(Fault::new(at, DiagnosticCode::CelConstructUnsupported, message));
    }

    fn needs(&mut self, operand: &Expression, wanted: &Kind, what: &str) {
        let kind = self.kind(operand);
        if !kind.may_be(wanted) {
            self.fault(operand, format!("{what} needs a {}, not {}", wanted.name(), kind.with_article()));
        }
    }

    fn call(&mut self, call: &CallExpr) -> Kind {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [left, right]) => {
                let operator = if call.func_name == operators::LOGICAL_AND { "`&&`" } else { "`||`" };
                self.needs(left, &Kind::Bool, operator);
                self.needs(right, &Kind::Bool, operator);
                Kind::Bool
            }
            (operators::LOGICAL_NOT, None, [operand]) => {
                self.needs(operand, &Kind::Bool, "`!`");
                Kind::Bool
            }
            (operators::CONDITIONAL, None, [condition, yes, no]) => {
                self.needs(condition, &Kind::Bool, "the condition before `?`");
                let (yes, no) = (self.kind(yes), self.kind(no));
                if yes == no { yes } else { Kind::Unknown }
            }
            (operators::EQUALS | operators::NOT_EQUALS, None, [left, right]) => {
                let (left_kind, right_kind) = (self.kind(left), self.kind(right));
                if !left_kind.may_equal(&right_kind) {
                    let hint = if right_kind == Kind::Null { ", test with `has(..)`" } else { "" };
                    let message = format!(
                        "{} never equals {}{hint}",
                        left_kind.with_article(),
                        right_kind.with_article()
                    );
                    self.fault(left, message);
                }
                Kind::Bool
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                None,
                [left, right],
            ) => {
                let (left_kind, right_kind) = (self.kind(left), self.kind(right));
                if !left_kind.may_equal(&right_kind)
                    || matches!(left_kind, Kind::List(_) | Kind::Map | Kind::Null)
                {
                    let message = format!(
                        "{} and {} have no order",
                        left_kind.with_article(),
                        right_kind.with_article()
                    );
                    self.fault(left, message);
                }
                Kind::Bool
            }
            (operators::IN, None, [item, list]) => self.membership(item, list),
            (
                operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO,
                None,
                [left, right],
            ) => self.arithmetic(&call.func_name, left, right),
            (operators::NEGATE, None, [operand]) => self.kind(operand),
            (operators::INDEX, None, [operand, index]) => {
                self.kind(index);
                match self.kind(operand) {
                    Kind::List(item) => *item,
                    _ => Kind::Unknown,
                }
            }
            (name, target, args) => self.function(name, target, args),
        }
    }

    fn membership(&mut self, item: &Expression, list: &Expression) -> Kind {
        let (item_kind, list_kind) = (self.kind(item), self.kind(list));
        match list_kind {
            Kind::List(inner) if !item_kind.may_equal(&inner) => {
                let message = format!("{} is never in a list of {}", item_kind.with_article(), inner.name());
                self.fault(item, message);
            }
            Kind::List(_) | Kind::Map | Kind::Unknown => {}
            other => self.fault(list, format!("`in` needs a list or a map, not {}", other.with_article())),
        }
        Kind::Bool
    }

    fn arithmetic(&mut self, operator: &str, left: &Expression, right: &Expression) -> Kind {
        let (left_kind, right_kind) = (self.kind(left), self.kind(right));
        let result = match (operator, &left_kind, &right_kind) {
            (_, Kind::Unknown, _) | (_, _, Kind::Unknown) => Some(Kind::Unknown),
            (operators::ADD, Kind::List(a), Kind::List(b)) => {
                Some(if a == b { left_kind.clone() } else { Kind::List(Box::new(Kind::Unknown)) })
            }
            (operators::ADD, Kind::Text | Kind::Bytes, b) if left_kind == *b => Some(left_kind.clone()),
            (operators::ADD | operators::SUBSTRACT, Kind::Timestamp, Kind::Duration)
            | (operators::ADD, Kind::Duration, Kind::Timestamp) => Some(Kind::Timestamp),
            (operators::SUBSTRACT, Kind::Timestamp, Kind::Timestamp)
            | (operators::ADD | operators::SUBSTRACT, Kind::Duration, Kind::Duration) => Some(Kind::Duration),
            (operators::MODULO, Kind::Double, _) => None,
            (_, a, b) if a == b && a.is_number() => Some(left_kind.clone()),
            _ => None,
        };
        result.unwrap_or_else(|| {
            let sign: String = operator.chars().filter(|c| *c != '_').collect();
            let message = format!(
                "`{sign}` does not take {} and {}",
                left_kind.with_article(),
                right_kind.with_article()
            );
            self.fault(left, message);
            Kind::Unknown
        })
    }

    fn function(&mut self, name: &str, target: Option<&Expression>, args: &[Expression]) -> Kind {
        let target_kind = target.map(|target| self.kind(target));
        if name != "bind" {
            for arg in args {
                self.kind(arg);
            }
        }
        let text_only =
            ["startsWith", "endsWith", "contains", "matches", "lowerAscii", "upperAscii", "split"];
        match (target, &target_kind) {
            (Some(target), Some(kind)) if text_only.contains(&name) && !kind.may_be(&Kind::Text) => {
                self.fault(target, format!("`{name}` needs a string, not {}", kind.with_article()));
            }
            _ => {}
        }
        match (name, target_kind) {
            ("size" | "indexOf" | "lastIndexOf" | "prefixLength" | "family", _) | ("int", None) => Kind::Int,
            ("startsWith" | "endsWith" | "contains" | "matches" | "containsIP" | "containsCIDR", _)
            | ("isIP" | "isCIDR" | "bool", None) => Kind::Bool,
            (
                "lowerAscii" | "upperAscii" | "trim" | "replace" | "join" | "substring" | "charAt" | "format",
                Some(_),
            )
            | ("string" | "network", None) => Kind::Text,
            ("split", Some(_)) => Kind::List(Box::new(Kind::Text)),
            ("double", None) => Kind::Double,
            ("uint", None) => Kind::Uint,
            ("bytes", None) => Kind::Bytes,
            ("timestamp", None) => Kind::Timestamp,
            ("duration", None) => Kind::Duration,
            ("ip", _) => Kind::Ip,
            ("cidr", None) | ("masked", Some(_)) => Kind::Cidr,
            ("type", None) => Kind::Type,
            (getter, Some(Kind::Timestamp | Kind::Duration)) if getter.starts_with("get") => Kind::Int,
            _ => Kind::Unknown,
        }
    }
}

fn literal_kind(literal: &LiteralValue) -> Kind {
    match literal {
        LiteralValue::Boolean(_) => Kind::Bool,
        LiteralValue::Bytes(_) => Kind::Bytes,
        LiteralValue::Double(_) => Kind::Double,
        LiteralValue::Int(_) => Kind::Int,
        LiteralValue::Null => Kind::Null,
        LiteralValue::String(_) => Kind::Text,
        LiteralValue::UInt(_) => Kind::Uint,
    }
}

fn shape_kind(shape: Shape) -> Kind {
    match shape {
        Shape::Bool => Kind::Bool,
        Shape::Int => Kind::Int,
        Shape::Float => Kind::Double,
        Shape::Text => Kind::Text,
        Shape::Bytes => Kind::Bytes,
        Shape::Now => Kind::Timestamp,
        Shape::List(inner) => Kind::List(Box::new(shape_kind(*inner))),
        Shape::Map(_) | Shape::Message(_) => Kind::Map,
        Shape::Any => Kind::Unknown,
    }
}

/// A name by which the expression can be found in its text, and whether it follows a dot.
fn first_name(tree: &Expression) -> Option<(String, bool)> {
    match &tree.expr {
        Expr::Ident(name) => Some((name.clone(), false)),
        Expr::Select(select) => first_name(&select.operand).or_else(|| Some((select.field.clone(), true))),
        Expr::Call(call) => {
            call.target.as_deref().and_then(first_name).or_else(|| call.args.iter().find_map(first_name))
        }
        _ => None,
    }
}
