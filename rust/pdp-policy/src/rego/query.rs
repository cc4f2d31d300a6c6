//! A free query over modules, for the conformance runner and for comparing with a real OPA.

use regorus::QueryResults;

use super::check::{self, Guarantees};
use super::convert::{self, ConvertError};
use super::{extension, fault, guard, load};
use crate::diagnostic::Diagnostic;
use crate::program::{EvalError, Source};
use crate::value::{Key, Map, Value};

/// How to run a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueryOptions {
    /// A failing builtin is an error instead of undefined.
    pub strict: bool,
    /// Refuse at load what would be answered differently from OPA.
    pub checks: bool,
}

/// Why a query gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryFault {
    /// Refused before evaluating.
    Refused(Vec<Diagnostic>),
    /// Failed while evaluating.
    Failed(EvalError),
}

/// Bytes a binding may take.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Evaluates `query` and returns the bindings of each result; a query without variables has one empty map
/// where it holds.
///
/// # Errors
/// [`QueryFault`].
pub fn query(
    modules: &[Source],
    data: &Value,
    input: Option<&Value>,
    query: &str,
    options: QueryOptions,
) -> Result<Vec<Map>, QueryFault> {
    let mut loaded =
        guard::compiling(|| prepared(modules, data, query, options)).map_err(QueryFault::Refused)?;
    let failed = |message: String| QueryFault::Failed(EvalError::Policy { message });
    if let Some(input) = input {
        loaded.engine.set_input(convert::to_rego(input).map_err(|error| failed(error.to_string()))?);
    }
    extension::set_now(std::time::SystemTime::now());
    extension::set_strict(options.strict);
    loaded.engine.set_strict_builtin_errors(options.strict);
    let evaluated = guard::evaluating(|| loaded.engine.eval_query(query.to_owned(), false));
    extension::set_strict(false);
    let results =
        evaluated.map_err(failed)?.map_err(|error| QueryFault::Failed(fault::evaluation(&error)))?;
    bindings(&results).map_err(|error| failed(error.to_string()))
}

fn prepared(
    modules: &[Source],
    data: &Value,
    query: &str,
    options: QueryOptions,
) -> Result<load::Loaded, Vec<Diagnostic>> {
    let mut loaded = load::load(modules, data)?;
    if options.checks {
        let known = Guarantees { input: &[], input_is_object: false };
        let mut faults = check::modules(&mut loaded.engine, data, &known).faults;
        faults.extend(check::query(&mut loaded.engine, query, data));
        if !faults.is_empty() {
            return Err(faults);
        }
    }
    loaded.prepare("query")?;
    Ok(loaded)
}

fn bindings(results: &QueryResults) -> Result<Vec<Map>, ConvertError> {
    let mut answers = Vec::new();
    for result in &results.result {
        let holds = |value: &regorus::Value| {
            !matches!(value, regorus::Value::Bool(false) | regorus::Value::Undefined)
        };
        if !result.expressions.iter().all(|expression| holds(&expression.value)) {
            continue;
        }
        let mut entries = Vec::new();
        for (name, value) in result.bindings.as_object().into_iter().flat_map(regorus::value::Object::iter) {
            let (Ok(name), Some(value)) = (name.as_string(), convert::from_rego(value, MAX_ANSWER_BYTES)?)
            else {
                continue;
            };
            entries.push((Key::Owned(name.clone()), value));
        }
        answers.push(Map::from_entries(entries));
    }
    Ok(answers)
}
