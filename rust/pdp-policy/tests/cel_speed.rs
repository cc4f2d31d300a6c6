//! What an evaluation costs. The bound is loose enough for an unoptimised build on a busy
//! machine; with `--release -- --nocapture` the printed figures mean something.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cel_schema::{SCHEMA, budget, document, source};
use pdp_policy::{Input, Value};

const EIGHT_CONDITIONS: &str = "
name: access
rule:
  variables:
    - name: same_ward
      expression: resource.id.startsWith('/records/' + subject.attributes.ward + '/')
  match:
    - condition: \"'blocked' in subject.roles\"
      output: '{\"effect\": \"deny\", \"code\": \"blocked\"}'
    - condition: \"!transport.encrypted\"
      output: '{\"effect\": \"deny\", \"code\": \"plaintext\"}'
    - condition: \"!cidr('10.0.0.0/8').containsIP(transport.source_ip)\"
      output: '{\"effect\": \"deny\", \"code\": \"outside\"}'
    - condition: behaviour.score > 0.8
      output: '{\"effect\": \"deny\", \"code\": \"risk\"}'
    - condition: action == 'delete' && !('admin' in subject.roles)
      output: '{\"effect\": \"deny\", \"code\": \"admins_only\"}'
    - condition: has(device.managed) && !device.managed
      output: '{\"effect\": \"deny\", \"code\": \"unmanaged\"}'
    - condition: subject.id == resource.owner
      output: 'true'
    - condition: variables.same_ward && subject.roles.exists(r, r in ['nurse', 'doctor']) && action == 'read'
      output: 'true'
";

fn measure(name: &str, evaluate: impl Fn()) -> Duration {
    let rounds = 2_000;
    evaluate();
    let started = Instant::now();
    for _ in 0..rounds {
        evaluate();
    }
    let each = started.elapsed() / rounds;
    println!("{name}: {each:?} an evaluation");
    each
}

#[test]
fn access_decision_stays_far_below_a_millisecond() {
    let policy =
        pdp_policy::cel::compile_policy(&source(EIGHT_CONDITIONS), &SCHEMA).map_err(|f| format!("{f:?}"));
    let policy = policy.unwrap();
    let evaluator = std::cell::RefCell::new(policy.instantiate());
    let document = Value::from(&document());
    let each = measure("eight conditions", || {
        let input = Input::new(document.clone());
        let answer = evaluator.borrow_mut().evaluate(&input, &budget()).unwrap();
        assert_eq!(black_box(answer).unwrap().get("output"), Some(&Value::Bool(true)));
    });
    let key = cel_schema::expression("subject.id + '/' + action").unwrap();
    let evaluator = std::cell::RefCell::new(key.instantiate());
    let key = measure("a limit's key", || {
        let answer = evaluator.borrow_mut().evaluate(&Input::new(document.clone()), &budget()).unwrap();
        assert_eq!(black_box(answer).unwrap().as_text(), Some("ada/read"));
    });
    assert!(each < Duration::from_millis(2) && key < Duration::from_millis(2));
}

#[test]
fn policy_is_compiled_in_milliseconds() {
    let each = measure("compiling", || {
        assert!(black_box(pdp_policy::cel::compile_policy(&source(EIGHT_CONDITIONS), &SCHEMA)).is_ok());
    });
    assert!(each < Duration::from_millis(50));
}
