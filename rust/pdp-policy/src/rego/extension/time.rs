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
