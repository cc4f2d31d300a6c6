//! No text and no input takes the engine down: it answers, fails or refuses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod cel_schema;

use cel_schema::{SCHEMA, budget, expression, source};
use pdp_policy::{Budget, Input, Value};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "subject",
    "subject.id",
    "subject.roles",
    "subject.attributes",
    "resource.labels",
    "device",
    "context",
    "now",
    "x",
    "y",
    "variables",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "size",
    "matches",
    "replace",
    "split",
    "join",
    "format",
    "substring",
    "timestamp",
    "duration",
    "ip",
    "cidr",
    "containsIP",
    "cel.bind",
    "math.greatest",
    "sets.contains",
    "type",
    "dyn",
    "int",
    "uint",
    "string",
    "getMilliseconds",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ".",
    ",",
    ":",
    "?",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "0",
    "1",
    "2u",
    "1.5",
    "9223372036854775807",
    "'a'",
    "'é😀'",
    "b'\\xff'",
    "''",
    "null",
    "true",
    "false",
    "'%s'",
    "'%.9e'",
    "'2026-01-01T00:00:00Z'",
    "'1s'",
    "'10.0.0.0/8'",
    "\\",
    "`",
    "'",
    "\"",
    "\n",
    "//",
    "é",
    "\u{0}",
];

fn values() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,8}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::hash_map("[a-z]{1,4}|id|roles|labels", inner, 0..4)
                .prop_map(serde_json::Value::from_iter),
        ]
    })
}

fn small() -> Budget {
    Budget { instructions: 20_000, memory_bytes: 1 << 20, ..budget() }
}

/// Evaluates `text` where it is accepted.
fn try_out(text: &str, document: &serde_json::Value) {
    if let Ok(program) = expression(text) {
        let input = Input::new(Value::from(document));
        let message = match program.instantiate().evaluate(&input, &small()) {
            Ok(_) => return,
            Err(error) => error.to_string(),
        };
        assert!(!message.contains("the engine failed"), "{text}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered_or_refused(text in ".{0,60}", subject in values()) {
        try_out(&text, &serde_json::json!({"subject": subject}));
    }

    #[test]
    fn any_words_are_answered_or_refused(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..24),
        subject in values(),
        context in values(),
    ) {
        let document = serde_json::json!({"subject": subject, "context": context});
        try_out(&words.concat(), &document);
        try_out(&words.join(" "), &document);
    }

    #[test]
    fn any_operation_on_any_input_is_answered_or_fails(
        subject in values(),
        context in values(),
        at in 0..OPERATIONS.len(),
    ) {
        let document = serde_json::json!({"subject": subject, "context": context});
        try_out(OPERATIONS[at], &document);
    }

    #[test]
    fn any_document_is_compiled_or_refused(text in "(name|rule|match|condition|output|[ :\n{}\\[\\]|>'\"&*!-]|[a-z]){0,40}") {
        let _ = pdp_policy::cel::compile_policy(&source(&text), &SCHEMA);
    }
}

const OPERATIONS: &[&str] = &[
    "context.a + context.a",
    "context.a.exists(x, x == context.a)",
    "context.a.map(x, [x, x]).size() > 1",
    "context.a.all(x, context.a.exists(y, y < x))",
    "context.a[context.a]",
    "context.a[0] % context.a[0]",
    "-context.a",
    "context.a - context.a * context.a / context.a",
    "context.a.replace(context.a, context.a)",
    "context.a.substring(context.a[0], 1)",
    "context.a.split(context.a).join(context.a)",
    "context.a.charAt(-1)",
    "'%d %s %f %x'.format([context.a, context.a, context.a, context.a])",
    "int(context.a) + uint(context.a)",
    "timestamp(context.a) - duration(context.a)",
    "timestamp(context.a) + duration('1h')",
    "now.getHours(context.a)",
    "duration(context.a).getHours()",
    "ip(context.a).isLoopback() || cidr(context.a).containsIP(context.a)",
    "sets.equivalent(context.a, context.a)",
    "math.greatest(context.a, 1) < math.least(context.a)",
    "{context.a: 1, 'b': context.a}",
    "context.a in context.a",
    "context == context && subject == context",
    "bytes(string(context.a)) == b'x'",
    "context.a.indexOf(context.a, context.a) + context.a.lastIndexOf('a', 99)",
    "math.bitShiftLeft(context.a, 64) == math.abs(context.a)",
    "base64.decode(context.a) == b''",
];
