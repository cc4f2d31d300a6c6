//! Leases of several nodes over one shared store that goes by its own clock.

mod bound;
mod outage;
mod shared;
mod spends;
mod waits;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pdp_engine::limit::{Algorithm, Counting, Limit, LimitDemand};
use uuid::Uuid;

use self::shared::Shared;
use super::*;

/// The time that tests step, in milliseconds.
#[derive(Clone)]
struct Time(Arc<AtomicU64>);

/// When tests begin: in the middle of a window of 10 s.
const START_MS: u64 = 1_700_000_004_000;

impl Time {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START_MS)))
    }

    fn pass(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    fn ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst) * 1_000_000
    }

    fn wall(&self, skew_ms: i64) -> SystemTime {
        let ms = self.0.load(Ordering::SeqCst).saturating_add_signed(skew_ms);
        SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
    }
}

/// A node's monotonic clock, which began when the node did.
struct Since(Time, u64);

impl Clock for Since {
    fn now_ns(&self) -> u64 {
        self.0.ns() - self.1
    }
}

/// A decision point with a wall clock that is off.
struct Node {
    store: LeasedStore<Shared, Since>,
    time: Time,
    skew_ms: i64,
}

impl Node {
    fn new(shared: &Arc<Shared>, skew_ms: i64) -> Self {
        let options = LeaseOptions { sweep_every: None, ..LeaseOptions::default() };
        Self::with_options(shared, skew_ms, options)
    }

    fn with_options(shared: &Arc<Shared>, skew_ms: i64, options: LeaseOptions) -> Self {
        let time = shared.time.clone();
        let since = Since(time.clone(), time.ns() - skew_ms.unsigned_abs() * 1_000);
        Self { store: LeasedStore::with_clock(Arc::clone(shared), options, since), time, skew_ms }
    }

    fn ask(&self, id: Option<&str>, demands: &[LimitDemand<'_>]) -> Reply<Vec<LimitOutcome>> {
        let now = self.time.wall(self.skew_ms);
        self.store.spend(&Spend { request_id: id, holder: Uuid::nil(), demands, now })
    }

    fn spend_all(&self, id: Option<&str>, demands: &[LimitDemand<'_>]) -> Vec<LimitOutcome> {
        self.ask(id, demands).wait()
    }

    /// One demand on the key `k`.
    fn spend(&self, limit: &Limit, hits: u64) -> LimitOutcome {
        let policy_id = Arc::from("p");
        self.spend_all(None, &[demand(&policy_id, limit, "k", hits)])[0]
    }

    fn metric(&self, name: &str) -> u64 {
        let metrics = self.store.lease_metrics();
        metrics.iter().find(|metric| metric.name == name).unwrap().value as u64
    }

    /// Hits held of the key.
    fn held(&self, limit: &Limit, key: &str) -> u64 {
        let policy_id = Arc::from("p");
        self.store.core.held(&demand(&policy_id, limit, key, 1).counter)
    }
}

fn leased(algorithm: Algorithm, limit: u64, most: u64) -> Limit {
    let limit = Limit::new("leased", algorithm, limit, Duration::from_secs(10));
    Limit { counting: Counting::Leased { most }, ..limit }
}

fn exact(limit: u64) -> Limit {
    Limit::new("exact", Algorithm::FixedWindow, limit, Duration::from_secs(10))
}

fn demand<'a>(policy_id: &'a Arc<str>, limit: &'a Limit, key: &'a str, hits: u64) -> LimitDemand<'a> {
    LimitDemand { counter: CounterName { policy_id, limit, tenant: None, key }, hits, peek: false }
}

fn peek(demand: LimitDemand<'_>) -> LimitDemand<'_> {
    LimitDemand { peek: true, ..demand }
}
