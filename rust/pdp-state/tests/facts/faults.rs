//! What each fault of the store comes to.

use std::time::{Duration, Instant, SystemTime};

use pdp_engine::fact::{FactReading, FactStore};
use pdp_state::facts::{FactError, FactRegistry};

use crate::valkey::{Valkey, eventually, free_port};
use crate::{MAX_STALE, get, key, put, read, store, version};

/// Reads until nothing is said any more; answers how long something was.
fn silence(node: &dyn FactStore) -> Duration {
    let began = Instant::now();
    let mut last = Duration::ZERO;
    eventually("nothing is said", || match version(node, "a") {
        Some(said) => {
            assert_eq!(said, 1);
            last = began.elapsed();
            false
        }
        None => true,
    });
    last
}

#[test]
fn a_store_that_is_gone_is_noticed_within_a_second_and_again_when_it_is_back() {
    let mut server = Valkey::start(&[]);
    let node = server.node();
    store(&node, put("a", None, 1));
    assert_eq!(version(&node, "a"), Some(1));
    server.end();
    let said = silence(&node);
    assert!(said <= MAX_STALE, "{said:?}");
    // And from then on at once, without waiting.
    let began = Instant::now();
    for _ in 0..100 {
        assert_eq!(read(&node, "a"), FactReading::Unavailable);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let refused = node.put(vec![put("a", None, 1)], SystemTime::now()).wait();
    assert!(matches!(refused, Err(FactError::Unavailable { .. })), "{refused:?}");
    let _server = Valkey::start_at(server.port, &[]);
    eventually("it is back", || version(&node, "a") == Some(0));
    assert_eq!(store(&node, put("a", None, 1)), 1);
}

#[test]
fn a_store_that_is_paused_is_noticed_within_a_second() {
    let server = Valkey::start(&[]);
    let node = server.node();
    store(&node, put("a", None, 1));
    assert_eq!(version(&node, "a"), Some(1));
    server.signal("-STOP");
    let said = silence(&node);
    // Each read waits for 250 ms at most.
    let began = Instant::now();
    assert_eq!(read(&node, "b"), FactReading::Unavailable);
    let waited = began.elapsed();
    server.signal("-CONT");
    assert!(said <= MAX_STALE + Duration::from_millis(50), "{said:?}");
    assert!(waited <= Duration::from_millis(400), "{waited:?}");
    eventually("it is back", || version(&node, "a") == Some(1));
}

#[test]
fn a_change_during_a_broken_connection_is_seen_after_it() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    for change in 1..=20 {
        store(&one, put("a", Some(change), 1));
        let stored = Instant::now();
        eventually("seen", || version(&other, "a") == Some(change));
        assert!(stored.elapsed() < MAX_STALE, "{:?}", stored.elapsed());
        let mut connection = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port))
            .unwrap()
            .get_connection()
            .unwrap();
        let kill = ["CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES"];
        let mut command = redis::cmd(kill[0]);
        kill[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query::<i64>(&mut connection).unwrap();
        eventually("the node writes again", || {
            one.put(vec![put("other", None, 1)], SystemTime::now()).wait().is_ok()
        });
    }
}

#[test]
fn a_flushed_store_has_no_documents_on_any_node() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    store(&one, put("a", None, 1));
    assert_eq!((version(&one, "a"), version(&other, "a")), (Some(1), Some(1)));
    server.command(&["FLUSHALL"]);
    let flushed = Instant::now();
    eventually("gone", || version(&one, "a") == Some(0) && version(&other, "a") == Some(0));
    assert!(flushed.elapsed() < MAX_STALE, "{:?}", flushed.elapsed());
    store(&one, put("a", Some(1), 1));
    eventually("back", || version(&other, "a") == Some(1));
}

#[test]
fn a_store_without_memory_stores_nothing_of_a_batch_and_says_so() {
    let server = Valkey::start(&["--maxmemory", "3mb", "--maxmemory-policy", "noeviction"]);
    let node = server.node();
    store(&node, put("a", None, 1));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = node.put(vec![put("a", None, 2), put("b", None, 2)], SystemTime::now()).wait();
    assert!(matches!(refused, Err(FactError::Full(_))), "{refused:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("it can be asked", || node.get(vec![key("a")], SystemTime::now()).wait().is_ok());
    assert_eq!((get(&node, "a").map(|it| it.version), get(&node, "b")), (Some(1), None));
}

#[test]
fn a_replica_refuses_changes_and_still_tells_documents() {
    let primary = Valkey::start(&[]);
    let node = primary.node();
    store(&node, put("a", None, 1));
    let port = primary.port.to_string();
    let replica = Valkey::start(&["--replicaof", "127.0.0.1", &port]);
    eventually("it replicates", || {
        replica.calls("hset") > 0 || replica.try_command(&["DBSIZE"]).is_ok_and(|n| n != redis::Value::Int(0))
    });
    let reader = replica.node();
    eventually("it tells", || version(&reader, "a") == Some(1));
    let refused = reader.put(vec![put("a", None, 2)], SystemTime::now()).wait();
    assert!(matches!(refused, Err(FactError::Unavailable { uncertain: false, .. })), "{refused:?}");
}

#[test]
fn a_store_that_was_never_there_is_said_to_be_unavailable_in_bounded_time() {
    let mut server = Valkey::start_at(free_port(), &[]);
    let options = server.options();
    server.end();
    let node = crate::valkey::open(options, &pdp_state::facts::FactOptions::default());
    let began = Instant::now();
    assert_eq!(read(&node, "a"), FactReading::Unavailable);
    let refused = node.put(vec![put("a", None, 1)], SystemTime::now()).wait();
    assert!(matches!(refused, Err(FactError::Unavailable { uncertain: false, .. })), "{refused:?}");
    assert!(node.watch().wait().is_err());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_document_is_unavailable_and_not_absent() {
    let server = Valkey::start(&[]);
    let node = server.node();
    store(&node, put("a", None, 1));
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*:f:*"])).unwrap();
    for spoil in [
        vec!["HSET", &keys[0], "d", "{}"],
        vec![
            "HSET",
            &keys[0],
            "d",
            "{\"kind\":\"device\",\"id\":\"other\",\"tenant\":\"shop\",\"value\":{}}",
        ],
        vec!["HSET", &keys[0], "d", "\u{0}"],
    ] {
        server.command(&spoil);
        eventually("it is seen", || read(&node, "a") == FactReading::Unavailable);
    }
    server.command(&["DEL", &keys[0]]);
    server.command(&["SET", &keys[0], "text"]);
    eventually("it is seen", || read(&node, "a") == FactReading::Unavailable);
    assert_eq!(version(&node, "b"), Some(0));
}

#[test]
fn a_store_that_is_paused_from_the_beginning_costs_a_read_its_timeout_and_no_more() {
    let server = Valkey::start(&[]);
    server.signal("-STOP");
    let mut options = server.options();
    options.connect_timeout = Duration::from_secs(3);
    let node = crate::valkey::open(options, &pdp_state::facts::FactOptions::default());
    let began = Instant::now();
    assert_eq!(read(&node, "a"), FactReading::Unavailable);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    server.signal("-CONT");
    eventually("it answers", || version(&node, "a") == Some(0));
}
