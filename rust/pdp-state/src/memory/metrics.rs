//! What a store in memory says of itself.

use super::{MemoryStats, MemoryStore};
use crate::store::{Health, Metric};

impl MemoryStore {
    /// Memory always answers, and is shared with nobody.
    pub(super) fn healthy(&self) -> Health {
        Health { kind: "memory", available: true, since: self.made_at, last_failure: None, nodes: 1 }
    }
}

pub(super) fn metrics(stats: &MemoryStats) -> Vec<Metric> {
    vec![
        Metric::gauge("pdp_limit_keys", "Counters held by the limit store.", stats.keys as u64),
        Metric::gauge("pdp_limit_holds", "Holds of concurrency limits.", stats.holds as u64),
        Metric::gauge(
            "pdp_limit_replays",
            "Requests whose ids the limit store remembers.",
            stats.replays as u64,
        ),
        Metric::counter("pdp_limit_keys_evicted_total", "Expired counters dropped.", stats.evicted),
        Metric::counter(
            "pdp_limit_store_full_total",
            "Spends refused because the store was full.",
            stats.full_denied,
        ),
        Metric::counter("pdp_limit_replayed_total", "Repeated requests that spent nothing.", stats.replayed),
        Metric::counter(
            "pdp_limit_replays_forgotten_total",
            "Request ids forgotten before their time.",
            stats.replays_forgotten,
        ),
    ]
}
