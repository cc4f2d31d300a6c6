//! CEL policy documents: which match answers, what is refused and where.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use cel_schema::{document, faults, policy_on};
use serde_json::json;

const READ: &str = "
name: read_records
description: who may read a patient's record
rule:
  id: read
  variables:
    - name: own_ward
      expression: resource.id.startsWith('/records/' + subject.attributes.ward + '/')
    - name: trusted
      expression: |
        variables.own_ward
          && transport.encrypted
  match:
    - condition: \"'blocked' in subject.roles\"
      output: \"false\"
    - condition: variables.trusted && 'nurse' in subject.roles
      output: \"true\"
      explanation: \"'ward ' + subject.attributes.ward\"
    - condition: action == 'read'
      rule:
        variables:
          - {name: quiet, expression: behaviour.score < 0.5}
        match:
          - condition: variables.quiet
            output: '{\"effect\": \"deny\", \"code\": \"not_your_ward\"}'
";

#[test]
fn first_match_that_holds_answers() {
    let answer = policy_on(READ, &document()).unwrap();
    assert_eq!(answer, Some(json!({"output": true, "explanation": "ward 7"})));
}

#[test]
fn nested_rule_answers_with_its_own_variables() {
    let mut other = document();
    other["subject"]["attributes"]["ward"] = json!("8");
    let answer = policy_on(READ, &other).unwrap();
    assert_eq!(answer, Some(json!({"output": {"effect": "deny", "code": "not_your_ward"}})));
}

#[test]
fn no_match_is_undefined() {
    let mut other = document();
    other["subject"]["attributes"]["ward"] = json!("8");
    other["action"] = json!("write");
    assert_eq!(policy_on(READ, &other).unwrap(), None);
}

#[test]
fn nested_rule_under_a_condition_decides() {
    let policy = "
name: n
rule:
  match:
    - condition: action == 'read'
      rule: {match: [{condition: subject.id == 'eve', output: 'false'}]}
    - output: 'true'
";
    assert_eq!(policy_on(policy, &document()).unwrap(), None);
}

#[test]
fn erring_condition_is_an_error_with_its_row() {
    let policy = "name: n\nrule:\n  match:\n    - condition: device.managed\n      output: 'true'\n";
    let error = policy_on(policy, &document()).unwrap_err().to_string();
    assert_eq!(error, "p.yaml:4: condition: no such attribute `device.managed`");
}

#[test]
fn error_in_a_variable_reaches_the_condition_that_reads_it() {
    let policy = "name: n\nrule:\n  variables:\n    - {name: x, expression: 1 / 0 == 1}\n  match:\n    \
                  - condition: variables.x\n      output: 'true'\n";
    let error = policy_on(policy, &document()).unwrap_err().to_string();
    assert!(error.contains("p.yaml:4: variable x: division by zero"), "{error}");
}

#[test]
fn unread_variable_is_not_evaluated() {
    let policy = "name: n\nrule:\n  variables:\n    - {name: x, expression: 1 / 0 == 1}\n  match:\n    \
                  - {condition: 'false && variables.x', output: 'true'}\n    - {output: 'false'}\n";
    assert_eq!(policy_on(policy, &document()).unwrap(), Some(json!({"output": false})));
}

#[test]
fn condition_that_is_no_boolean_is_an_error() {
    let policy = "name: n\nrule: {match: [{condition: subject.attributes.ward, output: 'true'}]}\n";
    let error = policy_on(policy, &document()).unwrap_err().to_string();
    assert_eq!(error, "p.yaml:2: condition: must be a boolean, is of type `string`");
    let policy = "name: n\nrule: {match: [{condition: action, output: 'true', explanation: '1'}]}\n";
    assert_eq!(
        faults(policy),
        [
            "p.yaml:2:28: document: must be a bool, is a string",
            "p.yaml:2:65: document: must be a string, is an int"
        ]
    );
}

#[test]
fn faults_stand_where_they_are_in_the_file() {
    let policy = "name: n
rule:
  match:
    - condition: |
        action == 'read'
          && 'admin' in subject.rolez
      output: 'true'
    - condition: >-
        owner == subject.id
      output: lowercase(action)
    - condition: \"action.startswith('r')\"
      output: 'size(1, 2) == 1'
    - condition: variables.nope
      output: ip('1.2.3') == ip('10.0.0.1')
    - condition: action ==
      output: 'true'
";
    assert_eq!(
        faults(policy),
        [
            "p.yaml:6:33: cel_undeclared: `subject` has no field `rolez`, did you mean `roles`",
            "p.yaml:9:9: cel_undeclared: `owner` is not declared",
            "p.yaml:10:15: cel_function_missing: there is no function `lowercase`",
            "p.yaml:11:26: cel_function_missing: there is no function `startswith`, did you mean `startsWith`",
            "p.yaml:12:16: cel_function_missing: `size` takes 1 arguments, not 2",
            "p.yaml:13:28: cel_undeclared: no variable `nope` is defined above this place",
            "p.yaml:14:19: cel_syntax: `1.2.3` is not an IP address",
            "p.yaml:15:27: cel_syntax: syntax error: mismatched input '<eof>' expecting expression",
        ]
    );
}

#[test]
fn shape_faults_stand_at_their_node() {
    let policy = "name: n
imports: [{name: x}]
rule:
  matches: []
  match:
    - output: 'true'
    - {condition: 'true', outputs: 'true'}
    - {output: '1', rule: {match: [{output: '1'}]}}
";
    assert_eq!(
        faults(policy),
        [
            "p.yaml:2:1: document: `imports` is not supported: types are built in, remove it",
            "p.yaml:4:3: document: a rule has no key `matches`, did you mean `match`",
            "p.yaml:6:7: document: this match always answers, so those after it are never reached",
            "p.yaml:7:27: document: a match has no key `outputs`, did you mean `output`",
            "p.yaml:7:7: document: a match needs either an `output` or a `rule`",
            "p.yaml:8:7: document: a match needs either an `output` or a `rule`",
        ]
    );
}

#[test]
fn documents_that_are_no_policy_are_refused() {
    for text in
        ["", "[]", "name: n", "rule: {match: [{output: '1'}]}", "name: n\nrule: {}", "name: [", "a: b"]
    {
        assert!(!faults(text).is_empty(), "{text}");
    }
}

#[test]
fn operations_that_fail_on_every_request_are_refused() {
    let cases = [
        ("subject.id == 1", "a string never equals an int"),
        ("workload.id == 1", "a string never equals an int"),
        ("subject.roles == 'nurse'", "a list never equals a string"),
        ("subject.id == null", "a string never equals a null, test with `has(..)`"),
        ("1 in subject.roles", "an int is never in a list of string"),
        ("'a' in subject.id", "`in` needs a list or a map, not a string"),
        ("subject.roles.contains('x')", "`contains` needs a string, not a list"),
        ("behaviour.score > 'x'", "a double and a string have no order"),
        ("behaviour.score * 2 > 1.0", "`*` does not take a double and an int"),
        ("subject.id && true", "`&&` needs a bool, not a string"),
        ("!subject.id", "`!` needs a bool, not a string"),
        ("transport.encrypted ? subject.id == action : subject.roles > 1", "a list and an int have no order"),
        ("subject.roles.exists(r, r == 1)", "a string never equals an int"),
        ("now > 1", "a timestamp and an int have no order"),
        ("subject.id.exists(x, true)", "a string cannot be looped over"),
    ];
    for (condition, message) in cases {
        let policy = format!("name: n\nrule: {{match: [{{condition: \"{condition}\", output: 'true'}}]}}\n");
        let faults = faults(&policy);
        assert!(faults.len() == 1 && faults[0].ends_with(message), "{condition}: {faults:?}");
        assert!(faults[0].starts_with("p.yaml:2:"), "{faults:?}");
    }
}

#[test]
fn types_of_variables_are_known_where_they_are_used() {
    let policy = "name: n\nrule:\n  variables:\n    - {name: x, expression: size(subject.roles)}\n  match:\n    \
                  - {condition: variables.x, output: 'true'}\n";
    assert_eq!(faults(policy), ["p.yaml:6:19: document: must be a bool, is an int"]);
}

#[test]
fn variable_keeps_values_of_every_type() {
    let policy = "
name: n
rule:
  variables:
    - {name: inside, expression: \"[cidr('10.0.0.0/8'), cidr('192.168.0.0/16')]\"}
    - {name: address, expression: ip(transport.source_ip)}
    - {name: table, expression: \"{'a': [1, 2u, 1.5, b'x', null, now, type(1)], 1: {true: duration('1s')}}\"}
  match:
    - condition: >-
        variables.inside.exists(n, n.containsIP(variables.address))
        && variables.table == {'a': [1, 2u, 1.5, b'x', null, now, type(1)], 1: {true: duration('1s')}}
      output: 'true'
";
    assert_eq!(policy_on(policy, &document()).unwrap(), Some(json!({"output": true})));
}

#[test]
fn items_of_a_documented_list_have_their_fields_and_no_others() {
    let policy = |condition: &str| {
        format!("name: n\nrule:\n  match:\n    - condition: \"{condition}\"\n      output: 'true'\n")
    };
    let mut document = document();
    document["payload"] = json!({"findings": [{"detector": "iban", "confidence": 1}]});
    let known = policy("payload.findings.exists(f, f.detector == 'iban' && has(f.confidence))");
    assert_eq!(policy_on(&known, &document).unwrap(), Some(json!({"output": true})));
    for unknown in ["f.detectr == 'iban'", "has(f.detectr)"] {
        let unknown = policy(&format!("payload.findings.exists(f, {unknown})"));
        assert!(faults(&unknown)[0].ends_with("`f` has no field `detectr`, did you mean `detector`"));
    }
}

#[test]
fn nested_rule_without_a_condition_is_tried_and_left() {
    let policy = "
name: n
rule:
  match:
    - rule:
        match:
          - {condition: subject.id == 'eve', output: 'false'}
    - condition: 'true'
      rule:
        match:
          - {condition: subject.id == 'bob', output: 'false'}
    - output: 'true'
";
    assert_eq!(policy_on(policy, &document()).unwrap(), Some(json!({"output": true})));
}

#[test]
fn variable_of_a_nested_rule_hides_the_one_around_it() {
    let policy = "
name: n
rule:
  variables:
    - {name: i, expression: '1'}
    - {name: j, expression: '2'}
  match:
    - condition: action == 'read'
      rule:
        variables: [{name: i, expression: variables.i + 4}]
        match: [{output: variables.i + variables.j}]
    - output: variables.i
";
    assert_eq!(policy_on(policy, &document()).unwrap(), Some(json!({"output": 7})));
    let mut other = document();
    other["action"] = json!("write");
    assert_eq!(policy_on(policy, &other).unwrap(), Some(json!({"output": 1})));
}

#[test]
fn nested_rule_that_always_answers_ends_its_rule() {
    let policy = "
name: n
rule:
  match:
    - rule: {match: [{output: 'true'}]}
    - output: 'false'
";
    let message = "document: this match always answers, so those after it are never reached";
    assert_eq!(faults(policy), [format!("p.yaml:5:7: {message}")]);
}

#[test]
fn field_of_a_variable_is_that_variables() {
    let policy = "
name: n
rule:
  variables:
    - {name: first, expression: '{\"k\": 1, \"f\": {\"g\": 1}}'}
    - {name: second, expression: '{\"k\": 2, \"f\": {\"g\": 2}}'}
  match:
    - output: '[variables.first.k, variables.second.k, variables.second.f.g, variables.second[\"k\"], has(variables.second.k) ? 2 : 0]'
";
    assert_eq!(policy_on(policy, &document()).unwrap(), Some(json!({"output": [1, 2, 2, 2, 2]})));
    let absent = policy.replace("variables.second.f.g", "variables.second.nope");
    assert!(policy_on(&absent, &document()).is_err());
}
