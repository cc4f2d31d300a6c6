//! The runner of `test_*` rules.

#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a failing test panics")]

use std::sync::Arc;

use pdp_policy::rego::{TestReport, run_tests};
use pdp_policy::{Map, Source, TestOutcome, Value};

const POLICY: &str = "package p\n\ndefault allow := false\n\nallow if input.ok\n\nallow if {\n  input.never == 1\n  input.role == \"admin\"\n}\n";

fn run(tests: &str) -> TestReport {
    let modules = [("p.rego", POLICY), ("p_test.rego", tests)]
        .map(|(path, text)| Source { path: path.to_owned(), text: Arc::from(text) });
    run_tests(&modules, &Value::Map(Map::default()), &[]).expect("the modules load")
}

fn outcomes(report: &TestReport) -> Vec<(&str, u32, &TestOutcome)> {
    report.results.iter().map(|result| (result.name.as_str(), result.row, &result.outcome)).collect()
}

#[test]
fn tests_pass_and_fail_by_their_value() {
    let report = run(
        "package p_test\nimport data.p\ntest_good if p.allow with input as {\"ok\": true}\ntest_bad if p.allow with input as {}\ntest_false := false\nhelper := 1\ntodo_test_later := false\n",
    );
    let names: Vec<_> = outcomes(&report)
        .iter()
        .map(|(name, row, outcome)| (*name, *row, **outcome == TestOutcome::Pass))
        .collect();
    assert_eq!(names, [("test_good", 3, true), ("test_bad", 4, false), ("test_false", 5, false)]);
    let TestOutcome::Fail { message } = &report.results[1].outcome else { panic!("{report:?}") };
    assert_eq!(message, "expected true, came undefined");
    assert_eq!(
        (report.results[0].package.as_str(), report.results[0].file.as_str()),
        ("p_test", "p_test.rego")
    );
}

#[test]
fn conflict_is_an_error_of_the_test() {
    let report = run("package p_test\nx := 1\nx := 2\ntest_conflict if x == 1\n");
    assert!(matches!(report.results[0].outcome, TestOutcome::Error { .. }), "{report:?}");
}

#[test]
fn one_test_leaves_nothing_for_the_next() {
    let report = run(
        "package p_test\nimport data.p\ntest_a if p.allow with input as {\"ok\": true}\ntest_b if not p.allow with input as {}\n",
    );
    assert!(report.results.iter().all(|result| result.outcome == TestOutcome::Pass), "{report:?}");
}

#[test]
fn rows_no_test_reached_are_not_covered() {
    let report = run("package p_test\nimport data.p\ntest_good if p.allow with input as {\"ok\": true}\n");
    let [file] = report.coverage.as_slice() else { panic!("{report:?}") };
    assert_eq!(file.file, "p.rego");
    assert!(file.covered.contains(&5) && file.not_covered.contains(&9), "{file:?}");
}

#[test]
fn test_modules_are_refused_like_others() {
    let module =
        Source { path: "p_test.rego".to_owned(), text: Arc::from("package p\ntest_x if not input.a == 1") };
    assert!(run_tests(&[module], &Value::Map(Map::default()), &[]).is_err());
}
