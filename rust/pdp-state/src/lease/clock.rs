//! The clock that leases live by: it only goes forward, and no wall clock moves it.

use std::time::Instant;

/// A clock that never steps back.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since some moment.
    fn now_ns(&self) -> u64;
}

/// The operating system's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock(Instant);

impl Default for MonotonicClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for MonotonicClock {
    fn now_ns(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
