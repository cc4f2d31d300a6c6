//! A store that nodes share: each counter is the list of what was spent, on the engine's arithmetic.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

use pdp_engine::limit::{CountedBy, Counter, epoch_ns};
use tokio::sync::Semaphore;

use super::*;

/// Spends of one counter: when and how many.
type History = Vec<(u64, u64)>;

#[derive(Clone)]
pub(super) struct Shared(Arc<State>);

pub(super) struct State {
    pub(super) time: Time,
    pub(super) down: AtomicBool,
    /// Whether answers wait for `gate`.
    pub(super) slow: AtomicBool,
    pub(super) gate: Semaphore,
    pub(super) grants: AtomicU64,
    pub(super) spends: AtomicU64,
    pub(super) nodes: u32,
    counters: Mutex<HashMap<String, History>>,
    replays: Mutex<HashMap<String, Vec<LimitOutcome>>>,
}

impl std::ops::Deref for Shared {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Shared {
    pub(super) fn new(nodes: u32) -> Arc<Self> {
        Arc::new(Self(Arc::new(State {
            time: Time::new(),
            down: AtomicBool::new(false),
            slow: AtomicBool::new(false),
            gate: Semaphore::new(0),
            grants: AtomicU64::new(0),
            spends: AtomicU64::new(0),
            nodes,
            counters: Mutex::default(),
            replays: Mutex::default(),
        })))
    }

    /// Answers at once, or through the gate.
    fn answer<T: Send + 'static>(&self, work: impl FnOnce(&State) -> T + Send + 'static) -> Reply<T> {
        if !self.slow.load(Ordering::SeqCst) {
            return Reply::Ready(work(self));
        }
        let state = Arc::clone(&self.0);
        Reply::waiting(async move {
            state.gate.acquire().await.unwrap().forget();
            work(&state)
        })
    }
}

impl State {
    pub(super) fn grants(&self) -> u64 {
        self.grants.load(Ordering::SeqCst)
    }

    pub(super) fn spends(&self) -> u64 {
        self.spends.load(Ordering::SeqCst)
    }

    /// Hits spent of a counter, ever.
    pub(super) fn total(&self, limit: &Limit, key: &str) -> u64 {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.get(&id(limit, key)).map_or(0, |history| history.iter().map(|spent| spent.1).sum())
    }

    fn count(&self, demands: &[(Limit, String, u64, bool)]) -> Vec<LimitOutcome> {
        let now_ns = self.time.ns();
        let mut counters = self.counters.lock().unwrap();
        let mut copy = counters.clone();
        let outcomes: Vec<LimitOutcome> = demands
            .iter()
            .map(|(limit, key, hits, peek)| {
                let history = copy.entry(id(limit, key)).or_default();
                let counter = counter(limit, history);
                let mut reading = counter.spend(limit, *hits, now_ns).1;
                if *peek {
                    reading.remaining = counter.spend(limit, 0, now_ns).1.remaining;
                } else if reading.admitted {
                    history.push((now_ns, *hits));
                }
                LimitOutcome { counted_by: CountedBy::Shared, ..reading.into() }
            })
            .collect();
        if demands.iter().zip(&outcomes).all(|(demand, outcome)| demand.3 || outcome.admitted) {
            *counters = copy;
        }
        outcomes
    }
}

fn id(limit: &Limit, key: &str) -> String {
    format!("{}/{key}", limit.name)
}

/// The counter that the spends lead to.
fn counter(limit: &Limit, history: &History) -> Counter {
    history.iter().fold(Counter::empty(limit.algorithm), |counter, (at_ns, hits)| {
        let (next, reading) = counter.spend(limit, *hits, *at_ns);
        assert!(reading.admitted, "fewer spends leave more room");
        next
    })
}

impl LimitStore for Shared {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        self.spends.fetch_add(1, Ordering::SeqCst);
        let keep =
            |it: &LimitDemand<'_>| (it.counter.limit.clone(), it.counter.key.to_owned(), it.hits, it.peek);
        let demands: Vec<_> = spend.demands.iter().map(keep).collect();
        let request = spend.request_id.map(|id| format!("{id} {demands:?}"));
        self.answer(move |state| {
            if state.down.load(Ordering::SeqCst) {
                let fault = Some(LimitFault::StoreUnavailable);
                let answer = |limit: &Limit| LimitOutcome {
                    admitted: limit.outage == pdp_engine::limit::Outage::Allow,
                    fault,
                    ..LimitOutcome::default()
                };
                return demands.iter().map(|demand| answer(&demand.0)).collect();
            }
            let mut replays = state.replays.lock().unwrap();
            if let Some(found) = request.as_ref().and_then(|request| replays.get(request)) {
                return found.clone();
            }
            let outcomes = state.count(&demands);
            let spent = demands.iter().zip(&outcomes).all(|(demand, outcome)| demand.3 || outcome.admitted);
            if let Some(request) = request.filter(|_| spent) {
                replays.insert(request, outcomes.clone());
            }
            outcomes
        })
    }

    fn settle(&self, _settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        Reply::Ready(Vec::new())
    }

    fn reset(&self, counter: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        let id = id(counter.limit, counter.key);
        self.answer(move |state| Ok(state.counters.lock().unwrap().remove(&id).is_some()))
    }
}

impl StateStore for Shared {
    fn health(&self) -> Health {
        let (available, since) = (!self.down.load(Ordering::SeqCst), SystemTime::UNIX_EPOCH);
        Health { kind: "test", available, since, last_failure: None, nodes: self.nodes }
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }

    /// By the store's clock, whatever the caller's says.
    fn grant(
        &self,
        name: &CounterName<'_>,
        least: u64,
        most: u64,
        _now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        self.grants.fetch_add(1, Ordering::SeqCst);
        assert!(least >= 1 && least <= most);
        let (limit, key) = (name.limit.clone(), name.key.to_owned());
        self.answer(move |state| {
            if state.down.load(Ordering::SeqCst) {
                return Err(LimitFault::StoreUnavailable);
            }
            let (now_ns, granted_at) = (state.time.ns(), state.time.wall(0));
            let mut counters = state.counters.lock().unwrap();
            let history = counters.entry(id(&limit, &key)).or_default();
            let counter = counter(&limit, history);
            let room = counter.spend(&limit, 0, now_ns).1.remaining.min(most);
            let hits = if room >= least { room } else { 0 };
            let reading = counter.spend(&limit, if hits > 0 { hits } else { least }, now_ns).1;
            if hits > 0 {
                history.push((now_ns, hits));
            }
            Ok(Grant { hits, outcome: reading.into(), granted_at })
        })
    }

    fn give_back(&self, name: &CounterName<'_>, hits: u64, granted_at: SystemTime) {
        let mut counters = self.counters.lock().unwrap();
        let Some(history) = counters.get_mut(&id(name.limit, name.key)) else { return };
        let at_ns = epoch_ns(granted_at);
        let mut left = hits;
        for spent in history.iter_mut().filter(|spent| spent.0 == at_ns) {
            let taken = left.min(spent.1);
            spent.1 -= taken;
            left -= taken;
        }
        assert_eq!(left, 0, "gave back more than was granted");
        history.retain(|spent| spent.1 > 0);
    }
}
