//! Lowering of loops: bounded in number and nesting, with a tick of the meter in every pass.

use cel::common::ast::{ComprehensionExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;

use super::function;
use super::lower::{Bound, Lowering, boolean, call, ident, node};
use crate::diagnostic::DiagnosticCode;
use crate::schema::{Field, Shape};

/// Loops inside of loops.
const MAX_LOOP_NESTING: usize = 3;
/// Loops in one expression.
const MAX_LOOPS: usize = 32;

impl Lowering<'_> {
    pub(super) fn comprehension(&mut self, mut loops: ComprehensionExpr) -> Expression {
        self.loops += 1;
        if self.loops > MAX_LOOPS || self.loop_level >= MAX_LOOP_NESTING {
            let message =
                format!("at most {MAX_LOOPS} macros, nested at most {MAX_LOOP_NESTING} deep, are allowed");
            return self.fault(0, DiagnosticCode::TooLarge, message);
        }
        let fields = self.item_fields(&loops.iter_range);
        let range = self.expression(loops.iter_range);
        let is_list = matches!(&range.expr, Expr::Ident(name) if name.starts_with("$c"));
        loops.iter_range = if is_list { range } else { call(function::ITEMS, vec![range]) };
        self.loop_level += 1;
        self.bound.push(Bound { name: loops.iter_var.clone(), fields });
        let before = self.steps;
        let Expr::Call(step) = std::mem::take(&mut loops.loop_step).expr else {
            return self.unsupported(0, "this macro is not supported");
        };
        let mut step_args = step.args.into_iter();
        match (step.func_name.as_str(), step_args.next(), step_args.next(), step_args.next()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, Some(result), Some(body), None) => {
                let body = self.expression(body);
                loops.loop_step = call(&step.func_name, vec![result, body]);
                let tick = self.tick(before);
                loops.loop_cond = call(operators::CONDITIONAL, vec![tick, loops.loop_cond, boolean(false)]);
            }
            (operators::CONDITIONAL, Some(guard), Some(append), Some(result)) => {
                let guard = self.expression(guard);
                let append = self.append(append);
                let tick = self.tick(before);
                let guard = call(operators::CONDITIONAL, vec![tick, guard, boolean(false)]);
                loops.loop_step = call(operators::CONDITIONAL, vec![guard, append, result]);
            }
            (operators::ADD, Some(result), Some(items), None) => {
                let append = self.append(call(operators::ADD, vec![result, items]));
                let tick = self.tick(before);
                loops.loop_step = ticking(append, &tick);
            }
            _ => return self.unsupported(0, "this macro is not supported"),
        }
        self.bound.pop();
        self.loop_level -= 1;
        node(Expr::Comprehension(Box::new(loops)))
    }

    /// The fields of the items of a list of documented messages.
    fn item_fields(&self, range: &Expression) -> Option<&'static [Field]> {
        match self.schema.shape(&self.document_path(range)?) {
            Ok(Shape::List(Shape::Message(fields))) => Some(fields),
            _ => None,
        }
    }

    /// `@result + [item]` with the item lowered; `@result + 1` as it stands.
    fn append(&mut self, append: Expression) -> Expression {
        let Expr::Call(mut append) = append.expr else {
            return self.unsupported(0, "this macro is not supported");
        };
        if let Some(Expr::List(list)) = append.args.get_mut(1).map(|items| &mut items.expr) {
            let elements = std::mem::take(&mut list.elements);
            list.elements = elements.into_iter().map(|item| self.copied(item)).collect();
        }
        node(Expr::Call(append))
    }

    fn tick(&self, before: u64) -> Expression {
        ident(format!("$t{}", self.steps - before + 2))
    }
}

/// Puts the tick around the appended item: the step must stay an append, which the
/// engine runs in place, instead of copying the result so far on every pass.
fn ticking(append: Expression, tick: &Expression) -> Expression {
    let Expr::Call(mut append) = append.expr else { return append };
    if let Some(Expr::List(list)) = append.args.get_mut(1).map(|items| &mut items.expr) {
        let elements = std::mem::take(&mut list.elements);
        let null = || node(Expr::Literal(LiteralValue::Null));
        list.elements = elements
            .into_iter()
            .map(|item| call(operators::CONDITIONAL, vec![tick.clone(), item, null()]))
            .collect();
    }
    node(Expr::Call(append))
}
