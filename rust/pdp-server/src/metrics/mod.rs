//! What the server counts. Request threads write counters of their own, so
//! counting costs no shared cache line; reading adds them up.

mod limits;
mod render;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pdp_engine::{Decision, Effect};
use pdp_proto::v1::ErrorReason;

pub(crate) use limits::LimitMetrics;
use limits::LimitTables;
pub use render::Snapshot;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_MICROSECONDS: [u64; 14] =
    [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 1_000_000];

/// Reasons of the contract, `ERROR_REASON_UNSPECIFIED` included.
const REASONS: usize = 15;

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one thread counts.
#[derive(Debug, Default)]
pub(crate) struct ThreadMetrics {
    /// Verdicts by question (in the order of evaluation) and effect (allow, deny).
    decisions: [[Counter; 2]; 4],
    /// Requests per bucket; the last is everything slower.
    buckets: [Counter; BUCKETS_MICROSECONDS.len() + 1],
    nanoseconds: Counter,
    memo_hits: Counter,
    memo_misses: Counter,
}

impl ThreadMetrics {
    /// Counts a decision and the time it took.
    pub(crate) fn decided(&self, decision: &Decision, elapsed: Duration) {
        for verdict in &decision.verdicts {
            let effect = usize::from(verdict.effect == Effect::Deny);
            let row = self.decisions.get(verdict.question.position());
            if let Some(counter) = row.and_then(|row| row.get(effect)) {
                counter.add(1);
            }
        }
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MICROSECONDS.partition_point(|bound| nanoseconds > bound * 1_000);
        if let Some(counter) = self.buckets.get(bucket) {
            counter.add(1);
        }
        self.nanoseconds.add(nanoseconds);
    }

    /// Counts stages that the memo answered or could not answer.
    pub(crate) fn recalled(&self, hits: u64, misses: u64) {
        self.memo_hits.add(hits);
        self.memo_misses.add(misses);
    }

    fn counters(&self) -> impl Iterator<Item = &Counter> {
        let single = [&self.nanoseconds, &self.memo_hits, &self.memo_misses];
        self.decisions.iter().flatten().chain(&self.buckets).chain(single)
    }

    fn add(&self, other: &Self) {
        for (sum, counter) in self.counters().zip(other.counters()) {
            sum.add(counter.get());
        }
    }
}

/// What the whole server counts.
#[derive(Debug, Default)]
pub struct Metrics {
    threads: Mutex<Vec<Arc<ThreadMetrics>>>,
    /// Sums of threads that have ended.
    retired: ThreadMetrics,
    errors: [Counter; REASONS],
    pub(crate) limits: LimitTables,
    pub(crate) panics: Counter,
    /// Decisions whose usage token would have been too large.
    pub(crate) usage_tokens_omitted: Counter,
    pub(crate) reloads_done: Counter,
    pub(crate) reloads_failed: Counter,
    pub(crate) in_flight: Counter,
    pub(crate) connections: Counter,
    pub(crate) connections_refused: Counter,
    pub(crate) handshakes_failed: Counter,
}

impl Metrics {
    /// Counters for a thread that starts to decide.
    pub(crate) fn register(&self) -> Arc<ThreadMetrics> {
        let metrics = Arc::new(ThreadMetrics::default());
        self.threads().push(metrics.clone());
        metrics
    }

    /// Keeps the sums of a thread that ends.
    pub(crate) fn retire(&self, metrics: &Arc<ThreadMetrics>) {
        let mut threads = self.threads();
        threads.retain(|thread| !Arc::ptr_eq(thread, metrics));
        self.retired.add(metrics);
    }

    /// Counts a refused request.
    pub(crate) fn refused(&self, reason: i32) {
        let at = usize::try_from(reason).unwrap_or_default();
        if let Some(counter) = self.errors.get(at) {
            counter.add(1);
        }
    }

    /// How many requests were refused for `reason`.
    #[must_use]
    pub fn errors(&self, reason: ErrorReason) -> u64 {
        usize::try_from(i32::from(reason)).ok().and_then(|at| self.errors.get(at)).map_or(0, Counter::get)
    }

    fn threads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<ThreadMetrics>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sum(&self) -> ThreadMetrics {
        let sum = ThreadMetrics::default();
        let threads = self.threads();
        sum.add(&self.retired);
        threads.iter().for_each(|thread| sum.add(thread));
        sum
    }
}
