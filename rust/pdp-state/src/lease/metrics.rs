//! What the leases of a node did, as metrics.

use std::sync::atomic::Ordering;

use super::clock::Clock;
use super::core::Core;
use super::shard::Tally;
use crate::store::{Metric, StateStore};

/// Name, help and field of each metric that only grows.
type Row = (&'static str, &'static str, fn(&Tally) -> u64);

const ROWS: [Row; 11] = [
    ("pdp_lease_admitted_total", "Demands admitted from a lease.", |it| it.admitted),
    ("pdp_lease_refused_total", "Demands refused without asking, since the counter had none.", |it| {
        it.refused
    }),
    ("pdp_lease_missed_total", "Demands that waited for a grant.", |it| it.missed),
    ("pdp_lease_exact_total", "Demands on a lease that the shared store decided.", |it| it.exact),
    ("pdp_lease_full_total", "Demands that found no place for another lease.", |it| it.full),
    ("pdp_lease_grants_total", "Grants asked for and answered, empty ones included.", |it| it.grants),
    ("pdp_lease_grant_failures_total", "Grants that the shared store did not answer.", |it| it.failed),
    ("pdp_lease_granted_hits_total", "Hits granted.", |it| it.granted_hits),
    ("pdp_lease_spent_hits_total", "Granted hits that were spent.", |it| it.spent_hits),
    ("pdp_lease_given_back_hits_total", "Granted hits that were given back.", |it| it.given_back_hits),
    ("pdp_lease_lapsed_hits_total", "Granted hits that nobody can use any more.", |it| it.lapsed_hits),
];

pub(super) fn metrics<S: StateStore + ?Sized + 'static, C: Clock>(core: &Core<S, C>) -> Vec<Metric> {
    let (counters, tallies) = core.tallies();
    let counter = |&(name, help, field): &Row| Metric::counter(name, help, tallies.iter().map(field).sum());
    let mut metrics: Vec<Metric> = ROWS.iter().map(counter).collect();
    let replayed = core.replayed.load(Ordering::Relaxed);
    let help = "Spends answered from memory, since the same request had spent.";
    metrics.push(Metric::counter("pdp_lease_replayed_total", help, replayed));
    metrics.push(Metric::gauge("pdp_lease_counters", "Counters leased.", counters as u64));
    metrics
}
