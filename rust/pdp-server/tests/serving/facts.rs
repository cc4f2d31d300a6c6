//! Stored facts as operators keep them and policies use them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use pdp_engine::fact::{FactDocument, FactName, FactReading, FactStore};
use pdp_engine::{FactKind, Reply};
use pdp_proto::v1 as proto;
use pdp_proto::v1::admin_service_client::AdminServiceClient;
use pdp_proto::v1::{ErrorReason, ReasonCode};
use pdp_server::{Server, State};
use pdp_state::facts::{FactError, FactKey, FactPut, FactWatch};
use pdp_state::{FactOptions, FactRegistry, MemoryFacts, MemoryStore, MemoryStoreOptions, Metric};
use prost_types::{Struct, Value, value::Kind};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::Channel;

use crate::slow_store::until;
use crate::support::{Running, access, channel, codes, config, detail};

const MANIFEST: &str = r"
version: 1
policies:
  - {id: posture, kind: access, engine: rego, source: posture.rego, stored_facts: {device: {max_age: 15m}}}
";

const POSTURE: &str = r"package posture

import rego.v1

allow if input.facts.device.value.compliant == true
";

type Admin = AdminServiceClient<Channel>;

fn start(facts: Arc<dyn FactRegistry>) -> Running {
    let policies = tempfile::tempdir().unwrap();
    std::fs::write(policies.path().join("manifest.yaml"), MANIFEST).unwrap();
    std::fs::write(policies.path().join("posture.rego"), POSTURE).unwrap();
    let store = Arc::new(MemoryStore::new(MemoryStoreOptions::default()));
    let state = State::new(store, None).unwrap().with_facts(facts);
    let server = Server::start_with(&config(policies.path(), serde_json::json!({})), state).unwrap();
    Running { server: Arc::new(server), policies }
}

fn memory() -> Running {
    start(Arc::new(MemoryFacts::new(&FactOptions::default())))
}

async fn admin(running: &Running) -> Admin {
    Admin::new(channel(running.server.addresses().admin.unwrap()).await)
}

fn name(id: &str) -> proto::FactName {
    proto::FactName { tenant: String::new(), kind: proto::FactKind::Device.into(), id: id.to_owned() }
}

fn fact(id: &str, compliant: bool, version: u64) -> proto::Fact {
    let value = Value { kind: Some(Kind::BoolValue(compliant)) };
    proto::Fact {
        name: Some(name(id)),
        value: Some(Struct { fields: BTreeMap::from([("compliant".to_owned(), value)]) }),
        version,
        source: "mdm".to_owned(),
        observed_at: None,
    }
}

fn put(facts: Vec<proto::Fact>) -> proto::PutFactsRequest {
    proto::PutFactsRequest { facts, ttl: None }
}

fn of_device(id: &str) -> proto::CheckRequest {
    let device = proto::Device { id: id.to_owned(), ..Default::default() };
    proto::CheckRequest { device: Some(device), ..access() }
}

async fn decide(running: &Running, id: &str) -> proto::Decision {
    running.client().await.check(of_device(id)).await.unwrap().into_inner().decision.unwrap()
}

#[tokio::test]
async fn a_decision_follows_what_is_stored_and_says_what_it_used() {
    let running = memory();
    let mut admin = admin(&running).await;
    assert_eq!(codes(&decide(&running, "laptop").await), [ReasonCode::FactMissing]);
    let versions = admin.put_facts(put(vec![fact("laptop", true, 7)])).await.unwrap().into_inner().versions;
    assert_eq!(versions, [7]);
    let decision = decide(&running, "laptop").await;
    assert_eq!(codes(&decision), [ReasonCode::PolicyAllow]);
    let used = decision.facts.iter().find(|used| used.name == "facts.device").unwrap();
    assert_eq!((used.version, used.source.as_str()), (7, "mdm"));
    admin.put_facts(put(vec![fact("laptop", false, 0)])).await.unwrap();
    assert_eq!(codes(&decide(&running, "laptop").await), [ReasonCode::NotAllowed]);
    let mut old = fact("laptop", true, 0);
    old.observed_at = Some((SystemTime::now() - Duration::from_secs(1_000)).into());
    admin.put_facts(put(vec![old])).await.unwrap();
    assert_eq!(codes(&decide(&running, "laptop").await), [ReasonCode::FactTooOld]);
    let names = vec![name("laptop"), name("none")];
    let found = admin.get_facts(proto::GetFactsRequest { names: names.clone() }).await.unwrap().into_inner();
    assert_eq!(found.facts.len(), 1);
    assert_eq!((found.facts[0].version, found.facts[0].name.as_ref()), (9, Some(&names[0])));
    let deleted = admin.delete_facts(proto::DeleteFactsRequest { names }).await.unwrap().into_inner();
    assert_eq!(deleted.deleted, 1);
    assert_eq!(codes(&decide(&running, "laptop").await), [ReasonCode::FactMissing]);
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("pdp_facts_stored 1\n"), "{metrics}");
}

#[tokio::test]
async fn an_older_version_is_refused_by_place_and_nothing_is_stored() {
    let running = memory();
    let mut admin = admin(&running).await;
    admin.put_facts(put(vec![fact("a", true, 5)])).await.unwrap();
    let status = admin.put_facts(put(vec![fact("b", true, 1), fact("a", true, 5)])).await.unwrap_err();
    let detail = detail(&status);
    assert_eq!((status.code(), detail.reason()), (Code::FailedPrecondition, ErrorReason::FieldOutOfRange));
    assert_eq!(detail.field, "facts[1].version");
    assert!(detail.message.contains("stored version 5"), "{}", detail.message);
    let names = vec![name("b")];
    let found = admin.get_facts(proto::GetFactsRequest { names }).await.unwrap().into_inner();
    assert!(found.facts.is_empty());
}

#[tokio::test]
async fn bad_facts_are_refused_with_the_path_of_the_field() {
    let running = memory();
    let mut admin = admin(&running).await;
    let with = |change: &dyn Fn(&mut proto::Fact)| {
        let mut bad = fact("b", true, 0);
        change(&mut bad);
        put(vec![fact("a", true, 0), bad])
    };
    let named = |change: &dyn Fn(&mut proto::FactName)| with(&|it| change(it.name.as_mut().unwrap()));
    let long = |it: &mut proto::Fact| {
        let value = Value { kind: Some(Kind::StringValue("x".repeat(64 << 10))) };
        it.value = Some(Struct { fields: BTreeMap::from([("x".to_owned(), value)]) });
    };
    let infinite = |it: &mut proto::Fact| {
        let value = Value { kind: Some(Kind::NumberValue(f64::INFINITY)) };
        it.value = Some(Struct { fields: BTreeMap::from([("x".to_owned(), value)]) });
    };
    let ttl = |seconds| proto::PutFactsRequest {
        ttl: Some(prost_types::Duration { seconds, nanos: 0 }),
        ..put(vec![fact("a", true, 0)])
    };
    let year_0 = prost_types::Timestamp { seconds: i64::MIN, nanos: 0 };
    for (request, reason, field) in [
        (put(Vec::new()), ErrorReason::FieldRequired, "facts"),
        (put(vec![fact("a", true, 0); 1_001]), ErrorReason::TooLarge, "facts"),
        (with(&|it| it.name = None), ErrorReason::FieldRequired, "facts[1].name"),
        (named(&|it| it.kind = 0), ErrorReason::FieldRequired, "facts[1].name.kind"),
        (named(&|it| it.kind = 99), ErrorReason::EnumUnknown, "facts[1].name.kind"),
        (named(&|it| it.id.clear()), ErrorReason::FieldRequired, "facts[1].name.id"),
        (named(&|it| it.id = "x".repeat(64 << 10)), ErrorReason::TooLarge, "facts[1].name.id"),
        (named(&|it| it.tenant = "x".repeat(257)), ErrorReason::TooLarge, "facts[1].name.tenant"),
        (named(&|it| it.tenant = "other".into()), ErrorReason::FieldOutOfRange, "facts[1].name.tenant"),
        (named(&|it| it.id = "a".into()), ErrorReason::Duplicate, "facts[1].name"),
        (with(&|it| it.value = None), ErrorReason::FieldRequired, "facts[1].value"),
        (with(&long), ErrorReason::TooLarge, "facts[1].value"),
        (with(&infinite), ErrorReason::NumberNotFinite, "facts[1].value.x"),
        (with(&|it| it.version = 1 << 53), ErrorReason::FieldOutOfRange, "facts[1].version"),
        (with(&|it| it.source.clear()), ErrorReason::FieldRequired, "facts[1].source"),
        (with(&|it| it.observed_at = Some(year_0)), ErrorReason::FieldOutOfRange, "facts[1].observed_at"),
        (ttl(-1), ErrorReason::FieldOutOfRange, "ttl"),
        (ttl(0), ErrorReason::FieldOutOfRange, "ttl"),
        (ttl(i64::MAX), ErrorReason::FieldOutOfRange, "ttl"),
    ] {
        let status = admin.put_facts(request).await.unwrap_err();
        let detail = detail(&status);
        assert_eq!((detail.reason(), detail.field.as_str()), (reason, field), "{}", detail.message);
        assert_eq!(status.code(), Code::InvalidArgument);
    }
    let status =
        admin.delete_facts(proto::DeleteFactsRequest { names: vec![name("a"); 2] }).await.unwrap_err();
    assert_eq!(detail(&status).field, "names[1]");
    assert_eq!(codes(&decide(&running, "a").await), [ReasonCode::FactMissing]);
}

#[tokio::test]
async fn a_watcher_is_told_of_what_it_asked_for_and_of_nothing_else() {
    let running = memory();
    let mut admin = admin(&running).await;
    let wanted = proto::WatchFactsRequest {
        tenants: vec![String::new()],
        kinds: vec![proto::FactKind::Device.into()],
    };
    let mut changes = admin.watch_facts(wanted).await.unwrap().into_inner();
    let mut other = fact("alice", true, 0);
    other.name.as_mut().unwrap().kind = proto::FactKind::Subject.into();
    admin.put_facts(put(vec![other])).await.unwrap();
    let mut foreign = fact("laptop", true, 0);
    foreign.name.as_mut().unwrap().tenant = "other".to_owned();
    admin.put_facts(put(vec![foreign])).await.unwrap();
    admin.put_facts(put(vec![fact("laptop", true, 3)])).await.unwrap();
    admin.delete_facts(proto::DeleteFactsRequest { names: vec![name("laptop")] }).await.unwrap();
    for deleted in [false, true] {
        let change = changes.message().await.unwrap().unwrap();
        let fact = change.fact.unwrap();
        assert_eq!((change.deleted, fact.version, fact.name), (deleted, 3, Some(name("laptop"))));
        assert_eq!(fact.value.is_none(), deleted);
    }
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_that_it_lost_changes() {
    let facts = Arc::new(MemoryFacts::new(&FactOptions { watch_lag: 2, ..FactOptions::default() }));
    let running = start(facts.clone());
    let mut changes =
        admin(&running).await.watch_facts(proto::WatchFactsRequest::default()).await.unwrap().into_inner();
    let put = |id: usize| FactPut {
        key: FactKey { tenant: None, kind: FactKind::Device, id: id.to_string().into() },
        value: pdp_policy::Map::default(),
        version: None,
        source: "mdm".into(),
        observed_at: SystemTime::now(),
        ttl: None,
    };
    // More than any buffer on the way holds, faster than anyone reads.
    for start in (0..100_000).step_by(1_000) {
        facts.put((start..start + 1_000).map(put).collect(), SystemTime::now()).wait().unwrap();
    }
    let status = loop {
        match changes.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
}

/// Keeps each reading waiting until it is released.
#[derive(Default)]
struct SlowFacts(Mutex<Vec<oneshot::Sender<FactReading>>>);

impl FactStore for SlowFacts {
    fn read(&self, names: &[FactName<'_>], _: SystemTime) -> Reply<Vec<FactReading>> {
        assert_eq!(names.len(), 1);
        let (sender, told) = oneshot::channel();
        self.0.lock().unwrap().push(sender);
        Reply::waiting(async move { vec![told.await.unwrap_or(FactReading::Unavailable)] })
    }
}

impl FactRegistry for SlowFacts {
    fn put(&self, _: Vec<FactPut>, _: SystemTime) -> Reply<Result<Vec<u64>, FactError>> {
        Reply::Ready(Err(FactError::Unavailable { message: "it is asleep".to_owned(), uncertain: true }))
    }

    fn get(
        &self,
        _: Vec<FactKey>,
        _: SystemTime,
    ) -> Reply<Result<Vec<Option<Arc<FactDocument>>>, FactError>> {
        Reply::Ready(Err(FactError::Unavailable { message: "it is asleep".to_owned(), uncertain: false }))
    }

    fn delete(&self, _: Vec<FactKey>, _: SystemTime) -> Reply<Result<u32, FactError>> {
        Reply::Ready(Err(FactError::Full("not one more".to_owned())))
    }

    fn watch(&self) -> Reply<Result<FactWatch, FactError>> {
        Reply::Ready(Err(FactError::Unavailable { message: "it is asleep".to_owned(), uncertain: false }))
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

#[tokio::test]
async fn checks_wait_for_facts_beside_each_other_and_an_unreadable_one_denies() {
    let facts = Arc::new(SlowFacts::default());
    let running = start(facts.clone());
    let document = FactDocument {
        value: [("compliant".into(), pdp_policy::Value::Bool(true))].into_iter().collect(),
        version: 3,
        source: "mdm".into(),
        observed_at: SystemTime::now(),
    };
    let found = FactReading::Found(Arc::new(document));
    for (reading, code) in
        [(found, ReasonCode::PolicyAllow), (FactReading::Unavailable, ReasonCode::FactUnavailable)]
    {
        let mut client = running.client().await;
        let mut checks = Vec::new();
        for _ in 0..10 {
            let mut client = client.clone();
            checks.push(tokio::spawn(async move { client.check(of_device("laptop")).await }));
        }
        until(|| facts.0.lock().unwrap().len() == 10).await;
        // Meanwhile, what needs no facts is answered.
        let mut nameless = of_device("");
        nameless.device = None;
        let answer = client.check(nameless).await.unwrap().into_inner();
        assert_eq!(codes(&answer.decision.unwrap()), [ReasonCode::FactMissing]);
        for told in facts.0.lock().unwrap().drain(..) {
            told.send(reading.clone()).unwrap();
        }
        for check in checks {
            let decision = check.await.unwrap().unwrap().into_inner().decision.unwrap();
            assert_eq!(codes(&decision), [code]);
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_said_to_be_unavailable() {
    let running = start(Arc::new(SlowFacts::default()));
    let mut admin = admin(&running).await;
    let status = admin.put_facts(put(vec![fact("a", true, 0)])).await.unwrap_err();
    assert_eq!((status.code(), detail(&status).reason()), (Code::Unavailable, ErrorReason::NotReady));
    assert!(status.message().contains("may have happened"), "{status:?}");
    let names = vec![name("a")];
    let status = admin.get_facts(proto::GetFactsRequest { names: names.clone() }).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let status = admin.delete_facts(proto::DeleteFactsRequest { names }).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let status = admin.watch_facts(proto::WatchFactsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}
