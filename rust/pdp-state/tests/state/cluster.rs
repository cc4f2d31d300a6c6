//! A Cluster of three servers: keys that lie together, keys that lie apart, keys that move.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pdp_engine::limit::{Algorithm, Limit, Scope};
use pdp_state::StateStore;
use pdp_state::redis::{RedisOptions, RedisStore};
use uuid::Uuid;

use crate::behaviours;
use crate::faults::metric;
use crate::question::{Ask, admitted, bucket, hourly, policy, spend};
use crate::valkey::{Valkey, until};

const RANGES: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];

struct Cluster {
    servers: Vec<Valkey>,
}

impl Cluster {
    fn start() -> Self {
        let options = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "2000",
            "--cluster-require-full-coverage",
            "no",
        ];
        let servers: Vec<Valkey> = (0..3).map(|_| Valkey::start(&options)).collect();
        for (server, (from, to)) in servers.iter().zip(RANGES) {
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            server.command(&["CLUSTER", "MEET", "127.0.0.1", &servers[0].port.to_string()]);
        }
        let cluster = Self { servers };
        until("the Cluster is whole", || {
            cluster.servers.iter().all(|server| {
                let info = text(server.command(&["CLUSTER", "INFO"]));
                info.contains("cluster_state:ok") && info.contains("cluster_slots_assigned:16384")
            })
        });
        cluster
    }

    fn store(&self) -> Arc<RedisStore> {
        let port = self.servers[0].port;
        let mut options = RedisOptions::from_url(&format!("redis+cluster://127.0.0.1:{port}")).unwrap();
        options.timeout = Duration::from_millis(500);
        RedisStore::connect(options).unwrap()
    }

    /// The server that holds a key, and its slot.
    fn place(&self, part: &str) -> (usize, u16) {
        let found = |(index, server): (usize, &Valkey)| {
            let key = server.keys().into_iter().find(|it| it.contains(part))?;
            let slot: u16 = redis::from_redis_value(server.command(&["CLUSTER", "KEYSLOT", &key])).unwrap();
            Some((index, slot))
        };
        self.servers.iter().enumerate().find_map(found).unwrap()
    }

    fn id(&self, server: usize) -> String {
        text(self.servers[server].command(&["CLUSTER", "MYID"]))
    }

    /// Moves a slot as operators do, key by key.
    fn migrate(&self, slot: u16, from: usize, to: usize) {
        let (slot, from_id, to_id) = (slot.to_string(), self.id(from), self.id(to));
        let port = self.servers[to].port.to_string();
        self.servers[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
        self.servers[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
        loop {
            let keys = self.servers[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "10"]);
            let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
            if keys.is_empty() {
                break;
            }
            for key in keys {
                self.servers[from].command(&["MIGRATE", "127.0.0.1", &port, &key, "0", "5000"]);
            }
        }
        for server in [to, from] {
            self.servers[server].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
        }
    }
}

fn text(value: redis::Value) -> String {
    redis::from_redis_value(value).unwrap()
}

#[test]
fn a_cluster_does_what_any_store_does() {
    let cluster = Cluster::start();
    behaviours::run(&*cluster.store());
}

#[test]
fn limits_of_one_tenant_are_spent_in_one_call() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let policy_id = policy();
    let names: Vec<Limit> =
        (0..5).map(|index| Limit { name: format!("limit-{index}").into(), ..bucket(9) }).collect();
    let before = metric(&store, "pdp_state_batches_total");
    let asks: Vec<Ask<'_>> = names.iter().map(|limit| Ask::new(&policy_id, limit, 1)).collect();
    assert_eq!(admitted(&spend(&*store, None, Uuid::nil(), &asks)), [true; 5]);
    assert_eq!(metric(&store, "pdp_state_batches_total"), before + 1);
}

#[test]
fn limits_that_lie_apart_are_given_back_where_one_refuses() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let policy_id = policy();
    let estate = |name: &str, hits| Limit {
        name: name.into(),
        scope: Scope::Estate,
        ..hourly(Algorithm::SlidingWindow, hits)
    };
    let limits: Vec<Limit> = (0..6).map(|index| estate(&format!("wide-{index}"), 1_000)).collect();
    let narrow = estate("narrow", 40);
    let asks: Vec<Ask<'_>> =
        limits.iter().chain([&narrow]).map(|limit| Ask::new(&policy_id, limit, 1)).collect();
    let all = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, asks, all) = (&store, &asks, &all);
            scope.spawn(move || {
                for round in 0..20 {
                    let id = format!("{thread}-{round}");
                    let outcomes = spend(&**store, Some(&id), Uuid::now_v7(), asks);
                    assert!(outcomes.iter().all(|it| it.fault.is_none()), "{outcomes:?}");
                    let whole = outcomes.iter().all(|it| it.admitted);
                    all.fetch_add(u64::from(whole), Ordering::Relaxed);
                }
            });
        }
    });
    let all = all.into_inner();
    assert!(all <= 40, "{all}");
    // What refused requests had taken is back, but for nothing.
    for ask in &asks[..6] {
        assert_eq!(ask.left(&*store), 1_000 - all);
    }
    assert_eq!(asks[6].left(&*store), 40 - all);
    assert_eq!(metric(&store, "pdp_state_unreturned_total"), 0);
    // A refused request may be sent again under its id, and an admitted one spends once.
    let before = asks[0].left(&*store);
    if all < 40 {
        spend(&*store, Some("again"), Uuid::now_v7(), &asks);
        spend(&*store, Some("again"), Uuid::now_v7(), &asks);
        assert_eq!(asks[0].left(&*store), before - 1);
    }
}

#[test]
fn a_part_that_does_not_answer_gives_the_others_back() {
    let cluster = Cluster::start();
    let store = cluster.store();
    let policy_id = policy();
    let limits: Vec<Limit> = (0..12)
        .map(|index| Limit {
            name: format!("limit-{index}").into(),
            scope: Scope::Estate,
            ..hourly(Algorithm::SlidingWindow, 100)
        })
        .collect();
    let asks: Vec<Ask<'_>> = limits.iter().map(|limit| Ask::new(&policy_id, limit, 1)).collect();
    assert_eq!(admitted(&spend(&*store, None, Uuid::nil(), &asks)), [true; 12]);
    cluster.servers[2].pause();
    let outcomes = spend(&*store, None, Uuid::nil(), &asks);
    assert!(outcomes.iter().all(|it| !it.admitted && it.fault.is_some()));
    cluster.servers[2].go_on();
    // The bound: no counter holds more than the request's own hits, and only where the answer was lost.
    until("all servers answer", || asks.iter().all(|ask| ask.peek().spend(&*store).fault.is_none()));
    let taken: u64 = asks.iter().map(|ask| 99 - ask.left(&*store)).sum();
    assert!(taken <= 1, "{taken}");
    assert_eq!(metric(&store, "pdp_state_unreturned_total"), 1);
}

#[test]
fn keys_that_move_are_followed_and_counted_once() {
    let cluster = Cluster::start();
    let stores = [cluster.store(), cluster.store()];
    let policy_id = policy();
    let limit = hourly(Algorithm::SlidingWindow, 400);
    assert!(Ask::new(&policy_id, &limit, 1).spend(&*stores[0]).admitted);
    let (from, slot) = cluster.place("}:c:");
    let (done, admitted) = (AtomicBool::new(false), AtomicU64::new(1));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (store, policy_id, limit, done, admitted) =
                (&stores[thread % 2], &policy_id, &limit, &done, &admitted);
            scope.spawn(move || {
                let mut rounds = 0;
                while rounds < 150 || !done.load(Ordering::Relaxed) {
                    rounds += 1;
                    let outcome = Ask::new(policy_id, limit, 1).spend(&**store);
                    assert_eq!(outcome.fault, None, "{:?}", store.health());
                    admitted.fetch_add(u64::from(outcome.admitted), Ordering::Relaxed);
                }
            });
        }
        for round in 0..4 {
            cluster.migrate(slot, (from + round) % 3, (from + round + 1) % 3);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(admitted.into_inner(), 400);
    assert!(stores.iter().any(|store| metric(store, "pdp_state_redirects_total") > 0));
}

#[test]
fn a_server_that_is_away_stops_its_own_slots_only() {
    let mut cluster = Cluster::start();
    let store = cluster.store();
    let policy_id = policy();
    let limit = bucket(1_000);
    let tenants: Vec<String> = (0..24).map(|index| format!("tenant-{index}")).collect();
    let ask = |tenant: &'static str| Ask::new(&policy_id, &limit, 1).tenant(Some(tenant));
    let tenants: Vec<&'static str> = tenants.into_iter().map(|it| &*it.leak()).collect();
    assert!(tenants.iter().all(|tenant| ask(tenant).spend(&*store).admitted));
    cluster.servers[1].stop();
    until("the health says so", || {
        tenants.iter().for_each(|tenant| drop(ask(tenant).spend(&*store)));
        !store.health().available
    });
    let served = tenants.iter().filter(|tenant| ask(tenant).spend(&*store).admitted).count();
    assert!((1..24).contains(&served), "{served}");
    cluster.servers[1].restart();
}
