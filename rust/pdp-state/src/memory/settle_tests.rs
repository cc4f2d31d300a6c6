//! Corrections, grants, holds and resets.

use std::sync::Arc;

use pdp_engine::limit::{Algorithm, Calendar, Limit, LimitDemand, Period, Scope, Settlement};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(millis)
}

fn limit(algorithm: Algorithm, limit: u64) -> Limit {
    Limit::new("a", algorithm, limit, Duration::from_secs(10))
}

fn windowed() -> [Limit; 4] {
    let calendar = Calendar { period: Period::Day, zone: "Europe/Berlin".parse().unwrap() };
    [
        limit(Algorithm::Gcra { burst: 20 }, 20),
        limit(Algorithm::FixedWindow, 20),
        limit(Algorithm::SlidingWindow, 20),
        Limit::quota("a", calendar, 20),
    ]
}

struct Bench {
    store: MemoryStore,
    policy_id: Arc<str>,
}

impl Bench {
    fn new() -> Self {
        Self::with(MemoryStoreOptions::default())
    }

    fn with(options: MemoryStoreOptions) -> Self {
        Self { store: MemoryStore::new(options), policy_id: "p".into() }
    }

    fn name<'a>(&'a self, limit: &'a Limit, key: &'a str) -> CounterName<'a> {
        CounterName { policy_id: &self.policy_id, limit, tenant: Some("t"), key }
    }

    fn spend(&self, limit: &Limit, key: &str, holder: u128, hits: u64, now: u64) -> LimitOutcome {
        self.spend_as(None, limit, key, holder, hits, now)
    }

    fn spend_as(
        &self,
        id: Option<&str>,
        limit: &Limit,
        key: &str,
        holder: u128,
        hits: u64,
        now: u64,
    ) -> LimitOutcome {
        let demands = [LimitDemand { counter: self.name(limit, key), hits, peek: false }];
        let holder = Uuid::from_u128(holder);
        let spend = Spend { request_id: id, holder, demands: &demands, now: at(now) };
        self.store.spend(&spend).wait()[0]
    }

    /// Settles hits spent at `spent` (milliseconds).
    fn settle(&self, limit: &Limit, holder: u128, hits: (u64, u64), spent: u64, now: u64) -> LimitOutcome {
        let counter = self.name(limit, "k");
        let settlement = Settlement { counter, spent: hits.0, actual: hits.1, spent_at: at(spent) };
        let settle = Settle { holder: Uuid::from_u128(holder), settlements: &[settlement], now: at(now) };
        self.store.settle(&settle).wait()[0]
    }

    fn left(&self, limit: &Limit, now: u64) -> u64 {
        let demands = [LimitDemand { counter: self.name(limit, "k"), hits: 1, peek: true }];
        let spend = Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now: at(now) };
        self.store.spend(&spend).wait()[0].remaining
    }
}

#[test]
fn what_a_request_came_to_replaces_its_estimate_once() {
    for limit in windowed() {
        let bench = Bench::new();
        bench.spend(&limit, "k", 1, 5, 0);
        assert_eq!(bench.settle(&limit, 1, (5, 2), 0, 0).remaining, 18, "{limit:?}");
        assert_eq!(bench.settle(&limit, 1, (5, 0), 0, 0).remaining, 18, "{limit:?}: a second report");
        assert_eq!(bench.left(&limit, 0), 18);
        bench.spend(&limit, "k", 2, 5, 0);
        assert_eq!(bench.settle(&limit, 2, (5, 9), 0, 0).remaining, 9);
        bench.spend(&limit, "k", 3, 1, 0);
        let outcome = bench.settle(&limit, 3, (1, 1_000_000_000), 0, 0);
        assert_eq!((outcome.remaining, outcome.fault), (0, None), "{limit:?}: past the limit");
        assert_eq!(bench.store.stats().replayed, 1);
    }
}

#[test]
fn a_settlement_of_what_nobody_counted_gives_nothing_and_counts_what_it_came_to() {
    for limit in windowed() {
        let bench = Bench::new();
        assert_eq!(bench.settle(&limit, 1, (5, 0), 0, 0).remaining, 20);
        assert_eq!(bench.store.stats().keys, 0);
        assert_eq!(bench.settle(&limit, 2, (5, 8), 0, 0).remaining, 17);
        assert_eq!(bench.store.stats().keys, 1);
        let full = Bench::with(MemoryStoreOptions { max_keys: 0, ..MemoryStoreOptions::default() });
        assert_eq!(full.settle(&limit, 2, (5, 8), 0, 0).fault, Some(LimitFault::StoreFull));
    }
}

#[test]
fn a_hold_is_given_back_or_ends_and_never_twice() {
    let (bench, limit) = (Bench::new(), limit(Algorithm::Concurrency, 2));
    assert_eq!(bench.spend(&limit, "k", 1, 1, 0).remaining, 1);
    assert_eq!(bench.spend(&limit, "k", 2, 1, 1_000).remaining, 0);
    let refused = bench.spend(&limit, "k", 3, 1, 2_000);
    assert!(!refused.admitted);
    assert_eq!(refused.retry_after, Some(Duration::from_secs(8)));
    assert_eq!(bench.spend(&limit, "k", 3, 2, 2_000).retry_after, Some(Duration::from_secs(9)));
    assert_eq!(bench.spend(&limit, "k", 3, 3, 2_000).retry_after, Some(pdp_engine::limit::NEVER));

    assert_eq!(bench.settle(&limit, 2, (1, 0), 1_000, 2_000).remaining, 1);
    assert!(bench.spend(&limit, "k", 3, 1, 2_000).admitted);
    assert_eq!(bench.settle(&limit, 2, (1, 0), 1_000, 2_000).remaining, 1, "as it was told before");
    assert_eq!(bench.left(&limit, 2_000), 0, "nothing more is given back");
    assert_eq!(bench.left(&limit, 9_999), 0);
    assert_eq!(bench.left(&limit, 10_000), 1, "the first hold ends");
    assert_eq!(bench.left(&limit, 12_000), 2);
    assert_eq!(bench.store.stats().holds, 0);
}

#[test]
fn a_repeated_request_holds_once_under_its_first_holder() {
    let (bench, limit) = (Bench::new(), limit(Algorithm::Concurrency, 5));
    let first = bench.spend_as(Some("r"), &limit, "k", 1, 2, 0);
    let second = bench.spend_as(Some("r"), &limit, "k", 2, 2, 0);
    assert_eq!((first.spent_by, first), (Some(Uuid::from_u128(1)), second));
    assert_eq!(bench.left(&limit, 0), 3);
    assert_eq!(bench.settle(&limit, 1, (2, 0), 0, 0).remaining, 5);
}

#[test]
fn holds_are_bounded_like_keys() {
    let bench = Bench::with(MemoryStoreOptions { max_keys: 3, ..MemoryStoreOptions::default() });
    let limit = limit(Algorithm::Concurrency, 100);
    for holder in 1..=3 {
        assert!(bench.spend(&limit, "k", holder, 1, 0).admitted);
    }
    assert_eq!(bench.spend(&limit, "k", 4, 1, 0).fault, Some(LimitFault::StoreFull));
    assert!(
        bench.spend(&limit, "k", 1, 1, 0).fault.is_some(),
        "a known holder needs a place too, for a moment"
    );
    bench.settle(&limit, 1, (1, 0), 0, 0);
    assert!(bench.spend(&limit, "k", 4, 1, 0).admitted);
    assert!(bench.spend(&limit, "k", 5, 1, 10_000).admitted, "holds that ended make room");
    assert_eq!((bench.store.stats().holds, bench.store.stats().full_denied), (1, 2));
}

#[test]
fn a_grant_takes_what_there_is_and_comes_back_in_its_window() {
    for limit in windowed() {
        let bench = Bench::new();
        bench.spend(&limit, "k", 1, 15, 0);
        let name = bench.name(&limit, "k");
        let grant = |least, most, now| bench.store.grant(&name, least, most, at(now)).wait().unwrap();
        let none = grant(6, 10, 0);
        assert_eq!((none.hits, none.outcome.admitted, none.outcome.remaining), (0, false, 5));
        assert!(none.outcome.retry_after.is_some());
        let part = grant(1, 10, 0);
        assert_eq!((part.hits, part.outcome.admitted, part.outcome.remaining), (5, true, 0));
        bench.store.give_back(&name, 3, at(0));
        assert_eq!(bench.left(&limit, 0), 3, "{limit:?}");
        bench.store.give_back(&name, u64::MAX, at(0));
        assert_eq!(bench.left(&limit, 0), 20, "{limit:?}: never below nothing");
        assert_eq!(grant(1, u64::MAX, 0).hits, 20);
        // 3 days later nothing is left of it.
        assert_eq!(bench.left(&limit, 3 * 86_400_000), 20);
        assert_eq!(grant(1, 4, 3 * 86_400_000).hits, 4);
        bench.store.give_back(&name, 20, at(0));
        assert_eq!(bench.left(&limit, 3 * 86_400_000), 16, "{limit:?}: of another window");
    }
}

#[test]
fn what_is_held_or_invalid_is_never_granted() {
    let bench = Bench::new();
    for limit in [limit(Algorithm::Concurrency, 5), limit(Algorithm::FixedWindow, 0)] {
        let grant = bench.store.grant(&bench.name(&limit, "k"), 1, 5, at(0)).wait();
        assert_eq!(grant, Err(LimitFault::InvalidLimit));
    }
    let invalid = limit(Algorithm::FixedWindow, 0);
    assert_eq!(bench.settle(&invalid, 1, (1, 0), 0, 0).fault, Some(LimitFault::InvalidLimit));
}

#[test]
fn a_counter_that_is_reset_is_as_good_as_new() {
    for limit in windowed().into_iter().chain([limit(Algorithm::Concurrency, 20)]) {
        let bench = Bench::new();
        assert_eq!(bench.store.reset(&bench.name(&limit, "k")).wait(), Ok(false));
        bench.spend(&limit, "k", 1, 20, 0);
        bench.spend(&limit, "other", 2, 20, 0);
        assert_eq!(bench.store.reset(&bench.name(&limit, "k")).wait(), Ok(true));
        assert_eq!(bench.left(&limit, 0), 20);
        let stats = bench.store.stats();
        assert_eq!((stats.keys, stats.holds), (1, usize::from(limit.is_held())));
        assert_eq!(bench.store.reset(&bench.name(&limit, "k")).wait(), Ok(false));
    }
}

#[test]
fn a_changed_calendar_starts_afresh_and_the_estate_shares_what_tenants_do_not() {
    let bench = Bench::new();
    let calendar = |zone: &str, period| Calendar { period, zone: zone.parse().unwrap() };
    let berlin = Limit::quota("a", calendar("Europe/Berlin", Period::Day), 5);
    bench.spend(&berlin, "k", 1, 5, 0);
    assert_eq!(bench.left(&Limit { limit: 9, ..berlin.clone() }, 0), 4);
    for other in [calendar("UTC", Period::Day), calendar("Europe/Berlin", Period::Month)] {
        assert_eq!(bench.left(&Limit::quota("a", other, 5), 0), 5);
    }
    let tenants = limit(Algorithm::FixedWindow, 5);
    let estate = Limit { scope: Scope::Estate, name: "b".into(), ..tenants.clone() };
    let spend = |limit: &Limit, tenant: &str| {
        let counter = CounterName { tenant: Some(tenant), ..bench.name(limit, "k") };
        let demands = [LimitDemand { counter, hits: 3, peek: false }];
        let spend = Spend { request_id: None, holder: Uuid::nil(), demands: &demands, now: at(0) };
        bench.store.spend(&spend).wait()[0].admitted
    };
    assert!(spend(&tenants, "one") && spend(&tenants, "two"));
    assert!(spend(&estate, "one") && !spend(&estate, "two"));
}

#[test]
fn tenants_that_share_a_counter_do_not_share_request_ids() {
    let (bench, limit) = (Bench::new(), Limit { scope: Scope::Estate, ..limit(Algorithm::FixedWindow, 5) });
    for tenant in ["one", "two", "one"] {
        let counter = CounterName { tenant: Some(tenant), ..bench.name(&limit, "k") };
        let demands = [LimitDemand { counter, hits: 1, peek: false }];
        let spend = Spend { request_id: Some("1"), holder: Uuid::nil(), demands: &demands, now: at(0) };
        assert!(bench.store.spend(&spend).wait()[0].admitted);
    }
    assert_eq!(bench.left(&limit, 0), 3);
}

#[test]
fn memory_is_always_well_and_says_what_it_holds() {
    let (bench, limit) = (Bench::new(), limit(Algorithm::Concurrency, 5));
    bench.spend(&limit, "k", 1, 1, 0);
    let health = bench.store.health();
    assert_eq!((health.kind, health.available, health.nodes), ("memory", true, 1));
    let metrics = bench.store.metrics();
    let value = |name| metrics.iter().find(|metric| metric.name == name).map(|metric| metric.value);
    assert_eq!((value("pdp_limit_keys"), value("pdp_limit_holds")), (Some(1.0), Some(1.0)));
}

proptest! {
    /// Takes, returns and time in any order: never more than the limit at once, and every place is freed.
    #[test]
    fn holds_never_pass_the_limit(steps in prop::collection::vec((1_u128..9, 0_u64..3, 0_u64..3_000, any::<bool>()), 1..100)) {
        let (bench, limit) = (Bench::new(), limit(Algorithm::Concurrency, 4));
        let mut list: Vec<(u128, u64, u64)> = Vec::new();
        let mut now = 0;
        for (step, (key, hits, gap, back)) in steps.into_iter().enumerate() {
            now += gap;
            list.retain(|(_, _, ends)| *ends > now);
            let held: u64 = list.iter().map(|it| it.1).sum();
            prop_assert_eq!(bench.left(&limit, now), 4 - held);
            if back && let Some((holder, hits, _)) = list.get(key as usize % list.len().max(1)).copied() {
                bench.settle(&limit, holder, (hits, 0), now, now);
                list.retain(|it| it.0 != holder);
                continue;
            }
            let holder = step as u128 + 100;
            let outcome = bench.spend(&limit, "k", holder, hits, now);
            prop_assert_eq!(outcome.admitted, held + hits <= 4);
            if outcome.admitted && hits > 0 {
                list.push((holder, hits, now + 10_000));
            }
            prop_assert_eq!(bench.store.stats().holds, list.len());
        }
        let kept: usize = bench.store.shards.iter().map(|shard| lock(shard).holds()).sum();
        prop_assert_eq!(kept, bench.store.stats().holds);
    }
}
