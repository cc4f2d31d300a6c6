//! Two decision points on one real Valkey.

use std::time::Duration;

use pdp_proto::v1 as proto;
use pdp_proto::v1::{CountedBy, Effect, ErrorReason, ReasonCode};
use pdp_server::Server;
use serde_json::json;

use crate::slow_store::until;
use crate::support::{Running, codes, config, detail, effect, policies, spend, start_with};
use crate::valkey::Valkey;

fn node(valkey: &Valkey, more: serde_json::Value) -> Running {
    let mut state = json!({"redis_url": valkey.url(), "timeout_ms": 2_000});
    state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    start_with(json!({"threads": 1, "state": state}))
}

fn nodes(running: &Running) -> u32 {
    running.server.reloader().decider().store().health().nodes
}

#[tokio::test]
async fn a_limit_means_the_same_on_both() {
    let valkey = Valkey::start(&[]);
    let (one, two) = (node(&valkey, json!({})), node(&valkey, json!({})));
    for (node, hits, wanted, remaining) in [
        (&one, 2, Effect::Allow, 1),
        (&two, 2, Effect::Deny, 1),
        (&two, 1, Effect::Allow, 0),
        (&one, 1, Effect::Deny, 0),
    ] {
        let answer = node.client().await.check(spend("ada", hits)).await.unwrap().into_inner();
        let status = &answer.decision.as_ref().unwrap().limits[0];
        assert_eq!((effect(&answer), status.remaining), (wanted, remaining));
        assert_eq!(status.counted_by(), CountedBy::Shared);
    }
    until(|| nodes(&one) == 2 && nodes(&two) == 2).await;
    assert!(one.get("/metrics").await.1.contains("pdp_state_available 1\n"));
    assert!(one.get("/readyz").await.1.contains("\"kind\":\"redis\",\"status\":\"available\""));
}

#[tokio::test]
async fn usage_is_reported_to_any_node_with_the_same_secret() {
    let valkey = Valkey::start(&[]);
    let directory = tempfile::tempdir().unwrap();
    let secret = |name: &str, digit: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, digit.repeat(32)).unwrap();
        json!({"key_secret_file": path})
    };
    let (one, two) = (node(&valkey, secret("a", "a")), node(&valkey, secret("same", "a")));
    let stranger = node(&valkey, secret("b", "b"));
    let mut request = spend("ada", 3);
    request.limit.as_mut().unwrap().report_later = true;
    let decision = one.client().await.check(request).await.unwrap().into_inner().decision.unwrap();
    assert_eq!((decision.effect(), decision.limits[0].remaining), (Effect::Allow, 0));
    let report = proto::ReportUsageRequest { usage_token: decision.usage_token, hits: Some(1) };
    let status = stranger.client().await.report_usage(report.clone()).await.unwrap_err();
    assert_eq!(detail(&status).reason(), ErrorReason::FieldMalformed);
    for _ in 0..2 {
        let limits = two.client().await.report_usage(report.clone()).await.unwrap().into_inner().limits;
        assert_eq!(limits[0].remaining, 2, "a second report changes nothing");
    }
    let answer = one.client().await.check(spend("ada", 2)).await.unwrap().into_inner();
    assert_eq!(effect(&answer), Effect::Allow);
}

#[tokio::test]
async fn node_outlives_its_store_and_finds_it_again() {
    let mut valkey = Valkey::start(&[]);
    let running = node(&valkey, json!({"timeout_ms": 200}));
    let mut client = running.client().await;
    assert_eq!(effect(&client.check(spend("ada", 1)).await.unwrap().into_inner()), Effect::Allow);
    valkey.stop();
    let answer = client.check(spend("ada", 1)).await.unwrap().into_inner();
    assert_eq!(codes(&answer.decision.unwrap()), [ReasonCode::LimitStoreUnavailable]);
    running.assert_lives().await;
    let available = || running.server.reloader().decider().store().health().available;
    until(|| !available()).await;
    let (ready, body) = running.get("/readyz").await;
    assert!(ready && body.contains("\"status\":\"unavailable\"") && body.contains("last_failure"), "{body}");
    assert!(running.get("/metrics").await.1.contains("pdp_state_available 0\n"));
    valkey.restart();
    until(available).await;
    assert_eq!(effect(&client.check(spend("ada", 1)).await.unwrap().into_inner()), Effect::Allow);
}

#[tokio::test]
async fn node_starts_without_its_store_and_settings_that_cannot_be_used_stop_it() {
    let policies = policies();
    let absent = json!({"redis_url": "redis://127.0.0.1:1", "timeout_ms": 20, "connect_timeout_ms": 20});
    let server = Server::start(&config(policies.path(), json!({"state": absent}))).unwrap();
    assert!(server.drain(Duration::from_secs(10)));
    let wrong = json!({"redis_url": "redis://ada:hush@h:port"});
    let error = Server::start(&config(policies.path(), json!({"state": wrong}))).err().unwrap().to_string();
    assert!(error.contains("port") && !error.contains("hush"), "{error}");
}
