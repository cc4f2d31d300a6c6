//! Calendar periods of a time zone: where a quota begins anew.

use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl Period {
    /// The period as limit lists spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl Calendar {
    /// The longest that a period lasts: 25 hours, or 31 days and an hour, as clocks are set back by an hour
    /// at most.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let hours = match self.period {
            Period::Day => 25,
            Period::Month => 31 * 24 + 1,
        };
        Duration::from_secs(hours * 3_600)
    }

    /// The period that holds `now_ns`: its start, and the start of the next one. Nanoseconds since the
    /// epoch. Periods follow each other without a gap, whatever the zone's clocks do.
    #[must_use]
    pub fn around(&self, now_ns: u64) -> (u64, u64) {
        let first = self.first_day(now_ns);
        let mut start = first.and_then(|date| self.begins(date)).unwrap_or(0);
        let mut next = first.and_then(|date| self.next(date));
        let mut end = next.and_then(|date| self.begins(date)).unwrap_or(u64::MAX);
        // Where a clock is set back over midnight, the earlier date comes again after the next has begun.
        while end <= now_ns && end > start {
            start = end;
            next = next.and_then(|date| self.next(date));
            end = next.and_then(|date| self.begins(date)).unwrap_or(u64::MAX);
        }
        (start.min(now_ns), end.max(now_ns.saturating_add(1)))
    }

    /// First day of the period by the clocks of the zone.
    fn first_day(&self, now_ns: u64) -> Option<NaiveDate> {
        let seconds = i64::try_from(now_ns / 1_000_000_000).ok()?;
        let date = Utc.timestamp_opt(seconds, 0).single()?.with_timezone(&self.zone).date_naive();
        match self.period {
            Period::Day => Some(date),
            Period::Month => date.with_day(1),
        }
    }

    fn next(&self, date: NaiveDate) -> Option<NaiveDate> {
        match self.period {
            Period::Day => date.checked_add_days(Days::new(1)),
            Period::Month => date.checked_add_months(Months::new(1)),
        }
    }

    /// The first moment of `date` in the zone: where midnight is skipped, the end of the gap; where it
    /// comes twice, the earlier.
    fn begins(&self, date: NaiveDate) -> Option<u64> {
        let midnight = date.and_hms_opt(0, 0, 0)?;
        let moment = match self.zone.from_local_datetime(&midnight).earliest() {
            Some(moment) => moment.timestamp(),
            None => self.gap_ends(midnight)?,
        };
        u64::try_from(moment).ok()?.checked_mul(1_000_000_000)
    }

    /// The first moment after the gap that holds `skipped`, in seconds. Zones skip an hour or less, but for
    /// days that are skipped whole.
    fn gap_ends(&self, skipped: chrono::NaiveDateTime) -> Option<i64> {
        let later: DateTime<Tz> = (1..=100).find_map(|quarter| {
            let later = skipped.checked_add_signed(TimeDelta::minutes(15 * quarter))?;
            self.zone.from_local_datetime(&later).earliest()
        })?;
        // Within the quarter of an hour before it, the local time jumps over `skipped` once.
        let local = |second: i64| Some(self.zone.timestamp_opt(second, 0).single()?.naive_local() >= skipped);
        let (mut before, mut after) = (later.timestamp() - 15 * 60, later.timestamp());
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if local(middle)? {
                after = middle;
            } else {
                before = middle;
            }
        }
        Some(after)
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::TZ_VARIANTS;
    use proptest::prelude::*;

    use super::*;

    fn calendar(period: Period, zone: &str) -> Calendar {
        Calendar { period, zone: zone.parse().unwrap() }
    }

    /// Nanoseconds of a moment as RFC 3339.
    fn ns(moment: &str) -> u64 {
        DateTime::parse_from_rfc3339(moment).unwrap().timestamp_nanos_opt().unwrap() as u64
    }

    fn around(calendar: Calendar, moment: &str) -> (u64, u64) {
        calendar.around(ns(moment))
    }

    #[test]
    fn days_of_clock_changes_have_23_and_25_hours() {
        let berlin = calendar(Period::Day, "Europe/Berlin");
        let spring = around(berlin, "2026-03-29T10:00:00Z");
        assert_eq!(spring, (ns("2026-03-28T23:00:00Z"), ns("2026-03-29T22:00:00Z")));
        let autumn = around(berlin, "2026-10-25T10:00:00Z");
        assert_eq!(autumn, (ns("2026-10-24T22:00:00Z"), ns("2026-10-25T23:00:00Z")));
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_after_the_gap() {
        // Clocks went from 23:59:59 to 01:00:00.
        let day = around(calendar(Period::Day, "America/Sao_Paulo"), "2018-11-04T12:00:00Z");
        assert_eq!(day, (ns("2018-11-04T03:00:00Z"), ns("2018-11-05T02:00:00Z")));
        // A gap of 44 minutes and 30 seconds.
        let day = around(calendar(Period::Day, "Africa/Monrovia"), "1972-01-07T12:00:00Z");
        assert_eq!(day.0, ns("1972-01-07T00:44:30Z"));
    }

    #[test]
    fn a_midnight_that_comes_twice_begins_the_day_at_the_first() {
        let havana = calendar(Period::Day, "America/Havana");
        let day = around(havana, "2025-11-02T12:00:00Z");
        assert_eq!(day, (ns("2025-11-02T04:00:00Z"), ns("2025-11-03T05:00:00Z")));
        // Clocks went back from 00:01 of the next day to 23:01.
        let st_johns = calendar(Period::Day, "America/St_Johns");
        let second_evening = around(st_johns, "2006-10-29T03:00:00Z");
        assert_eq!(second_evening, around(st_johns, "2006-10-29T12:00:00Z"));
    }

    #[test]
    fn a_skipped_day_belongs_to_nobody() {
        let apia = calendar(Period::Day, "Pacific/Apia");
        let before = around(apia, "2011-12-30T09:00:00Z");
        let after = around(apia, "2011-12-30T11:00:00Z");
        assert_eq!(before, (ns("2011-12-29T10:00:00Z"), ns("2011-12-30T10:00:00Z")));
        assert_eq!(after, (ns("2011-12-30T10:00:00Z"), ns("2011-12-31T10:00:00Z")));
    }

    #[test]
    fn months_have_their_own_lengths() {
        let utc = calendar(Period::Month, "UTC");
        for (month, days) in [("2028-02", 29), ("2026-02", 28), ("2100-02", 28), ("2026-12", 31)] {
            let (start, end) = around(utc, &format!("{month}-15T00:00:00Z"));
            assert_eq!(end - start, days * 86_400_000_000_000, "{month}");
        }
        let (start, end) = around(calendar(Period::Month, "Europe/Berlin"), "2026-03-31T22:30:00Z");
        assert_eq!((start, end), (ns("2026-03-31T22:00:00Z"), ns("2026-04-30T22:00:00Z")));
    }

    proptest! {
        #[test]
        fn periods_cover_all_time_without_overlap(
            zone in 0..TZ_VARIANTS.len(),
            month in any::<bool>(),
            // From 1970 to 2300; and whatever else there is.
            now in prop_oneof![9 => 86_400_000_000_000..10_413_792_000_000_000_000_u64, 1 => any::<u64>()],
        ) {
            let period = if month { Period::Month } else { Period::Day };
            let calendar = Calendar { period, zone: TZ_VARIANTS[zone] };
            let (start, end) = calendar.around(now);
            prop_assert!(start <= now && now < end || now == u64::MAX);
            prop_assert_eq!(calendar.around(start), (start, end));
            prop_assert_eq!(calendar.around(end - 1), (start, end));
            if end < u64::MAX {
                prop_assert_eq!(calendar.around(end).0, end);
                prop_assert!(Duration::from_nanos(end - start) <= calendar.longest());
            }
        }

        #[test]
        fn periods_follow_each_other_around_every_clock_change(zone in 0..TZ_VARIANTS.len(), year in 1971_i32..2040) {
            let calendar = Calendar { period: Period::Day, zone: TZ_VARIANTS[zone] };
            let mut now = ns(&format!("{year}-01-01T12:00:00Z"));
            let until = now + 366 * 86_400_000_000_000;
            while now < until {
                let (start, end) = calendar.around(now);
                prop_assert!(start <= now && now < end);
                prop_assert_eq!(calendar.around(end).0, end);
                now = end;
            }
        }
    }
}
