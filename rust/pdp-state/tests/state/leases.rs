//! Leases of several nodes on one server: what all admit together, and what a node leaves behind.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use pdp_engine::limit::{Algorithm, CountedBy, Counting, Limit, LimitDemand, LimitStore, Spend};
use pdp_state::redis::{RedisOptions, RedisStore};
use pdp_state::{LeaseOptions, LeasedStore, StateStore};
use uuid::Uuid;

use crate::question::{Ask, policy};
use crate::valkey::{Valkey, until};

const WINDOW: Duration = Duration::from_secs(1);
const LIMIT: u64 = 300;
const MOST: u64 = 20;

fn leased() -> Limit {
    let counting = Counting::Leased { most: MOST };
    Limit { counting, ..Limit::new("calls", Algorithm::SlidingWindow, LIMIT, WINDOW) }
}

fn node(server: &Valkey) -> Arc<LeasedStore<RedisStore>> {
    let store = RedisStore::connect(RedisOptions::from_url(&server.url()).unwrap()).unwrap();
    Arc::new(LeasedStore::new(store, LeaseOptions::default()))
}

/// Spends one hit by a clock that is off by so many seconds; whether it was admitted, and the bound it states.
fn spend(store: &dyn LimitStore, ask: Ask<'_>, skew_seconds: i64) -> (bool, u64) {
    let off = Duration::from_secs(skew_seconds.unsigned_abs());
    let wall = SystemTime::now();
    let now = if skew_seconds < 0 { wall - off } else { wall + off };
    let demands = [LimitDemand { counter: ask.counter(), hits: 1, peek: false }];
    let spend = Spend { request_id: None, holder: Uuid::now_v7(), demands: &demands, now };
    let outcome = store.spend(&spend).wait()[0];
    (outcome.admitted, outcome.overshoot)
}

#[test]
fn three_nodes_one_of_them_stopped_and_clocks_that_differ_stay_within_the_bound() {
    let server = Valkey::start(&[]);
    let nodes: Vec<_> = (0..3).map(|_| node(&server)).collect();
    until("each node knows of the others", || nodes.iter().all(|node| node.health().nodes == 3));
    let (policy_id, limit) = (policy(), leased());
    let admitted = Mutex::new(Vec::new());
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..6_usize {
            let (node, policy_id, limit, admitted) = (&nodes[thread % 3], &policy_id, &limit, &admitted);
            // The third node stops in the middle, with hits in its hands.
            let lives = if thread % 3 == 2 { WINDOW } else { 4 * WINDOW };
            scope.spawn(move || {
                let skew = [0, 3_600, -86_400][thread % 3];
                while start.elapsed() < lives {
                    let before = Instant::now();
                    let (yes, overshoot) = spend(&**node, Ask::new(policy_id, limit, 1), skew);
                    if yes {
                        assert!(overshoot == 3 * MOST || overshoot == 0, "{overshoot}");
                        admitted.lock().unwrap().push((before, Instant::now()));
                    }
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
        }
    });
    let admitted = admitted.into_inner().unwrap();
    assert!(admitted.len() as u64 > 2 * LIMIT, "windows follow one another: {}", admitted.len());
    for (first, _) in &admitted {
        // Asked after `first` and answered within a window of it: surely within one window.
        let within = |(asked, told): &&(Instant, Instant)| asked >= first && *told < *first + WINDOW;
        let hits = admitted.iter().filter(within).count() as u64;
        assert!(hits <= LIMIT + 3 * MOST, "{hits}");
    }
}

#[test]
fn a_node_that_stops_in_order_leaves_no_hit_behind() {
    let server = Valkey::start(&[]);
    let (leaver, other) = (node(&server), node(&server));
    let (policy_id, limit) = (policy(), Limit { window: Duration::from_secs(3_600), ..leased() });
    let ask = Ask::new(&policy_id, &limit, 1);
    // Often enough that more than one hit is asked for ahead.
    until("a lease", || ask.spend(&*leaver).counted_by == CountedBy::Lease);
    (0..20).for_each(|_| assert!(ask.spend(&*leaver).admitted));
    leaver.drain();
    let metrics = leaver.lease_metrics();
    let value = |name: &str| metrics.iter().find(|one| one.name == name).map(|one| one.value as u64).unwrap();
    assert!(value("pdp_lease_given_back_hits_total") > 0);
    let exact = Limit { counting: Counting::Exact, ..limit.clone() };
    let left = Ask { limit: &exact, ..ask }.left(&*other);
    let spent = value("pdp_lease_spent_hits_total") + value("pdp_lease_exact_total");
    assert_eq!(left, LIMIT - spent, "all that was not used is back when the drain ends");
}
