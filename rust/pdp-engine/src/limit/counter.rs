//! The counter of one key, whatever its algorithm.

use std::time::{Duration, SystemTime};

use super::{Algorithm, Limit, LimitOutcome, NEVER, concurrency, fixed_window, gcra, quota, sliding_window};

/// A windowed limit in nanoseconds; `window_ns` of at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowRate {
    /// Hits per window.
    pub limit: u64,
    /// Window in nanoseconds.
    pub window_ns: u64,
}

/// What the arithmetic says of one spend. Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Whether there is room.
    pub admitted: bool,
    /// Hits left: after the spend where it was admitted, otherwise as they stand.
    pub remaining: u64,
    /// Time until the limit is full again.
    pub reset_ns: u128,
    /// Time until the spend would be admitted: 0 where it was, `None` where no wait helps.
    pub retry_ns: Option<u128>,
}

impl Reading {
    pub(super) fn admitted(remaining: u128, reset_ns: u128) -> Self {
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        Self { admitted: true, remaining, reset_ns, retry_ns: Some(0) }
    }

    /// The reading with another time to wait.
    fn waiting(self, retry_ns: Option<u128>) -> Self {
        Self { retry_ns, ..self }
    }

    pub(super) fn refused(remaining: u128, reset_ns: u128, retry_ns: Option<u128>) -> Self {
        let remaining = u64::try_from(remaining).unwrap_or(u64::MAX);
        Self { admitted: false, remaining, reset_ns, retry_ns }
    }
}

impl From<Reading> for LimitOutcome {
    fn from(reading: Reading) -> Self {
        let retry_after = (!reading.admitted).then(|| reading.retry_ns.map_or(NEVER, duration));
        Self {
            admitted: reading.admitted,
            remaining: reading.remaining,
            reset_after: duration(reading.reset_ns),
            retry_after,
            ..Self::default()
        }
    }
}

/// State of one counter. Starts empty; a small value that a store keeps and replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Of [`Algorithm::Gcra`].
    Gcra(gcra::State),
    /// Of [`Algorithm::FixedWindow`].
    FixedWindow(fixed_window::State),
    /// Of [`Algorithm::SlidingWindow`].
    SlidingWindow(sliding_window::State),
    /// Of [`Algorithm::Quota`].
    Quota(quota::State),
    /// Of [`Algorithm::Concurrency`]: the sum of [`Holds`](super::Holds), which a store keeps beside it.
    Concurrency(concurrency::State),
}

impl Counter {
    /// A counter on which nothing was spent.
    #[must_use]
    pub fn empty(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Gcra { .. } => Self::Gcra(gcra::State::default()),
            Algorithm::FixedWindow => Self::FixedWindow(fixed_window::State::default()),
            Algorithm::SlidingWindow => Self::SlidingWindow(sliding_window::State::default()),
            Algorithm::Quota(_) => Self::Quota(quota::State::default()),
            Algorithm::Concurrency => Self::Concurrency(concurrency::State::default()),
        }
    }

    /// Reads the counter at `now_ns` (since the epoch) and spends `hits`.
    ///
    /// The new counter holds only if the reading admitted. The limit must be valid
    /// ([`Limit::validate`]); a counter of another algorithm counts as empty.
    #[must_use]
    pub fn spend(self, limit: &Limit, hits: u64, now_ns: u64) -> (Self, Reading) {
        let rate = WindowRate { limit: limit.limit, window_ns: window_ns(limit) };
        match (limit.algorithm, self) {
            (Algorithm::Gcra { burst }, Self::Gcra(state)) => {
                let (state, reading) = gcra::spend(state, gcra_rate(rate, burst), hits, now_ns);
                (Self::Gcra(state), reading)
            }
            (Algorithm::FixedWindow, Self::FixedWindow(state)) => {
                let (state, reading) = fixed_window::spend(state, rate, hits, now_ns);
                (Self::FixedWindow(state), reading)
            }
            (Algorithm::SlidingWindow, Self::SlidingWindow(state)) => {
                let (state, reading) = sliding_window::spend(state, rate, hits, now_ns);
                (Self::SlidingWindow(state), reading)
            }
            (Algorithm::Quota(calendar), Self::Quota(state)) => {
                let (state, reading) = quota::spend(state, calendar, limit.limit, hits, now_ns);
                (Self::Quota(state), reading)
            }
            (Algorithm::Concurrency, Self::Concurrency(state)) => {
                let (state, reading) = concurrency::spend(state, rate, hits, now_ns);
                (Self::Concurrency(state), reading)
            }
            (algorithm, _) => Self::empty(algorithm).spend(limit, hits, now_ns),
        }
    }

    /// Spends as many hits as there is room for, `least` to `most`, and says how many; none where there is
    /// room for fewer. The reading is of the counter that is returned, and admitted where hits were.
    #[must_use]
    pub fn grant(self, limit: &Limit, least: u64, most: u64, now_ns: u64) -> (Self, u64, Reading) {
        let (_, standing) = self.spend(limit, 0, now_ns);
        let hits = standing.remaining.min(most);
        if hits < least || hits == 0 {
            let (_, refused) = self.spend(limit, least.max(1), now_ns);
            // Only `most` below `least` leaves room that is not granted.
            return (self, 0, Reading { admitted: false, ..standing.waiting(refused.retry_ns) });
        }
        let (next, reading) = self.spend(limit, hits, now_ns);
        if reading.admitted { (next, hits, reading) } else { (self, 0, reading) }
    }

    /// The counter with `hits` given back that were spent at `spent_ns`: only in the window, slot or period
    /// they were spent in, and never below nothing. What [`Algorithm::Concurrency`] holds is given back by
    /// its holder instead.
    #[must_use]
    pub fn give_back(self, limit: &Limit, hits: u64, spent_ns: u64, now_ns: u64) -> Self {
        let rate = WindowRate { limit: limit.limit, window_ns: window_ns(limit) };
        match (limit.algorithm, self) {
            (Algorithm::Gcra { burst }, Self::Gcra(state)) => {
                Self::Gcra(gcra::give_back(state, gcra_rate(rate, burst), hits, spent_ns, now_ns))
            }
            (Algorithm::FixedWindow, Self::FixedWindow(state)) => {
                Self::FixedWindow(fixed_window::give_back(state, rate.window_ns, hits, spent_ns))
            }
            (Algorithm::SlidingWindow, Self::SlidingWindow(state)) => {
                Self::SlidingWindow(sliding_window::give_back(state, rate.window_ns, hits, spent_ns))
            }
            (Algorithm::Quota(_), Self::Quota(state)) => Self::Quota(quota::give_back(state, hits, spent_ns)),
            _ => self,
        }
    }

    /// The counter with `hits` spent whether there is room or not. What passes the limit leaves nothing
    /// remaining until it would have been admitted; a GCRA's bucket is never below empty.
    #[must_use]
    pub fn force(self, limit: &Limit, hits: u64, now_ns: u64) -> Self {
        let rate = WindowRate { limit: limit.limit, window_ns: window_ns(limit) };
        match (limit.algorithm, self) {
            (Algorithm::Gcra { burst }, Self::Gcra(state)) => {
                Self::Gcra(gcra::force(state, gcra_rate(rate, burst), hits, now_ns))
            }
            (Algorithm::FixedWindow, Self::FixedWindow(state)) => {
                Self::FixedWindow(fixed_window::force(state, rate.window_ns, hits, now_ns))
            }
            (Algorithm::SlidingWindow, Self::SlidingWindow(state)) => {
                Self::SlidingWindow(sliding_window::force(state, rate.window_ns, hits, now_ns))
            }
            (Algorithm::Quota(calendar), Self::Quota(state)) => {
                Self::Quota(quota::force(state, calendar, hits, now_ns))
            }
            (Algorithm::Concurrency, Self::Concurrency(_)) => self,
            (algorithm, _) => Self::empty(algorithm).force(limit, hits, now_ns),
        }
    }

    /// Nanoseconds since the epoch from which the counter is as good as empty.
    #[must_use]
    pub fn expires_ns(self, limit: &Limit) -> u64 {
        match self {
            Self::Gcra(state) => state.expires_ns(),
            Self::FixedWindow(state) => state.expires_ns(window_ns(limit)),
            Self::SlidingWindow(state) => state.expires_ns(window_ns(limit)),
            Self::Quota(state) => state.expires_ns(),
            Self::Concurrency(state) => state.last_ends_ns,
        }
    }
}

fn gcra_rate(rate: WindowRate, burst: u64) -> gcra::Rate {
    gcra::Rate { limit: rate.limit, window_ns: rate.window_ns, burst }
}

/// Nanoseconds since the epoch, 0 for a clock before it.
#[must_use]
pub fn epoch_ns(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn window_ns(limit: &Limit) -> u64 {
    u64::try_from(limit.window.as_nanos()).unwrap_or(u64::MAX)
}

fn duration(ns: u128) -> Duration {
    u64::try_from(ns).map_or(NEVER, Duration::from_nanos)
}
