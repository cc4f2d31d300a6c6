//! What operators meet: start errors, probes, metrics, reflection, limits on connections and calls.

use std::fs;

use pdp_proto::v1 as proto;
use pdp_proto::v1::{Effect, ErrorReason};
use pdp_server::{Server, StartError};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{access, channel, config, detail, effect, policies, start, start_with};

#[test]
fn port_in_use_is_one_line_naming_key_and_address() {
    let running = start();
    let taken = running.address().to_string();
    let again = config(running.policies.path(), serde_json::json!({"listen": taken}));
    let error = Server::start(&again).err().unwrap();
    assert!(matches!(error, StartError::Bind(_)));
    let text = error.to_string();
    assert!(text.contains(&taken) && text.contains("`listen`") && text.lines().count() == 1, "{text}");
}

#[test]
fn missing_policy_directory_is_a_start_error() {
    let directory = policies();
    fs::remove_file(directory.path().join("manifest.yaml")).unwrap();
    let error = Server::start(&config(directory.path(), serde_json::json!({}))).err().unwrap();
    assert!(
        matches!(error, StartError::Policies(_)) && error.to_string().contains("manifest.yaml"),
        "{error}"
    );
}

#[tokio::test]
async fn probes_and_metrics_tell_what_happened() {
    let running = start();
    running.assert_lives().await;
    running.client().await.check(proto::CheckRequest::default()).await.unwrap_err();
    assert_eq!(running.get("/livez").await, (true, "ok\n".to_owned()));
    let (ready, body) = running.get("/readyz").await;
    assert!(
        ready && body.contains(r#""status":"ready""#) && body.contains(r#""policy_reload":"ok""#),
        "{body}"
    );
    let (_, metrics) = running.get("/metrics").await;
    let revision = running.server.reloader().decider().active().set.revision().clone();
    for line in [
        "pdp_decisions_total{question=\"access\",effect=\"allow\"} 1",
        "pdp_errors_total{reason=\"field_required\"} 1",
        "pdp_decision_seconds_count 1",
        "pdp_in_flight 0",
        "pdp_panics_total 0",
        &format!("pdp_policy_revision_info{{revision=\"{revision}\"}} 1"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn plaintext_off_loopback_is_said_in_readiness() {
    let more = serde_json::json!({"listen": "0.0.0.0:0", "allow_plaintext": true});
    let running = start_with(more);
    let (_, body) = running.get("/readyz").await;
    assert!(body.contains(r#""plaintext":["listen 0.0.0.0:"#), "{body}");
}

async fn reflect(
    address: std::net::SocketAddr,
    request: MessageRequest,
) -> Result<ServerReflectionResponse, tonic::Status> {
    let mut client = ServerReflectionClient::new(channel(address).await);
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await?;
    answers.into_inner().next().await.unwrap()
}

#[tokio::test]
async fn reflection_lists_the_public_service_and_hides_the_admin_one() {
    let running = start();
    let listed = reflect(running.address(), MessageRequest::ListServices(String::new())).await.unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = listed.message_response else {
        panic!("{listed:?}")
    };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"pdp.v1.PolicyDecisionService") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.to_owned());
    let found = reflect(running.address(), symbol("pdp.v1.PolicyDecisionService")).await.unwrap();
    assert!(matches!(found.message_response, Some(MessageResponse::FileDescriptorResponse(_))));
    let hidden = reflect(running.address(), symbol("pdp.v1.AdminService")).await;
    assert_eq!(hidden.unwrap_err().code(), Code::NotFound);
    let admin = running.server.addresses().admin.unwrap();
    assert!(reflect(admin, symbol("pdp.v1.AdminService")).await.is_ok());
}

#[tokio::test]
async fn admin_service_is_not_on_the_public_listener() {
    let running = start();
    let mut admin = proto::admin_service_client::AdminServiceClient::new(running.channel().await);
    let status = admin.reload(proto::ReloadRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}

#[tokio::test]
async fn call_past_the_limit_is_overloaded_and_the_next_is_answered() {
    let running = start_with(serde_json::json!({"max_in_flight": 1}));
    let (requests, sent) = mpsc::channel::<proto::CheckStreamRequest>(1);
    let mut client = running.client().await;
    let mut open = client.check_stream(ReceiverStream::new(sent)).await.unwrap().into_inner();
    let status = client.check(access()).await.unwrap_err();
    assert_eq!((status.code(), detail(&status).reason()), (Code::ResourceExhausted, ErrorReason::Overloaded));
    drop(requests);
    assert!(open.next().await.is_none());
    assert_eq!(effect(client.check(access()).await.unwrap().get_ref()), Effect::Allow);
}

#[tokio::test]
async fn connection_past_the_limit_is_closed() {
    let running = start_with(serde_json::json!({"max_connections": 1}));
    let mut client = running.client().await;
    client.check(access()).await.unwrap();
    let mut second = tokio::net::TcpStream::connect(running.address()).await.unwrap();
    assert_eq!(second.read(&mut [0; 1]).await.unwrap(), 0, "closed without a word");
    client.check(access()).await.unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_http2_close_the_connection_only() {
    use tokio::io::AsyncWriteExt;
    let running = start();
    let mut stream = tokio::net::TcpStream::connect(running.address()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    running.assert_lives().await;
}

#[tokio::test]
async fn headers_past_the_limit_are_refused_and_the_server_lives_on() {
    let running = start_with(serde_json::json!({"max_header_bytes": 2048}));
    let mut request = tonic::Request::new(access());
    request.metadata_mut().insert("x-long", "a".repeat(8_192).parse().unwrap());
    assert!(running.client().await.check(request).await.is_err());
    running.assert_lives().await;
}

#[tokio::test]
async fn calls_of_one_connection_past_its_limit_wait_for_their_turn() {
    let running = start_with(serde_json::json!({"max_concurrent_streams": 2}));
    let mut client = running.client().await;
    // A client that has not read the server's settings yet knows of no limit, and what it sends past
    // it is refused (RFC 9113, section 5.1.2). They precede the first answer.
    assert_eq!(effect(client.check(access()).await.unwrap().get_ref()), Effect::Allow);
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let mut client = client.clone();
            tokio::spawn(async move { client.check(access()).await.unwrap() })
        })
        .collect();
    for call in calls {
        assert_eq!(effect(call.await.unwrap().get_ref()), Effect::Allow);
    }
}
