//! What the shared store did, as Prometheus samples.

use std::sync::atomic::{AtomicU64, Ordering};

use super::failure::FailureKind;
use super::store::Inner;
use crate::store::Metric;

/// The samples.
pub(super) fn of(inner: &Inner) -> Vec<Metric> {
    let tally = &inner.hub.tally;
    let mut metrics = vec![
        counter("pdp_state_calls_total", "Messages sent to the shared store.", &tally.calls),
        counter("pdp_state_batches_total", "Calls of the counting script.", &tally.batches),
        counter("pdp_state_groups_total", "Groups of counters decided by these calls.", &tally.groups),
        counter("pdp_state_connections_total", "Connections opened to the shared store.", &tally.connections),
        counter("pdp_state_replayed_total", "Requests that had spent before.", &tally.replayed),
        counter(
            "pdp_state_uncertain_total",
            "Groups whose answer was lost: nobody knows whether they counted.",
            &tally.uncertain,
        ),
        counter(
            "pdp_state_unreturned_total",
            "Parts of refused requests whose hits may stay spent until they drain.",
            &tally.unreturned,
        ),
        counter("pdp_state_retried_total", "Groups sent again after a cut connection.", &tally.retried),
        counter(
            "pdp_state_scripts_loaded_total",
            "Times the server had to be given the script.",
            &tally.reloaded,
        ),
        counter(
            "pdp_state_redirects_total",
            "Commands sent on to another server of a Cluster.",
            &tally.redirects,
        ),
        counter(
            "pdp_state_local_total",
            "Requests counted in this node, the store being away.",
            &tally.local,
        ),
        counter(
            "pdp_state_outage_total",
            "Requests answered without the store, as their limits' `on_outage` says.",
            &tally.outage,
        ),
    ];
    for (kind, count) in FailureKind::ALL.iter().zip(&tally.failures) {
        let mut failures = counter("pdp_state_failures_total", "Failed calls of the shared store.", count);
        failures.labels = vec![("kind", kind.name().to_owned())];
        metrics.push(failures);
    }
    metrics
}

fn counter(name: &'static str, help: &'static str, count: &AtomicU64) -> Metric {
    Metric::counter(name, help, count.load(Ordering::Relaxed))
}
