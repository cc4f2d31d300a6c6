//! What all nodes together admit never passes the limit by more than nodes x most.

use pdp_engine::limit::Counter;
use proptest::prelude::*;

use super::*;

const NODES: u64 = 3;
const MOST: u64 = 5;

/// What happens: a node is asked, or time passes.
#[derive(Clone, Debug)]
struct Event {
    node: usize,
    key: usize,
    hits: u64,
    /// Hits of an exact limit, on the same spend.
    exact: Option<u64>,
    twice: bool,
    gap_ms: u64,
    sweep: bool,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let gap = prop_oneof![4 => 0_u64..30, 2 => 0_u64..400, 1 => 0_u64..9_000];
    let exact = prop::option::weighted(0.2, 1_u64..4);
    let event = (0_usize..3, 0_usize..2, 1_u64..4, exact, any::<bool>(), gap, prop::bool::weighted(0.1));
    let event = event.prop_map(|(node, key, hits, exact, twice, gap_ms, sweep)| Event {
        node,
        key,
        hits,
        exact,
        twice: twice && hits == 1,
        gap_ms,
        sweep,
    });
    prop::collection::vec(event, 1..150)
}

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![
        Just(Algorithm::Gcra { burst: 12 }),
        Just(Algorithm::FixedWindow),
        Just(Algorithm::SlidingWindow)
    ]
}

/// The limit that admits what the nodes may: a counter of it must have room for all that they admit.
fn widened(limit: &Limit) -> Limit {
    let over = NODES * MOST;
    match limit.algorithm {
        // Exactly `burst + rate * t` in any span: with a larger burst, nodes x most above that.
        Algorithm::Gcra { burst } => {
            Limit { algorithm: Algorithm::Gcra { burst: burst + over }, ..limit.clone() }
        }
        _ => Limit { limit: limit.limit + over, ..limit.clone() },
    }
}

const KEYS: [&str; 2] = ["k0", "k1"];

proptest! {
    #[test]
    fn nodes_never_pass_the_bound_and_lose_no_hit(
        events in events(),
        algorithm in algorithms(),
        stops_at in 0_usize..150,
    ) {
        let shared = Shared::new(NODES as u32);
        let nodes = [Node::new(&shared, 0), Node::new(&shared, -3_700), Node::new(&shared, 8_100)];
        let (limit, exact_limit, policy_id) = (leased(algorithm, 20, MOST), exact(30), Arc::from("p"));
        let widened = widened(&limit);
        let mut model = [Counter::empty(algorithm); 2];
        let (mut admitted, mut exact_admitted) = ([0; 2], 0);
        let mut stopped = 0;
        for (index, event) in events.iter().enumerate() {
            shared.time.pass(event.gap_ms);
            let node = &nodes[event.node];
            // The third node stops and is never called again: it takes its leases with it.
            if event.node == 2 && index >= stops_at {
                stopped += 1;
                continue;
            }
            if event.sweep {
                node.store.sweep();
            }
            let key = KEYS[event.key];
            let mut demands = vec![demand(&policy_id, &limit, key, event.hits)];
            if event.twice {
                demands.push(demand(&policy_id, &limit, key, 1));
            }
            if let Some(hits) = event.exact {
                demands.insert(0, demand(&policy_id, &exact_limit, "x", hits));
            }
            let outcomes = node.spend_all(None, &demands);
            prop_assert!(outcomes.iter().all(|it| it.fault.is_none() && it.admitted == it.retry_after.is_none()));
            for (outcome, demand) in outcomes.iter().zip(&demands) {
                let is_leased = demand.counter.limit.name == limit.name;
                prop_assert_eq!(outcome.overshoot, if is_leased { NODES * MOST } else { 0 });
            }
            if outcomes.iter().all(|outcome| outcome.admitted) {
                let hits = event.hits + u64::from(event.twice);
                let (next, reading) = model[event.key].spend(&widened, hits, shared.time.ns());
                prop_assert!(reading.admitted, "{} hits beyond the bound at event {}", hits, index);
                model[event.key] = next;
                admitted[event.key] += hits;
                exact_admitted += event.exact.unwrap_or(0);
            }
            prop_assert!(node.held(&limit, key) <= MOST);
        }
        // Nothing was half-spent: exact hits are those of admitted spends.
        prop_assert_eq!(shared.total(&exact_limit, "x"), exact_admitted);

        // After quiet time the living nodes hold nothing, and all hits are accounted for.
        shared.time.pass(1_000);
        let living = if stopped > 0 { &nodes[..2] } else { &nodes[..] };
        for node in living {
            node.store.sweep();
            prop_assert!(KEYS.iter().all(|key| node.held(&limit, key) == 0));
        }
        let sum = |name| nodes.iter().map(|node| node.metric(name)).sum::<u64>();
        let spent = sum("pdp_lease_spent_hits_total");
        let lapsed = sum("pdp_lease_lapsed_hits_total");
        let gone = sum("pdp_lease_granted_hits_total") - spent - lapsed - sum("pdp_lease_given_back_hits_total");
        prop_assert!(gone <= 2 * MOST, "only what the stopped node holds");
        prop_assert!(stopped > 0 || gone == 0);
        let total: u64 = KEYS.iter().map(|key| shared.total(&limit, key)).sum();
        prop_assert_eq!(total, admitted.iter().sum::<u64>() + lapsed + gone);
    }
}

#[test]
fn hits_of_a_stopped_node_come_back_with_the_window() {
    for algorithm in [Algorithm::Gcra { burst: 10 }, Algorithm::FixedWindow, Algorithm::SlidingWindow] {
        let shared = Shared::new(2);
        let (stopped, living) = (Node::new(&shared, 0), Node::new(&shared, 0));
        let limit = leased(algorithm, 10, 10);
        for _ in 0..4 {
            assert!(stopped.spend(&limit, 1).admitted);
        }
        let held = stopped.held(&limit, "k");
        assert!(held > 0, "{algorithm:?}: more was granted than used");
        let admitted = (0..20).filter(|_| living.spend(&limit, 1).admitted).count() as u64;
        assert_eq!(admitted, 10 - 4 - held, "{algorithm:?}: they are lost for now");
        // A sliding window forgets when two have passed.
        shared.time.pass(20_000);
        let admitted = (0..20).filter(|_| living.spend(&limit, 1).admitted).count();
        assert_eq!(admitted, 10, "{algorithm:?}");
    }
}

#[test]
fn unused_hits_are_given_back_when_they_expire_and_when_a_node_ends() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 5_000), leased(Algorithm::Gcra { burst: 100 }, 100, 50));
    for _ in 0..3 {
        assert!(node.spend(&limit, 1).admitted);
    }
    assert!(shared.total(&limit, "k") > 3);
    shared.time.pass(1_001);
    node.store.sweep();
    assert_eq!(shared.total(&limit, "k"), 3);

    assert!(node.spend(&limit, 1).admitted);
    assert!(node.spend(&limit, 1).admitted);
    assert!(shared.total(&limit, "k") > 5);
    drop(node);
    assert_eq!(shared.total(&limit, "k"), 5);
}

#[test]
fn a_drained_node_holds_nothing_and_counts_exactly() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 8));
    for _ in 0..3 {
        node.spend(&limit, 1);
    }
    node.store.release_all();
    assert_eq!(shared.total(&limit, "k"), 3);
    let outcome = node.spend(&limit, 1);
    assert_eq!((outcome.admitted, outcome.remaining), (true, 6));
    assert_eq!(outcome.counted_by, pdp_engine::limit::CountedBy::Shared);
    assert_eq!(shared.total(&limit, "k"), 4);
}

#[test]
fn a_lease_ends_with_its_fixed_window() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, -9_000), leased(Algorithm::FixedWindow, 10, 10));
    // 100 ms before the window ends.
    shared.time.pass(5_900);
    for _ in 0..3 {
        assert!(node.spend(&limit, 1).admitted);
    }
    assert!(node.held(&limit, "k") > 0);
    shared.time.pass(100);
    assert_eq!(node.held(&limit, "k"), 0);
    let admitted = (0..20).filter(|_| node.spend(&limit, 1).admitted).count();
    assert_eq!(admitted, 10, "the new window has all of its hits, and none of the old one's");
    assert_eq!(node.metric("pdp_lease_given_back_hits_total"), 0);
}

#[test]
fn threads_on_three_nodes_admit_no_more_than_the_limit() {
    let shared = Shared::new(3);
    let nodes = [0, 1_000, -1_000].map(|skew| Node::new(&shared, skew));
    let (a, b) = (leased(Algorithm::FixedWindow, 500, 20), exact(400));
    let policy_id = Arc::from("p");
    let admitted: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..6)
            .map(|worker| {
                let (nodes, a, b, policy_id) = (&nodes, &a, &b, &policy_id);
                scope.spawn(move || {
                    let both = [demand(policy_id, a, "k", 1), demand(policy_id, b, "x", 1)];
                    let node = &nodes[worker % 3];
                    (0..300)
                        .filter(|turn| {
                            let demands = if turn % 2 == 0 { &both[..] } else { &both[..1] };
                            node.spend_all(None, demands).iter().all(|it| it.admitted)
                        })
                        .count() as u64
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    assert!(admitted <= 500, "time stands still, so no lease expires: {admitted}");
    for node in &nodes {
        node.store.release_all();
    }
    assert_eq!(shared.total(&a, "k"), admitted, "no hit is lost, none is spent twice");
}
