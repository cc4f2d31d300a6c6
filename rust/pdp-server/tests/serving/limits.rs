//! Limits as operators and callers see them: inspecting, resetting, reporting, metrics.

use pdp_proto::v1 as proto;
use pdp_proto::v1::ErrorReason;
use pdp_proto::v1::admin_service_client::AdminServiceClient;
use tonic::Code;
use tonic::transport::Channel;

use crate::slow_store;
use crate::support::{Running, channel, detail, spend, start};

async fn admin(running: &Running) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(channel(running.server.addresses().admin.unwrap()).await)
}

fn counter(policy_id: &str, limit: &str, key: &[&str]) -> Option<proto::LimitCounter> {
    Some(proto::LimitCounter {
        policy_id: policy_id.to_owned(),
        limit: limit.to_owned(),
        tenant: String::new(),
        key: key.iter().map(|&part| part.to_owned()).collect(),
    })
}

#[tokio::test]
async fn inspecting_says_how_a_limit_stands_and_spends_nothing() {
    let running = start();
    running.client().await.check(spend("ada", 2)).await.unwrap();
    let mut admin = admin(&running).await;
    for (key, remaining) in [("ada", 1), ("ada", 1), ("bob", 3)] {
        let counter = counter("notes.limits", "per-caller", &[key]);
        let answer = admin.inspect_limit(proto::InspectLimitRequest { counter }).await.unwrap().into_inner();
        let status = answer.status.unwrap();
        assert_eq!((status.limit, status.remaining, status.admitted), (3, remaining, true));
        assert_eq!((status.policy_id.as_str(), status.name.as_str()), ("notes.limits", "per-caller"));
    }
}

#[tokio::test]
async fn what_does_not_exist_is_named_beside_what_does() {
    let running = start();
    let mut admin = admin(&running).await;
    for (policy, limit, field, exists) in [
        ("nobody", "per-caller", "counter.policy_id", "`notes.limits`"),
        ("notes.access", "per-caller", "counter.policy_id", "`notes.limits`"),
        ("notes.limits", "per-day", "counter.limit", "`per-caller`"),
    ] {
        let counter = counter(policy, limit, &["ada"]);
        let inspect = proto::InspectLimitRequest { counter: counter.clone() };
        let status = admin.inspect_limit(inspect).await.unwrap_err();
        assert_eq!((status.code(), detail(&status).field.as_str()), (Code::NotFound, field));
        assert!(status.message().contains(exists), "{status:?}");
        let status = admin.reset_limit(proto::ResetLimitRequest { counter }).await.unwrap_err();
        assert_eq!(status.code(), Code::NotFound);
    }
}

#[tokio::test]
async fn key_that_is_none_is_refused() {
    let running = start();
    let mut admin = admin(&running).await;
    let long = "k".repeat(64 << 10);
    let mut foreign = counter("notes.limits", "per-caller", &["ada"]);
    foreign.as_mut().unwrap().tenant = "t".repeat(257);
    for (counter, reason, field) in [
        (None, ErrorReason::FieldRequired, "counter"),
        (counter("notes.limits", "per-caller", &[]), ErrorReason::FieldRequired, "counter.key"),
        (counter("notes.limits", "per-caller", &[&long]), ErrorReason::TooLarge, "counter.key"),
        (foreign, ErrorReason::TooLarge, "counter.tenant"),
    ] {
        let status = admin.reset_limit(proto::ResetLimitRequest { counter }).await.unwrap_err();
        let detail = detail(&status);
        assert_eq!((status.code(), detail.reason()), (Code::InvalidArgument, reason));
        assert_eq!(detail.field, field);
    }
}

#[tokio::test]
async fn resetting_forgets_what_was_spent() {
    let running = start();
    running.client().await.check(spend("ada", 3)).await.unwrap();
    let mut admin = admin(&running).await;
    let counter = counter("notes.limits", "per-caller", &["ada"]);
    for existed in [true, false] {
        let request = proto::ResetLimitRequest { counter: counter.clone() };
        assert_eq!(admin.reset_limit(request).await.unwrap().into_inner().existed, existed);
    }
    let answer = admin.inspect_limit(proto::InspectLimitRequest { counter }).await.unwrap().into_inner();
    assert_eq!(answer.status.unwrap().remaining, 3);
}

#[tokio::test]
async fn reset_without_a_store_is_unavailable() {
    let (running, _store) = slow_store::start(serde_json::json!({}));
    let counter = counter("notes.limits", "per-caller", &["ada"]);
    let mut admin = admin(&running).await;
    let status = admin.reset_limit(proto::ResetLimitRequest { counter }).await.unwrap_err();
    assert_eq!((status.code(), detail(&status).reason()), (Code::Unavailable, ErrorReason::NotReady));
    let status = admin.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    let state = status.state.unwrap();
    assert_eq!((state.kind.as_str(), state.available, state.nodes), ("redis", false, 2));
    assert_eq!(state.last_failure, "it is asleep");
}

#[tokio::test]
async fn status_tells_where_counters_are_kept() {
    let running = start();
    let status = admin(&running).await.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    let state = status.state.unwrap();
    assert_eq!((state.kind.as_str(), state.available, state.nodes), ("memory", true, 1));
}

#[tokio::test]
async fn garbled_usage_token_is_refused() {
    let running = start();
    let request = proto::ReportUsageRequest { usage_token: b"garbled".to_vec(), hits: Some(1) };
    let status = running.client().await.report_usage(request).await.unwrap_err();
    let detail = detail(&status);
    assert_eq!((status.code(), detail.reason()), (Code::InvalidArgument, ErrorReason::FieldMalformed));
    assert_eq!(detail.field, "usage_token");
}

#[tokio::test]
async fn spends_are_counted_by_limit_and_survive_a_reload() {
    let running = start();
    let mut client = running.client().await;
    for hits in [1, 2, 1] {
        client.check(spend("ada", hits)).await.unwrap();
    }
    let line = |result: &str, count: u64| {
        let name = "policy=\"notes.limits\",limit=\"per-caller\"";
        format!("pdp_limit_decisions_total{{{name},result=\"{result}\"}} {count}\n")
    };
    let counted = async |wanted: &[(&str, u64)]| {
        let (_, text) = running.get("/metrics").await;
        for (result, count) in wanted {
            assert!(text.contains(&line(result, *count)), "{text}");
        }
        let name = "{policy=\"notes.limits\",limit=\"per-caller\"}";
        assert!(text.contains(&format!("pdp_limit_overshoot_bound{name} 0\n")), "{text}");
    };
    counted(&[("allowed", 1), ("near", 1), ("denied", 1), ("fault", 0)]).await;
    let policies = running.policies.path();
    let access = policies.join("access.rego");
    let text = std::fs::read_to_string(&access).unwrap();
    std::fs::write(&access, text + "# another revision\n").unwrap();
    running.reload().await;
    for _ in 0..4 {
        running.client().await.check(spend("ada", 1)).await.unwrap();
    }
    counted(&[("allowed", 1), ("near", 1), ("denied", 5), ("fault", 0)]).await;
}
