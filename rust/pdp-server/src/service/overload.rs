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

use http::HeaderMap;
use tokio::sync::Notify;

use crate::config::OverloadConfig;
use crate::metrics::Counter;

/// Metadata that names a call's priority.
const PRIORITY: &str = "pdp-priority";
/// What a timer may be late by itself: its resolution.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);
/// How much a new time moves an average: one part of this many.
const SMOOTHING: u64 = 16;
/// How much a refusal for its deadline lowers the estimate, so that one slow call is not believed for ever.
const DOUBT: u64 = 64;
/// Wait from which on all sheddable calls are refused, and the default ones begin to be, in targets.
const SHEDDABLE_END: f64 = 2.0;
/// Wait from which on all default calls are refused, in targets.
const DEFAULT_END: f64 = 5.0;

/// How much a call matters to its caller; the less, the earlier it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Refused only at the bound on calls in progress.
    Critical,
    /// What says nothing else.
    #[default]
    Default,
    /// Refused first.
    Sheddable,
}

impl Priority {
    /// All priorities, the most important first.
    pub(crate) const ALL: [Self; 3] = [Self::Critical, Self::Default, Self::Sheddable];

    /// Reads a call's priority; a value that is none of the three is the default.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match headers.get(PRIORITY).map(http::HeaderValue::as_bytes) {
            Some(b"critical") => Self::Critical,
            Some(b"sheddable") => Self::Sheddable,
            _ => Self::Default,
        }
    }

    /// Its name in metadata and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Default => "default",
            Self::Sheddable => "sheddable",
        }
    }

    /// How many of `most` calls in progress a call of this priority may make full.
    pub(super) fn places(self, most: u64) -> u64 {
        match self {
            Self::Critical => most,
            Self::Default => most - most / 20,
            Self::Sheddable => most - most / 5,
        }
    }

    /// The chance of being refused for a wait, given in targets, while a queue stands.
    fn chance(self, wait: f64) -> f64 {
        let rise = |from: f64, to: f64| ((wait - from) / (to - from)).clamp(0.0, 1.0);
        match self {
            Self::Critical => 0.0,
            Self::Default => rise(SHEDDABLE_END, DEFAULT_END),
            Self::Sheddable => rise(1.0, SHEDDABLE_END),
        }
    }
}

/// Why a call was shed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShedReason {
    /// Too many calls are in progress.
    InFlight,
    /// Calls wait too long.
    Queue,
    /// The call's deadline leaves less time than a decision takes.
    Deadline,
}

impl ShedReason {
    /// All reasons.
    pub(crate) const ALL: [Self; 3] = [Self::InFlight, Self::Queue, Self::Deadline];

    /// Its name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Queue => "queue",
            Self::Deadline => "deadline",
        }
    }
}

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
    /// Wait of late calls, smoothed.
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
        smooth(&self.usual, nanoseconds(wait));
        // What waits unread in the sockets is not seen; the thread's lateness says how long it takes to get there.
        let wait = nanoseconds(wait).max(self.lateness.load(Ordering::Relaxed));
        self.observe(now, wait);
        self.called.store(true, Ordering::Relaxed);
        if self.resting.swap(false, Ordering::Relaxed) {
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
        if began {
            self.interval_ends.store(now + self.interval, Ordering::Relaxed);
        }
        if began || now < ends {
            self.least.store(least, Ordering::Relaxed);
            return;
        }
        // Between half of the target and the target it stays as it is.
        if least > self.target {
            self.stands.store(true, Ordering::Relaxed);
        } else if least <= self.target / 2 {
            self.stands.store(false, Ordering::Relaxed);
        }
        self.delay.set(least);
        self.least.store(u64::MAX, Ordering::Relaxed);
        self.interval_ends.store(now + self.interval, Ordering::Relaxed);
    }

    /// Whether a call that waited for `wait` is to be refused.
    ///
    /// A sheddable call goes by the usual wait too: calls that are read together wait the longer the
    /// later they come, and a late one that matters more should not be refused for an early one.
    pub(super) fn sheds(&self, priority: Priority, wait: Duration) -> bool {
        if !self.stands() {
            return false;
        }
        let usual = Duration::from_nanos(self.usual.load(Ordering::Relaxed));
        let wait = if priority == Priority::Sheddable { wait.max(usual) } else { wait };
        self.draw() < priority.chance(in_targets(wait, self.target()))
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
    fn unknown_priority_is_the_default() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(PRIORITY, text.parse().unwrap());
            Priority::of(&headers)
        };
        assert_eq!(of("critical"), Priority::Critical);
        assert_eq!(of("sheddable"), Priority::Sheddable);
        for text in ["default", "", "CRITICAL", "critical,sheddable", "0"] {
            assert_eq!(of(text), Priority::Default, "{text}");
        }
        assert_eq!(Priority::of(&HeaderMap::new()), Priority::Default);
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
        fn who_matters_more_is_never_shed_before_who_matters_less(
            wait in 0..200_000u64, most in 1..100_000u64, in_flight in 0..120_000u64,
        ) {
            let wait = in_targets(Duration::from_micros(wait), ms(5));
            for pair in Priority::ALL.windows(2) {
                // With one draw for both: whatever refuses the first refuses the second.
                prop_assert!(pair[0].chance(wait) <= pair[1].chance(wait));
                prop_assert!(pair[0].places(most) >= pair[1].places(most));
            }
            prop_assert_eq!(Priority::Critical.chance(wait), 0.0);
            prop_assert_eq!(Priority::Critical.places(most), most);
            // The default ones are touched only where all sheddable ones are refused.
            prop_assert!(Priority::Default.chance(wait) == 0.0 || Priority::Sheddable.chance(wait) == 1.0);
            prop_assert!(Priority::Sheddable.places(most) >= 1 || in_flight == 0 || most == 0);
        }

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
