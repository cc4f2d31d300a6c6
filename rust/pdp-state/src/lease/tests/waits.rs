//! Spends that wait for a grant: one is asked for, all are answered, whoever leaves.

use std::future::poll_fn;
use std::task::Poll;

use tokio::time::timeout;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { timeout(SOON, test).await.unwrap() });
}

fn slow(nodes: u32) -> Arc<Shared> {
    let shared = Shared::new(nodes);
    shared.slow.store(true, Ordering::SeqCst);
    shared
}

/// Waits until the shared store holds the hits.
async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

fn waiting(
    reply: Reply<Vec<LimitOutcome>>,
) -> std::pin::Pin<Box<dyn Future<Output = Vec<LimitOutcome>> + Send>> {
    assert!(matches!(reply, Reply::Waiting(_)));
    reply.into_future()
}

#[test]
fn spends_at_once_wait_for_one_grant() {
    run(async {
        let shared = slow(1);
        let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 5));
        let policy_id = Arc::from("p");
        let demands = [demand(&policy_id, &limit, "k", 1)];
        let replies: Vec<_> = (0..5).map(|_| waiting(node.ask(None, &demands))).collect();
        assert_eq!((shared.grants(), shared.spends()), (1, 0));
        // What one grant cannot hold is not queued behind it.
        let exact = waiting(node.ask(None, &demands));
        assert_eq!(shared.spends(), 1);
        shared.gate.add_permits(100);
        for reply in replies {
            assert!(reply.await[0].admitted);
        }
        assert_eq!(exact.await[0].counted_by, pdp_engine::limit::CountedBy::Shared);
        node.store.release_all();
        assert_eq!(shared.total(&limit, "k"), 6);
    });
}

#[test]
fn a_grant_lands_even_if_nobody_waits() {
    run(async {
        let shared = slow(1);
        let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 5));
        let policy_id = Arc::from("p");
        let demands = [demand(&policy_id, &limit, "k", 1)];
        drop(node.ask(None, &demands));
        let other = waiting(node.ask(None, &demands));
        shared.gate.add_permits(1);
        assert!(other.await[0].admitted);
        assert_eq!((shared.grants(), shared.total(&limit, "k")), (1, 1));
    });
}

#[test]
fn hits_are_asked_for_before_they_run_out() {
    run(async {
        let shared = Shared::new(1);
        let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::Gcra { burst: 1_000 }, 1_000, 40));
        for _ in 0..64 {
            node.spend(&limit, 1);
        }
        shared.slow.store(true, Ordering::SeqCst);
        let (mut grants, mut admitted) = (shared.grants(), 0);
        let (policy_id, mut waited) = (Arc::from("p"), 0);
        for _ in 0..200 {
            match node.ask(None, &[demand(&policy_id, &limit, "k", 1)]) {
                Reply::Ready(outcomes) => admitted += u64::from(outcomes[0].admitted),
                Reply::Waiting(_) => waited += 1,
            }
            if shared.grants() > grants {
                grants = shared.grants();
                shared.gate.add_permits(1);
                until(|| node.metric("pdp_lease_grants_total") == grants).await;
            }
        }
        assert_eq!((admitted, waited), (200, 0), "no spend waited");
    });
}

#[test]
fn a_spend_that_is_left_half_way_counts_in_full() {
    run(async {
        let shared = Shared::new(1);
        let (node, limit, other) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 9), exact(10));
        let policy_id = Arc::from("p");
        let both = [demand(&policy_id, &limit, "k", 1), demand(&policy_id, &other, "x", 1)];
        node.spend(&limit, 1);
        node.spend(&limit, 1);
        let spent = node.metric("pdp_lease_spent_hits_total");
        shared.slow.store(true, Ordering::SeqCst);
        let mut left = waiting(node.ask(None, &both));
        let first = poll_fn(|context| Poll::Ready(left.as_mut().poll(context).is_pending())).await;
        assert!(first);
        drop(left);
        assert_eq!(node.metric("pdp_lease_spent_hits_total"), spent + 1);
        node.store.release_all();
        assert_eq!(shared.total(&limit, "k"), 3);
    });
}

#[test]
fn a_copy_of_a_request_that_waits_spends_once() {
    run(async {
        let shared = slow(1);
        let (node, limit, other) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 9), exact(10));
        let policy_id = Arc::from("p");
        let both = [demand(&policy_id, &limit, "k", 1), demand(&policy_id, &other, "x", 1)];
        let first = tokio::spawn(waiting(node.ask(Some("r"), &both)));
        let second = tokio::spawn(waiting(node.ask(Some("r"), &both)));
        let alone = tokio::spawn(waiting(node.ask(Some("r"), &both[..1])));
        let again = tokio::spawn(waiting(node.ask(Some("r"), &both[..1])));
        shared.gate.add_permits(100);
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first, second);
        assert!(first.iter().all(|outcome| outcome.admitted));
        assert_eq!(alone.await.unwrap(), again.await.unwrap());
        node.store.release_all();
        assert_eq!((shared.total(&limit, "k"), shared.total(&other, "x")), (2, 1));
    });
}

#[test]
fn a_runtime_that_ends_leaves_nobody_waiting() {
    let shared = slow(1);
    let (node, limit) = (Node::new(&shared, 0), leased(Algorithm::FixedWindow, 100, 9));
    let policy_id = Arc::from("p");
    let demands = [demand(&policy_id, &limit, "k", 1)];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reply = {
        let _inside = runtime.enter();
        waiting(node.ask(None, &demands))
    };
    drop(runtime);
    assert_eq!(node.metric("pdp_lease_grant_failures_total"), 1);
    shared.gate.add_permits(1);
    run(async { assert!(reply.await[0].admitted, "decided by the shared store") });
}

#[test]
fn outside_of_a_runtime_the_background_drives_grants_and_gives_back() {
    let shared = slow(1);
    shared.gate.add_permits(1_000);
    let options = LeaseOptions { sweep_every: Some(Duration::from_millis(1)), ..LeaseOptions::default() };
    let (node, limit) = (Node::with_options(&shared, 0, options), leased(Algorithm::FixedWindow, 100, 50));
    for _ in 0..3 {
        assert!(node.spend(&limit, 1).admitted);
    }
    shared.time.pass(1_000);
    let begin = std::time::Instant::now();
    while shared.total(&limit, "k") != 3 {
        assert!(begin.elapsed() < SOON, "unused hits are not given back");
        std::thread::yield_now();
    }
}

#[test]
fn threads_that_wait_for_grants_lose_no_hit_and_spend_none_twice() {
    let shared = slow(2);
    shared.gate.add_permits(100_000);
    let nodes = [Node::new(&shared, 0), Node::new(&shared, 0)];
    let (a, b) = (leased(Algorithm::Gcra { burst: 400 }, 400, 10), exact(250));
    let policy_id = Arc::from("p");
    let admitted: [u64; 2] = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let (node, a, b, policy_id) = (&nodes[worker % 2], &a, &b, &policy_id);
                scope.spawn(move || {
                    let both = [demand(policy_id, b, "x", 1), demand(policy_id, a, "k", 2)];
                    let mut admitted = [0, 0];
                    for turn in 0..150 {
                        let mixed = turn % 3 == 0;
                        let demands = if mixed { &both[..] } else { &both[1..] };
                        if node.spend_all(None, demands).iter().all(|it| it.admitted) {
                            admitted[0] += 2;
                            admitted[1] += u64::from(mixed);
                        }
                    }
                    admitted
                })
            })
            .collect();
        let counts = workers.into_iter().map(|worker| worker.join().unwrap());
        counts.fold([0, 0], |sum, count| [sum[0] + count[0], sum[1] + count[1]])
    });
    nodes.iter().for_each(|node| node.store.release_all());
    assert!(admitted[0] <= 400);
    // What is still in the air is given back when it lands.
    let begin = std::time::Instant::now();
    while shared.total(&a, "k") > admitted[0] && begin.elapsed() < SOON {
        std::thread::yield_now();
    }
    assert_eq!((shared.total(&a, "k"), shared.total(&b, "x")), (admitted[0], admitted[1]));
}
