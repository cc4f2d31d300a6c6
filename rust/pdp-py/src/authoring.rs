//! What policy authors need: validating, testing, free queries. One JSON document in, one out.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use pdp_engine::{FactKind, LoadOptions, PolicySet, Question, schema};
use pdp_policy::rego::{self, QueryFault, QueryOptions};
use pdp_policy::schema::{Field, Schema, Shape};
use pdp_policy::{Budget, Diagnostic, EvalError, Input, Source, Span, TestOutcome, TestResult, Value, cel};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::engine::policies_json;
use crate::errors::ConfigError;
use crate::guard::released;

/// A policy source, as a document names it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Module {
    path: String,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegoTests {
    modules: Vec<Module>,
    #[serde(default)]
    data: Json,
    kind: Question,
    /// Stored facts that the policy requires.
    #[serde(default)]
    required_facts: Vec<FactKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CelTests {
    policy: Module,
    tests: Module,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegoQuery {
    modules: Vec<Module>,
    #[serde(default)]
    data: Json,
    input: Option<Json>,
    query: String,
    #[serde(default)]
    strict: bool,
    #[serde(default)]
    checks: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CelEvaluation {
    /// A policy document, or else one expression.
    #[serde(default)]
    policy: bool,
    source: Module,
    #[serde(default)]
    bindings: Json,
    /// Seconds since 1970 that the policy sees as now.
    #[serde(default)]
    now_seconds: u64,
}

impl From<Module> for Source {
    fn from(module: Module) -> Self {
        Self { path: module.path, text: module.text.into() }
    }
}

/// Budget of one evaluation for an author, who may wait longer than a request does.
fn budget(now: SystemTime) -> Budget {
    Budget { time: Duration::from_secs(5), instructions: 100_000_000, memory_bytes: 1 << 30, now }
}

/// Builds the policy set in a directory: its policies, or every diagnostic.
#[pyfunction]
pub(crate) fn validate(py: Python<'_>, directory: &str) -> PyResult<String> {
    released(py, || match PolicySet::load(Path::new(directory), &LoadOptions::default()) {
        Ok(set) => json!({ "revision": set.revision().to_string(), "policies": policies_json(&set) }),
        Err(faults) => refused(&faults),
    })
    .map(|answer| answer.to_string())
}

/// Runs the tests of Rego modules.
#[pyfunction]
pub(crate) fn rego_tests(py: Python<'_>, document: &str) -> PyResult<String> {
    let tests: RegoTests = parse(document)?;
    released(py, move || {
        let modules: Vec<Source> = tests.modules.into_iter().map(Source::from).collect();
        let mut guaranteed = schema::guaranteed(tests.kind);
        guaranteed.extend(schema::guaranteed_facts(&tests.required_facts));
        let guaranteed: Vec<&str> = guaranteed.iter().map(String::as_str).collect();
        match rego::run_tests(&modules, &object(&tests.data), &guaranteed) {
            Ok(report) => report_json(&report),
            Err(faults) => refused(&faults),
        }
    })
    .map(|answer| answer.to_string())
}

/// Runs the tests of a CEL policy.
#[pyfunction]
pub(crate) fn cel_tests(py: Python<'_>, document: &str) -> PyResult<String> {
    let tests: CelTests = parse(document)?;
    released(py, move || {
        let (policy, tests) = (Source::from(tests.policy), Source::from(tests.tests));
        match cel::run_tests(&policy, &tests, &schema::REQUEST, &budget(SystemTime::now())) {
            Ok(results) => json!({ "results": results_json(&results) }),
            Err(faults) => refused(&faults),
        }
    })
    .map(|answer| answer.to_string())
}

/// Evaluates a Rego query: its bindings, or why there are none.
#[pyfunction]
pub(crate) fn rego_query(py: Python<'_>, document: &str) -> PyResult<String> {
    let query: RegoQuery = parse(document)?;
    released(py, move || {
        let modules: Vec<Source> = query.modules.into_iter().map(Source::from).collect();
        let input = query.input.as_ref().map(Value::from);
        let options = QueryOptions { strict: query.strict, checks: query.checks };
        match rego::query(&modules, &object(&query.data), input.as_ref(), &query.query, options) {
            Ok(rows) => {
                let rows: Vec<Json> = rows.into_iter().map(|row| Json::from(&Value::Map(row))).collect();
                json!({ "bindings": rows })
            }
            Err(QueryFault::Refused(faults)) => refused(&faults),
            Err(QueryFault::Failed(fault)) => failed(&fault),
        }
    })
    .map(|answer| answer.to_string())
}

/// Evaluates a CEL policy document or a CEL expression: its value, or why there is none.
#[pyfunction]
pub(crate) fn cel_evaluate(py: Python<'_>, document: &str) -> PyResult<String> {
    let evaluation: CelEvaluation = parse(document)?;
    released(py, move || {
        let source = Source::from(evaluation.source);
        let bindings = object(&evaluation.bindings);
        let compiled = if evaluation.policy {
            cel::compile_policy(&source, &schema::REQUEST)
        } else {
            cel::compile_expression(&source, Span { row: 1, column: 1 }, &open_schema(&bindings))
        };
        let program = match compiled {
            Ok(program) => program,
            Err(faults) => return refused(&faults),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(evaluation.now_seconds);
        match program.instantiate().evaluate(&Input::new(bindings), &budget(now)) {
            Ok(Some(value)) => json!({ "value": Json::from(&value) }),
            Ok(None) => json!({ "undefined": true }),
            Err(fault) => failed(&fault),
        }
    })
    .map(|answer| answer.to_string())
}

fn parse<'a, T: Deserialize<'a>>(document: &'a str) -> PyResult<T> {
    serde_json::from_str(document).map_err(|fault| ConfigError::new_err(("document", fault.to_string())))
}

/// A document that is a map, whatever was given.
fn object(json: &Json) -> Value {
    if json.is_object() { Value::from(json) } else { Value::Map(pdp_policy::Map::default()) }
}

/// A schema that declares the names of `bindings` and nothing of what they hold.
///
/// A schema lives as long as the process, so equal sets of names share one.
fn open_schema(bindings: &Value) -> Schema {
    static KNOWN: Mutex<Vec<&'static [Field]>> = Mutex::new(Vec::new());
    let names: Vec<&str> =
        bindings.as_map().into_iter().flat_map(pdp_policy::Map::iter).map(|(key, _)| key.as_str()).collect();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let same = |fields: &&&'static [Field]| fields.iter().map(|field| field.name).eq(names.iter().copied());
    if let Some(fields) = known.iter().find(same) {
        return Schema { fields, cel_names: &[] };
    }
    let field = |name: &str| Field {
        name: Box::leak(name.to_owned().into_boxed_str()),
        shape: Shape::Any,
        guaranteed: false,
    };
    let fields: &'static [Field] =
        Box::leak(names.iter().map(|name| field(name)).collect::<Vec<_>>().into_boxed_slice());
    known.push(fields);
    Schema { fields, cel_names: &[] }
}

fn refused(faults: &[Diagnostic]) -> Json {
    let rows: Vec<Json> = faults
        .iter()
        .map(|fault| {
            let (row, column) = fault.span.map_or((0, 0), |span| (span.row, span.column));
            let Diagnostic { file, code, message, .. } = fault;
            json!({ "file": file, "row": row, "column": column, "code": code.as_str(), "message": message })
        })
        .collect();
    json!({ "diagnostics": rows })
}

fn failed(fault: &EvalError) -> Json {
    json!({ "error": fault.to_string() })
}

fn results_json(results: &[TestResult]) -> Vec<Json> {
    let row = |result: &TestResult| {
        let (outcome, message) = match &result.outcome {
            TestOutcome::Pass => ("pass", ""),
            TestOutcome::Fail { message } => ("fail", message.as_str()),
            TestOutcome::Error { message } => ("error", message.as_str()),
        };
        json!({
            "suite": result.package, "name": result.name, "file": result.file, "row": result.row,
            "outcome": outcome, "message": message, "seconds": result.duration.as_secs_f64(),
        })
    };
    results.iter().map(row).collect()
}

fn report_json(report: &rego::TestReport) -> Json {
    let row = |file: &rego::FileCoverage| json!({ "file": file.file, "covered": file.covered, "not_covered": file.not_covered });
    let coverage: Vec<Json> = report.coverage.iter().map(row).collect();
    json!({ "results": results_json(&report.results), "coverage": coverage })
}
