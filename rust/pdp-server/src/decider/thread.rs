//! What one thread needs to decide: a worker of the active set, ids, counters.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use pdp_engine::worker::MemoStats;
use pdp_engine::{Decision, PolicySet, Request, Worker};
use pdp_proto::v1::{self as proto, ErrorDetail};

use super::identifier::IdentifierSource;
use super::{Decider, Shared};
use crate::metrics::ThreadMetrics;
use crate::{convert, errors};

thread_local! {
    /// States of the deciders that this thread has served; mostly one.
    static STATES: RefCell<Vec<ThreadState>> = const { RefCell::new(Vec::new()) };
}

/// One thread's part of a decider.
pub(super) struct ThreadState {
    owner: Weak<Shared>,
    worker: Worker,
    /// Made ready for a set that is about to become active.
    warmed: Option<Worker>,
    identifiers: IdentifierSource,
    metrics: Arc<ThreadMetrics>,
    seen: MemoStats,
}

/// Runs `work` with this thread's state. `None` when a decision is already in
/// progress on this thread, which nothing in the engine can cause.
pub(super) fn with_state<T>(decider: &Decider, work: impl FnOnce(&mut ThreadState) -> T) -> Option<T> {
    STATES.with(|states| {
        let mut states = states.try_borrow_mut().ok()?;
        let owner = Arc::as_ptr(&decider.shared);
        let at = match states.iter().position(|state| state.owner.as_ptr() == owner) {
            Some(at) => at,
            None => {
                states.retain(|state| state.owner.strong_count() > 0);
                states.push(ThreadState::new(decider));
                states.len() - 1
            }
        };
        states.get_mut(at).map(work)
    })
}

impl ThreadState {
    fn new(decider: &Decider) -> Self {
        Self {
            owner: Arc::downgrade(&decider.shared),
            worker: Worker::new(decider.active_set(), &decider.shared.options),
            warmed: None,
            identifiers: IdentifierSource::new(),
            metrics: decider.shared.metrics.register(),
            seen: MemoStats::default(),
        }
    }

    /// Takes a worker that was made ready, of the set that serves or is about to.
    pub(super) fn warmed(&mut self, worker: Worker) {
        if Arc::ptr_eq(worker.policy_set(), self.worker.policy_set()) {
            self.worker = worker;
            self.seen = MemoStats::default();
        } else {
            self.warmed = Some(worker);
        }
    }

    /// Moves to the active set, if it has changed since the last request.
    fn refresh(&mut self, decider: &Decider) {
        let active = decider.shared.active.load();
        if !Arc::ptr_eq(&active.set, self.worker.policy_set()) {
            self.replace(decider, &active.set);
        }
    }

    fn replace(&mut self, decider: &Decider, set: &Arc<PolicySet>) {
        let ready = self.warmed.take().filter(|worker| Arc::ptr_eq(worker.policy_set(), set));
        self.worker = ready.unwrap_or_else(|| Worker::new(set.clone(), &decider.shared.options));
        self.seen = MemoStats::default();
    }

    /// Decides one request; a panic costs this request and this thread's worker, nothing else.
    pub(super) fn check(
        &mut self,
        decider: &Decider,
        request: &proto::CheckRequest,
        deadline: Option<Instant>,
    ) -> Result<proto::CheckResponse, ErrorDetail> {
        let start = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= start) {
            return Err(errors::deadline_passed());
        }
        self.refresh(decider);
        self.worker.limit_time(deadline.map(|deadline| deadline - start));
        let outcome = catch_unwind(AssertUnwindSafe(|| self.answer(decider, request, start)));
        outcome.unwrap_or_else(|_| {
            decider.shared.metrics.panics.add(1);
            tracing::error!("a request met a fault of the server; its thread's worker was replaced");
            self.replace(decider, &decider.active_set());
            Err(errors::internal())
        })
    }

    fn answer(
        &mut self,
        decider: &Decider,
        request: &proto::CheckRequest,
        start: Instant,
    ) -> Result<proto::CheckResponse, ErrorDetail> {
        let request = convert::request(request)?;
        let decision = self.decide(decider, &request)?;
        self.metrics.decided(&decision, start.elapsed());
        let memo = self.worker.memo_stats();
        if (memo.hits, memo.misses) != (self.seen.hits, self.seen.misses) {
            let since = |now: u64, then: u64| now.saturating_sub(then);
            self.metrics.recalled(since(memo.hits, self.seen.hits), since(memo.misses, self.seen.misses));
            self.seen = memo;
        }
        let decision = convert::decision(decision);
        let request_id = match &request.request_id {
            Some(id) => id.as_ref().to_owned(),
            None => decision.decision_id.clone(),
        };
        Ok(proto::CheckResponse { request_id, decision: Some(decision) })
    }

    fn decide(&mut self, decider: &Decider, request: &Request) -> Result<Decision, ErrorDetail> {
        let now = SystemTime::now();
        let decision_id = self.identifiers.next(now);
        let store = decider.shared.store.as_ref();
        let decision = self.worker.decide(request, now, decision_id, store);
        decision.map_err(|fault| errors::from_fault(&fault, &request.required_policies))
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        if let Some(shared) = self.owner.upgrade() {
            shared.metrics.retire(&self.metrics);
        }
    }
}
