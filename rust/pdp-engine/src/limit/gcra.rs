//! Generic cell rate algorithm with a burst (ITU-T I.371, virtual scheduling), exact in integers.

use super::Reading;

/// When the bucket is full again: `full_at + fraction / limit` nanoseconds since the epoch.
///
/// The fraction keeps emission intervals such as a third of a second exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    full_at: u64,
    fraction: u64,
}

/// The limit in the units of this module; each of at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Hits per window.
    pub limit: u64,
    /// Window in nanoseconds.
    pub window_ns: u64,
    /// Hits at once.
    pub burst: u64,
}

/// Reads `state` at `now_ns` and spends `hits`; the new state holds only if the reading admitted.
///
/// Exact: within any span of `t` no more than `burst + limit * t / window` hits are admitted. When
/// the clock steps back, debt is cut to one empty bucket, so callers wait a refill at most, and
/// never gain.
#[must_use]
pub fn spend(state: State, rate: Rate, hits: u64, now_ns: u64) -> (State, Reading) {
    // Debt and cost are scaled by `limit`, so one hit costs exactly `window` units.
    let limit = u128::from(rate.limit.max(1));
    let window = u128::from(rate.window_ns.max(1));
    let bucket = u128::from(rate.burst) * window;
    let debt = debt(state, rate.limit.max(1), now_ns).min(bucket);
    let cost = u128::from(hits) * window;

    let free = bucket - debt;
    if cost > free {
        let wait = (cost <= bucket).then(|| (cost - free).div_ceil(limit));
        return (state, Reading::refused(free / window, debt.div_ceil(limit), wait));
    }
    let after = debt + cost;
    (owing(after, limit, now_ns), Reading::admitted((free - cost) / window, after.div_ceil(limit)))
}

/// The state with `hits` given back that were spent at `spent_ns`.
///
/// What flowed back into the bucket since then may have been theirs, so it is taken off: given back is
/// what certainly still stands against them, all of it where the bucket was not full meanwhile. More
/// would let a burst through that the hits which remain do not leave room for.
#[must_use]
pub fn give_back(state: State, rate: Rate, hits: u64, spent_ns: u64, now_ns: u64) -> State {
    let limit = u128::from(rate.limit.max(1));
    let window = u128::from(rate.window_ns.max(1));
    let debt = debt(state, rate.limit.max(1), now_ns).min(u128::from(rate.burst) * window);
    let refilled = u128::from(now_ns.saturating_sub(spent_ns)) * limit;
    let standing = (u128::from(hits) * window).saturating_sub(refilled);
    owing(debt.saturating_sub(standing), limit, now_ns)
}

/// The state with `hits` spent whether there is room or not; a bucket is never below empty.
#[must_use]
pub fn force(state: State, rate: Rate, hits: u64, now_ns: u64) -> State {
    let window = u128::from(rate.window_ns.max(1));
    let bucket = u128::from(rate.burst) * window;
    let debt = debt(state, rate.limit.max(1), now_ns).saturating_add(u128::from(hits) * window);
    owing(debt.min(bucket), rate.limit.max(1).into(), now_ns)
}

/// The state in which `debt` is missing, in nanoseconds times `limit`.
fn owing(debt: u128, limit: u128, now_ns: u64) -> State {
    State {
        full_at: now_ns.saturating_add(u64::try_from(debt / limit).unwrap_or(u64::MAX)),
        fraction: u64::try_from(debt % limit).unwrap_or(0),
    }
}

/// What is missing in the bucket at `now_ns`, in nanoseconds times `limit`.
fn debt(state: State, limit: u64, now_ns: u64) -> u128 {
    // After a reload the fraction may be of another limit.
    let fraction = u128::from(state.fraction.min(limit - 1));
    match state.full_at.checked_sub(now_ns) {
        Some(ahead) => u128::from(ahead) * u128::from(limit) + fraction,
        None => 0,
    }
}

impl State {
    /// Nanoseconds since the epoch from which the state says nothing any more.
    #[must_use]
    pub fn expires_ns(self) -> u64 {
        self.full_at.saturating_add(1)
    }
}
