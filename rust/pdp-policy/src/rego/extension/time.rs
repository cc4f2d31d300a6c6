//! `time.now_ns`, which is the time of the request, and `time.add_date`, which carries days over as Go does.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc};
use regorus::Value;

use super::failed;

thread_local! {
    static NOW_NS: Cell<Option<i64>> = const { Cell::new(None) };
}

/// Sets what `time.now_ns` answers on this thread from now on.
pub(in crate::rego) fn set_now(now: SystemTime) {
    let since_epoch = now.duration_since(UNIX_EPOCH).ok();
    NOW_NS.set(since_epoch.and_then(|time| i64::try_from(time.as_nanos()).ok()));
}

/// `time.now_ns()`.
pub(super) fn now_ns(_: &[Value]) -> anyhow::Result<Value> {
    Ok(NOW_NS.get().map_or(Value::Undefined, Value::from))
}

/// `time.add_date(ns, years, months, days)` in UTC: January 31st and a month is March 3rd.
pub(super) fn add_date(given: &[Value]) -> anyhow::Result<Value> {
    let [time, years, months, days] = given else { return failed("time.add_date takes four arguments") };
    if matches!(time, Value::Array(_)) {
        anyhow::bail!("time.add_date with a time zone is not supported: pass nanoseconds");
    }
    let (Ok(ns), Ok(years), Ok(months), Ok(days)) =
        (time.as_i64(), years.as_i64(), months.as_i64(), days.as_i64())
    else {
        return failed("time.add_date takes whole numbers");
    };
    let added = added(DateTime::from_timestamp_nanos(ns), years, months, days);
    added
        .and_then(|time| time.timestamp_nanos_opt())
        .map_or_else(|| failed("time.add_date: outside of what nanoseconds hold"), |ns| Ok(Value::from(ns)))
}

fn added(time: DateTime<Utc>, years: i64, months: i64, days: i64) -> Option<DateTime<Utc>> {
    let months = i64::from(time.month0()).checked_add(months)?;
    let year = i64::from(time.year()).checked_add(years)?.checked_add(months.div_euclid(12))?;
    let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
    let first = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, 1)?;
    let days = i64::from(time.day0()).checked_add(days)?;
    let distance = Days::new(days.unsigned_abs());
    let date = if days < 0 { first.checked_sub_days(distance) } else { first.checked_add_days(distance) }?;
    Some(date.and_time(time.time()).and_utc())
}

/// `time.parse_rfc3339_ns(text)`, with upper-case letters and seconds up to 59 as Go asks for.
pub(super) fn parse_rfc3339_ns(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("time.parse_rfc3339_ns takes a text") };
    let bytes = text.as_bytes();
    let is_strict = bytes.get(10) == Some(&b'T')
        && !text.ends_with('z')
        && bytes.get(17).is_some_and(|tens| (b'0'..=b'5').contains(tens));
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| is_strict);
    time.and_then(|time| time.timestamp_nanos_opt())
        .map_or_else(|| failed("time.parse_rfc3339_ns: not a time"), |ns| Ok(Value::from(ns)))
}

/// `time.parse_duration_ns(text)` in Go's units, nanoseconds to hours. Longer units are errors.
pub(super) fn parse_duration_ns(given: &[Value]) -> anyhow::Result<Value> {
    let [Value::String(text)] = given else { return failed("time.parse_duration_ns takes a text") };
    if text.contains(['d', 'w', 'y']) {
        anyhow::bail!("time.parse_duration_ns: `{text}` has a unit above hours, which is not supported");
    }
    duration(text).map_or_else(|| failed("time.parse_duration_ns: not a duration"), |ns| Ok(Value::from(ns)))
}

fn duration(text: &str) -> Option<i64> {
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0_i128;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(number_end)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        total = total.checked_add(scaled(number, unit_ns(unit)?)?)?;
        rest = after;
    }
    let total = if is_negative { -total } else { total };
    i64::try_from(total).ok()
}

fn unit_ns(unit: &str) -> Option<i128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number of units, cut to whole nanoseconds.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    const MOST_DIGITS: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.len() + fraction.len() == 0 || whole.len().max(fraction.len()) > MOST_DIGITS {
        return None;
    }
    let digits = |text: &str| if text.is_empty() { Some(0_i128) } else { text.parse().ok() };
    let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    digits(whole)?.checked_mul(unit)?.checked_add(digits(fraction)?.checked_mul(unit)? / scale)
}
