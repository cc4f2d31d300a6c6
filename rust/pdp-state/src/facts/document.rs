//! Documents as JSON, and what they weigh in memory.

use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactDocument, FactKind};
use pdp_policy::{Map, Value};
use serde_json::{Value as Json, json};

use super::FactKey;

/// Bytes that an entry costs beside its document.
const ENTRY_BYTES: u64 = 256;
/// Bytes that a map's entry or a list's item costs beside what it holds.
const ITEM_BYTES: u64 = 64;

/// The envelope that stands in a store: a name and a value.
pub(crate) fn envelope(key: &FactKey, value_json: &str) -> String {
    let name = name_json(key);
    // The name is an object that ends with a brace: the value goes in before it.
    let head = name.strip_suffix('}').unwrap_or(&name);
    format!("{head},\"value\":{value_json}}}")
}

/// The name alone.
pub(crate) fn name_json(key: &FactKey) -> String {
    json!({ "id": &*key.id, "kind": key.kind.name(), "tenant": key.tenant.as_deref() }).to_string()
}

/// Reads an envelope; `None` where it is none. The value is `None` in the envelope of a name alone.
pub(crate) fn read_envelope(text: &str) -> Option<(FactKey, Option<Map>)> {
    let Json::Object(mut fields) = serde_json::from_str(text).ok()? else { return None };
    let kind = fields.get("kind")?.as_str()?;
    let kind = FactKind::ALL.into_iter().find(|it| it.name() == kind)?;
    let tenant = fields.get("tenant").and_then(Json::as_str).map(Into::into);
    let key = FactKey { tenant, kind, id: fields.get("id")?.as_str()?.into() };
    let value = match fields.remove("value") {
        None => None,
        Some(value @ Json::Object(_)) => Some(value_from_json(&value)),
        Some(_) => return None,
    };
    Some((key, value))
}

/// A value as JSON text.
pub(crate) fn value_to_json(value: &Map) -> String {
    Json::from(&Value::Map(value.clone())).to_string()
}

/// A JSON object as a value; empty for anything else.
#[must_use]
pub fn value_from_json(json: &Json) -> Map {
    match Value::from(json) {
        Value::Map(map) => map,
        _ => Map::default(),
    }
}

/// Microseconds since 1970; 0 before it.
pub(crate) fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time at microseconds since 1970.
pub(crate) fn from_micros(micros: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Bytes that a document takes in memory, with its name and its place in a table; rather too many.
pub(crate) fn weight(key: &FactKey, document: &FactDocument) -> u64 {
    name_weight(key) + document.source.len() as u64 + map_weight(&document.value)
}

/// Bytes that a name takes with its place in a table.
pub(crate) fn name_weight(key: &FactKey) -> u64 {
    ENTRY_BYTES + key.id.len() as u64 + key.tenant.as_ref().map_or(0, |tenant| tenant.len() as u64)
}

fn map_weight(map: &Map) -> u64 {
    map.iter().map(|(key, value)| ITEM_BYTES + key.as_str().len() as u64 + value_weight(value)).sum()
}

fn value_weight(value: &Value) -> u64 {
    match value {
        Value::Text(text) => 16 + text.len() as u64,
        Value::Bytes(bytes) => 16 + bytes.len() as u64,
        Value::List(items) => items.iter().map(|item| ITEM_BYTES + value_weight(item)).sum(),
        Value::Map(map) => map_weight(map),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_keeps_the_name_and_the_value() {
        let value = value_from_json(
            &json!({ "a\"b": [1, 2.5, null, { "c": "{}" }], "n": 9_007_199_254_740_993_i64 }),
        );
        for tenant in [None, Some("a{}\n\"t")] {
            let key =
                FactKey { tenant: tenant.map(Into::into), kind: FactKind::Device, id: "x\n{}\"é".into() };
            let read = read_envelope(&envelope(&key, &value_to_json(&value)));
            assert_eq!(read, Some((key.clone(), Some(value.clone()))));
            assert_eq!(read_envelope(&name_json(&key)), Some((key, None)));
        }
    }

    #[test]
    fn what_is_no_envelope_is_not_read_as_one() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"kind":"device"}"#,
            r#"{"kind":"x","id":"a"}"#,
            r#"{"kind":"device","id":"a","value":1}"#,
        ] {
            assert_eq!(read_envelope(text), None, "{text}");
        }
    }
}
