//! What names a counter, and how it hashes.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use pdp_engine::limit::{Algorithm, LimitDemand};

/// Name of a counter.
#[derive(Debug)]
pub(super) struct CounterKey {
    policy_id: Arc<str>,
    name: Arc<str>,
    key: Box<str>,
    window: Duration,
    kind: u8,
}

impl CounterKey {
    pub(super) fn new(demand: &LimitDemand<'_>) -> Self {
        Self {
            policy_id: demand.policy_id.clone(),
            name: demand.limit.name.clone(),
            key: demand.key.into(),
            window: demand.limit.window,
            kind: kind(demand.limit.algorithm),
        }
    }

    pub(super) fn names(&self, demand: &LimitDemand<'_>) -> bool {
        *self.key == *demand.key
            && self.name == demand.limit.name
            && self.policy_id == *demand.policy_id
            && self.window == demand.limit.window
            && self.kind == kind(demand.limit.algorithm)
    }
}

/// Whether two demands spend from one counter.
pub(super) fn same_counter(a: &LimitDemand<'_>, b: &LimitDemand<'_>) -> bool {
    a.key == b.key
        && a.limit.name == b.limit.name
        && a.policy_id == b.policy_id
        && a.limit.window == b.limit.window
        && kind(a.limit.algorithm) == kind(b.limit.algorithm)
}

/// Hash of the name of a demand's counter.
pub(super) fn hash_demand(hasher: &RandomState, demand: &LimitDemand<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    write_counter(&mut state, demand);
    state.finish()
}

/// Hash of a request id with its demands, and a second hash of the demands alone.
pub(super) fn hash_request(
    hasher: &RandomState,
    request_id: &str,
    demands: &[LimitDemand<'_>],
) -> (u64, u64) {
    let mut state = hasher.build_hasher();
    state.write_usize(demands.len());
    for demand in demands {
        write_counter(&mut state, demand);
        (demand.hits, demand.peek).hash(&mut state);
    }
    let fingerprint = state.finish();
    request_id.hash(&mut state);
    (state.finish(), fingerprint)
}

fn write_counter(state: &mut impl Hasher, demand: &LimitDemand<'_>) {
    demand.policy_id.hash(state);
    demand.limit.name.hash(state);
    demand.key.hash(state);
    demand.limit.window.hash(state);
    state.write_u8(kind(demand.limit.algorithm));
}

fn kind(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Gcra { .. } => 0,
        Algorithm::FixedWindow => 1,
        Algorithm::SlidingWindow => 2,
    }
}
