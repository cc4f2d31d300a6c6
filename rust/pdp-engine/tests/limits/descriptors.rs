//! Limits of Envoy's rate limit service.

use std::time::Duration;

use pdp_engine::limit::{Algorithm, encode_key};
use pdp_engine::{Effect, ReasonCode, SpendLimit};

use crate::support::*;

const EDGE: &str = "domain: edge
limits:
  - {name: user, algorithm: fixed_window, limit: 5, window: 60s, descriptor: [{key: user}], detailed_metric: true}
  - {name: bob, unlimited: true, descriptor: [{key: user, value: bob}]}
  - {name: login, algorithm: fixed_window, limit: 2, window: 60s, descriptor: [{key: user}, {key: path, value: /login}], replaces: [user]}
  - {name: files, algorithm: fixed_window, limit: 9, window: 60s, share_threshold: true, descriptor: [{key: path, value: '/files/*'}]}
  - {name: each, algorithm: fixed_window, limit: 9, window: 60s, descriptor: [{key: path, value: '/each/*'}]}
";

#[test]
fn descriptors_are_answered_one_by_one() {
    let set = limits(EDGE);
    let request = descriptors(
        "edge",
        &[
            &[("user", "alice")],
            &[("user", "bob")],
            &[("nobody", "knows")],
            &[("path", "/files/a")],
            &[("path", "/each/a")],
        ],
    );
    let store = Store::answering("files", refused());
    let decision = decide(&set, &request, &store);
    assert_eq!((decision.effect, codes(&decision)), (Effect::Deny, vec![ReasonCode::RateLimited]));
    let mut statuses: Vec<_> = decision
        .limits
        .iter()
        .map(|it| (it.descriptor.unwrap(), &*it.name, it.outcome.admitted, it.unlimited))
        .collect();
    statuses.sort_unstable();
    assert_eq!(
        statuses,
        [
            (0, "user", true, false),
            (1, "bob", true, true),
            (3, "files", false, false),
            (4, "each", true, false)
        ]
    );
    assert_eq!(decision.limits[0].detail.as_deref(), Some("user_alice"));
    assert_eq!(decision.limits[0].window, Duration::from_secs(60));
    let seen = store.seen();
    assert_eq!(seen.len(), 1, "all or none");
    let keys: Vec<_> = seen[0].iter().map(|it| it.key.clone()).collect();
    let key = |parts: &[&str]| encode_key(parts.iter().copied()).unwrap();
    assert_eq!(keys, [key(&["user", "alice"]), key(&["path", "/files/*"]), key(&["path", "/each/a"])]);
}

#[test]
fn a_descriptor_may_replace_another_ones_limit() {
    let request = descriptors("edge", &[&[("user", "eve")], &[("user", "eve"), ("path", "/login")]]);
    let store = Store::default();
    let decision = decide(&limits(EDGE), &request, &store);
    assert_eq!(store.names(), [vec!["login"]]);
    assert_eq!(decision.limits[0].descriptor, Some(1));
}

#[test]
fn hits_of_single_descriptors_come_before_the_requests_own() {
    let mut request = descriptors("edge", &[&[("user", "a")], &[("user", "b")], &[("user", "c")]]);
    request.facts.limit.hits = 3;
    request.facts.limit.descriptor_hits = vec![Some(7), Some(0)];
    let store = Store::default();
    decide(&limits(EDGE), &request, &store);
    let hits: Vec<_> = store.seen()[0].iter().map(|it| (it.hits, it.peek)).collect();
    assert_eq!(hits, [(7, false), (0, true), (3, false)]);
}

#[test]
fn lists_with_a_domain_and_without_keep_to_their_own_requests() {
    let set = set(&[("plain", "limits", "", FOUR), ("edge", "limits", "", EDGE)]);
    let store = Store::default();
    decide(&set, &request(), &store);
    assert!(store.seen().concat().iter().all(|it| it.policy == "plain"));
    let store = Store::default();
    let decision = decide(&set, &descriptors("edge", &[&[("user", "a")]]), &store);
    assert_eq!((decision.effect, store.seen().concat()[0].policy.as_str()), (Effect::Allow, "edge"));
    for request in [descriptors("unknown", &[&[("user", "a")]]), descriptors("edge", &[&[("no", "a")]])] {
        let store = Store::default();
        let decision = decide(&set, &request, &store);
        assert_eq!((decision.effect, codes(&decision)), (Effect::Allow, vec![ReasonCode::WithinLimit]));
        assert!(store.seen().is_empty() && decision.limits.is_empty());
    }
}

#[test]
fn a_shadow_policy_of_a_domain_hides_nothing_of_the_one_that_decides() {
    let shadow =
        "domain: edge\nlimits:\n  - {name: w, unlimited: true, descriptor: [{key: user, value: alice}]}\n";
    let set = set(&[("edge", "limits", "", EDGE), ("trial", "limits", ", mode: shadow", shadow)]);
    let store = Store::default();
    decide(&set, &descriptors("edge", &[&[("user", "alice")]]), &store);
    assert_eq!(store.names(), [vec!["user"]]);
}

#[test]
fn a_limit_that_a_descriptor_brings_along_stands_in_place_of_the_configured_one() {
    let brings = |limit| Some(SpendLimit { limit, window: Duration::from_secs(3_600) });
    let mut request = descriptors("edge", &[&[("user", "bob")], &[("user", "a")], &[("no", "b")]]);
    request.facts.limit.descriptor_limits = vec![brings(7), None, brings(8)];
    request.facts.limit.descriptor_hits = vec![Some(2)];
    let store = Store::default();
    let set = set(&[("first", "limits", "", EDGE), ("second", "limits", "", EDGE)]);
    let decision = decide(&set, &request, &store);
    let brought: Vec<_> =
        store.seen().concat().into_iter().filter(|it| &*it.limit.name == "override").collect();
    let found: Vec<_> = brought.iter().map(|it| (it.limit.limit, it.hits, it.policy.as_str())).collect();
    assert_eq!(found, [(7, 2, "first"), (8, 1, "first")], "once, whatever policies share the domain");
    assert!(brought.iter().all(|it| it.limit.algorithm == Algorithm::FixedWindow));
    assert_eq!(brought[0].key, encode_key(["user", "bob"]).unwrap());
    let mut sets: Vec<_> = decision.limits.iter().map(|it| it.descriptor.unwrap()).collect();
    sets.sort_unstable();
    assert_eq!(sets, [0, 1, 1, 2]);
}

#[test]
fn a_limit_of_no_hits_that_a_descriptor_brings_along_is_one_that_each_request_exceeds() {
    let mut request = descriptors("edge", &[&[("user", "a")]]);
    let none = SpendLimit { limit: 0, window: Duration::from_secs(1) };
    request.facts.limit.descriptor_limits = vec![Some(none)];
    let store = Store::default();
    decide(&limits(EDGE), &request, &store);
    let seen = store.seen().concat();
    assert_eq!((seen[0].limit.limit, seen[0].hits, seen[0].peek), (1, 2, false));
}
