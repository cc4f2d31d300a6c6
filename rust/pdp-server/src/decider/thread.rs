//! What one thread needs to decide: a worker of the active set, ids, counters.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

use pdp_engine::{PolicySet, Request, Worker};

use super::check::{Check, Finish, Ticket};
use super::identifier::IdentifierSource;
use super::seat::Seat;
use super::{Decider, Shared};
use crate::errors::{self, InvalidRequest};
use crate::metrics::ThreadMetrics;

thread_local! {
    /// States of the deciders that this thread has served; mostly one.
    static STATES: RefCell<Vec<ThreadState>> = const { RefCell::new(Vec::new()) };
}

/// One thread's part of a decider.
pub(super) struct ThreadState {
    owner: Weak<Shared>,
    seat: Rc<Seat>,
    /// Made ready for a set that is about to become active.
    warmed: Option<Worker>,
    identifiers: IdentifierSource,
    metrics: Arc<ThreadMetrics>,
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
        let shared = &decider.shared;
        let metrics = shared.metrics.register();
        let worker = Worker::new(decider.active_set(), &shared.options);
        Self {
            owner: Arc::downgrade(shared),
            seat: Rc::new(Seat::new(worker, shared, metrics.clone())),
            warmed: None,
            identifiers: IdentifierSource::new(),
            metrics,
        }
    }

    /// Takes a worker that was made ready, of the set that serves or is about to.
    pub(super) fn warmed(&mut self, worker: Worker) {
        if Arc::ptr_eq(worker.policy_set(), self.seat.set()) {
            self.seat.replace(worker);
        } else {
            self.warmed = Some(worker);
        }
    }

    /// Moves to the active set, if it has changed since the last request. Checks that wait keep their seat.
    fn refresh(&mut self, decider: &Decider) {
        let active = decider.shared.active.load();
        if !Arc::ptr_eq(&active.set, self.seat.set()) {
            self.sit(decider, &active.set);
        }
    }

    fn sit(&mut self, decider: &Decider, set: &Arc<PolicySet>) {
        let ready = self.warmed.take().filter(|worker| Arc::ptr_eq(worker.policy_set(), set));
        let worker = ready.unwrap_or_else(|| Worker::new(set.clone(), &decider.shared.options));
        self.seat = Rc::new(Seat::new(worker, &decider.shared, self.metrics.clone()));
    }

    /// Begins one check.
    pub(super) fn check<T: 'static>(
        &mut self,
        decider: &Decider,
        read: impl FnOnce() -> Result<Request, InvalidRequest>,
        finish: Finish<T>,
        deadline: Option<Instant>,
    ) -> Check<T> {
        let start = Instant::now();
        if deadline.is_some_and(|deadline| deadline <= start) {
            return Check::Done(Err(errors::deadline_passed()));
        }
        self.refresh(decider);
        let now = SystemTime::now();
        let decision_id = self.identifiers.next(now);
        let ticket = Ticket { start, deadline, now, decision_id };
        Check::begin(&decider.shared, &self.seat, read, finish, ticket)
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        if let Some(shared) = self.owner.upgrade() {
            shared.metrics.retire(&self.metrics);
        }
    }
}
