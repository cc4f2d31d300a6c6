//! Checks of one field each: sizes, counts, forms, depths.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pdp_engine::Text;
use pdp_policy::{Float, Key, Map, Value};
use pdp_proto::v1::ErrorReason;
use prost_types::value::Kind;
use prost_types::{Struct, Timestamp};

use crate::errors::InvalidRequest;

/// Levels that open attributes may be nested; the attributes themselves are the first.
pub(crate) const MAX_DEPTH: usize = 32;

/// First and last second that a `Timestamp` can hold: years 1 to 9999.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Sorted pairs of text, as the engine holds labels.
pub(crate) type Labels = Vec<(Text, Text)>;

pub(crate) fn invalid(
    reason: ErrorReason,
    field: impl Into<String>,
    message: impl Into<String>,
) -> InvalidRequest {
    InvalidRequest { reason, field: field.into(), message: message.into() }
}

/// Refuses an absent value.
pub(crate) fn present<T>(at: &str, value: Option<T>, needed_for: &str) -> Result<T, InvalidRequest> {
    value.ok_or_else(|| invalid(ErrorReason::FieldRequired, at, format!("required for {needed_for}")))
}

/// Refuses more than `max` bytes.
pub(crate) fn size(at: &str, bytes: usize, max: usize) -> Result<(), InvalidRequest> {
    if bytes <= max {
        return Ok(());
    }
    Err(invalid(ErrorReason::TooLarge, at, format!("has {bytes} bytes; at most {max} are accepted")))
}

/// Refuses more than `max` entries.
pub(crate) fn count(at: &str, entries: usize, max: usize) -> Result<(), InvalidRequest> {
    if entries <= max {
        return Ok(());
    }
    Err(invalid(ErrorReason::TooLarge, at, format!("has {entries} entries; at most {max} are accepted")))
}

/// A text that must not be empty.
pub(crate) fn required(at: &str, text: &str, max: usize) -> Result<Text, InvalidRequest> {
    if text.is_empty() {
        return Err(invalid(ErrorReason::FieldRequired, at, "must not be empty"));
    }
    size(at, text.len(), max)?;
    Ok(Text::from(text))
}

/// A text of which empty means absent.
pub(crate) fn optional(at: &str, text: &str, max: usize) -> Result<Option<Text>, InvalidRequest> {
    size(at, text.len(), max)?;
    Ok((!text.is_empty()).then(|| Text::from(text)))
}

/// A list of texts.
pub(crate) fn texts(at: &str, list: &[String], max: usize) -> Result<Vec<Text>, InvalidRequest> {
    count(at, list.len(), max)?;
    Ok(list.iter().map(|text| Text::from(text.as_str())).collect())
}

/// A map of texts, sorted by key.
pub(crate) fn labels(at: &str, map: &HashMap<String, String>, max: usize) -> Result<Labels, InvalidRequest> {
    count(at, map.len(), max)?;
    let mut pairs: Labels =
        map.iter().map(|(k, v)| (Text::from(k.as_str()), Text::from(v.as_str()))).collect();
    pairs.sort_unstable();
    Ok(pairs)
}

/// A point in time.
pub(crate) fn time(at: &str, timestamp: Option<&Timestamp>) -> Result<Option<SystemTime>, InvalidRequest> {
    let Some(timestamp) = timestamp else { return Ok(None) };
    let nanos = u32::try_from(timestamp.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let (true, Some(nanos)) = (TIMESTAMP_SECONDS.contains(&timestamp.seconds), nanos) else {
        let message = "is no point in time: seconds from year 1 to 9999, nanos from 0 to 999,999,999";
        return Err(invalid(ErrorReason::FieldOutOfRange, at, message));
    };
    let seconds = Duration::from_secs(timestamp.seconds.unsigned_abs());
    let base =
        if timestamp.seconds < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    let moment = base.and_then(|base| base.checked_add(Duration::from_nanos(nanos.into())));
    moment
        .map(Some)
        .ok_or_else(|| invalid(ErrorReason::FieldOutOfRange, at, "is no point in time of this system"))
}

/// Open attributes: an absent message is an empty map.
pub(crate) fn attributes(at: &str, attributes: Option<&Struct>) -> Result<Map, InvalidRequest> {
    attributes.map_or_else(|| Ok(Map::default()), |attributes| structure(at, attributes))
}

/// Open attributes.
pub(crate) fn structure(at: &str, attributes: &Struct) -> Result<Map, InvalidRequest> {
    map(attributes, 1).map_err(|fault| {
        let path: String = fault.path.iter().rev().map(String::as_str).collect();
        invalid(fault.reason, format!("{at}{path}"), fault.message)
    })
}

/// A fault inside open attributes; the path is built from the inside out, only when there is one.
struct Fault {
    reason: ErrorReason,
    message: String,
    path: Vec<String>,
}

impl Fault {
    fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), path: Vec::new() }
    }

    fn under(mut self, segment: String) -> Self {
        self.path.push(segment);
        self
    }
}

// The recursion is bounded by `MAX_DEPTH`.
fn map(attributes: &Struct, depth: usize) -> Result<Map, Fault> {
    deep(depth)?;
    let mut entries = Vec::with_capacity(attributes.fields.len());
    for (key, item) in &attributes.fields {
        let converted = value(item, depth).map_err(|fault| fault.under(format!(".{key}")))?;
        entries.push((Key::Owned(Arc::from(key.as_str())), converted));
    }
    Ok(Map::from_entries(entries))
}

fn value(item: &prost_types::Value, depth: usize) -> Result<Value, Fault> {
    match &item.kind {
        Some(Kind::NullValue(0)) => Ok(Value::Null),
        Some(Kind::NullValue(other)) => Err(Fault::new(
            ErrorReason::EnumUnknown,
            format!("`{other}` is no null value; 0 is the only one"),
        )),
        Some(Kind::BoolValue(flag)) => Ok(Value::Bool(*flag)),
        Some(Kind::NumberValue(number)) => self::number(*number),
        Some(Kind::StringValue(text)) => Ok(Value::text(text)),
        Some(Kind::StructValue(fields)) => map(fields, depth + 1).map(Value::Map),
        Some(Kind::ListValue(list)) => {
            deep(depth + 1)?;
            let convert = |(at, item)| value(item, depth + 1).map_err(|fault| fault.under(format!("[{at}]")));
            list.values.iter().enumerate().map(convert).collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        None => Err(Fault::new(ErrorReason::FieldRequired, "has no value; write null for nothing")),
    }
}

fn deep(depth: usize) -> Result<(), Fault> {
    if depth <= MAX_DEPTH {
        return Ok(());
    }
    Err(Fault::new(ErrorReason::TooDeep, format!("is nested more than {MAX_DEPTH} levels deep")))
}

/// JSON numbers travel as doubles: a whole one within ±2^53 was a whole number, and policies see it as such.
fn number(number: f64) -> Result<Value, Fault> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Ok(Value::Int(number as i64));
    }
    let float =
        Float::new(number).ok_or_else(|| Fault::new(ErrorReason::NumberNotFinite, not_finite(number)))?;
    Ok(Value::Float(float))
}

/// Message for a number that is NaN or infinite.
pub(crate) fn not_finite(number: f64) -> String {
    format!("`{number}` is not a finite number")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(value: prost_types::Value) -> Struct {
        Struct { fields: [("k".to_owned(), value)].into() }
    }

    fn nested(levels: usize) -> Struct {
        (1..levels).fold(Struct::default(), |inner, _| wrap(Kind::StructValue(inner).into_value()))
    }

    trait IntoValue {
        fn into_value(self) -> prost_types::Value;
    }

    impl IntoValue for Kind {
        fn into_value(self) -> prost_types::Value {
            prost_types::Value { kind: Some(self) }
        }
    }

    #[test]
    fn thirty_two_levels_are_accepted_and_one_more_is_not() {
        assert!(structure("context", &nested(MAX_DEPTH)).is_ok());
        let error = structure("context", &nested(MAX_DEPTH + 1)).unwrap_err();
        assert_eq!(error.reason, ErrorReason::TooDeep);
        assert!(error.field.starts_with("context.k.k"), "{}", error.field);
    }

    #[test]
    fn number_that_is_not_finite_is_refused_with_its_path() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let list = prost_types::ListValue { values: vec![Kind::NumberValue(bad).into_value()] };
            let error = structure("context", &wrap(Kind::ListValue(list).into_value())).unwrap_err();
            assert_eq!((error.reason, error.field.as_str()), (ErrorReason::NumberNotFinite, "context.k[0]"));
        }
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let read =
            |number| structure("c", &wrap(Kind::NumberValue(number).into_value())).unwrap().get("k").cloned();
        assert_eq!(read(30.0), Some(Value::Int(30)));
        assert_eq!(read(-0.0), Some(Value::Int(0)));
        assert_eq!(read(0.5), Float::new(0.5).map(Value::Float));
        assert_eq!(read(1e300), Float::new(1e300).map(Value::Float));
    }

    #[test]
    fn value_without_a_kind_is_refused() {
        let error = structure("c", &wrap(prost_types::Value { kind: None })).unwrap_err();
        assert_eq!(error.reason, ErrorReason::FieldRequired);
    }

    #[test]
    fn timestamp_outside_of_its_range_is_refused() {
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            let error = time("t", Some(&Timestamp { seconds, nanos })).unwrap_err();
            assert_eq!(error.reason, ErrorReason::FieldOutOfRange);
        }
        let moment = time("t", Some(&Timestamp { seconds: -1, nanos: 500_000_000 })).unwrap();
        assert_eq!(moment, Some(UNIX_EPOCH - Duration::from_millis(500)));
    }
}
