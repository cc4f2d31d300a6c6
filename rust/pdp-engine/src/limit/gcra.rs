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
    let (whole, fraction) = (after / limit, after % limit);
    let next = State {
        full_at: now_ns.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX)),
        fraction: u64::try_from(fraction).unwrap_or(0),
    };
    (next, Reading::admitted((free - cost) / window, whole + u128::from(fraction > 0)))
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
