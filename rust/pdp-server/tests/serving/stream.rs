//! `CheckStream`: answers by id, bad items do not end it, and it is not read faster than its answers are.

use std::time::Duration;

use bytes::Bytes;
use pdp_proto::v1 as proto;
use pdp_proto::v1::check_result::Outcome;
use pdp_proto::v1::{Effect, ErrorReason};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::support::{Raw, Running, access, detail, named, start, start_with};

/// A stream whose requests are sent one by one.
struct Open {
    requests: mpsc::Sender<proto::CheckStreamRequest>,
    answers: tonic::Streaming<proto::CheckStreamResponse>,
}

impl Open {
    async fn on(running: &Running) -> Self {
        let (requests, sent) = mpsc::channel(1);
        let answers =
            running.client().await.check_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
        Self { requests, answers }
    }

    async fn send(&self, request: proto::CheckRequest) {
        self.requests.send(proto::CheckStreamRequest { request: Some(request) }).await.unwrap();
    }

    async fn answer(&mut self) -> proto::CheckResult {
        self.answers.next().await.unwrap().unwrap().result.unwrap()
    }
}

fn reason(result: &proto::CheckResult) -> Option<(ErrorReason, String)> {
    match result.outcome.as_ref()? {
        Outcome::Error(error) => Some((error.reason(), error.field.clone())),
        Outcome::Decision(_) => None,
    }
}

#[tokio::test]
async fn answers_carry_the_id_and_a_bad_item_does_not_end_the_stream() {
    let running = start();
    let mut open = Open::on(&running).await;
    open.send(named("one", access())).await;
    assert_eq!(open.answer().await.request_id, "one");
    open.send(proto::CheckRequest { request_id: "two".to_owned(), ..Default::default() }).await;
    let answer = open.answer().await;
    assert_eq!(answer.request_id, "two");
    assert_eq!(reason(&answer), Some((ErrorReason::FieldRequired, "request.questions".to_owned())));
    open.send(access()).await;
    let answer = open.answer().await;
    assert_eq!(reason(&answer), Some((ErrorReason::FieldRequired, "request.request_id".to_owned())));
    open.send(named("three", access())).await;
    let answer = open.answer().await;
    assert!(matches!(answer.outcome, Some(Outcome::Decision(d)) if d.effect() == Effect::Allow));
    drop(open.requests);
    assert!(open.answers.next().await.is_none(), "the stream ends in OK once the caller is done");
}

#[tokio::test]
async fn item_that_is_no_message_is_answered_with_an_error() {
    let running = start();
    let mut grpc = tonic::client::Grpc::new(running.channel().await);
    grpc.ready().await.unwrap();
    let good = proto::CheckStreamRequest { request: Some(named("good", access())) }.encode_to_vec();
    let requests = tokio_stream::iter([Bytes::from_static(b"\xff\xff"), good.into()]);
    let path = http::uri::PathAndQuery::from_static("/pdp.v1.PolicyDecisionService/CheckStream");
    let answers = grpc.streaming(tonic::Request::new(requests), path, Raw).await.unwrap().into_inner();
    let answers: Vec<_> =
        answers.map(|a| proto::CheckStreamResponse::decode(a.unwrap()).unwrap()).collect().await;
    let results: Vec<proto::CheckResult> = answers.into_iter().map(|answer| answer.result.unwrap()).collect();
    assert_eq!(reason(&results[0]).unwrap().0, ErrorReason::FieldMalformed);
    assert_eq!((results[1].request_id.as_str(), reason(&results[1])), ("good", None));
}

#[tokio::test]
async fn every_request_of_a_long_stream_is_answered_once() {
    let running = start_with(serde_json::json!({"stream_in_flight": 7}));
    let requests =
        (0..5_000).map(|n| proto::CheckStreamRequest { request: Some(named(&format!("r{n}"), access())) });
    let stream =
        running.client().await.check_stream(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = stream.map(|answer| answer.unwrap().result.unwrap()).collect().await;
    assert_eq!(answers.len(), 5_000);
    assert!(answers.iter().enumerate().all(|(n, answer)| answer.request_id == format!("r{n}")));
    assert!(answers.iter().all(|answer| reason(answer).is_none()));
}

/// A caller that sends without reading is stopped by flow control: the server
/// neither buffers its requests nor their answers without bound.
#[tokio::test]
async fn caller_that_does_not_read_is_not_read_from() {
    let running = start();
    let (requests, sent) = mpsc::channel(1);
    let stream = running.client().await.check_stream(ReceiverStream::new(sent)).await.unwrap();
    // About 64 KiB each, so that windows and buffers of a few MiB are soon full.
    let mut big = access();
    big.resource.as_mut().unwrap().labels = (0..64).map(|n| (n.to_string(), "x".repeat(1_000))).collect();
    let mut sent_before_stop = 0;
    let stopped = loop {
        let request =
            proto::CheckStreamRequest { request: Some(named(&format!("r{sent_before_stop}"), big.clone())) };
        match tokio::time::timeout(Duration::from_secs(2), requests.send(request)).await {
            Ok(sent) => sent.unwrap(),
            Err(_) => break true,
        }
        sent_before_stop += 1;
        if sent_before_stop == 20_000 {
            break false;
        }
    };
    assert!(stopped, "1.2 GiB were read without one answer being taken");
    running.assert_lives().await;
    drop(requests);
    let answers: Vec<_> = stream.into_inner().collect().await;
    assert_eq!(answers.len(), sent_before_stop, "what was read is answered once the caller reads");
}

#[tokio::test]
async fn message_past_the_limit_ends_the_stream_with_its_reason() {
    let running = start_with(serde_json::json!({"max_message_bytes": 2048}));
    let mut open = Open::on(&running).await;
    let mut big = named("big", access());
    big.resource.as_mut().unwrap().labels = [("k".to_owned(), "x".repeat(4_096))].into();
    open.send(big).await;
    let status = open.answers.next().await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), detail(&status).reason()),
        (tonic::Code::ResourceExhausted, ErrorReason::TooLarge)
    );
}

#[tokio::test]
async fn stream_ends_at_its_deadline() {
    let running = start();
    let (_requests, sent) = mpsc::channel::<proto::CheckStreamRequest>(1);
    let mut request = tonic::Request::new(ReceiverStream::new(sent));
    request.metadata_mut().insert("grpc-timeout", "20m".parse().unwrap());
    let mut stream = running.client().await.check_stream(request).await.unwrap().into_inner();
    let status = stream.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
}
