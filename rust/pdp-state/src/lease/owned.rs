//! Counters and spends that outlive the call that named them.

use std::time::SystemTime;

use pdp_engine::Text;
use pdp_engine::limit::{CounterName, Limit, LimitDemand, Spend};
use uuid::Uuid;

/// Name of a counter, kept.
#[derive(Clone, Debug)]
pub(super) struct OwnedCounter {
    policy_id: Text,
    limit: Limit,
    tenant: Option<Box<str>>,
    key: Box<str>,
}

impl OwnedCounter {
    pub(super) fn new(name: &CounterName<'_>) -> Self {
        Self {
            policy_id: name.policy_id.clone(),
            limit: name.limit.clone(),
            tenant: name.tenant.map(Box::from),
            key: name.key.into(),
        }
    }

    pub(super) fn name(&self) -> CounterName<'_> {
        CounterName {
            policy_id: &self.policy_id,
            limit: &self.limit,
            tenant: self.tenant.as_deref(),
            key: &self.key,
        }
    }

    pub(super) fn limit(&self) -> &Limit {
        &self.limit
    }
}

/// A spend, kept while it waits.
#[derive(Debug)]
pub(super) struct OwnedSpend {
    request_id: Option<Box<str>>,
    holder: Uuid,
    demands: Vec<(OwnedCounter, u64, bool)>,
    now: SystemTime,
}

impl OwnedSpend {
    pub(super) fn new(spend: &Spend<'_>) -> Self {
        let keep = |it: &LimitDemand<'_>| (OwnedCounter::new(&it.counter), it.hits, it.peek);
        Self {
            request_id: spend.request_id.map(Box::from),
            holder: spend.holder,
            demands: spend.demands.iter().map(keep).collect(),
            now: spend.now,
        }
    }

    pub(super) fn demands(&self) -> Vec<LimitDemand<'_>> {
        let kept = self.demands.iter();
        kept.map(|it| LimitDemand { counter: it.0.name(), hits: it.1, peek: it.2 }).collect()
    }

    pub(super) fn spend<'a>(&'a self, demands: &'a [LimitDemand<'a>]) -> Spend<'a> {
        Spend { request_id: self.request_id.as_deref(), holder: self.holder, demands, now: self.now }
    }
}
