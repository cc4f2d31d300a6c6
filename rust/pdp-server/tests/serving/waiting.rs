//! Requests whose store answers later: others go on, nothing is mixed, lost or leaked.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use pdp_proto::v1 as proto;
use pdp_proto::v1::{Effect, ErrorReason, check_result::Outcome};
use pdp_server::{Decider, EngineConfig, State, reload};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::slow_store::{SlowStore, start, until};
use crate::support::{access, detail, effect, named, policies, post, spend};

fn framed(message: &impl Message) -> BytesMut {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn other_requests_of_the_thread_are_answered_meanwhile() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let first = tokio::spawn(async move { client.check(spend("ada", 1)).await });
    store.holds(1).await;
    running.assert_lives().await;
    let mut client = running.client().await;
    let second = tokio::spawn(async move { client.check(spend("bob", 1)).await });
    store.holds(2).await;
    assert!(!first.is_finished() && !second.is_finished());
    store.release("bob");
    assert_eq!(effect(&second.await.unwrap().unwrap().into_inner()), Effect::Allow);
    assert!(!first.is_finished());
    store.release("ada");
    assert_eq!(effect(&first.await.unwrap().unwrap().into_inner()), Effect::Allow);
}

#[tokio::test]
async fn reload_meanwhile_does_not_mix_revisions() {
    let (running, store) = start(serde_json::json!({}));
    let revision = |answer: proto::CheckResponse| answer.decision.unwrap().policy_revision;
    let mut client = running.client().await;
    let old = revision(client.check(access()).await.unwrap().into_inner());
    let mut request = spend("ada", 1);
    request.questions.push(proto::Question::Access.into());
    let questions = request.questions.clone();
    request = proto::CheckRequest { questions, limit: request.limit, ..access() };
    let waiting = tokio::spawn(async move { client.check(request).await });
    store.holds(1).await;
    let none = "package notes.access\n\nimport rego.v1\n\nallow if false\n";
    std::fs::write(running.policies.path().join("access.rego"), none).unwrap();
    running.reload().await;
    let after = running.client().await.check(access()).await.unwrap().into_inner();
    assert_eq!(effect(&after), Effect::Deny);
    assert_ne!(revision(after), old);
    store.release("ada");
    let answer = waiting.await.unwrap().unwrap().into_inner();
    assert_eq!(effect(&answer), Effect::Allow, "the set it began with allows");
    assert_eq!(revision(answer), old);
}

#[tokio::test]
async fn deadline_ends_the_wait() {
    let (running, store) = start(serde_json::json!({}));
    let headers = [("content-type", "application/grpc"), ("grpc-timeout", "50m")];
    let body = framed(&spend("ada", 1)).freeze();
    let path = "/pdp.v1.PolicyDecisionService/Check";
    let (_, found) = post(running.address(), path, &headers, body).await;
    assert_eq!(found["grpc-status"], "4");
    assert_eq!(store.held().len(), 1, "the store was asked");
    let metrics = running.server.reloader().decider().metrics();
    assert_eq!(metrics.errors(ErrorReason::Deadline), 1);
    let items = vec![spend("bob", 1), access()];
    let body = framed(&proto::CheckBatchRequest { items }).freeze();
    let path = "/pdp.v1.PolicyDecisionService/CheckBatch";
    post(running.address(), path, &headers, body).await;
    assert_eq!(metrics.errors(ErrorReason::Deadline), 2, "the item that waited");
    running.assert_lives().await;
}

#[tokio::test]
async fn batch_waits_for_all_at_once_and_keeps_their_order() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let items = vec![
        named("a", spend("ada", 1)),
        named("b", access()),
        named("c", spend("bob", 1)),
        named("d", spend("cyd", 1)),
    ];
    let call = tokio::spawn(async move { client.check_batch(proto::CheckBatchRequest { items }).await });
    store.holds(3).await;
    store.release("cyd");
    store.fail("bob");
    store.release("ada");
    let results = call.await.unwrap().unwrap().into_inner().results;
    let ids: Vec<_> = results.iter().map(|result| result.request_id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c", "d"]);
    let Some(Outcome::Error(error)) = &results[2].outcome else { panic!("{:?}", results[2]) };
    assert_eq!((error.reason(), error.field.as_str()), (ErrorReason::Internal, "items[2]"));
    for at in [0, 1, 3] {
        let Some(Outcome::Decision(decision)) = &results[at].outcome else { panic!("{:?}", results[at]) };
        assert_eq!(decision.effect(), Effect::Allow);
    }
}

#[tokio::test]
async fn batch_bounds_how_many_wait() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let items = (0..300).map(|n| spend(&format!("<{n}>"), 1)).collect();
    let call = tokio::spawn(async move { client.check_batch(proto::CheckBatchRequest { items }).await });
    store.holds(256).await;
    while !call.is_finished() {
        store.held().iter().for_each(|key| store.release(key));
        tokio::task::yield_now().await;
    }
    assert_eq!(call.await.unwrap().unwrap().into_inner().results.len(), 300);
}

#[tokio::test]
async fn stream_answers_as_the_store_does_and_reads_no_more_than_may_wait() {
    let (running, store) = start(serde_json::json!({"stream_in_flight": 2}));
    let (requests, sent) = mpsc::channel(64);
    let mut client = running.client().await;
    let mut answers = client.check_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
    let send = |id: &str, request| {
        let request = Some(named(id, request));
        requests.try_send(proto::CheckStreamRequest { request }).unwrap();
    };
    send("a", spend("ada", 1));
    send("b", access());
    let mut next = async || answers.next().await.unwrap().unwrap().result.unwrap();
    assert_eq!(next().await.request_id, "b", "what waits does not hold it up");
    send("a", access());
    let twice = next().await;
    assert!(
        matches!(&twice.outcome, Some(Outcome::Error(error)) if error.reason() == ErrorReason::Duplicate)
    );
    send("c", spend("bob", 1));
    send("d", spend("cyd", 1));
    store.holds(2).await;
    running.assert_lives().await;
    assert_eq!(store.held().len(), 2, "the third is not read");
    store.release("bob");
    assert_eq!(next().await.request_id, "c");
    store.holds(2).await;
    drop(requests);
    store.release("cyd");
    assert_eq!(next().await.request_id, "d");
    store.release("ada");
    assert_eq!(next().await.request_id, "a");
    assert!(answers.next().await.is_none(), "the stream ends once all is answered");
}

#[tokio::test]
async fn stream_ends_at_its_deadline_whatever_waits() {
    let (running, store) = start(serde_json::json!({}));
    let headers = [("content-type", "application/grpc"), ("grpc-timeout", "50m")];
    let body = framed(&proto::CheckStreamRequest { request: Some(named("a", spend("ada", 1))) }).freeze();
    let path = "/pdp.v1.PolicyDecisionService/CheckStream";
    let (_, found) = post(running.address(), path, &headers, body).await;
    assert_eq!(found["grpc-status"], "4");
    assert_eq!(store.held().len(), 1);
    until(|| in_flight(&running) == 0).await;
}

#[tokio::test]
async fn drain_waits_for_what_waits() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let unary = tokio::spawn(async move { client.check(spend("ada", 1)).await });
    let (requests, sent) = mpsc::channel(4);
    let mut answers =
        running.client().await.check_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
    let request = Some(named("s", spend("bob", 1)));
    requests.send(proto::CheckStreamRequest { request }).await.unwrap();
    store.holds(2).await;
    let server = running.server.clone();
    let drain = tokio::task::spawn_blocking(move || server.drain(Duration::from_secs(30)));
    until(|| tonic_refused(running.address())).await;
    assert!(!drain.is_finished() && !unary.is_finished());
    store.release("ada");
    store.release("bob");
    assert_eq!(effect(&unary.await.unwrap().unwrap().into_inner()), Effect::Allow);
    assert_eq!(answers.next().await.unwrap().unwrap().result.unwrap().request_id, "s");
    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert!(drain.await.unwrap(), "every call was answered");
}

/// Whether nobody accepts connections any more.
fn tonic_refused(address: std::net::SocketAddr) -> bool {
    std::net::TcpStream::connect(address).is_err()
}

#[tokio::test]
async fn fault_of_the_store_costs_one_request() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let faulty = tokio::spawn(async move { client.check(spend("ada", 1)).await });
    let mut client = running.client().await;
    let fine = tokio::spawn(async move { client.check(spend("bob", 1)).await });
    store.holds(2).await;
    store.fail("ada");
    let status = faulty.await.unwrap().unwrap_err();
    assert_eq!((status.code(), detail(&status).reason()), (Code::Internal, ErrorReason::Internal));
    assert!(!status.message().contains("purpose"), "what it was is not told to callers");
    store.release("bob");
    assert_eq!(effect(&fine.await.unwrap().unwrap().into_inner()), Effect::Allow);
    running.assert_lives().await;
    assert!(running.get("/metrics").await.1.contains("pdp_panics_total 1\n"));
}

#[tokio::test]
async fn caller_that_goes_away_leaves_nothing_behind() {
    let (running, store) = start(serde_json::json!({}));
    let mut client = running.client().await;
    let call = tokio::spawn(async move { client.check(spend("ada", 1)).await });
    let (requests, sent) = mpsc::channel(4);
    let answers = running.client().await.check_stream(ReceiverStream::new(sent)).await.unwrap();
    let request = Some(named("s", spend("bob", 1)));
    requests.send(proto::CheckStreamRequest { request }).await.unwrap();
    store.holds(2).await;
    assert_eq!(in_flight(&running), 2);
    call.abort();
    drop((answers, requests));
    until(|| in_flight(&running) == 0).await;
    store.release("ada");
    store.release("bob");
    running.assert_lives().await;
}

fn in_flight(running: &crate::support::Running) -> u64 {
    let text = running.server.reloader().decider().metrics().render(&Default::default());
    let line = text.lines().find(|line| line.starts_with("pdp_in_flight ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn store_that_does_not_answer_leaves_the_node_ready_and_is_seen() {
    let (running, store) = start(serde_json::json!({}));
    let (ready, body) = running.get("/readyz").await;
    assert!(ready, "it answers by what each policy says of an outage");
    let state = serde_json::json!({
        "kind": "redis", "status": "unavailable", "since": "1970-01-01T00:00:00Z",
        "last_failure": "it is asleep", "nodes": 2,
    });
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap()["state"], state);
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("pdp_state_available 0\n") && metrics.contains("pdp_state_nodes 2\n"));
    store.available.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(running.get("/readyz").await.1.contains("\"status\":\"available\""));
}

#[test]
fn embedded_engine_waits_on_the_thread_that_asks() {
    let store = Arc::new(SlowStore::default());
    let directory = policies();
    let config = serde_json::json!({"policies": directory.path()}).to_string();
    let options = EngineConfig::from_json(&config).unwrap().worker_options();
    let state = State::new(store.clone(), None).unwrap();
    let decider = Decider::new(reload::load(directory.path()).unwrap(), options, state);
    std::thread::scope(|scope| {
        let one = scope.spawn(|| decider.check(&spend("ada", 1)));
        let items = vec![spend("bob", 1), spend("cyd", 1)];
        let bytes = proto::CheckBatchRequest { items }.encode_to_vec();
        let decider = &decider;
        let batch = scope.spawn(move || decider.check_batch_encoded(bytes.as_slice()));
        let wait = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        wait.block_on(store.holds(3));
        ["bob", "ada", "cyd"].iter().for_each(|caller| store.release(caller));
        assert_eq!(effect(&one.join().unwrap().unwrap()), Effect::Allow);
        assert_eq!(batch.join().unwrap().unwrap().results.len(), 2);
    });
}
