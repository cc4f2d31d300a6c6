//! Counters in the shared store.

use std::cell::RefCell;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use pdp_engine::Reply;
use pdp_engine::Text;
use pdp_engine::limit::{
    Algorithm, CounterName, Limit, LimitFault, LimitOutcome, LimitStore, Settle, Settlement, Spend, epoch_ns,
};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clock::SLACK_US;
use super::decode::Status;
use super::encode::{Group, Operation, holds, place};
use super::failure::Failure;
use super::hub::{Hub, Tally};
use super::lane::{self, Answer, Lane};
use super::link::Link;
use super::metrics;
use super::name::Names;
use super::options::{RedisOptions, RedisOptionsError};
use super::outage::{Local, unavailable};
use super::plan::{self, Fallback, Plan};
use super::{presence, spread};
use crate::store::{Grant, Health, Metric, StateStore};

/// Counters on Redis or Valkey, shared by all nodes that use the same store.
pub struct RedisStore {
    inner: Arc<Inner>,
    /// Ends the background thread when it is dropped.
    _end: oneshot::Sender<()>,
}

/// What answers share with their store.
pub(super) struct Inner {
    pub(super) hub: Arc<Hub>,
    /// `None` until the nodes have agreed on a salt.
    pub(super) names: ArcSwapOption<Names>,
    pub(super) local: Local,
    /// Lane of callers outside of a runtime.
    background: Lane,
}

impl RedisStore {
    /// A store. Returns once it was asked for the first time, or failed to answer in time: it need not be
    /// there yet.
    ///
    /// # Errors
    /// The setting at fault.
    pub fn connect(options: RedisOptions) -> Result<Arc<Self>, RedisOptionsError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| {
            RedisOptionsError::new("state", format!("no runtime: {error}; allow more threads and files"))
        })?;
        let wait = options.connect_timeout + options.timeout;
        let names =
            options.key_secret.as_ref().map(|secret| Arc::new(Names::new(secret.reveal().as_bytes())));
        let hub = Hub::new(options, runtime.handle().clone())?;
        let inner = Arc::new(Inner {
            names: ArcSwapOption::new(names),
            local: Local::new(&hub.options),
            background: lane::start(hub.clone(), runtime.handle()),
            hub,
        });
        let (first, beaten) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(presence::run(Arc::downgrade(&inner), Link::new(inner.hub.clone()), first));
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("pdp-redis".to_owned())
            .spawn(move || {
                // The sender's end is the signal.
                let _ = runtime.block_on(ended);
            })
            .map_err(|error| RedisOptionsError::new("state", format!("no thread: {error}; allow more")))?;
        // A store that is not there is found again by the beats.
        let _ = beaten.recv_timeout(wait);
        Ok(Arc::new(Self { inner, _end: end }))
    }

    /// What connections to this store share, for other users of it.
    #[must_use]
    pub fn hub(&self) -> Arc<Hub> {
        self.inner.hub.clone()
    }

    /// How keys are named; `None` until the nodes have agreed on a salt.
    #[must_use]
    pub fn names(&self) -> Option<Arc<Names>> {
        self.inner.names.load_full()
    }
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("RedisStore").field("options", &self.inner.hub.options).finish_non_exhaustive()
    }
}

impl Inner {
    /// The lane of this thread's runtime, or the one of callers outside of any.
    pub(super) fn lane(self: &Arc<Self>) -> Lane {
        thread_local! {
            static LANES: RefCell<Vec<(Weak<Inner>, Lane)>> = const { RefCell::new(Vec::new()) };
        }
        let Ok(runtime) = Handle::try_current() else { return self.background.clone() };
        LANES.with_borrow_mut(|lanes| {
            // A lane is closed once its runtime has ended.
            let own = |(store, lane): &&(Weak<Self>, Lane)| {
                std::ptr::eq(store.as_ptr(), Arc::as_ptr(self)) && !lane.is_closed()
            };
            if let Some((_, lane)) = lanes.iter().find(own) {
                return lane.clone();
            }
            // Lanes of stores that are gone end with their senders.
            lanes.retain(|(store, lane)| store.strong_count() > 0 && !lane.is_closed());
            let lane = lane::start(self.hub.clone(), &runtime);
            lanes.push((Arc::downgrade(self), lane.clone()));
            lane
        })
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.hub.options.timeout
    }

    /// Plans a spend, where names are known and the store is asked at all.
    fn plan(&self, spend: &Spend<'_>) -> Option<Plan> {
        if self.hub.is_away() {
            return None;
        }
        let names = self.names.load();
        let now_us = self.hub.clock.server_us(spend.now);
        let replays = !self.hub.options.replay_window.is_zero();
        Some(plan::plan(names.as_ref()?, spend, now_us, replays, self.hub.options.cluster))
    }

    /// Puts a plan's only part into the lane, or several one after the other.
    async fn run(self: &Arc<Self>, lane: &Lane, plan: Plan, deadline: Instant) -> Result<Ran, Failure> {
        let Plan { mut parts, demands, invalid } = plan;
        let mut outcomes = vec![plan::invalid(); demands];
        if parts.len() > 1 {
            return spread::run(self, lane, parts, outcomes).await;
        }
        let Some(part) = parts.pop() else { return Ok(Ran::Outcomes(outcomes)) };
        let told = lane::ask(lane, part.group, deadline).await?;
        if told.status == Status::Stale {
            return Ok(Ran::Stale);
        }
        self.note(told.status);
        if invalid.is_empty() {
            return Ok(Ran::Outcomes(told.outcomes));
        }
        place_outcomes(&mut outcomes, &part.indices, told.outcomes);
        Ok(Ran::Outcomes(outcomes))
    }

    pub(super) fn note(&self, status: Status) {
        if status == Status::Before {
            Tally::add(&self.hub.tally.replayed, 1);
        }
    }

    /// Concludes a spend: asks a second time where a calendar's periods were those of another time.
    async fn conclude(
        self: Arc<Self>,
        lane: Lane,
        ran: Result<Ran, Failure>,
        fallback: Fallback,
        deadline: Instant,
    ) -> Vec<LimitOutcome> {
        let ran = match (ran, &fallback) {
            (Ok(Ran::Stale), Fallback::Kept(kept)) => {
                // The server has said its time by now.
                match kept.with(|spend| self.plan(&Spend { now: SystemTime::now(), ..*spend })) {
                    Some(plan) => self.run(&lane, plan, deadline).await,
                    None => Ok(Ran::Stale),
                }
            }
            (ran, _) => ran,
        };
        match ran {
            Ok(Ran::Outcomes(outcomes)) => outcomes,
            Ok(Ran::Stale) | Err(_) => self.local.answer(&fallback, &self.hub.tally),
        }
    }

    /// Asks for one group on one counter.
    fn one(self: &Arc<Self>, group: Group) -> impl Future<Output = Answer> + Send + use<> {
        let told = lane::put_in(&self.lane(), group, self.deadline());
        async move { told.await.unwrap_or_else(|_| Err(lane::gone())) }
    }

    /// A group on one counter without a replay; `numbers` come before the record.
    fn group(
        &self,
        operation: Operation,
        counter: &CounterName<'_>,
        hits: u64,
        number: u64,
    ) -> Result<Group, LimitFault> {
        if self.hub.is_away() {
            return Err(LimitFault::StoreUnavailable);
        }
        let names = self.names.load();
        let names = names.as_ref().ok_or(LimitFault::StoreUnavailable)?;
        let (tag, key) = place(names, counter).ok_or(LimitFault::InvalidLimit)?;
        let mut group = Group::new(operation, tag, None, None);
        if operation == Operation::Reset {
            group.key(key);
            return Ok(group);
        }
        group.number(number);
        group.record(key, counter.limit, hits, false, self.hub.clock.server_us(SystemTime::now()));
        Ok(group)
    }

    /// Groups of a settlement, one for each tag on a Cluster, with which settlements each holds.
    fn settle_groups(&self, settle: &Settle<'_>) -> Option<Vec<(Group, Vec<usize>)>> {
        if self.hub.is_away() {
            return None;
        }
        let names = self.names.load();
        let names = names.as_ref()?;
        let now_us = self.hub.clock.server_us(settle.now);
        let replay = (!self.hub.options.replay_window.is_zero()).then(|| names.settlement(settle.holder));
        let mut groups: Vec<(Group, Vec<usize>)> = Vec::with_capacity(1);
        for (index, it) in settle.settlements.iter().enumerate() {
            let Some((tag, key)) = place(names, &it.counter) else { continue };
            let same = |(group, _): &(Group, Vec<usize>)| !self.hub.options.cluster || group.tag == tag;
            let found = groups.iter().position(same).unwrap_or_else(|| {
                let mut group = Group::new(Operation::Settle, tag, replay, Some(settle.holder));
                group.number(SLACK_US);
                groups.push((group, Vec::new()));
                groups.len() - 1
            });
            let Some((group, indices)) = groups.get_mut(found) else { continue };
            group.record(key, it.counter.limit, 0, false, now_us);
            group.moves(moved(it), self.hub.clock.server_us(it.spent_at));
            indices.push(index);
        }
        Some(groups)
    }
}

/// How running a plan ended.
pub(super) enum Ran {
    Outcomes(Vec<LimitOutcome>),
    Stale,
}

/// Puts the outcomes of a part where its demands stand.
pub(super) fn place_outcomes(all: &mut [LimitOutcome], indices: &[usize], outcomes: Vec<LimitOutcome>) {
    for (&index, outcome) in indices.iter().zip(outcomes) {
        if let Some(place) = all.get_mut(index) {
            *place = outcome;
        }
    }
}

/// Hits that a settlement moves its counter by.
fn moved(settlement: &Settlement<'_>) -> i64 {
    // More than a limit can hold moves it as far as it goes.
    let most = pdp_engine::limit::MAX_HITS.saturating_mul(2);
    let signed = |hits: u64| i64::try_from(hits.min(most)).unwrap_or(i64::MAX);
    signed(settlement.actual).saturating_sub(signed(settlement.spent))
}

impl LimitStore for RedisStore {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        let fallback = Fallback::new(spend);
        let Some(mut plan) = self.inner.plan(spend) else {
            return Reply::Ready(self.inner.local.answer(&fallback, &self.inner.hub.tally));
        };
        let (inner, lane) = (self.inner.clone(), self.inner.lane());
        let deadline = inner.deadline();
        // One part, and all of it: in the lane before this returns, so that spends made together leave
        // together.
        if plan.parts.len() == 1
            && plan.invalid.is_empty()
            && let Some(part) = plan.parts.pop()
        {
            let told = lane::put_in(&lane, part.group, deadline);
            return Reply::waiting(async move {
                let ran = match told.await.unwrap_or_else(|_| Err(lane::gone())) {
                    Ok(told) if told.status == Status::Stale => Ok(Ran::Stale),
                    Ok(told) => {
                        inner.note(told.status);
                        return told.outcomes;
                    }
                    Err(failure) => Err(failure),
                };
                inner.conclude(lane, ran, fallback, deadline).await
            });
        }
        Reply::waiting(async move {
            let ran = inner.run(&lane, plan, deadline).await;
            inner.conclude(lane, ran, fallback, deadline).await
        })
    }

    fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        self.inner.local.settle(settle);
        let mut outcomes: Vec<LimitOutcome> = settle
            .settlements
            .iter()
            .map(|it| match it.counter.limit.validate() {
                Ok(()) => unavailable(false),
                Err(_) => plan::invalid(),
            })
            .collect();
        let Some(groups) = self.inner.settle_groups(settle) else { return Reply::Ready(outcomes) };
        let asked: Vec<_> =
            groups.into_iter().map(|(group, indices)| (self.inner.one(group), indices)).collect();
        Reply::waiting(async move {
            for (told, indices) in asked {
                if let Ok(told) = told.await {
                    place_outcomes(&mut outcomes, &indices, told.outcomes);
                }
            }
            outcomes
        })
    }

    fn reset(&self, counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        let group = match self.inner.group(Operation::Reset, counter, 0, 0) {
            Ok(group) => group,
            Err(fault) => return Reply::Ready(Err(fault)),
        };
        let told = self.inner.one(group);
        Reply::waiting(async move {
            told.await.map(|told| told.status == Status::Done).map_err(|_| LimitFault::StoreUnavailable)
        })
    }
}

impl StateStore for RedisStore {
    fn health(&self) -> Health {
        let (available, since, last_failure) = self.inner.hub.status();
        Health {
            kind: "redis",
            available: available && self.inner.names.load().is_some(),
            since,
            last_failure,
            nodes: self.inner.local.nodes(),
        }
    }

    fn metrics(&self) -> Vec<Metric> {
        metrics::of(&self.inner)
    }

    fn grant(
        &self,
        counter: &CounterName<'_>,
        least: u64,
        most: u64,
        _now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        if holds(counter.limit) {
            return Reply::Ready(Err(LimitFault::InvalidLimit));
        }
        let least = least.clamp(1, pdp_engine::limit::MAX_HITS.saturating_mul(2));
        let group = match self.inner.group(Operation::Grant, counter, most, least) {
            Ok(group) => group,
            Err(fault) => return Reply::Ready(Err(fault)),
        };
        let told = self.inner.one(group);
        Reply::waiting(async move {
            let told = told.await.map_err(|_| LimitFault::StoreUnavailable)?;
            let outcome = told.outcomes.first().copied().ok_or(LimitFault::StoreUnavailable)?;
            let granted_at = SystemTime::UNIX_EPOCH + Duration::from_micros(told.now_us);
            Ok(Grant { hits: told.hits, outcome, granted_at })
        })
    }

    /// Waits, at most `timeout`, until what callers outside of a runtime had given back is back.
    fn drain(&self) {
        // The lane keeps its order: when the last of it is answered, all of it is.
        let nothing = Limit::new("", Algorithm::FixedWindow, 1, Duration::from_secs(1));
        let policy_id = Text::from("");
        let name = CounterName { policy_id: &policy_id, limit: &nothing, tenant: None, key: "" };
        let Ok(group) = self.inner.group(Operation::Reset, &name, 0, 0) else { return };
        let told = lane::put_in(&self.inner.background, group, self.inner.deadline());
        let _ = Reply::waiting(told).wait();
    }

    fn give_back(&self, counter: &CounterName<'_>, hits: u64, granted_at: SystemTime) {
        if hits == 0 || holds(counter.limit) {
            return;
        }
        // What cannot be given back drains by itself.
        let Ok(mut group) = self.inner.group(Operation::Settle, counter, 0, SLACK_US) else { return };
        let most = i64::try_from(pdp_engine::limit::MAX_HITS).unwrap_or(i64::MAX);
        let by = i64::try_from(hits).unwrap_or(most).min(most);
        // By the server's clock, as the grant said it.
        group.moves(-by, epoch_ns(granted_at) / 1_000);
        drop(lane::put_in(&self.inner.lane(), group, self.inner.deadline()));
    }
}
