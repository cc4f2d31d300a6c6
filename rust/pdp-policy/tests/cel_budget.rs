//! Hostile and costly expressions: bounded when loaded, stopped when evaluated.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use std::time::{Duration, Instant};

use cel_schema::{budget, document, evaluate_on, expression, faults};
use pdp_policy::{Budget, EvalError};
use serde_json::json;

#[test]
fn hostile_expressions_are_refused_in_milliseconds() {
    let nested = |open: &str, inner: &str, close: &str, times: usize| {
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let hostile = [
        nested("(", "1", ")", 60),
        nested("[", "1", "]", 60),
        nested("{1:", "1", "}", 30),
        nested("!", "true", "", 120),
        nested("-", "1", "", 120),
        nested("a.f(", "1", ")", 30),
        nested("1+(", "1", ")", 40),
        nested("true?", "1", ":1", 30),
        nested("[1].map(x,", "x", ")", 10),
        "[".repeat(125),
        "(((((((((((((((((((((((((((((((((((((((((((((((".to_owned(),
        "1".repeat(9_000),
        "1+".repeat(500) + "1",
        "a.".repeat(60) + "a",
        "'".to_owned() + &"\\".repeat(123),
        "\u{feff}\u{202e}".repeat(30),
    ];
    for text in hostile {
        let started = Instant::now();
        assert!(expression(&text).is_err(), "{text}");
        assert!(started.elapsed() < Duration::from_millis(200), "{text}: {:?}", started.elapsed());
    }
}

#[test]
fn loops_nest_at_most_three_deep() {
    assert!(expression("[1].all(a, [1].all(b, [1].all(c, a == b && b == c)))").is_ok());
    assert!(expression("[1].all(a, [1].all(b, [1].all(c, [1].all(d, a == d))))").is_err());
}

#[test]
fn chain_of_variables_is_bounded_in_depth() {
    let mut policy = "name: n\nrule:\n  variables:\n    - {name: v0, expression: '1'}\n".to_owned();
    for at in 1..200 {
        policy += &format!("    - {{name: v{at}, expression: variables.v{} + 1}}\n", at - 1);
    }
    policy += "  match:\n    - {condition: variables.v199 == 200, output: 'true'}\n";
    assert!(faults(&policy)[0].contains("deep"));
}

fn wide() -> serde_json::Value {
    let mut document = document();
    document["context"] = json!({"items": (0..2_000).collect::<Vec<_>>()});
    document
}

fn outcome(text: &str, budget: &Budget) -> Result<serde_json::Value, EvalError> {
    evaluate_on(text, &wide(), budget)
}

#[test]
fn nested_loops_end_with_the_instruction_budget() {
    let cases = [
        "context.items.all(a, context.items.all(b, a + b >= 0))",
        "context.items.exists(a, context.items.exists(b, a + b < 0))",
        "context.items.exists_one(a, context.items.exists(b, a + b < 0))",
        "size(context.items.map(a, context.items.filter(b, a == b))) > 0",
        "size(context.items.filter(a, context.items.all(b, true))) > 0",
        "true || context.items.all(a, context.items.all(b, a + b >= 0)) || true",
        "context.items.exists(a, context.items.exists(b, 1 / 0 == 1)) || true",
        "sets.contains(context.items, context.items)",
    ];
    for text in cases.iter().filter(|text| !text.starts_with("true")) {
        let started = Instant::now();
        let outcome = outcome(text, &Budget { instructions: 100_000, ..budget() });
        assert_eq!(outcome, Err(EvalError::Instructions), "{text}");
        assert!(started.elapsed() < Duration::from_secs(2), "{text}");
    }
}

#[test]
fn budget_that_is_passed_is_never_absorbed() {
    let text = "context.items.all(a, context.items.all(b, a + b >= 0)) || true";
    assert_eq!(outcome(text, &Budget { instructions: 100_000, ..budget() }), Err(EvalError::Instructions));
    let text = "context.items.all(a, context.items.all(b, a + b >= 0)) && false";
    assert_eq!(outcome(text, &Budget { instructions: 100_000, ..budget() }), Err(EvalError::Instructions));
}

#[test]
fn time_that_has_run_out_is_a_timeout() {
    let text = "context.items.all(a, context.items.all(b, a + b >= 0))";
    let started = Instant::now();
    let short = Budget { time: Duration::from_millis(5), instructions: u64::MAX, ..budget() };
    assert_eq!(outcome(text, &short), Err(EvalError::Timeout));
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn copies_end_with_the_memory_budget() {
    let little = Budget { memory_bytes: 1 << 20, instructions: u64::MAX, ..budget() };
    for text in [
        "size(context.items.map(a, context.items)) > 0",
        "size([1].map(x, [context.items, context.items, context.items, context.items, context.items, \
         context.items, context.items, context.items, context.items, context.items])) > 0",
        "context.items.map(a, context.items.map(b, b)).size() > 0",
    ] {
        assert_eq!(outcome(text, &little), Err(EvalError::Memory), "{text}");
    }
}

#[test]
fn doubling_variables_end_with_the_memory_budget() {
    let mut policy = "name: n\nrule:\n  variables:\n    - {name: v0, expression: subject.id}\n".to_owned();
    for at in 1..20 {
        policy += &format!(
            "    - {{name: v{at}, expression: 'variables.v{p} + variables.v{p} + variables.v{p} + variables.v{p}'}}\n",
            p = at - 1
        );
    }
    policy += "  match:\n    - {condition: size(variables.v19) > 0, output: 'true'}\n";
    let program = match pdp_policy::cel::compile_policy(&cel_schema::source(&policy), &cel_schema::SCHEMA) {
        Ok(program) => program,
        Err(faults) => return assert!(faults[0].to_string().contains("deep")),
    };
    let input = pdp_policy::Input::new(pdp_policy::Value::from(&document()));
    assert_eq!(program.instantiate().evaluate(&input, &budget()), Err(EvalError::Memory));
}

#[test]
fn replacement_cannot_blow_text_up() {
    let mut document = document();
    document["subject"]["id"] = json!("x".repeat(100_000));
    let text = "subject.id.replace('x', subject.id).size() > 0";
    assert_eq!(evaluate_on(text, &document, &budget()), Err(EvalError::Memory));
}

#[test]
fn ordinary_evaluation_passes_on_a_small_budget() {
    let small = Budget { instructions: 200, memory_bytes: 16_384, ..budget() };
    let text = "subject.roles.exists(r, r == 'auditor') && resource.id.startsWith('/records/' + subject.attributes.ward)";
    assert_eq!(evaluate_on(text, &document(), &small), Ok(json!(true)));
}

#[test]
fn evaluation_after_a_passed_budget_starts_anew() {
    let program = expression("context.items.all(a, context.items.all(b, a + b >= 0))").unwrap();
    let mut evaluator = program.instantiate();
    let input = pdp_policy::Input::new(pdp_policy::Value::from(&wide()));
    let little = Budget { instructions: 1_000, ..budget() };
    assert_eq!(evaluator.evaluate(&input, &little), Err(EvalError::Instructions));
    let small = pdp_policy::Input::new(pdp_policy::Value::from(&json!({"context": {"items": [1]}})));
    assert_eq!(evaluator.evaluate(&small, &little), Ok(Some(pdp_policy::Value::Bool(true))));
}

#[test]
fn deepest_accepted_expression_fits_a_small_stack() {
    let deep =
        (1..=60).rev().map(|depth| format!("{}1", "1+".repeat(depth))).find(|text| expression(text).is_ok());
    let deep = deep.unwrap();
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let outcome = thread.spawn(move || evaluate_on(&deep, &json!({}), &budget()).is_ok()).unwrap().join();
    assert!(outcome.unwrap());
}
