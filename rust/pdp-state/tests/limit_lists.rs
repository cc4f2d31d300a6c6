//! Limit lists on counters in memory, from the request to the report.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pdp_engine::limit::{CounterName, LimitStore, encode_key};
use pdp_engine::{
    Decision, Effect, Facts, LimitSpend, LoadOptions, PolicySet, Question, ReasonCode, Reply, Request,
    Worker, WorkerOptions,
};
use pdp_state::{MemoryStore, MemoryStoreOptions};
use uuid::Uuid;

fn set(text: &str) -> Arc<PolicySet> {
    let directory = tempfile::tempdir().unwrap();
    let manifest = "version: 1\npolicies:\n  - {id: l, kind: rate_limit, engine: limits, source: l.yaml}\n";
    fs::write(directory.path().join("manifest.yaml"), manifest).unwrap();
    fs::write(directory.path().join("l.yaml"), text).unwrap();
    Arc::new(PolicySet::load(directory.path(), &LoadOptions::default()).unwrap())
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + Duration::from_millis(millis)
}

fn request(tenant: &str, hits: u64) -> Request {
    let limit = LimitSpend { hits, ..LimitSpend::default() };
    let facts = Facts { tenant: Some(tenant.into()), limit, ..Facts::default() };
    Request { questions: vec![Question::RateLimit], facts, ..Request::default() }
}

fn decide(set: &Arc<PolicySet>, store: &MemoryStore, request: &Request, id: u128, now: u64) -> Decision {
    let mut worker = Worker::new(set.clone(), &WorkerOptions::default());
    worker.decide(request, at(now), Uuid::from_u128(id), store).unwrap()
}

fn remaining(decision: &Decision) -> Vec<u64> {
    decision.limits.iter().map(|status| status.outcome.remaining).collect()
}

fn list(limit: u64) -> String {
    format!(
        "limits:
  - {{name: window, algorithm: sliding_window, limit: {limit}, window: 10s, key: tenant}}
  - {{name: month, algorithm: quota, limit: 100, per: month, zone: Europe/Berlin, key: tenant}}
  - {{name: held, algorithm: concurrency, limit: 2, hold: 60s, key: tenant, cost: '1'}}
"
    )
}

#[test]
fn when_one_limit_is_over_none_is_spent() {
    let (set, store) = (set(&list(10)), MemoryStore::default());
    assert_eq!(remaining(&decide(&set, &store, &request("t", 4), 1, 0)), [6, 96, 1]);
    let over = decide(&set, &store, &request("t", 7), 2, 0);
    assert_eq!((over.effect, remaining(&over)), (Effect::Deny, vec![6, 96, 1]));
    let preview = Request { preview: true, ..request("t", 3) };
    assert_eq!(remaining(&decide(&set, &store, &preview, 3, 0)), [6, 96, 1]);
    assert_eq!(remaining(&decide(&set, &store, &request("t", 6), 4, 0)), [0, 90, 0]);
    assert_eq!(remaining(&decide(&set, &store, &request("other", 1), 5, 0)), [9, 99, 1]);
}

#[test]
fn a_live_change_keeps_counts() {
    let store = MemoryStore::default();
    decide(&set(&list(10)), &store, &request("t", 9), 1, 0);
    let more = decide(&set(&list(30)), &store, &request("t", 1), 2, 0);
    assert_eq!(remaining(&more), [20, 90, 0]);
    let fewer = decide(&set(&list(5)), &store, &request("t", 1), 3, 0);
    assert_eq!((fewer.effect, fewer.limits[0].outcome.remaining), (Effect::Deny, 0));
}

#[test]
fn a_report_gives_back_what_was_not_used_and_what_is_held() {
    let (set, store) = (set(&list(10)), MemoryStore::default());
    let mut later = Request { report_later: true, ..request("t", 8) };
    later.request_id = Some("r".into());
    let first = decide(&set, &store, &later, 1, 0);
    let again = decide(&set, &store, &later, 2, 0);
    assert_eq!(remaining(&again), [2, 92, 1], "a repeated request spends once");
    // Whichever of the two decisions the report comes from.
    for decision in [&again, &first] {
        let settling = set.settling(&decision.usage);
        let replies = settling.settle(Some(3), &store, at(1_000));
        let outcomes: Vec<_> = replies.into_iter().flat_map(Reply::wait).collect();
        let left: Vec<_> = settling.statuses(&outcomes).iter().map(|it| it.outcome.remaining).collect();
        assert_eq!(left, [7, 97, 2]);
    }
    let preview = Request { preview: true, ..request("t", 1) };
    assert_eq!(remaining(&decide(&set, &store, &preview, 3, 1_000)), [7, 97, 2]);
}

#[test]
fn a_counter_is_found_by_its_names_and_reset() {
    let (set, store) = (set(&list(10)), MemoryStore::default());
    decide(&set, &store, &request("t", 4), 1, 0);
    let (policy_id, limit) = ("l".into(), set.limit("l", "window", Some("t")).unwrap());
    let key = encode_key(["t"]).unwrap();
    let counter = CounterName { policy_id: &policy_id, limit: &limit, tenant: Some("t"), key: &key };
    assert_eq!(store.reset(&counter).wait(), Ok(true));
    assert_eq!(remaining(&decide(&set, &store, &request("t", 1), 2, 0)), [9, 95, 0]);
}

#[test]
fn the_edge_of_a_sliding_window_admits_no_more_than_the_limit() {
    let set = set("limits:\n  - {name: w, algorithm: sliding_window, limit: 10, window: 10s, key: tenant}\n");
    let store = MemoryStore::default();
    // Just before an aligned window ends, and then on.
    let admitted: Vec<u64> = (0..2_000)
        .map(|step| 9_900 + step * 10)
        .filter(|now| decide(&set, &store, &request("t", 1), 1, *now).effect == Effect::Allow)
        .collect();
    for from in &admitted {
        let within = admitted.iter().filter(|at| (*from..from + 10_000).contains(*at)).count();
        assert!(within <= 10, "{within} from {from}");
    }
    assert!(admitted.len() >= 20, "what has left makes room: {}", admitted.len());
}

#[test]
fn a_full_store_denies_and_says_so() {
    let set = set(&list(10));
    let store = MemoryStore::new(MemoryStoreOptions { max_keys: 3, ..MemoryStoreOptions::default() });
    assert_eq!(decide(&set, &store, &request("t", 1), 1, 0).effect, Effect::Allow);
    let full = decide(&set, &store, &request("u", 1), 2, 0);
    let codes: Vec<_> = full.verdicts[0].reasons.iter().map(|reason| reason.code).collect();
    assert_eq!(codes, [ReasonCode::LimitNotCounted; 3]);
    assert_eq!(remaining(&decide(&set, &store, &request("t", 1), 3, 0)), [8, 98, 0]);
}
