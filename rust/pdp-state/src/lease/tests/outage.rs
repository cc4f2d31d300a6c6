//! What a node answers while the shared store cannot be asked.

use pdp_engine::limit::{CountedBy, Outage};

use super::*;

fn held_node(shared: &Arc<Shared>, limit: &Limit) -> Node {
    let node = Node::new(shared, 0);
    for _ in 0..3 {
        node.spend(limit, 1);
    }
    assert!(node.held(limit, "k") > 0);
    shared.down.store(true, Ordering::SeqCst);
    node
}

#[test]
fn held_hits_are_used_and_then_the_limit_says_what_happens() {
    for (outage, admitted) in [(Outage::Deny, false), (Outage::Allow, true)] {
        let shared = Shared::new(1);
        let limit = Limit { outage, ..leased(Algorithm::FixedWindow, 100, 20) };
        let node = held_node(&shared, &limit);
        for _ in 0..node.held(&limit, "k") {
            let outcome = node.spend(&limit, 1);
            assert_eq!((outcome.admitted, outcome.counted_by), (true, CountedBy::Lease));
        }
        let outcome = node.spend(&limit, 1);
        assert_eq!((outcome.admitted, outcome.fault), (admitted, Some(LimitFault::StoreUnavailable)));
    }
}

#[test]
fn a_lease_that_expires_in_an_outage_is_not_used() {
    let shared = Shared::new(1);
    let limit = leased(Algorithm::FixedWindow, 100, 20);
    let node = held_node(&shared, &limit);
    shared.time.pass(1_000);
    let outcome = node.spend(&limit, 1);
    assert_eq!((outcome.admitted, outcome.fault), (false, Some(LimitFault::StoreUnavailable)));
}

#[test]
fn a_failed_grant_is_not_asked_for_again_at_once_and_recovers() {
    let shared = Shared::new(1);
    let limit = leased(Algorithm::FixedWindow, 100, 20);
    shared.down.store(true, Ordering::SeqCst);
    let node = Node::new(&shared, 0);
    for _ in 0..50 {
        assert!(!node.spend(&limit, 1).admitted);
        shared.time.pass(1);
    }
    assert_eq!((shared.grants(), shared.spends()), (1, 50), "the store knows best how to fail");
    assert_eq!(node.metric("pdp_lease_grant_failures_total"), 1);
    shared.down.store(false, Ordering::SeqCst);
    assert_eq!(node.spend(&limit, 1).counted_by, CountedBy::Shared);
    shared.time.pass(100);
    assert_eq!(node.spend(&limit, 1).counted_by, CountedBy::Lease);
}

#[test]
fn leased_hits_are_put_back_when_an_exact_limit_has_no_store() {
    let shared = Shared::new(1);
    let (limit, other) = (leased(Algorithm::FixedWindow, 100, 20), exact(10));
    let node = held_node(&shared, &limit);
    let (held, policy_id) = (node.held(&limit, "k"), Arc::from("p"));
    let both = [demand(&policy_id, &limit, "k", 1), demand(&policy_id, &other, "x", 1)];
    let outcomes = node.spend_all(None, &both);
    assert_eq!((outcomes[0].admitted, outcomes[1].admitted), (true, false));
    assert_eq!(node.held(&limit, "k"), held);
}
