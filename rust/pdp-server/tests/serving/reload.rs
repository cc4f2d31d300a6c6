//! Reload: whole or not at all.

use std::fs;
use std::time::{Duration, Instant};

use pdp_proto::v1 as proto;
use pdp_proto::v1::Effect;
use pdp_proto::v1::admin_service_client::AdminServiceClient;
use pdp_server::{Server, StartError};
use tonic::Code;

use crate::support::{Running, access, channel, config, effect, policies, start, start_with};

const DENY_ALL: &str = "package notes.access\n\nimport rego.v1\n\nallow if input.action == \"nothing\"\n";
const BROKEN: &str = "package notes.access\n\nimport rego.v1\n\nallow if {\n";

fn write(running: &Running, text: &str) {
    fs::write(running.policies.path().join("access.rego"), text).unwrap();
}

async fn admin(running: &Running) -> AdminServiceClient<tonic::transport::Channel> {
    AdminServiceClient::new(channel(running.server.addresses().admin.unwrap()).await)
}

#[tokio::test]
async fn admin_call_swaps_the_set_in() {
    let running = start();
    let mut admin = admin(&running).await;
    let before = admin.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(before.policies.len(), 5);
    let unchanged = admin.reload(proto::ReloadRequest {}).await.unwrap().into_inner();
    assert_eq!((unchanged.changed, &unchanged.policy_revision), (false, &before.policy_revision));
    write(&running, DENY_ALL);
    let reloaded = admin.reload(proto::ReloadRequest {}).await.unwrap().into_inner();
    assert!(reloaded.changed && reloaded.policy_revision != before.policy_revision);
    for _ in 0..4 {
        let answer = running.client().await.check(access()).await.unwrap().into_inner();
        assert_eq!(effect(&answer), Effect::Deny);
        assert_eq!(answer.decision.unwrap().policy_revision, reloaded.policy_revision);
    }
}

#[tokio::test]
async fn set_with_a_syntax_error_leaves_the_old_one_serving() {
    let running = start();
    let mut admin = admin(&running).await;
    let before = admin.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    write(&running, BROKEN);
    let status = admin.reload(proto::ReloadRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("access.rego:"), "{}", status.message());
    running.assert_lives().await;
    let after = admin.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!(after.policy_revision, before.policy_revision);
    assert_eq!(
        (after.last_failure[0].file.as_str(), after.last_failure[0].code.as_str()),
        ("access.rego", "rego_syntax")
    );
    assert!(after.last_failure[0].row > 0 && after.last_failure[0].column > 0);
    let (ready, body) = running.get("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(ready, "the old set serves");
    assert_eq!((&body["status"], &body["policy_reload"]), (&"ready".into(), &"failed".into()));
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("pdp_policy_reload_total{result=\"failed\"} 1\n"), "{metrics}");
    write(&running, DENY_ALL);
    admin.reload(proto::ReloadRequest {}).await.unwrap();
    let after = admin.get_status(proto::GetStatusRequest {}).await.unwrap().into_inner();
    assert!(after.last_failure.is_empty(), "a reload that worked clears the failure");
}

#[tokio::test]
async fn manifest_with_an_unknown_key_is_refused_by_name() {
    let running = start();
    let path = running.policies.path().join("manifest.yaml");
    let text = fs::read_to_string(&path).unwrap().replace("kind: segmentation", "kynd: segmentation");
    fs::write(path, text).unwrap();
    let status = admin(&running).await.reload(proto::ReloadRequest {}).await.unwrap_err();
    assert!(
        status.message().contains("kynd") && status.message().contains("manifest.yaml"),
        "{}",
        status.message()
    );
    running.assert_lives().await;
}

#[tokio::test]
async fn watch_finds_a_change_by_itself() {
    let running = start_with(serde_json::json!({"watch": true, "watch_interval_ms": 10}));
    running.assert_lives().await;
    write(&running, DENY_ALL);
    let give_up = Instant::now() + Duration::from_secs(20);
    let mut client = running.client().await;
    while effect(client.check(access()).await.unwrap().get_ref()) == Effect::Allow {
        assert!(Instant::now() < give_up, "the change was not found");
        tokio::task::yield_now().await;
    }
}

/// Under load, each answer belongs to one revision: the effect is the one that its revision gives.
#[tokio::test]
async fn no_answer_mixes_revisions() {
    let running = start();
    let old = running.server.reloader().decider().active().set.revision().to_string();
    let callers: Vec<_> = (0..4).map(|_| running.client()).collect();
    let mut tasks = Vec::new();
    for caller in callers {
        let mut client = caller.await;
        tasks.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..300 {
                let decision = client.check(access()).await.unwrap().into_inner().decision.unwrap();
                seen.push((decision.effect(), decision.policy_revision));
            }
            seen
        }));
    }
    let original = fs::read_to_string(running.policies.path().join("access.rego")).unwrap();
    for text in [DENY_ALL, &original, DENY_ALL, &original, DENY_ALL] {
        write(&running, text);
        running.reload().await;
    }
    for task in tasks {
        for (effect, revision) in task.await.unwrap() {
            assert_eq!(effect == Effect::Allow, revision == old);
        }
    }
}

#[test]
fn server_does_not_start_on_a_broken_set() {
    let directory = policies();
    fs::write(directory.path().join("access.rego"), BROKEN).unwrap();
    let error = Server::start(&config(directory.path(), serde_json::json!({}))).err().unwrap();
    assert!(matches!(&error, StartError::Policies(faults) if !faults.is_empty()));
    assert!(error.to_string().starts_with("access.rego:"), "{error}");
}
