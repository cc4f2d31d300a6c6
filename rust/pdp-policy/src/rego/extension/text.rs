//! Text builtins: letter case by single characters, positions, and JSON as OPA writes it.

use regorus::Value;

use super::super::convert;
use super::failed;

/// Bytes of JSON text one call may make.
const MAX_JSON_BYTES: u64 = 1 << 24;

/// `upper(text)`: each character by its one-to-one mapping, as Go maps it.
pub(super) fn upper(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("upper takes a text") };
    Ok(Value::from(text.chars().map(|c| only(c.to_uppercase()).unwrap_or(c)).collect::<String>()))
}

/// `lower(text)`: each character by its one-to-one mapping, as Go maps it.
pub(super) fn lower(given: &[Value]) -> anyhow::Result<Value> {
    const DOTTED_I: char = '\u{130}';
    let [Value::String(text)] = given else { return failed("lower takes a text") };
    let lowered = |c: char| if c == DOTTED_I { 'i' } else { only(c.to_lowercase()).unwrap_or(c) };
    Ok(Value::from(text.chars().map(lowered).collect::<String>()))
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    mapped.next().filter(|_| mapped.next().is_none())
}

/// `indexof(text, part)` in characters; -1 where there is none.
pub(super) fn indexof(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text), Value::String(part)] = given else { return failed("indexof takes two texts") };
    if part.is_empty() {
        return failed("indexof: empty search text");
    }
    let found = text.find(&**part).and_then(|at| text.get(..at)).map(|before| before.chars().count());
    Ok(found.map_or_else(|| Value::from(-1_i64), Value::from))
}

/// `indexof_n(text, part)`: all positions, overlapping ones too.
pub(super) fn indexof_n(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text), Value::String(part)] = given else {
        return failed("indexof_n takes two texts");
    };
    if part.is_empty() {
        return failed("indexof_n: empty search text");
    }
    let starts = text.char_indices().enumerate();
    let found: Vec<Value> = starts
        .filter(|(_, (at, _))| text.get(*at..).is_some_and(|rest| rest.starts_with(&**part)))
        .map(|(position, _)| Value::from(position))
        .collect();
    Ok(Value::from(found))
}

/// `json.marshal(x)` with the characters that HTML treats specially escaped, as Go writes JSON.
pub(super) fn json_marshal(given: &[Value]) -> anyhow::Result<Value> {
    let [value] = given else { return failed("json.marshal takes a value") };
    let value = convert::from_rego(value, MAX_JSON_BYTES).map_err(|error| anyhow::anyhow!("{error}"))?;
    let text = value.map(|value| serde_json::Value::from(&value).to_string()).unwrap_or_default();
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            '\u{7f}' => escaped.push_str("\\u007f"),
            c => escaped.push(c),
        }
    }
    Ok(Value::from(escaped))
}

/// `json.unmarshal(text)`. Numbers OPA keeps and the engine cannot hold are errors.
pub(super) fn json_unmarshal(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("json.unmarshal takes a text") };
    match Value::from_json_str(text) {
        Ok(value) => Ok(value),
        Err(_) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => {
            anyhow::bail!("json.unmarshal: a number is too large to be held")
        }
        Err(_) => failed("json.unmarshal: not JSON"),
    }
}

/// `json.is_valid(text)`; anything but text is not.
pub(super) fn json_is_valid(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return Ok(Value::Bool(false)) };
    Ok(Value::Bool(serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()))
}
