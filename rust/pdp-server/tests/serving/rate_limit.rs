//! Envoy's rate limit service while its store answers later.

use std::time::Duration;

use pdp_proto::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use pdp_proto::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use pdp_proto::envoy::service::ratelimit::v3::rate_limit_response::Code as Overall;
use pdp_proto::envoy::service::ratelimit::v3::{RateLimitRequest, RateLimitResponse};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::slow_store::{SlowStore, start};
use crate::support::{MANIFEST, Running};

const EDGE: &str = "domain: edge
limits:
  - {name: user, descriptor: [{key: user}], algorithm: gcra, limit: 9, window: 1h}
";

/// A server whose policy set answers the domain `edge`.
async fn edge() -> (Running, std::sync::Arc<SlowStore>) {
    let (running, store) = start(serde_json::json!({}));
    let entry = "  - {id: edge.limits, kind: rate_limit, engine: limits, source: edge.yaml}\n";
    std::fs::write(running.policies.path().join("edge.yaml"), EDGE).unwrap();
    std::fs::write(running.policies.path().join("manifest.yaml"), format!("{MANIFEST}{entry}")).unwrap();
    running.reload().await;
    (running, store)
}

async fn ask(channel: Channel, user: &str, timeout: Duration) -> Result<RateLimitResponse, Status> {
    let entries = vec![Entry { key: "user".to_owned(), value: user.to_owned() }];
    let descriptors = vec![RateLimitDescriptor { entries, ..RateLimitDescriptor::default() }];
    let message = RateLimitRequest { domain: "edge".to_owned(), descriptors, hits_addend: 0 };
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let path =
        http::uri::PathAndQuery::from_static("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit");
    client.unary(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_request_waits_for_its_store_and_holds_up_no_other() {
    let (running, store) = edge().await;
    let long = Duration::from_secs(30);
    let first = tokio::spawn(ask(running.channel().await, "ada", long));
    store.holds(1).await;
    let second = tokio::spawn(ask(running.channel().await, "bob", long));
    store.holds(2).await;
    store.release("bob");
    assert_eq!(second.await.unwrap().unwrap().overall_code(), Overall::Ok);
    assert!(!first.is_finished());
    store.fail("ada");
    let status = first.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Internal, "a fault is neither OK nor OVER_LIMIT");
    running.assert_lives().await;
}

#[tokio::test]
async fn the_callers_deadline_ends_the_wait() {
    let (running, store) = edge().await;
    let status = ask(running.channel().await, "ada", Duration::from_millis(50)).await.unwrap_err();
    // The client's own timer may be the first to see it.
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    store.holds(1).await;
    running.assert_lives().await;
}
