//! Bad input: a status, a stable reason, the field's path, and a server that lives on.

use bytes::{BufMut, Bytes, BytesMut};
use pdp_proto::v1 as proto;
use pdp_proto::v1::{ErrorReason, Question};
use prost::Message;
use prost_types::value::Kind;
use tonic::{Code, Status};

use crate::support::{
    Running, Silent, access, call_raw, detail, egress, exchange, post, post_body, spend, start, start_with,
};

/// What a refusal says: status, reason, field.
fn said(status: &Status) -> (Code, ErrorReason, String) {
    let detail = detail(status);
    assert_eq!(detail.grpc_code, status.code() as i32);
    (status.code(), detail.reason(), detail.field)
}

async fn refused(running: &Running, request: proto::CheckRequest) -> (Code, ErrorReason, String) {
    let status = running.client().await.check(request).await.unwrap_err();
    running.assert_lives().await;
    said(&status)
}

/// Asserts INVALID_ARGUMENT with this reason and field.
async fn assert_invalid(running: &Running, reason: ErrorReason, field: &str, request: proto::CheckRequest) {
    assert_eq!(refused(running, request).await, (Code::InvalidArgument, reason, field.to_owned()));
}

fn changed(change: impl FnOnce(&mut proto::CheckRequest)) -> proto::CheckRequest {
    let mut request = access();
    change(&mut request);
    request
}

fn context(key: &str, kind: Kind) -> Option<prost_types::Struct> {
    Some(prost_types::Struct { fields: [(key.to_owned(), prost_types::Value { kind: Some(kind) })].into() })
}

#[tokio::test]
async fn missing_fields_are_named() {
    let running = start();
    let required = ErrorReason::FieldRequired;
    assert_invalid(&running, required, "questions", changed(|r| r.questions.clear())).await;
    assert_invalid(&running, required, "subject", changed(|r| r.subject = None)).await;
    assert_invalid(&running, required, "subject.id", changed(|r| r.subject = Some(Default::default()))).await;
    assert_invalid(&running, required, "action", changed(|r| r.action.clear())).await;
    assert_invalid(&running, required, "resource", changed(|r| r.resource = None)).await;
    let asking = |question: Question| changed(|r| r.questions = vec![question.into()]);
    assert_invalid(&running, required, "function", asking(Question::Segmentation)).await;
    assert_invalid(&running, required, "function", asking(Question::Egress)).await;
    let mut request = egress("");
    request.payload = None;
    assert_invalid(&running, required, "payload", request).await;
}

#[tokio::test]
async fn unknown_enum_values_are_refused() {
    let running = start();
    let unknown = ErrorReason::EnumUnknown;
    assert_invalid(&running, unknown, "questions[1]", changed(|r| r.questions.push(99))).await;
    assert_invalid(&running, unknown, "questions[0]", changed(|r| r.questions = vec![0])).await;
    let destination = |kind| Some(proto::Destination { id: "d".to_owned(), kind, ..Default::default() });
    assert_invalid(&running, unknown, "destination.kind", changed(|r| r.destination = destination(-1))).await;
}

#[tokio::test]
async fn numbers_outside_of_their_range_are_refused() {
    let running = start();
    for hits in [0, 1_000_000_001, u64::MAX, (-5i64).cast_unsigned()] {
        assert_invalid(&running, ErrorReason::FieldOutOfRange, "limit.hits", spend("ada", hits)).await;
    }
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let score = Some(proto::Behaviour { score: Some(number), ..Default::default() });
        let request = changed(|r| r.behaviour = score);
        assert_invalid(&running, ErrorReason::NumberNotFinite, "behaviour.score", request).await;
        let request = changed(|r| r.context = context("load", Kind::NumberValue(number)));
        assert_invalid(&running, ErrorReason::NumberNotFinite, "context.load", request).await;
    }
    let score = Some(proto::Behaviour { score: Some(1.5), ..Default::default() });
    assert_invalid(
        &running,
        ErrorReason::FieldOutOfRange,
        "behaviour.score",
        changed(|r| r.behaviour = score),
    )
    .await;
    let destination = proto::Destination { id: "d".to_owned(), port: 65_536, ..Default::default() };
    let request = changed(|r| r.destination = Some(destination));
    assert_invalid(&running, ErrorReason::FieldOutOfRange, "destination.port", request).await;
}

#[tokio::test]
async fn texts_out_of_form_are_refused() {
    let running = start();
    let malformed = ErrorReason::FieldMalformed;
    assert_invalid(&running, malformed, "request_id", changed(|r| r.request_id = "a b".to_owned())).await;
    assert_invalid(&running, malformed, "request_id", changed(|r| r.request_id = "ä".to_owned())).await;
    let transport = |ip: &str| Some(proto::Transport { source_ip: ip.to_owned(), ..Default::default() });
    for ip in ["1.2.3.4:80", "1.2.3", "fe80::1%eth0", "[::1]"] {
        assert_invalid(&running, malformed, "transport.source_ip", changed(|r| r.transport = transport(ip)))
            .await;
    }
    let location = Some(proto::Location { country: "de".to_owned(), ..Default::default() });
    assert_invalid(&running, malformed, "location.country", changed(|r| r.location = location)).await;
    let http = Some(proto::HttpRequest { method: "get".to_owned(), ..Default::default() });
    assert_invalid(&running, malformed, "http.method", changed(|r| r.http = http)).await;
    let headers = [("Cookie".to_owned(), String::new())].into();
    let http = Some(proto::HttpRequest { headers, ..Default::default() });
    assert_invalid(&running, malformed, "http.headers.Cookie", changed(|r| r.http = http)).await;
}

#[tokio::test]
async fn sizes_past_their_bounds_are_refused() {
    let running = start();
    let large = ErrorReason::TooLarge;
    assert_invalid(&running, large, "request_id", changed(|r| r.request_id = "a".repeat(129))).await;
    assert_invalid(&running, large, "tenant", changed(|r| r.tenant = "a".repeat(257))).await;
    let roles = changed(|r| r.subject.as_mut().unwrap().roles = vec![String::new(); 257]);
    assert_invalid(&running, large, "subject.roles", roles).await;
    let labels = (0..129).map(|n| (n.to_string(), String::new())).collect();
    let labels = changed(|r| r.resource.as_mut().unwrap().labels = labels);
    assert_invalid(&running, large, "resource.labels", labels).await;
    let policies = changed(|r| r.required_policy_ids = vec!["p".to_owned(); 33]);
    assert_invalid(&running, large, "required_policy_ids", policies).await;
    assert_invalid(&running, large, "payload.content", egress(&"a".repeat((4 << 20) + 1))).await;
}

#[tokio::test]
async fn repeated_question_is_refused() {
    let running = start();
    let request = changed(|r| r.questions.push(Question::Access.into()));
    assert_invalid(&running, ErrorReason::Duplicate, "questions[1]", request).await;
}

#[tokio::test]
async fn unknown_policy_and_stale_revision_have_their_own_status() {
    let running = start();
    let policy = changed(|r| r.required_policy_ids = vec!["notes.access".to_owned(), "nope".to_owned()]);
    let expected = (Code::NotFound, ErrorReason::PolicyUnknown, "required_policy_ids[1]".to_owned());
    assert_eq!(refused(&running, policy).await, expected);
    let revision = changed(|r| r.policy_revision = "0123456789abcdef".to_owned());
    let expected = (Code::FailedPrecondition, ErrorReason::RevisionNotActive, "policy_revision".to_owned());
    assert_eq!(refused(&running, revision).await, expected);
}

#[tokio::test]
async fn message_past_the_limit_is_resource_exhausted() {
    let running = start();
    let message = Bytes::from(vec![0; 10 << 20]);
    for method in ["Check", "CheckBatch"] {
        let status = call_raw(running.channel().await, method, message.clone()).await.unwrap_err();
        assert_eq!(said(&status), (Code::ResourceExhausted, ErrorReason::TooLarge, String::new()));
    }
    running.assert_lives().await;
}

#[tokio::test]
async fn truncated_message_is_refused_at_every_length() {
    let running = start();
    let channel = running.channel().await;
    let whole = Bytes::from(access().encode_to_vec());
    for length in 1..whole.len() {
        let outcome = call_raw(channel.clone(), "Check", whole.slice(..length)).await;
        let status = outcome.expect_err("a required field is missing from every prefix");
        assert_eq!(status.code(), Code::InvalidArgument);
        detail(&status);
    }
    running.assert_lives().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let running = start();
    let channel = running.channel().await;
    for bytes in
        [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"\x00", b"\x0b", b"\x0a\xff\xff\xff\xff\x0f"]
    {
        for method in ["Check", "CheckBatch"] {
            let status = call_raw(channel.clone(), method, Bytes::copy_from_slice(bytes)).await.unwrap_err();
            assert_eq!(
                (status.code(), detail(&status).reason()),
                (Code::InvalidArgument, ErrorReason::FieldMalformed)
            );
        }
    }
    running.assert_lives().await;
}

#[tokio::test]
async fn invalid_utf8_is_refused_with_its_field() {
    let running = start();
    // `subject` (4) holding `id` (1) of one byte that is no UTF-8.
    let bytes = Bytes::from_static(b"\x22\x03\x0a\x01\xff");
    let status = call_raw(running.channel().await, "Check", bytes).await.unwrap_err();
    let expected = (Code::InvalidArgument, ErrorReason::FieldMalformed, "subject.id".to_owned());
    assert_eq!(said(&status), expected);
}

/// Open attributes in `context` (16), nested `levels` deep in lists or maps, as bytes.
fn nested(levels: usize, map: bool) -> Bytes {
    let field = |tag: u8, inner: &[u8]| {
        let mut out = BytesMut::with_capacity(inner.len() + 8);
        out.put_u8(tag << 3 | 2);
        prost::encoding::encode_varint(inner.len() as u64, &mut out);
        out.put(inner);
        out.to_vec()
    };
    let entry = |value: &[u8]| field(1, &[field(1, b"k"), field(2, value)].concat());
    // A value holds a struct (5) or a list (6); a list holds values (1).
    let mut value = field(3, b"x");
    for _ in 1..levels {
        value = if map { field(5, &entry(&value)) } else { field(6, &field(1, &value)) };
    }
    let structure = entry(&value);
    let mut out = BytesMut::from(&access().encode_to_vec()[..]);
    // Tag 16 takes two bytes.
    out.put(&b"\x82\x01"[..]);
    prost::encoding::encode_varint(structure.len() as u64, &mut out);
    out.put(&structure[..]);
    out.freeze()
}

#[tokio::test]
async fn nesting_is_accepted_to_its_bound_and_never_overflows_the_stack() {
    let running = start_with(serde_json::json!({"max_message_bytes": 64 << 20}));
    let channel = running.channel().await;
    for map in [true, false] {
        call_raw(channel.clone(), "Check", nested(32, map)).await.expect("32 levels are documented");
        for levels in [33, 40, 100, 10_000] {
            let status = call_raw(channel.clone(), "Check", nested(levels, map)).await.unwrap_err();
            let (code, reason, field) = said(&status);
            assert_eq!((code, reason), (Code::InvalidArgument, ErrorReason::TooDeep), "{levels}");
            assert!(field.starts_with("context"), "{levels}: {field}");
        }
    }
    running.assert_lives().await;
}

const CHECK: &str = "/pdp.v1.PolicyDecisionService/Check";
const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A message with its prefix.
fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(flag);
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.put(message);
    out.freeze()
}

/// The gRPC status of a call that is sent as bytes.
async fn status_of(running: &Running, headers: &[(&str, &str)], body: Bytes) -> Code {
    let (status, found) = post(running.address(), CHECK, headers, body).await;
    assert_eq!(status, 200, "a gRPC status travels in HTTP 200");
    Code::from_bytes(found["grpc-status"].as_bytes())
}

#[tokio::test]
async fn deadline_that_has_passed_is_deadline_exceeded() {
    let running = start();
    let body = framed(0, &access().encode_to_vec());
    assert_eq!(
        status_of(&running, &[GRPC, ("grpc-timeout", "0n")], body.clone()).await,
        Code::DeadlineExceeded
    );
    assert_eq!(status_of(&running, &[GRPC, ("grpc-timeout", "1H")], body.clone()).await, Code::Ok);
    assert_eq!(status_of(&running, &[GRPC, ("grpc-timeout", "soon")], body).await, Code::Ok);
    let (_, metrics) = running.get("/metrics").await;
    assert!(metrics.contains("pdp_errors_total{reason=\"deadline\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn caller_that_sends_nothing_is_held_to_its_deadline() {
    let running = start();
    let headers = [GRPC, ("grpc-timeout", "20m")];
    let (_, found, _) = post_body(running.address(), CHECK, &headers, Silent).await;
    assert_eq!(Code::from_bytes(found["grpc-status"].as_bytes()), Code::DeadlineExceeded);
}

#[tokio::test]
async fn long_id_of_a_caller_does_not_break_the_answer() {
    let running = start();
    let request = changed(|r| r.required_policy_ids = vec!["ä".repeat(1 << 20)]);
    assert_eq!(refused(&running, request).await.1, ErrorReason::PolicyUnknown);
}

#[tokio::test]
async fn ill_framed_calls_are_refused() {
    let running = start();
    let message = access().encode_to_vec();
    let whole = framed(0, &message);
    assert_eq!(status_of(&running, &[GRPC], Bytes::new()).await, Code::InvalidArgument);
    assert_eq!(status_of(&running, &[GRPC], whole.slice(..whole.len() - 1)).await, Code::InvalidArgument);
    assert_eq!(
        status_of(&running, &[GRPC], [&whole[..], &whole].concat().into()).await,
        Code::InvalidArgument
    );
    assert_eq!(status_of(&running, &[GRPC], framed(1, &message)).await, Code::Unimplemented);
    let (status, _) = post(running.address(), CHECK, &[("content-type", "application/json")], whole).await;
    assert_eq!(status, 415);
    running.assert_lives().await;
}

#[tokio::test]
async fn unknown_method_is_unimplemented() {
    let running = start();
    let status = call_raw(running.channel().await, "Guess", Bytes::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    // The headers alone carry the status: no frame may follow them.
    let path = "/pdp.v1.PolicyDecisionService/Guess";
    let (_, found, frames) = exchange(running.address(), path, &[GRPC], framed(0, b"")).await;
    assert_eq!((found["grpc-status"].as_bytes(), frames), (&b"12"[..], 0));
}
