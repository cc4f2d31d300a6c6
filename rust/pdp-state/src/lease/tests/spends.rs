//! What one node answers: all or none, replays, refusals, reads, and bounds.

use pdp_engine::limit::{CountedBy, NEVER};

use super::*;

const GCRA: Algorithm = Algorithm::Gcra { burst: 100 };

#[test]
fn an_answer_says_how_it_was_counted_and_its_bound() {
    let shared = Shared::new(3);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 10));
    let outcome = node.spend(&limit, 2);
    assert_eq!((outcome.admitted, outcome.remaining), (true, 98));
    assert_eq!((outcome.counted_by, outcome.overshoot), (CountedBy::Lease, 30));
    assert_eq!(outcome.reset_after, Duration::from_secs(6));
}

#[test]
fn most_spends_of_a_busy_counter_ask_nobody() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::Gcra { burst: 100_000 }, 100_000, 1_000));
    for _ in 0..10_000 {
        assert!(node.spend(&limit, 1).admitted);
        if node.metric("pdp_lease_admitted_total") % 10 == 0 {
            shared.time.pass(1);
        }
    }
    // 10,000 hits a second: about 500 a grant.
    assert!(shared.grants() < 100, "{}", shared.grants());
    assert_eq!(shared.spends(), 0);
}

#[test]
fn an_exhausted_limit_is_refused_without_asking_each_time() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 10));
    while node.spend(&limit, 1).admitted {}
    let (grants, before) = (shared.grants(), node.spend(&limit, 1));
    assert_eq!((before.remaining, before.retry_after), (0, Some(Duration::from_secs(6))));
    for _ in 0..99 {
        shared.time.pass(1);
        for _ in 0..10 {
            assert!(!node.spend(&limit, 1).admitted);
        }
    }
    assert_eq!(shared.grants(), grants, "believed for 100 ms");
    assert_eq!(node.spend(&limit, 1).retry_after, Some(Duration::from_millis(5_901)));
    shared.time.pass(1);
    assert!(!node.spend(&limit, 1).admitted);
    assert_eq!(shared.grants(), grants + 1);
    assert_eq!(shared.spends(), 0);
}

#[test]
fn a_limit_in_permanent_use_is_asked_for_batches() {
    let shared = Shared::new(1);
    // One hit a millisecond, asked for by ten times as many.
    let limit = leased(Algorithm::Gcra { burst: 1_000 }, 10_000, 100);
    let node = Node::new(&shared, 0);
    let mut admitted = 0;
    for _ in 0..3_000 {
        admitted += (0..10).filter(|_| node.spend(&limit, 1).admitted).count();
        shared.time.pass(1);
    }
    assert!((3_900..=4_000).contains(&admitted), "{admitted} of the burst and 3 s");
    assert!(shared.grants() < 500, "{}", shared.grants());
}

#[test]
fn a_refusal_of_many_hits_does_not_refuse_few() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 20));
    assert!(node.spend(&limit, 7).admitted);
    let outcome = node.spend(&limit, 5);
    assert_eq!((outcome.admitted, outcome.remaining), (false, 3));
    assert!(node.spend(&limit, 3).admitted);
    assert_eq!(node.spend(&limit, 11).retry_after, Some(NEVER), "no wait helps");
}

#[test]
fn a_demand_above_the_lease_and_other_limits_go_to_the_shared_store() {
    let shared = Shared::new(2);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 10));
    let outcome = node.spend(&limit, 11);
    assert_eq!((outcome.admitted, outcome.counted_by, outcome.remaining), (true, CountedBy::Shared, 89));
    assert_eq!(outcome.overshoot, 20);
    assert_eq!(node.spend(&exact(5), 1).counted_by, CountedBy::Shared);
    let short = Limit { window: Duration::from_millis(49), ..limit.clone() };
    assert_eq!(node.spend(&short, 1).counted_by, CountedBy::Shared);
    assert_eq!((shared.grants(), shared.spends()), (0, 3));

    let held = Limit { algorithm: Algorithm::Concurrency, ..limit };
    let policy_id = Arc::from("p");
    assert_eq!(terms::leasable(&demand(&policy_id, &held, "k", 1)), None, "given back by name");
}

#[test]
fn a_refused_exact_limit_puts_leased_hits_back() {
    let shared = Shared::new(1);
    let (node, limit, other) = (Node::new(&shared, 0), leased(GCRA, 100, 50), exact(2));
    let policy_id = Arc::from("p");
    let both = [demand(&policy_id, &limit, "k", 4), demand(&policy_id, &other, "x", 2)];
    assert!(node.spend_all(None, &both).iter().all(|it| it.admitted));
    let outcomes = node.spend_all(None, &both);
    assert_eq!((outcomes[0].admitted, outcomes[0].remaining), (true, 96), "as it stands");
    assert!(!outcomes[1].admitted);
    node.store.release_all();
    assert_eq!((shared.total(&limit, "k"), shared.total(&other, "x")), (4, 2));
}

#[test]
fn a_refused_lease_reads_exact_limits_and_spends_none() {
    let shared = Shared::new(1);
    let (node, limit, other) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 3, 3), exact(5));
    let policy_id = Arc::from("p");
    let both = [demand(&policy_id, &other, "x", 1), demand(&policy_id, &limit, "k", 2)];
    assert!(node.spend_all(None, &both).iter().all(|it| it.admitted));
    let outcomes = node.spend_all(None, &both);
    assert_eq!((outcomes[0].admitted, outcomes[1].admitted), (true, false));
    assert_eq!((outcomes[0].remaining, outcomes[1].remaining), (4, 1));
    assert_eq!(shared.total(&other, "x"), 1);
}

#[test]
fn two_demands_on_one_counter_add_up() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 5, 5));
    let policy_id = Arc::from("p");
    let twice = [demand(&policy_id, &limit, "k", 2), demand(&policy_id, &limit, "k", 2)];
    assert!(node.spend_all(None, &twice).iter().all(|it| it.admitted));
    let outcomes = node.spend_all(None, &twice);
    assert!(!outcomes.iter().all(|it| it.admitted), "one is left");
    assert!(node.spend(&limit, 1).admitted, "and was not half-spent");
    assert!(!node.spend(&limit, 1).admitted);
}

#[test]
fn a_read_sees_the_shared_counter_and_the_lease() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 10));
    let policy_id = Arc::from("p");
    for _ in 0..3 {
        node.spend(&limit, 1);
    }
    assert!(node.held(&limit, "k") > 0);
    let outcomes = node.spend_all(None, &[peek(demand(&policy_id, &limit, "k", 7))]);
    assert_eq!((outcomes[0].admitted, outcomes[0].remaining), (true, 7));
    assert_eq!(node.spend(&limit, 1).remaining, 6, "reading spends nothing");
}

#[test]
fn the_same_request_spends_once_on_a_node() {
    let shared = Shared::new(2);
    let (limit, other) = (leased(Algorithm::FixedWindow, 100, 10), exact(50));
    let nodes = [Node::new(&shared, 0), Node::new(&shared, 0)];
    let policy_id = Arc::from("p");
    let both = [demand(&policy_id, &limit, "k", 2), demand(&policy_id, &other, "x", 1)];
    let first = nodes[0].spend_all(Some("r"), &both);
    assert_eq!(nodes[0].spend_all(Some("r"), &both), first);
    let only = nodes[0].spend_all(Some("r"), &both[..1]);
    assert_ne!(only[0], first[0], "other demands are another spend");
    assert_eq!(nodes[0].spend_all(Some("r"), &both[..1]), only);
    assert_eq!(nodes[0].metric("pdp_lease_replayed_total"), 2);

    nodes[1].spend_all(Some("r"), &both);
    for node in &nodes {
        node.store.release_all();
    }
    assert_eq!(shared.total(&other, "x"), 1, "the shared store remembers the request");
    assert_eq!(shared.total(&limit, "k"), 6, "leased: once a node");
}

#[test]
fn a_repeated_request_is_settled_as_the_first() {
    let shared = Shared::new(1);
    let (node, limit, other) = (Node::new(&shared, 0), leased(GCRA, 100, 10), exact(50));
    let policy_id = Arc::from("p");
    let both = [demand(&policy_id, &limit, "k", 2), demand(&policy_id, &other, "x", 1)];
    for demands in [&both[..], &both[..1]] {
        let spend = |holder| {
            let spend = Spend { request_id: Some("r"), holder, demands, now: shared.time.wall(0) };
            node.store.spend(&spend).wait()
        };
        let outcomes = [spend(Uuid::from_u128(1)), spend(Uuid::from_u128(2))];
        assert!(outcomes.iter().flatten().all(|it| it.spent_by == Some(Uuid::from_u128(1))));
    }
}

#[test]
fn a_refused_request_may_be_sent_again() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 1, 5));
    let policy_id = Arc::from("p");
    let demands = [demand(&policy_id, &limit, "k", 1)];
    assert!(node.spend(&limit, 1).admitted);
    assert!(!node.spend_all(Some("r"), &demands)[0].admitted);
    shared.time.pass(6_000);
    assert!(node.spend_all(Some("r"), &demands)[0].admitted);
}

#[test]
fn copies_of_one_request_in_threads_spend_once() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(GCRA, 100, 50));
    let other = exact(100);
    let policy_id = Arc::from("p");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let both = [demand(&policy_id, &limit, "k", 1), demand(&policy_id, &other, "x", 1)];
                for id in 0..20 {
                    assert!(node.spend_all(Some(&format!("a{id}")), &both).iter().all(|it| it.admitted));
                    assert!(node.spend_all(Some(&format!("b{id}")), &both[..1])[0].admitted);
                }
            });
        }
    });
    node.store.release_all();
    assert_eq!((shared.total(&limit, "k"), shared.total(&other, "x")), (40, 20));
}

#[test]
fn a_reset_forgets_the_lease_too() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 5));
    let policy_id: Arc<str> = Arc::from("p");
    while node.spend(&limit, 1).admitted {}
    let name = demand(&policy_id, &limit, "k", 1).counter;
    assert_eq!(node.store.reset(&name).wait(), Ok(true));
    assert_eq!((0..20).filter(|_| node.spend(&limit, 1).admitted).count(), 10, "and what it refused");
    assert_eq!(node.metric("pdp_lease_counters"), 1);
}

#[test]
fn leases_are_bounded_in_number_and_forgotten_when_idle() {
    let shared = Shared::new(1);
    let options = LeaseOptions { max_counters: 10, sweep_every: None, ..LeaseOptions::default() };
    let (node, limit) = (Node::with_options(&shared, 0, options), leased(Algorithm::FixedWindow, 10, 5));
    let policy_id = Arc::from("p");
    for key in 0..30 {
        let outcome = node.spend_all(None, &[demand(&policy_id, &limit, &format!("k{key}"), 1)])[0];
        assert!(outcome.admitted);
        let counted_by = if key < 10 { CountedBy::Lease } else { CountedBy::Shared };
        assert_eq!(outcome.counted_by, counted_by);
    }
    assert_eq!((node.metric("pdp_lease_counters"), node.metric("pdp_lease_full_total")), (10, 20));
    shared.time.pass(3_000);
    assert_eq!(node.spend(&limit, 1).counted_by, CountedBy::Lease);
    node.store.sweep();
    assert_eq!(node.metric("pdp_lease_counters"), 1);
}

#[test]
fn a_changed_limit_keeps_the_lease() {
    let shared = Shared::new(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 10, 5));
    while node.spend(&limit, 1).admitted {}
    shared.time.pass(100);
    let raised = Limit { limit: 15, ..limit };
    assert_eq!((0..20).filter(|_| node.spend(&raised, 1).admitted).count(), 5);
}

#[test]
fn bad_input_goes_to_the_shared_store_and_leases_nothing() {
    let shared = Shared::new(1);
    let node = Node::new(&shared, 0);
    let limit = leased(Algorithm::FixedWindow, 10, 5);
    node.spend(&limit, 0);
    node.spend(&limit, u64::MAX);
    node.spend(&Limit { counting: Counting::Leased { most: 0 }, ..limit.clone() }, 1);
    node.spend(&Limit { window: Duration::MAX, ..limit.clone() }, 1);
    assert_eq!((shared.grants(), node.metric("pdp_lease_counters")), (0, 0));
    let long = Limit { counting: Counting::Leased { most: u64::MAX }, ..limit };
    assert!(node.spend(&long, 1).admitted);
    assert!(node.spend(&long, 7).admitted);
    assert!(!node.spend(&long, u64::MAX - 1).admitted);
    assert!(node.spend_all(None, &[]).is_empty());
}
