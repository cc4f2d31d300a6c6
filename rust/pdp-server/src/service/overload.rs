//! Overload: how long calls wait on this thread, and which of them are to be refused for it.
//!
//! After CoDel (RFC 8289): a queue is a burst until the least wait of a whole interval is above the
//! target; then it stands, and calls that waited longer than the target are refused, the sheddable
//! ones first, the others with a chance that grows with their wait (as in RED, S. Floyd and
//! V. Jacobson 1993). A refused call costs a fraction of a decided one, so the queue shrinks to about
//! the target and the thread decides all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::priority::Priority;
use crate::config::OverloadConfig;
use crate::metrics::Counter;

/// What a timer may be late by itself: its resolution.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);
/// How much a new time moves an average: one part of this many.
const SMOOTHING: u64 = 16;
/// How much a refusal for its deadline lowers the estimate, so that one slow call is not believed for ever.
const DOUBT: u64 = 64;

/// The load of one request thread, which alone writes it.
pub(crate) struct Load {
    began: Instant,
    /// In nanoseconds, as all times here; those of the clock since `began`.
    target: u64,
    interval: u64,
    interval_ends: AtomicU64,
    /// Least wait of this interval so far.
    least: AtomicU64,
    /// Whether a queue stands.
    stands: AtomicBool,
    /// Calls of this interval so far, and how long they waited together.
    calls: AtomicU64,
    waited: AtomicU64,
    /// Mean wait of the last interval's calls.
    usual: AtomicU64,
    /// How late the thread last came to what was due.
    lateness: AtomicU64,
    /// What a decision takes, smoothed.
    service: AtomicU64,
    draws: AtomicU64,
    /// Calls since the probe last ran; it rests while there are none.
    called: AtomicBool,
    resting: AtomicBool,
    wake: Notify,
    /// Least wait of the last whole interval, for the metrics.
    delay: Arc<Counter>,
}

impl Load {
    pub(super) fn new(config: &OverloadConfig, delay: Arc<Counter>, now: Instant) -> Self {
        let interval = nanoseconds(Duration::from_millis(config.interval_ms));
        Self {
            began: now,
            target: nanoseconds(Duration::from_millis(config.target_ms)),
            interval,
            interval_ends: AtomicU64::new(interval),
            least: AtomicU64::new(u64::MAX),
            stands: AtomicBool::new(false),
            calls: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            usual: AtomicU64::new(0),
            lateness: AtomicU64::new(0),
            service: AtomicU64::new(0),
            draws: AtomicU64::new(0x9e37_79b9_7f4a_7c15),
            called: AtomicBool::new(false),
            resting: AtomicBool::new(false),
            wake: Notify::new(),
            delay,
        }
    }

    pub(super) fn target(&self) -> Duration {
        Duration::from_nanos(self.target)
    }

    /// Whether a queue stands.
    pub(super) fn stands(&self) -> bool {
        self.stands.load(Ordering::Relaxed)
    }

    /// What a decision takes at present.
    pub(super) fn service(&self) -> Duration {
        Duration::from_nanos(self.service.load(Ordering::Relaxed))
    }

    /// Takes note of a call that waited for `wait` until its turn came at `now`.
    pub(super) fn arrived(&self, now: Instant, wait: Duration) {
        add(&self.calls, 1);
        add(&self.waited, nanoseconds(wait));
        // What waits unread in the sockets is not seen; the thread's lateness says how long it takes to get there.
        let wait = nanoseconds(wait).max(self.lateness.load(Ordering::Relaxed));
        self.observe(now, wait);
        self.called.store(true, Ordering::Relaxed);
        if self.resting.load(Ordering::Relaxed) {
            self.resting.store(false, Ordering::Relaxed);
            self.wake.notify_one();
        }
    }

    /// Takes note of what a decision took.
    pub(super) fn served(&self, took: Duration) {
        smooth(&self.service, nanoseconds(took));
    }

    /// Takes note of a call refused for what a decision is thought to take.
    pub(super) fn doubt(&self) {
        let old = self.service.load(Ordering::Relaxed);
        self.service.store(old - old / DOUBT, Ordering::Relaxed);
    }

    fn observe(&self, now: Instant, wait: u64) {
        let now = nanoseconds(now.saturating_duration_since(self.began));
        let ends = self.interval_ends.load(Ordering::Relaxed);
        // After a rest, nothing is known of the interval in between.
        let began = now >= ends.saturating_add(self.interval);
        let least = if began { wait } else { self.least.load(Ordering::Relaxed).min(wait) };
        if began || now < ends {
            self.least.store(least, Ordering::Relaxed);
            if began {
                self.interval_ends.store(now + self.interval, Ordering::Relaxed);
                for counter in [&self.usual, &self.calls, &self.waited] {
                    counter.store(0, Ordering::Relaxed);
                }
            }
            return;
        }
        // Between half of the target and the target it stays as it is.
        if least > self.target {
            self.stands.store(true, Ordering::Relaxed);
        } else if least <= self.target / 2 {
            self.stands.store(false, Ordering::Relaxed);
        }
        let (calls, waited) = (self.calls.swap(0, Ordering::Relaxed), self.waited.swap(0, Ordering::Relaxed));
        self.usual.store(waited.checked_div(calls).unwrap_or_default(), Ordering::Relaxed);
        self.delay.set(least);
        self.least.store(u64::MAX, Ordering::Relaxed);
        self.interval_ends.store(now + self.interval, Ordering::Relaxed);
    }

    /// The wait that a call is judged by.
    ///
    /// A sheddable call goes by the usual wait too: calls that are read together wait the longer the
    /// later they come, and a late one that matters more should not be refused for an early one.
    pub(super) fn wait_of(&self, priority: Priority, wait: Duration) -> Duration {
        match priority {
            Priority::Sheddable => wait.max(Duration::from_nanos(self.usual.load(Ordering::Relaxed))),
            Priority::Default | Priority::Critical => wait,
        }
    }

    /// Whether a call that waited for `wait` is to be refused.
    pub(super) fn sheds(&self, priority: Priority, wait: Duration) -> bool {
        if !self.stands() {
            return false;
        }
        self.draw() < priority.chance(in_targets(self.wait_of(priority, wait), self.target()))
    }

    /// A number from 0 up to 1 (xorshift64*, S. Vigna 2016); spreads refusals, guards nothing.
    pub(super) fn draw(&self) -> f64 {
        let mut x = self.draws.load(Ordering::Relaxed);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.draws.store(x, Ordering::Relaxed);
        let high = u32::try_from(x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32).unwrap_or_default();
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    /// Measures the thread's lateness while calls come; a task of the thread, never ends.
    pub(crate) async fn probe(&self) {
        let pause = Duration::from_nanos(self.target / 2).clamp(TIMER_RESOLUTION, Duration::from_millis(50));
        let mut slept = Instant::now();
        loop {
            tokio::time::sleep(pause).await;
            let now = Instant::now();
            // One decision in progress is no queue.
            let due = pause + TIMER_RESOLUTION + self.service();
            let late = now.saturating_duration_since(slept).saturating_sub(due);
            self.lateness.store(nanoseconds(late), Ordering::Relaxed);
            self.observe(now, nanoseconds(late));
            if !self.called.swap(false, Ordering::Relaxed) && !self.stands() {
                self.delay.set(0);
                self.resting.store(true, Ordering::Relaxed);
                self.wake.notified().await;
            }
            slept = Instant::now();
        }
    }
}

/// Adds to a number that one thread alone writes, without a locked instruction.
fn add(number: &AtomicU64, more: u64) {
    number.store(number.load(Ordering::Relaxed).saturating_add(more), Ordering::Relaxed);
}

/// Moves an average towards a new value.
fn smooth(average: &AtomicU64, new: u64) {
    let old = average.load(Ordering::Relaxed);
    let moved = if old == 0 { new } else { old - old / SMOOTHING + new / SMOOTHING };
    average.store(moved, Ordering::Relaxed);
}

fn in_targets(wait: Duration, target: Duration) -> f64 {
    wait.as_secs_f64() / target.as_secs_f64()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(now: Instant) -> Load {
        Load::new(&OverloadConfig { target_ms: 5, interval_ms: 100 }, Arc::default(), now)
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_burst_is_no_standing_queue() {
        let start = Instant::now();
        let load = load(start);
        for step in 0..300 {
            // Every tenth call finds an empty queue.
            load.arrived(start + ms(step), if step % 10 == 0 { ms(0) } else { ms(400) });
            assert!(!load.stands());
        }
    }

    #[test]
    fn a_queue_stands_after_a_whole_interval_above_the_target_and_ends_below_half_of_it() {
        let start = Instant::now();
        let load = load(start);
        let run = |from: u64, to: u64, wait: u64| {
            (from..to).for_each(|at| load.arrived(start + ms(at), Duration::from_micros(wait)));
            load.stands()
        };
        assert!(!run(0, 100, 6_000));
        assert!(run(100, 110, 6_000));
        assert!(run(110, 400, 4_000), "between half of the target and the target nothing changes");
        assert!(!run(400, 620, 2_000));
        assert!(load.delay.get() >= 2_000_000);
    }

    #[test]
    fn a_slow_first_call_after_a_rest_is_no_standing_queue() {
        let start = Instant::now();
        let load = load(start);
        load.arrived(start + ms(60_000), ms(400));
        assert!(!load.stands());
    }

    #[test]
    fn a_call_that_did_not_wait_is_admitted_once_the_others_have_gone() {
        let start = Instant::now();
        let load = load(start);
        (0..=200).for_each(|at| load.arrived(start + ms(at), ms(40)));
        assert!(load.sheds(Priority::Sheddable, ms(0)), "others wait, and that matters more");
        assert!(!load.sheds(Priority::Default, ms(0)) && !load.sheds(Priority::Critical, ms(400)));
        // The thread stays late for reasons of its own.
        load.lateness.store(nanoseconds(ms(6)), Ordering::Relaxed);
        (201..=410).for_each(|at| load.arrived(start + ms(at), ms(0)));
        assert!(load.stands() && !load.sheds(Priority::Sheddable, ms(0)));
    }

    #[test]
    fn one_slow_decision_is_not_believed_for_ever() {
        let load = load(Instant::now());
        load.served(ms(1));
        load.served(ms(1_600));
        assert!(load.service() > ms(100));
        for _ in 0..1_000 {
            load.doubt();
        }
        assert!(load.service() < ms(1), "{:?}", load.service());
    }

    #[tokio::test]
    async fn the_probe_tells_how_late_the_thread_is_and_rests_without_calls() {
        let load = Arc::new(load(Instant::now()));
        let probed = load.clone();
        let local = tokio::task::LocalSet::new();
        local.spawn_local(async move { probed.probe().await });
        local
            .run_until(async {
                let until = |done: &dyn Fn() -> bool| {
                    let met = done();
                    async move {
                        if met {
                            return true;
                        } else {
                            tokio::time::sleep(ms(1)).await
                        };
                        false
                    }
                };
                while !until(&|| load.resting.load(Ordering::Relaxed)).await {}
                // Blocks the thread, as a slow decision does, until the probe has seen it.
                while load.lateness.load(Ordering::Relaxed) < nanoseconds(ms(10)) {
                    load.arrived(Instant::now(), ms(0));
                    let start = Instant::now();
                    while start.elapsed() < ms(30) {}
                    tokio::task::yield_now().await;
                }
                while !until(&|| load.resting.load(Ordering::Relaxed)).await {}
            })
            .await;
    }

    proptest! {
        #[test]
        fn draws_are_within_their_range(steps in 1..1_000usize) {
            let load = load(Instant::now());
            for _ in 0..steps {
                let draw = load.draw();
                prop_assert!((0.0..1.0).contains(&draw));
            }
        }
    }
}
