//! Puts what is asked into the bytes that the script reads: whole numbers, prepared per limit.
//!
//! A group: operation (1 byte), flags (1: a replay key, 2: a holder), number of records (2), the holder
//! (16) where flagged, then the records. A record: kind (1), whether it only reads (1), numbers as
//! little-endian doubles: of GCRA hits, ticks drained per microsecond, ticks per hit, burst; of a fixed
//! window hits, limit, window; of a sliding window hits, limit, slot; of a quota hits, limit and the
//! starts of four periods in a row; of concurrency hits, limit, time held.

use std::cell::RefCell;

use pdp_engine::limit::{Algorithm, Calendar, CounterName, Limit, LimitDemand};
use uuid::Uuid;

use super::name::{Key, Names, Replay, Tag};

/// Doubles hold whole numbers exactly to twice this.
const EXACT: u128 = 1 << 52;
/// Calendars whose periods one thread remembers.
const MOST_CALENDARS: usize = 16;

/// What a group does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Spend,
    Settle,
    Reset,
    Grant,
    /// Gives a spend back and forgets its replay.
    Undo,
}

impl Operation {
    fn code(self) -> u8 {
        match self {
            Self::Spend => 0,
            Self::Settle => 1,
            Self::Reset => 2,
            Self::Grant => 3,
            Self::Undo => 4,
        }
    }
}

/// A group of records on counters of one tag.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) operation: Operation,
    pub(super) tag: Tag,
    pub(super) keys: Vec<Key>,
    pub(super) bytes: Vec<u8>,
    pub(super) records: u16,
    /// Whether running it a second time changes nothing.
    pub(super) repeatable: bool,
}

impl Group {
    /// A group without records.
    pub(super) fn new(operation: Operation, tag: Tag, replay: Option<Replay>, holder: Option<Uuid>) -> Self {
        let mut keys = Vec::with_capacity(2);
        keys.extend(replay.map(|replay| replay.key(tag)));
        let mut bytes = Vec::with_capacity(72);
        let flags = u8::from(replay.is_some()) + 2 * u8::from(holder.is_some());
        bytes.extend_from_slice(&[operation.code(), flags, 0, 0]);
        if let Some(holder) = holder {
            bytes.extend_from_slice(holder.as_bytes());
        }
        let repeatable = replay.is_some() || operation == Operation::Reset;
        Self { operation, tag, keys, bytes, records: 0, repeatable }
    }

    /// Adds a number that belongs to the operation.
    pub(super) fn number(&mut self, number: u64) {
        put(&mut self.bytes, number);
    }

    /// Adds a record of `hits` on a counter; `now_us` is about the server's time.
    pub(super) fn record(&mut self, key: Key, limit: &Limit, hits: u64, peek: bool, now_us: u64) {
        self.key(key);
        write(&mut self.bytes, limit, hits, peek, now_us);
    }

    /// Adds by how many hits the record before moves its counter, and when they were spent.
    pub(super) fn moves(&mut self, by: i64, at_us: u64) {
        self.bytes.extend_from_slice(&double_signed(by).to_le_bytes());
        put(&mut self.bytes, at_us);
    }

    /// Adds a key without a record.
    pub(super) fn key(&mut self, key: Key) {
        self.keys.push(key);
        self.records += 1;
        if let Some(count) = self.bytes.get_mut(2..4) {
            count.copy_from_slice(&self.records.to_le_bytes());
        }
    }
}

/// A group that spends `demands`, which must be of one tag where that matters.
pub(super) fn spend_group(
    tag: Tag,
    demands: &[(LimitDemand<'_>, Key)],
    replay: Option<Replay>,
    holder: Uuid,
    now_us: u64,
) -> Group {
    let holds = demands.iter().any(|(demand, _)| holds(demand.counter.limit) && !demand.peek);
    let holder = (holds || replay.is_some()).then_some(holder);
    let mut group = Group::new(Operation::Spend, tag, replay, holder);
    for (demand, key) in demands {
        group.record(*key, demand.counter.limit, demand.hits, demand.peek, now_us);
    }
    group
}

/// Where demands lie; `None` for limits that break their bounds.
pub(super) fn place(names: &Names, counter: &CounterName<'_>) -> Option<(Tag, Key)> {
    counter.limit.validate().ok().map(|()| names.counter(counter))
}

pub(super) fn holds(limit: &Limit) -> bool {
    matches!(limit.algorithm, Algorithm::Concurrency)
}

fn write(out: &mut Vec<u8>, limit: &Limit, hits: u64, peek: bool, now_us: u64) {
    let window = u64::try_from(limit.window.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
    // More hits than ever fit are as many as one more than fit.
    let capped = hits.min(limit.limit.saturating_add(1));
    let mut head = |kind: u8| out.extend_from_slice(&[kind, u8::from(peek)]);
    match limit.algorithm {
        Algorithm::Gcra { burst } => {
            head(0);
            let (drained, cost) = ticks(limit.limit, window, burst);
            [hits.min(burst.saturating_add(1)), drained, cost, burst]
                .into_iter()
                .for_each(|number| put(out, number));
        }
        Algorithm::FixedWindow => {
            head(1);
            [capped, limit.limit, window].into_iter().for_each(|number| put(out, number));
        }
        Algorithm::SlidingWindow => {
            head(2);
            [capped, limit.limit, window.div_ceil(8)].into_iter().for_each(|number| put(out, number));
        }
        Algorithm::Quota(calendar) => {
            head(3);
            put(out, capped);
            put(out, limit.limit);
            periods(calendar, now_us).into_iter().for_each(|start| put(out, start));
        }
        Algorithm::Concurrency => {
            head(4);
            [capped, limit.limit, window].into_iter().for_each(|number| put(out, number));
        }
    }
}

/// A rate as ticks drained per microsecond and ticks that a hit costs, such that a whole bucket is
/// counted exactly. Where the exact fraction is too fine for that it is rounded, never above the limit,
/// and by less than 1/142 of it since a bucket refills within 366 days.
fn ticks(limit: u64, window_us: u64, burst: u64) -> (u64, u64) {
    let fits = |cost: u64| u128::from(burst) * u128::from(cost) <= EXACT;
    if fits(window_us) {
        return (limit, window_us);
    }
    let divisor = divisor(limit, window_us);
    let (drained, cost) = (limit / divisor, window_us / divisor);
    if fits(cost) {
        return (drained, cost);
    }
    let rounded = u64::try_from(EXACT / u128::from(burst.max(1))).unwrap_or(u64::MAX).max(1);
    let drained = u128::from(drained) * u128::from(rounded) / u128::from(cost);
    (u64::try_from(drained).unwrap_or(u64::MAX).max(1), rounded)
}

fn divisor(mut a: u64, mut b: u64) -> u64 {
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

/// Starts of the period before, of the one that holds `now_us`, of the next and of the one after it.
fn periods(calendar: Calendar, now_us: u64) -> [u64; 4] {
    thread_local! {
        static KNOWN: RefCell<Vec<(Calendar, [u64; 4])>> = const { RefCell::new(Vec::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        let known_now = |[_, start, end, _]: &[u64; 4]| (*start..*end).contains(&now_us);
        if let Some((_, found)) = known.iter().find(|(of, starts)| *of == calendar && known_now(starts)) {
            return *found;
        }
        let (start, end) = calendar.around(now_us.saturating_mul(1_000));
        let (before, _) = calendar.around(start.saturating_sub(1));
        let (_, after) = calendar.around(end);
        let starts = [before, start, end, after].map(|ns| ns / 1_000);
        known.retain(|(of, _)| *of != calendar);
        if known.len() >= MOST_CALENDARS {
            known.remove(0);
        }
        known.push((calendar, starts));
        starts
    })
}

pub(super) fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&double(number).to_le_bytes());
}

/// Exact below 2^53, which everything here is: bounds are checked before.
fn double(number: u64) -> f64 {
    number as f64
}

fn double_signed(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use pdp_engine::limit::MAX_HITS;

    use super::*;

    #[test]
    fn rates_that_fit_are_exact_and_others_are_never_above_the_limit() {
        assert_eq!(ticks(10, 1_000_000, 20), (10, 1_000_000));
        let year = 366 * 86_400 * 1_000_000;
        for (limit, window, burst) in [
            (MAX_HITS, 1_000, MAX_HITS),
            (MAX_HITS - 1, 86_400_000_000, MAX_HITS),
            (1_000_003, year, 1_000_003),
            (999_999_999_989, year, 999_999_999_989),
            (7, 86_400_000_000, 1_000),
        ] {
            let (drained, cost) = ticks(limit, window, burst);
            assert!(u128::from(burst) * u128::from(cost) <= EXACT, "{limit} {window} {burst}");
            let (exact, rounded) =
                (u128::from(limit) * u128::from(cost), u128::from(drained) * u128::from(window));
            assert!(rounded <= exact, "{limit} per {window} admits too much");
            assert!((exact - rounded) * 142 <= exact, "{limit} per {window} is rounded too far");
        }
    }
}
