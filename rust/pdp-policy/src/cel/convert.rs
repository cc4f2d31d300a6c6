//! Between this crate's values and the engine's.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
    CelTimestamp, CelType, CelUInt, Kind,
};
use cel::common::value::Val;

use super::meter;
use crate::value::{Float, Key, Map, Value};

/// The engine's view of `value`; text and bytes are borrowed. `None` once a budget is passed.
pub(super) fn to_engine<'a>(value: &'a Value) -> Option<Box<dyn Val + 'a>> {
    if !meter::spend(1) {
        return None;
    }
    Some(match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(value) => Box::new(CelBool::from(*value)),
        Value::Int(number) => Box::new(CelInt::from(*number)),
        Value::Float(number) => Box::new(CelDouble::from(number.get())),
        Value::Text(text) => Box::new(CelString::from(text.as_ref())),
        Value::Bytes(bytes) => Box::new(CelBytes::from(bytes.as_ref())),
        Value::List(items) => {
            let items = items.iter().map(to_engine).collect::<Option<Vec<_>>>()?;
            Box::new(CelList::from(items))
        }
        Value::Map(map) => {
            let entry = |(key, value): &'a (Key, Value)| {
                Some((CelMapKey::String(CelString::from(key.as_str())), to_engine(value)?))
            };
            let entries = map.iter().map(entry).collect::<Option<HashMap<_, _>>>()?;
            Box::new(CelMap::from(entries))
        }
    })
}

/// The value of an engine's answer.
///
/// Unsigned numbers become [`Value::Int`], timestamps RFC 3339 text, durations text such
/// as `90s`, types their name.
///
/// # Errors
/// What the value model has no place for: NaN and infinities, unsigned numbers past `i64`,
/// maps with keys that are no text, other types.
pub(super) fn from_engine(value: &dyn Val) -> Result<Value, String> {
    let no_place = || format!("an answer cannot hold a value of type `{}`", value.get_type().name());
    let converted = match value.get_type().kind() {
        Kind::NullType => Some(Value::Null),
        Kind::Boolean => value.downcast_ref::<CelBool>().map(|v| Value::Bool(*v.inner())),
        Kind::Int => value.downcast_ref::<CelInt>().map(|v| Value::Int(*v.inner())),
        Kind::UInt => {
            let number = value.downcast_ref::<CelUInt>().and_then(|v| i64::try_from(*v.inner()).ok());
            number.map(Value::Int)
        }
        Kind::Double => {
            let number = value.downcast_ref::<CelDouble>().and_then(|v| Float::new(*v.inner()));
            number.map(Value::Float)
        }
        Kind::String => value.downcast_ref::<CelString>().map(|v| Value::text(v.inner())),
        Kind::Bytes => value.downcast_ref::<CelBytes>().map(|v| Value::Bytes(v.inner().into())),
        Kind::Timestamp => value.downcast_ref::<CelTimestamp>().map(|v| Value::text(&timestamp(v))),
        Kind::Duration => value.downcast_ref::<CelDuration>().map(|v| Value::text(&duration(v))),
        Kind::Type => value.downcast_ref::<CelType>().map(|v| Value::text(v.name())),
        Kind::List => match value.downcast_ref::<CelList>() {
            Some(list) => {
                let items = list.inner().iter().map(|item| from_engine(item.as_ref()));
                Some(Value::from(items.collect::<Result<Vec<_>, _>>()?))
            }
            None => None,
        },
        Kind::Map => value.downcast_ref::<CelMap>().map(entries).transpose()?,
        _ => None,
    };
    converted.ok_or_else(no_place)
}

fn entries(map: &CelMap<'_>) -> Result<Value, String> {
    let entry = |(key, value): (&CelMapKey<'_>, &Box<dyn Val + '_>)| match key {
        CelMapKey::String(key) => Ok((Key::Owned(key.inner().into()), from_engine(value.as_ref())?)),
        _ => Err("a key of a map in an answer must be text".to_owned()),
    };
    Ok(Value::Map(map.inner().iter().map(entry).collect::<Result<Map, String>>()?))
}

/// RFC 3339 in UTC.
pub(super) fn timestamp(value: &CelTimestamp) -> String {
    let utc = value.inner().with_timezone(&chrono::Utc);
    utc.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// Seconds with up to nine decimals, then `s`, as protobuf's JSON form has it.
pub(super) fn duration(value: &CelDuration) -> String {
    let (seconds, nanos) = (value.inner().num_seconds(), value.inner().subsec_nanos());
    if nanos == 0 {
        return format!("{seconds}s");
    }
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:09}", seconds.unsigned_abs(), nanos.unsigned_abs());
    format!("{}s", text.trim_end_matches('0'))
}
