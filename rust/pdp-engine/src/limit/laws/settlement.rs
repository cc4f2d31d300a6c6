//! Laws of what is corrected afterwards, and of what is taken in advance.

use proptest::prelude::*;

use super::*;

proptest! {
    /// The reading of the whole list, whatever of it was given back or came to more than was spent.
    #[test]
    fn settled_hits_leave_what_the_list_of_actual_hits_leaves(case in cases(), actual in prop::collection::vec(0_u64..12, 120)) {
        let mut counter = Counter::empty(case.limit.algorithm);
        let mut now = START;
        let mut list: Vec<(u64, u64)> = Vec::new();
        for ((hits, gap), actual) in case.spends.iter().zip(actual) {
            now += gap;
            let (next, reading) = counter.spend(&case.limit, *hits, now);
            if !reading.admitted {
                continue;
            }
            // Settled half a gap later.
            let later = now + gap / 2;
            if actual < *hits {
                counter = next.give_back(&case.limit, hits - actual, now, later);
                list.push((now, actual));
            } else {
                counter = next.force(&case.limit, actual - hits, later);
                list.push((now, *hits));
                list.push((later, actual - hits));
            }
            now = later;
            let standing = counter.spend(&case.limit, 0, now).1;
            prop_assert!(standing.remaining <= full(&case.limit));
            match case.limit.algorithm {
                // A bucket that was not full may have got back less, never more.
                Algorithm::Gcra { burst } => {
                    let wide = u128::from(window_of(&case.limit));
                    let bucket = u128::from(burst) * wide;
                    let (mut level, mut last) = (bucket, 0);
                    for (at, hits) in list.iter().copied().chain([(now, 0)]) {
                        level = bucket.min(level + u128::from(at - last) * u128::from(case.limit.limit));
                        level = level.saturating_sub(u128::from(hits) * wide);
                        last = at;
                    }
                    prop_assert!(u128::from(standing.remaining) <= level / wide);
                }
                Algorithm::SlidingWindow => {
                    let slot = window_of(&case.limit).div_ceil(8);
                    let counted = hits_within(&list, (now / slot - 8) * slot, u64::MAX);
                    prop_assert_eq!(standing.remaining, case.limit.limit.saturating_sub(counted));
                }
                _ => {
                    let (start, end) = counted_in(&case.limit, now);
                    let counted = hits_within(&list, start, end);
                    prop_assert_eq!(standing.remaining, case.limit.limit.saturating_sub(counted));
                }
            }
        }
    }

    #[test]
    fn hits_given_back_at_once_were_never_spent(case in cases(), hits in 1_u64..30) {
        let mut counter = Counter::empty(case.limit.algorithm);
        let mut now = START;
        for (spent, gap) in &case.spends {
            now += gap;
            let (next, reading) = counter.spend(&case.limit, *spent, now);
            counter = if reading.admitted { next } else { counter };
        }
        let (next, reading) = counter.spend(&case.limit, hits, now);
        if reading.admitted {
            let back = next.give_back(&case.limit, hits, now, now);
            prop_assert_eq!(back.spend(&case.limit, 0, now).1, counter.spend(&case.limit, 0, now).1);
        }
    }

    #[test]
    fn hits_of_another_window_are_not_given_back(case in cases()) {
        if matches!(case.limit.algorithm, Algorithm::Gcra { .. }) {
            return Ok(());
        }
        let (counter, _) = Counter::empty(case.limit.algorithm).spend(&case.limit, 1, START);
        let later = START + 3 * window_of(&case.limit);
        let (counter, _) = counter.spend(&case.limit, 1, later);
        let back = counter.give_back(&case.limit, 1, START, later);
        prop_assert_eq!(back.spend(&case.limit, 0, later).1.remaining, case.limit.limit - 1);
    }

    #[test]
    fn a_grant_is_all_there_is_room_for_and_no_more_than_asked(case in cases(), least in 0_u64..20, most in 0_u64..50) {
        let mut counter = Counter::empty(case.limit.algorithm);
        let mut now = START;
        for (spent, gap) in &case.spends {
            now += gap;
            let (next, reading) = counter.spend(&case.limit, *spent, now);
            counter = if reading.admitted { next } else { counter };
        }
        let room = counter.spend(&case.limit, 0, now).1.remaining;
        let (next, granted, reading) = counter.grant(&case.limit, least, most, now);
        let expected = if room.min(most) >= least { room.min(most) } else { 0 };
        prop_assert_eq!((granted, reading.admitted), (expected, expected > 0));
        prop_assert_eq!(next.spend(&case.limit, 0, now).1.remaining, room - granted);
        prop_assert_eq!(reading.remaining, room - granted);
    }
}
