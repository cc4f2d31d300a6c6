//! The rate-limit stage: which counters a request comes to, and what becomes of the store's answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a panic is a failed test"
)]

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{
    Algorithm, CountedBy, CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Outage, Scope,
    Settle, Spend, encode_key,
};
use pdp_engine::{
    Decision, Effect, Facts, LimitSpend, LoadOptions, Payload, PolicySet, Question, ReasonCode, Request,
    Subject, Text, UsageFault, Worker, WorkerOptions,
};
use pdp_policy::Map;
use uuid::Uuid;

/// A demand as it reached the store.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    policy: String,
    limit: pdp_engine::limit::Limit,
    tenant: Option<String>,
    key: String,
    hits: u64,
    peek: bool,
}

/// Answers each demand by its limit's name, and remembers the calls.
#[derive(Default)]
struct Store {
    answers: Vec<(&'static str, LimitOutcome)>,
    spends: Mutex<Vec<Vec<Seen>>>,
    settles: Mutex<Vec<(Uuid, Vec<(String, u64, u64)>)>>,
}

impl Store {
    fn answering(name: &'static str, outcome: LimitOutcome) -> Self {
        Self { answers: vec![(name, outcome)], ..Self::default() }
    }

    fn outcome(&self, name: &str) -> LimitOutcome {
        let fine = LimitOutcome { admitted: true, remaining: 9, ..LimitOutcome::default() };
        self.answers.iter().find(|answer| answer.0 == name).map_or(fine, |answer| answer.1)
    }

    fn seen(&self) -> Vec<Vec<Seen>> {
        self.spends.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<Vec<String>> {
        self.seen().iter().map(|call| call.iter().map(|it| it.limit.name.to_string()).collect()).collect()
    }
}

impl LimitStore for Store {
    fn spend(&self, spend: &Spend<'_>) -> Reply<Vec<LimitOutcome>> {
        let seen = |demand: &LimitDemand<'_>| Seen {
            policy: demand.counter.policy_id.to_string(),
            limit: demand.counter.limit.clone(),
            tenant: demand.counter.tenant.map(str::to_owned),
            key: demand.counter.key.to_owned(),
            hits: demand.hits,
            peek: demand.peek,
        };
        self.spends.lock().unwrap().push(spend.demands.iter().map(seen).collect());
        Reply::Ready(spend.demands.iter().map(|it| self.outcome(&it.counter.limit.name)).collect())
    }

    fn settle(&self, settle: &Settle<'_>) -> Reply<Vec<LimitOutcome>> {
        let rows = settle.settlements.iter();
        let rows = rows.map(|it| (it.counter.limit.name.to_string(), it.spent, it.actual)).collect();
        self.settles.lock().unwrap().push((settle.holder, rows));
        Reply::Ready(settle.settlements.iter().map(|it| self.outcome(&it.counter.limit.name)).collect())
    }

    fn reset(&self, _: &CounterName<'_>) -> Reply<Result<bool, LimitFault>> {
        Reply::Ready(Ok(false))
    }
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A policy set of `(id, engine, mode, text)`.
fn set(policies: &[(&str, &str, &str, &str)]) -> Arc<PolicySet> {
    let directory = tempfile::tempdir().unwrap();
    let mut manifest = "version: 1\npolicies:\n".to_owned();
    for (id, engine, more, text) in policies {
        let file = format!("{id}.{}", if *engine == "rego" { "rego" } else { "yaml" });
        manifest += &format!("  - {{id: {id}, kind: rate_limit, engine: {engine}, source: {file}{more}}}\n");
        let text = if *engine == "rego" {
            format!("package {id}\n\nimport rego.v1\n\n{text}\n")
        } else {
            (*text).to_owned()
        };
        fs::write(directory.path().join(file), text).unwrap();
    }
    fs::write(directory.path().join("manifest.yaml"), manifest).unwrap();
    match PolicySet::load(directory.path(), &LoadOptions::default()) {
        Ok(set) => Arc::new(set),
        Err(faults) => panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
    }
}

fn limits(text: &str) -> Arc<PolicySet> {
    set(&[("l", "limits", "", text)])
}

fn request() -> Request {
    let subject = Subject {
        id: "alice".into(),
        kind: None,
        roles: Vec::new(),
        groups: Vec::new(),
        authentication: None,
        attributes: Map::default(),
    };
    let facts = Facts {
        tenant: Some("acme".into()),
        subject: Some(subject),
        payload: Some(Payload { content: vec![b'x'; 321].into(), content_type: None }),
        ..Facts::default()
    };
    Request { questions: vec![Question::RateLimit], facts, ..Request::default() }
}

fn descriptors(domain: &str, sets: &[&[(&str, &str)]]) -> Request {
    let text = |text: &&str| Text::from(*text);
    let set = |set: &&[(&str, &str)]| set.iter().map(|(key, value)| (text(key), text(value))).collect();
    let mut request = request();
    request.facts.limit = LimitSpend {
        domain: Some(domain.into()),
        descriptor_sets: sets.iter().map(set).collect(),
        ..LimitSpend::default()
    };
    request
}

const ID: Uuid = Uuid::from_u128(7);

fn decide(set: &Arc<PolicySet>, request: &Request, store: &Store) -> Decision {
    Worker::new(set.clone(), &WorkerOptions::default()).decide(request, now(), ID, store).unwrap()
}

fn codes(decision: &Decision) -> Vec<ReasonCode> {
    decision.verdicts[0].reasons.iter().map(|reason| reason.code).collect()
}

const FOUR: &str = "limits:
  - {name: tenant, algorithm: fixed_window, limit: 10, window: 1s, key: tenant}
  - {name: subject, algorithm: gcra, limit: 10, window: 1s, key: subject.id}
  - {name: bytes, algorithm: sliding_window, limit: 10000, window: 1s, key: '[subject.id, 5]', cost: payload.size}
  - {name: held, algorithm: concurrency, limit: 3, hold: 30s, key: tenant}
";

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

fn refused() -> LimitOutcome {
    LimitOutcome { retry_after: Some(Duration::from_secs(2)), ..LimitOutcome::default() }
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

const REGO: &str = r#"limits contains {
	"name": "per-subject", "algorithm": "gcra", "limit": 10, "window": "1s", "burst": 3,
	"key": ["s", input.subject.id, 4], "hits": 2, "scope": "estate", "on_outage": "allow",
} if input.subject.id != "mallory"

limits contains {"name": "held", "algorithm": "concurrency", "limit": 3, "hold": "5s", "key": input.tenant}

deny contains {"code": "mallory", "message": "not you"} if input.subject.id == "mallory"
"#;

#[test]
fn rego_returns_limits_and_denials() {
    let set = set(&[("r", "rego", "", REGO)]);
    let store = Store::default();
    let decision = decide(&set, &request(), &store);
    assert_eq!(decision.effect, Effect::Allow);
    let seen = store.seen().concat();
    let gcra = seen.iter().find(|it| &*it.limit.name == "per-subject").unwrap();
    assert_eq!((gcra.hits, gcra.limit.scope, gcra.limit.outage), (2, Scope::Estate, Outage::Allow));
    assert_eq!(gcra.key, encode_key(["s", "alice", "4"]).unwrap());
    assert_eq!(gcra.limit.algorithm, Algorithm::Gcra { burst: 3 });

    let mut mallory = request();
    mallory.facts.subject.as_mut().unwrap().id = "mallory".into();
    let store = Store::default();
    let decision = decide(&set, &mallory, &store);
    assert_eq!(codes(&decision), [ReasonCode::PolicyDeny]);
    assert!(store.seen().concat().iter().all(|it| it.peek));

    // What Rego made, only Rego knows: the usage carries it.
    let decision = decide(&set, &request(), &Store::default());
    let usage = &decision.usage[0];
    assert!(usage.held && usage.definition.is_some());
    assert_eq!(set.settling(&decision.usage).rows().len(), 1);
}

#[test]
fn rego_limits_of_the_wrong_shape_deny_and_count_nothing() {
    let good = r#""name": "a", "algorithm": "gcra", "limit": 10, "window": "1s", "key": "k""#;
    for (body, expected) in [
        (r#"limits := "many""#, "`limits` is not a set"),
        (r#"limits contains "a""#, "not a map"),
        (r#"limits contains {"name": "a", "algorithm": "gcra", "limit": 10, "window": "1s"}"#, "no `key`"),
        (&format!("limits contains {{{good}, \"sauce\": 1}}"), "unknown field `sauce`"),
        (&format!("limits contains {{{good}, \"hits\": 0}}"), "`hits` is 0"),
        (&format!("limits contains {{{good}, \"hits\": -1}}"), "`hits` is -1"),
        (&format!("limits contains {{{good}, \"hits\": 1.5}}"), "1.5"),
        (&format!("limits contains {{{good}, \"counting\": \"leased\", \"lease\": 99}}"), "`lease` is 99"),
        (
            &good
                .replace("\"1s\"", "\"999999d\"")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("\"k\"", "\"k\"}"),
            "must be 1ms to 366 days",
        ),
        (
            &good
                .replace("10", "-10")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("\"k\"", "\"k\"}"),
            "-10",
        ),
        (
            &good
                .replace("\"k\"", "true")
                .replace("\"name\"", "limits contains {\"name\"")
                .replace("true", "true}"),
            "neither text nor a list",
        ),
        (
            &format!("limits contains {{{good}}}\n\nlimits contains {{{}}}", good.replace("10", "11")),
            "stands twice",
        ),
        (
            "limits contains {\"name\": sprintf(\"n%d\", [i]), \"algorithm\": \"gcra\", \"limit\": 1, \"window\": \"1s\", \"key\": \"k\"} if some i in numbers.range(1, 33)",
            "has 33 elements",
        ),
    ] {
        let set = set(&[("r", "rego", "", body), ("l", "limits", "", FOUR)]);
        let store = Store::default();
        let decision = decide(&set, &request(), &store);
        assert_eq!(codes(&decision), [ReasonCode::PolicyOutputInvalid], "{body}");
        let message = &decision.verdicts[0].reasons[0].message;
        assert!(message.contains(expected), "{body}\n{message}");
        assert!(store.seen().concat().iter().all(|it| it.peek), "{body}");
    }
}

#[test]
fn usage_names_what_a_report_may_correct_and_what_is_held() {
    let set = limits(FOUR);
    let names = |decision: &Decision| -> Vec<String> {
        decision.usage.iter().map(|it| it.limit.to_string()).collect()
    };
    assert_eq!(names(&decide(&set, &request(), &Store::default())), ["held"]);
    let mut later = Request { report_later: true, ..request() };
    later.facts.limit.hits = 5;
    let decision = decide(&set, &later, &Store::default());
    // What an expression costs is no estimate of the request's.
    assert_eq!(names(&decision), ["tenant", "subject", "held"]);
    let row = &decision.usage[0];
    assert_eq!((row.hits, row.spent_at, row.holder, row.held), (5, now(), ID, false));
    assert_eq!((row.tenant.as_deref(), &*row.key), (Some("acme"), encode_key(["acme"]).unwrap().as_str()));

    let denied = decide(&set, &later, &Store::answering("bytes", refused()));
    assert!(denied.usage.is_empty(), "none is spent when one is over");
    let first = Uuid::from_u128(1);
    let repeated = LimitOutcome { admitted: true, spent_by: Some(first), ..LimitOutcome::default() };
    let decision = decide(&set, &request(), &Store::answering("held", repeated));
    assert_eq!(decision.usage[0].holder, first, "a repeated request settles what the first one spent");
}

#[test]
fn a_report_settles_against_the_set_that_is_active_now() {
    let later = Request { report_later: true, ..request() };
    let usage = decide(&limits(FOUR), &later, &Store::default()).usage;
    let now_active = limits(
        "limits:
  - {name: subject, algorithm: gcra, limit: 77, window: 1s, key: subject.id}
  - {name: held, algorithm: gcra, limit: 3, window: 30s, key: tenant}
",
    );
    let settling = now_active.settling(&usage);
    let skipped: Vec<_> = settling.skipped().iter().map(|(row, fault)| (&*row.limit, *fault)).collect();
    assert_eq!(skipped, [("tenant", UsageFault::LimitGone), ("held", UsageFault::LimitGone)]);
    let store = Store::default();
    let outcomes: Vec<_> =
        settling.settle(Some(9), &store, now()).into_iter().flat_map(Reply::wait).collect();
    assert_eq!(*store.settles.lock().unwrap(), [(ID, vec![("subject".to_owned(), 1, 9)])]);
    let statuses = settling.statuses(&outcomes);
    assert_eq!((statuses[0].limit, statuses[0].outcome.remaining), (77, 9));

    let same = limits(FOUR);
    let store = Store::default();
    let settling = same.settling(&usage);
    let _ = settling.settle(None, &store, now());
    let rows = [("tenant", 1, 1), ("subject", 1, 1), ("held", 1, 0)].map(|it| (it.0.to_owned(), it.1, it.2));
    assert_eq!(*store.settles.lock().unwrap(), [(ID, rows.to_vec())]);
    let gone = set(&[("other", "limits", "", FOUR)]);
    assert_eq!(gone.settling(&usage).skipped()[0].1, UsageFault::PolicyGone);
}
