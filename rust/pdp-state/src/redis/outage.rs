//! What a limit answers while the store cannot be asked: deny, count locally, or admit.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use pdp_engine::limit::{
    Algorithm, CountedBy, Counting, Limit, LimitDemand, LimitFault, LimitOutcome, LimitStore, Outage, Settle,
    Settlement, Spend,
};

use super::hub::Tally;
use super::options::RedisOptions;
use super::plan::{Fallback, Kept, KeptDemand};
use crate::memory::{MemoryStore, MemoryStoreOptions};

/// What a caller is told to wait: a guess, since nobody knows.
const RETRY: Duration = Duration::from_secs(1);

/// Counts for limits that say [`Outage::Local`], each against its share of the limit.
pub(super) struct Local {
    options: MemoryStoreOptions,
    store: OnceLock<MemoryStore>,
    /// Nodes that were last known to share the store.
    nodes: AtomicU32,
}

impl Local {
    pub(super) fn new(options: &RedisOptions) -> Self {
        let options = MemoryStoreOptions {
            max_keys: options.max_local_keys,
            max_replays: options.max_local_keys,
            replay_window: options.replay_window,
        };
        Self { options, store: OnceLock::new(), nodes: AtomicU32::new(1) }
    }

    pub(super) fn nodes(&self) -> u32 {
        self.nodes.load(Ordering::Relaxed)
    }

    pub(super) fn set_nodes(&self, nodes: u32) {
        self.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    /// Answers a spend without the store.
    pub(super) fn answer(&self, fallback: &Fallback, tally: &Tally) -> Vec<LimitOutcome> {
        match fallback {
            Fallback::Deny(demands) => vec![unavailable(false); *demands],
            Fallback::Kept(kept) => self.answer_kept(kept, tally),
        }
    }

    fn answer_kept(&self, kept: &Kept, tally: &Tally) -> Vec<LimitOutcome> {
        // Where one cannot be spent, none is.
        let denied = kept.demands.iter().any(|it| it.limit.outage == Outage::Deny && !it.peek);
        let is_local = |it: &&KeptDemand| it.limit.outage == Outage::Local;
        let shares: Vec<Limit> =
            kept.demands.iter().filter(is_local).map(|it| share(&it.limit, self.nodes())).collect();
        let demands: Vec<LimitDemand<'_>> = kept
            .demands
            .iter()
            .filter(is_local)
            .zip(&shares)
            .map(|(it, limit)| {
                let mut demand = it.demand();
                demand.counter.limit = limit;
                demand.peek |= denied;
                demand
            })
            .collect();
        let mut counted = Vec::new();
        if !demands.is_empty() {
            Tally::add(&tally.local, 1);
            counted = kept.with(|spend| {
                let store = self.store.get_or_init(|| MemoryStore::new(self.options.clone()));
                // Memory answers at once.
                store.spend(&Spend { demands: &demands, ..*spend }).wait()
            });
        }
        let mut counted = counted.into_iter().zip(&shares);
        let outcome = |it: &KeptDemand| match it.limit.outage {
            Outage::Deny => unavailable(false),
            Outage::Allow => unavailable(true),
            Outage::Local => counted.next().map_or(unavailable(false), |(outcome, limit)| LimitOutcome {
                counted_by: CountedBy::Local,
                overshoot: at_once(limit).saturating_mul(u64::from(self.nodes())),
                ..outcome
            }),
        };
        kept.demands.iter().map(outcome).collect()
    }

    /// Corrects what was counted here, if anything ever was.
    pub(super) fn settle(&self, settle: &Settle<'_>) {
        let Some(store) = self.store.get() else { return };
        let local: Vec<&Settlement<'_>> =
            settle.settlements.iter().filter(|it| it.counter.limit.outage == Outage::Local).collect();
        let shares: Vec<Limit> = local.iter().map(|it| share(it.counter.limit, self.nodes())).collect();
        let settlements: Vec<Settlement<'_>> = local
            .iter()
            .zip(&shares)
            .map(|(it, limit)| {
                let mut settlement = **it;
                settlement.counter.limit = limit;
                settlement
            })
            .collect();
        if !settlements.is_empty() {
            // Memory answers at once.
            store.settle(&Settle { settlements: &settlements, ..*settle }).wait();
        }
    }
}

/// This node's share of a limit, at least 1.
fn share(limit: &Limit, nodes: u32) -> Limit {
    let part = |hits: u64| (hits / u64::from(nodes.max(1))).max(1);
    let algorithm = match limit.algorithm {
        Algorithm::Gcra { burst } => Algorithm::Gcra { burst: part(burst) },
        other => other,
    };
    Limit { algorithm, limit: part(limit.limit), counting: Counting::Exact, ..limit.clone() }
}

/// Hits that a limit admits at once, or within a window.
fn at_once(limit: &Limit) -> u64 {
    match limit.algorithm {
        Algorithm::Gcra { burst } => burst.saturating_add(limit.limit),
        Algorithm::FixedWindow => limit.limit.saturating_mul(2),
        _ => limit.limit,
    }
}

/// The outcome of a demand that nobody counted.
pub(super) fn unavailable(admitted: bool) -> LimitOutcome {
    LimitOutcome {
        admitted,
        fault: Some(LimitFault::StoreUnavailable),
        retry_after: (!admitted).then_some(RETRY),
        counted_by: CountedBy::Shared,
        ..LimitOutcome::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use pdp_engine::limit::CounterName;
    use uuid::Uuid;

    use super::*;

    fn limit(outage: Outage, hits: u64) -> Limit {
        let mut limit = Limit::new("calls", Algorithm::SlidingWindow, hits, Duration::from_secs(60));
        limit.outage = outage;
        limit
    }

    fn answer(local: &Local, limits: &[Limit], peek: bool) -> Vec<LimitOutcome> {
        let policy_id: Arc<str> = "p".into();
        let demands: Vec<LimitDemand<'_>> = limits
            .iter()
            .map(|limit| {
                let counter = CounterName { policy_id: &policy_id, limit, tenant: None, key: "k" };
                LimitDemand { counter, hits: 1, peek }
            })
            .collect();
        let spend =
            Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now: SystemTime::now() };
        local.answer(&Fallback::new(&spend), &Tally::default())
    }

    #[test]
    fn each_limit_answers_as_it_says() {
        let local = Local::new(&RedisOptions::default());
        let denied = answer(&local, &[limit(Outage::Deny, 5)], false);
        assert_eq!((denied[0].admitted, denied[0].fault), (false, Some(LimitFault::StoreUnavailable)));
        let allowed = answer(&local, &[limit(Outage::Allow, 5)], false);
        assert_eq!((allowed[0].admitted, allowed[0].fault), (true, Some(LimitFault::StoreUnavailable)));
    }

    #[test]
    fn a_node_counts_against_its_share_and_says_what_all_may_admit() {
        let local = Local::new(&RedisOptions::default());
        local.set_nodes(3);
        let admitted = (0..10)
            .filter(|_| {
                let outcome = answer(&local, &[limit(Outage::Local, 10)], false)[0];
                assert_eq!((outcome.counted_by, outcome.overshoot), (CountedBy::Local, 9));
                outcome.admitted
            })
            .count();
        assert_eq!(admitted, 3);
        assert_eq!(share(&limit(Outage::Local, 2), 100).limit, 1);
    }

    #[test]
    fn beside_a_limit_that_denies_none_is_spent() {
        let local = Local::new(&RedisOptions::default());
        for _ in 0..5 {
            let outcomes = answer(&local, &[limit(Outage::Local, 2), limit(Outage::Deny, 2)], false);
            assert_eq!((outcomes[0].admitted, outcomes[0].remaining), (true, 2));
            assert!(!outcomes[1].admitted);
        }
    }
}
