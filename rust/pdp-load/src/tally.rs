//! Counts answers and their latencies within the measured time.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::error::LoadError;

/// Nanoseconds up to a minute, to three significant digits.
const HIGHEST_NS: u64 = 60_000_000_000;

/// When a run warms up, measures and ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) start: Instant,
    pub(crate) measured_from: Instant,
    pub(crate) end: Instant,
}

/// What one thread measured.
pub(crate) struct Tally {
    latencies: Histogram<u64>,
    window: Window,
}

impl Window {
    /// A window that starts now.
    pub(crate) fn starting_now(warm_up: Duration, duration: Duration) -> Self {
        let start = Instant::now();
        let measured_from = start + warm_up;
        Self { start, measured_from, end: measured_from + duration }
    }
}

impl Tally {
    pub(crate) fn new(window: Window) -> Result<Self, LoadError> {
        let latencies = Histogram::new_with_bounds(1, HIGHEST_NS, 3)
            .map_err(|error| LoadError::Generator(error.to_string()))?;
        Ok(Self { latencies, window })
    }

    /// Counts an answer that took from `from` until `until`, if `counted_at` lies in the measured time.
    pub(crate) fn record(&mut self, from: Instant, until: Instant, counted_at: Instant) {
        if counted_at < self.window.measured_from || counted_at >= self.window.end {
            return;
        }
        let nanoseconds =
            u64::try_from(until.saturating_duration_since(from).as_nanos()).unwrap_or(HIGHEST_NS);
        self.latencies.saturating_record(nanoseconds.max(1));
    }

    /// Adds what another thread measured.
    pub(crate) fn merge(&mut self, other: &Self) -> Result<(), LoadError> {
        self.latencies.add(&other.latencies).map_err(|error| LoadError::Generator(error.to_string()))
    }

    pub(crate) fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_outside_the_measured_time_do_not_count() {
        let window = Window::starting_now(Duration::from_secs(1), Duration::from_secs(1));
        let mut tally = Tally::new(window).unwrap();
        let at = |milliseconds| window.start + Duration::from_millis(milliseconds);
        for counted_at in [at(0), at(999), at(1000), at(1999), at(2000)] {
            tally.record(at(0), at(5), counted_at);
        }
        assert_eq!(tally.latencies().len(), 2);
        assert!(tally.latencies().max().abs_diff(5_000_000) < 10_000);
    }

    #[test]
    fn latency_beyond_the_range_is_kept_at_its_end() {
        let window = Window::starting_now(Duration::ZERO, Duration::from_secs(1));
        let mut tally = Tally::new(window).unwrap();
        tally.record(window.start, window.start + Duration::from_secs(600), window.start);
        assert_eq!(tally.latencies().len(), 1);
    }
}
