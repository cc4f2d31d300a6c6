//! The counter of one key, whatever its algorithm.

use std::time::{Duration, SystemTime};

use super::{Algorithm, Limit, LimitOutcome, NEVER, fixed_window, gcra, sliding_window};

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
}

impl Counter {
    /// A counter on which nothing was spent.
    #[must_use]
    pub fn empty(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Gcra { .. } => Self::Gcra(gcra::State::default()),
            Algorithm::FixedWindow => Self::FixedWindow(fixed_window::State::default()),
            Algorithm::SlidingWindow => Self::SlidingWindow(sliding_window::State::default()),
            Algorithm::Quota(_) | Algorithm::Concurrency => Self::FixedWindow(fixed_window::State::default()),
        }
    }

    /// Reads the counter at `now_ns` (since the epoch) and spends `hits`.
    ///
    /// The new counter holds only if the reading admitted. The limit must be valid
    /// ([`Limit::validate`]); a counter of another algorithm counts as empty.
    #[must_use]
    pub fn spend(self, limit: &Limit, hits: u64, now_ns: u64) -> (Self, Reading) {
        let window_ns = window_ns(limit);
        let rate = WindowRate { limit: limit.limit, window_ns };
        match (limit.algorithm, self) {
            (Algorithm::Gcra { burst }, Self::Gcra(state)) => {
                let rate = gcra::Rate { limit: limit.limit, window_ns, burst };
                let (state, reading) = gcra::spend(state, rate, hits, now_ns);
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
            (algorithm, _) => Self::empty(algorithm).spend(limit, hits, now_ns),
        }
    }

    /// Nanoseconds since the epoch from which the counter is as good as empty.
    #[must_use]
    pub fn expires_ns(self, limit: &Limit) -> u64 {
        match self {
            Self::Gcra(state) => state.expires_ns(),
            Self::FixedWindow(state) => state.expires_ns(window_ns(limit)),
            Self::SlidingWindow(state) => state.expires_ns(window_ns(limit)),
        }
    }
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
