//! A check on its way: answered at once where its stores do, else when they have.

use std::future::IntoFuture;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use futures_util::future::join_all;
use pdp_engine::limit::{LimitOutcome, Usage};
use pdp_engine::worker::Pending;
use pdp_engine::{
    Decision, Effect, FactKind, FactReading, PolicySet, Reply, Request, StoredFacts, Worker, reply,
};
use pdp_proto::v1::{self as proto, ErrorDetail};
use uuid::Uuid;

use super::Shared;
use super::seat::Seat;
use crate::errors::InvalidRequest;
use crate::{convert, errors};

/// What a check comes to.
pub(crate) type Answer<T = proto::CheckResponse> = Result<T, ErrorDetail>;

/// Turns a decision into what its caller's protocol answers.
pub(super) type Finish<T> = fn(&Shared, &Request, Decision) -> T;

/// A check, answered or on its way.
#[allow(clippy::large_enum_variant, reason = "the large one is the common one, and costs no allocation so")]
pub(crate) enum Check<T = proto::CheckResponse> {
    /// It is answered.
    Done(Answer<T>),
    /// A store is still to answer.
    Waiting(Waiting<T>),
}

/// The rest of a check. Dropping it abandons the answer; what was spent stays spent.
pub(crate) struct Waiting<T = proto::CheckResponse> {
    rest: Pin<Box<dyn Future<Output = Answer<T>>>>,
    shared: Arc<Shared>,
}

/// What a check is known by from its beginning.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    pub(super) start: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) now: SystemTime,
    pub(super) decision_id: Uuid,
}

/// How far a check has come.
#[allow(clippy::large_enum_variant, reason = "as of `Check`")]
enum Stage<T> {
    /// It is decided.
    Decided(T),
    /// Its stored facts are being read.
    Reading(Box<Reading>),
    /// Its limits are being spent.
    Spending(Box<Spending>),
}

/// A check whose stored facts are being read.
struct Reading {
    request: Request,
    kinds: Vec<FactKind>,
    reply: Reply<Vec<FactReading>>,
}

/// A check whose limits are being spent.
struct Spending {
    request: Request,
    pending: Pending,
    replies: Vec<Reply<Vec<LimitOutcome>>>,
}

impl<T: 'static> Check<T> {
    /// Begins a check on this thread's worker, and ends it if no store has to be waited for.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        seat: &Rc<Seat>,
        read: impl FnOnce() -> Result<Request, InvalidRequest>,
        finish: Finish<T>,
        ticket: Ticket,
    ) -> Self {
        let begun = seat
            .run(shared, ticket.deadline, |worker| with_facts(shared, seat, worker, read()?, finish, ticket));
        match begun {
            Ok(Stage::Decided(answer)) => Self::Done(Ok(answer)),
            Ok(stage) => Self::Waiting(Waiting {
                rest: Box::pin(resume(shared.clone(), seat.clone(), stage, finish, ticket)),
                shared: shared.clone(),
            }),
            Err(error) => Self::Done(Err(error)),
        }
    }

    /// The answer, waited for on this thread: for callers outside of any asynchronous runtime.
    pub(crate) fn wait(self) -> Answer<T> {
        match self {
            Self::Done(answer) => answer,
            Self::Waiting(waiting) => reply::wait(waiting),
        }
    }
}

impl<T: 'static> Future for Waiting<T> {
    type Output = Answer<T>;

    /// A panic of a store's future costs its check and nothing else: no worker is in use meanwhile.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer<T>> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.rest.as_mut().poll(context)));
        polled.unwrap_or_else(|_| {
            self.shared.metrics.panics.add(1);
            tracing::error!("a store met a fault while a request waited for it");
            // A future that has panicked must not be asked again.
            self.rest = Box::pin(std::future::pending());
            Poll::Ready(Err(errors::internal()))
        })
    }
}

/// Reads the stored facts that policies need, and goes on where they are there.
fn with_facts<T>(
    shared: &Shared,
    seat: &Seat,
    worker: &mut Worker,
    mut request: Request,
    finish: Finish<T>,
    ticket: Ticket,
) -> Result<Stage<T>, ErrorDetail> {
    let names = worker.fact_names(&request);
    if names.is_empty() {
        return spend(shared, seat, worker, request, finish, ticket);
    }
    let kinds: Vec<_> = names.iter().map(|name| name.kind).collect();
    match shared.state.facts.read(&names, ticket.now).ready() {
        Ok(readings) => {
            request.stored = StoredFacts::new(kinds, readings);
            spend(shared, seat, worker, request, finish, ticket)
        }
        Err(reply) => Ok(Stage::Reading(Box::new(Reading { request, kinds, reply }))),
    }
}

/// Spends the limits of `request`, and decides where their store has answered.
fn spend<T>(
    shared: &Shared,
    seat: &Seat,
    worker: &mut Worker,
    request: Request,
    finish: Finish<T>,
    ticket: Ticket,
) -> Result<Stage<T>, ErrorDetail> {
    let pending = worker
        .begin(&request, ticket.now)
        .map_err(|fault| errors::from_fault(&fault, &request.required_policies))?;
    let store = shared.state.store.as_ref();
    let replies = pending.spend(&request, worker.policy_set(), ticket.decision_id, store);
    if replies.iter().any(|reply| matches!(reply, Reply::Waiting(_))) {
        return Ok(Stage::Spending(Box::new(Spending { request, pending, replies })));
    }
    let outcomes = replies.into_iter().filter_map(|reply| reply.ready().ok());
    let outcomes = flat(outcomes);
    let decision = decide(shared, seat, worker, &request, pending, &outcomes, ticket);
    Ok(Stage::Decided(finish(shared, &request, decision)))
}

/// Waits for the stores, and decides with the worker that began.
async fn resume<T>(
    shared: Arc<Shared>,
    seat: Rc<Seat>,
    stage: Stage<T>,
    finish: Finish<T>,
    ticket: Ticket,
) -> Answer<T> {
    let stage = match stage {
        Stage::Reading(reading) => {
            let Reading { mut request, kinds, reply } = *reading;
            request.stored = StoredFacts::new(kinds, reply.into_future().await);
            in_time(ticket)?;
            seat.run(&shared, ticket.deadline, |worker| {
                spend(&shared, &seat, worker, request, finish, ticket)
            })?
        }
        other => other,
    };
    let Spending { request, pending, replies } = match stage {
        Stage::Decided(answer) => return Ok(answer),
        Stage::Spending(spending) => *spending,
        // A check reads its facts once.
        Stage::Reading(_) => return Err(errors::internal()),
    };
    let outcomes = flat(join_all(replies.into_iter().map(Reply::into_future)).await);
    seat.run(&shared, ticket.deadline, |worker| {
        let late = in_time(ticket);
        let mut decision = decide(&shared, &seat, worker, &request, pending, &outcomes, ticket);
        if late.is_err() {
            let_go(&shared, worker.policy_set(), &mut decision);
        }
        late.map(|()| finish(&shared, &request, decision))
    })
}

/// Refuses a check whose caller waits no more.
fn in_time(ticket: Ticket) -> Result<(), ErrorDetail> {
    match ticket.deadline {
        Some(deadline) if deadline <= Instant::now() => Err(errors::deadline_passed()),
        _ => Ok(()),
    }
}

/// The outcomes of all groups, one after the other; those of a single group as they are.
fn flat(groups: impl IntoIterator<Item = Vec<LimitOutcome>>) -> Vec<LimitOutcome> {
    let mut groups = groups.into_iter();
    let mut all = groups.next().unwrap_or_default();
    groups.for_each(|group| all.extend(group));
    all
}

fn decide(
    shared: &Shared,
    seat: &Seat,
    worker: &mut Worker,
    request: &Request,
    pending: Pending,
    outcomes: &[LimitOutcome],
    ticket: Ticket,
) -> Decision {
    seat.see(ticket.start, &request.facts, &pending, outcomes);
    let mut decision = worker.finish(request, pending, outcomes, ticket.decision_id);
    if decision.effect == Effect::Deny {
        let_go(shared, worker.policy_set(), &mut decision);
    }
    seat.count(&decision, ticket.start.elapsed(), worker.memo_stats());
    decision
}

/// Gives back at once what is held for a request that will not be made: its caller has no reason to report.
fn let_go(shared: &Shared, set: &PolicySet, decision: &mut Decision) {
    let held: Vec<Usage> = decision.usage.extract_if(.., |row| row.held).collect();
    if held.is_empty() {
        return;
    }
    // Nobody waits for it; where the store cannot be asked, the hold ends by itself.
    drop(set.settling(&held).settle(None, shared.state.store.as_ref(), SystemTime::now()));
}

/// The answer of this product's own contract.
pub(super) fn response(shared: &Shared, request: &Request, decision: Decision) -> proto::CheckResponse {
    let usage_token = usage_token(shared, &decision.usage);
    let decision = proto::Decision { usage_token, ..convert::decision(decision) };
    let request_id = match &request.request_id {
        Some(id) => id.as_ref().to_owned(),
        None => decision.decision_id.clone(),
    };
    proto::CheckResponse { request_id, decision: Some(decision) }
}

/// The token of what was spent; empty where there is nothing to report, or too much.
fn usage_token(shared: &Shared, usage: &[Usage]) -> Vec<u8> {
    if usage.is_empty() {
        return Vec::new();
    }
    shared.state.key.sign(usage).unwrap_or_else(|| {
        shared.metrics.usage_tokens_omitted.add(1);
        Vec::new()
    })
}
