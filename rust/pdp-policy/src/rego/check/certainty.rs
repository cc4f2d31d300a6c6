//! Whether an expression is defined for every input, and of which type its value is.

use regorus::unstable::{AssignOp, Expr, NodeRef};

use super::Checker;
use super::world::RuleKind;

/// What is known of a value's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Unknown,
    /// From JSON: anything but a set.
    Json,
    Bool,
    Null,
    Number,
    Text,
    List,
    Set,
    Object,
}

/// Builtins that are defined for every argument of the named types, with the type they answer.
const TOTAL: &[(&str, &[Want], Type)] = &[
    ("abs", &[Want::Number], Type::Number),
    ("array.concat", &[Want::List, Want::List], Type::List),
    ("ceil", &[Want::Number], Type::Number),
    ("contains", &[Want::Text, Want::Text], Type::Bool),
    ("count", &[Want::Countable], Type::Number),
    ("endswith", &[Want::Text, Want::Text], Type::Bool),
    ("floor", &[Want::Number], Type::Number),
    ("is_array", &[Want::Any], Type::Bool),
    ("is_boolean", &[Want::Any], Type::Bool),
    ("is_null", &[Want::Any], Type::Bool),
    ("is_number", &[Want::Any], Type::Bool),
    ("is_object", &[Want::Any], Type::Bool),
    ("is_set", &[Want::Any], Type::Bool),
    ("is_string", &[Want::Any], Type::Bool),
    ("json.marshal", &[Want::Any], Type::Text),
    ("lower", &[Want::Text], Type::Text),
    ("object.get", &[Want::Object, Want::Any, Want::Any], Type::Unknown),
    ("object.keys", &[Want::Object], Type::Set),
    ("round", &[Want::Number], Type::Number),
    ("split", &[Want::Text, Want::Text], Type::List),
    ("startswith", &[Want::Text, Want::Text], Type::Bool),
    ("time.now_ns", &[], Type::Number),
    ("trim_space", &[Want::Text], Type::Text),
    ("type_name", &[Want::Any], Type::Text),
    ("upper", &[Want::Text], Type::Text),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Any,
    Number,
    Text,
    List,
    Object,
    Countable,
}

impl Want {
    fn accepts(self, found: Type) -> bool {
        match self {
            Self::Any => true,
            Self::Number => found == Type::Number,
            Self::Text => found == Type::Text,
            Self::List => found == Type::List,
            Self::Object => found == Type::Object,
            Self::Countable => matches!(found, Type::Text | Type::List | Type::Set | Type::Object),
        }
    }
}

impl Checker<'_, '_> {
    /// Whether `expr` has a value for every input, given that the positive statements around it hold.
    pub(super) fn is_certain(&self, expr: &Expr) -> bool {
        let all = |parts: &[&NodeRef<Expr>]| parts.iter().all(|part| self.is_certain(part));
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. } => true,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.is_certain_reference(expr),
            Expr::Array { items, .. } | Expr::Set { items, .. } => {
                items.iter().all(|item| self.is_certain(item))
            }
            Expr::Object { fields, .. } => fields.iter().all(|(_, key, value)| all(&[key, value])),
            Expr::Call { params, .. } => {
                self.is_total_call(expr) && params.iter().all(|param| self.is_certain(param))
            }
            Expr::UnaryExpr { expr, .. } => self.type_of(expr) == Type::Number && self.is_certain(expr),
            Expr::BoolExpr { lhs, rhs, .. } => all(&[lhs, rhs]),
            Expr::BinExpr { lhs, rhs, .. } => {
                all(&[lhs, rhs]) && [lhs, rhs].iter().all(|side| self.type_of(side) == Type::Set)
            }
            // Division by zero and sums past the engine's numbers are undefined.
            Expr::ArithExpr { .. } | Expr::AssignExpr { .. } => false,
            Expr::Membership { key, value, collection, .. } => key.is_none() && all(&[value, collection]),
        }
    }

    fn is_certain_reference(&self, expr: &Expr) -> bool {
        let Some(reference) = super::paths::components(expr) else { return false };
        let Some((root, rest)) = reference.split_first() else { return false };
        match self.resolve(root, rest) {
            super::Root::Local => rest.is_empty() && self.is_bound(root),
            super::Root::Input(path) => self.world.has_input(&path),
            super::Root::Data(path) => self.world.has_data(&path),
        }
    }

    fn is_total_call(&self, expr: &Expr) -> bool {
        let Expr::Call { fcn, params, .. } = expr else { return false };
        let Some(name) = self.builtin_name(fcn) else { return false };
        TOTAL.iter().any(|(known, wants, _)| {
            *known == name
                && wants.len() == params.len()
                && wants.iter().zip(params).all(|(want, param)| want.accepts(self.type_of(param)))
        })
    }

    /// What is known of the type of `expr` where it is defined.
    pub(super) fn type_of(&self, expr: &Expr) -> Type {
        match expr {
            Expr::String { .. } | Expr::RawString { .. } => Type::Text,
            Expr::Number { .. } | Expr::UnaryExpr { .. } => Type::Number,
            Expr::Bool { .. } | Expr::BoolExpr { .. } | Expr::Membership { .. } => Type::Bool,
            Expr::Null { .. } => Type::Null,
            Expr::Array { .. } | Expr::ArrayCompr { .. } => Type::List,
            Expr::Set { .. } | Expr::SetCompr { .. } | Expr::BinExpr { .. } => Type::Set,
            Expr::Object { .. } | Expr::ObjectCompr { .. } => Type::Object,
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.type_of_reference(expr),
            Expr::Call { fcn, .. } => self.builtin_name(fcn).map_or(Type::Unknown, |name| {
                TOTAL
                    .iter()
                    .find(|(known, ..)| *known == name)
                    .map_or(Type::Unknown, |(_, _, answer)| *answer)
            }),
            Expr::ArithExpr { lhs, .. } if self.type_of(lhs) == Type::Number => Type::Number,
            Expr::ArithExpr { .. } => Type::Unknown,
            Expr::AssignExpr { op: AssignOp::ColEq | AssignOp::Eq, .. } => Type::Bool,
        }
    }

    fn type_of_reference(&self, expr: &Expr) -> Type {
        let prefix = super::world::static_prefix(expr);
        let Some((root, rest)) = prefix.split_first() else { return Type::Unknown };
        let is_whole = super::paths::components(expr).is_some();
        match self.resolve(root, rest) {
            super::Root::Local => Type::Unknown,
            super::Root::Input(path) if path.is_empty() && is_whole && self.world.input_is_object => {
                Type::Object
            }
            // The API takes JSON only, and `with` may bring in a set just in tests.
            super::Root::Input(_) => Type::Json,
            super::Root::Data(path) => match self.world.rule_at(&path) {
                Some((0, info)) if is_whole => match info.kind {
                    RuleKind::Set => Type::Set,
                    RuleKind::Object => Type::Object,
                    _ => Type::Unknown,
                },
                Some(_) => Type::Unknown,
                None if self.world.rules.keys().any(|known| known.starts_with(&path)) => Type::Unknown,
                None => Type::Json,
            },
        }
    }
}
