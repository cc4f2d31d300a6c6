//! Tests of CEL policies, run as authors run them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use std::sync::Arc;

use cel_schema::{SCHEMA, budget, source};
use pdp_policy::cel::run_tests;
use pdp_policy::{Diagnostic, Source, TestOutcome, TestResult};

const POLICY: &str = "
name: owners
rule:
  match:
    - condition: subject.id == resource.owner
      output: 'true'
      explanation: \"'owned by ' + subject.id\"
    - condition: now > timestamp('2030-01-01T00:00:00Z')
      output: '{\"effect\": \"deny\", \"code\": \"expired\", \"message\": \"too late\"}'
    - condition: behaviour.score > 0.5
      output: 'false'
";

fn run(tests: &str) -> Result<Vec<TestResult>, Vec<Diagnostic>> {
    let tests = Source { path: "p_test.yaml".to_owned(), text: Arc::from(tests) };
    run_tests(&source(POLICY), &tests, &SCHEMA, &budget())
}

fn outcomes(tests: &str) -> Vec<TestOutcome> {
    run(tests).unwrap().into_iter().map(|result| result.outcome).collect()
}

#[test]
fn expected_answers_pass() {
    let tests = "
tests:
  - name: owner_may
    input: {subject: {id: ada}, resource: {owner: ada}}
    expect: true
    explanation: owned by ada
  - name: effect_of_a_boolean
    input: {subject: {id: ada}, resource: {owner: ada}}
    expect: {effect: allow}
  - name: keys_of_a_map_that_are_named
    now: '2031-01-01T00:00:00Z'
    input: {subject: {id: ada}, resource: {owner: bob}}
    expect: {effect: deny, code: expired}
  - name: whole_score_is_a_number
    input: {subject: {id: ada}, resource: {owner: bob}, behaviour: {score: 1}}
    expect: {effect: deny}
  - name: absent_score_is_an_error
    input: {subject: {id: ada}, resource: {owner: bob}}
    error: true
  - name: nothing_matches
    input: {subject: {id: ada}, resource: {owner: bob}, behaviour: {score: 0.1}}
    undefined: true
";
    let results = run(tests).unwrap();
    assert_eq!(results.len(), 6);
    for result in &results {
        assert_eq!(result.outcome, TestOutcome::Pass, "{}", result.name);
    }
    assert_eq!((results[1].package.as_str(), results[1].row), ("owners", 7));
    assert_eq!((results[1].name.as_str(), results[1].file.as_str()), ("effect_of_a_boolean", "p_test.yaml"));
}

#[test]
fn other_answers_fail_and_are_shown() {
    let tests = "
tests:
  - {name: a, input: {subject: {id: ada}, resource: {owner: ada}}, expect: false}
  - {name: b, input: {subject: {id: ada}, resource: {owner: ada}}, expect: {effect: deny}}
  - {name: c, input: {subject: {id: ada}, resource: {owner: ada}}, error: true}
  - {name: d, input: {subject: {id: ada}, resource: {owner: ada}}, undefined: true}
  - {name: e, input: {subject: {id: ada}, resource: {owner: ada}}, expect: true, explanation: other}
  - {name: f, input: {subject: {id: ada}}, expect: true}
";
    let outcomes = outcomes(tests);
    for outcome in &outcomes[..5] {
        assert!(matches!(outcome, TestOutcome::Fail { .. }), "{outcome:?}");
    }
    assert_eq!(outcomes[0], {
        let message = r#"expected false, came {"explanation":"owned by ada","output":true}"#;
        TestOutcome::Fail { message: message.to_owned() }
    });
    assert_eq!(outcomes[5], {
        let message = "p.yaml:5: condition: no such attribute `resource.owner`";
        TestOutcome::Error { message: message.to_owned() }
    });
}

#[test]
fn faults_of_a_test_file_are_placed() {
    let cases = [
        ("tests: []\n", "p_test.yaml:1:8: document: `tests` holds no test"),
        ("test: []\n", "p_test.yaml:1:1: document: there is no key `test`, did you mean `tests`"),
        ("tests:\n  - {input: {}, expect: 1}\n", "p_test.yaml:2:5: document: a test needs a `name`"),
        (
            "tests:\n  - {name: a, input: {}}\n",
            "p_test.yaml:2:5: document: a test needs one of `expect`, `error: true`, `undefined: true`",
        ),
        (
            "tests:\n  - {name: a, input: {subject: {ids: x}}, expect: 1}\n",
            "p_test.yaml:2:33: document: the input has no `subject.ids`, did you mean `id`",
        ),
        (
            "tests:\n  - {name: a, input: {}, expect: 1}\n  - {name: a, input: {}, expect: 1}\n",
            "p_test.yaml:3:5: document: two tests are named `a`",
        ),
        (
            "tests:\n  - {name: a, input: {}, error: yes}\n",
            "p_test.yaml:2:33: document: `error` is `true` or is left out",
        ),
    ];
    for (text, wanted) in cases {
        let faults = run(text).unwrap_err();
        assert_eq!(faults[0].to_string(), wanted, "{faults:?}");
    }
}
