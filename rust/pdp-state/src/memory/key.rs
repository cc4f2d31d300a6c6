//! What names a counter, and how it hashes.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use pdp_engine::limit::{Algorithm, Calendar, CounterName, LimitDemand, Scope};
use uuid::Uuid;

/// Name of a counter.
#[derive(Debug)]
pub(super) struct CounterKey {
    policy_id: Arc<str>,
    limit: Arc<str>,
    tenant: Option<Box<str>>,
    key: Box<str>,
    window: Duration,
    kind: Kind,
}

/// What of an algorithm is part of the name: a burst is not, a quota's calendar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Gcra,
    FixedWindow,
    SlidingWindow,
    Quota(Calendar),
    Concurrency,
}

impl CounterKey {
    pub(super) fn new(counter: &CounterName<'_>) -> Self {
        Self {
            policy_id: counter.policy_id.clone(),
            limit: counter.limit.name.clone(),
            tenant: tenant(counter).map(Box::from),
            key: counter.key.into(),
            window: counter.limit.window,
            kind: kind(counter.limit.algorithm),
        }
    }

    pub(super) fn names(&self, counter: &CounterName<'_>) -> bool {
        *self.key == *counter.key
            && self.limit == counter.limit.name
            && self.policy_id == *counter.policy_id
            && self.tenant.as_deref() == tenant(counter)
            && self.window == counter.limit.window
            && self.kind == kind(counter.limit.algorithm)
    }
}

/// Whether two names are of one counter.
pub(crate) fn same_counter(a: &CounterName<'_>, b: &CounterName<'_>) -> bool {
    a.key == b.key
        && a.limit.name == b.limit.name
        && a.policy_id == b.policy_id
        && tenant(a) == tenant(b)
        && a.limit.window == b.limit.window
        && kind(a.limit.algorithm) == kind(b.limit.algorithm)
}

/// Hash of a counter's name.
pub(crate) fn hash_counter(hasher: &RandomState, counter: &CounterName<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    write_counter(&mut state, counter);
    state.finish()
}

/// Hash of a request id with its demands, and a second hash of the demands alone.
pub(crate) fn hash_request(
    hasher: &RandomState,
    request_id: &str,
    demands: &[LimitDemand<'_>],
) -> (u64, u64) {
    let mut state = hasher.build_hasher();
    state.write_usize(demands.len());
    for demand in demands {
        write_counter(&mut state, &demand.counter);
        // Tenants that share a counter do not share their request ids.
        (demand.counter.tenant, demand.hits, demand.peek).hash(&mut state);
    }
    let fingerprint = state.finish();
    request_id.hash(&mut state);
    (state.finish(), fingerprint)
}

/// Hash of a holder whose hits were settled.
pub(super) fn hash_settled(hasher: &RandomState, holder: Uuid) -> u64 {
    hasher.hash_one(("settled", holder))
}

fn write_counter(state: &mut impl Hasher, counter: &CounterName<'_>) {
    counter.policy_id.hash(state);
    counter.limit.name.hash(state);
    tenant(counter).hash(state);
    counter.key.hash(state);
    counter.limit.window.hash(state);
    kind(counter.limit.algorithm).hash(state);
}

/// The tenant, where it is part of the name.
fn tenant<'a>(counter: &CounterName<'a>) -> Option<&'a str> {
    match counter.limit.scope {
        Scope::Tenant => counter.tenant,
        Scope::Estate => None,
    }
}

fn kind(algorithm: Algorithm) -> Kind {
    match algorithm {
        Algorithm::Gcra { .. } => Kind::Gcra,
        Algorithm::FixedWindow => Kind::FixedWindow,
        Algorithm::SlidingWindow => Kind::SlidingWindow,
        Algorithm::Quota(calendar) => Kind::Quota(calendar),
        Algorithm::Concurrency => Kind::Concurrency,
    }
}
