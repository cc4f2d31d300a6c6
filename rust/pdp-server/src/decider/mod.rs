//! The decider: encoded or decoded requests in, answers out, from any thread.
//!
//! The gRPC service and an engine embedded in a process use the same one.

mod identifier;
mod thread;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Buf;
use pdp_engine::limit::LimitStore;
use pdp_engine::{PolicySet, Worker, WorkerOptions};
use pdp_proto::v1::{self as proto, ErrorDetail, ErrorReason, check_result::Outcome};

use crate::convert::{self, RawBatch, RawStreamItem};
use crate::errors;
use crate::metrics::Metrics;

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
    store: Arc<dyn LimitStore>,
    metrics: Arc<Metrics>,
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
    /// A decider over `set`.
    #[must_use]
    pub fn new(set: PolicySet, options: WorkerOptions, store: Arc<dyn LimitStore>) -> Self {
        let active = ArcSwap::from_pointee(Active { set: Arc::new(set), loaded_at: SystemTime::now() });
        Self { shared: Arc::new(Shared { active, options, store, metrics: Arc::default() }) }
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

    /// Decides one request.
    ///
    /// # Errors
    /// [`ErrorDetail`] for a request that is not well formed, names what does not exist, or meets a fault.
    pub fn check(&self, request: &proto::CheckRequest) -> Result<proto::CheckResponse, ErrorDetail> {
        self.counted(self.check_until(request, None))
    }

    /// Decides one encoded `CheckRequest`, unless `deadline` has passed.
    ///
    /// # Errors
    /// As [`Self::check`], and where the bytes are no such message.
    pub fn check_encoded(
        &self,
        bytes: impl Buf,
        deadline: Option<Instant>,
    ) -> Result<proto::CheckResponse, ErrorDetail> {
        let outcome = convert::decode(bytes).and_then(|request| self.check_until(&request, deadline));
        self.counted(outcome)
    }

    /// Decides an encoded `CheckBatchRequest`; each item has its own verdict or error.
    ///
    /// # Errors
    /// Only where the batch itself is not well formed.
    pub fn check_batch_encoded(&self, bytes: impl Buf) -> Result<proto::CheckBatchResponse, ErrorDetail> {
        let mut batch = self.open_batch(bytes, None)?;
        while self.advance(&mut batch) {}
        Ok(proto::CheckBatchResponse { results: batch.results })
    }

    /// Reads a batch, deciding nothing yet.
    pub(crate) fn open_batch(
        &self,
        bytes: impl Buf,
        deadline: Option<Instant>,
    ) -> Result<Batch, ErrorDetail> {
        let opened = convert::decode::<RawBatch>(bytes).and_then(|raw| {
            convert::batch_size(raw.items.len())?;
            Ok(raw)
        });
        let items = self.counted(opened)?.items;
        let results = Vec::with_capacity(items.len());
        Ok(Batch { items: items.into_iter(), deadline, ids: HashSet::new(), results })
    }

    /// Decides the next item; false when there is none.
    pub(crate) fn advance(&self, batch: &mut Batch) -> bool {
        let Some(item) = batch.items.next() else { return false };
        let at = batch.results.len();
        let outcome = convert::decode::<proto::CheckRequest>(item);
        let id = outcome.as_ref().map(|request| request.request_id.clone()).unwrap_or_default();
        let outcome = outcome.and_then(|request| {
            unique(&mut batch.ids, &id, "items of a batch")?;
            self.check_until(&request, batch.deadline)
        });
        let outcome = outcome.map_err(|mut error| {
            let field = std::mem::take(&mut error.field);
            let dot = if field.is_empty() { "" } else { "." };
            error.field = format!("items[{at}]{dot}{field}");
            error
        });
        batch.results.push(result(id, self.counted(outcome)));
        true
    }

    /// Decides one encoded `CheckStreamRequest`; `in_flight` are the ids not yet answered.
    pub(crate) fn check_stream_item(
        &self,
        bytes: impl Buf,
        in_flight: &mut HashSet<String>,
    ) -> proto::CheckResult {
        let outcome = convert::decode::<RawStreamItem>(bytes)
            .and_then(|item| convert::decode::<proto::CheckRequest>(item.request.unwrap_or_default()));
        let id = outcome.as_ref().map(|request| request.request_id.clone()).unwrap_or_default();
        let outcome = outcome.and_then(|request| {
            if id.is_empty() {
                let message = "answers of a stream are told apart by it";
                return Err(errors::detail(ErrorReason::FieldRequired, "request_id", message));
            }
            unique(in_flight, &id, "requests in flight")?;
            self.check_until(&request, None)
        });
        let outcome = outcome.map_err(|mut error| {
            let field = std::mem::take(&mut error.field);
            error.field = if field.is_empty() { "request".to_owned() } else { format!("request.{field}") };
            error
        });
        result(id, self.counted(outcome))
    }

    fn check_until(
        &self,
        request: &proto::CheckRequest,
        deadline: Option<Instant>,
    ) -> Result<proto::CheckResponse, ErrorDetail> {
        thread::with_state(self, |state| state.check(self, request, deadline))
            .unwrap_or_else(|| Err(errors::internal()))
    }

    /// Counts an error, once, where it leaves.
    pub(crate) fn counted<T>(&self, outcome: Result<T, ErrorDetail>) -> Result<T, ErrorDetail> {
        if let Err(error) = &outcome {
            self.shared.metrics.refused(error.reason);
        }
        outcome
    }
}

/// A batch on its way.
pub(crate) struct Batch {
    items: std::vec::IntoIter<bytes::Bytes>,
    deadline: Option<Instant>,
    ids: HashSet<String>,
    /// Answers so far, in the items' order.
    pub(crate) results: Vec<proto::CheckResult>,
}

/// Refuses an id, where given, that is among `ids`; adds it otherwise.
fn unique(ids: &mut HashSet<String>, id: &str, among: &str) -> Result<(), ErrorDetail> {
    if id.is_empty() || ids.insert(id.to_owned()) {
        return Ok(());
    }
    Err(errors::detail(ErrorReason::Duplicate, "request_id", format!("must differ among the {among}")))
}

fn result(id: String, outcome: Result<proto::CheckResponse, ErrorDetail>) -> proto::CheckResult {
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
