//! The decider: encoded or decoded requests in, answers out, from any thread.
//!
//! The gRPC service and an engine embedded in a process use the same one. A check whose stores answer
//! at once is answered at once; one that has to wait is given back as what is left of it.

pub(crate) mod batch;
pub(crate) mod check;
mod facts;
mod identifier;
mod report;
mod seat;
pub(crate) mod stream;
mod thread;
pub(crate) mod usage;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Buf;
use pdp_engine::{PolicySet, Request, Text, Worker, WorkerOptions};
use pdp_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use pdp_proto::v1::{self as proto, ErrorDetail, check_result::Outcome};
use pdp_state::talkers::{TalkerOptions, Talkers};
use pdp_state::{FactRegistry, StateStore};

use self::check::{Answer, Check, Finish, Waiting};
use crate::convert;
use crate::errors::{self, InvalidRequest};
use crate::metrics::Metrics;
use crate::state::State;

/// The set that serves.
pub struct Active {
    /// The set.
    pub set: Arc<PolicySet>,
    /// When it was swapped in.
    pub loaded_at: SystemTime,
}

struct Shared {
    active: ArcSwap<Active>,
    options: WorkerOptions,
    state: State,
    metrics: Arc<Metrics>,
    talkers: Talkers,
}

/// Decides requests from the active policy set; cheap to clone.
///
/// Each thread that calls it has a worker of its own. A set that is swapped in
/// is picked up between two requests, so no answer mixes two revisions.
#[derive(Clone)]
pub struct Decider {
    shared: Arc<Shared>,
}

/// Policies that are made ready before a set becomes active; the rest are at their first request.
const WARM_POLICIES: usize = 1_000;

impl Decider {
    /// A decider over `set` that counts in `state`.
    #[must_use]
    pub fn new(set: PolicySet, options: WorkerOptions, state: State) -> Self {
        let active = ArcSwap::from_pointee(Active { set: Arc::new(set), loaded_at: SystemTime::now() });
        let talkers = Talkers::new(TalkerOptions::default(), Instant::now(), SystemTime::now());
        Self { shared: Arc::new(Shared { active, options, state, metrics: Arc::default(), talkers }) }
    }

    /// The set that serves.
    #[must_use]
    pub fn active(&self) -> Arc<Active> {
        self.shared.active.load_full()
    }

    fn active_set(&self) -> Arc<PolicySet> {
        self.shared.active.load().set.clone()
    }

    /// Lets `set` serve from the next request on.
    pub fn swap(&self, set: Arc<PolicySet>) {
        self.shared.active.store(Arc::new(Active { set, loaded_at: SystemTime::now() }));
    }

    /// Makes this thread ready for a set that is about to become active, policy by
    /// policy; `pause` runs in between so that requests are not held up.
    pub(crate) async fn warm(&self, set: Arc<PolicySet>, pause: impl AsyncFn()) {
        let policies = set.policies().len().min(WARM_POLICIES);
        let mut worker = Worker::new(set, &self.shared.options);
        for most in 1..=policies {
            worker.warm(most);
            pause().await;
        }
        thread::with_state(self, |state| state.warmed(worker));
    }

    /// What is counted.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    /// Who asks most.
    #[must_use]
    pub fn talkers(&self) -> &Talkers {
        &self.shared.talkers
    }

    /// Counters, and how they fare.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn StateStore> {
        &self.shared.state.store
    }

    /// Where stored facts are.
    #[must_use]
    pub fn facts(&self) -> &Arc<dyn FactRegistry> {
        &self.shared.state.facts
    }

    /// Decides one request, waiting on this thread where its stores do not answer at once.
    ///
    /// # Errors
    /// [`ErrorDetail`] for a request that is not well formed, names what does not exist, or meets a fault.
    pub fn check(&self, request: &proto::CheckRequest) -> Result<proto::CheckResponse, ErrorDetail> {
        self.counted(self.begin(request, None).wait())
    }

    /// Decides one encoded `CheckRequest`, unless `deadline` has passed; waits as [`Self::check`] does.
    ///
    /// # Errors
    /// As [`Self::check`], and where the bytes are no such message.
    pub fn check_encoded(
        &self,
        bytes: impl Buf,
        deadline: Option<Instant>,
    ) -> Result<proto::CheckResponse, ErrorDetail> {
        self.counted(self.begin_encoded(bytes, deadline).wait())
    }

    /// Begins one encoded `CheckRequest`; the answer is still to be counted.
    pub(crate) fn begin_encoded(&self, bytes: impl Buf, deadline: Option<Instant>) -> Check {
        match convert::decode(bytes) {
            Ok(request) => self.begin(&request, deadline),
            Err(error) => Check::Done(Err(error)),
        }
    }

    /// Decides an encoded `CheckBatchRequest`; each item has its own verdict or error.
    ///
    /// # Errors
    /// Only where the batch itself is not well formed.
    pub fn check_batch_encoded(&self, bytes: impl Buf) -> Result<proto::CheckBatchResponse, ErrorDetail> {
        let mut batch = self.open_batch(bytes, None)?;
        pdp_engine::reply::wait(async { while batch.advance(self) || batch.settle(self).await {} });
        Ok(batch.into_response())
    }

    /// Begins a check on this thread; the answer is still to be counted.
    fn begin(&self, request: &proto::CheckRequest, deadline: Option<Instant>) -> Check {
        self.begin_as(|| convert::request(request), check::response, deadline)
    }

    /// Begins one encoded request of Envoy's rate limit service; the answer is still to be counted.
    pub(crate) fn begin_rate_limit(
        &self,
        bytes: impl Buf,
        request_id: Option<Text>,
        deadline: Option<Instant>,
    ) -> Check<RateLimitResponse> {
        match convert::decode::<RateLimitRequest>(bytes) {
            Ok(request) => {
                let read = || convert::rate_limit::request(&request, request_id);
                self.begin_as(
                    read,
                    |_, request, decision| convert::rate_limit::answer(request, &decision),
                    deadline,
                )
            }
            Err(error) => Check::Done(Err(error)),
        }
    }

    fn begin_as<T: 'static>(
        &self,
        read: impl FnOnce() -> Result<Request, InvalidRequest>,
        finish: Finish<T>,
        deadline: Option<Instant>,
    ) -> Check<T> {
        thread::with_state(self, |state| state.check(self, read, finish, deadline))
            .unwrap_or_else(|| Check::Done(Err(errors::internal())))
    }

    /// Counts an error, once, where it leaves.
    pub(crate) fn counted<T>(&self, outcome: Result<T, ErrorDetail>) -> Result<T, ErrorDetail> {
        if let Err(error) = &outcome {
            self.shared.metrics.refused(error.reason);
        }
        outcome
    }
}

/// A check that waits, with what it is known by among others.
pub(crate) struct Named<T> {
    name: Option<T>,
    waiting: Waiting,
}

impl<T> Named<T> {
    fn new(name: T, waiting: Waiting) -> Self {
        Self { name: Some(name), waiting }
    }
}

impl<T: Unpin> Future for Named<T> {
    type Output = (Option<T>, Answer);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.waiting).poll(context);
        polled.map(|answer| (self.name.take(), answer))
    }
}

/// Refuses an id, where given, that is among `ids`; adds it otherwise.
fn unique(ids: &mut HashSet<String>, id: &str, among: &str) -> Result<(), ErrorDetail> {
    if id.is_empty() || ids.insert(id.to_owned()) {
        return Ok(());
    }
    Err(errors::duplicate_id(among))
}

fn result(id: String, outcome: Answer) -> proto::CheckResult {
    match outcome {
        Ok(answer) => proto::CheckResult {
            request_id: answer.request_id,
            outcome: answer.decision.map(Outcome::Decision),
        },
        Err(error) => proto::CheckResult {
            // An id that is itself at fault is not sent back.
            request_id: convert::request_id(&id).ok().flatten().map(|id| id.to_string()).unwrap_or_default(),
            outcome: Some(Outcome::Error(error)),
        },
    }
}
