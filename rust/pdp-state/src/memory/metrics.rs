//! What a store in memory says of itself.

use super::{MemoryStats, MemoryStore};
use crate::store::{Health, Metric, MetricKind};

impl MemoryStore {
    /// Memory always answers, and is shared with nobody.
    pub(super) fn healthy(&self) -> Health {
        Health { kind: "memory", available: true, since: self.made_at, last_failure: None, nodes: 1 }
    }
}

pub(super) fn metrics(stats: &MemoryStats) -> Vec<Metric> {
    use MetricKind::{Counter, Gauge};
    let count = |number: usize| number as f64;
    let total = |number: u64| number as f64;
    [
        ("pdp_limit_keys", "Counters held by the limit store.", Gauge, count(stats.keys)),
        ("pdp_limit_holds", "Holds of concurrency limits.", Gauge, count(stats.holds)),
        ("pdp_limit_replays", "Requests whose ids the limit store remembers.", Gauge, count(stats.replays)),
        ("pdp_limit_keys_evicted_total", "Expired counters dropped.", Counter, total(stats.evicted)),
        (
            "pdp_limit_store_full_total",
            "Spends refused because the store was full.",
            Counter,
            total(stats.full_denied),
        ),
        ("pdp_limit_replayed_total", "Repeated requests that spent nothing.", Counter, total(stats.replayed)),
        (
            "pdp_limit_replays_forgotten_total",
            "Request ids forgotten before their time.",
            Counter,
            total(stats.replays_forgotten),
        ),
    ]
    .into_iter()
    .map(|(name, help, kind, value)| Metric { name, help, kind, labels: Vec::new(), value })
    .collect()
}
