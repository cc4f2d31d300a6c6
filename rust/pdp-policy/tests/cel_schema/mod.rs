//! A schema of the shape a decision point declares, and short ways to evaluate with it.

#![allow(dead_code, unreachable_pub, clippy::panic, clippy::expect_used, clippy::unwrap_used)]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_policy::cel::{compile_expression, compile_policy};
use pdp_policy::{Budget, Diagnostic, EvalError, Field, Input, Schema, Shape, Source, Span, Value};

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, guaranteed: false }
}

/// Declared names of the tests.
pub const SCHEMA: Schema = Schema {
    fields: &[
        field(
            "subject",
            Shape::Message(&[
                field("id", Shape::Text),
                field("roles", Shape::List(&Shape::Text)),
                field("attributes", Shape::Map(&Shape::Any)),
            ]),
        ),
        field("action", Shape::Text),
        field(
            "resource",
            Shape::Message(&[
                field("id", Shape::Text),
                field("owner", Shape::Text),
                field("labels", Shape::Map(&Shape::Text)),
                field("attributes", Shape::Map(&Shape::Any)),
            ]),
        ),
        field(
            "transport",
            Shape::Message(&[field("source_ip", Shape::Text), field("encrypted", Shape::Bool)]),
        ),
        field("device", Shape::Message(&[field("managed", Shape::Bool), field("compliant", Shape::Bool)])),
        field("behaviour", Shape::Message(&[field("score", Shape::Float)])),
        field(
            "payload",
            Shape::Message(&[field(
                "findings",
                Shape::List(&Shape::Message(&[
                    field("detector", Shape::Text),
                    field("confidence", Shape::Float),
                ])),
            )]),
        ),
        field("context", Shape::Map(&Shape::Any)),
        field("now", Shape::Now),
        field("function", Shape::Message(&[field("id", Shape::Text)])),
    ],
    cel_names: &[("workload", "function")],
};

/// A budget no test passes by accident. Time is 2026-01-02T03:04:05Z.
pub fn budget() -> Budget {
    Budget {
        time: Duration::from_secs(20),
        instructions: 1_000_000,
        memory_bytes: 16 << 20,
        now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045),
    }
}

/// The document of most tests.
pub fn document() -> serde_json::Value {
    serde_json::json!({
        "subject": {"id": "ada", "roles": ["nurse", "auditor"], "attributes": {"ward": "7", "age": 41, "none": null}},
        "action": "read",
        "resource": {"id": "/records/7/9", "owner": "bob", "labels": {"team": "care"}, "attributes": {}},
        "transport": {"source_ip": "10.1.2.3", "encrypted": true},
        "behaviour": {"score": 0.25},
    })
}

pub fn source(text: &str) -> Source {
    Source { path: "p.yaml".to_owned(), text: Arc::from(text) }
}

pub fn expression(text: &str) -> Result<Box<dyn pdp_policy::Program>, Vec<Diagnostic>> {
    compile_expression(&source(text), Span { row: 1, column: 1 }, &SCHEMA)
}

pub fn evaluate(text: &str) -> Result<serde_json::Value, EvalError> {
    evaluate_on(text, &document(), &budget())
}

pub fn evaluate_on(
    text: &str,
    document: &serde_json::Value,
    budget: &Budget,
) -> Result<serde_json::Value, EvalError> {
    let program = expression(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
    let input = Input::new(Value::from(document));
    let value = program.instantiate().evaluate(&input, budget)?.expect("an expression has a value");
    Ok(serde_json::Value::from(&value))
}

pub fn policy_on(text: &str, document: &serde_json::Value) -> Result<Option<serde_json::Value>, EvalError> {
    let program = compile_policy(&source(text), &SCHEMA).unwrap_or_else(|faults| panic!("{faults:?}"));
    let input = Input::new(Value::from(document));
    let value = program.instantiate().evaluate(&input, &budget())?;
    Ok(value.as_ref().map(serde_json::Value::from))
}

/// The faults of a policy document, as they are shown.
pub fn faults(text: &str) -> Vec<String> {
    match compile_policy(&source(text), &SCHEMA) {
        Ok(_) => panic!("accepted: {text}"),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}
