//! A worker's seat: the worker of one set on one thread, shared by the checks it began.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pdp_engine::worker::MemoStats;
use pdp_engine::{Decision, PolicySet, Worker};
use pdp_proto::v1::ErrorDetail;

use super::Shared;
use crate::errors;
use crate::metrics::{LimitMetrics, ThreadMetrics};

/// A worker and what is counted beside it.
///
/// A check that waits for a store keeps its seat, so that it ends with the set it began with,
/// whatever serves by then. No borrow of the worker lives while a check waits.
pub(super) struct Seat {
    set: Arc<PolicySet>,
    worker: RefCell<Worker>,
    seen: Cell<MemoStats>,
    metrics: Arc<ThreadMetrics>,
    limits: Arc<LimitMetrics>,
}

impl Seat {
    pub(super) fn new(worker: Worker, shared: &Shared, metrics: Arc<ThreadMetrics>) -> Self {
        let set = worker.policy_set().clone();
        let limits = shared.metrics.limits.register(&set);
        Self { set, worker: RefCell::new(worker), seen: Cell::default(), metrics, limits }
    }

    /// The set of the worker.
    pub(super) fn set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// Runs one part of a check; a panic costs the check and the worker, nothing else.
    pub(super) fn run<T>(
        &self,
        shared: &Shared,
        deadline: Option<Instant>,
        part: impl FnOnce(&mut Worker) -> Result<T, ErrorDetail>,
    ) -> Result<T, ErrorDetail> {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let mut worker = self.worker.try_borrow_mut().map_err(|_| errors::internal())?;
            worker.limit_time(deadline.map(|at| at.saturating_duration_since(Instant::now())));
            part(&mut worker)
        }));
        outcome.unwrap_or_else(|_| {
            shared.metrics.panics.add(1);
            tracing::error!("a request met a fault of the server; its thread's worker was replaced");
            self.replace(Worker::new(self.set.clone(), &shared.options));
            Err(errors::internal())
        })
    }

    /// Takes a worker of the same set in place of the one that sits here.
    pub(super) fn replace(&self, worker: Worker) {
        if let Ok(mut seat) = self.worker.try_borrow_mut() {
            *seat = worker;
            self.seen.set(MemoStats::default());
        }
    }

    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision, elapsed: Duration, memo: MemoStats) {
        self.metrics.decided(decision, elapsed);
        self.limits.counted(&decision.limits);
        let seen = self.seen.get();
        if (memo.hits, memo.misses) != (seen.hits, seen.misses) {
            let since = |now: u64, then: u64| now.saturating_sub(then);
            self.metrics.recalled(since(memo.hits, seen.hits), since(memo.misses, seen.misses));
            self.seen.set(memo);
        }
    }
}
