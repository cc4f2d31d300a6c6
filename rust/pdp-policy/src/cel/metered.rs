//! Functions that pay for the copies they make, and those whose answers differ below.

use std::cmp::Ordering;

use cel::common::types::{
    CelBool, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelString, CelTimestamp, DYN_TYPE, LIST_TYPE,
    STRING_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{DeclarationError, Env, ExecutionError};

use super::function::{
    ADD, ITEMS, JOIN, MATCHES, MILLISECONDS, Pattern, REPLACE, SPLIT, TIMESTAMP, WEIGH, fault,
};
use super::meter;

type Answer<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// Adds them to `env`.
pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    sets(env)?;
    env.add_overload(ADD, ADD, vec![DYN_TYPE, DYN_TYPE], add)?;
    env.add_overload(WEIGH, WEIGH, vec![DYN_TYPE], weigh)?;
    env.add_overload(ITEMS, ITEMS, vec![DYN_TYPE], items)?;
    env.add_overload(JOIN, "@join(list)", vec![LIST_TYPE], join)?;
    env.add_overload(JOIN, "@join(list,string)", vec![LIST_TYPE, STRING_TYPE], join)?;
    cel::add_overload!(env, fn replace: (CelString, CelString, CelString) -> Result<CelString>,
        name = REPLACE)?;
    cel::add_overload!(env, fn replace_some: (CelString, CelString, CelString, CelInt) -> Result<CelString>,
        name = REPLACE)?;
    cel::add_overload!(env, fn parse_timestamp: (CelString) -> Result<CelTimestamp>, name = TIMESTAMP)?;
    cel::add_overload!(env, fn same_timestamp: (CelTimestamp) -> CelTimestamp, name = TIMESTAMP)?;
    cel::add_overload!(env, fn epoch_timestamp: (CelInt) -> Result<CelTimestamp>, name = TIMESTAMP)?;
    cel::add_overload!(env, fn timestamp_millis: (CelTimestamp) -> CelInt, name = MILLISECONDS)?;
    cel::add_overload!(env, fn duration_millis: (CelDuration) -> CelInt, name = MILLISECONDS)?;
    cel::add_overload!(env, fn split: (CelString, CelString) -> Result<CelList>, name = SPLIT)?;
    cel::add_overload!(env, fn split_some: (CelString, CelString, CelInt) -> Result<CelList>, name = SPLIT)?;
    cel::add_overload!(env, fn matches: (CelString, Pattern) -> CelBool, name = MATCHES)
}

fn sets(env: &mut Env) -> Result<(), DeclarationError> {
    let lists = || vec![LIST_TYPE, LIST_TYPE];
    env.add_overload("sets.contains", "sets.contains", lists(), |args| {
        pair(&args, |left, right| subset(right, left))
    })?;
    env.add_overload("sets.equivalent", "sets.equivalent", lists(), |args| {
        pair(&args, |left, right| Ok(subset(left, right)? && subset(right, left)?))
    })?;
    env.add_overload("sets.intersects", "sets.intersects", lists(), |args| {
        pair(&args, |left, right| {
            pay_for_pairs(left, right)?;
            Ok(left.inner().iter().any(|item| holds(right, item.as_ref())))
        })
    })
}

/// What a call fails with once a budget is passed; the meter knows which one.
fn spent(function: &str) -> ExecutionError {
    fault(function, "the evaluation passed its budget".to_owned())
}

fn length(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

fn pay(function: &str, nodes: usize, bytes: usize) -> Result<(), ExecutionError> {
    if meter::copy(length(nodes), length(bytes)) { Ok(()) } else { Err(spent(function)) }
}

/// Pays for a copy of `value` while walking it, so that the walk ends with the budget.
pub(super) fn pay_for(value: &dyn Val) -> bool {
    if let Some(text) = value.downcast_ref::<CelString>() {
        meter::copy(1, length(text.inner().len()))
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        meter::copy(1, 0) && list.inner().iter().all(|item| pay_for(item.as_ref()))
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        meter::copy(1, 0) && map.inner().values().all(|item| meter::copy(1, 32) && pay_for(item.as_ref()))
    } else {
        meter::copy(1, 0)
    }
}

fn weigh<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    match args.pop() {
        Some(value) if pay_for(value.as_ref()) => Ok(value),
        _ => Err(spent(WEIGH)),
    }
}

/// What a loop goes over: a list, or the keys of a map in their order. The engine's own
/// order of keys differs from run to run.
fn items<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let value = weigh(args)?;
    let Some(map) = value.downcast_ref::<CelMap>() else { return Ok(value) };
    let mut keys: Vec<&CelMapKey<'v>> = map.inner().keys().collect();
    keys.sort_by(|a, b| key_order(a, b));
    let keys = keys.into_iter().map(|key| key.inner().clone_as_boxed()).collect::<Vec<_>>();
    Ok(CowVal::owned(CelList::from(keys)))
}

/// Numbers by value, then text, then booleans.
fn key_order(left: &CelMapKey<'_>, right: &CelMapKey<'_>) -> Ordering {
    match (left, right) {
        (CelMapKey::String(a), CelMapKey::String(b)) => a.inner().cmp(b.inner()),
        (CelMapKey::Bool(a), CelMapKey::Bool(b)) => a.inner().cmp(b.inner()),
        _ => key_number(left).cmp(&key_number(right)),
    }
}

fn key_number(key: &CelMapKey<'_>) -> (u8, i128) {
    match key {
        CelMapKey::Int(number) => (0, i128::from(*number.inner())),
        CelMapKey::UInt(number) => (0, i128::from(*number.inner())),
        CelMapKey::String(_) => (1, 0),
        CelMapKey::Bool(_) => (2, 0),
    }
}

fn add<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let [left, right] = args.as_slice() else {
        return Err(ExecutionError::invalid_argument_count(2, args.len()));
    };
    if !pay_for(left.as_ref()) || !pay_for(right.as_ref()) {
        return Err(spent("_+_"));
    }
    let types = || vec![left.get_type().name().to_owned(), right.get_type().name().to_owned()];
    // The engine appends the keys of a map to a list.
    let mixed = left.downcast_ref::<CelList>().is_some() != right.downcast_ref::<CelList>().is_some();
    let adder = left.as_adder().filter(|_| !mixed);
    let adder = adder.ok_or_else(|| ExecutionError::no_such_overload("_+_", types()))?;
    Ok(CowVal::Owned(adder.add(right.as_ref())?.into_owned()))
}

fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Answer<'b, 'v> {
    let list = args.first().and_then(|list| list.downcast_ref::<CelList>());
    let separator = args.get(1).and_then(|text| text.downcast_ref::<CelString>());
    let separator = separator.map_or("", |text| text.inner());
    let mut parts: Vec<&str> = Vec::new();
    for item in list.into_iter().flat_map(|list| list.inner()) {
        let Some(text) = item.downcast_ref::<CelString>() else {
            return Err(fault("join", format!("an item is no string but {}", item.get_type().name())));
        };
        pay("join", 1, text.inner().len() + separator.len())?;
        parts.push(text.inner());
    }
    Ok(CowVal::owned(CelString::from(parts.join(separator))))
}

fn replace(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
) -> Result<CelString<'static>, ExecutionError> {
    replace_some(text, from, to, &CelInt::from(-1))
}

fn replace_some(
    text: &CelString<'_>,
    from: &CelString<'_>,
    to: &CelString<'_>,
    most: &CelInt,
) -> Result<CelString<'static>, ExecutionError> {
    let most = usize::try_from(*most.inner()).unwrap_or(usize::MAX);
    let found = text.inner().matches(from.inner()).take(most).count();
    pay("replace", 1, text.inner().len().saturating_add(found.saturating_mul(to.inner().len())))?;
    Ok(text.inner().replacen(from.inner(), to.inner(), most).into())
}

fn split(text: &CelString<'_>, separator: &CelString<'_>) -> Result<CelList<'static>, ExecutionError> {
    split_some(text, separator, &CelInt::from(-1))
}

fn split_some(
    text: &CelString<'_>,
    separator: &CelString<'_>,
    most: &CelInt,
) -> Result<CelList<'static>, ExecutionError> {
    let (text, separator) = (text.inner(), separator.inner());
    let most = usize::try_from(*most.inner()).unwrap_or(usize::MAX);
    let parts: Vec<&str> = match (most, separator) {
        (0, _) => Vec::new(),
        (_, "") => characters(text, most),
        _ => text.splitn(most, separator).collect(),
    };
    pay("split", parts.len(), text.len())?;
    let owned = |part: &str| -> Box<dyn Val> { Box::new(CelString::from(part.to_owned())) };
    Ok(CelList::from(parts.into_iter().map(owned).collect::<Vec<_>>()))
}

/// The characters of `text`, the last part holding what is left beyond `most` parts.
fn characters(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if parts.len() + 1 == most {
            parts.push(rest);
            break;
        }
        let (part, tail) = rest.split_at(c.len_utf8());
        parts.push(part);
        rest = tail;
    }
    parts
}

/// Years 1 to 9999, as the specification has it.
fn ranged(time: chrono::DateTime<chrono::FixedOffset>) -> Option<CelTimestamp> {
    let year = chrono::Datelike::year(&time.naive_utc());
    (1..=9999).contains(&year).then(|| CelTimestamp::from(time))
}

/// Reads RFC 3339, with `T` between date and time and without leap seconds.
pub(super) fn timestamp_of(text: &str) -> Option<CelTimestamp> {
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't'));
    let leap = text.get(17..19) == Some("60");
    let time = chrono::DateTime::parse_from_rfc3339(text).ok().filter(|_| separated && !leap)?;
    ranged(time)
}

fn parse_timestamp(text: &CelString<'_>) -> Result<CelTimestamp, ExecutionError> {
    timestamp_of(text.inner()).ok_or_else(|| fault("timestamp", "not an RFC 3339 time".to_owned()))
}

fn same_timestamp(time: &CelTimestamp) -> CelTimestamp {
    time.clone()
}

fn epoch_timestamp(seconds: &CelInt) -> Result<CelTimestamp, ExecutionError> {
    chrono::DateTime::from_timestamp(*seconds.inner(), 0)
        .and_then(|time| ranged(time.fixed_offset()))
        .ok_or_else(|| fault("timestamp", "out of range".to_owned()))
}

fn timestamp_millis(time: &CelTimestamp) -> CelInt {
    CelInt::from(i64::from(time.inner().timestamp_subsec_millis()))
}

fn duration_millis(duration: &CelDuration) -> CelInt {
    CelInt::from(i64::from(duration.inner().subsec_nanos() / 1_000_000))
}

fn matches(text: &CelString<'_>, pattern: &Pattern) -> CelBool {
    CelBool::from(pattern.0.is_match(text.inner()))
}

fn holds(list: &CelList<'_>, wanted: &dyn Val) -> bool {
    list.inner().iter().any(|item| item.equals(wanted))
}

fn pay_for_pairs(left: &CelList<'_>, right: &CelList<'_>) -> Result<(), ExecutionError> {
    let pairs = length(left.inner().len()).saturating_mul(length(right.inner().len()));
    if meter::tick(pairs) { Ok(()) } else { Err(spent("sets")) }
}

fn subset(inner: &CelList<'_>, outer: &CelList<'_>) -> Result<bool, ExecutionError> {
    pay_for_pairs(inner, outer)?;
    Ok(inner.inner().iter().all(|item| holds(outer, item.as_ref())))
}

fn pair<'b, 'v>(
    args: &[CowVal<'b, 'v>],
    test: impl Fn(&CelList<'v>, &CelList<'v>) -> Result<bool, ExecutionError>,
) -> Answer<'b, 'v> {
    let list = |at: usize| args.get(at).and_then(|arg| arg.downcast_ref::<CelList>());
    match (list(0), list(1)) {
        (Some(left), Some(right)) => Ok(CowVal::owned(CelBool::from(test(left, right)?))),
        _ => Err(ExecutionError::invalid_argument_count(2, args.len())),
    }
}
