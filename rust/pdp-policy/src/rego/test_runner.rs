//! Runs the `test_*` rules of policies.

use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime};

use regorus::Engine;
use regorus::unstable::{Expr, Rule, RuleHead};
use regorus::utils::limits::ExecutionTimerConfig;

use super::check::{self, Guarantees, paths};
use super::{TICKS_PER_CLOCK_READ, extension, fault, guard, load};
use crate::diagnostic::Diagnostic;
use crate::program::{EvalError, Source};
use crate::test_result::{TestOutcome, TestResult};
use crate::value::Value;

/// Wall time one test may take.
const TIME_PER_TEST: Duration = Duration::from_secs(5);

/// Results of a run with what the tests touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestReport {
    /// One result a test, in the order of files and rows.
    pub results: Vec<TestResult>,
    /// Lines evaluated, per module that is not a test.
    pub coverage: Vec<FileCoverage>,
}

/// Which rows of a file the tests evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileCoverage {
    /// File as in [`Source::path`].
    pub file: String,
    /// Rows evaluated, ascending, from 1.
    pub covered: Vec<u32>,
    /// Rows that hold expressions no test evaluated.
    pub not_covered: Vec<u32>,
}

struct Test {
    package: String,
    name: String,
    path: String,
    file: String,
    row: u32,
}

/// Runs every rule whose name starts with `test_`; names that start with `todo_test_` are left out, as in OPA.
///
/// A test passes when it is true. Modules are checked as for serving, `guaranteed` as in
/// [`super::RegoSource::guaranteed`], test modules too: a test answered differently from OPA proves nothing.
///
/// # Errors
/// Every fault of the modules.
pub fn run_tests(
    modules: &[Source],
    data: &Value,
    guaranteed: &[&str],
) -> Result<TestReport, Vec<Diagnostic>> {
    let mut loaded = guard::compiling(|| {
        let mut loaded = load::load(modules, data)?;
        let known = Guarantees { input: guaranteed, input_is_object: true };
        let checked = check::modules(&mut loaded.engine, data, &known);
        if checked.faults.is_empty() { Ok(loaded) } else { Err(checked.faults) }
    })?;
    let tests = tests_of(&mut loaded.engine);
    guard::compiling(|| loaded.prepare("tests"))?;
    let template = loaded.engine;
    let mut engine = template.clone();
    engine.set_enable_coverage(true);
    let mut results = Vec::with_capacity(tests.len());
    for test in tests {
        let started = Instant::now();
        let (outcome, panicked) = outcome_of(&mut engine, &test);
        if panicked {
            engine = template.clone();
            engine.set_enable_coverage(true);
        }
        let Test { package, name, file, row, .. } = test;
        results.push(TestResult { package, name, file, row, outcome, duration: started.elapsed() });
    }
    Ok(TestReport { results, coverage: coverage(&engine) })
}

fn tests_of(engine: &mut Engine) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for module in engine.get_modules() {
        let Some(package) = paths::components(&module.package.refr) else { continue };
        let package = package.join(".");
        for rule in &module.policy {
            let Rule::Spec { head: RuleHead::Compr { span, refr, .. }, .. } = rule.as_ref() else { continue };
            let Expr::Var { span: name_span, .. } = refr.as_ref() else { continue };
            let name = name_span.text();
            let known = tests.iter().any(|test| test.name == name && test.package == package);
            if !name.starts_with("test_") || known {
                continue;
            }
            tests.push(Test {
                path: format!("data.{package}.{name}"),
                package: package.clone(),
                name: name.to_owned(),
                file: span.source.file().clone(),
                row: span.line,
            });
        }
    }
    tests.sort_by(|a, b| (&a.file, a.row).cmp(&(&b.file, b.row)));
    tests
}

/// How a test ended, and whether the engine has to be made anew.
fn outcome_of(engine: &mut Engine, test: &Test) -> (TestOutcome, bool) {
    extension::set_now(SystemTime::now());
    let check_interval = NonZeroU32::new(TICKS_PER_CLOCK_READ).unwrap_or(NonZeroU32::MIN);
    engine.set_execution_timer_config(ExecutionTimerConfig { limit: TIME_PER_TEST, check_interval });
    let evaluated = guard::evaluating(|| engine.eval_rule(test.path.clone()));
    let printed = engine.take_prints().unwrap_or_default().join("\n");
    let outcome = match evaluated {
        Err(panic) => return (TestOutcome::Error { message: format!("the engine failed: {panic}") }, true),
        Ok(Err(error)) => TestOutcome::Error {
            message: match fault::evaluation(&error) {
                EvalError::Policy { message } => message,
                other => other.to_string(),
            },
        },
        Ok(Ok(regorus::Value::Bool(true))) => TestOutcome::Pass,
        Ok(Ok(other)) => {
            let came = match other {
                regorus::Value::Undefined => "undefined".to_owned(),
                other => other.to_json_str().unwrap_or_default(),
            };
            TestOutcome::Fail {
                message: format!("expected true, came {came}\n{printed}").trim_end().to_owned(),
            }
        }
    };
    (outcome, false)
}

fn coverage(engine: &Engine) -> Vec<FileCoverage> {
    let files = engine.get_coverage_report().map(|report| report.files).unwrap_or_default();
    files
        .into_iter()
        .filter(|file| !file.path.ends_with("_test.rego"))
        .map(|file| FileCoverage {
            file: file.path,
            covered: file.covered.into_iter().collect(),
            not_covered: file.not_covered.into_iter().collect(),
        })
        .collect()
}
