//! A compiled package and the evaluator a worker makes of it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use regorus::Engine;
use regorus::utils::limits::ExecutionTimerConfig;

use super::convert::{self, ConvertError};
use super::load::{self, Loaded};
use super::{NANOSECONDS_PER_INSTRUCTION, RegoSource, TICKS_PER_CLOCK_READ};
use super::{extension, fault, guard};
use crate::diagnostic::{Diagnostic, DiagnosticCode};
use crate::program::{Budget, EvalError, Evaluator, Input, Program, Source};
use crate::value::{Key, Map, Value};

/// Package of the module that gathers the asked rules into one object, so that one evaluation answers all
/// of them and computes what they share once.
pub(super) const ENTRY_PACKAGE: &str = "pdp_entrypoint";

/// Programs that stay prepared from load on. A prepared program of two short modules takes about 90 KiB and
/// each worker's evaluator 30 KiB more, so that larger sets prepare the rest when they are first asked.
const PREPARED_AT_LOAD: usize = 1_000;

static LIVE_PROGRAMS: AtomicUsize = AtomicUsize::new(0);

struct RegoProgram {
    shared: Arc<Shared>,
    /// The rules it answers with.
    rules: Vec<String>,
    is_pure: bool,
}

/// What all evaluators of a program share.
struct Shared {
    modules: Vec<Source>,
    data: Value,
    entry: String,
    /// Prepared and never evaluated; workers clone it. Clones share modules, data and analysis.
    template: OnceLock<Engine>,
}

struct RegoEvaluator {
    /// Absent until first asked and after a panic.
    engine: Option<Engine>,
    shared: Arc<Shared>,
}

impl Shared {
    /// The engine of a program that has been compiled before.
    fn engine(&self) -> Result<Engine, EvalError> {
        if let Some(template) = self.template.get() {
            return Ok(template.clone());
        }
        let prepared = guard::compiling(|| {
            let mut loaded = load::load(&self.modules, &self.data)?;
            prepare(&mut loaded, &self.entry, "")?;
            Ok(loaded.engine)
        });
        let engine = prepared.map_err(|faults| EvalError::Policy {
            message: faults.first().map_or_else(String::new, ToString::to_string),
        })?;
        Ok(self.template.get_or_init(|| engine).clone())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        LIVE_PROGRAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The program of checked modules.
pub(super) fn program(
    mut loaded: Loaded,
    source: &RegoSource<'_>,
    rules: &[&str],
    is_pure: bool,
) -> Result<Box<dyn Program>, Vec<Diagnostic>> {
    let file = source.modules.first().map_or("", |module| module.path.as_str());
    let entry = entry_module(source.package, rules);
    prepare(&mut loaded, &entry, file)?;
    let template = OnceLock::new();
    if LIVE_PROGRAMS.fetch_add(1, Ordering::Relaxed) < PREPARED_AT_LOAD {
        let _ = template.set(loaded.engine);
    }
    let shared = Shared { modules: source.modules.to_vec(), data: source.data.clone(), entry, template };
    let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    Ok(Box::new(RegoProgram { shared: Arc::new(shared), rules, is_pure }))
}

fn prepare(loaded: &mut Loaded, entry: &str, file: &str) -> Result<(), Vec<Diagnostic>> {
    loaded.engine.add_policy("entrypoint".to_owned(), entry.to_owned()).map_err(|error| {
        vec![fault::Fault::parse(&error).into_diagnostic(file, DiagnosticCode::RegoEntrypoint)]
    })?;
    loaded.prepare(file)
}

/// One complete rule that is always defined: each asked rule as a list of no or one value. Measured against
/// one evaluation per rule and a query for the package, this is the cheapest.
fn entry_module(package: &str, rules: &[&str]) -> String {
    let path: String = package.split('.').map(|part| format!("[{part:?}]")).collect();
    let field = |rule: &&str| format!("{rule:?}: [value | value := data{path}[{rule:?}]]");
    let fields: Vec<String> = rules.iter().map(field).collect();
    format!("package {ENTRY_PACKAGE}\nanswer := {{{}}}\n", fields.join(",\n"))
}

impl Program for RegoProgram {
    fn instantiate(&self) -> Box<dyn Evaluator> {
        let engine = self.shared.template.get().cloned();
        Box::new(RegoEvaluator { engine, shared: Arc::clone(&self.shared) })
    }

    fn is_pure(&self) -> bool {
        self.is_pure
    }

    fn defines(&self, rule: &str) -> bool {
        self.rules.iter().any(|defined| defined == rule)
    }
}

/// The input as regorus holds it with the bytes it takes.
type RegoInput = Result<(regorus::Value, u64), ConvertError>;

impl Evaluator for RegoEvaluator {
    fn evaluate(&mut self, input: &Input, budget: &Budget) -> Result<Option<Value>, EvalError> {
        let converted: Option<&RegoInput> = input.rego(convert::to_rego_sized);
        let (document, bytes) = match converted {
            Some(Ok(converted)) => converted,
            Some(Err(error)) => return Err(conversion(error)),
            None => return Err(EvalError::Policy { message: "input is held by another engine".to_owned() }),
        };
        if *bytes > budget.memory_bytes {
            return Err(EvalError::Memory);
        }
        let answer = self.run(document, budget)?;
        defined_rules(&answer, budget.memory_bytes).map(Some).map_err(|error| conversion(&error))
    }
}

impl RegoEvaluator {
    fn run(&mut self, input: &regorus::Value, budget: &Budget) -> Result<regorus::Value, EvalError> {
        let limit = Limit::of(budget);
        extension::set_now(budget.now);
        let engine = match &mut self.engine {
            Some(engine) => engine,
            none => none.insert(self.shared.engine()?),
        };
        let answered = guard::evaluating(|| {
            engine.set_input(input.clone());
            engine.set_execution_timer_config(limit.config());
            let answer = engine.eval_rule(format!("data.{ENTRY_PACKAGE}.answer"));
            let _printed = engine.take_prints();
            answer
        });
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(limit.name(fault::evaluation(&error))),
            Err(panic) => {
                self.engine = None;
                Err(EvalError::Policy { message: format!("the engine failed: {panic}") })
            }
        }
    }
}

/// Takes the answer of the entry rule apart.
fn defined_rules(answer: &regorus::Value, bytes: u64) -> Result<Value, ConvertError> {
    let mut rules = Vec::new();
    for (rule, values) in answer.as_object().into_iter().flat_map(regorus::value::Object::iter) {
        let Some(value) = values.as_array().ok().and_then(|values| values.first()) else { continue };
        let (Ok(rule), Some(value)) = (rule.as_string(), convert::from_rego(value, bytes)?) else { continue };
        rules.push((Key::Owned(Arc::clone(rule)), value));
    }
    Ok(Value::Map(Map::from_entries(rules)))
}

fn conversion(error: &ConvertError) -> EvalError {
    match error {
        ConvertError::Memory => EvalError::Memory,
        other => EvalError::Policy { message: other.to_string() },
    }
}

/// The wall time an evaluation may take, and which budget it comes from.
struct Limit {
    time: Duration,
    is_instructions: bool,
}

impl Limit {
    fn of(budget: &Budget) -> Self {
        let charged = Duration::from_nanos(budget.instructions.saturating_mul(NANOSECONDS_PER_INSTRUCTION));
        if charged < budget.time {
            Self { time: charged, is_instructions: true }
        } else {
            Self { time: budget.time, is_instructions: false }
        }
    }

    fn config(&self) -> ExecutionTimerConfig {
        let check_interval = NonZeroU32::new(TICKS_PER_CLOCK_READ).unwrap_or(NonZeroU32::MIN);
        ExecutionTimerConfig { limit: self.time, check_interval }
    }

    fn name(&self, error: EvalError) -> EvalError {
        if self.is_instructions && error == EvalError::Timeout { EvalError::Instructions } else { error }
    }
}
