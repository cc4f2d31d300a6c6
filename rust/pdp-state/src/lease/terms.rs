//! On which terms a limit is leased, if it is.

use std::time::Duration;

use pdp_engine::limit::{Algorithm, Counting, Limit, LimitDemand};

/// Longest life of a lease.
const MAX_LIFETIME: Duration = Duration::from_secs(1);
/// A limit whose leases would live shorter than this is counted exactly.
const MIN_LIFETIME: Duration = Duration::from_millis(5);
/// Longest that a refusal is believed, and a failure.
pub(super) const MAX_REFUSAL_NS: u64 = 100_000_000;
/// Longest pause after a grant that got less than it asked for.
const MAX_PACE: u128 = 10_000_000;
/// Shortest such pause.
const MIN_PACE: u128 = 50_000;

/// Terms of one limit, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Hits that one node holds at most.
    pub(super) most: u64,
    /// How long hits are usable.
    pub(super) lifetime_ns: u64,
    /// How long to let room grow in a counter that had less than was asked for: an eighth of what
    /// refills it, so that a limit in permanent use is asked for batches and not for single hits.
    pub(super) pace_ns: u64,
    /// Whether all room comes back at once when the window ends.
    pub(super) windowed: bool,
}

impl Terms {
    /// The terms of `limit` with leases of `most`.
    pub(super) fn new(limit: &Limit, most: u64) -> Self {
        let refill = limit.window.as_nanos().saturating_mul(at_once(limit).into());
        let refill = refill / u128::from(limit.limit.max(1));
        let gradual = matches!(limit.algorithm, Algorithm::Gcra { .. } | Algorithm::SlidingWindow);
        Self {
            most,
            lifetime_ns: nanoseconds(lifetime(limit)),
            pace_ns: u64::try_from((refill / 8).clamp(MIN_PACE, MAX_PACE)).unwrap_or(MAX_REFUSAL_NS),
            windowed: !gradual,
        }
    }
}

/// How many hits one node may hold for a demand, where it can be decided from a lease at all.
///
/// Not: a demand that is only read, that is larger than a lease or than the limit ever admits, that
/// breaks the bounds, that holds concurrency (which is given back by name), or whose window is too
/// short for a lease to be of use.
pub(super) fn leasable(demand: &LimitDemand<'_>) -> Option<u64> {
    let limit = demand.counter.limit;
    let Counting::Leased { most } = limit.counting else { return None };
    let fits = !demand.peek && (1..=most.min(at_once(limit))).contains(&demand.hits);
    let suits = limit.algorithm != Algorithm::Concurrency && lifetime(limit) >= MIN_LIFETIME;
    (fits && suits && limit.validate().is_ok()).then_some(most)
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Hits that the limit admits at once.
fn at_once(limit: &Limit) -> u64 {
    match limit.algorithm {
        Algorithm::Gcra { burst } => burst,
        _ => limit.limit,
    }
}

fn lifetime(limit: &Limit) -> Duration {
    (limit.window / 10).min(MAX_LIFETIME)
}
