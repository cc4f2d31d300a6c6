//! What goes wrong with a server, and what is answered: nothing is spent twice or lost silently.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pdp_engine::limit::{Algorithm, CountedBy, Limit, LimitFault, LimitOutcome, Outage};
use pdp_state::StateStore;
use pdp_state::redis::{Address, RedisOptions, RedisStore, Secret};
use uuid::Uuid;

use crate::proxy;
use crate::question::{Ask, admitted, bucket, hourly, policy, spend};
use crate::valkey::{Valkey, free_port, until};

/// Longer than any call may take, with room for a busy machine.
const BOUND: Duration = Duration::from_millis(1_500);

fn connect(port: u16, change: impl FnOnce(&mut RedisOptions)) -> Arc<RedisStore> {
    let mut options = RedisOptions::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
    options.timeout = Duration::from_millis(300);
    change(&mut options);
    RedisStore::connect(options).unwrap()
}

pub fn metric(store: &RedisStore, name: &str) -> u64 {
    let found = store.metrics().into_iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("no {name}")).value as u64
}

fn last_failure(store: &RedisStore) -> String {
    store.health().last_failure.unwrap_or_default()
}

/// A spend of 1 that must not wait longer than it may.
fn one(store: &RedisStore, limit: &Limit) -> LimitOutcome {
    let start = Instant::now();
    let outcome = Ask::new(&"faults".into(), limit, 1).spend(store);
    assert!(start.elapsed() < BOUND, "waited {:?}", start.elapsed());
    outcome
}

fn assert_unavailable(outcome: LimitOutcome) {
    assert_eq!((outcome.admitted, outcome.fault), (false, Some(LimitFault::StoreUnavailable)));
}

fn assert_recovers(store: &RedisStore) {
    until("the store answers again", || one(store, &bucket(1_000_000)).admitted);
    until("and says so", || store.health().available);
}

#[test]
fn a_server_that_comes_later_is_found() {
    let port = free_port();
    let store = connect(port, |_| ());
    assert!(!store.health().available);
    assert_unavailable(one(&store, &bucket(5)));
    drop(store);
    let server = Valkey::start(&[]);
    let (hidden, ways) = proxy::start(server.port);
    let store = connect(hidden, |it| it.key_secret = Some(Secret::new("0123456789abcdef")));
    ways.delay_ms.store(5_000, Ordering::SeqCst);
    until("the breaker opens", || one(&store, &bucket(5)).fault.is_some() && !store.health().available);
    ways.delay_ms.store(0, Ordering::SeqCst);
    assert_recovers(&store);
}

#[test]
fn a_wrong_password_is_named_and_not_repeated() {
    let server = Valkey::start(&["--requirepass", "right-password"]);
    let store = connect(server.port, |it| it.password = Some(Secret::new("wrong-password")));
    assert_unavailable(one(&store, &bucket(5)));
    let failure = last_failure(&store);
    assert!(failure.contains("denied") && !failure.contains("wrong-password"), "{failure}");
    assert!(!format!("{store:?}").contains("wrong-password"));
    let store = connect(server.port, |it| it.password = Some(Secret::new("right-password")));
    assert!(one(&store, &bucket(5)).admitted);
}

#[test]
fn a_right_that_the_script_lacks_is_named() {
    let server = Valkey::start(&[]);
    let rights = ["~pdp:1:*", "&pdp:1:*", "+@all", "-set"];
    server.command(&[&["ACL", "SETUSER", "lame", "on", ">pass-word"], &rights[..]].concat());
    let store = connect(server.port, |it| {
        it.username = Some("lame".to_owned());
        it.password = Some(Secret::new("pass-word"));
        it.key_secret = Some(Secret::new("0123456789abcdef"));
    });
    assert_unavailable(one(&store, &bucket(5)));
    until("it is named", || {
        assert_unavailable(one(&store, &bucket(5)));
        last_failure(&store).starts_with("denied")
    });
    server.command(&["ACL", "SETUSER", "lame", "+set"]);
    assert_recovers(&store);
}

#[test]
fn a_server_that_became_a_replica_is_left_alone_until_it_is_none() {
    let server = Valkey::start(&[]);
    let store = connect(server.port, |_| ());
    assert!(one(&store, &bucket(5)).admitted);
    server.command(&["REPLICAOF", "127.0.0.1", "1"]);
    until("the store is refused", || one(&store, &bucket(5)).fault.is_some());
    until("it says why", || last_failure(&store).contains("READONLY"));
    server.command(&["REPLICAOF", "NO", "ONE"]);
    assert_recovers(&store);
    assert_eq!(metric(&store, "pdp_state_uncertain_total"), 0);
}

#[test]
fn a_server_without_memory_counts_nothing_and_is_used_again_once_it_has() {
    let server = Valkey::start(&["--maxmemory-policy", "noeviction"]);
    let store = connect(server.port, |_| ());
    let limit = bucket(5);
    assert_eq!(one(&store, &limit).remaining, 4);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_unavailable(one(&store, &limit));
    until("it says why", || last_failure(&store).contains("OOM"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!store.health().available, "the probe writes, so it does not flap");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    until("it is used again", || store.health().available);
    assert_eq!(one(&store, &limit).remaining, 3, "nothing was counted meanwhile");
    assert_eq!(metric(&store, "pdp_state_uncertain_total"), 0);
}

#[test]
fn a_script_that_was_forgotten_is_given_again() {
    let server = Valkey::start(&[]);
    let store = connect(server.port, |_| ());
    let limit = bucket(5);
    assert_eq!(one(&store, &limit).remaining, 4);
    server.command(&["SCRIPT", "FLUSH", "SYNC"]);
    assert_eq!(one(&store, &limit).remaining, 3);
    server.command(&["FLUSHALL"]);
    server.command(&["SCRIPT", "FLUSH", "SYNC"]);
    assert_eq!(one(&store, &limit).remaining, 4, "counts are gone with the data, and no answer failed");
    assert!(store.health().available);
    until("the salt is back", || server.keys().iter().any(|it| it == "pdp:1:salt"));
    assert_eq!(one(&store, &limit).remaining, 3, "under the same names");
}

#[test]
fn a_paused_server_is_waited_for_a_few_times_and_then_not_at_all() {
    let server = Valkey::start(&[]);
    let store = connect(server.port, |_| ());
    assert!(one(&store, &bucket(50)).admitted);
    server.pause();
    until("the breaker opens", || {
        assert_unavailable(one(&store, &bucket(50)));
        !store.health().available
    });
    let sent = metric(&store, "pdp_state_calls_total");
    let start = Instant::now();
    for _ in 0..100 {
        assert_unavailable(one(&store, &bucket(50)));
    }
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(metric(&store, "pdp_state_calls_total"), sent, "nothing is sent while the breaker is open");
    assert!(metric(&store, "pdp_state_uncertain_total") > 0);
    server.go_on();
    assert_recovers(&store);
}

#[test]
fn a_cut_connection_spends_once_and_says_so() {
    let server = Valkey::start(&[]);
    let (port, ways) = proxy::start(server.port);
    let store = connect(port, |_| ());
    let limit = hourly(Algorithm::SlidingWindow, 100);
    let policy_id = policy();
    let ask = Ask::new(&policy_id, &limit, 1);
    assert!(ask.spend(&*store).admitted);
    // The beats of the background pass the proxy as well: the cut may be theirs.
    let lost = |spend_it: &dyn Fn() -> LimitOutcome| {
        for _ in 0..20 {
            let (before, left) = (metric(&store, "pdp_state_connections_total"), ask.left(&*store));
            ways.cut.store(true, Ordering::SeqCst);
            let outcome = spend_it();
            until("a new connection", || {
                ask.left(&*store) < left && metric(&store, "pdp_state_connections_total") > before
            });
            assert_eq!(ask.left(&*store), left - 1, "spent once");
            if outcome.fault.is_some() || metric(&store, "pdp_state_retried_total") > 0 {
                return outcome;
            }
        }
        panic!("no answer was lost");
    };
    let outcome = lost(&|| ask.spend(&*store));
    assert_unavailable(outcome);
    assert_eq!(metric(&store, "pdp_state_uncertain_total"), 1);
    // Under a request id it is asked again, and had spent.
    let outcome = lost(&|| spend(&*store, Some(&Uuid::now_v7().to_string()), Uuid::now_v7(), &[ask])[0]);
    assert!(outcome.admitted && outcome.fault.is_none());
    assert_eq!(metric(&store, "pdp_state_retried_total"), 1);
    assert_eq!(metric(&store, "pdp_state_uncertain_total"), 1);
}

#[test]
fn a_slow_link_is_waited_for_within_the_bound() {
    let server = Valkey::start(&[]);
    let (port, ways) = proxy::start(server.port);
    let store = connect(port, |_| ());
    let limit = bucket(1_000);
    ways.delay_ms.store(30, Ordering::SeqCst);
    for _ in 0..5 {
        assert!(one(&store, &limit).admitted);
    }
    ways.delay_ms.store(600, Ordering::SeqCst);
    until("answers come too late", || one(&store, &limit).fault.is_some());
    ways.delay_ms.store(0, Ordering::SeqCst);
    assert_recovers(&store);
}

#[test]
fn a_server_that_restarts_is_used_again_without_a_restart_here() {
    let mut server = Valkey::start(&[]);
    let store = connect(server.port, |_| ());
    assert!(one(&store, &bucket(5)).admitted);
    server.stop();
    until("it is away", || one(&store, &bucket(5)).fault.is_some());
    server.restart();
    assert_recovers(&store);
}

#[test]
fn limits_answer_an_outage_as_they_say_and_local_ones_by_their_share() {
    let server = Valkey::start(&[]);
    let stores: Vec<_> = (0..3).map(|_| connect(server.port, |_| ())).collect();
    until("each knows of three", || stores.iter().all(|it| it.health().nodes == 3));
    let policy_id = policy();
    let limit =
        |name: &str, outage| Limit { name: name.into(), outage, ..hourly(Algorithm::SlidingWindow, 30) };
    let (deny, local, allow) =
        (limit("deny", Outage::Deny), limit("local", Outage::Local), limit("allow", Outage::Allow));
    server.pause();
    let mut counted = 0;
    for store in &stores {
        until("it is away", || {
            Ask::new(&policy_id, &deny, 1).spend(&**store);
            !store.health().available
        });
        assert_unavailable(Ask::new(&policy_id, &deny, 1).spend(&**store));
        let allowed = Ask::new(&policy_id, &allow, 1).spend(&**store);
        assert_eq!((allowed.admitted, allowed.fault), (true, Some(LimitFault::StoreUnavailable)));
        for _ in 0..40 {
            let outcome = Ask::new(&policy_id, &local, 1).spend(&**store);
            assert_eq!((outcome.counted_by, outcome.overshoot), (CountedBy::Local, 30));
            counted += u64::from(outcome.admitted);
        }
        let asks = [Ask::new(&policy_id, &allow, 1), Ask::new(&policy_id, &deny, 1)];
        assert_eq!(admitted(&spend(&**store, None, Uuid::nil(), &asks)), [true, false]);
    }
    assert_eq!(counted, 30);
    server.go_on();
    for store in &stores {
        assert_recovers(store);
        let outcome = Ask::new(&policy_id, &local, 1).spend(&**store);
        assert_eq!(outcome.counted_by, CountedBy::Shared);
    }
}

#[test]
fn a_server_of_a_cluster_that_is_taken_for_one_alone_is_named() {
    let server = Valkey::start(&["--cluster-enabled", "yes"]);
    let store = connect(server.port, |it| {
        it.addresses = vec![Address { host: "127.0.0.1".into(), port: server.port }];
    });
    assert_unavailable(one(&store, &bucket(5)));
    assert!(last_failure(&store).contains("cluster_down"), "{}", last_failure(&store));
}
