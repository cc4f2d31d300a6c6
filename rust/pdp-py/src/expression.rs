//! One CEL expression with typed bindings, for comparing with the specification's own cases.

use std::time::{Duration, SystemTime};

use pdp_policy::Budget;
use pdp_policy::cel::{self, Evaluation};
use pyo3::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use crate::errors::ConfigError;
use crate::guard::released;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    expression: String,
    /// Values tagged with their types, by name.
    #[serde(default)]
    bindings: Map<String, Json>,
    /// Whether to load the expression as a policy's is loaded.
    checks: bool,
}

/// Evaluates a CEL expression: `{"value": tagged}`, `{"refused": [message]}` or `{"failed": message}`.
#[pyfunction]
pub(crate) fn cel_expression(py: Python<'_>, document: &str) -> PyResult<String> {
    let question: Question = serde_json::from_str(document)
        .map_err(|fault| ConfigError::new_err(("document", fault.to_string())))?;
    let budget = Budget {
        time: Duration::from_secs(5),
        instructions: 100_000_000,
        memory_bytes: 1 << 30,
        now: SystemTime::now(),
    };
    released(py, || {
        match cel::evaluate_expression(&question.expression, &question.bindings, &budget, question.checks) {
            Evaluation::Refused(messages) => json!({ "refused": messages }),
            Evaluation::Failed(message) => json!({ "failed": message }),
            Evaluation::Value(value) => json!({ "value": value }),
        }
    })
    .map(|answer| answer.to_string())
}
