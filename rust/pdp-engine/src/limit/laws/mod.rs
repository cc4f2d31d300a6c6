//! Laws of the arithmetic, held against the plain list of what was admitted.

use proptest::prelude::*;

use super::*;

mod settlement;

const SECOND: u64 = 1_000_000_000;
/// A moment aligned to no window.
const START: u64 = 1_700_000_000 * SECOND + 123_456_789;

/// A limit, and spends as hits with nanoseconds since the one before.
#[derive(Clone, Debug)]
struct Case {
    limit: Limit,
    spends: Vec<(u64, u64)>,
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        (1_u64..30).prop_map(|burst| Algorithm::Gcra { burst }),
        Just(Algorithm::FixedWindow),
        Just(Algorithm::SlidingWindow),
        calendars().prop_map(Algorithm::Quota),
    ]
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let period = prop_oneof![Just(Period::Day), Just(Period::Month)];
    let zone =
        prop_oneof![Just("UTC"), Just("Europe/Berlin"), Just("America/St_Johns"), Just("Pacific/Apia")];
    (period, zone).prop_map(|(period, zone)| Calendar { period, zone: zone.parse().unwrap() })
}

fn limits() -> impl Strategy<Value = Limit> {
    let windows = prop_oneof![Just(1_000_000), Just(SECOND), Just(3_600 * SECOND), 1_000_000..5 * SECOND];
    (algorithms(), 1_u64..40, windows).prop_map(|(algorithm, limit, window)| match algorithm {
        Algorithm::Quota(calendar) => Limit::quota("n", calendar, limit),
        _ => Limit::new("n", algorithm, limit, Duration::from_nanos(window)),
    })
}

fn window_of(limit: &Limit) -> u64 {
    limit.window.as_nanos() as u64
}

/// Most hits that a full limit admits at once.
fn full(limit: &Limit) -> u64 {
    match limit.algorithm {
        Algorithm::Gcra { burst } => burst,
        _ => limit.limit,
    }
}

/// The span that `now` is counted in: aligned window, or calendar period.
fn counted_in(limit: &Limit, now: u64) -> (u64, u64) {
    match limit.algorithm {
        Algorithm::Quota(calendar) => calendar.around(now),
        _ => {
            let start = now - now % window_of(limit);
            (start, start + window_of(limit))
        }
    }
}

/// Gaps are parts of a window, so that each case meets many edges.
fn cases() -> impl Strategy<Value = Case> {
    let spend = (1_u64..8, prop_oneof![Just(0.0), 0.0..0.2, Just(0.5), Just(1.0), 0.9..2.5]);
    (limits(), prop::collection::vec(spend, 1..120)).prop_map(|(limit, parts)| {
        let window = limit.window.as_nanos() as f64;
        let spends = parts.into_iter().map(|(hits, part)| (hits, (part * window) as u64)).collect();
        Case { limit, spends }
    })
}

/// Runs a case; gives time and hits of each spend with its reading, in order.
fn run(case: &Case) -> Vec<(u64, u64, Reading)> {
    let mut counter = Counter::empty(case.limit.algorithm);
    let mut now = START;
    let mut readings = Vec::new();
    for (hits, gap) in &case.spends {
        now += gap;
        let (next, reading) = counter.spend(&case.limit, *hits, now);
        if reading.admitted {
            counter = next;
        }
        readings.push((now, *hits, reading));
    }
    readings
}

fn admitted(readings: &[(u64, u64, Reading)]) -> Vec<(u64, u64)> {
    readings.iter().filter(|it| it.2.admitted).map(|it| (it.0, it.1)).collect()
}

/// Hits admitted in `from..to`.
fn hits_within(list: &[(u64, u64)], from: u64, to: u64) -> u64 {
    list.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, hits)| hits).sum()
}

/// What the algorithm's definition says is free before a spend at `now`, from the list alone; in hits
/// times nanoseconds, so it is exact. For GCRA the bucket is filled step by step.
fn free_by_list(limit: &Limit, list: &[(u64, u64)], now: u64) -> u128 {
    let window = limit.window.as_nanos() as u64;
    let wide = u128::from(window);
    match limit.algorithm {
        Algorithm::Gcra { burst } => {
            let full = u128::from(burst) * wide;
            let (mut level, mut last) = (full, 0);
            for (at, hits) in list.iter().copied().chain([(now, 0)]) {
                level = full.min(level + u128::from(at - last) * u128::from(limit.limit));
                level -= u128::from(hits) * wide;
                last = at;
            }
            level
        }
        // `concurrency.rs` has a list of its own.
        Algorithm::Concurrency => 0,
        Algorithm::FixedWindow | Algorithm::Quota(_) => {
            let (start, end) = counted_in(limit, now);
            u128::from(limit.limit - hits_within(list, start, end)) * wide
        }
        Algorithm::SlidingWindow => {
            let slot = window.div_ceil(8);
            let from = (now / slot - 8) * slot;
            u128::from(limit.limit - hits_within(list, from, u64::MAX)) * wide
        }
    }
}

proptest! {
    #[test]
    fn readings_agree_with_the_list_of_admitted_hits(case in cases()) {
        let window = case.limit.window.as_nanos();
        let mut list = Vec::new();
        for (now, hits, reading) in run(&case) {
            let free = free_by_list(&case.limit, &list, now);
            let cost = u128::from(hits) * window;
            prop_assert_eq!(reading.admitted, cost <= free);
            let left = if reading.admitted { free - cost } else { free };
            prop_assert_eq!(u128::from(reading.remaining), left / window);
            if reading.admitted {
                list.push((now, hits));
            }
        }
    }

    #[test]
    fn gcra_admits_at_most_burst_and_rate_in_any_span(case in cases(), burst in 1_u64..30) {
        let case = Case { limit: Limit { algorithm: Algorithm::Gcra { burst }, ..case.limit }, ..case };
        let window = case.limit.window.as_nanos();
        let list = admitted(&run(&case));
        for (index, (from, _)) in list.iter().enumerate() {
            let mut hits = 0;
            for (to, more) in list.iter().skip(index) {
                hits += u128::from(*more);
                let refilled = u128::from(to - from) * u128::from(case.limit.limit);
                prop_assert!(hits * window <= u128::from(burst) * window + refilled);
            }
        }
    }

    #[test]
    fn fixed_windows_and_quotas_admit_at_most_the_limit_in_each_window(case in cases(), calendar in prop::option::of(calendars())) {
        let algorithm = calendar.map_or(Algorithm::FixedWindow, Algorithm::Quota);
        let case = Case { limit: Limit { algorithm, ..case.limit }, ..case };
        let list = admitted(&run(&case));
        for (at, _) in &list {
            let (start, end) = counted_in(&case.limit, *at);
            prop_assert!(hits_within(&list, start, end) <= case.limit.limit);
        }
    }

    #[test]
    fn sliding_window_admits_at_most_the_limit_in_any_span_of_a_window(case in cases()) {
        let case = Case { limit: Limit { algorithm: Algorithm::SlidingWindow, ..case.limit }, ..case };
        let window = window_of(&case.limit);
        let list = admitted(&run(&case));
        for (at, _) in &list {
            prop_assert!(hits_within(&list, at + 1 - window, at + 1) <= case.limit.limit);
            prop_assert!(hits_within(&list, *at, at + window) <= case.limit.limit);
        }
    }

    /// A hit counts for a window, and for no more than 9/8 of one (and the rounding of nine slots).
    #[test]
    fn sliding_window_forgets_a_hit_after_one_to_nine_eighths_of_a_window(window in 1_000_000..5 * SECOND, from in 0..10 * SECOND) {
        let limit = limit(Algorithm::SlidingWindow, 1, Duration::from_nanos(window));
        let (counter, reading) = Counter::empty(limit.algorithm).spend(&limit, 1, START + from);
        let after = reading.reset_ns as u64;
        prop_assert!(after >= window && after <= window / 8 * 9 + 18, "{after} of {window}");
        prop_assert!(!counter.spend(&limit, 1, START + from + window - 1).1.admitted);
    }

    #[test]
    fn retry_is_the_first_moment_that_admits(case in cases()) {
        let mut counter = Counter::empty(case.limit.algorithm);
        let mut now = START;
        for (hits, gap) in &case.spends {
            now += gap;
            let (next, reading) = counter.spend(&case.limit, *hits, now);
            match (reading.admitted, reading.retry_ns) {
                (true, retry) => {
                    prop_assert_eq!(retry, Some(0));
                    counter = next;
                }
                (false, Some(retry)) => {
                    let retry = retry as u64;
                    prop_assert!(retry > 0);
                    prop_assert!(counter.spend(&case.limit, *hits, now + retry).1.admitted);
                    prop_assert!(!counter.spend(&case.limit, *hits, now + retry - 1).1.admitted);
                }
                (false, None) => {
                    prop_assert!(*hits > full(&case.limit));
                }
            }
        }
    }

    #[test]
    fn after_reset_the_limit_is_full_and_not_before(case in cases()) {
        let full = full(&case.limit);
        let mut counter = Counter::empty(case.limit.algorithm);
        let mut now = START;
        for (hits, gap) in &case.spends {
            now += gap;
            let (next, reading) = counter.spend(&case.limit, *hits, now);
            if reading.admitted {
                counter = next;
            }
            let reset = reading.reset_ns as u64;
            let at = |moment: u64| counter.spend(&case.limit, 0, moment).1;
            prop_assert_eq!(at(now + reset).remaining, full);
            prop_assert_eq!(at(now + reset).reset_ns, 0);
            prop_assert!(reset == 0 || at(now + reset - 1).reset_ns > 0);
        }
    }

    #[test]
    fn an_expired_counter_is_as_good_as_empty(case in cases(), hits in 1_u64..40) {
        let mut counter = Counter::empty(case.limit.algorithm);
        for (now, hits, _) in run(&case) {
            let (next, reading) = counter.spend(&case.limit, hits, now);
            counter = if reading.admitted { next } else { counter };
        }
        let later = counter.expires_ns(&case.limit).max(START);
        let empty = Counter::empty(case.limit.algorithm);
        prop_assert_eq!(counter.spend(&case.limit, hits, later).1, empty.spend(&case.limit, hits, later).1);
    }

    /// Time as it is only moves on; what the clock shows is shifted back at one moment, by less than a
    /// window. Then no more is admitted than the bound that holds without the shift.
    #[test]
    fn a_clock_that_steps_back_gains_nothing(case in cases(), step in 1_u64..3_000_000_000, from in 0_usize..60) {
        let mut counter = Counter::empty(case.limit.algorithm);
        let (mut clock, mut real) = (START, START);
        let window = window_of(&case.limit);
        let step = step % window;
        let mut list = Vec::new();
        for (index, (hits, gap)) in case.spends.iter().enumerate() {
            clock += gap;
            real += gap;
            if index == from {
                clock -= step;
            }
            let (next, reading) = counter.spend(&case.limit, *hits, clock);
            if reading.admitted {
                counter = next;
                list.push((real, clock.max(counter_floor(&counter)), *hits));
            }
        }
        let (shown, real): (Vec<_>, Vec<_>) = list.iter().map(|(real, shown, hits)| ((*shown, *hits), (*real, *hits))).unzip();
        match case.limit.algorithm {
            Algorithm::Gcra { burst } => {
                for (index, (from, _)) in real.iter().enumerate() {
                    let mut hits = 0;
                    for (to, more) in real.iter().skip(index) {
                        hits += u128::from(*more);
                        let refilled = u128::from(to - from) * u128::from(case.limit.limit);
                        prop_assert!(hits * u128::from(window) <= u128::from(burst) * u128::from(window) + refilled);
                    }
                }
            }
            Algorithm::SlidingWindow => {
                for (at, _) in &real {
                    prop_assert!(hits_within(&real, *at, at + window) <= case.limit.limit);
                }
            }
            _ => {
                for (at, _) in &shown {
                    let (start, end) = counted_in(&case.limit, *at);
                    prop_assert!(hits_within(&shown, start, end) <= case.limit.limit);
                }
            }
        }
    }

    #[test]
    fn no_numbers_overflow(
        limit in prop_oneof![Just(1), Just(MAX_HITS), 1..=MAX_HITS],
        burst in prop_oneof![Just(1), Just(MAX_HITS), 1..=MAX_HITS],
        window_ms in prop_oneof![Just(1), Just(366 * 86_400_000), 1_u64..=366 * 86_400_000],
        hits in any::<u64>(),
        times in prop::collection::vec(any::<u64>(), 1..6),
        calendar in calendars(),
        kind in 0..5,
    ) {
        let algorithm = [
            Algorithm::Gcra { burst },
            Algorithm::FixedWindow,
            Algorithm::SlidingWindow,
            Algorithm::Quota(calendar),
            Algorithm::Concurrency,
        ][kind as usize];
        let window = Duration::from_millis(window_ms);
        let limit = Limit::new("n", algorithm, limit, window);
        let mut counter = Counter::empty(algorithm);
        for now in times {
            let (next, reading) = counter.spend(&limit, hits, now);
            counter = if reading.admitted { next } else { counter };
            let outcome = LimitOutcome::from(reading);
            prop_assert_eq!(outcome.admitted, outcome.retry_after.is_none());
            for hits in [0, hits, u64::MAX] {
                let (forced, _) = counter.force(&limit, hits, now).spend(&limit, hits, now);
                let back = forced.give_back(&limit, hits, now, now.wrapping_add(hits));
                prop_assert!(back.spend(&limit, 0, now).1.admitted);
                let (_, granted, reading) = counter.grant(&limit, hits, u64::MAX, now);
                prop_assert!(granted <= full(&limit) && reading.admitted == (granted > 0));
                let _ = forced.expires_ns(&limit);
            }
        }
    }
}

/// Start of the window that a counter stands in.
fn counter_floor(counter: &Counter) -> u64 {
    match counter {
        Counter::Gcra(_) => 0,
        Counter::FixedWindow(state) => state.start_ns(),
        Counter::SlidingWindow(_) | Counter::Concurrency(_) => 0,
        Counter::Quota(state) => state.start_ns(),
    }
}

fn limit(algorithm: Algorithm, limit: u64, window: Duration) -> Limit {
    Limit::new("n", algorithm, limit, window)
}

#[test]
fn a_third_of_a_second_does_not_drift() {
    let limit = limit(Algorithm::Gcra { burst: 1 }, 3, Duration::from_secs(1));
    let mut counter = Counter::empty(limit.algorithm);
    let mut now = START;
    for _ in 0..3_000 {
        let (next, reading) = counter.spend(&limit, 1, now);
        assert!(reading.admitted);
        counter = next;
        now += counter.spend(&limit, 1, now).1.retry_ns.unwrap() as u64;
    }
    // Each wait is rounded up to a whole nanosecond.
    assert!((1_000 * SECOND..=1_000 * SECOND + 3_000).contains(&(now - START)));
}

#[test]
fn more_hits_than_the_limit_are_never_admitted() {
    for algorithm in [
        Algorithm::Gcra { burst: 10 },
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Quota(Calendar { period: Period::Day, zone: chrono_tz::UTC }),
        Algorithm::Concurrency,
    ] {
        let limit = limit(algorithm, 10, Duration::from_secs(1));
        let (_, reading) = Counter::empty(algorithm).spend(&limit, 11, START);
        let outcome = LimitOutcome::from(reading);
        assert_eq!((outcome.admitted, outcome.remaining, outcome.retry_after), (false, 10, Some(NEVER)));
    }
}

#[test]
fn a_clock_that_was_far_ahead_locks_nobody_out_for_long() {
    let year = 365 * 86_400 * SECOND;
    for algorithm in [Algorithm::Gcra { burst: 10 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let limit = limit(algorithm, 10, Duration::from_secs(1));
        let (counter, _) = Counter::empty(algorithm).spend(&limit, 10, START + year);
        let (_, reading) = counter.spend(&limit, 1, START);
        assert!(!reading.admitted, "{algorithm:?}");
        assert!(reading.retry_ns.unwrap() <= u128::from(2 * SECOND), "{algorithm:?}");
    }
}

#[test]
fn limits_out_of_bounds_are_refused() {
    let second = Duration::from_secs(1);
    let year = Duration::from_secs(366 * 86_400);
    let gcra = |burst| Algorithm::Gcra { burst };
    let refused = |algorithm, hits, window| limit(algorithm, hits, window).validate().unwrap_err();
    assert_eq!(refused(Algorithm::FixedWindow, 0, second), LimitError::Limit(0));
    assert_eq!(refused(Algorithm::FixedWindow, MAX_HITS + 1, second), LimitError::Limit(MAX_HITS + 1));
    assert_eq!(refused(gcra(1), 1, Duration::ZERO), LimitError::Window(Duration::ZERO));
    assert_eq!(refused(gcra(1), 1, year + second), LimitError::Window(year + second));
    assert_eq!(refused(gcra(0), 1, second), LimitError::Burst(0));
    assert_eq!(refused(gcra(2), 1, year), LimitError::Refill { burst: 2, limit: 1, window: year });
    assert_eq!(refused(Algorithm::Concurrency, MAX_HELD + 1, second), LimitError::Held(MAX_HELD + 1));
    let leased = |algorithm, most| {
        let counting = Counting::Leased { most };
        Limit { counting, ..limit(algorithm, 10, second) }.validate()
    };
    assert_eq!(leased(Algorithm::FixedWindow, 0), Err(LimitError::Lease { most: 0, limit: 10 }));
    assert_eq!(leased(Algorithm::FixedWindow, 11), Err(LimitError::Lease { most: 11, limit: 10 }));
    assert_eq!(leased(Algorithm::FixedWindow, 10), Ok(()));
    assert_eq!(leased(Algorithm::Concurrency, 1), Err(LimitError::LeasedConcurrency));
    assert_eq!(limit(Algorithm::Concurrency, MAX_HELD, second).validate(), Ok(()));
    assert_eq!(limit(gcra(1), 1, year).validate(), Ok(()));
    assert_eq!(limit(gcra(50), 10, second).validate(), Ok(()));
    assert_eq!(LimitError::Limit(0).to_string(), "`limit` is 0: must be 1 to 1000000000000");
}
