//! Draining: what is in progress is answered, nothing new is taken.

use std::time::Duration;

use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::support::{Silent, access, detail, named, post_body, start};

#[tokio::test]
async fn stream_gets_its_answers_then_unavailable() {
    let running = start();
    let (requests, sent) = mpsc::channel(64);
    let mut answers =
        running.client().await.check_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
    for n in 0..32 {
        let request = Some(named(&format!("r{n}"), access()));
        requests.send(proto::CheckStreamRequest { request }).await.unwrap();
    }
    let first = answers.next().await.unwrap().unwrap().result.unwrap();
    assert_eq!(first.request_id, "r0");
    let reader = tokio::spawn(async move {
        let mut count = 1;
        loop {
            match answers.next().await.unwrap() {
                Ok(_) => count += 1,
                Err(status) => return (count, status),
            }
        }
    });
    let clean = running.drain().await;
    let (answered, status) = reader.await.unwrap();
    assert!(clean, "an open stream does not hold the drain up");
    assert_eq!((status.code(), detail(&status).reason()), (Code::Unavailable, ErrorReason::NotReady));
    assert!(answered >= 1);
}

#[tokio::test]
async fn calls_under_load_are_answered_or_never_sent() {
    let running = start();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut client = running.client().await;
        tasks.push(tokio::spawn(async move {
            let mut answered = 0;
            loop {
                match client.check(access()).await {
                    Ok(_) => answered += 1,
                    Err(status) => return (answered, status),
                }
            }
        }));
    }
    let mut probe = running.client().await;
    for _ in 0..20 {
        probe.check(access()).await.unwrap();
    }
    drop(probe);
    assert!(running.drain().await);
    for task in tasks {
        let (answered, status) = task.await.unwrap();
        // The client's own refusal to send on a connection that is going away carries no answer of the server.
        assert!(answered > 0);
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    }
}

#[tokio::test]
async fn health_watch_hears_of_it_and_does_not_hold_it_up() {
    let running = start();
    let request = HealthCheckRequest { service: "pdp.v1.PolicyDecisionService".to_owned() };
    let mut health = HealthClient::new(running.channel().await);
    let now = health.check(request.clone()).await.unwrap().into_inner();
    assert_eq!(now.status(), ServingStatus::Serving);
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let reader = tokio::spawn(async move { watch.next().await.unwrap().unwrap().status() });
    assert!(running.drain().await);
    assert_eq!(reader.await.unwrap(), ServingStatus::NotServing);
}

#[tokio::test]
async fn after_it_the_ports_are_free_and_waiters_are_told() {
    let running = start();
    let address = running.address();
    assert!(!running.server.wait(Some(Duration::ZERO)));
    assert!(running.drain().await);
    assert!(running.server.wait(None));
    assert!(running.drain().await, "a second drain is nothing");
    std::net::TcpListener::bind(address).unwrap();
}

#[tokio::test]
async fn call_that_outlasts_the_timeout_is_reported() {
    let running = start();
    let headers = [("content-type", "application/grpc")];
    let address = running.address();
    let call = tokio::spawn(async move {
        post_body(address, "/pdp.v1.PolicyDecisionService/Check", &headers, Silent).await
    });
    while !running.get("/metrics").await.1.contains("pdp_in_flight 1\n") {
        tokio::task::yield_now().await;
    }
    let server = running.server.clone();
    let clean = tokio::task::spawn_blocking(move || server.drain(Duration::from_millis(20))).await.unwrap();
    assert!(!clean);
    assert!(call.await.is_err(), "the call was broken off");
}
