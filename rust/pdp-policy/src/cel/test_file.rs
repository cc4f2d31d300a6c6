//! Tests of a CEL policy, from the YAML file beside it (`<policy>_test.yaml`):
//!
//! ```yaml
//! tests:
//!   - name: owner_may_read
//!     input: {subject: {id: ada}, resource: {owner: ada}}
//!     expect: true                  # or {effect: deny, code: not_owner}: these keys are compared
//!     explanation: asked by ada     # optional
//!   - name: absent_owner_is_an_error
//!     now: "2026-01-01T00:00:00Z"   # optional, the time of the request
//!     input: {subject: {id: ada}}
//!     error: true
//!   - name: nobody_decides
//!     input: {}
//!     undefined: true
//! ```
//!
//! `expect: {effect: allow}` also accepts the output `true`, `{effect: deny}` also `false`.

use std::collections::HashSet;
use std::time::{Instant, SystemTime};

use super::yaml::{self, Content, Node, document};
use super::{compile_policy, document as policy_document};
use crate::diagnostic::Diagnostic;
use crate::program::{Budget, EvalError, Input, Program, Source};
use crate::schema::{Schema, nearest};
use crate::test_result::{TestOutcome, TestResult};
use crate::value::{Float, Key, Map, Value};

struct Test {
    name: String,
    row: u32,
    input: Value,
    now: Option<SystemTime>,
    expected: Expected,
    explanation: Option<String>,
}

enum Expected {
    Value(Value),
    Error,
    Undefined,
}

/// Runs the tests in `tests` against `policy`; `budget` holds for each test.
///
/// # Errors
/// Faults of either file.
pub fn run_tests(
    policy: &Source,
    tests: &Source,
    schema: &Schema,
    budget: &Budget,
) -> Result<Vec<TestResult>, Vec<Diagnostic>> {
    let program = compile_policy(policy, schema)?;
    let package = policy_document::name(policy).unwrap_or_default();
    let root = yaml::read(&tests.path, &tests.text).map_err(|fault| vec![fault])?;
    let mut reader = Reader { file: &tests.path, schema, faults: Vec::new() };
    let cases = reader.tests(&root);
    if !reader.faults.is_empty() {
        return Err(reader.faults);
    }
    let result = |test: Test| {
        let started = Instant::now();
        let outcome = run(program.as_ref(), &test, budget);
        TestResult {
            package: package.clone(),
            name: test.name,
            file: tests.path.clone(),
            row: test.row,
            outcome,
            duration: started.elapsed(),
        }
    };
    Ok(cases.into_iter().map(result).collect())
}

fn run(program: &dyn Program, test: &Test, budget: &Budget) -> TestOutcome {
    let mut budget = budget.clone();
    if let Some(now) = test.now {
        budget.now = now;
    }
    let answer = program.instantiate().evaluate(&Input::new(test.input.clone()), &budget);
    match (&test.expected, answer) {
        (Expected::Error, Err(EvalError::Policy { .. })) => TestOutcome::Pass,
        (_, Err(error)) => TestOutcome::Error { message: error.to_string() },
        (Expected::Undefined, Ok(None)) => TestOutcome::Pass,
        (Expected::Error, Ok(answer)) => failed("an error", answer.as_ref()),
        (Expected::Undefined, Ok(answer)) => failed("undefined", answer.as_ref()),
        (Expected::Value(wanted), Ok(answer)) => {
            let output = answer.as_ref().and_then(|answer| answer.get("output"));
            let explanation = answer.as_ref().and_then(|answer| answer.get("explanation")?.as_text());
            let explained = test.explanation.as_deref().is_none_or(|wanted| explanation == Some(wanted));
            if explained && output.is_some_and(|output| accepts(wanted, output)) {
                TestOutcome::Pass
            } else {
                let mut wanted = serde_json::Value::from(wanted).to_string();
                if let Some(explanation) = &test.explanation {
                    wanted = format!("{wanted} explained by `{explanation}`");
                }
                failed(&wanted, answer.as_ref())
            }
        }
    }
}

fn failed(wanted: &str, answer: Option<&Value>) -> TestOutcome {
    let came =
        answer.map_or_else(|| "undefined".to_owned(), |came| serde_json::Value::from(came).to_string());
    TestOutcome::Fail { message: format!("expected {wanted}, came {came}") }
}

/// Whether `output` is what is wanted: of a map, the wanted keys are compared.
fn accepts(wanted: &Value, output: &Value) -> bool {
    match (wanted, output) {
        (Value::Map(wanted), Value::Map(output)) => wanted
            .iter()
            .all(|(key, wanted)| output.get(key.as_str()).is_some_and(|came| accepts(wanted, came))),
        (Value::Map(wanted), Value::Bool(allowed)) => {
            let effect = if *allowed { "allow" } else { "deny" };
            wanted.len() == 1 && wanted.get("effect").and_then(Value::as_text) == Some(effect)
        }
        _ => wanted == output,
    }
}

struct Reader<'a> {
    file: &'a str,
    schema: &'a Schema,
    faults: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn fault(&mut self, node: &Node, message: impl Into<String>) {
        self.faults.push(document(self.file, node.span, message.into()));
    }

    fn entries<'n>(&mut self, node: &'n Node, keys: &[&str]) -> Vec<(&'n str, &'n Node)> {
        let Content::Map(entries) = &node.content else {
            self.fault(node, "must be a map");
            return Vec::new();
        };
        let mut known = Vec::new();
        for (key, value) in entries {
            let name = key.as_text().unwrap_or_default();
            if keys.contains(&name) {
                known.push((name, value));
            } else {
                let hint = nearest(keys.iter().copied(), name);
                let hint = hint.map(|known| format!(", did you mean `{known}`")).unwrap_or_default();
                self.fault(key, format!("there is no key `{name}`{hint}"));
            }
        }
        known
    }

    fn tests(&mut self, root: &Node) -> Vec<Test> {
        let Some((_, tests)) = self.entries(root, &["tests"]).into_iter().next() else {
            self.fault(root, "the file needs a list `tests`");
            return Vec::new();
        };
        let Content::List(items) = &tests.content else {
            self.fault(tests, "`tests` must be a list");
            return Vec::new();
        };
        if items.is_empty() {
            self.fault(tests, "`tests` holds no test");
        }
        let mut names = HashSet::new();
        let mut cases = Vec::new();
        for item in items {
            if let Some(test) = self.test(item) {
                if !names.insert(test.name.clone()) {
                    self.fault(item, format!("two tests are named `{}`", test.name));
                }
                cases.push(test);
            }
        }
        cases
    }

    fn test(&mut self, node: &Node) -> Option<Test> {
        let keys = ["name", "input", "now", "expect", "explanation", "error", "undefined"];
        let entries = self.entries(node, &keys);
        let find = |wanted: &str| entries.iter().find(|(key, _)| *key == wanted).map(|(_, value)| *value);
        let Some(name) = find("name").and_then(Node::as_text) else {
            self.fault(node, "a test needs a `name`");
            return None;
        };
        let Some(input) = find("input") else {
            self.fault(node, "a test needs an `input`");
            return None;
        };
        let now = match find("now") {
            Some(now) => Some(self.time(now)?),
            None => None,
        };
        let mut expected = Vec::new();
        expected.extend(find("expect").map(|value| Expected::Value(value_of(value))));
        for (key, outcome) in [("error", Expected::Error), ("undefined", Expected::Undefined)] {
            match find(key).map(|flag| (flag, flag.as_text())) {
                Some((_, Some("true"))) => expected.push(outcome),
                Some((flag, _)) => self.fault(flag, format!("`{key}` is `true` or is left out")),
                None => {}
            }
        }
        if expected.len() != 1 {
            self.fault(node, "a test needs one of `expect`, `error: true`, `undefined: true`");
        }
        self.check_input(input);
        Some(Test {
            name: name.to_owned(),
            row: node.span.row,
            input: value_of(input),
            now,
            expected: expected.pop()?,
            explanation: find("explanation").and_then(Node::as_text).map(str::to_owned),
        })
    }

    fn time(&mut self, node: &Node) -> Option<SystemTime> {
        let time = node.as_text().and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        if time.is_none() {
            self.fault(node, "`now` must be an RFC 3339 time such as `2026-01-01T00:00:00Z`");
        }
        time.map(SystemTime::from)
    }

    /// A misspelt name in a test's input would test something else than the policy reads.
    fn check_input(&mut self, node: &Node) {
        let mut open = vec![(Vec::new(), node)];
        while let Some((path, node)) = open.pop() {
            let Content::Map(entries) = &node.content else { continue };
            for (key, value) in entries {
                let mut path: Vec<&str> = path.clone();
                path.push(key.as_text().unwrap_or_default());
                match self.schema.shape(&path) {
                    Ok(_) => open.push((path, value)),
                    Err(unknown) => {
                        let hint = unknown.suggestion.map(|name| format!(", did you mean `{name}`"));
                        let message =
                            format!("the input has no `{}`{}", path.join("."), hint.unwrap_or_default());
                        self.fault(key, message);
                    }
                }
            }
        }
    }
}

/// The value a node stands for, by YAML's core schema; whole numbers become integers.
fn value_of(node: &Node) -> Value {
    match &node.content {
        Content::List(items) => Value::from(items.iter().map(value_of).collect::<Vec<_>>()),
        Content::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(key, value)| (Key::Owned(key.as_text().unwrap_or_default().into()), value_of(value)))
                .collect::<Map>(),
        ),
        Content::Scalar { text, plain: true, .. } => match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            _ => number(text).unwrap_or_else(|| Value::text(text)),
        },
        Content::Scalar { text, .. } => Value::text(text),
    }
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::Int(whole));
    }
    Some(Value::Float(Float::new(text.parse().ok()?)?))
}
