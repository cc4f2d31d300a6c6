//! Short ways to ask a store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use pdp_engine::limit::{
    Algorithm, CounterName, Limit, LimitDemand, LimitOutcome, LimitStore, Settle, Settlement, Spend,
};
use uuid::Uuid;

pub const HOUR: Duration = Duration::from_secs(3_600);

/// A limit of so many hits an hour.
pub fn hourly(algorithm: Algorithm, hits: u64) -> Limit {
    Limit::new("calls", algorithm, hits, HOUR)
}

/// A GCRA that is full with so many hits.
pub fn bucket(hits: u64) -> Limit {
    hourly(Algorithm::Gcra { burst: hits }, hits)
}

/// A name that no other test uses.
pub fn policy() -> Arc<str> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("policy-{}", NEXT.fetch_add(1, Ordering::Relaxed)).into()
}

/// What is asked of one counter.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    pub policy_id: &'a Arc<str>,
    pub limit: &'a Limit,
    pub tenant: Option<&'a str>,
    pub key: &'a str,
    pub hits: u64,
    pub peek: bool,
}

impl<'a> Ask<'a> {
    pub fn new(policy_id: &'a Arc<str>, limit: &'a Limit, hits: u64) -> Self {
        Self { policy_id, limit, tenant: Some("acme"), key: "alice", hits, peek: false }
    }

    pub fn key(self, key: &'a str) -> Self {
        Self { key, ..self }
    }

    pub fn tenant(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    pub fn peek(self) -> Self {
        Self { peek: true, ..self }
    }

    pub fn counter(&self) -> CounterName<'a> {
        CounterName { policy_id: self.policy_id, limit: self.limit, tenant: self.tenant, key: self.key }
    }

    /// Spends this alone.
    pub fn spend(self, store: &dyn LimitStore) -> LimitOutcome {
        spend(store, None, Uuid::now_v7(), &[self])[0]
    }

    /// Hits left.
    pub fn left(self, store: &dyn LimitStore) -> u64 {
        Self { hits: 1, ..self }.peek().spend(store).remaining
    }

    /// Moves the counter from `spent` to `actual` hits.
    pub fn settle(self, store: &dyn LimitStore, holder: Uuid, spent: u64, actual: u64) -> LimitOutcome {
        let now = SystemTime::now();
        let settlements = [Settlement { counter: self.counter(), spent, actual, spent_at: now }];
        store.settle(&Settle { holder, settlements: &settlements, now }).wait()[0]
    }
}

/// Spends all or none.
pub fn spend(
    store: &dyn LimitStore,
    request_id: Option<&str>,
    holder: Uuid,
    asks: &[Ask<'_>],
) -> Vec<LimitOutcome> {
    let demands: Vec<LimitDemand<'_>> = asks
        .iter()
        .map(|ask| LimitDemand { counter: ask.counter(), hits: ask.hits, peek: ask.peek })
        .collect();
    store.spend(&Spend { request_id, holder, demands: &demands, now: SystemTime::now() }).wait()
}

/// Whether each was admitted.
pub fn admitted(outcomes: &[LimitOutcome]) -> Vec<bool> {
    outcomes.iter().map(|it| it.admitted).collect()
}
