//! A compiled program and its evaluation.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use cel::common::types::{CelBool, CelDouble, CelMap, CelTimestamp};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{Context, Env, ExecutionError};

use super::convert::{detach, from_engine, to_engine};
use super::function;
use super::lower::{Path, Pool, Unit};
use super::{meter, metered};
use crate::diagnostic::Span;
use crate::program::{Budget, EvalError, Evaluator, Input, Program};
use crate::value::{Key, Map, Value};

/// An expression and its place in its file.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) unit: Unit,
    pub(super) span: Span,
    /// What it is to the policy: `condition`, `output`, `variable x`.
    pub(super) role: String,
}

/// A rule: the first match whose condition holds gives the answer.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
}

impl Rule {
    /// Whether some match answers whatever the input.
    pub(super) fn always_answers(&self) -> bool {
        self.matches.iter().any(|choice| {
            choice.condition.is_none()
                && match &choice.outcome {
                    Outcome::Output { .. } => true,
                    Outcome::Rule(nested) => nested.always_answers(),
                }
        })
    }
}

/// One way a rule may go. Expressions are places in [`Plan::units`].
#[derive(Debug)]
pub(super) struct Match {
    /// `None` always holds.
    pub(super) condition: Option<usize>,
    pub(super) outcome: Outcome,
}

/// What a match comes to.
#[derive(Debug)]
pub(super) enum Outcome {
    Output { output: usize, explanation: Option<usize> },
    Rule(Rule),
}

/// What an evaluation begins with.
#[derive(Debug)]
pub(super) enum Entry {
    Rule(Rule),
    Expression(usize),
}

/// A compiled program.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) file: String,
    pub(super) units: Vec<Placed>,
    /// Places in `units` of the variables' expressions.
    pub(super) variables: Vec<usize>,
    pub(super) pool: Pool,
    pub(super) entry: Entry,
}

/// A program of this engine.
pub(super) struct CelProgram {
    pub(super) plan: Arc<Plan>,
    pub(super) environment: Arc<Env>,
}

struct CelEvaluator {
    plan: Arc<Plan>,
    environment: Arc<Env>,
}

impl Program for CelProgram {
    fn instantiate(&self) -> Box<dyn Evaluator> {
        let (plan, environment) = (Arc::clone(&self.plan), Arc::clone(&self.environment));
        Box::new(CelEvaluator { plan, environment })
    }

    fn is_pure(&self) -> bool {
        !self.plan.pool.uses_now
    }
}

impl Evaluator for CelEvaluator {
    fn evaluate(&mut self, input: &Input, budget: &Budget) -> Result<Option<Value>, EvalError> {
        meter::start(budget);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(input, budget)));
        meter::finish()?;
        outcome.unwrap_or_else(|_| {
            Err(EvalError::Policy { message: format!("{}: the engine failed on this input", self.plan.file) })
        })
    }
}

impl CelEvaluator {
    fn run(&self, input: &Input, budget: &Budget) -> Result<Option<Value>, EvalError> {
        let empty = Map::default();
        let document = match input.document() {
            Value::Map(map) => map,
            _ => &empty,
        };
        let frame = Frame::new(&self.plan, &self.environment, document, budget.now);
        let context = frame.context();
        match &self.plan.entry {
            Entry::Expression(unit) => {
                let value = frame.value(*unit, &context)?;
                let value = from_engine(value.as_ref()).map_err(|message| frame.error(*unit, &message))?;
                Ok(Some(value))
            }
            Entry::Rule(rule) => frame.rule(rule, &context),
        }
    }
}

/// Runs `action` with a frame over an empty document; `None` where there is no environment.
pub(super) fn with_frame<R>(
    plan: &Plan,
    time: SystemTime,
    action: impl FnOnce(&Frame<'_>, &mut Context<'_, '_>) -> R,
) -> Option<R> {
    let environment = function::ENVIRONMENT.as_ref().ok()?;
    let document = Map::default();
    let frame = Frame::new(plan, environment, &document, time);
    let mut context = frame.context();
    Some(action(&frame, &mut context))
}

type Slot<'a> = OnceLock<Option<Box<dyn Val + 'a>>>;

/// One evaluation: the slots fill as they are read.
pub(super) struct Frame<'a> {
    plan: &'a Plan,
    environment: &'a Arc<Env>,
    document: &'a Map,
    paths: Vec<Slot<'a>>,
    variables: Vec<OnceLock<Result<Box<dyn Val>, String>>>,
    now: OnceLock<CelTimestamp>,
    time: SystemTime,
    yes: CelBool,
    no: CelBool,
}

impl<'a> Frame<'a> {
    fn new(plan: &'a Plan, environment: &'a Arc<Env>, document: &'a Map, time: SystemTime) -> Self {
        let mut paths = Vec::new();
        paths.resize_with(plan.pool.paths.len(), OnceLock::new);
        let mut variables = Vec::new();
        variables.resize_with(plan.variables.len(), OnceLock::new);
        let (yes, no) = (CelBool::from(true), CelBool::from(false));
        Self { plan, environment, document, paths, variables, now: OnceLock::new(), time, yes, no }
    }

    fn context(&self) -> Context<'_, '_> {
        let mut context = Context::with_env(Arc::clone(self.environment));
        context.set_variable_resolver(self);
        context
    }

    fn rule(&self, rule: &Rule, context: &Context<'_, '_>) -> Result<Option<Value>, EvalError> {
        for choice in &rule.matches {
            let holds = match choice.condition {
                Some(condition) => self.holds(condition, context)?,
                None => true,
            };
            if !holds {
                continue;
            }
            return match &choice.outcome {
                // As the reference implementation composes them: a nested rule without a
                // condition is tried like matches of this rule, one with a condition decides.
                Outcome::Rule(nested) => match self.rule(nested, context)? {
                    None if choice.condition.is_none() => continue,
                    answer => Ok(answer),
                },
                Outcome::Output { output, explanation } => {
                    self.outcome(*output, *explanation, context).map(Some)
                }
            };
        }
        Ok(None)
    }

    fn holds(&self, unit: usize, context: &Context<'_, '_>) -> Result<bool, EvalError> {
        let value = self.value(unit, context)?;
        let truth = value.downcast_ref::<CelBool>().map(|truth| *truth.inner());
        truth.ok_or_else(|| {
            self.error(unit, &format!("must be a boolean, is of type `{}`", value.get_type().name()))
        })
    }

    fn outcome(
        &self,
        output: usize,
        explanation: Option<usize>,
        context: &Context<'_, '_>,
    ) -> Result<Value, EvalError> {
        let mut entries = Vec::with_capacity(2);
        for (key, unit) in [("output", Some(output)), ("explanation", explanation)] {
            let Some(unit) = unit else { continue };
            let value = self.value(unit, context)?;
            let value = from_engine(value.as_ref()).map_err(|message| self.error(unit, &message))?;
            if key == "explanation" && value.as_text().is_none() {
                return Err(self.error(unit, "must be text"));
            }
            entries.push((Key::Static(key), value));
        }
        Ok(Value::Map(Map::from_entries(entries)))
    }

    fn value<'e, 'v>(
        &'e self,
        unit: usize,
        context: &'e Context<'_, 'v>,
    ) -> Result<CowVal<'e, 'v>, EvalError> {
        let Some(placed) = self.plan.units.get(unit) else {
            return Err(EvalError::Policy { message: format!("{}: no such expression", self.plan.file) });
        };
        // Loops look at the clock in every pass; without any, every eighth expression will do.
        let within = if unit % 8 == 7 { meter::tick } else { meter::spend };
        if !within(placed.unit.steps) {
            return Err(self.error(unit, "passed its budget"));
        }
        cel::Value::resolve_val(&placed.unit.tree, context)
            .map_err(|error| self.error(unit, &self.describe(&error)))
    }

    fn error(&self, unit: usize, message: &str) -> EvalError {
        let place = self.plan.units.get(unit).map(|placed| format!(":{}: {}", placed.span.row, placed.role));
        EvalError::Policy { message: format!("{}{}: {message}", self.plan.file, place.unwrap_or_default()) }
    }

    /// What failed, without values of the request: reasons are shown and logged.
    pub(super) fn describe(&self, error: &ExecutionError) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) => self.describe_slot(name),
            ExecutionError::NoSuchKey(_) => "no such key".to_owned(),
            ExecutionError::NoSuchOverload(_) | ExecutionError::InternalError(_) => error.to_string(),
            ExecutionError::UnexpectedType { got, want } => format!("is a {got} where a {want} is needed"),
            ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
            ExecutionError::RemainderByZero(_) => "remainder by zero".to_owned(),
            ExecutionError::Overflow(..) => "a number is out of range".to_owned(),
            ExecutionError::IndexOutOfBounds(_) => "an index is out of bounds".to_owned(),
            ExecutionError::DuplicateKey(_) => "a map has a key twice".to_owned(),
            ExecutionError::FunctionError { function, .. } => format!("`{function}` failed"),
            ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
                format!("`{operator}` does not take {} and {}", left.type_of(), right.type_of())
            }
            _ => "an operation does not take a value of this type".to_owned(),
        }
    }

    fn describe_slot(&self, name: &str) -> String {
        match slot(name) {
            Some(('s', at)) => match self.plan.pool.paths.get(at) {
                Some(path) => format!("no such attribute `{}`", path.steps.join(".")),
                None => "no such attribute".to_owned(),
            },
            Some(('v', at)) => match self.variables.get(at).and_then(OnceLock::get) {
                Some(Err(message)) => message.clone(),
                _ => "a variable failed".to_owned(),
            },
            _ => "passed its budget".to_owned(),
        }
    }

    fn path(&self, at: usize) -> Option<&(dyn Val + 'a)> {
        let path = self.plan.pool.paths.get(at)?;
        self.paths.get(at)?.get_or_init(|| self.walk(path)).as_deref()
    }

    fn walk(&self, path: &Path) -> Option<Box<dyn Val + 'a>> {
        let empty = || -> Option<Box<dyn Val + 'a>> { Some(Box::new(CelMap::default())) };
        let (first, steps) = path.steps.split_first()?;
        let Some(mut value) = self.document.get(first) else {
            return match (steps.len(), path.test, path.empty_when_absent) {
                (0, false, true) => empty(),
                (1, true, true) => Some(Box::new(CelBool::from(false))),
                _ => None,
            };
        };
        for (at, step) in steps.iter().enumerate() {
            let map = value.as_map()?;
            match map.get(step) {
                Some(found) => value = found,
                None if path.test && at + 1 == steps.len() => return Some(Box::new(CelBool::from(false))),
                None => return None,
            }
        }
        match value {
            _ if path.test => Some(Box::new(CelBool::from(true))),
            #[allow(clippy::cast_precision_loss)]
            Value::Int(number) if path.is_double => Some(Box::new(CelDouble::from(*number as f64))),
            value => to_engine(value),
        }
    }

    fn variable(&self, at: usize) -> Option<&dyn Val> {
        let evaluated = self.variables.get(at)?.get_or_init(|| {
            let context = self.context();
            let unit = self.plan.variables.get(at).copied().unwrap_or(usize::MAX);
            let value = self.value(unit, &context).map_err(|error| error.to_string())?;
            let paid = metered::pay_for(value.as_ref());
            paid.then(|| detach(value.as_ref()))
                .flatten()
                .ok_or_else(|| self.error(unit, "cannot be kept in a variable").to_string())
        });
        evaluated.as_deref().ok()
    }
}

/// The kind and the number in a slot's name.
fn slot(name: &str) -> Option<(char, usize)> {
    let mut rest = name.strip_prefix('$')?.chars();
    let kind = rest.next()?;
    // `$v1.name` is asked for first where a field of a slot is read, and is no slot.
    let at = if rest.as_str().is_empty() { 0 } else { rest.as_str().parse().ok()? };
    Some((kind, at))
}

impl VariableResolver for Frame<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let (kind, at) = slot(name)?;
        let value: &dyn Val = match kind {
            's' => self.path(at)?,
            'c' => self.plan.pool.constants.get(at)?.as_ref(),
            'v' => self.variable(at)?,
            't' => {
                if meter::tick(u64::try_from(at).ok()?) {
                    &self.yes
                } else {
                    return None;
                }
            }
            'n' => self.now.get_or_init(|| {
                CelTimestamp::from(chrono::DateTime::<chrono::Utc>::from(self.time).fixed_offset())
            }),
            _ => &self.no,
        };
        Some(CowVal::Borrowed(value))
    }
}
