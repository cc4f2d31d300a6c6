//! Between this crate's values and the engine's.

use std::collections::HashMap;

use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
    CelTimestamp, CelType, CelUInt, Kind,
};
use cel::common::value::{StaticVal, Val};

use super::meter;
use super::net::{Cidr, Ip};
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

/// A copy of `value` that borrows nothing; `None` for a type that no policy can make.
pub(super) fn detach(value: &dyn Val) -> Option<Box<dyn Val>> {
    if let Some(truth) = value.downcast_ref::<CelBool>() {
        return Some(Box::new(CelBool::from(*truth.inner())));
    }
    if let Some(text) = value.downcast_ref::<CelString>() {
        return Some(Box::new(CelString::from(text.inner().to_owned())));
    }
    if let Some(list) = value.downcast_ref::<CelList>() {
        let items = list.inner().iter().map(|item| detach(item.as_ref())).collect::<Option<Vec<_>>>()?;
        return Some(Box::new(CelList::from(items)));
    }
    if let Some(map) = value.downcast_ref::<CelMap>() {
        let entries = map.inner().iter();
        let entries = entries.map(|(key, value)| Some((detached_key(key), detach(value.as_ref())?)));
        return Some(Box::new(CelMap::from(entries.collect::<Option<HashMap<_, _>>>()?)));
    }
    if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        return Some(Box::new(CelBytes::from(bytes.inner().to_vec())));
    }
    fixed::<CelInt>(value)
        .or_else(|| fixed::<CelUInt>(value))
        .or_else(|| fixed::<CelDouble>(value))
        .or_else(|| fixed::<CelNull>(value))
        .or_else(|| fixed::<CelTimestamp>(value))
        .or_else(|| fixed::<CelDuration>(value))
        .or_else(|| fixed::<CelType>(value))
        .or_else(|| fixed::<Ip>(value))
        .or_else(|| fixed::<Cidr>(value))
}

fn fixed<T: StaticVal>(value: &dyn Val) -> Option<Box<dyn Val>> {
    Some(value.downcast_ref::<T>()?.clone_as_boxed())
}

fn detached_key(key: &CelMapKey<'_>) -> CelMapKey<'static> {
    match key {
        CelMapKey::Bool(truth) => CelMapKey::Bool(CelBool::from(*truth.inner())),
        CelMapKey::Int(number) => CelMapKey::Int(CelInt::from(*number.inner())),
        CelMapKey::UInt(number) => CelMapKey::UInt(CelUInt::from(*number.inner())),
        CelMapKey::String(text) => CelMapKey::String(CelString::from(text.inner().to_owned())),
    }
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
    let mut entries = Vec::with_capacity(map.inner().len());
    for (key, value) in map.inner() {
        let CelMapKey::String(key) = key else {
            return Err("a key of a map in an answer must be text".to_owned());
        };
        entries.push((Key::Owned(key.inner().into()), from_engine(value.as_ref())?));
    }
    Ok(Value::Map(Map::from_entries(entries)))
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
