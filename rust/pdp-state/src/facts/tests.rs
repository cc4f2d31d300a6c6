//! What every home of facts keeps to, in memory.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactKind, FactReading, FactStore};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn key(id: &str) -> FactKey {
    FactKey { tenant: Some("shop".into()), kind: FactKind::Device, id: id.into() }
}

fn put(id: &str, version: Option<u64>, value: i64) -> FactPut {
    let value = value_from_json(&json!({ "n": value }));
    FactPut { key: key(id), value, version, source: "mdm".into(), observed_at: now(), ttl: None }
}

fn read(store: &MemoryFacts, id: &str, at: SystemTime) -> Option<u64> {
    let mut readings = store.read(&[key(id).name()], at).wait();
    match readings.remove(0) {
        FactReading::Found(found) => Some(found.version),
        FactReading::Absent => None,
        FactReading::Unavailable => panic!("memory always answers"),
    }
}

fn store() -> MemoryFacts {
    MemoryFacts::new(&FactOptions::default())
}

#[test]
fn a_batch_is_stored_whole_or_not_at_all() {
    let store = store();
    assert_eq!(store.put(vec![put("a", Some(5), 1), put("b", None, 1)], now()).wait(), Ok(vec![5, 1]));
    let refused = store.put(vec![put("c", None, 2), put("a", Some(5), 2)], now()).wait();
    assert_eq!(refused, Err(FactError::OldVersion { index: 1, given: 5, stored: 5 }));
    assert_eq!((read(&store, "a", now()), read(&store, "c", now())), (Some(5), None));
    assert_eq!(store.put(vec![put("a", None, 2)], now()).wait(), Ok(vec![6]));
}

#[test]
fn a_deleted_document_does_not_come_back_in_an_older_version() {
    let store = store();
    store.put(vec![put("a", Some(5), 1)], now()).wait().unwrap();
    assert_eq!(store.delete(vec![key("a"), key("b")], now()).wait(), Ok(1));
    assert_eq!(store.delete(vec![key("a")], now()).wait(), Ok(0));
    assert_eq!(read(&store, "a", now()), None);
    let refused = store.put(vec![put("a", Some(5), 1)], now()).wait();
    assert_eq!(refused, Err(FactError::OldVersion { index: 0, given: 5, stored: 5 }));
    assert_eq!(store.put(vec![put("a", Some(6), 1)], now()).wait(), Ok(vec![6]));
    store.delete(vec![key("a")], now()).wait().unwrap();
    // Later than that, nobody remembers.
    assert_eq!(store.put(vec![put("a", Some(1), 1)], now() + TOMBSTONE).wait(), Ok(vec![1]));
}

#[test]
fn a_document_is_gone_when_its_time_is_over_and_its_bytes_too() {
    let store = store();
    let mut short = put("a", None, 1);
    short.ttl = Some(Duration::from_secs(10));
    store.put(vec![short], now()).wait().unwrap();
    assert_eq!(read(&store, "a", now() + Duration::from_millis(9_999)), Some(1));
    assert_eq!(read(&store, "a", now() + Duration::from_secs(10)), None);
    store.put(vec![put("b", None, 1)], now() + Duration::from_secs(10)).wait().unwrap();
    assert_eq!(store.metrics()[0].value, 1.0);
    // A put without a time to live keeps what had one.
    let mut short = put("b", None, 1);
    short.ttl = Some(Duration::from_secs(10));
    store.put(vec![short], now()).wait().unwrap();
    store.put(vec![put("b", None, 1)], now()).wait().unwrap();
    assert_eq!(read(&store, "b", now() + Duration::from_secs(60)), Some(3));
}

#[test]
fn bad_documents_are_refused_by_place_and_nothing_is_stored() {
    let store = store();
    let refused = |puts: Vec<FactPut>| match store.put(puts, now()).wait() {
        Err(FactError::Invalid { index, field, .. }) => (index, field),
        other => panic!("{other:?}"),
    };
    let with = |change: fn(&mut FactPut)| {
        let mut bad = put("b", None, 1);
        change(&mut bad);
        vec![put("a", None, 1), bad]
    };
    assert_eq!(refused(Vec::new()), (0, ""));
    assert_eq!(refused(with(|it| it.key.id = "".into())), (1, "name.id"));
    assert_eq!(refused(with(|it| it.key.id = "x".repeat(257).into())), (1, "name.id"));
    assert_eq!(refused(with(|it| it.key.tenant = None)), (1, "name.tenant"));
    assert_eq!(refused(with(|it| it.key.id = "a".into())), (1, "name"));
    assert_eq!(refused(with(|it| it.version = Some(0))), (1, "version"));
    assert_eq!(refused(with(|it| it.version = Some(1 << 53))), (1, "version"));
    assert_eq!(refused(with(|it| it.source = "".into())), (1, "source"));
    assert_eq!(refused(with(|it| it.ttl = Some(Duration::ZERO))), (1, "ttl"));
    let long = |it: &mut FactPut| it.value = value_from_json(&json!({ "x": "y".repeat(64 << 10) }));
    assert_eq!(refused(with(long)), (1, "value"));
    assert_eq!(read(&store, "a", now()), None);
}

#[test]
fn a_full_store_refuses_and_still_lets_documents_change() {
    let store = MemoryFacts::new(&FactOptions { memory_bytes: 1_000, ..FactOptions::default() });
    store.put(vec![put("a", None, 1), put("b", None, 1)], now()).wait().unwrap();
    assert!(matches!(
        store.put(vec![put("c", None, 1), put("d", None, 1)], now()).wait(),
        Err(FactError::Full(_))
    ));
    assert_eq!(store.put(vec![put("a", None, 2)], now()).wait(), Ok(vec![2]));
    store.delete(vec![key("a"), key("b")], now()).wait().unwrap();
    let later = now() + TOMBSTONE;
    assert_eq!(store.put(vec![put("c", None, 1), put("d", None, 1)], later).wait(), Ok(vec![1, 1]));
}

#[tokio::test]
async fn watchers_see_each_change_in_order_and_learn_what_they_lost() {
    let store = MemoryFacts::new(&FactOptions { watch_lag: 4, ..FactOptions::default() });
    let mut watch = store.watch().wait().unwrap();
    store.put(vec![put("a", None, 1)], now()).wait().unwrap();
    store.delete(vec![key("a")], now()).wait().unwrap();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!((first.version, first.document.is_some()), (1, true));
    let second = watch.next().await.unwrap().unwrap();
    assert_eq!((second.version, second.document.is_none()), (1, true));
    for _ in 0..6 {
        store.put(vec![put("b", None, 1)], now()).wait().unwrap();
    }
    assert_eq!(watch.next().await, Some(Err(Lost)));
    assert_eq!(watch.next().await.unwrap().unwrap().version, 3);
    drop(store);
    for _ in 0..3 {
        watch.next().await.unwrap().unwrap();
    }
    assert_eq!(watch.next().await, None);
}

proptest! {
    #[test]
    fn versions_of_a_document_only_rise(given in prop::collection::vec((0..3u8, prop::option::of(1..20u64)), 1..40)) {
        let store = Arc::new(store());
        let mut highest = [0; 3];
        for (which, version) in given {
            let id = which.to_string();
            let seen = &mut highest[usize::from(which)];
            match store.put(vec![put(&id, version, 1)], now()).wait() {
                Ok(stored) => {
                    prop_assert!(stored[0] > *seen);
                    *seen = stored[0];
                }
                Err(FactError::OldVersion { stored, given, .. }) => {
                    prop_assert_eq!(stored, *seen);
                    prop_assert!(given <= stored);
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
            prop_assert_eq!(read(&store, &id, now()), Some(*seen).filter(|it| *it > 0));
        }
    }
}
