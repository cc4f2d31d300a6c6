//! Calendar periods of a time zone: where a quota begins anew.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// Midnight to midnight.
    Day,
    /// The first of a month to the first of the next.
    Month,
}

/// A period of the calendar in a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Calendar {
    /// The period.
    pub period: Period,
    /// The time zone, by its IANA name.
    pub zone: Tz,
}

impl Calendar {
    /// The period that holds `now_ns`: its start, and the start of the next one. Nanoseconds since the
    /// epoch.
    #[must_use]
    pub fn around(&self, now_ns: u64) -> (u64, u64) {
        let nanoseconds = i64::try_from(now_ns).unwrap_or(i64::MAX);
        let date = Utc.timestamp_nanos(nanoseconds).with_timezone(&self.zone).date_naive();
        let (first, next) = match self.period {
            Period::Day => (Some(date), date.checked_add_days(Days::new(1))),
            Period::Month => {
                let first = date.with_day(1);
                (first, first.and_then(|first| first.checked_add_months(Months::new(1))))
            }
        };
        let start = first.and_then(|date| self.begins(date)).unwrap_or(0);
        let end = next.and_then(|date| self.begins(date)).unwrap_or(u64::MAX);
        (start.min(now_ns), end.max(now_ns.saturating_add(1)))
    }

    /// The first moment of `date` in the zone: where midnight is skipped, the one after the gap; where
    /// it comes twice, the earlier.
    fn begins(&self, date: NaiveDate) -> Option<u64> {
        let midnight = date.and_hms_opt(0, 0, 0)?;
        let moment: DateTime<Tz> = match self.zone.from_local_datetime(&midnight) {
            chrono::LocalResult::Single(moment) | chrono::LocalResult::Ambiguous(moment, _) => moment,
            // Zones skip an hour or less at midnight, but for days that are skipped whole.
            chrono::LocalResult::None => (1..=96).find_map(|quarter| {
                let later = midnight + chrono::Duration::minutes(15 * quarter);
                self.zone.from_local_datetime(&later).earliest()
            })?,
        };
        u64::try_from(moment.timestamp_nanos_opt()?).ok()
    }
}
