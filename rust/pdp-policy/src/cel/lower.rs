//! From a parsed tree to the tree that is evaluated: names are checked, paths into the
//! document become slots, constants are computed once, loops and copies are metered.
//!
//! Slots are identifiers that no source can spell: `$s` a path, `$c` a constant, `$v` a
//! variable of the policy, `$t` a tick of the meter, `$n` the time of the request.

use std::sync::Arc;

use cel::common::ast::{
    CallExpr, EntryExpr, Expr, IdedEntryExpr, ListExpr, LiteralValue, MapExpr, SelectExpr, operators,
};
use cel::common::types::{CelBool, CelList};
use cel::common::value::Val;
use cel::parser::Expression;

use super::function;
use super::parse::{Fault, locate};
use super::types::{self, Kind};
use crate::diagnostic::DiagnosticCode;
use crate::schema::{Field, Schema, Shape, UnknownName, nearest};

/// Deepest tree, variables it uses included; bounds the stack of an evaluation.
const MAX_DEPTH: usize = 48;

/// An expression made ready.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) tree: Expression,
    /// Nodes; what one evaluation spends apart from loops.
    pub(super) steps: u64,
    /// Deepest nesting, with that of the variables used.
    pub(super) depth: usize,
    /// Type of its value, as far as it is known.
    pub(super) kind: Kind,
}

/// A path into the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) steps: Vec<Arc<str>>,
    /// Whether the question is if the last step is there.
    pub(super) test: bool,
    /// Whether an absent top-level name reads as an empty map.
    pub(super) empty_when_absent: bool,
    /// Whether a whole number there reads as a double.
    pub(super) is_double: bool,
}

/// What the expressions of one program share.
#[derive(Default, Debug)]
pub(super) struct Pool {
    pub(super) paths: Vec<Path>,
    pub(super) constants: Vec<Box<dyn Val>>,
    pub(super) uses_now: bool,
}

/// A variable an expression may use.
#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    /// Its place among the program's variables.
    pub(super) index: usize,
    /// Depth of its expression.
    pub(super) depth: usize,
    /// Type of its expression.
    pub(super) kind: Kind,
}

/// Checks and rewrites `tree`, parsed from `text`.
pub(super) fn lower(
    text: &str,
    tree: Expression,
    schema: Schema,
    variables: &[Variable],
    pool: &mut Pool,
) -> Result<Unit, Vec<Fault>> {
    lower_bound(text, tree, schema, variables, Vec::new(), pool)
}

/// As [`lower`], with names that the caller binds itself.
pub(super) fn lower_bound(
    text: &str,
    tree: Expression,
    schema: Schema,
    variables: &[Variable],
    bound: Vec<String>,
    pool: &mut Pool,
) -> Result<Unit, Vec<Fault>> {
    let kind_of = |name: &str| {
        let known = variables.iter().rev().find(|variable| variable.name == name);
        known.map_or(Kind::Unknown, |variable| variable.kind.clone())
    };
    let (kind, faults) = if bound.is_empty() {
        types::infer(text, &tree, schema, &kind_of)
    } else {
        (Kind::Unknown, Vec::new())
    };
    let mut lowering = Lowering {
        text,
        schema,
        variables,
        pool,
        bound: bound.into_iter().map(|name| Bound { name, fields: None }).collect(),
        faults,
        steps: 0,
        level: 0,
        depth: 0,
        loops: 0,
        loop_level: 0,
    };
    let tree = lowering.expression(tree);
    if lowering.faults.is_empty() {
        Ok(Unit { tree, steps: lowering.steps, depth: lowering.depth, kind })
    } else {
        Err(lowering.faults)
    }
}

/// A name that the expression itself binds.
pub(super) struct Bound {
    pub(super) name: String,
    /// The fields of what it holds, where that is a documented message.
    pub(super) fields: Option<&'static [Field]>,
}

pub(super) struct Lowering<'a> {
    pub(super) text: &'a str,
    pub(super) schema: Schema,
    variables: &'a [Variable],
    pub(super) pool: &'a mut Pool,
    /// Names that loops bind, innermost last.
    pub(super) bound: Vec<Bound>,
    faults: Vec<Fault>,
    pub(super) steps: u64,
    level: usize,
    depth: usize,
    pub(super) loops: usize,
    pub(super) loop_level: usize,
}

impl Lowering<'_> {
    pub(super) fn fault(
        &mut self,
        at: usize,
        code: DiagnosticCode,
        message: impl Into<String>,
    ) -> Expression {
        // One expression past a bound would otherwise repeat the fault for every node.
        if self.faults.len() < 8 {
            let fault = Fault::new(at, code, message);
            if !self.faults.iter().any(|seen| seen.at == fault.at && seen.message == fault.message) {
                self.faults.push(fault);
            }
        }
        node(Expr::Literal(LiteralValue::Null))
    }

    pub(super) fn expression(&mut self, expr: Expression) -> Expression {
        self.level += 1;
        self.steps += 1;
        self.depth = self.depth.max(self.level);
        let lowered = if self.level > MAX_DEPTH {
            self.fault(0, DiagnosticCode::TooLarge, format!("the expression is more than {MAX_DEPTH} deep"))
        } else {
            self.dispatch(expr)
        };
        self.level -= 1;
        lowered
    }

    fn dispatch(&mut self, expr: Expression) -> Expression {
        if let Some(path) = self.document_path(&expr) {
            return self.path(path, false);
        }
        match expr.expr {
            Expr::Literal(_) => expr,
            Expr::Ident(name) => self.name(&name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) if list.optional_indices.is_empty() => self.list(list.elements),
            Expr::Map(map) => self.map(map.entries),
            Expr::Comprehension(comprehension) => self.comprehension(*comprehension),
            Expr::Struct(message) => {
                let at = locate(self.text, &message.type_name, false);
                self.unsupported(at, "messages cannot be built, write a map")
            }
            Expr::List(_) => self.optional(),
            Expr::Unspecified => self.fault(0, DiagnosticCode::CelSyntax, "not an expression"),
        }
    }

    pub(super) fn unsupported(&mut self, at: usize, message: impl Into<String>) -> Expression {
        self.fault(at, DiagnosticCode::CelConstructUnsupported, message)
    }

    pub(super) fn optional(&mut self) -> Expression {
        let at = self.text.find('?').unwrap_or(0);
        self.unsupported(at, "optional values are not supported, test with `has(..)`")
    }

    /// Lowers with `name` bound by the expression itself.
    pub(super) fn within(&mut self, name: &str, action: impl FnOnce(&mut Self) -> Expression) -> Expression {
        self.bound.push(Bound { name: name.to_owned(), fields: None });
        let lowered = action(self);
        self.bound.pop();
        lowered
    }

    fn is_bound(&self, name: &str) -> bool {
        self.bound.iter().any(|bound| bound.name == name)
    }

    /// The steps of a path that starts at a declared name of the document.
    pub(super) fn document_path(&self, expr: &Expression) -> Option<Vec<Arc<str>>> {
        let mut steps: Vec<Arc<str>> = Vec::new();
        let mut at = expr;
        loop {
            match &at.expr {
                Expr::Select(select) if !select.test => {
                    steps.push(select.field.as_str().into());
                    at = &select.operand;
                }
                Expr::Call(CallExpr { func_name, target: None, args }) if func_name == operators::INDEX => {
                    let [operand, index] = args.as_slice() else { return None };
                    let Expr::Literal(LiteralValue::String(key)) = &index.expr else { return None };
                    steps.push(key.inner().into());
                    at = operand;
                }
                Expr::Ident(name) => {
                    let field = self.schema.cel_field(name);
                    let declared = self.schema.shape(&[field]).ok()?;
                    if self.is_bound(name) || matches!(declared, Shape::Now) {
                        return None;
                    }
                    steps.push(field.into());
                    steps.reverse();
                    return Some(steps);
                }
                _ => return None,
            }
        }
    }

    fn path(&mut self, steps: Vec<Arc<str>>, test: bool) -> Expression {
        let shape = match self.schema.shape(&steps) {
            Ok(shape) => shape,
            Err(unknown) => return self.unknown(&unknown),
        };
        let top = self.schema.shape(steps.get(..1).unwrap_or_default());
        let empty_when_absent = matches!(top, Ok(Shape::Message(_) | Shape::Map(_)));
        let is_double = matches!(shape, Shape::Float);
        let path = Path { steps, test, empty_when_absent, is_double };
        let at = self.pool.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
            self.pool.paths.push(path);
            self.pool.paths.len() - 1
        });
        ident(format!("$s{at}"))
    }

    fn unknown(&mut self, unknown: &UnknownName) -> Expression {
        let at = locate(self.text, &unknown.name, !unknown.parent.is_empty());
        let hint = unknown.suggestion.map(|name| format!(", did you mean `{name}`")).unwrap_or_default();
        let message = if unknown.parent.is_empty() {
            format!("`{}` is not declared{hint}", unknown.name)
        } else {
            format!("`{}` has no field `{}`{hint}", unknown.parent, unknown.name)
        };
        self.fault(at, DiagnosticCode::CelUndeclared, message)
    }

    fn name(&mut self, name: &str) -> Expression {
        if self.is_bound(name) || function::TYPES.contains(&name) {
            return ident(name.to_owned());
        }
        if name == "variables" {
            let at = locate(self.text, name, false);
            return self.unsupported(at, "`variables` is no value, write `variables.name`");
        }
        match self.schema.shape(&[name]) {
            Ok(_) => {
                self.pool.uses_now = true;
                ident("$n".to_owned())
            }
            Err(unknown) => self.unknown(&unknown),
        }
    }

    fn select(&mut self, select: SelectExpr) -> Expression {
        if self.is_variables(&select.operand) {
            return self.variable(&select);
        }
        self.check_item_field(&select);
        if select.test {
            if let Some(mut steps) = self.document_path(&select.operand) {
                steps.push(select.field.as_str().into());
                return self.path(steps, true);
            }
        } else if let Some(name) = qualified(&select.operand) {
            let name = format!("{name}.{}", select.field);
            if function::TYPES.contains(&name.as_str()) {
                return node(Expr::Select(select));
            }
        }
        let operand = Box::new(self.expression(*select.operand));
        node(Expr::Select(SelectExpr { operand, field: select.field, test: select.test }))
    }

    fn is_variables(&self, expr: &Expression) -> bool {
        matches!(&expr.expr, Expr::Ident(name) if name == "variables") && !self.is_bound("variables")
    }

    fn variable(&mut self, select: &SelectExpr) -> Expression {
        let at = locate(self.text, &select.field, true);
        if select.test {
            return self.unsupported(at, "a variable is always there, `has` cannot ask for it");
        }
        // The innermost rule's variable of that name stands last.
        match self.variables.iter().rev().find(|variable| variable.name == select.field) {
            Some(variable) => {
                self.depth = self.depth.max(self.level + variable.depth);
                if self.depth > MAX_DEPTH {
                    let message = format!("with the variables it uses, this is more than {MAX_DEPTH} deep");
                    return self.fault(at, DiagnosticCode::TooLarge, message);
                }
                ident(format!("$v{}", variable.index))
            }
            None => {
                let names = self.variables.iter().map(|variable| variable.name.as_str());
                let hint = nearest(names, &select.field);
                let hint = hint.map(|name| format!(", did you mean `{name}`")).unwrap_or_default();
                let message = format!("no variable `{}` is defined above this place{hint}", select.field);
                self.fault(at, DiagnosticCode::CelUndeclared, message)
            }
        }
    }

    fn list(&mut self, elements: Vec<Expression>) -> Expression {
        let elements: Vec<Expression> = elements.into_iter().map(|element| self.copied(element)).collect();
        let fixed = elements.iter().map(|element| self.fixed(element)).collect::<Option<Vec<_>>>();
        match fixed {
            Some(values) => self.constant(Box::new(CelList::from(values))),
            None => node(Expr::List(ListExpr::new(elements))),
        }
    }

    /// The value of an expression that is the same in every evaluation.
    fn fixed(&self, expr: &Expression) -> Option<Box<dyn Val>> {
        match &expr.expr {
            Expr::Literal(value) => Some(value.to_val().into_owned()),
            Expr::Ident(name) => {
                let at: usize = name.strip_prefix("$c")?.parse().ok()?;
                Some(self.pool.constants.get(at)?.clone())
            }
            _ => None,
        }
    }

    fn map(&mut self, mut entries: Vec<IdedEntryExpr>) -> Expression {
        for entry in &mut entries {
            match &mut entry.expr {
                EntryExpr::MapEntry(entry) if !entry.optional => {
                    entry.key = self.expression(std::mem::take(&mut entry.key));
                    entry.value = self.copied(std::mem::take(&mut entry.value));
                }
                _ => return self.optional(),
            }
        }
        node(Expr::Map(MapExpr { entries }))
    }

    /// An expression whose value is copied into another one, with the copy paid for.
    pub(super) fn copied(&mut self, expr: Expression) -> Expression {
        let expr = self.expression(expr);
        if is_small(&expr) { expr } else { call(function::WEIGH, vec![expr]) }
    }

    pub(super) fn constant(&mut self, value: Box<dyn Val>) -> Expression {
        self.pool.constants.push(value);
        ident(format!("$c{}", self.pool.constants.len() - 1))
    }

    /// Notes a fault where `select` reads a field that the items of a documented list lack.
    fn check_item_field(&mut self, select: &SelectExpr) {
        let Expr::Ident(name) = &select.operand.expr else { return };
        let bound = self.bound.iter().rev().find(|bound| bound.name == *name);
        let Some(fields) = bound.and_then(|bound| bound.fields) else { return };
        if fields.iter().all(|field| field.name != select.field) {
            let suggestion = nearest(fields.iter().map(|field| field.name), &select.field);
            let (name, parent) = (select.field.clone(), name.clone());
            self.unknown(&UnknownName { name, parent, suggestion });
        }
    }
}

/// Whether the value is surely no list, map or long text.
fn is_small(expr: &Expression) -> bool {
    match &expr.expr {
        Expr::Literal(_) => true,
        Expr::Ident(name) => name.starts_with("$c") || name == "$n",
        Expr::Select(select) => select.test,
        Expr::Call(call) => matches!(
            call.func_name.as_str(),
            operators::EQUALS
                | operators::NOT_EQUALS
                | operators::LESS
                | operators::LESS_EQUALS
                | operators::GREATER
                | operators::GREATER_EQUALS
                | operators::IN
                | operators::LOGICAL_AND
                | operators::LOGICAL_OR
                | operators::LOGICAL_NOT
                | "size"
                | "startsWith"
                | "endsWith"
                | "contains"
                | function::MATCHES
        ),
        _ => false,
    }
}

/// The dotted name that `expr` spells.
pub(super) fn qualified(expr: &Expression) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

pub(super) fn node(expr: Expr) -> Expression {
    Expression { id: 0, expr }
}

pub(super) fn ident(name: String) -> Expression {
    node(Expr::Ident(name))
}

pub(super) fn boolean(value: bool) -> Expression {
    node(Expr::Literal(LiteralValue::Boolean(CelBool::from(value))))
}

pub(super) fn call(name: &str, args: Vec<Expression>) -> Expression {
    node(Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }))
}
