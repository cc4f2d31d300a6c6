//! Limits of ordinary lists: keys, costs, overrides, shadows, and what a store may answer.

use std::time::Duration;

use pdp_engine::limit::{Algorithm, CountedBy, LimitFault, LimitOutcome, encode_key};
use pdp_engine::{Effect, ReasonCode, Request};

use crate::support::*;

#[test]
fn all_limits_of_a_request_are_one_call() {
    let store = Store::default();
    let decision = decide(&limits(FOUR), &request(), &store);
    assert_eq!((decision.effect, codes(&decision)), (Effect::Allow, vec![ReasonCode::WithinLimit]));
    let seen = store.seen();
    assert_eq!(seen.len(), 1);
    let hits: Vec<u64> = seen[0].iter().map(|it| it.hits).collect();
    assert_eq!(hits, [1, 1, 321, 1]);
    assert_eq!(seen[0][2].key, encode_key(["alice", "5"]).unwrap());
    assert!(seen[0].iter().all(|it| !it.peek && it.tenant.as_deref() == Some("acme")));
}

#[test]
fn a_preview_only_reads() {
    let store = Store::default();
    let request = Request { preview: true, report_later: true, ..request() };
    let decision = decide(&limits(FOUR), &request, &store);
    assert_eq!((decision.effect, decision.limits.len()), (Effect::Allow, 4));
    assert!(store.seen().concat().iter().all(|it| it.peek));
    assert!(decision.usage.is_empty(), "nothing was spent");
}

#[test]
fn a_cost_that_is_no_number_of_hits_denies_and_counts_nothing() {
    for cost in [
        "0",
        "-5",
        "1000000001",
        "9223372036854775807",
        "1.5",
        "2.0",
        "subject.id",
        "payload.size / 0",
        "limit.hits - 1",
    ] {
        let text = format!(
            "limits:\n  - {{name: a, algorithm: gcra, limit: 10, window: 1s, key: tenant}}\n  - {{name: b, algorithm: gcra, limit: 10, window: 1s, key: tenant, cost: '{cost}'}}\n"
        );
        let store = Store::default();
        let decision = decide(&limits(&text), &request(), &store);
        assert_eq!(codes(&decision), [ReasonCode::LimitCostInvalid], "{cost}");
        assert!(store.seen().concat().iter().all(|it| it.peek), "{cost}");
    }
}

#[test]
fn keys_of_any_text_stay_apart_and_long_ones_are_refused() {
    let set = limits("limits:\n  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: subject.id}\n");
    for (id, valid) in
        [("{tag}x", true), ("a\nb\r\n", true), (&"k".repeat(4_000), true), (&"k".repeat(64 << 10), false)]
    {
        let mut request = request();
        request.facts.subject.as_mut().unwrap().id = id.into();
        let store = Store::default();
        let decision = decide(&set, &request, &store);
        if valid {
            assert_eq!(decision.effect, Effect::Allow);
            assert_eq!(store.seen()[0][0].key, encode_key([id]).unwrap());
        } else {
            assert_eq!(codes(&decision), [ReasonCode::LimitKeyMissing]);
            assert!(store.seen().is_empty());
        }
    }
}

#[test]
fn a_tenant_has_the_limit_of_its_override_on_the_same_counter() {
    let set = limits(
        "limits:\n  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: tenant, overrides: {acme: {limit: 99, burst: 3}}}\n",
    );
    let store = Store::default();
    let decision = decide(&set, &request(), &store);
    assert_eq!((decision.limits[0].limit, store.seen()[0][0].limit.limit), (99, 99));
    let limit = set.limit("l", "a", Some("acme")).unwrap();
    assert_eq!((limit.limit, limit.algorithm), (99, Algorithm::Gcra { burst: 3 }));
    assert_eq!(set.limit("l", "a", Some("other")).unwrap().limit, 10);
    assert_eq!(set.limit("l", "a", None).unwrap().name, limit.name);
    assert!(set.limit("l", "b", None).is_none() && set.limit("m", "a", None).is_none());
}

#[test]
fn each_failure_of_the_store_has_its_own_answer() {
    let fault = |fault, admitted| LimitOutcome { fault: Some(fault), admitted, ..LimitOutcome::default() };
    let text = "limits:\n  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: tenant}\n";
    for (outcome, effect, expected) in [
        (fault(LimitFault::StoreFull, false), Effect::Deny, vec![ReasonCode::LimitNotCounted]),
        (fault(LimitFault::InvalidLimit, false), Effect::Deny, vec![ReasonCode::LimitNotCounted]),
        (fault(LimitFault::StoreFull, true), Effect::Deny, vec![ReasonCode::LimitNotCounted]),
        (fault(LimitFault::StoreUnavailable, false), Effect::Deny, vec![ReasonCode::LimitStoreUnavailable]),
        (fault(LimitFault::StoreUnavailable, true), Effect::Allow, vec![ReasonCode::FailOpen]),
        (
            LimitOutcome { admitted: true, counted_by: CountedBy::Local, ..LimitOutcome::default() },
            Effect::Allow,
            vec![ReasonCode::WithinLimit, ReasonCode::LimitCountedLocally],
        ),
        (
            LimitOutcome { counted_by: CountedBy::Local, ..LimitOutcome::default() },
            Effect::Deny,
            vec![ReasonCode::RateLimited, ReasonCode::LimitCountedLocally],
        ),
    ] {
        let decision = decide(&limits(text), &request(), &Store::answering("a", outcome));
        assert_eq!((decision.effect, codes(&decision)), (effect, expected), "{outcome:?}");
        assert_eq!(decision.verdicts[0].reasons.last().unwrap().detail_code.as_deref(), Some("a"));
        assert_eq!(decision.limits[0].outcome, outcome, "the status says what the store said");
    }
}

#[test]
fn a_limit_that_shadows_counts_by_itself_and_denies_nothing() {
    let set = limits(
        "limits:
  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: tenant}
  - {name: s, algorithm: gcra, limit: 1, window: 1s, key: tenant, shadow: true}
  - {name: broken, algorithm: gcra, limit: 1, window: 1s, key: function.id, shadow: true}
"
        .replace("function.id", "workload.id")
        .as_str(),
    );
    let store = Store::answering("s", refused());
    let decision = decide(&set, &request(), &store);
    assert_eq!(codes(&decision), [ReasonCode::WithinLimit]);
    assert_eq!(store.names(), [vec!["a"], vec!["s"]], "each is a call of its own");
    let status = decision.limits.iter().find(|it| &*it.name == "s").unwrap();
    assert!(status.shadow && status.outcome.admitted);
    assert_eq!(status.outcome.retry_after, Some(Duration::from_secs(2)), "its real state");
    let said: Vec<_> = decision.shadow.iter().map(|it| (it.reasons[0].code, it.would_change)).collect();
    assert_eq!(said, [(ReasonCode::LimitKeyMissing, true), (ReasonCode::RateLimited, true)]);
}

#[test]
fn a_limit_without_a_bound_takes_others_away() {
    let set = limits(
        "limits:
  - {name: a, algorithm: gcra, limit: 10, window: 1s, key: tenant}
  - {name: b, algorithm: gcra, limit: 10, window: 1s, key: tenant}
  - {name: staff, unlimited: true, when: 'subject.id == \"alice\"', replaces: [a]}
  - {name: trial, algorithm: gcra, limit: 10, window: 1s, key: tenant, shadow: true, replaces: [b]}
",
    );
    let store = Store::default();
    let decision = decide(&set, &request(), &store);
    assert_eq!(store.names(), [vec!["b"], vec!["trial"]], "what shadows takes nothing away that decides");
    let staff = decision.limits.iter().find(|it| &*it.name == "staff").unwrap();
    assert!(staff.unlimited && staff.outcome.admitted);
    let mut other = request();
    other.facts.subject.as_mut().unwrap().id = "bob".into();
    let store = Store::default();
    decide(&set, &other, &store);
    assert_eq!(store.names(), [vec!["a", "b"], vec!["trial"]]);
}
