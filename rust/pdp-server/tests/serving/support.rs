//! A server over a small policy set, and ways to call it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use pdp_proto::v1 as proto;
use pdp_proto::v1::policy_decision_service_client::PolicyDecisionServiceClient;
use pdp_server::{Server, ServerConfig, errors};
use prost::Message;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::Channel;

pub(crate) const MANIFEST: &str = r#"
version: 1
policies:
  - {id: notes.access, kind: access, engine: rego, source: access.rego, match: {resources: ["/notes/*"]}, cacheable_for: 30s}
  - {id: notes.loop, kind: access, engine: rego, source: loop.rego, match: {resources: ["/loop"]}}
  - {id: notes.calls, kind: segmentation, engine: rego, source: calls.rego}
  - {id: notes.egress, kind: egress, engine: rego, source: egress.rego}
  - {id: notes.limits, kind: rate_limit, engine: limits, source: limits.yaml}
"#;

const ACCESS: &str = r#"package notes.access

import rego.v1

allow if {
	input.action == "read"
	"reader" in input.subject.roles
}

deny contains {"code": "device_not_compliant", "message": "the device breaks its posture policy"} if {
	input.device.compliant == false
}
"#;

const LOOP: &str = r"package notes.loop

import rego.v1

allow if {
	some i in numbers.range(1, 5000)
	some j in numbers.range(1, 5000)
	i + j == 0
}
";

const CALLS: &str = r#"package notes.calls

import rego.v1

allow if {
	"writer" in input.function.roles
	input.destination.id == "notes-table"
}
"#;

const EGRESS: &str = r#"package notes.egress

import rego.v1

allow if input.destination.id == "partner"

obligations contains {"type": "mask", "detectors": ["card_number"]} if {
	some finding in input.payload.findings
	finding.detector == "card_number"
}
"#;

const LIMITS: &str = r"limits:
  - {name: per-caller, algorithm: fixed_window, limit: 3, window: 1h, key: limit.descriptors.caller}
";

pub(crate) type Client = PolicyDecisionServiceClient<Channel>;

/// Writes the policy set.
pub(crate) fn policies() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("manifest.yaml", MANIFEST),
        ("access.rego", ACCESS),
        ("loop.rego", LOOP),
        ("calls.rego", CALLS),
        ("egress.rego", EGRESS),
        ("limits.yaml", LIMITS),
    ] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

/// A configuration on ports that the system chooses, without a watch; `more` replaces or adds keys.
pub(crate) fn config(policies: &Path, more: serde_json::Value) -> ServerConfig {
    let mut document = serde_json::json!({
        "policies": policies, "listen": "127.0.0.1:0", "admin_listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0", "threads": 2, "watch": false,
    });
    let fields = document.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    ServerConfig::from_json(&document.to_string()).unwrap()
}

/// A running server and its policy directory.
pub(crate) struct Running {
    pub(crate) server: Arc<Server>,
    pub(crate) policies: TempDir,
}

pub(crate) fn start() -> Running {
    start_with(serde_json::json!({}))
}

pub(crate) fn start_with(more: serde_json::Value) -> Running {
    let policies = policies();
    let server = Server::start(&config(policies.path(), more)).unwrap();
    Running { server: Arc::new(server), policies }
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.addresses().decision
    }

    pub(crate) async fn channel(&self) -> Channel {
        channel(self.address()).await
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.channel().await).max_decoding_message_size(64 << 20)
    }

    /// Drains with a timeout that no test reaches; whether every call was answered.
    pub(crate) async fn drain(&self) -> bool {
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || server.drain(Duration::from_secs(30))).await.unwrap()
    }

    /// Reloads a set that builds.
    pub(crate) async fn reload(&self) {
        let server = self.server.clone();
        tokio::task::spawn_blocking(move || server.reload()).await.unwrap().unwrap();
    }

    /// Asserts that the server still answers.
    pub(crate) async fn assert_lives(&self) {
        let answer = self.client().await.check(access()).await.unwrap().into_inner();
        assert_eq!(effect(&answer), proto::Effect::Allow);
    }

    /// Body of an HTTP GET, and whether the status was 200.
    pub(crate) async fn get(&self, path: &str) -> (bool, String) {
        let mut stream = tokio::net::TcpStream::connect(self.server.addresses().http.unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.starts_with("HTTP/1.1 200"), body.to_owned())
    }
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// An access question that is answered with ALLOW.
pub(crate) fn access() -> proto::CheckRequest {
    proto::CheckRequest {
        questions: vec![proto::Question::Access.into()],
        subject: Some(proto::Subject {
            id: "ada".to_owned(),
            roles: vec!["reader".to_owned()],
            ..Default::default()
        }),
        action: "read".to_owned(),
        resource: Some(proto::Resource { id: "/notes/1".to_owned(), ..Default::default() }),
        ..Default::default()
    }
}

/// A rate-limit question.
pub(crate) fn spend(caller: &str, hits: u64) -> proto::CheckRequest {
    proto::CheckRequest {
        questions: vec![proto::Question::RateLimit.into()],
        limit: Some(proto::LimitSpend {
            hits: Some(hits),
            descriptors: [("caller".to_owned(), caller.to_owned())].into(),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// An egress question.
pub(crate) fn egress(content: &str) -> proto::CheckRequest {
    proto::CheckRequest {
        questions: vec![proto::Question::Egress.into()],
        function: Some(proto::Function { id: "exporter".to_owned(), ..Default::default() }),
        destination: Some(proto::Destination { id: "partner".to_owned(), ..Default::default() }),
        payload: Some(proto::Payload {
            content: content.to_owned().into(),
            content_type: "text/plain".to_owned(),
        }),
        ..Default::default()
    }
}

/// Names a request.
pub(crate) fn named(id: &str, mut request: proto::CheckRequest) -> proto::CheckRequest {
    request.request_id = id.to_owned();
    request
}

pub(crate) fn effect(answer: &proto::CheckResponse) -> proto::Effect {
    answer.decision.as_ref().unwrap().effect()
}

/// Codes of all reasons of a decision.
pub(crate) fn codes(decision: &proto::Decision) -> Vec<proto::ReasonCode> {
    decision.verdicts.iter().flat_map(|verdict| &verdict.reasons).map(proto::Reason::code).collect()
}

/// The detail in the trailer of a failed call.
pub(crate) fn detail(status: &Status) -> proto::ErrorDetail {
    let value =
        status.metadata().get_bin(errors::DETAIL_TRAILER).unwrap_or_else(|| panic!("no detail: {status:?}"));
    proto::ErrorDetail::decode(value.to_bytes().unwrap()).unwrap()
}

/// Calls a unary method with bytes that need not be a message.
pub(crate) async fn call_raw(channel: Channel, method: &str, message: Bytes) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::try_from(format!("/pdp.v1.PolicyDecisionService/{method}")).unwrap();
    grpc.unary(tonic::Request::new(message), path, Raw).await.map(tonic::Response::into_inner)
}

/// Sends a body over HTTP/2 as it is; returns the status, and headers and trailers in one.
pub(crate) async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (http::StatusCode, http::HeaderMap) {
    let (status, found, _) = exchange(address, path, headers, body).await;
    (status, found)
}

/// As [`post`]; also returns how many frames follow the headers.
pub(crate) async fn exchange(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (http::StatusCode, http::HeaderMap, usize) {
    post_body(address, path, headers, Full::new(body.into())).await
}

/// As [`exchange`], with any body.
pub(crate) async fn post_body<B>(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: B,
) -> (http::StatusCode, http::HeaderMap, usize)
where
    B: Body<Data = Bytes, Error = std::convert::Infallible> + Send + Unpin + 'static,
{
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender.send_request(request.body(body).unwrap()).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let (mut found, mut frames) = (parts.headers, usize::from(!body.is_end_stream()));
    while let Some(frame) = body.frame().await {
        frames += 1;
        found.extend(frame.unwrap().into_trailers().unwrap_or_default());
    }
    (parts.status, found, frames)
}

/// A body that never ends and never sends.
pub(crate) struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

/// Passes bytes through.
#[derive(Clone, Copy, Default)]
pub(crate) struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
