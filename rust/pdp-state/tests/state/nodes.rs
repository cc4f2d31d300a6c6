//! Several nodes on one server: what all admit together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pdp_engine::limit::{Algorithm, Limit};
use pdp_state::StateStore;
use pdp_state::redis::{RedisOptions, RedisStore};
use uuid::Uuid;

use crate::question::{Ask, admitted, bucket, hourly, policy, spend};
use crate::valkey::{Valkey, until};

fn nodes(server: &Valkey, count: usize) -> Vec<std::sync::Arc<RedisStore>> {
    (0..count).map(|_| RedisStore::connect(RedisOptions::from_url(&server.url()).unwrap()).unwrap()).collect()
}

#[test]
fn no_interleaving_of_nodes_admits_more_than_a_limit() {
    let server = Valkey::start(&[]);
    let stores = nodes(&server, 3);
    let policy_id = policy();
    for algorithm in [
        Algorithm::Gcra { burst: 300 },
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Concurrency,
    ] {
        let limit = hourly(algorithm, 300);
        let admitted = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for thread in 0..9 {
                let (store, policy_id, limit, admitted) =
                    (&stores[thread % 3], &policy_id, &limit, &admitted);
                scope.spawn(move || {
                    for _ in 0..60 {
                        let hits = 1 + (thread as u64 % 2);
                        if Ask::new(policy_id, limit, hits).spend(&**store).admitted {
                            admitted.fetch_add(hits, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.into_inner(), 300, "{algorithm:?}");
    }
}

#[test]
fn two_limits_are_never_half_spent() {
    let server = Valkey::start(&[]);
    let stores = nodes(&server, 3);
    let policy_id = policy();
    let (wide, narrow) = (bucket(10_000), Limit { name: "narrow".into(), ..bucket(100) });
    let both = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (store, policy_id, wide, narrow, both) =
                (&stores[thread % 3], &policy_id, &wide, &narrow, &both);
            scope.spawn(move || {
                for _ in 0..50 {
                    let asks = [Ask::new(policy_id, wide, 1), Ask::new(policy_id, narrow, 1)];
                    let outcomes = spend(&**store, None, Uuid::now_v7(), &asks);
                    both.fetch_add(u64::from(admitted(&outcomes) == [true, true]), Ordering::Relaxed);
                }
            });
        }
    });
    let both = both.into_inner();
    assert_eq!(both, 100);
    let left = Ask::new(&policy_id, &wide, 1).left(&*stores[0]);
    assert!((10_000 - both..=10_000 - both + 1).contains(&left), "{left}");
}

#[test]
fn a_request_that_reaches_two_nodes_spends_once() {
    let server = Valkey::start(&[]);
    let stores = nodes(&server, 3);
    let policy_id = policy();
    let limit = hourly(Algorithm::SlidingWindow, 1_000);
    for round in 0..20 {
        let id = format!("request-{round}");
        std::thread::scope(|scope| {
            for store in &stores {
                let (policy_id, limit, id) = (&policy_id, &limit, &id);
                scope.spawn(move || {
                    let asks = [Ask::new(policy_id, limit, 3)];
                    assert!(spend(&**store, Some(id), Uuid::now_v7(), &asks)[0].admitted);
                });
            }
        });
    }
    assert_eq!(Ask::new(&policy_id, &limit, 1).left(&*stores[0]), 1_000 - 60);
}

#[test]
fn nodes_know_of_each_other_and_forget_who_left() {
    let server = Valkey::start(&[]);
    let mut stores = nodes(&server, 3);
    until("each knows of three", || stores.iter().all(|it| it.health().nodes == 3));
    stores.truncate(1);
    until("the others are forgotten", || stores[0].health().nodes == 1);
}

#[test]
fn keys_are_those_that_are_documented_and_end_by_themselves() {
    let server = Valkey::start(&[]);
    let store = &nodes(&server, 1)[0];
    let policy_id = policy();
    for (algorithm, hits) in [
        (Algorithm::Gcra { burst: 5 }, 1),
        (Algorithm::FixedWindow, 1),
        (Algorithm::SlidingWindow, 1),
        (Algorithm::Concurrency, 3),
    ] {
        let limit = hourly(algorithm, 5);
        spend(&**store, Some("id-of-alice"), Uuid::now_v7(), &[Ask::new(&policy_id, &limit, hits)]);
    }
    let keys = server.keys();
    assert_eq!(keys.len(), 10, "{keys:?}");
    for key in &keys {
        assert!(key.starts_with("pdp:1:"), "{key}");
        assert!(["alice", "acme", "policy"].iter().all(|raw| !key.contains(raw)), "{key}");
        let ttl: i64 = redis::from_redis_value(server.command(&["PTTL", key])).unwrap();
        assert!(ttl > 0, "{key} never ends");
        let dump = format!("{:?}", server.command(&["DUMP", key]));
        assert!(["alice", "acme", "policy"].iter().all(|raw| !dump.contains(raw)), "{key}");
    }
}

#[test]
fn counters_end_by_themselves_once_they_say_nothing() {
    let server = Valkey::start(&[]);
    let store = &nodes(&server, 1)[0];
    let policy_id = policy();
    for algorithm in [
        Algorithm::Gcra { burst: 5 },
        Algorithm::FixedWindow,
        Algorithm::SlidingWindow,
        Algorithm::Concurrency,
    ] {
        let limit = Limit { window: Duration::from_millis(40), ..hourly(algorithm, 5) };
        assert!(Ask::new(&policy_id, &limit, 5).spend(&**store).admitted);
    }
    let lasting = ["pdp:1:nodes", "pdp:1:salt"];
    let counters: Vec<String> =
        server.keys().into_iter().filter(|key| !lasting.contains(&key.as_str())).collect();
    assert_eq!(counters.len(), 4);
    for key in &counters {
        // What is left of the window, and the ten seconds for which a key outlives its counter.
        let ttl: i64 = redis::from_redis_value(server.command(&["PTTL", key])).unwrap();
        assert!((1..=10_100).contains(&ttl), "{key} has {ttl} ms");
    }
}
