//! What a decision point asks of its memory store beside the counting.

use std::time::SystemTime;

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Spend};
use uuid::Uuid;

use super::MemoryStore;
use crate::store::{Grant, Health, Metric, MetricKind, StateStore};

impl StateStore for MemoryStore {
    fn health(&self) -> Health {
        let since = self.made_at;
        Health { kind: "memory", available: true, since, last_failure: None, nodes: 1 }
    }

    fn metrics(&self) -> Vec<Metric> {
        let stats = self.stats();
        let sample = |kind, name, help, value: u64| {
            #[allow(clippy::cast_precision_loss, reason = "samples are doubles by definition")]
            let value = value as f64;
            Metric { name, help, kind, labels: Vec::new(), value }
        };
        let gauge = |name, help, value: usize| sample(MetricKind::Gauge, name, help, value as u64);
        let counter = |name, help, value| sample(MetricKind::Counter, name, help, value);
        let replays = "Requests whose ids the limit store remembers.";
        vec![
            gauge("pdp_limit_keys", "Counters held by the limit store.", stats.keys),
            gauge("pdp_limit_replays", replays, stats.replays),
            counter("pdp_limit_keys_evicted_total", "Expired counters dropped.", stats.evicted),
            counter(
                "pdp_limit_store_full_total",
                "Spends refused because the store was full.",
                stats.full_denied,
            ),
            counter("pdp_limit_replayed_total", "Repeated requests that spent nothing.", stats.replayed),
            counter(
                "pdp_limit_replays_forgotten_total",
                "Request ids forgotten before their time.",
                stats.replays_forgotten,
            ),
        ]
    }

    fn grant(
        &self,
        counter: &CounterName<'_>,
        least: u64,
        most: u64,
        now: SystemTime,
    ) -> Reply<Result<Grant, LimitFault>> {
        let ask = |hits: u64, peek: bool| {
            let demands = [LimitDemand { counter: *counter, hits, peek }];
            let spend = Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now };
            self.spend(&spend).wait().into_iter().next().unwrap_or_default()
        };
        let standing = ask(least.max(1), true);
        let hits = standing.remaining.min(most);
        if hits < least || hits == 0 {
            return Reply::Ready(granted(0, standing));
        }
        let outcome = ask(hits, false);
        Reply::Ready(granted(if outcome.admitted { hits } else { 0 }, outcome))
    }

    fn give_back(&self, _: &CounterName<'_>, _: u64, _: SystemTime) {
        // Memory serves one node, which has no reason to take hits in advance.
    }
}

fn granted(hits: u64, outcome: LimitOutcome) -> Result<Grant, LimitFault> {
    outcome.fault.map_or(Ok(Grant { hits, outcome }), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use pdp_engine::Text;
    use pdp_engine::limit::{Algorithm, Limit};

    #[test]
    fn grant_is_what_there_is_room_for() {
        let store = MemoryStore::default();
        let limit = Limit::new("hour", Algorithm::FixedWindow, 10, Duration::from_secs(3_600));
        let policy_id = Text::from("p");
        let counter = CounterName { policy_id: &policy_id, limit: &limit, tenant: None, key: "k" };
        let now = SystemTime::now();
        let grant = |least, most| store.grant(&counter, least, most, now).wait().unwrap().hits;
        assert_eq!([grant(1, 7), grant(4, 7), grant(1, 7), grant(1, 1)], [7, 0, 3, 0]);
    }

    #[test]
    fn names_of_samples_differ_and_are_documented() {
        let metrics = MemoryStore::default().metrics();
        let names: std::collections::HashSet<_> = metrics.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), metrics.len());
        assert!(metrics.iter().all(|metric| metric.help.ends_with('.')));
    }
}
