//! Policy sets, requests and a store that answers as told.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pdp_engine::Reply;
use pdp_engine::limit::{CounterName, LimitDemand, LimitFault, LimitOutcome, LimitStore, Settle, Spend};
use pdp_engine::{
    Decision, Facts, LimitSpend, LoadOptions, Payload, PolicySet, Question, ReasonCode, Request, Subject,
    Text, Worker, WorkerOptions,
};
use pdp_policy::Map;
use uuid::Uuid;

/// A demand as it reached the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) policy: String,
    pub(crate) limit: pdp_engine::limit::Limit,
    pub(crate) tenant: Option<String>,
    pub(crate) key: String,
    pub(crate) hits: u64,
    pub(crate) peek: bool,
}

/// A settlement as it reached the store: the holder, and each limit with hits spent and actual.
pub(crate) type Settled = (Uuid, Vec<(String, u64, u64)>);

/// Answers each demand by its limit's name, and remembers the calls.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) answers: Vec<(&'static str, LimitOutcome)>,
    pub(crate) spends: Mutex<Vec<Vec<Seen>>>,
    pub(crate) settles: Mutex<Vec<Settled>>,
}

impl Store {
    pub(crate) fn answering(name: &'static str, outcome: LimitOutcome) -> Self {
        Self { answers: vec![(name, outcome)], ..Self::default() }
    }

    pub(crate) fn outcome(&self, name: &str) -> LimitOutcome {
        let fine = LimitOutcome { admitted: true, remaining: 9, ..LimitOutcome::default() };
        self.answers.iter().find(|answer| answer.0 == name).map_or(fine, |answer| answer.1)
    }

    pub(crate) fn seen(&self) -> Vec<Vec<Seen>> {
        self.spends.lock().unwrap().clone()
    }

    pub(crate) fn names(&self) -> Vec<Vec<String>> {
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

pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

/// A policy set of `(id, engine, mode, text)`.
pub(crate) fn set(policies: &[(&str, &str, &str, &str)]) -> Arc<PolicySet> {
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

pub(crate) fn limits(text: &str) -> Arc<PolicySet> {
    set(&[("l", "limits", "", text)])
}

pub(crate) fn request() -> Request {
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

pub(crate) fn descriptors(domain: &str, sets: &[&[(&str, &str)]]) -> Request {
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

pub(crate) const ID: Uuid = Uuid::from_u128(7);

pub(crate) fn decide(set: &Arc<PolicySet>, request: &Request, store: &Store) -> Decision {
    Worker::new(set.clone(), &WorkerOptions::default()).decide(request, now(), ID, store).unwrap()
}

pub(crate) fn codes(decision: &Decision) -> Vec<ReasonCode> {
    decision.verdicts[0].reasons.iter().map(|reason| reason.code).collect()
}

pub(crate) const FOUR: &str = "limits:
  - {name: tenant, algorithm: fixed_window, limit: 10, window: 1s, key: tenant}
  - {name: subject, algorithm: gcra, limit: 10, window: 1s, key: subject.id}
  - {name: bytes, algorithm: sliding_window, limit: 10000, window: 1s, key: '[subject.id, 5]', cost: payload.size}
  - {name: held, algorithm: concurrency, limit: 3, hold: 30s, key: tenant}
";

pub(crate) fn refused() -> LimitOutcome {
    LimitOutcome { retry_after: Some(Duration::from_secs(2)), ..LimitOutcome::default() }
}
