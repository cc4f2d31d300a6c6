//! Typed evaluation of single expressions, as the comparison with the specification uses it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use cel_schema::budget;
use pdp_policy::cel::{Evaluation, evaluate_expression};
use serde_json::{Value, json};

fn evaluate(expression: &str, bindings: Value, checks: bool) -> Evaluation {
    evaluate_expression(expression, bindings.as_object().unwrap(), &budget(), checks)
}

#[test]
fn every_type_is_told_apart_in_both_directions() {
    for tagged in [
        json!({"null": null}),
        json!({"bool": true}),
        json!({"int": "-9223372036854775808"}),
        json!({"uint": "18446744073709551615"}),
        json!({"double": 1.5}),
        json!({"double": "NaN"}),
        json!({"double": "-Infinity"}),
        json!({"string": "é"}),
        json!({"bytes": "AP/+"}),
        json!({"list": [{"int": "1"}, {"uint": "1"}]}),
        json!({"map": [[{"int": "1"}, {"string": "a"}], [{"string": "k"}, {"null": null}]]}),
        json!({"timestamp": "2026-01-02T03:04:05.500Z"}),
        json!({"duration": "-1.5s"}),
        json!({"type": "int"}),
    ] {
        assert_eq!(evaluate("x", json!({"x": tagged}), true), Evaluation::Value(tagged.clone()));
        assert_eq!(evaluate("[x][0]", json!({"x": tagged}), true), Evaluation::Value(tagged.clone()));
    }
    assert_eq!(evaluate("ip('::1')", json!({}), true), Evaluation::Value(json!({"net.IP": "::1"})));
    assert_eq!(
        evaluate("type(x)", json!({"x": {"uint": "1"}}), true),
        Evaluation::Value(json!({"type": "uint"}))
    );
}

#[test]
fn refusal_failure_and_value_are_told_apart() {
    assert!(matches!(evaluate("1 +", json!({}), true), Evaluation::Refused(_)));
    assert!(matches!(evaluate("nothing", json!({}), true), Evaluation::Refused(_)));
    assert!(matches!(evaluate("nothing", json!({}), false), Evaluation::Failed(_)));
    assert!(matches!(evaluate("1 / 0", json!({}), true), Evaluation::Failed(_)));
    assert!(matches!(evaluate("x", json!({"x": {"nonsense": 1}}), true), Evaluation::Refused(_)));
    assert_eq!(evaluate("1 + 1", json!({}), false), Evaluation::Value(json!({"int": "2"})));
}

#[test]
fn checks_off_shows_the_engine_below() {
    assert_eq!(
        evaluate("optional.of(1).hasValue()", json!({}), false),
        Evaluation::Value(json!({"bool": true}))
    );
    assert!(matches!(evaluate("optional.of(1).hasValue()", json!({}), true), Evaluation::Refused(_)));
}
