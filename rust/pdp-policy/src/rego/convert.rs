//! Values between this crate and regorus, without a detour over JSON text.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use regorus::Value as Rego;

use crate::value::{Float, Key, Map, Value, base64};

/// Deepest nesting either direction accepts.
pub(super) const MAX_DEPTH: usize = 128;

/// What a value takes besides its text.
const BYTES_PER_VALUE: u64 = 24;

/// Why a value cannot cross.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConvertError {
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// More bytes than the budget allows.
    Memory,
    /// A number no 64-bit integer or float holds exactly.
    Number(String),
}

impl std::fmt::Display for ConvertError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Depth => write!(f, "value is nested deeper than {MAX_DEPTH} levels"),
            Self::Memory => f.write_str("value is larger than the memory budget"),
            Self::Number(number) => write!(f, "number `{number}` does not fit into 64 bits"),
        }
    }
}

thread_local! {
    /// Static keys as regorus holds them, by address and length: documented field names are few.
    static KEYS: RefCell<HashMap<(usize, usize), Arc<str>>> = RefCell::default();
}

fn interned(key: &Key) -> Rego {
    let text = match key {
        Key::Owned(text) => Arc::clone(text),
        Key::Static(text) => KEYS.with_borrow_mut(|keys| {
            let slot = keys.entry((text.as_ptr().addr(), text.len()));
            Arc::clone(slot.or_insert_with(|| Arc::from(*text)))
        }),
    };
    Rego::String(text)
}

/// Into regorus. Floats without a fraction become integers, as OPA compares them; bytes become base64 text.
///
/// # Errors
/// [`ConvertError::Depth`].
pub(super) fn to_rego(value: &Value) -> Result<Rego, ConvertError> {
    to_rego_sized(value).map(|(value, _)| value)
}

/// [`to_rego`] with about how many bytes the value takes.
pub(super) fn to_rego_sized(value: &Value) -> Result<(Rego, u64), ConvertError> {
    let mut bytes = 0;
    let value = descend(value, 0, &mut bytes)?;
    Ok((value, bytes))
}

fn descend(value: &Value, depth: usize, bytes: &mut u64) -> Result<Rego, ConvertError> {
    if depth > MAX_DEPTH {
        return Err(ConvertError::Depth);
    }
    let text_bytes = if let Value::Text(text) = value { text.len() as u64 } else { 0 };
    *bytes += BYTES_PER_VALUE + text_bytes;
    Ok(match value {
        Value::Null => Rego::Null,
        Value::Bool(value) => Rego::Bool(*value),
        Value::Int(number) => Rego::from(*number),
        Value::Float(number) => float(*number),
        Value::Text(text) => Rego::String(Arc::clone(text)),
        Value::Bytes(bytes) => Rego::from(base64(bytes)),
        Value::List(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| descend(item, depth + 1, bytes)).collect();
            Rego::from(items?)
        }
        Value::Map(map) => {
            let entries: Result<BTreeMap<_, _>, _> =
                map.iter().map(|(key, item)| Ok((interned(key), descend(item, depth + 1, bytes)?))).collect();
            Rego::from(entries?)
        }
    })
}

fn float(number: Float) -> Rego {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number.get();
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        return Rego::from(number as i64);
    }
    Rego::from(number)
}

/// Out of regorus, bounded by `bytes`. Sets become lists in the order of their elements; keys that are not text
/// become their JSON text, as in OPA's answers. Undefined becomes `None`.
///
/// # Errors
/// A value too deep or too large, or a number past 64 bits.
pub(super) fn from_rego(value: &Rego, bytes: u64) -> Result<Option<Value>, ConvertError> {
    if matches!(value, Rego::Undefined) {
        return Ok(None);
    }
    let mut left = bytes;
    ascend(value, 0, &mut left).map(Some)
}

fn ascend(value: &Rego, depth: usize, left: &mut u64) -> Result<Value, ConvertError> {
    if depth > MAX_DEPTH {
        return Err(ConvertError::Depth);
    }
    let text_bytes = if let Rego::String(text) = value { text.len() as u64 } else { 0 };
    *left = left.checked_sub(BYTES_PER_VALUE + text_bytes).ok_or(ConvertError::Memory)?;
    Ok(match value {
        Rego::Null | Rego::Undefined => Value::Null,
        Rego::Bool(value) => Value::Bool(*value),
        Rego::Number(_) => number(value)?,
        Rego::String(text) => Value::Text(Arc::clone(text)),
        Rego::Array(items) => list(items.as_slice().iter(), depth, left)?,
        Rego::Set(items) => list(in_order(items).into_iter(), depth, left)?,
        Rego::Object(entries) => {
            let entries: Result<Vec<_>, ConvertError> = entries
                .iter_sorted()
                .map(|(key, item)| Ok((Key::Owned(key_text(key)?), ascend(item, depth + 1, left)?)))
                .collect();
            Value::Map(Map::from_entries(entries?))
        }
    })
}

fn list<'a>(
    items: impl Iterator<Item = &'a Rego>,
    depth: usize,
    left: &mut u64,
) -> Result<Value, ConvertError> {
    let items: Result<Vec<_>, _> = items.map(|item| ascend(item, depth + 1, left)).collect();
    Ok(Value::from(items?))
}

fn number(value: &Rego) -> Result<Value, ConvertError> {
    if let Ok(whole) = value.as_i64() {
        return Ok(Value::Int(whole));
    }
    let text = value.to_json_str().unwrap_or_default();
    let float = text.parse().ok().and_then(Float::new);
    let is_whole = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    float.filter(|_| !is_whole).map(Value::Float).ok_or(ConvertError::Number(text))
}

fn key_text(key: &Rego) -> Result<Arc<str>, ConvertError> {
    match key {
        Rego::String(text) => Ok(Arc::clone(text)),
        other => serde_json::to_string(other).map(Arc::from).map_err(|_| ConvertError::Depth),
    }
}

/// A set's elements in OPA's order, where objects come before sets.
pub(super) fn in_order(items: &regorus::value::Set) -> Vec<&Rego> {
    let mut items: Vec<&Rego> = items.iter_sorted().collect();
    let has = |wanted: fn(&Rego) -> bool| items.iter().any(|item| wanted(item));
    if has(|item| matches!(item, Rego::Set(_))) && has(|item| matches!(item, Rego::Object(_))) {
        items.sort_by_key(|item| matches!(item, Rego::Set(_)));
    }
    items
}
