//! Stops asking a server that does not answer, until one probe has succeeded.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::failure::FailureKind;

/// Failures in a row that open it, where one does not tell enough.
const THRESHOLD: u32 = 3;
/// Wait before the first probe.
const FIRST_WAIT: Duration = Duration::from_millis(50);
/// Longest wait between probes.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Breaker of one server, shared by its connections.
///
/// Closed it lets everything through. Open it lets nothing through but the probe of whoever opened it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    open: AtomicBool,
    failures: AtomicU32,
    opened: AtomicU64,
}

impl Breaker {
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Times it opened; a connection that is older must not be used.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Acquire)
    }

    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure; true where it opened the breaker, and the caller must probe.
    #[must_use]
    pub(super) fn failed(&self, kind: FailureKind) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !kind.is_certain() && failures < THRESHOLD {
            return false;
        }
        let opened = !self.open.swap(true, Ordering::AcqRel);
        if opened {
            self.opened.fetch_add(1, Ordering::AcqRel);
        }
        opened
    }

    /// The probe has succeeded.
    pub(super) fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.open.store(false, Ordering::Release);
    }
}

/// Wait before the probe with number `attempt`: doubling, and half of it random, so that nodes do not
/// come back in step. `random` is 0 to 1.
pub(super) fn wait(attempt: u32, random: f64) -> Duration {
    let full = FIRST_WAIT.saturating_mul(1 << attempt.min(10)).min(LONGEST_WAIT);
    full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_in_a_row_open_it_once() {
        let breaker = Breaker::default();
        assert!(!breaker.failed(FailureKind::Timeout));
        breaker.succeeded();
        assert!(!breaker.failed(FailureKind::Timeout));
        assert!(!breaker.failed(FailureKind::Cut));
        assert!(!breaker.is_open());
        assert!(breaker.failed(FailureKind::Timeout));
        assert!(breaker.is_open());
        assert!(!breaker.failed(FailureKind::Timeout), "one probe is enough");
        breaker.close();
        assert!(!breaker.is_open());
        assert_eq!(breaker.opened(), 1);
    }

    #[test]
    fn a_wrong_password_opens_it_at_once() {
        assert!(Breaker::default().failed(FailureKind::Denied));
    }

    #[test]
    fn waits_double_within_their_bounds() {
        assert_eq!(wait(0, 1.0), FIRST_WAIT);
        assert_eq!(wait(0, 0.0), FIRST_WAIT / 2);
        assert_eq!(wait(2, 1.0), FIRST_WAIT * 4);
        assert_eq!(wait(60, 1.0), LONGEST_WAIT);
    }
}
