//! What is known of the servers' clock.
//!
//! A counter goes by the clock of the server that holds it. Nodes remember the latest time they were
//! told; a server that falls behind it by more than [`TOLERANCE`], as after a failover to one whose clock
//! is slow, is given the remembered time instead, so that nothing is frozen until its clock catches up.
//! A server whose clock is ahead refills each counter once by what the difference is worth, at most a
//! whole limit.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use pdp_engine::limit::epoch_ns;
use tokio::time::Instant;

/// How far servers' clocks may differ before a node tells them the time.
const TOLERANCE: Duration = Duration::from_secs(1);
/// What a caller's moment, put into the server's time, may be late by. It is early rather: by what the
/// answer took that told the server's time.
pub(super) const SLACK_US: u64 = 1_000;

/// The servers' clock beside this node's.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    /// Most that a server was ahead of `started`; microseconds.
    lead: AtomicI64,
    /// What the server last was ahead of this node's wall clock; microseconds.
    offset: AtomicI64,
}

impl Default for Clock {
    fn default() -> Self {
        Self { started: Instant::now(), lead: AtomicI64::new(i64::MIN), offset: AtomicI64::new(0) }
    }
}

impl Clock {
    /// A server said that it is `server_us`.
    pub(super) fn told(&self, server_us: u64) {
        let server = signed(server_us);
        self.lead.fetch_max(server.saturating_sub(self.elapsed()), Ordering::Relaxed);
        let wall = signed(epoch_ns(SystemTime::now()) / 1_000);
        self.offset.store(server.saturating_sub(wall), Ordering::Relaxed);
    }

    /// The earliest that a server may say it is; 0 where none was asked yet.
    pub(super) fn floor_us(&self) -> u64 {
        let lead = self.lead.load(Ordering::Relaxed);
        if lead == i64::MIN {
            return 0;
        }
        let tolerance = i64::try_from(TOLERANCE.as_micros()).unwrap_or(0);
        let floor = lead.saturating_add(self.elapsed()).saturating_sub(tolerance);
        u64::try_from(floor).unwrap_or(0)
    }

    /// A moment of this node in the server's time.
    pub(super) fn server_us(&self, moment: SystemTime) -> u64 {
        let wall = signed(epoch_ns(moment) / 1_000);
        u64::try_from(wall.saturating_add(self.offset.load(Ordering::Relaxed))).unwrap_or(0)
    }

    fn elapsed(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_falls_behind_is_told_the_time() {
        let clock = Clock::default();
        assert_eq!(clock.floor_us(), 0);
        clock.told(100_000_000);
        clock.told(40_000_000);
        let floor = clock.floor_us();
        assert!((99_000_000..99_900_000).contains(&floor), "{floor}");
    }

    #[test]
    fn a_moment_is_put_into_the_servers_time() {
        let clock = Clock::default();
        let now = SystemTime::now();
        clock.told(epoch_ns(now) / 1_000 + 3_600_000_000);
        let wrong = clock.server_us(now).abs_diff(epoch_ns(now) / 1_000 + 3_600_000_000);
        assert!(wrong < 5_000_000, "{wrong}");
    }
}
