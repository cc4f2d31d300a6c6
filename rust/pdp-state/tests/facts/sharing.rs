//! Storing, deleting, watching: atomic, ordered, the same on every node.

use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactKind, FactReading, FactStore};
use pdp_state::facts::{FactError, FactKey, FactOptions, FactRegistry, Lost};

use pdp_state::redis::{RedisOptions, Secret};

use crate::valkey::{Cluster, Valkey, eventually, open};
use crate::{get, key, metric, put, read, store, version};

#[test]
fn a_batch_is_stored_whole_or_not_at_all_and_older_versions_are_refused_on_every_node() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    let now = SystemTime::now();
    assert_eq!(one.put(vec![put("a", Some(5), 1), put("b", None, 1)], now).wait(), Ok(vec![5, 1]));
    for node in [&one, &other] {
        let refused = node.put(vec![put("c", None, 2), put("a", Some(5), 2)], now).wait();
        assert_eq!(refused, Err(FactError::OldVersion { index: 1, given: 5, stored: 5 }));
        assert_eq!((version(node, "a"), version(node, "c")), (Some(5), Some(0)));
    }
    assert_eq!(other.put(vec![put("a", None, 2)], now).wait(), Ok(vec![6]));
    eventually("the other node sees it", || version(&one, "a") == Some(6));
    let top = put("t", Some((1 << 53) - 1), 1);
    store(&one, top);
    assert!(matches!(one.put(vec![put("t", None, 1)], now).wait(), Err(FactError::OldVersion { .. })));
}

#[test]
fn a_document_comes_back_as_it_was_stored() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    for (tenant, id) in
        [(None, "x"), (Some("t{}\n\"é"), "a b\n{}\"é\u{1F600}"), (Some("t"), &*"k".repeat(256))]
    {
        let mut fact = put(id, Some(7), 1);
        fact.key = FactKey { tenant: tenant.map(Into::into), kind: FactKind::Subject, id: id.into() };
        fact.source = "s/\"\n".into();
        let (name, value, observed_at) = (fact.key.clone(), fact.value.clone(), fact.observed_at);
        store(&one, fact);
        let FactReading::Found(found) = other.read(&[name.name()], SystemTime::now()).wait().remove(0) else {
            panic!("{name:?}")
        };
        assert_eq!((&found.value, found.version, &*found.source), (&value, 7, "s/\"\n"));
        let lost = observed_at.duration_since(found.observed_at).unwrap();
        assert!(lost < Duration::from_micros(1), "{lost:?}");
        assert_eq!(one.get(vec![name], SystemTime::now()).wait().unwrap()[0], Some(found));
    }
}

#[test]
fn keys_carry_no_names_and_have_the_documented_form() {
    let server = Valkey::start(&[]);
    let node = server.node();
    store(&node, put("laptop-of-alice", None, 1));
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*"])).unwrap();
    let facts: Vec<_> = keys.iter().filter(|key| key.contains(":f:")).collect();
    assert_eq!(facts.len(), 1, "{keys:?}");
    assert!(
        facts[0].starts_with("pdp:1:{")
            && !keys.concat().contains("alice")
            && !keys.concat().contains("shop")
    );
    let mut fields: Vec<String> = redis::from_redis_value(server.command(&["HKEYS", facts[0]])).unwrap();
    fields.sort();
    assert_eq!(fields, ["d", "o", "s", "v"]);
}

#[test]
fn a_deleted_document_does_not_come_back_in_an_older_version() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    let now = SystemTime::now();
    store(&one, put("a", Some(5), 1));
    assert_eq!(version(&other, "a"), Some(5));
    assert_eq!(one.delete(vec![key("a"), key("b")], now).wait(), Ok(1));
    assert_eq!(one.delete(vec![key("a")], now).wait(), Ok(0));
    // The node that deleted it knows at once.
    assert_eq!((version(&one, "a"), get(&one, "a")), (Some(0), None));
    eventually("the other node sees it", || version(&other, "a") == Some(0));
    assert!(matches!(
        other.put(vec![put("a", Some(5), 1)], now).wait(),
        Err(FactError::OldVersion { stored: 5, .. })
    ));
    assert_eq!(store(&other, put("a", Some(6), 1)), 6);
    // What is left of a deletion expires by itself.
    one.delete(vec![key("a")], now).wait().unwrap();
    let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*:f:*"])).unwrap();
    let ttl: i64 = redis::from_redis_value(server.command(&["PTTL", &keys[0]])).unwrap();
    assert!((1..=600_000).contains(&ttl), "{ttl}");
}

#[test]
fn a_document_is_gone_on_every_node_when_its_time_is_over() {
    let server = Valkey::start(&[]);
    let (one, other) = (server.node(), server.node());
    let mut short = put("a", None, 1);
    short.ttl = Some(Duration::from_secs(1));
    let stored = std::time::Instant::now();
    store(&one, short);
    assert_eq!((version(&one, "a"), version(&other, "a")), (Some(1), Some(1)));
    eventually("both see it end", || version(&one, "a") == Some(0) && version(&other, "a") == Some(0));
    let took = stored.elapsed();
    assert!(took > Duration::from_millis(950) && took < Duration::from_millis(2_000), "{took:?}");
}

#[test]
fn bad_documents_are_refused_before_anything_is_sent() {
    let server = Valkey::start(&[]);
    let node = server.node();
    let mut bad = put("b", None, 1);
    bad.key.id = "x".repeat(257).into();
    let refused = node.put(vec![put("a", None, 1), bad], SystemTime::now()).wait();
    assert!(matches!(refused, Err(FactError::Invalid { index: 1, field: "name.id", .. })), "{refused:?}");
    assert_eq!(version(&node, "a"), Some(0));
    let many = (0..1_001).map(|id| put(&id.to_string(), None, 1)).collect();
    assert!(matches!(node.put(many, SystemTime::now()).wait(), Err(FactError::Invalid { .. })));
    let most = (0..1_000).map(|id| put(&id.to_string(), None, 1)).collect();
    assert_eq!(node.put(most, SystemTime::now()).wait().unwrap().len(), 1_000);
}

#[test]
fn a_thousand_concurrent_misses_are_one_fetch() {
    let server = Valkey::start(&[]);
    let node = server.node();
    store(&node, put("a", None, 1));
    let before = server.calls("hmget");
    let replies: Vec<_> = (0..1_000).map(|_| node.read(&[key("a").name()], SystemTime::now())).collect();
    for reply in replies {
        assert!(matches!(reply.wait()[0], FactReading::Found(_)));
    }
    assert_eq!(server.calls("hmget") - before, 1);
    // And from the cache, none; the absence of a document is cached as well.
    assert_eq!(version(&node, "none"), Some(0));
    let before = server.calls("hmget");
    for _ in 0..1_000 {
        assert_eq!((version(&node, "a"), version(&node, "none")), (Some(1), Some(0)));
    }
    assert_eq!(server.calls("hmget"), before);
}

#[test]
fn one_read_of_many_names_is_answered_in_their_order() {
    let server = Valkey::start(&[]);
    let node = server.node();
    for id in 0..50 {
        store(&node, put(&id.to_string(), Some(id + 1), id));
    }
    let reader = server.node();
    let names: Vec<_> = (0..60).rev().map(|id: u64| key(&id.to_string())).collect();
    let borrowed: Vec<_> = names.iter().map(FactKey::name).collect();
    for _ in 0..2 {
        let readings = reader.read(&borrowed, SystemTime::now()).wait();
        for (reading, id) in readings.iter().zip((0..60u64).rev()) {
            match reading {
                FactReading::Found(found) => assert_eq!(found.version, id + 1),
                FactReading::Absent => assert!(id >= 50),
                FactReading::Unavailable => panic!("{id}"),
            }
        }
    }
}

#[test]
fn the_cache_stays_under_its_bytes_and_still_answers() {
    let server = Valkey::start(&[]);
    let bytes = 200_000;
    let node = open(server.options(), &FactOptions { cache_bytes: bytes, ..FactOptions::default() });
    let mut largest = 0.0f64;
    for round in 0..40u64 {
        let puts: Vec<_> = (0..50u64)
            .map(|id| {
                let mut fact = put(&format!("{round}-{id}"), None, id);
                let text = "x".repeat(usize::try_from(id * 37 % 4_000).unwrap());
                fact.value = pdp_state::facts::value_from_json(&serde_json::json!({ "text": text }));
                fact
            })
            .collect();
        let names: Vec<_> = puts.iter().map(|it| it.key.clone()).collect();
        node.put(puts, SystemTime::now()).wait().unwrap();
        let borrowed: Vec<_> = names.iter().map(FactKey::name).collect();
        let readings = node.read(&borrowed, SystemTime::now()).wait();
        assert!(readings.iter().all(|reading| matches!(reading, FactReading::Found(_))));
        largest = largest.max(metric(&node, "pdp_facts_cached_bytes"));
    }
    #[allow(clippy::cast_precision_loss)]
    let most = bytes as f64;
    assert!(largest > most / 2.0 && largest <= most, "{largest}");
}

#[test]
fn watchers_on_another_node_see_each_change_in_the_order_of_versions() {
    let server = Valkey::start(&[]);
    let (writers, watcher) = ([server.node(), server.node()], server.node());
    let mut watch = watcher.watch().wait().unwrap();
    std::thread::scope(|scope| {
        for writer in &writers {
            scope.spawn(move || (0..100).for_each(|_| assert!(store(writer, put("a", None, 1)) > 0)));
        }
    });
    writers[0].delete(vec![key("a")], SystemTime::now()).wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for expected in 1..=200 {
            let change = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap();
            assert_eq!(change.unwrap().version, expected);
        }
        let last =
            tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap().unwrap();
        assert_eq!((last.version, last.document.is_none(), &last.key), (200, true, &key("a")));
    });
}

#[test]
fn a_watcher_is_told_of_a_gap_and_hears_again_after_it() {
    let mut server = Valkey::start(&[]);
    let node = server.node();
    let mut watch = node.watch().wait().unwrap();
    let port = server.port;
    server.end();
    let server = Valkey::start_at(port, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut losses = 0;
        // One when the connection broke, one when changes are heard again.
        while losses < 2 {
            match tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap() {
                Err(Lost) => losses += 1,
                Ok(change) => panic!("{change:?}"),
            }
        }
    });
    let other = server.node();
    store(&other, put("a", None, 1));
    runtime.block_on(async {
        let change = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap();
        assert_eq!(change.unwrap().version, 1);
    });
    assert!(matches!(read(&node, "a"), FactReading::Found(_)));
}

#[test]
fn on_a_cluster_documents_of_every_tenant_are_shared_and_changes_are_seen_in_time() {
    let cluster = Cluster::start();
    let (one, other) = (cluster.node(), cluster.node());
    let now = SystemTime::now();
    let mut watch = other.watch().wait().unwrap();
    let of_tenant = |tenant: usize, version| {
        let puts = (0..5).map(|id| {
            let mut fact = put(&id.to_string(), Some(version), 1);
            fact.key.tenant = Some(format!("tenant-{tenant}").into());
            fact
        });
        puts.collect::<Vec<_>>()
    };
    for tenant in 0..12 {
        assert_eq!(one.put(of_tenant(tenant, 1), now).wait(), Ok(vec![1; 5]));
    }
    // One read of names that lie on all servers.
    let names: Vec<_> = (0..12).map(|tenant| of_tenant(tenant, 1).remove(0).key).collect();
    let borrowed: Vec<_> = names.iter().map(FactKey::name).collect();
    let all = |version| {
        other
            .read(&borrowed, now)
            .wait()
            .iter()
            .all(|reading| matches!(reading, FactReading::Found(found) if found.version == version))
    };
    assert!(all(1));
    let keys = |server: &Valkey| -> usize {
        let keys: Vec<String> = redis::from_redis_value(server.command(&["KEYS", "*:f:*"])).unwrap();
        keys.len()
    };
    assert!(cluster.servers.iter().all(|server| keys(server) > 0), "all lie on one server");
    for tenant in 0..12 {
        one.put(of_tenant(tenant, 2), now).wait().unwrap();
    }
    let stored = std::time::Instant::now();
    eventually("all are seen", || all(2));
    assert!(stored.elapsed() <= crate::MAX_STALE + Duration::from_millis(250), "{:?}", stored.elapsed());
    let refused = other.put(of_tenant(3, 2), now).wait();
    assert!(matches!(refused, Err(FactError::OldVersion { stored: 2, .. })), "{refused:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let heard = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap().unwrap().unwrap()
    });
    assert_eq!(heard.version, 1);
    assert_eq!(one.delete(names[..1].to_vec(), now).wait(), Ok(1));
}

#[test]
fn nodes_without_a_secret_agree_on_names_and_keep_them_after_a_flush() {
    let server = Valkey::start(&[]);
    let node = || open(RedisOptions { key_secret: None, ..server.options() }, &FactOptions::default());
    let (one, other) = (node(), node());
    store(&one, put("a", None, 1));
    assert_eq!(version(&other, "a"), Some(1));
    let keys = || -> Vec<String> { redis::from_redis_value(server.command(&["KEYS", "*:f:*"])).unwrap() };
    let before = keys();
    server.command(&["FLUSHALL"]);
    eventually("gone", || version(&one, "a") == Some(0) && version(&other, "a") == Some(0));
    eventually("agreed again", || server.command(&["EXISTS", "pdp:1:salt"]) == redis::Value::Int(1));
    store(&other, put("a", None, 1));
    assert_eq!(keys(), before);
    eventually("back", || version(&one, "a") == Some(1));
}

#[test]
fn a_user_with_the_documented_rights_is_enough() {
    let server = Valkey::start(&[]);
    let rights = ["-@all", "~pdp:1:*", "&pdp:1:*", "+@connection", "+eval", "+@hash", "+@read", "+@write"];
    let more = ["+publish", "+subscribe", "+client|tracking"];
    let mut command = vec!["ACL", "SETUSER", "pdp", "on", ">secret"];
    command.extend(rights.into_iter().chain(more));
    server.command(&command);
    let node = || {
        let (username, password) = (Some("pdp".to_owned()), Some(Secret::new("secret")));
        open(RedisOptions { username, password, ..server.options() }, &FactOptions::default())
    };
    let (one, other) = (node(), node());
    let _watch = other.watch().wait().unwrap();
    store(&one, put("a", None, 1));
    assert_eq!(version(&other, "a"), Some(1));
    one.delete(vec![key("a")], SystemTime::now()).wait().unwrap();
    eventually("the deletion is seen", || version(&other, "a") == Some(0));
    assert!((metric(&other, "pdp_facts_tracking") - 1.0).abs() < f64::EPSILON);
}
