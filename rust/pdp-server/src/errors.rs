//! The one table from a refusal's reason to its gRPC status.

use bytes::Bytes;
use pdp_engine::limit::LimitFault;
use pdp_engine::{RequestFault, Text};
use pdp_proto::v1::{ErrorDetail, ErrorReason};
use prost::Message;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Status};

/// Trailer that carries the encoded [`ErrorDetail`] of a failed call.
pub const DETAIL_TRAILER: &str = "pdp-error-bin";

/// Longest field path and message that are sent back, in bytes: both travel in
/// headers, which many clients bound at 8 KiB, and both may hold what a caller sent.
const MAX_FIELD_BYTES: usize = 256;
const MAX_MESSAGE_BYTES: usize = 1_024;

/// A request that does not have its documented form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {message}")]
pub struct InvalidRequest {
    /// Stable reason.
    pub reason: ErrorReason,
    /// Path of the field at fault.
    pub field: String,
    /// What is wrong and how to fix it.
    pub message: String,
}

/// gRPC status of a reason.
#[must_use]
pub fn code_of(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::FieldRequired
        | ErrorReason::FieldOutOfRange
        | ErrorReason::EnumUnknown
        | ErrorReason::NumberNotFinite
        | ErrorReason::TooDeep
        | ErrorReason::TooLarge
        | ErrorReason::Duplicate
        | ErrorReason::FieldMalformed => Code::InvalidArgument,
        ErrorReason::PolicyUnknown => Code::NotFound,
        ErrorReason::RevisionNotActive => Code::FailedPrecondition,
        ErrorReason::NotReady => Code::Unavailable,
        ErrorReason::Deadline => Code::DeadlineExceeded,
        ErrorReason::Overloaded => Code::ResourceExhausted,
        ErrorReason::Unspecified | ErrorReason::Internal => Code::Internal,
    }
}

/// A detail with the status its reason has.
#[must_use]
pub fn detail(reason: ErrorReason, field: &str, message: impl Into<String>) -> ErrorDetail {
    with_code(code_of(reason), reason, field, message)
}

/// A message past the size limit: the one reason whose status is not its table's.
#[must_use]
pub fn message_too_large(bytes: usize, limit: usize) -> ErrorDetail {
    let message = format!("the message has {bytes} bytes; at most {limit} are accepted");
    with_code(Code::ResourceExhausted, ErrorReason::TooLarge, "", message)
}

/// An id that another request has.
#[must_use]
pub fn duplicate_id(among: &str) -> ErrorDetail {
    detail(ErrorReason::Duplicate, "request_id", format!("must differ among the {among}"))
}

/// The caller's deadline had passed.
#[must_use]
pub fn deadline_passed() -> ErrorDetail {
    detail(ErrorReason::Deadline, "", "the deadline passed before the request was decided")
}

/// A fault of the server; what it was is in the log, not in the answer.
#[must_use]
pub fn internal() -> ErrorDetail {
    detail(ErrorReason::Internal, "", "the request met a fault of the server, which is logged")
}

fn with_code(code: Code, reason: ErrorReason, field: &str, message: impl Into<String>) -> ErrorDetail {
    let field = cut(field, MAX_FIELD_BYTES).to_owned();
    let mut message = message.into();
    message.truncate(cut(&message, MAX_MESSAGE_BYTES).len());
    ErrorDetail { reason: reason.into(), field, message, grpc_code: code as i32 }
}

/// At most `most` bytes of `text`, whole characters.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

impl From<InvalidRequest> for ErrorDetail {
    fn from(invalid: InvalidRequest) -> Self {
        detail(invalid.reason, &invalid.field, invalid.message)
    }
}

/// What the engine refused, as an answer. `ids` are the policies the request requires.
#[must_use]
pub fn from_fault(fault: &RequestFault, ids: &[Text]) -> ErrorDetail {
    match fault {
        RequestFault::PolicyUnknown { index } => {
            let id = ids.get(*index).map_or("", |id| id);
            let message = format!("the active policy set has no policy `{id}`");
            detail(ErrorReason::PolicyUnknown, &format!("required_policy_ids[{index}]"), message)
        }
        RequestFault::RevisionNotActive { active } => {
            let message = format!("the active revision is `{active}`");
            detail(ErrorReason::RevisionNotActive, "policy_revision", message)
        }
    }
}

/// A usage token that this node did not sign, or no node that shares its key secret.
#[must_use]
pub fn usage_token_refused() -> ErrorDetail {
    let message = "is not a token of this decision point, or of one with the same `state.key_secret_file`; \
                   send the decision's own";
    detail(ErrorReason::FieldMalformed, "usage_token", message)
}

/// Why a store could not say how a counter stands.
#[must_use]
pub fn from_limit_fault(fault: LimitFault) -> ErrorDetail {
    match fault {
        LimitFault::StoreUnavailable => {
            let message = "the shared state store did not answer; nobody knows whether it counted";
            detail(ErrorReason::NotReady, "", message)
        }
        LimitFault::StoreFull => {
            detail(ErrorReason::Overloaded, "", "the state store holds as many counters as it may")
        }
        LimitFault::InvalidLimit => internal(),
    }
}

/// The status of a failed call, with the detail in its trailer.
#[must_use]
pub fn status(detail: &ErrorDetail) -> Status {
    let mut metadata = MetadataMap::new();
    let encoded = Bytes::from(detail.encode_to_vec());
    metadata.insert_bin(DETAIL_TRAILER, MetadataValue::from_bytes(&encoded));
    let place = if detail.field.is_empty() { String::new() } else { format!("`{}`: ", detail.field) };
    let message = format!("{place}{}", detail.message);
    Status::with_metadata(Code::from_i32(detail.grpc_code), message, metadata)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_failing_status() {
        for number in 0..=14 {
            let reason = ErrorReason::try_from(number).expect("reasons are dense");
            assert_ne!(code_of(reason), Code::Ok, "{reason:?}");
        }
        assert!(ErrorReason::try_from(15).is_err(), "a new reason needs a row in the table and here");
    }

    #[test]
    fn what_a_caller_sent_is_cut_at_a_character() {
        let long = "ä".repeat(MAX_MESSAGE_BYTES);
        let cut = detail(ErrorReason::TooDeep, &long, format!("x{long}"));
        assert!(cut.field.len() <= MAX_FIELD_BYTES && cut.field.chars().all(|c| c == 'ä'));
        assert_eq!(cut.message.len(), MAX_MESSAGE_BYTES - 1);
    }

    #[test]
    fn status_carries_the_detail() {
        let sent = detail(ErrorReason::Duplicate, "items[1].request_id", "twice");
        let status = status(&sent);
        assert_eq!(status.code(), Code::InvalidArgument);
        let value = status.metadata().get_bin(DETAIL_TRAILER).expect("trailer").to_bytes().expect("bytes");
        assert_eq!(ErrorDetail::decode(value).expect("detail"), sent);
    }
}
