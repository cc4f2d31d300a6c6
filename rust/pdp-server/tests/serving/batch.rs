//! `CheckBatch`: one bad item never spoils the rest.

use bytes::{BufMut, Bytes, BytesMut};
use pdp_proto::v1 as proto;
use pdp_proto::v1::check_result::Outcome;
use pdp_proto::v1::{Effect, ErrorReason};
use prost::Message;
use tonic::Code;

use crate::support::{access, call_raw, detail, named, spend, start};

fn error(result: &proto::CheckResult) -> &proto::ErrorDetail {
    match result.outcome.as_ref().unwrap() {
        Outcome::Error(error) => error,
        Outcome::Decision(decision) => panic!("decided: {decision:?}"),
    }
}

fn decision(result: &proto::CheckResult) -> &proto::Decision {
    match result.outcome.as_ref().unwrap() {
        Outcome::Decision(decision) => decision,
        Outcome::Error(error) => panic!("refused: {error:?}"),
    }
}

#[tokio::test]
async fn each_item_has_its_own_verdict_or_error() {
    let running = start();
    let mut denied = access();
    denied.action = "write".to_owned();
    let items = vec![named("a", access()), named("b", spend("x", 0)), named("c", denied), access()];
    let batch = proto::CheckBatchRequest { items };
    let results = running.client().await.check_batch(batch).await.unwrap().into_inner().results;
    let ids: Vec<&str> = results.iter().map(|result| result.request_id.as_str()).collect();
    assert_eq!(ids[..3], ["a", "b", "c"]);
    assert!(!ids[3].is_empty(), "an id is made where none was given");
    assert_eq!(decision(&results[0]).effect(), Effect::Allow);
    assert_eq!(error(&results[1]).reason(), ErrorReason::FieldOutOfRange);
    assert_eq!(error(&results[1]).field, "items[1].limit.hits");
    assert_eq!(error(&results[1]).grpc_code, Code::InvalidArgument as i32);
    assert_eq!(decision(&results[2]).effect(), Effect::Deny);
    assert_eq!(decision(&results[3]).effect(), Effect::Allow);
}

#[tokio::test]
async fn repeated_id_fails_the_later_item_only() {
    let running = start();
    let items = vec![named("same", access()), named("same", access()), named("other", access())];
    let batch = proto::CheckBatchRequest { items };
    let results = running.client().await.check_batch(batch).await.unwrap().into_inner().results;
    assert_eq!(decision(&results[0]).effect(), Effect::Allow);
    assert_eq!(error(&results[1]).reason(), ErrorReason::Duplicate);
    assert_eq!(error(&results[1]).field, "items[1].request_id");
    assert_eq!(decision(&results[2]).effect(), Effect::Allow);
}

#[tokio::test]
async fn item_that_is_no_message_spoils_no_other() {
    let running = start();
    let mut bytes = BytesMut::new();
    for item in [access().encode_to_vec(), b"\x22\x03\x0a\x01\xff".to_vec(), access().encode_to_vec()] {
        bytes.put_u8(0x0a);
        prost::encoding::encode_varint(item.len() as u64, &mut bytes);
        bytes.put(&item[..]);
    }
    let answer = call_raw(running.channel().await, "CheckBatch", bytes.freeze()).await.unwrap();
    let results = proto::CheckBatchResponse::decode(answer).unwrap().results;
    assert_eq!(decision(&results[0]).effect(), Effect::Allow);
    assert_eq!(error(&results[1]).field, "items[1].subject.id");
    assert_eq!(decision(&results[2]).effect(), Effect::Allow);
}

#[tokio::test]
async fn empty_and_oversized_batches_are_refused_whole() {
    let running = start();
    let status = call_raw(running.channel().await, "CheckBatch", Bytes::new()).await.unwrap_err();
    assert_eq!(
        (detail(&status).reason(), detail(&status).field),
        (ErrorReason::FieldRequired, "items".to_owned())
    );
    let batch = proto::CheckBatchRequest { items: vec![proto::CheckRequest::default(); 1_001] };
    let status = running.client().await.check_batch(batch).await.unwrap_err();
    assert_eq!(
        (detail(&status).reason(), detail(&status).field),
        (ErrorReason::TooLarge, "items".to_owned())
    );
}

#[tokio::test]
async fn largest_batch_is_answered_in_order() {
    let running = start();
    let items = (0..1_000).map(|n| named(&format!("r{n}"), access())).collect();
    let batch = proto::CheckBatchRequest { items };
    let results = running.client().await.check_batch(batch).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 1_000);
    assert!(results.iter().enumerate().all(|(n, result)| result.request_id == format!("r{n}")));
}
