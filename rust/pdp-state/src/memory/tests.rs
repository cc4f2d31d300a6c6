//! The store against a plain map, under threads, when full and when asked twice.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use pdp_engine::limit::{Algorithm, Counter, Limit, LimitDemand, NEVER};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn limit(name: &str, algorithm: Algorithm, limit: u64) -> Limit {
    Limit::new(name, algorithm, limit, Duration::from_secs(10))
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000) + Duration::from_millis(millis)
}

fn store(max_keys: usize) -> MemoryStore {
    MemoryStore::new(MemoryStoreOptions { max_keys, ..MemoryStoreOptions::default() })
}

fn demand<'a>(
    policy_id: &'a Arc<str>,
    limit: &'a Limit,
    key: &'a str,
    hits: u64,
    peek: bool,
) -> LimitDemand<'a> {
    LimitDemand { counter: CounterName { policy_id, limit, tenant: None, key }, hits, peek }
}

fn spend_all(
    store: &MemoryStore,
    id: Option<&str>,
    demands: &[LimitDemand<'_>],
    now: SystemTime,
) -> Vec<LimitOutcome> {
    store.spend(&Spend { request_id: id, holder: Uuid::nil(), demands, now }).wait()
}

/// One demand on one limit.
fn spend(
    store: &MemoryStore,
    id: Option<&str>,
    limit: &Limit,
    key: &str,
    hits: u64,
    now: u64,
) -> LimitOutcome {
    let policy_id = Arc::from("p");
    let demand = demand(&policy_id, limit, key, hits, false);
    spend_all(store, id, &[demand], at(now))[0]
}

/// A demand by numbers: limit, key, hits, peek.
type Sketch = (usize, usize, u64, bool);

fn sketches() -> impl Strategy<Value = Vec<(Vec<Sketch>, u64)>> {
    let demand = (0_usize..4, 0_usize..3, 1_u64..6, prop::bool::weighted(0.2));
    prop::collection::vec((prop::collection::vec(demand, 0..5), 0_u64..6_000), 1..80)
}

fn limits() -> Vec<Limit> {
    vec![
        limit("a", Algorithm::Gcra { burst: 5 }, 7),
        limit("b", Algorithm::FixedWindow, 9),
        limit("c", Algorithm::SlidingWindow, 8),
        limit("d", Algorithm::FixedWindow, 2),
    ]
}

/// What a plain map says of the same demands: in order, on a copy that is kept only if all are admitted.
fn model(counters: &mut HashMap<(usize, usize), Counter>, demands: &[Sketch], now_ns: u64) -> Vec<bool> {
    let limits = limits();
    let mut copy = counters.clone();
    let admitted: Vec<bool> = demands
        .iter()
        .map(|&(index, key, hits, peek)| {
            let counter = copy.entry((index, key)).or_insert(Counter::empty(limits[index].algorithm));
            let (next, reading) = counter.spend(&limits[index], hits, now_ns);
            if reading.admitted && !peek {
                *counter = next;
            }
            reading.admitted
        })
        .collect();
    if demands.iter().zip(&admitted).all(|(demand, admitted)| demand.3 || *admitted) {
        *counters = copy;
    }
    admitted
}

/// Hits left of every counter, read without spending.
fn standing(store: &MemoryStore, now: SystemTime) -> Vec<u64> {
    let (limits, policy_id) = (limits(), Arc::from("p"));
    let keys = ["k0", "k1", "k2"];
    let pairs = limits.iter().flat_map(|limit| keys.map(|key| (limit, key)));
    let demands: Vec<_> = pairs.map(|(limit, key)| demand(&policy_id, limit, key, 1, true)).collect();
    spend_all(store, None, &demands, now).iter().map(|outcome| outcome.remaining).collect()
}

proptest! {
    #[test]
    fn outcomes_agree_with_a_plain_map(calls in sketches()) {
        let (limits, policy_id) = (limits(), Arc::from("p"));
        let store = store(100);
        let mut counters = HashMap::new();
        let mut now = 0;
        for (sketch, gap) in calls {
            now += gap;
            let keys: Vec<String> = sketch.iter().map(|demand| format!("k{}", demand.1)).collect();
            let demands: Vec<_> = sketch
                .iter()
                .zip(&keys)
                .map(|(demand, key)| self::demand(&policy_id, &limits[demand.0], key, demand.2, demand.3))
                .collect();
            let before = standing(&store, at(now));
            let outcomes = spend_all(&store, None, &demands, at(now));
            let expected = model(&mut counters, &sketch, epoch_ns(at(now)));
            let admitted: Vec<bool> = outcomes.iter().map(|outcome| outcome.admitted).collect();
            prop_assert_eq!(&admitted, &expected);
            prop_assert!(outcomes.iter().all(|it| it.fault.is_none() && it.admitted == it.retry_after.is_none()));

            let after = standing(&store, at(now));
            let spent = demands.iter().zip(&admitted).all(|(demand, admitted)| demand.peek || *admitted);
            if !spent {
                prop_assert_eq!(&before, &after);
            }
            for (index, limit) in limits.iter().enumerate() {
                for key in 0..3 {
                    let counter = counters.get(&(index, key)).copied();
                    let counter = counter.unwrap_or(Counter::empty(limit.algorithm));
                    let left = counter.spend(limit, 0, epoch_ns(at(now))).1.remaining;
                    prop_assert_eq!(left, after[index * 3 + key]);
                }
            }
        }
        prop_assert!(store.stats().keys <= 12);
    }

    #[test]
    fn keys_never_exceed_their_bound(keys in prop::collection::vec((0_u32..60, 0_u64..3_000), 1..200)) {
        let (store, limit) = (store(10), limit("a", Algorithm::FixedWindow, 3));
        let mut now = 0;
        for (key, gap) in keys {
            now += gap;
            spend(&store, None, &limit, &key.to_string(), 1, now);
            let held: usize = store.shards.iter().map(|shard| lock(shard).len()).sum();
            prop_assert!(held <= 10);
            prop_assert_eq!(held, store.stats().keys);
        }
    }
}

#[test]
fn outcome_tells_what_is_left_after_the_spend() {
    let (store, limit) = (store(10), limit("a", Algorithm::FixedWindow, 5));
    let outcome = spend(&store, None, &limit, "k", 2, 4_000);
    assert_eq!((outcome.admitted, outcome.remaining, outcome.retry_after), (true, 3, None));
    assert_eq!(outcome.reset_after, Duration::from_secs(6));
    let outcome = spend(&store, None, &limit, "k", 4, 4_000);
    assert_eq!((outcome.admitted, outcome.remaining), (false, 3));
    assert_eq!(outcome.retry_after, Some(Duration::from_secs(6)));
}

#[test]
fn peek_reads_and_never_stops_others() {
    let (store, policy_id) = (store(10), Arc::from("p"));
    let (shadow, enforced) = (limit("s", Algorithm::FixedWindow, 1), limit("e", Algorithm::FixedWindow, 5));
    let demand = |limit, hits, peek| demand(&policy_id, limit, "k", hits, peek);
    let outcomes = spend_all(&store, None, &[demand(&shadow, 2, true), demand(&enforced, 2, false)], at(0));
    assert_eq!((outcomes[0].admitted, outcomes[0].remaining), (false, 1));
    assert_eq!((outcomes[1].admitted, outcomes[1].remaining), (true, 3));
    assert_eq!(store.stats().keys, 1);
}

#[test]
fn a_new_key_is_refused_when_the_store_is_full_of_live_ones() {
    let (store, limit) = (store(2), limit("a", Algorithm::FixedWindow, 5));
    assert!(spend(&store, None, &limit, "k1", 1, 0).admitted);
    assert!(spend(&store, None, &limit, "k2", 1, 0).admitted);
    let refused = spend(&store, None, &limit, "k3", 1, 0);
    assert_eq!((refused.admitted, refused.fault), (false, Some(LimitFault::StoreFull)));
    assert!(spend(&store, None, &limit, "k1", 1, 0).admitted, "known keys go on");
    assert_eq!((store.stats().keys, store.stats().full_denied), (2, 1));

    assert!(spend(&store, None, &limit, "k3", 1, 10_000).admitted, "expired counters make room");
    assert!(store.stats().evicted >= 1);
}

#[test]
fn a_refused_call_leaves_no_place_taken() {
    let (store, policy_id) = (store(1), Arc::from("p"));
    let limit = limit("a", Algorithm::FixedWindow, 5);
    let demand = |key, hits| demand(&policy_id, &limit, key, hits, false);
    let outcomes = spend_all(&store, None, &[demand("k1", 1), demand("k2", 1)], at(0));
    assert_eq!((outcomes[0].admitted, outcomes[1].fault), (true, Some(LimitFault::StoreFull)));
    let outcomes = spend_all(&store, None, &[demand("k1", 1), demand("k1", 9)], at(0));
    assert_eq!((outcomes[0].admitted, outcomes[1].admitted), (true, false));
    assert_eq!(store.stats().keys, 0);
}

#[test]
fn an_invalid_limit_is_never_admitted() {
    let outcome = spend(&store(10), None, &limit("a", Algorithm::FixedWindow, 0), "k", 1, 0);
    assert_eq!((outcome.admitted, outcome.fault), (false, Some(LimitFault::InvalidLimit)));
    assert_eq!(outcome.retry_after, Some(NEVER));
}

#[test]
fn names_that_join_to_the_same_text_stay_apart() {
    let store = store(10);
    let (a, ab) = (limit("a", Algorithm::FixedWindow, 1), limit("ab", Algorithm::FixedWindow, 1));
    assert!(spend(&store, None, &a, "bk", 1, 0).admitted);
    assert!(spend(&store, None, &ab, "k", 1, 0).admitted);
    assert!(!spend(&store, None, &ab, "k", 1, 0).admitted);
}

#[test]
fn a_new_limit_keeps_what_was_spent_and_a_new_window_does_not() {
    let store = store(10);
    let limit = limit("a", Algorithm::FixedWindow, 5);
    spend(&store, None, &limit, "k", 4, 0);
    assert_eq!(spend(&store, None, &Limit { limit: 10, ..limit.clone() }, "k", 1, 0).remaining, 5);
    assert!(!spend(&store, None, &Limit { limit: 3, ..limit.clone() }, "k", 1, 0).admitted);
    let minute = Limit { window: Duration::from_secs(60), ..limit };
    assert_eq!(spend(&store, None, &minute, "k", 1, 0).remaining, 4);
}

#[test]
fn the_same_request_spends_once_within_the_window() {
    let (store, limit) = (store(10), limit("a", Algorithm::Gcra { burst: 5 }, 1));
    let first = spend(&store, Some("r"), &limit, "k", 2, 0);
    assert_eq!(spend(&store, Some("r"), &limit, "k", 2, 59_999), first);
    assert_eq!(store.stats().replayed, 1);
    assert_eq!(first.remaining, 3);
    let fresh = spend(&store, Some("r"), &limit, "k", 2, 60_000);
    assert_eq!(store.stats().replayed, 1);
    assert!(fresh.admitted);
    assert_eq!(spend(&store, Some("r"), &limit, "k", 2, 60_001), fresh, "the newer spend is remembered");
}

#[test]
fn the_same_request_with_other_demands_spends_again() {
    let (store, limit) = (store(10), limit("a", Algorithm::FixedWindow, 9));
    assert_eq!(spend(&store, Some("r"), &limit, "k", 2, 0).remaining, 7);
    assert_eq!(spend(&store, Some("r"), &limit, "k", 3, 0).remaining, 4);
    assert_eq!(spend(&store, Some("r"), &limit, "other", 2, 0).remaining, 7);
    assert_eq!(spend(&store, Some("s"), &limit, "k", 2, 0).remaining, 2);
    assert_eq!(store.stats().replayed, 0);
}

#[test]
fn a_refused_request_may_be_sent_again_under_its_id() {
    let (store, limit) = (store(10), limit("a", Algorithm::FixedWindow, 1));
    spend(&store, None, &limit, "k", 1, 0);
    assert!(!spend(&store, Some("r"), &limit, "k", 1, 0).admitted);
    assert!(spend(&store, Some("r"), &limit, "k", 1, 10_000).admitted);
}

#[test]
fn the_oldest_request_is_forgotten_when_too_many_are_alive() {
    let options = MemoryStoreOptions { max_replays: 3, ..MemoryStoreOptions::default() };
    let (store, limit) = (MemoryStore::new(options), limit("a", Algorithm::FixedWindow, 99));
    for id in ["r1", "r2", "r3", "r4", "r5"] {
        spend(&store, Some(id), &limit, "k", 1, 0);
    }
    let stats = store.stats();
    assert_eq!((stats.replays, stats.replays_forgotten), (3, 2));
    for (id, remaining) in [("r3", 96), ("r4", 95), ("r5", 94)] {
        assert_eq!(spend(&store, Some(id), &limit, "k", 1, 0).remaining, remaining, "{id}");
    }
    assert_eq!(spend(&store, Some("r1"), &limit, "k", 1, 0).remaining, 93);
}

#[test]
fn threads_together_spend_no_more_than_the_limits() {
    let (store, policy_id) = (store(1_000_000), Arc::from("p"));
    let (a, b) = (limit("a", Algorithm::FixedWindow, 700), limit("b", Algorithm::Gcra { burst: 900 }, 900));
    let others: Vec<Limit> =
        (0..6).map(|name| limit(&name.to_string(), Algorithm::FixedWindow, 9_999)).collect();
    let demand = |limit, hits| demand(&policy_id, limit, "k", hits, false);
    let admitted: usize = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (store, a, b, others) = (&store, &a, &b, &others);
                scope.spawn(move || {
                    // Both orders, so that locks taken in the order of demands would deadlock.
                    let limits = others.iter().chain([a, b]);
                    let mut demands: Vec<_> = limits.map(|limit| demand(limit, 1)).collect();
                    if worker % 2 == 0 {
                        demands.reverse();
                    }
                    let spend =
                        |_: &u32| spend_all(store, None, &demands, at(0)).iter().all(|it| it.admitted);
                    (0..5_000).filter(spend).count()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert_eq!(admitted, 700);
    assert_eq!(spend(&store, None, &b, "k", 1, 0).remaining, 199, "no half spends");
}

#[test]
fn copies_of_one_request_in_threads_spend_once() {
    let (store, limit) = (store(10), limit("a", Algorithm::FixedWindow, 100));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for id in 0..20 {
                    spend(&store, Some(&id.to_string()), &limit, "k", 1, 0);
                }
            });
        }
    });
    assert_eq!(spend(&store, None, &limit, "k", 1, 0).remaining, 79);
    assert_eq!(store.stats().replayed, 60);
}
