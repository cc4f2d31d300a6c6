//! Decoding: what is wrong with a message's bytes, as an answer.

use bytes::{Buf, Bytes};
use pdp_proto::v1::{ErrorDetail, ErrorReason};
use prost::Message;

use crate::errors;

/// A `CheckBatchRequest` whose items are still encoded, so that one that does
/// not decode spoils no other. Same numbers and wire types as the contract's.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawBatch {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub(crate) items: Vec<Bytes>,
}

/// A `CheckStreamRequest` whose request is still encoded.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct RawStreamItem {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub(crate) request: Option<Bytes>,
}

/// Decodes a message. Nesting is bounded by prost's recursion limit of 100,
/// which leaves room for the documented 32 levels of open attributes.
pub(crate) fn decode<M: Message + Default>(bytes: impl Buf) -> Result<M, ErrorDetail> {
    M::decode(bytes).map_err(|error| fault(&error.to_string()))
}

/// Reads the field's path and the cause from prost's text, which is the only place that has them:
/// `failed to decode Protobuf message: Subject.id: CheckRequest.subject: <cause>`.
fn fault(text: &str) -> ErrorDetail {
    let mut rest = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(text);
    let mut path: Vec<&str> = Vec::new();
    while let Some((segment, after)) = rest.split_once(": ") {
        let Some((message, field)) = segment.split_once('.') else { break };
        if !message.starts_with(char::is_uppercase) || field.contains(' ') {
            break;
        }
        // Open attributes are nested messages of their own; their names help nobody.
        if !matches!(message, "Struct" | "Value" | "ListValue" | "RawBatch" | "RawStreamItem") {
            path.push(field.strip_prefix("r#").unwrap_or(field));
        }
        rest = after;
    }
    let deep = rest.contains("recursion limit");
    let reason = if deep { ErrorReason::TooDeep } else { ErrorReason::FieldMalformed };
    let message = if deep {
        "is nested too deeply to be read".to_owned()
    } else {
        format!("is not a valid protobuf message: {rest}")
    };
    path.reverse();
    errors::detail(reason, &path.join("."), message)
}
